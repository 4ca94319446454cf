"""The weights of a layer in which all that it adds to the residual stream is linear."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call

from qubo_prune.hessians.gates.branches import first_tensor, hidden_states
from qubo_prune.hessians.gates.gates import Gates
from qubo_prune.hessians.gates.probes import random_tokens
from qubo_prune.hessians.language_model import in_float32
from qubo_prune.pruning.repair.streams import call_of, in_float32_call
from qubo_prune.pruning.repair.writers import CannotRepairError

__all__ = ["Scaling", "scalings"]

_ROUNDING = 1e-5
"""Largest difference, relative to the largest number, that is taken for rounding in float32."""

_NORMALISED = 0.02
"""What of a layer's output may depend on the size of its input, as that of what the constant in a
norm, which keeps it from dividing by zero, brings about.
"""

_HALF = 0.5
"""A factor without rounding."""


@dataclass(frozen=True)
class Scaling:
    """A parameter that multiplies an output, or adds to it.

    Attributes
    ----------
    path : str
        Its dotted path in its layer.
    parameter : nn.Parameter
        The parameter.
    is_offset : bool
        Whether it multiplies as one plus itself, as in the norms of Gemma.
    """

    path: str
    parameter: nn.Parameter
    is_offset: bool = False

    def scaled(self, factor: float) -> Tensor:
        """Return what the parameter becomes, in float64."""
        value = self.parameter.data.double()
        return (1 + value) * factor - 1 if self.is_offset else value * factor

    def scale(self, factor: float) -> None:
        """Multiply the output by a factor."""
        self.parameter.data.copy_(self.scaled(factor))


def scalings(gates: Gates, index: int) -> tuple[Scaling, ...]:
    """Return the parameters that scale everything that a layer adds to the stream.

    They are found by trying, branch by branch, and the result is held against what it is for: given
    half the stream, the layer with these halved must return half its output.

    Parameters
    ----------
    gates
        The branches of a model.
    index
        The layer.

    Raises
    ------
    CannotRepairError
        If there are none; the text says why.
    """
    layer = gates.layers[index]
    names = {module: name for name, module in layer.named_modules()}
    found: dict[str, Scaling] = {}
    ids = random_tokens(gates.model)
    for gate, ends in zip(gates.gates, gates.ends, strict=True):
        if gate.layer != index:
            continue
        if gate.place == "block":
            raise CannotRepairError(f"its branches cannot be told apart ({gates.fallbacks[index]})")
        for end in ends:
            call = call_of(gates.model, end, ids)
            parts = _scalings_of(end, call)
            if not parts:
                raise CannotRepairError(
                    f"the output of its {names[end]} cannot be scaled by weights alone"
                )
            for part in parts:
                path = ".".join(filter(None, (names[end], part.path)))
                found[path] = Scaling(path, part.parameter, part.is_offset)
    result = tuple(found.values())
    _check_normalised(layer, call_of(gates.model, layer, ids), result)
    return result


def _scalings_of(module: nn.Module, call: tuple[Any, Any]) -> list[Scaling]:
    """Return parameters that scale the output of a module, those that come last first; nothing if
    there are none.
    """
    parameters = dict(module.named_parameters())
    args, kwargs = in_float32_call(call)

    with in_float32(module), torch.no_grad():

        def output(changed: Mapping[str, Tensor]) -> Tensor:
            tensor = first_tensor(functional_call(module, dict(changed), args, kwargs))
            assert tensor is not None  # noqa: S101  # it is added to the stream
            return tensor.clone()

        whole = output({})
        allowed = _ROUNDING * float(whole.abs().max())
        if not allowed:
            return []
        chosen: list[Scaling] = []
        scaled = torch.zeros_like(whole)
        for name, parameter in reversed(parameters.items()):
            share = _share(output, name, parameter, whole, allowed)
            if share is None:
                continue
            trial = [*chosen, Scaling(name, parameter)]
            together = (whole - output(_halved(trial))) / _HALF
            # A matrix before the last one is linear too, but its share is scaled already.
            if float((together - scaled - share).abs().max()) > allowed:
                continue
            chosen, scaled = trial, together
            if float((whole - scaled).abs().max()) <= allowed:
                return chosen
        return _offset(module, output, whole, allowed)


def _share(
    output: Callable[[Mapping[str, Tensor]], Tensor],
    name: str,
    parameter: nn.Parameter,
    whole: Tensor,
    allowed: float,
) -> Tensor | None:
    """Return what an output loses with a parameter, if it is linear in it."""
    half = whole - output({name: parameter.data * _HALF})
    fourth = whole - output({name: parameter.data * _HALF**2})
    share = half / _HALF
    is_linear = float((share - fourth / (1 - _HALF**2)).abs().max()) <= allowed
    return share if is_linear and float(share.abs().max()) > allowed else None


def _offset(
    module: nn.Module,
    output: Callable[[Mapping[str, Tensor]], Tensor],
    whole: Tensor,
    allowed: float,
) -> list[Scaling]:
    """Return the weight of a norm that multiplies as one plus itself, if the module is one."""
    parameters = list(module.named_parameters())
    if len(parameters) != 1 or parameters[0][1].ndim != 1:
        return []
    scaling = Scaling(*parameters[0], is_offset=True)
    difference = output(_halved([scaling])) - whole * _HALF
    return [scaling] if float(difference.abs().max()) <= allowed else []


def _halved(scalings: list[Scaling]) -> dict[str, Tensor]:
    return {each.path: each.scaled(_HALF).to(each.parameter.dtype, copy=True) for each in scalings}


def _check_normalised(
    layer: nn.Module, call: tuple[Any, Any], scalings: tuple[Scaling, ...]
) -> None:
    """Refuse a layer that reads the size of the stream."""
    with in_float32(layer), torch.no_grad():
        given = hidden_states(*in_float32_call(call))
        args, kwargs = in_float32_call(call, 1.0)
        whole = first_tensor(layer(*args, **kwargs))
        args, kwargs = in_float32_call(call, _HALF)
        half = first_tensor(functional_call(layer, _halved(list(scalings)), args, kwargs))
    assert given is not None and whole is not None and half is not None  # noqa: S101, PT018
    error = float((half / _HALF - whole).norm())
    if not error <= _NORMALISED * float((whole - given).norm()):
        raise CannotRepairError(
            "what it adds depends on the size of the stream, because it reads it without a norm"
        )
