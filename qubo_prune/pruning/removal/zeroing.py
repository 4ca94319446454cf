"""Branches that add nothing because their output weights are zero.

Which weights those are is read off the graph of one forward pass, as the branches themselves are:
from the output of a branch backwards, the parameters that are met first. That is the output
projection of an attention, the last matrices of all experts, or the norm behind a branch.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.graph import Node

from qubo_prune.core.errors import InputError
from qubo_prune.hessians.gates.branches import first_tensor
from qubo_prune.hessians.gates.gates import Gates
from qubo_prune.hessians.gates.probes import random_tokens
from qubo_prune.pruning.removal.weights import replaced_weights

_SUM = "AddBackward0"
"""A node behind whose parameter, a bias, there are output weights still."""

_ACCUMULATE = "AccumulateGrad"

Group = tuple[nn.Parameter, ...]
"""A parameter, and those in the same place of the other experts, which may not have run."""


@contextlib.contextmanager
def zeroed(gates: Gates, branches: Sequence[int]) -> Iterator[None]:
    """Set the output weights of branches to zero while the context lasts.

    Raises
    ------
    InputError
        If no parameters were found by which a branch adds nothing.
    """
    values: dict[nn.Parameter, float] = {}
    for block in branches:
        values |= _output_weights(gates, block)
    with replaced_weights(_filled(values)):
        yield


def _output_weights(gates: Gates, block: int) -> dict[nn.Parameter, float]:
    """Return the parameters of a branch by which it adds nothing, and the number for each."""
    groups = _first_met(gates, block)
    for norm in (0.0, -1.0):  # Gemma's norms multiply by 1 + weight
        if not groups or not _adds_nothing(gates, block, _filled(_numbers(groups, norm))):
            continue
        for group in groups:  # such as a router, which decides only how much of nothing is added
            others = [each for each in groups if each is not group]
            trial = _filled(_numbers(others, norm)) | {p: _random_like(p) for p in group}
            if others and _adds_nothing(gates, block, trial):
                groups = others
        return _numbers(groups, norm)
    raise InputError(
        f"no weights were found without which {gates.gates[block].name} adds nothing; choose"
        " branches module, or remove the whole layer."
    )


def _numbers(groups: Sequence[Group], norm: float) -> dict[nn.Parameter, float]:
    return {p: norm if p.ndim == 1 else 0.0 for group in groups for p in group}


def _filled(numbers: dict[nn.Parameter, float]) -> dict[nn.Parameter, Tensor]:
    return {parameter: torch.full_like(parameter, value) for parameter, value in numbers.items()}


def _first_met(gates: Gates, block: int) -> list[Group]:
    """Return the parameters of a branch that are met first on the way back from its outputs."""
    modules = (*gates.parts[block], *gates.ends[block])
    own = dict.fromkeys(p for module in modules for p in module.parameters())
    with contextlib.ExitStack() as stack:
        for parameter in own:
            parameter.requires_grad_(True)
            stack.callback(parameter.requires_grad_, False)
        layer = gates.layers[gates.gates[block].layer]
        handle = layer.register_forward_pre_hook(_as_leaf, with_kwargs=True)
        stack.callback(handle.remove)
        with torch.enable_grad():
            outputs = _outputs(gates, block)
        met = _walk([output.grad_fn for output in outputs if output.grad_fn is not None])
    names = {parameter: name for name, parameter in layer.named_parameters()}
    groups: dict[Group, None] = {}
    for parameter in met:
        if parameter in own:
            groups[_with_siblings(layer, names[parameter])] = None
    return list(groups)


def _outputs(gates: Gates, block: int) -> list[Tensor]:
    """Run the model and return what a branch adds."""
    outputs: list[Tensor] = []

    def keep(_: nn.Module, __: Any, output: Any) -> None:
        tensor = first_tensor(output)
        if tensor is not None:
            outputs.append(tensor.clone())  # Falcon adds to it in place

    with contextlib.ExitStack() as stack:
        for end in gates.ends[block]:
            stack.callback(end.register_forward_hook(keep).remove)
        gates.model(input_ids=random_tokens(gates.model), use_cache=False)
    return outputs


def _as_leaf(_: nn.Module, args: Any, kwargs: Any) -> Any:
    """Have a layer's input need a gradient, so that whatever uses it besides parameters shows."""
    if args:
        return (args[0].detach().requires_grad_(), *args[1:]), kwargs
    leaf = kwargs["hidden_states"].detach().requires_grad_()
    return args, kwargs | {"hidden_states": leaf}


def _adds_nothing(gates: Gates, block: int, values: dict[nn.Parameter, Tensor]) -> bool:
    with replaced_weights(values), torch.no_grad():
        return all(bool((output == 0).all()) for output in _outputs(gates, block))


def _walk(starts: Sequence[Node]) -> list[nn.Parameter]:
    """Return the parameters that are met first on all ways back, in the order they are met."""
    met: dict[nn.Parameter, None] = {}
    waiting, seen = list(starts), set(starts)
    while waiting:
        node = waiting.pop()
        after = [following for following, _ in node.next_functions if following is not None]
        parameters = [_parameter(each) for each in after]
        met |= dict.fromkeys(each for each in parameters if each is not None)
        if any(each is not None for each in parameters) and node.name() != _SUM:
            continue
        for following, parameter in zip(after, parameters, strict=True):
            if parameter is None and following not in seen:
                seen.add(following)
                waiting.append(following)
    return list(met)


def _parameter(node: Node) -> nn.Parameter | None:
    """Return the parameter that a node hands on, transposed, converted or a part of it."""
    while node.name().rpartition("::")[2] != _ACCUMULATE:
        after = [following for following, _ in node.next_functions if following is not None]
        if len(after) != 1:
            return None
        node = after[0]
    parameter: nn.Parameter = node.variable  # type: ignore[attr-defined]
    return parameter


def _with_siblings(layer: nn.Module, name: str) -> Group:
    """Return a parameter and, if it is an expert's in a list of experts, those of the others."""
    path, _, last = name.rpartition(".")
    parts = path.split(".")
    for at, part in enumerate(parts):
        around = layer.get_submodule(".".join(parts[:at]))
        if part.isdigit() and isinstance(around, nn.ModuleList):
            rest = ".".join([*parts[at + 1 :], last])
            return tuple(dict(each.named_parameters())[rest] for each in around)
    return (layer.get_parameter(name),)


def _random_like(parameter: nn.Parameter) -> Tensor:
    generator = torch.Generator().manual_seed(0)
    return torch.randn(parameter.shape, generator=generator).to(parameter)
