"""A budget without a count: all removals that reach it, against every subset."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qubo_prune import (
    Certificate,
    InputError,
    Problem,
    RawResult,
    Spectrum,
    SpectrumError,
    Status,
    Stop,
    StopReason,
    solve,
    sweep,
)
from qubo_prune.solving import any_count
from tests.exhaustive import Exhaustive, lowest_of_all_counts
from tests.strategies import FAMILIES, random_hessian

WEIGHTS = [3, 1, 4, 1, 5, 9, 2]


def problem_of(family: str, seed: int, **arguments: object) -> Problem:
    matrix = random_hessian(family, len(WEIGHTS), np.random.default_rng(seed))
    arguments = {"weights": WEIGHTS, "at_least": 9, **arguments}
    return Problem(matrix, **arguments)  # type: ignore[arg-type]


@settings(max_examples=15)
@given(
    st.sampled_from(FAMILIES),
    st.integers(0, 999),
    st.integers(0, 25),
    st.integers(1, 150),
    st.sampled_from([{}, {"keep": [5]}, {"force": [1, 3]}, {"keep": [0], "force": [5]}]),
)
def test_the_lowest_of_all_counts_are_those_of_all_subsets(
    family: str, seed: int, budget: int, num_states: int, fixed: dict[str, list[int]]
) -> None:
    most = sum(WEIGHTS) - sum(WEIGHTS[block] for block in fixed.get("keep", ()))
    problem = problem_of(family, seed, at_least=min(budget, most), **fixed)
    truth = lowest_of_all_counts(problem, min(budget, most), WEIGHTS)
    spectrum = solve(problem, num_states=num_states, backend=Exhaustive())
    spectrum.check(problem)
    assert spectrum.energies.tolist() == [energy for energy, _ in truth[:num_states]]
    assert [tuple(state.removed) for state in spectrum] == [
        removed for _, removed in truth[:num_states]
    ]
    assert spectrum.status is Status.PROVEN
    assert spectrum.num_proven == len(spectrum)
    if num_states < len(truth):
        assert spectrum.lower_bound <= truth[num_states][0]
    tied = num_states < len(truth) and truth[num_states][0] == truth[num_states - 1][0]
    assert spectrum.ties_truncated == tied
    assert {len(removed) for _, removed in truth} <= set(problem.counts)


@pytest.mark.parametrize("family", FAMILIES)
def test_counts_left_out_by_a_bound_hold_none_of_the_lowest(
    family: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(any_count, "_WORTH_A_BOUND", 0)
    problem = problem_of(family, 5)
    truth = lowest_of_all_counts(problem, 9, WEIGHTS)
    spectrum = solve(problem, num_states=4, backend=Exhaustive())
    assert [state.removed for state in spectrum] == [removed for _, removed in truth[:4]]
    assert spectrum.num_proven == 4
    assert spectrum.lower_bound <= truth[4][0]


def test_counts_that_a_bound_rules_out_are_not_solved(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(any_count, "_WORTH_A_BOUND", 0)
    problem = Problem(np.full((12, 12), 1.0) + np.eye(12), weights=[1] * 12, at_least="25%")
    spectrum = solve(problem, num_states=3, backend=Exhaustive())
    assert spectrum.proof["counts_solved"] == "3"
    assert spectrum.proof["counts_excluded"] == "4-12"
    assert (spectrum.num_proven, spectrum.lower_bound) == (3, 12.0)
    assert "any number of 12 blocks, at least 25% of their weight" in spectrum.summary()


def test_any_count_of_one_kind_only() -> None:
    problem = problem_of("wishart", 3, at_least=3, kinds=["a", "b"] * 3 + ["a"], only="b")
    truth = lowest_of_all_counts(problem, 3, WEIGHTS)
    spectrum = solve(problem, num_states=4, backend=Exhaustive())
    assert [state.removed for state in spectrum] == [removed for _, removed in truth[:4]]


def test_a_file_keeps_the_budget_and_what_states_weigh(tmp_path: Path) -> None:
    problem = problem_of("wishart", 1, weights=[0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7], at_least="40%")
    spectrum = solve(problem, num_states=5, backend=Exhaustive())
    for name in ("a.json", "a.npz"):
        spectrum.save(tmp_path / name)
        loaded = Spectrum.load(tmp_path / name)
        assert loaded == spectrum
        loaded.check(problem)
    written = json.loads((tmp_path / "a.json").read_text())
    assert (written["remove"], written["at_least"]) == (None, "40%")
    exact = [sum(round(10 * problem.weights[b]) for b in each) / 10 for each in written["removed"]]
    assert written["weight_removed"] == exact
    assert written["weight_share"] == [pytest.approx(weight / 2.8) for weight in exact]
    counts = {str(cell) for cell in spectrum.to_table().columns[-1].cells}
    assert counts == {str(len(each)) for each in written["removed"]}
    with pytest.raises(SpectrumError, match="budget of the spectrum and of the problem differ"):
        spectrum.check(problem_of("wishart", 1, weights=problem.weights, at_least="30%"))
    written["at_least"] = 2.5
    (tmp_path / "a.json").write_text(json.dumps(written))
    with pytest.raises(InputError, match=r"state 0 removes 1\.\d, not 2\.5"):
        Spectrum.load(tmp_path / "a.json")


def test_a_file_without_a_budget_is_as_it_was() -> None:
    spectrum = solve(Problem(np.eye(4), 2), num_states=2)
    assert not {"at_least", "weights", "weight_removed", "weight_share"} & set(spectrum.to_dict())


def test_parameters_are_the_weights_where_no_others_are_given() -> None:
    problem = Problem(np.eye(4), parameter_counts=[10, 20, 30, 40], at_least="60%")
    spectrum = solve(problem, num_states=9, backend=Exhaustive())
    assert spectrum.weights == (10, 20, 30, 40)
    assert spectrum.weight_removed() == spectrum.parameters_removed()
    assert "at least 60% of their parameters" in spectrum.summary()
    assert "weight" not in [column.header for column in spectrum.to_table().columns]


def test_a_sweep_leaves_out_counts_that_cannot_reach_the_budget() -> None:
    problem = problem_of("wishart", 2, at_least=16)
    spectra = sweep(problem, backend=Exhaustive(), num_states=3)
    assert list(spectra) == [3, 4, 5, 6]
    for count, spectrum in spectra.items():
        truth = [
            each for each in lowest_of_all_counts(problem, 16, WEIGHTS) if len(each[1]) == count
        ]
        assert [state.removed for state in spectrum] == [removed for _, removed in truth[:3]]


def test_what_stops_one_count_stops_them_all() -> None:
    problem = problem_of("wishart", 4)
    stop = Stop()
    stop.cancel()
    spectrum = solve(problem, backend=Exhaustive(), stop=stop)
    assert spectrum.stop_reason is StopReason.INTERRUPTED
    assert (len(spectrum), spectrum.num_proven, spectrum.lower_bound) == (0, 0, -math.inf)
    limited = solve(problem, backend=Exhaustive(), max_evaluations=2)
    assert limited.stop_reason is StopReason.EVALUATION_LIMIT
    assert limited.num_proven == 0


@pytest.mark.parametrize(
    ("act", "message"),
    [
        (lambda problem: problem.reduced(), "no count, and what is asked for needs one"),
        (
            lambda problem: Certificate.of(problem, solve(problem, backend=Exhaustive())),
            "certify the counts one by one",
        ),
        (lambda _: Problem(np.eye(3)), "not None, where there is no budget"),
        (
            lambda _: Problem(np.eye(3), weights=[1, 1, 1], at_least=3, keep=[0]),
            "heaviest 2 blocks",
        ),
        (lambda problem: problem.with_remove(1), "heaviest 1 block that may be removed"),
    ],
)
def test_what_needs_a_count_says_so(act: object, message: str) -> None:
    with pytest.raises(InputError, match=message):
        act(problem_of("wishart", 1, at_least=10))  # type: ignore[operator]


def test_what_the_look_found_is_kept_where_time_was_short() -> None:
    class Late(Exhaustive):
        """Comes to nothing, as the time is up."""

        def run(self, problem: Problem, num_states: int, stop: Stop, *more: object) -> RawResult:
            stop.cancel(StopReason.TIME_LIMIT)
            return RawResult(np.zeros((0, problem.num_blocks), np.bool_))

    problem = problem_of("wishart", 3)
    spectrum = solve(problem, backend=Late(), num_states=5)
    assert spectrum.stop_reason is StopReason.TIME_LIMIT
    assert (len(spectrum), spectrum.num_proven, spectrum.lower_bound) == (5, 0, -math.inf)
    assert spectrum.removed(0) == list(lowest_of_all_counts(problem, 9, WEIGHTS)[0][1])
    spectrum.check(problem)
