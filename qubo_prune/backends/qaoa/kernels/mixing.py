"""QAOA among the feasible states: energies, phases, swaps of an XY mixer and derivatives, without a
table of any kind.

Amplitudes are kept as two rows, real and imaginary, in the order of combinadics: within a group,
the state that removes the variables ``c_1 < ... < c_r`` has the rank ``sum_k C(c_k, k)``, which
orders states as binary numbers with variable 0 as the lowest digit. States that agree above some
variable are then neighbours, and a swap of two variables exchanges contiguous runs. With several
groups, the rank within the last one runs fastest.
"""

from __future__ import annotations

from math import factorial
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from qubo_prune.core.kernels.borrow import borrowed
from qubo_prune.core.kernels.jit import kernel

_BATCH = 1024
# Runs within so many low variables are found once per swap, not per configuration of the others.
_LOW = 8
_MAX_RUNS = 1 << (_LOW - 2)
_PER_TURN = 1.0 / (2.0 * np.pi)
_QUARTER_TURN = 0.5 * np.pi
_SINE = tuple((-1.0) ** k / factorial(2 * k + 1) for k in range(8))
_COSINE = tuple((-1.0) ** k / factorial(2 * k) for k in range(9))


class Space(NamedTuple):
    """The feasible states and the mixer's pairs.

    Attributes
    ----------
    sizes, counts : (G,) int64
        Variables and ones of each group.
    strides : (G,) int64
        Distance of states whose ranks in a group differ by one.
    binomials : (n + 1, r + 1) int64
        C(n, k), for the largest group and count.
    pairs : (P, 3) int64
        Group and two ascending positions in it, in the order of the circuit.
    """

    sizes: NDArray[np.int64]
    counts: NDArray[np.int64]
    strides: NDArray[np.int64]
    binomials: NDArray[np.int64]
    pairs: NDArray[np.int64]


@kernel
def all_energies(space: Space, matrix: NDArray[np.float64], out: NDArray[np.float64]) -> None:
    """Write ``y'Qy`` of every state to `out` (D,); `matrix` (n, n) is ordered by group.

    Picks variables from the highest of the first group downwards, with the local fields of what is
    picked; the last pick is a row.
    """
    n = matrix.shape[0]
    depth = space.counts.sum()
    if depth == 0:
        out[0] = 0.0
        return
    group_of = np.empty(depth, np.int64)
    start = np.empty(depth, np.int64)  # first variable of the group
    left = np.empty(depth, np.int64)  # picks to come in the group, this one included
    level = 0
    first = 0
    for g in range(space.counts.shape[0]):
        for k in range(space.counts[g]):
            group_of[level] = g
            start[level] = first
            left[level] = space.counts[g] - k
            level += 1
        first += space.sizes[g]
    fields = np.empty((depth, n))
    energy = np.zeros(depth)
    offset = np.zeros(depth, np.int64)
    choice = np.zeros(depth, np.int64)  # variables below this one are still to be picked
    for i in range(n):
        fields[0, i] = matrix[i, i]
    choice[0] = space.sizes[0]
    level = 0
    while level >= 0:
        g = group_of[level]
        if level == depth - 1:
            for c in range(choice[level]):
                out[offset[level] + c] = energy[level] + fields[level, start[level] + c]
            level -= 1
            continue
        choice[level] -= 1
        c = choice[level]
        if c < left[level] - 1:
            level -= 1
            continue
        i = start[level] + c
        following = level + 1
        energy[following] = energy[level] + fields[level, i]
        offset[following] = offset[level] + space.binomials[c, left[level]] * space.strides[g]
        choice[following] = c if group_of[following] == g else space.sizes[g + 1]
        for k in range(start[level], n):
            fields[following, k] = fields[level, k] + 2.0 * matrix[i, k]
        level = following


