"""The innermost loops against the formulas in NumPy, to the last bit."""

from __future__ import annotations

import numpy as np
import pytest

from qubo_prune.backends.enumeration.kernels.rows import (
    extend,
    screen_block,
    screen_pairs,
    screen_row,
    screen_triples,
)
from qubo_prune.backends.enumeration.space.layout import make_layout
from qubo_prune.core.problem.problem import Problem

F32 = np.float32


def just_above(value: F32) -> F32:
    return np.nextafter(value, F32(np.inf))


@pytest.mark.parametrize("stop", [0, 1, 16, 17, 48])
def test_a_level_extends_the_one_before(stop: int) -> None:
    rng = np.random.default_rng(stop)
    levels = rng.normal(size=(4, 48)).astype(F32)
    table = rng.normal(size=(5, 48)).astype(F32)
    before, own = levels.copy(), F32(0.3)
    extend(levels, table, 1, 3, own, stop)
    wide = -(-stop // 16) * 16
    expected = before.copy()
    expected[2, :wide] = before[1, :wide] + (own + table[3, :wide])
    assert (levels == expected).all()


@pytest.mark.parametrize("size", [6, 11, 17, 34, 50])
def test_a_screen_sees_the_lowest_pair_and_triple_and_nothing_lower(size: int) -> None:
    rng = np.random.default_rng(size)
    root = rng.normal(size=(size, size))
    layout = make_layout(Problem(root + root.T, 3).reduced(), np.zeros(1, np.uint64))
    fields, pairs = np.stack([layout.diagonal] * 3), np.stack([layout.pair_start] * 3)
    for last in range(2, size + 1):
        field = rng.normal(size=size).astype(F32)
        fields[1, :size] = field
        couplings = layout.couplings[:last]
        lowest = min(
            (field[i] + couplings[i, :i]).astype(F32)[j] + field[j]
            for i in range(1, last)
            for j in range(i)
        )
        assert not screen_pairs(fields, layout.couplings, 1, last, lowest)
        assert screen_pairs(fields, layout.couplings, 1, last, just_above(lowest))
        least = field[:last].min()
        assert not screen_row(fields, 1, last, least)
        assert screen_row(fields, 1, last, just_above(least))
        if last < 3:
            continue
        count = last * (last - 1) // 2
        pairs[1, :count] = rng.normal(size=count).astype(F32)
        lowest = min(
            ((field[i] + layout.pair_couplings[i, :q]) + pairs[1, :q]).min()
            for i in range(2, last)
            for q in [i * (i - 1) // 2]
        )
        assert not screen_triples(fields, pairs, layout.pair_couplings, 1, last, lowest)
        assert screen_triples(fields, pairs, layout.pair_couplings, 1, last, just_above(lowest))


@pytest.mark.parametrize("width", [16, 48, 64, 80, 144])
@pytest.mark.parametrize("count", [1, 2, 3, 4, 7, 30])
def test_a_screen_sees_the_lowest_state_of_a_block(count: int, width: int) -> None:
    rng = np.random.default_rng(count * width)
    table = rng.normal(size=5 + count * width).astype(F32)
    rows, columns = (rng.normal(size=(3, 200)).astype(F32) for _ in range(2))
    block = table[5:].reshape(count, width)
    energies = (rows[1, 7 : 7 + count, None] + block) + columns[1, 32 : 32 + width]
    arguments = (table, 5, rows, 7, count, columns, 32, width, 1)
    lowest = energies.min()
    assert not screen_block(*arguments, lowest)
    assert screen_block(*arguments, just_above(lowest))
