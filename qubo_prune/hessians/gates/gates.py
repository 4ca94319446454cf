"""One gate per removable block of a causal language model.

A gate multiplies what a block adds to the residual stream (paper, section 3, equations 1-2). At 1
it changes nothing; at 0 the block is gone; the derivative of the loss with respect to it, sample by
sample, is what a Hessian is made of (equation 6).
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn

from qubo_prune.core.errors import InputError
from qubo_prune.core.text import format_value
from qubo_prune.hessians.gates.branches import Branch, count_parameters, find_branches
from qubo_prune.hessians.gates.head import Head, find_head
from qubo_prune.hessians.gates.layers import find_layers
from qubo_prune.hessians.gates.probes import (
    changed_layers,
    check_causal,
    check_chain,
    check_unchanged,
    random_tokens,
    run,
)
from qubo_prune.hessians.gates.scaling import gate_branch, gate_layer

Granularity = Literal["block", "branch"]


@dataclass(frozen=True)
class Gate:
    """What one gate scales.

    Parameters
    ----------
    name
        ``layers.3`` for a decoder layer, ``layers.3.attention`` for one of its branches.
    kind
        ``attention``, ``mamba``, ``linear_attention``, ``conv``, ``recurrent``, ``mlp`` or ``moe``;
        ``layer`` for a decoder layer of several branches.
    layer
        The index of the decoder layer, from 0.
    num_parameters
        Parameters that go when the block is removed, norms of its own included.
    place
        ``branch`` where the gate scales what residual branches add to their input, ``block`` where
        it stands at the whole layer, ``h + a * (layer(h) - h)``, because its branches could not be
        told apart. The two have different derivatives.
    """

    name: str
    kind: str
    layer: int
    num_parameters: int
    place: Literal["branch", "block"]


class Gates:
    """The gates of a model, found by `find_gates`.

    Attributes
    ----------
    model
        The model; its weights and settings are as they were.
    gates
        One `Gate` for each column of the gradients.
    granularity
        ``block`` or ``branch``.
    layers_path
        Dotted path of the decoder layers in the model.
    layers
        The decoder layers.
    head
        Turns final hidden states into logits as the model does, or None where no way is known.
    fallbacks
        For each layer gated as a whole, by index, the reason.
    ends
        For each gate the modules whose outputs it scales.
    parts
        For each gate of a branch the largest modules that belong to this branch alone; nothing for
        gates of layers.
    """

    def __init__(
        self,
        model: nn.Module,
        gates: Sequence[Gate],
        targets: Sequence[tuple[nn.Module, ...]],
        *,
        granularity: Granularity,
        layers_path: str,
        layers: Sequence[nn.Module],
        head: Head | None = None,
        fallbacks: dict[int, str] | None = None,
        parts: Sequence[tuple[nn.Module, ...]] | None = None,
    ) -> None:
        self.model = model
        self.gates = tuple(gates)
        self.granularity = granularity
        self.layers_path = layers_path
        self.layers = tuple(layers)
        self.head = head
        self.fallbacks = dict(fallbacks or {})
        self.ends = tuple(targets)
        self.parts = tuple(parts or [()] * len(self.gates))

    def __len__(self) -> int:
        return len(self.gates)

    def __repr__(self) -> str:
        return (
            f"Gates({type(self.model).__name__}, {self.granularity!r}, {len(self)} gates "
            f"in {self.layers_path})"
        )

    @contextlib.contextmanager
    def attached(self, values: Tensor) -> Iterator[None]:
        """Scale block i of sample b by ``values[b, i]`` while the context lasts.

        Parameters
        ----------
        values
            Floating-point tensor of shape (B, N) for batches of B samples. Gradients with respect
            to it are accumulated in float64 as far as its own type allows.

        Raises
        ------
        InputError
            If the shape is not (B, N), or the model is then run on another number of samples.
        """
        if values.ndim != 2 or values.shape[1] != len(self) or not values.is_floating_point():
            raise InputError(
                f"values must be a floating-point tensor of shape (samples, {len(self)}), one "
                f"column per gate, not {values.dtype} of shape {tuple(values.shape)}; "
                "give one row per sample."
            )
        handles = []
        try:
            for gate, modules, column in zip(self.gates, self.ends, values.unbind(1), strict=True):
                hook = gate_branch if gate.place == "branch" else gate_layer
                handles += [
                    module.register_forward_hook(hook(column), with_kwargs=True)
                    for module in modules
                ]
            yield
        finally:
            for handle in handles:
                handle.remove()


def find_gates(
    model: nn.Module, granularity: Granularity = "block", *, layers: str | None = None
) -> Gates:
    """Find the decoder layers of a causal language model and a gate for each block in them.

    The residual branches of each layer are found by following the sums that lead from its input to
    its output (`qubo_prune.hessians.gates.branches`), on a few random tokens. Then two tests are
    made: with all gates at 0 every layer must hand on its input unchanged, and with all gates at 1
    the logits must not change in a single bit. A layer that fails the first, or whose branches
    cannot be told apart, gets one gate for the whole layer instead.

    Parameters
    ----------
    model
        A causal language model of the transformers library, of any floating-point type, on any
        devices.
    granularity
        ``block`` for one gate per decoder layer, which scales all its residual branches alike
        (paper, equations 1-2), or ``branch`` for one gate per residual branch.
    layers
        Dotted path of the `torch.nn.ModuleList` that holds the decoder layers; found if not given.

    Returns
    -------
    Gates
        The gates, ordered by layer and in a layer by when its branches run.

    Raises
    ------
    InputError
        If the layers cannot be found, share weights, run other than once each in a chain, or if a
        self-test fails; the text says which and why.

    Examples
    --------
    >>> import pytest
    >>> transformers = pytest.importorskip("transformers")
    >>> config = transformers.LlamaConfig(
    ...     vocab_size=64, hidden_size=16, intermediate_size=32, num_hidden_layers=2,
    ...     num_attention_heads=2, num_key_value_heads=2,
    ... )
    >>> model = transformers.LlamaForCausalLM(config)
    >>> [gate.name for gate in find_gates(model, "branch").gates]
    ['layers.0.attention', 'layers.0.mlp', 'layers.1.attention', 'layers.1.mlp']
    """
    if granularity not in {"block", "branch"}:
        raise InputError(
            f"granularity must be 'block' or 'branch', not {format_value(granularity)}; "
            "choose one of them."
        )
    path, found = find_layers(model, layers)
    with frozen(model):
        tokens = random_tokens(model)
        logits = check_chain(model, found, tokens)
        check_causal(model, tokens, logits)
        branches = find_branches(model, found, tokens)
        gates = _gates(model, granularity, path, found, branches)
        changed = changed_layers(model, found, gates.attached, len(gates), tokens)
        if changed:
            reason = "with its branches left out it does not hand on its input"
            branches = [reason if i in changed else each for i, each in enumerate(branches)]
            gates = _gates(model, granularity, path, found, branches)
            changed = changed_layers(model, found, gates.attached, len(gates), tokens)
        if changed:
            raise InputError(
                f"with every gate at 0 {path}.{min(changed)} must hand on its input, but its output"
                " differs even with a gate at the whole layer; this architecture cannot be gated."
            )
        with gates.attached(torch.ones(len(tokens), len(gates))):
            gated = run(model, tokens)
        check_unchanged(model, tokens, logits, gated)
        gates.head = find_head(model, tokens, logits)
    return gates


@contextlib.contextmanager
def frozen(model: nn.Module) -> Iterator[None]:
    """Set a model to evaluation and its weights to need no gradient, and restore both
    afterwards.
    """
    training = [module for module in model.modules() if module.training]
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    try:
        model.eval()
        for parameter in trained:
            parameter.requires_grad_(False)
        yield
    finally:
        for parameter in trained:
            parameter.requires_grad_(True)
        for module in training:
            module.training = True


def _gates(
    model: nn.Module,
    granularity: Granularity,
    path: str,
    layers: Sequence[nn.Module],
    branches: Sequence[tuple[Branch, ...] | str],
) -> Gates:
    gates: list[Gate] = []
    targets: list[tuple[nn.Module, ...]] = []
    parts: list[tuple[nn.Module, ...]] = []
    for i, (layer, each) in enumerate(zip(layers, branches, strict=True)):
        name = f"layers.{i}"
        if isinstance(each, str):
            gates.append(Gate(name, "layer", i, count_parameters([layer]), "block"))
            targets.append((layer,))
            parts.append(())
        elif granularity == "block":
            kind = each[0].kind if len(each) == 1 else "layer"
            gates.append(Gate(name, kind, i, count_parameters([layer]), "branch"))
            targets.append(tuple(end for branch in each for end in branch.ends))
            parts.append(())
        else:
            for j, branch in enumerate(each):
                earlier = sum(other.kind == branch.kind for other in each[:j])
                label = branch.kind + (f"_{earlier + 1}" if earlier else "")
                gates.append(
                    Gate(f"{name}.{label}", branch.kind, i, branch.num_parameters, "branch")
                )
                targets.append(branch.ends)
                parts.append(branch.modules)
    return Gates(
        model,
        gates,
        targets,
        granularity=granularity,
        layers_path=path,
        layers=layers,
        fallbacks={i: each for i, each in enumerate(branches) if isinstance(each, str)},
        parts=parts,
    )
