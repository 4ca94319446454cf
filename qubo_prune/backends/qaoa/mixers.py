"""XY mixers: which pairs of variables of a group are swapped, in layers that a device runs in
parallel.

The mixer is the product of exp(i beta (XX + YY) / 2) over all pairs in this order: what a circuit
does. It is neither the exponential of the sum nor symmetric under a permutation of the blocks, but
it keeps the number of removed blocks (Hadfield et al. 2019).
"""

from __future__ import annotations

from qubo_prune.core.errors import InputError
from qubo_prune.core.text import format_value

MIXERS = ("ring", "complete")


def check_mixer(mixer: object) -> str:
    """Return the name of a mixer, checked."""
    if isinstance(mixer, str) and mixer in MIXERS:
        return mixer
    raise InputError(f"mixer must be one of {', '.join(MIXERS)}, not {format_value(mixer)}.")


def layers(mixer: str, size: int) -> list[list[tuple[int, int]]]:
    """Return the pairs i < j of a group of `size` >= 2 variables, in layers of disjoint pairs.

    ``ring`` couples neighbours, the last with the first; ``complete`` couples all pairs, as in a
    round-robin tournament.

    Examples
    --------
    >>> layers("ring", 5)
    [[(0, 1), (2, 3)], [(1, 2), (3, 4)], [(0, 4)]]
    >>> layers("complete", 4)
    [[(0, 3), (1, 2)], [(0, 1), (2, 3)], [(0, 2), (1, 3)]]
    """
    if size == 2:
        return [[(0, 1)]]
    if mixer == "ring":
        even = [(i, i + 1) for i in range(0, size - 1, 2)]
        odd = [(i, i + 1) for i in range(1, size - 1, 2)]
        closing = [(0, size - 1)]
        return [even, odd + closing] if size % 2 == 0 else [even, odd, closing]
    modulus = size - 1 + size % 2
    rounds: list[list[tuple[int, int]]] = []
    for number in range(modulus):
        # i meets number - i; who would meet itself meets the last one, if the number of players is
        # even.
        met = {i: (number - i) % modulus for i in range(modulus)}
        pairs = [(i, j) for i, j in met.items() if i < j]
        if size % 2 == 0:
            pairs += [(i, size - 1) for i, j in met.items() if i == j]
        rounds.append(sorted(pairs))
    return rounds


def ordered_pairs(mixer: str, size: int) -> list[tuple[int, int]]:
    """Return the pairs of all layers, one after the other."""
    return [pair for layer in layers(mixer, size) for pair in layer]