@kernel
def add_phases(psi: NDArray[np.float64], energies: NDArray[np.float64], gamma: float) -> None:
    """Multiply every amplitude by exp(-i gamma E).

    Sine and cosine are Taylor series of a quarter of the angle, doubled twice: no branch, so that
    the loop is vectorised, and the same bits on every machine.
    """
    turns = gamma * _PER_TURN
    for s in range(energies.shape[0]):
        t = turns * energies[s]
        t = _QUARTER_TURN * (t - np.rint(t))
        z = t * t
        sine = _SINE[7]
        cosine = _COSINE[8] * z + _COSINE[7]
        for k in range(6, -1, -1):
            sine = sine * z + _SINE[k]
            cosine = cosine * z + _COSINE[k]
        sine *= t
        for _ in range(2):
            cosine, sine = cosine * cosine - sine * sine, 2.0 * cosine * sine
        real, imaginary = psi[0, s], psi[1, s]
        psi[0, s] = cosine * real + sine * imaginary
        psi[1, s] = cosine * imaginary - sine * real


@kernel
def expectation(psi: NDArray[np.float64], energies: NDArray[np.float64]) -> float:
    """Return <psi|E|psi>."""
    total = 0.0
    for s in range(energies.shape[0]):
        total += energies[s] * (psi[0, s] * psi[0, s] + psi[1, s] * psi[1, s])
    return total


@kernel
def phase_slope(
    psi: NDArray[np.float64], costate: NDArray[np.float64], energies: NDArray[np.float64]
) -> float:
    """Return 2 Re <costate| -iE |psi>, the derivative by gamma."""
    total = 0.0
    for s in range(energies.shape[0]):
        total += energies[s] * (costate[0, s] * psi[1, s] - costate[1, s] * psi[0, s])
    return 2.0 * total


@kernel
def walk(
    binomials: NDArray[np.int64],
    floor: int,
    j: int,
    stack: NDArray[np.int64],
    size: int,
    found: NDArray[np.int64],
) -> tuple[int, int]:
    """Write the next pairs of subtrees over `floor` variables that a swap with j connects; return
    their number and the new stack size.

    A node is (free variables, ones among them, rank of its first state, that of its partner's). The
    partner removes j, which the node keeps; it is -1 as long as j itself is free. Found are (ones,
    rank, rank of the partner).
    """
    count = 0
    while size > 0 and count < found.shape[0]:
        size -= 1
        b, w, at, partner = stack[size, 0], stack[size, 1], stack[size, 2], stack[size, 3]
        undecided = partner < 0
        if w < 1 or w > b - np.int64(undecided):
            continue
        if w == 1:  # the one to be swapped: nothing else is removed
            b = max(floor, j + 1) if undecided else floor
        if b == floor:
            found[count, 0], found[count, 1], found[count, 2] = w, at, partner
            count += 1
            continue
        ones = binomials[b - 1, w]  # rank of the first state that removes b - 1
        if undecided and b == j + 1:
            stack[size, 0], stack[size, 1], stack[size, 2], stack[size, 3] = j, w, at, at + ones
            size += 1
            continue
        stack[size, 0], stack[size, 1], stack[size, 2] = b - 1, w - 1, at + ones
        stack[size, 3] = -1 if undecided else partner + binomials[b - 1, w - 1]
        size += 1
        stack[size, 0], stack[size, 1], stack[size, 2], stack[size, 3] = b - 1, w, at, partner
        size += 1
    return count, size


@kernel
def low_runs(
    binomials: NDArray[np.int64],
    floor: int,
    i: int,
    j: int,
    stack: NDArray[np.int64],
    found: NDArray[np.int64],
    runs: NDArray[np.int64],
    lengths: NDArray[np.int64],
) -> None:
    """Write the runs that the swap of i < j exchanges in subtrees over `floor` variables, for every
    number of ones.

    A run (a, b, length) says that the ranks a, a + 1, ... with i removed become b, b + 1, ... with
    j removed.
    """
    for w in range(lengths.shape[0]):
        stack[0, 0], stack[0, 1], stack[0, 2], stack[0, 3] = floor, w, 0, -1 if j < floor else 0
        lengths[w], _ = walk(binomials, i + 1, j, stack, 1, found)
        for k in range(lengths[w]):
            ones = found[k, 0]
            runs[w, k, 0] = found[k, 1] + binomials[i, ones]
            runs[w, k, 1] = found[k, 2]
            runs[w, k, 2] = binomials[i, ones - 1]


