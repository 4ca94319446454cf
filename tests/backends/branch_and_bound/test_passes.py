"""The passes of a step against the same formulas in NumPy."""

from __future__ import annotations

import math

import numpy as np
import pytest

from qubo_prune.backends.branch_and_bound.kernels.passes import (
    extremes,
    least_change,
    position_of,
    shift,
)

SIZES = [1, 2, 7, 8, 9, 16, 40, 83]


@pytest.mark.parametrize("size", SIZES)
def test_a_shift_moves_fields_and_gradient_alike(size: int) -> None:
    rng = np.random.default_rng(size)
    fields, gradient, up, down = rng.normal(size=(4, size + 3))[:, 3:]
    expected = [each + 0.7 * (up - down) for each in (fields, gradient)]
    shift(fields, gradient, up, down, 0.7)
    assert (fields == expected[0]).all()
    assert (gradient == expected[1]).all()


@pytest.mark.parametrize("size", SIZES)
def test_extremes_and_their_places_leave_out_what_is_barred(size: int) -> None:
    rng = np.random.default_rng(size)
    gradient = rng.integers(-3, 4, size) / 2.0
    for _ in range(50):
        up, down, outside = np.where(rng.random((3, size)) < 0.4, np.inf, 0.0)
        lowest, highest = extremes(gradient, up, down, outside)
        raised, lowered = (np.flatnonzero(bar + outside == 0.0) for bar in (up, down))
        assert lowest == gradient[raised].min(initial=np.inf)
        assert highest == gradient[lowered].max(initial=-np.inf)
        if raised.size:
            first = raised[gradient[raised] == lowest][0]
            assert position_of(gradient, up, outside, lowest) == first
        if lowered.size:
            first = lowered[gradient[lowered] == highest][0]
            assert position_of(gradient, down, outside, highest) == first


@pytest.mark.parametrize("size", SIZES)
def test_the_least_change_sums_over_what_is_free(size: int) -> None:
    rng = np.random.default_rng(size)
    gradient = rng.normal(size=size)
    fixed = rng.random(size) < 0.3
    x = np.where(rng.random(size) < 0.5, rng.integers(0, 2, size), rng.random(size))
    up = np.where(fixed | (x == 1.0), np.inf, 0.0)
    down = np.where(fixed | (x == 0.0), np.inf, 0.0)
    terms = np.minimum(0.0, gradient - 0.2) - gradient * x
    found = least_change(gradient, x, up, down, 0.2)
    assert found == pytest.approx(math.fsum(terms[~fixed]), rel=0, abs=1e-14 * (1 + size))
