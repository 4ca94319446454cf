"""The residual stream of a model at one place, without what comes later."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from qubo_prune.hessians.gates.branches import first_tensor, hidden_states
from qubo_prune.hessians.gates.gates import frozen

__all__ = ["call_of", "in_float32_call", "seen_by"]


class _ReachedError(Exception):
    """What was asked for is there."""


def seen_by(
    model: nn.Module,
    layers: Sequence[nn.Module],
    ids: Tensor,
    place: int,
    writer: nn.Module | None = None,
) -> tuple[Tensor, Tensor | None]:
    """Return the stream at a place, (B, T, size), and what a module wrote on the way there.

    Parameters
    ----------
    model
        A causal language model.
    layers
        Its decoder layers.
    ids
        Token ids, (B, T).
    place
        Before which layer; behind the last one if there are as many.
    writer
        A module that runs before that, once.
    """
    written: list[Tensor] = []
    stream: list[Tensor] = []

    def write(_: nn.Module, __: Any, output: Any) -> None:
        tensor = first_tensor(output)
        assert tensor is not None  # noqa: S101  # a linear map returns one
        written.append(tensor.clone())  # Falcon adds to it in place

    def enter(_: nn.Module, args: Any, kwargs: Any) -> None:
        _end(hidden_states(args, kwargs))

    def leave(_: nn.Module, __: Any, output: Any) -> None:
        _end(first_tensor(output))

    def _end(tensor: Tensor | None) -> None:
        assert tensor is not None  # noqa: S101  # find_gates saw that it is there
        stream.append(tensor)
        raise _ReachedError

    with contextlib.ExitStack() as stack:
        stack.enter_context(_inference(model))
        if writer is not None:
            stack.callback(writer.register_forward_hook(write).remove)
        handle = (
            layers[place - 1].register_forward_hook(leave)
            if place
            else layers[0].register_forward_pre_hook(enter, with_kwargs=True)
        )
        stack.callback(handle.remove)
        with contextlib.suppress(_ReachedError):
            model(input_ids=ids, use_cache=False)
    tensor = stream[0]
    return tensor, written[0].reshape(*tensor.shape[:2], -1) if written else None


def call_of(
    model: nn.Module, module: nn.Module, ids: Tensor
) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """Return the arguments that a module is called with."""
    found: list[tuple[tuple[Any, ...], dict[str, Any]]] = []

    def enter(_: nn.Module, args: Any, kwargs: Any) -> None:
        found.append((args, kwargs))
        raise _ReachedError

    handle = module.register_forward_pre_hook(enter, with_kwargs=True)
    try:
        with _inference(model), contextlib.suppress(_ReachedError):
            model(input_ids=ids, use_cache=False)
    finally:
        handle.remove()
    return found[0]


def in_float32_call(
    call: tuple[tuple[Any, ...], dict[str, Any]], factor: float | None = None
) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """Return the arguments of a call in float32, the first tensor multiplied by a factor."""
    args, kwargs = _float32(call[0]), _float32(call[1])
    if factor is not None:
        if args:
            args = (args[0] * factor, *args[1:])
        else:
            kwargs = {**kwargs, "hidden_states": kwargs["hidden_states"] * factor}
    return args, kwargs


def _float32(value: Any) -> Any:
    if isinstance(value, Tensor):
        return value.float() if value.is_floating_point() else value
    if isinstance(value, Mapping):
        return {key: _float32(each) for key, each in value.items()}
    if type(value) in (tuple, list):
        return type(value)(_float32(each) for each in value)
    return value


@contextlib.contextmanager
def _inference(model: nn.Module) -> Iterator[None]:
    with frozen(model), torch.no_grad():
        yield
