"""The linear map by which a layer last writes to the residual stream."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from qubo_prune.hessians.gates.branches import first_tensor
from qubo_prune.hessians.language_model import in_float32
from qubo_prune.pruning.measuring.skipping import replaced
from qubo_prune.pruning.repair.streams import call_of, in_float32_call

__all__ = ["CannotRepairError", "Writer", "find_writer", "is_linear"]

_TOLERANCE = 1e-5
"""Of what a map adds to the stream, the share that may be something else; it is rounding."""

_ROUNDING = 4 * torch.finfo(torch.float32).eps
"""The same, of the stream that it is added to."""


class CannotRepairError(Exception):
    """Nothing can be merged here; the text says why."""


@dataclass(frozen=True)
class Writer:
    """A linear map whose output is added to the stream, times a constant.

    Attributes
    ----------
    path : str
        Its dotted path in its layer.
    module : nn.Module
        A `torch.nn.Linear` or a Conv1D of transformers.
    factor : float
        What its output is multiplied with before it is added.
    """

    path: str
    module: nn.Module
    factor: float

    @property
    def has_bias(self) -> bool:
        """Whether it adds a constant."""
        return getattr(self.module, "bias", None) is not None

    def merge(self, matrix: Tensor, offset: Tensor) -> None:
        """Have it return ``y + y @ matrix + offset`` in place of y; a map without bias gets none.

        The product is computed in float64 and rounded once, to the type of the weights.
        """
        weight: Any = self.module.weight
        flows = weight.data.double()
        flows = flows.T if isinstance(self.module, nn.Linear) else flows  # (inputs, outputs)
        matrix, offset = (each.to(flows.device, torch.float64) for each in (matrix, offset))
        merged = flows + flows @ matrix
        weight.data.copy_(merged.T if isinstance(self.module, nn.Linear) else merged)
        if self.has_bias:
            bias: Any = self.module.bias
            former = bias.data.double()
            bias.data.copy_(former + former @ matrix + offset)


def is_linear(module: nn.Module) -> bool:
    """Whether a module is a plain matrix, perhaps with a bias, stored as numbers."""
    from transformers.pytorch_utils import Conv1D

    weight = getattr(module, "weight", None)
    return (
        isinstance(module, nn.Linear | Conv1D)
        and weight is not None
        and weight.is_floating_point()
        and not weight.is_meta
    )


def find_writer(model: nn.Module, layer: nn.Module, ids: Tensor) -> Writer:
    """Return the last linear map of a layer whose output goes to the stream as it is.

    Found out by trying: without it, the output of the layer has to lack just what it returned,
    times a constant. That fails where a norm, a gate or an expert comes after the map, or where
    something later in the layer reads what it added.

    Parameters
    ----------
    model
        A causal language model.
    layer
        One of its decoder layers.
    ids
        Token ids to try it on, (B, T).

    Raises
    ------
    CannotRepairError
        If there is none.
    """
    call = in_float32_call(call_of(model, layer, ids))
    with torch.no_grad(), in_float32(layer):
        calls: list[tuple[str, nn.Module, Tensor]] = []
        handles = [
            module.register_forward_hook(_noting(path, calls))
            for path, module in layer.named_modules()
            if is_linear(module)
        ]
        try:
            whole = _output(layer, call)
        finally:
            for handle in handles:
                handle.remove()
        times = [path for path, _, _ in calls]
        for path, module, written in reversed(calls):
            if times.count(path) > 1 or written.numel() != whole.numel():
                continue
            with replaced(module, _nothing(written)):
                added = (whole - _output(layer, call)).flatten()
            factor = _factor(added, written.flatten(), _ROUNDING * float(whole.norm()))
            if factor is not None:
                return Writer(path, module, factor)
    raise CannotRepairError(
        "no linear map writes to the residual stream last: a norm, a gate or experts come after"
        " each, or the rest of the layer reads what it adds"
    )


def _factor(added: Tensor, written: Tensor, rounding: float) -> float | None:
    """Return c if ``added`` is c times ``written`` but for rounding, and c is not zero."""
    square = float(written @ written)
    if not square:
        return None
    factor = float(added @ written) / square
    left = float(torch.linalg.vector_norm(added - factor * written))
    size = float(torch.linalg.vector_norm(added))
    return factor if rounding < size and left <= _TOLERANCE * size + rounding else None


def _output(layer: nn.Module, call: tuple[tuple[Any, ...], dict[str, Any]]) -> Tensor:
    # Copies: some layers add to what they are given in place.
    args, kwargs = in_float32_call(call, 1.0)
    tensor = first_tensor(layer(*args, **kwargs))
    assert tensor is not None  # noqa: S101  # find_gates saw that it is there
    return tensor.clone()


def _noting(path: str, calls: list[tuple[str, nn.Module, Tensor]]) -> Any:
    return lambda module, _, output: calls.append((path, module, output.clone()))


def _nothing(like: Tensor) -> Any:
    return lambda *_, **__: torch.zeros_like(like)
