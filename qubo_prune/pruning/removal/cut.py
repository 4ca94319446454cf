"""What a removal takes: layers as a whole, and branches of layers that stay."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from qubo_prune.hessians.gates.branches import count_parameters
from qubo_prune.hessians.gates.gates import Gates
from qubo_prune.pruning.removal.config_rules import Layers

Kinds = dict[str, tuple[int, int]]
"""For each kind how many blocks go, and of how many."""


@dataclass(frozen=True)
class Cut:
    """Layers that go, and branches that go from layers that stay.

    Attributes
    ----------
    layers : Layers
        Which stay.
    branches : tuple of int
        Ascending indices, among the gates, of the branches that go while their layer stays.
    """

    layers: Layers
    branches: tuple[int, ...]

    @property
    def removed_layers(self) -> tuple[int, ...]:
        """Ascending indices of the layers that go."""
        return tuple(i for i in range(self.layers.number) if i not in self.layers.kept)


def find_cut(gates: Gates, removed: Sequence[int]) -> Cut:
    """Return what a removal takes; a layer all of whose branches go, goes."""
    left = Counter(gate.layer for gate in gates.gates)
    left.subtract(gates.gates[i].layer for i in removed)
    kept = tuple(layer for layer, count in sorted(left.items()) if count)
    branches = tuple(i for i in removed if gates.gates[i].layer in kept)
    return Cut(Layers(kept, len(gates.layers)), branches)


def removed_kinds(gates: Gates, removed: Sequence[int]) -> Kinds:
    """Return what goes of each kind."""
    total = Counter(gate.kind for gate in gates.gates)
    gone = Counter(gates.gates[i].kind for i in removed)
    return {kind: (gone[kind], count) for kind, count in total.items()}


def count_in_layers(gates: Gates, layers: Sequence[int]) -> int:
    """Return the number of parameters of some layers."""
    return count_parameters([gates.layers[i] for i in layers])
