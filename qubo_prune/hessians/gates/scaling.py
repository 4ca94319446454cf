"""What a gate does to the output of a module, and its derivative."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from qubo_prune.core.errors import InputError
from qubo_prune.hessians.gates.branches import first_tensor, hidden_states, with_first_tensor


def gate_branch(column: Tensor) -> Any:
    """Return a forward hook that multiplies sample b of a module's output by ``column[b]``."""

    def hook(_: nn.Module, __: Any, ___: Any, output: Any) -> Any:
        tensor = _output(column, output)
        shape = tensor.shape
        # (B, T, size) already, or (B * T, size).
        by_sample = tensor if tensor.ndim > 2 else tensor.reshape(len(column), -1, shape[-1])
        place = tensor.device
        scaled: Tensor = _Scale.apply(by_sample, column.to(place))  # type: ignore[no-untyped-call]
        return with_first_tensor(output, scaled.reshape(shape))

    return hook


def gate_layer(column: Tensor) -> Any:
    """Return a forward hook for ``h + a * (layer(h) - h)``, sample b with a = ``column[b]``."""

    def hook(_: nn.Module, args: Any, kwargs: Any, output: Any) -> Any:
        tensor, hidden = _output(column, output), hidden_states(args, kwargs)
        gate = column.to(tensor.device)
        blended: Tensor = _Blend.apply(hidden, tensor, gate)  # type: ignore[no-untyped-call]
        return with_first_tensor(output, blended)

    return hook


def _output(column: Tensor, output: Any) -> Tensor:
    tensor = first_tensor(output)
    rows = 0 if tensor is None else tensor.shape[0]
    if tensor is None or (rows != len(column) if tensor.ndim > 2 else rows % len(column)):
        raise InputError(
            f"the gates have values for {len(column)} samples, but a block returns {rows} rows; "
            "run the model on as many samples as there are rows of values."
        )
    return tensor


def _per_sample(a: Tensor, b: Tensor) -> Tensor:
    """Return sum(a * b) of each sample, the last sum over tokens in float64."""
    wide = torch.promote_types(a.dtype, torch.float32)
    per_token: Tensor = torch.linalg.vecdot(a.to(wide), b.to(wide))
    return per_token.flatten(1).sum(1, dtype=torch.float64)


def _broadcast(column: Tensor, like: Tensor) -> Tensor:
    return column.to(like.dtype).reshape(-1, *[1] * (like.ndim - 1))


class _Scale(torch.autograd.Function):
    """`output * a` for one a per sample; the gradient of a is not rounded to the model's type."""

    @staticmethod
    def forward(ctx: Any, output: Tensor, column: Tensor) -> Tensor:
        ctx.save_for_backward(output, column)
        return output * _broadcast(column, output)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, Tensor | None]:
        [gradient] = gradients
        output, column = ctx.saved_tensors
        return (
            gradient * _broadcast(column, gradient) if ctx.needs_input_grad[0] else None,
            _per_sample(gradient, output).to(column.dtype) if ctx.needs_input_grad[1] else None,
        )


class _Blend(torch.autograd.Function):
    """`hidden + a * (output - hidden)`, exact at 0 and at 1."""

    @staticmethod
    def forward(ctx: Any, hidden: Tensor, output: Tensor, column: Tensor) -> Tensor:
        ctx.save_for_backward(hidden, output, column)
        return torch.lerp(hidden, output, _broadcast(column, output).expand_as(output))

    @staticmethod
    def backward(
        ctx: Any, *gradients: Tensor
    ) -> tuple[Tensor | None, Tensor | None, Tensor | None]:
        [gradient] = gradients
        hidden, output, column = ctx.saved_tensors
        weight = _broadcast(column, gradient)
        return (
            gradient * (1 - weight) if ctx.needs_input_grad[0] else None,
            gradient * weight if ctx.needs_input_grad[1] else None,
            _per_sample(gradient, output - hidden).to(column.dtype)
            if ctx.needs_input_grad[2]
            else None,
        )
