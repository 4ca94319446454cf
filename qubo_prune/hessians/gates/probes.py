"""Tests of a model before its gates are trusted, on a few random tokens."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from qubo_prune.core.errors import InputError
from qubo_prune.core.text import format_value
from qubo_prune.hessians.gates.branches import first_tensor, hidden_states
from qubo_prune.hessians.gates.head import input_device, rounding, token_embedding

_SHAPE = (2, 8)
"""Samples and tokens of each."""

_Watcher = Callable[[Tensor | None, Tensor | None], None]


def random_tokens(model: nn.Module) -> Tensor:
    """Return ids to try a model on, the same every time."""
    generator = torch.Generator().manual_seed(0)
    tokens = torch.randint(len(token_embedding(model)), _SHAPE, generator=generator)
    return tokens.to(input_device(model))


def run(model: nn.Module, tokens: Tensor) -> Tensor:
    """Return the logits of `tokens`, (B, T, vocabulary)."""
    with torch.no_grad():
        logits: Tensor = model(input_ids=tokens, use_cache=False).logits
    return logits


def check_chain(model: nn.Module, layers: Sequence[nn.Module], tokens: Tensor) -> Tensor:
    """Return the logits; refuse a model whose layers are not one chain from first to last."""
    calls: list[int] = []
    broken: list[int] = []
    states: list[Tensor | None] = [None]

    def watcher(index: int) -> _Watcher:
        def watch(before: Tensor | None, after: Tensor | None) -> None:
            calls.append(index)
            if (
                before is None
                or after is None
                or before.ndim != 3
                or before.shape[:2] != tokens.shape
                or after.shape != before.shape
                or not (states[0] is None or torch.equal(states[0].to(before), before))
            ):
                broken.append(index)
            states[0] = after

        return watch

    with _watched(layers, watcher):
        logits = run(model, tokens)
    if calls != list(range(len(layers))):
        raise InputError(
            "each decoder layer must run once, from first to last, but they ran in the order "
            f"{format_value(calls)}; this architecture cannot be gated."
        )
    if broken:
        raise InputError(
            "each decoder layer must turn hidden states of shape (samples, tokens, size) into the "
            f"next layer's, but layer {broken[0]} does not; this architecture cannot be gated."
        )
    if not torch.isfinite(logits).all():
        raise InputError(
            f"the model's logits are not finite in {logits.dtype} on random tokens; "
            "load it in another type or repair its weights."
        )
    return logits


def check_causal(model: nn.Module, tokens: Tensor, logits: Tensor) -> None:
    """Refuse a model in which a later token changes the logits of earlier ones."""
    others = tokens.clone()
    others[:, -1] = (others[:, -1] + 1) % len(token_embedding(model))
    differences = (run(model, others) - logits)[:, :-1].abs().amax(-1)
    # Rounding may send single tokens to another expert; without a causal mask all of them change.
    if (differences > rounding(logits)).double().mean() > 0.5:
        raise InputError(
            "the model must be causal, but changing the last token changes the logits before it; "
            "give a decoder with a causal mask (for some encoders, is_decoder=True)."
        )


def check_unchanged(model: nn.Module, tokens: Tensor, logits: Tensor, gated: Tensor) -> None:
    """Refuse gates that, all at 1, change the logits in any bit."""
    if torch.equal(gated, logits):
        return
    # Atomic additions on a GPU: then there are no bits to compare, only rounding.
    repeats = torch.equal(run(model, tokens), logits)
    difference = float((gated - logits).abs().max())
    if repeats or not difference <= rounding(logits):
        raise InputError(
            "with every gate at 1 the logits must not change, but they do by up to "
            f"{difference:.3g}; this architecture cannot be gated."
        )


def changed_layers(
    model: nn.Module,
    layers: Sequence[nn.Module],
    attached: Callable[[Tensor], contextlib.AbstractContextManager[None]],
    num_gates: int,
    tokens: Tensor,
) -> set[int]:
    """Return the layers that do not hand on a sample's input when all its gates are 0."""
    changed: set[int] = set()

    def watcher(index: int) -> _Watcher:
        def watch(before: Tensor | None, after: Tensor | None) -> None:
            if (
                before is None
                or after is None
                or not torch.equal(before[sample], after[sample].to(before))
            ):
                changed.add(index)

        return watch

    # One sample at a time, the other one at 1: gates must not reach into other samples.
    for sample in range(len(tokens)):
        values = torch.ones(len(tokens), num_gates)
        values[sample] = 0
        # Attached first, so that the watchers see what the gates leave of a layer.
        with attached(values), _watched(layers, watcher):
            run(model, tokens)
    return changed


@contextlib.contextmanager
def _watched(layers: Sequence[nn.Module], watcher: Callable[[int], _Watcher]) -> Any:
    """Show each layer's input and output to a watcher of its own."""

    def hook(watch: _Watcher) -> Any:
        return lambda _, args, kwargs, output: watch(
            hidden_states(args, kwargs), first_tensor(output)
        )

    with contextlib.ExitStack() as stack:
        for index, layer in enumerate(layers):
            handle = layer.register_forward_hook(hook(watcher(index)), with_kwargs=True)
            stack.callback(handle.remove)
        yield
