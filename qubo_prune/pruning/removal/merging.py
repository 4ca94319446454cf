"""Layers merged instead of deleted: one takes the place of a run of removed ones and its own.

Sliding-window merging writes of the layers l to l + k that become one,
``theta = theta_l + sum over j of (theta_(l+j) - theta_l)``, over their linear weights; its official
program adds the differences one after the other, each to what came before it, which with its weight
factor of 1 leaves the linear weights of the highest layer. In both the norms are the lowest's.

Of a removal a window is each run of removed layers and the layer above it, which is what stays of a
window in `qubo_prune.pruning.searches.SlidingWindow`.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from typing import Literal

from torch import Tensor, nn

from qubo_prune.core.errors import InputError
from qubo_prune.hessians.gates.gates import Gates
from qubo_prune.pruning.removal.config_rules import Layers
from qubo_prune.pruning.removal.weights import replaced_weights

Merge = Literal["official", "sum"]

MERGES: tuple[Merge, ...] = ("official", "sum")


def windows(layers: Layers) -> list[tuple[int, range]]:
    """Return for each run of removed layers the layer that takes it in, and all that become one.

    That is the layer above the run; below it, if there is none above.

    >>> windows(Layers((0, 3, 4), 6))
    [(3, range(1, 4)), (4, range(4, 6))]
    >>> windows(Layers((1,), 3))
    [(1, range(0, 3))]
    """
    starts = (0, *(layer + 1 for layer in layers.kept[:-1]))
    ends = (*(layer + 1 for layer in layers.kept[:-1]), layers.number)
    found = zip(layers.kept, map(range, starts, ends), strict=True)
    return [(into, window) for into, window in found if len(window) > 1]


@contextlib.contextmanager
def merged(gates: Gates, layers: Layers, merge: Merge) -> Iterator[None]:
    """Have layers that stay hold what they and the removed ones beside them become, while the
    context lasts.

    Raises
    ------
    InputError
        If layers that would become one are built differently.
    """
    values: dict[nn.Parameter, Tensor] = {}
    for into, window in windows(layers):
        values |= _merged_layer(gates, into, window, merge)
    with replaced_weights(values):
        yield


def _merged_layer(
    gates: Gates, into: int, window: Sequence[int], merge: Merge
) -> dict[nn.Parameter, Tensor]:
    layers = [gates.layers[i] for i in window]
    for i, layer in zip(window, layers, strict=True):
        if _structure(layer) != _structure(layers[0]):
            raise InputError(
                f"layers.{window[0]} and layers.{i}, which is beside it, would be merged but are"
                " built differently; remove other layers, or do not merge."
            )
    weights = [dict(layer.named_parameters()) for layer in layers]
    linear = _linear_parameters(gates.layers[into])
    return {
        parameter: _merged_values([layer[name].data for layer in weights], merge).to(parameter)
        if name in linear
        else weights[0][name].data.to(parameter)
        for name, parameter in gates.layers[into].named_parameters()
    }


def _structure(layer: nn.Module) -> list[object]:
    modules = [(path, type(module)) for path, module in layer.named_modules()]
    return [*modules, *((name, each.shape) for name, each in layer.named_parameters())]


def _merged_values(values: Sequence[Tensor], merge: Merge) -> Tensor:
    if merge == "official":
        return values[-1].clone()
    first = values[0].double()
    total = first.clone()
    for each in values[1:]:
        total += each.to(first) - first
    return total


def _linear_parameters(layer: nn.Module) -> set[str]:
    """Return the names of the matrices of a layer, and of the biases beside them."""
    names = set()
    for path, module in layer.named_modules():
        own = dict(module.named_parameters(recurse=False))
        if any(each.ndim > 1 for each in own.values()):
            names |= {f"{path}.{name}" if path else name for name in own}
    return names
