"""The measures of a run against their definitions."""

from __future__ import annotations

import math
from itertools import combinations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from qubo_prune.bench.bits import from_bits, to_bits
from qubo_prune.bench.measures import (
    Truth,
    diversity,
    of_proof,
    of_sampling,
    of_states,
    of_trace,
)
from qubo_prune.bench.results import ReferenceKind, TracePoint
from qubo_prune.core.errors import InputError

EXACT = Truth(ReferenceKind.CERTIFIED, np.repeat(np.arange(50.0), 2), 100, 10**6)


def test_ties_are_a_set_and_bare_and_repaired_are_apart() -> None:
    found = np.concatenate([np.arange(10.0), [9.0] * 5])
    measures = of_states(EXACT, np.sort(found)) | of_states(EXACT, EXACT.energies, "_repaired")
    assert measures["recall_20"] == 15 / 20
    assert measures["recall_100"] == 15 / 100
    assert measures["recall_1000"] is None, "fewer were asked for"
    assert measures["recall_100_repaired"] == 1.0
    assert measures["ground_state"] == 1.0
    assert "energy_error" not in measures
    assert measures["energy_error_repaired"] == 0.0


def test_few_states_in_all_are_all_that_is_wanted() -> None:
    few = Truth(ReferenceKind.CERTIFIED, np.arange(15.0), 15, 15)
    assert of_states(few, np.arange(15.0))["recall_1000"] == 1.0
    assert of_states(few, np.arange(6.0))["recall_20"] == 6 / 15


def test_without_a_reference_nothing_is_known_and_a_value_is_no_list() -> None:
    nothing = Truth(ReferenceKind.NONE, np.zeros(0), 100, 10**6)
    assert set(of_states(nothing, np.arange(3.0)).values()) == {None}
    assert of_trace(nothing, [TracePoint(1.0, best=1.0)], 2.0) == {}
    published = Truth(ReferenceKind.PUBLISHED, np.array([1.234567891]), 100, 10**6)
    measures = of_states(published, np.array([1.2345678912]))
    assert (measures["ground_state"], measures["recall_20"]) == (1.0, None)
    assert of_states(published, np.array([1.2346]))["ground_state"] == 0.0


def test_the_times_are_those_of_the_first_points_that_are_there() -> None:
    trace = [
        TracePoint(1.0, best=5.0, recall_100=0.1),
        TracePoint(2.0, best=0.0, recall_100=0.9),
        TracePoint(4.0, best=0.0, recall_100=1.0),
    ]
    measures = of_trace(EXACT, trace, 10.0)
    assert measures["seconds_to_ground_state"] == 2.0
    assert measures["seconds_to_recall_100"] == 4.0
    assert measures["primal_integral"] == pytest.approx((1.0 + 1.0) / 10)  # opposite of 0: gap 1
    never = of_trace(EXACT, trace[:1], None)
    assert (never["seconds_to_ground_state"], never["seconds_to_recall_100"]) == (None, None)


def test_a_proof_is_bounded_by_what_is_listed() -> None:
    assert of_proof(5, 9.0, 1.0, 2.0, 5) == {
        "num_proven": 5.0,
        "lower_bound": 1.0,
        "gap": 0.0,
        "seconds_to_proof": 2.0,
    }
    assert of_proof(0, -math.inf, 1.0, 2.0, 5) == {"num_proven": 0.0, "seconds_to_proof": None}
    assert of_proof(0, 3.0, 1.0, 2.0, 5)["gap"] == 0.0
    assert of_proof(0, 0.5, 1.0, 2.0, 5)["gap"] == 0.5


def test_shares_of_a_sampler_are_what_it_drew() -> None:
    drawn = {"feasible_fraction": 0.25, "distinct_fraction": 0.5, "bare_listed": 3}
    states = np.eye(4, dtype=bool)
    shares = of_sampling(drawn, states, 10, {})
    assert (shares["feasible_share"], shares["distinct_share"]) == (0.25, 0.5)
    assert (shares["unrepaired_share"], shares["diversity"]) == (0.3, 2.0)
    own = of_sampling({}, states, 4, {"feasible_share": 1.0, "distinct_share": 1.0})
    assert own["unrepaired_share"] == 1.0


@given(st.lists(st.lists(st.booleans(), min_size=5, max_size=5), min_size=2, max_size=8))
def test_diversity_is_the_mean_over_pairs(rows: list[list[bool]]) -> None:
    states = np.array(rows)
    pairs = [int((a != b).sum()) for a, b in combinations(states, 2)]
    assert diversity(states) == pytest.approx(np.mean(pairs))


@given(
    st.integers(1, 20).flatmap(
        lambda n: st.lists(st.lists(st.booleans(), min_size=n, max_size=n), min_size=1, max_size=5)
    )
)
def test_bits_come_back(rows: list[list[bool]]) -> None:
    states = np.array(rows)
    assert (from_bits(to_bits(states), states.shape[1]) == states).all()


@pytest.mark.parametrize("texts", [["9"], ["9000"], ["zz"], ["90", "1"]])
def test_bits_that_are_none_are_refused(texts: list[str]) -> None:
    with pytest.raises(InputError, match="2 hexadecimal digits"):
        from_bits(texts, 5)