@kernel
def rotate(psi: NDArray[np.float64], a: int, b: int, cosine: float, sine: float) -> None:
    """Turn the amplitudes of a and b into cos a + i sin b and cos b + i sin a."""
    real_a, imaginary_a, real_b, imaginary_b = psi[0, a], psi[1, a], psi[0, b], psi[1, b]
    psi[0, a] = cosine * real_a - sine * imaginary_b
    psi[1, a] = cosine * imaginary_a + sine * real_b
    psi[0, b] = cosine * real_b - sine * imaginary_a
    psi[1, b] = cosine * imaginary_b + sine * real_a


@kernel
def overlap(psi: NDArray[np.float64], costate: NDArray[np.float64], a: int, b: int) -> float:
    """Return Im <costate| swap |psi> on the states a and b."""
    return (
        costate[0, a] * psi[1, b]
        - costate[1, a] * psi[0, b]
        + costate[0, b] * psi[1, a]
        - costate[1, b] * psi[0, a]
    )


@kernel
def mix(
    shared_space: Space,
    psi: NDArray[np.float64],
    costate: NDArray[np.float64],
    beta: float,
    backward: bool,
) -> float:
    """Apply exp(i beta (XX + YY) / 2) to every pair, in order.

    Backward, undo that on `psi` and `costate`, from the last pair to the first, and return the
    derivative 2 Re <costate| d psi / d beta>.
    """
    space = borrowed(shared_space)
    binomials = space.binomials
    stack = np.empty((2 * binomials.shape[0], 4), np.int64)
    nodes = np.empty((_BATCH, 3), np.int64)
    found = np.empty((_MAX_RUNS, 3), np.int64)
    runs = np.empty((binomials.shape[1], _MAX_RUNS, 3), np.int64)
    lengths = np.empty(binomials.shape[1], np.int64)
    cosine, sine = np.cos(beta), np.sin(beta)
    if backward:
        sine = -sine
    total = 0.0
    num_pairs = space.pairs.shape[0]
    for number in range(num_pairs):
        p = num_pairs - 1 - number if backward else number
        g, i, j = space.pairs[p, 0], space.pairs[p, 1], space.pairs[p, 2]
        size, count, stride = space.sizes[g], space.counts[g], space.strides[g]
        period = stride * binomials[size, count]
        floor = max(min(_LOW, size), i + 1)
        low_runs(binomials, floor, i, j, stack, found, runs, lengths[: min(floor, count) + 1])
        stack[0, 0], stack[0, 1], stack[0, 2], stack[0, 3] = size, count, 0, -1
        open_nodes = 1
        while open_nodes > 0:
            num_nodes, open_nodes = walk(binomials, floor, j, stack, open_nodes, nodes)
            for base in range(0, psi.shape[1], period):
                for m in range(num_nodes):
                    w = nodes[m, 0]
                    at = base + stride * nodes[m, 1]
                    partner = at if nodes[m, 2] < 0 else base + stride * nodes[m, 2]
                    for k in range(lengths[w]):
                        a = at + stride * runs[w, k, 0]
                        b = partner + stride * runs[w, k, 1]
                        length = stride * runs[w, k, 2]
                        if backward:
                            for t in range(length):
                                total += overlap(psi, costate, a + t, b + t)
                            for t in range(length):
                                rotate(psi, a + t, b + t, cosine, sine)
                                rotate(costate, a + t, b + t, cosine, sine)
                        elif length == 1:
                            rotate(psi, a, b, cosine, sine)
                        else:
                            for t in range(length):
                                rotate(psi, a + t, b + t, cosine, sine)
    return -2.0 * total
