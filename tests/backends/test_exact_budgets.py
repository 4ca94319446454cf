"""Both exact engines under a budget: the list of brute force to the last bit, whoever does the
work, and what a stopped run may claim.
"""

from __future__ import annotations

import dataclasses
import itertools
import json
from fractions import Fraction
from importlib.util import find_spec
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qubo_prune import BackendError, InputError, Problem, Status, solve, verify
from qubo_prune.backends.branch_and_bound import prove
from qubo_prune.backends.branch_and_bound.arrays import make_tables, without_products
from qubo_prune.backends.branch_and_bound.kernels.bounds import FREE
from qubo_prune.backends.branch_and_bound.kernels.budget import decide_by_weight
from qubo_prune.backends.branch_and_bound.kernels.tables import Tables
from qubo_prune.backends.common.checkpoint_file import digest
from qubo_prune.core.spectrum.spectrum import Spectrum
from qubo_prune.search.arrays import binding_budget
from qubo_prune.search.budget_price import price_of, with_price
from qubo_prune.solving.proof.certificate import Certificate
from qubo_prune.testing import brute_force
from qubo_prune.testing.harness import ranked
from tests.strategies import all_states, problems_with_budgets

needs_dask = pytest.mark.skipif(find_spec("distributed") is None, reason="dask is not installed")

# What dask leaves behind when its threads end is none of our business.
pytestmark = pytest.mark.filterwarnings(
    "ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning"
)

EXACT = ("branch-and-bound", "enumeration")
EXECUTORS: tuple[tuple[str, dict[str, Any]], ...] = (
    ("branch-and-bound", {"threads": 2}),
    ("branch-and-bound", {"checkpoint": "run.checkpoint"}),
    ("enumeration", {"threads": 2, "task_states": 1000}),
    ("enumeration", {"checkpoint": "run.checkpoint", "task_states": 1000}),
    ("enumeration", {"executor": "cuda", "devices": "host"}),
)


def reaching(problem: Problem) -> list[tuple[float, tuple[int, ...]]]:
    """Brute force, and whole numbers added up by Python."""
    assert problem.budget is not None
    weights = problem.budget.weights.tolist()
    return [
        entry
        for entry in brute_force(problem)
        if sum(weights[block] for block in entry[1]) >= problem.budget.at_least
    ]


def assert_proven(spectrum: Spectrum, problem: Problem, num_states: int) -> None:
    expected = reaching(problem)
    more = num_states < len(expected)
    assert ranked(spectrum) == expected[:num_states]
    assert spectrum.status is Status.PROVEN
    assert spectrum.num_proven == len(spectrum)
    assert spectrum.lower_bound == (expected[num_states][0] if more else np.inf)
    cut = more and expected[num_states][0] == expected[num_states - 1][0]
    assert spectrum.ties_truncated == cut
    spectrum.check(problem)


def heavy_or_light(n: int, seed: int = 0, part: float = 0.5) -> Problem:
    """Half of n blocks are removed, and weigh so much of the way from what the best weigh to the
    most.
    """
    rng = np.random.default_rng(seed)
    factors = rng.normal(size=(2 * n, n)) * np.linspace(0.5, 2.0, n)
    weights = rng.integers(1, 100, n) * np.linspace(1.0, 3.0, n).round(2)
    hessian = factors.T @ factors / (2 * n)
    best = solve(Problem(hessian, n // 2), num_states=1).states[0]
    light, heavy = weights[best].sum(), np.sort(weights)[-(n // 2) :].sum()
    at_least = float(light + part * (heavy - light)).__round__(2)
    return Problem(hessian, n // 2, weights=weights.tolist(), at_least=at_least)


MIDDLE = heavy_or_light(16)


@settings(max_examples=100)
@given(
    problem=problems_with_budgets(),
    num_states=st.integers(1, 60),
    threads=st.integers(1, 2),
    backend=st.sampled_from(EXACT),
)
def test_equals_brute_force_to_the_last_bit(
    problem: Problem, num_states: int, threads: int, backend: str
) -> None:
    spectrum = solve(problem, num_states=num_states, backend=backend, options={"threads": threads})
    assert_proven(spectrum, problem, num_states)


@settings(max_examples=60)
@given(problem=problems_with_budgets(), num_states=st.integers(1, 60))
def test_so_it_does_where_products_are_left_out(problem: Problem, num_states: int) -> None:
    def tables(*arguments: Any) -> Tables:
        return without_products(make_tables(*arguments), problem, lambda: False)

    with patch.object(prove, "make_tables", tables):
        spectrum = solve(problem, num_states=num_states, options={"threads": 1})
    assert_proven(spectrum, problem, num_states)


@pytest.mark.parametrize("backend", EXACT)
def test_one_state_reaches_it(backend: str) -> None:
    problem = Problem(np.eye(6), 3, weights=[1, 2, 4, 8, 16, 32], at_least=56)
    spectrum = solve(problem, num_states=100, backend=backend)
    assert [spectrum.removed(k) for k in range(len(spectrum))] == [[3, 4, 5]]
    assert_proven(spectrum, problem, 100)


@pytest.mark.parametrize(("backend", "options"), EXECUTORS)
@pytest.mark.parametrize("part", [0.2, 0.8, 1.0])
def test_whoever_does_the_work(
    backend: str, options: dict[str, Any], part: float, tmp_path: Path
) -> None:
    if "checkpoint" in options:
        options = {**options, "checkpoint": tmp_path / options["checkpoint"]}
    problem = heavy_or_light(12, part=part)
    spectrum = solve(problem, num_states=30, backend=backend, options=options)
    assert_proven(spectrum, problem, 30)


@needs_dask
@pytest.mark.parametrize("backend", EXACT)
def test_a_cluster_is_told_the_budget(backend: str) -> None:
    spectrum = solve(
        MIDDLE, num_states=30, backend=backend, options={"executor": "dask", "threads": 1}
    )
    assert_proven(spectrum, MIDDLE, 30)


@pytest.mark.parametrize("backend", EXACT)
@pytest.mark.parametrize("part", [0.3, 0.95])
def test_a_stopped_run_claims_what_is_true_and_goes_on(
    backend: str, part: float, tmp_path: Path
) -> None:
    problem = heavy_or_light(16, seed=3, part=part)
    expected = reaching(problem)
    options: dict[str, Any] = {"checkpoint": tmp_path / "run.checkpoint", "threads": 1}
    if backend == "enumeration":
        options["task_states"] = 500
    first = solve(problem, num_states=40, backend=backend, max_evaluations=200, options=options)
    assert ranked(first)[: first.num_proven] == expected[: first.num_proven]
    listed = {removed for _, removed in ranked(first)}
    assert all(energy >= first.lower_bound for energy, removed in expected if removed not in listed)
    first.check(problem)
    last = solve(problem, num_states=40, backend=backend, options=options)
    assert_proven(last, problem, 40)


@pytest.mark.parametrize("backend", EXACT)
def test_a_checkpoint_of_another_budget_is_refused(backend: str, tmp_path: Path) -> None:
    options = {"checkpoint": tmp_path / "run.checkpoint"}
    problem = Problem(np.eye(6), 3, weights=[1, 2, 3, 4, 5, 6], at_least=9)
    solve(problem, num_states=3, backend=backend, options=options)
    for budget in ({}, {"weights": problem.weights, "at_least": 10}):
        other = Problem(np.eye(6), 3, **budget)  # type: ignore[arg-type]
        with pytest.raises(InputError, match="checkpoint of another run"):
            solve(other, num_states=3, backend=backend, options=options)


@pytest.mark.parametrize("backend", EXACT)
def test_a_checkpoint_that_hides_states_is_refuted(backend: str, tmp_path: Path) -> None:
    path = tmp_path / "run.checkpoint"
    problem = heavy_or_light(12, part=0.9)
    options = {"checkpoint": path, "threads": 1}
    whole = solve(problem, num_states=1000, backend=backend, options=options)
    assert whole.lower_bound == np.inf
    document = json.loads(path.read_text())
    document["removed"] = document["removed"][1:]
    body = {k: v for k, v in document.items() if k not in ("format_version", "sha256")}
    document["sha256"] = digest(body)
    path.write_text(json.dumps(document))
    with pytest.raises(BackendError, match="rests on the checkpoint"):
        solve(problem, num_states=1000, backend=backend, options=options)


@given(problems_with_budgets(), st.sampled_from([0.0, 0.3, 1.0, 7.0]))
def test_a_price_never_raises_a_state_that_reaches_the_budget(
    problem: Problem, factor: float
) -> None:
    reduced = problem.reduced()
    price = factor * price_of(reduced)
    priced = with_price(reduced, price)
    for state in all_states(problem)[:200]:
        y = state[reduced.variables]
        assert exact_energy(priced, y) <= exact_energy(reduced, y)


def exact_energy(reduced: Any, y: Any) -> Fraction:
    """Offset and entries as they are, added up in rational numbers."""
    ones = np.flatnonzero(y).tolist()
    entries = (Fraction(float(reduced.matrix[i, j])) for i in ones for j in ones)
    return Fraction(reduced.offset) + sum(entries)


@given(problems_with_budgets(), st.randoms(use_true_random=False))
def test_weights_decide_nothing_that_a_state_has_otherwise(problem: Problem, random: Any) -> None:
    reduced = problem.reduced()
    budget = binding_budget(reduced)
    if budget is None:
        return
    n = len(reduced.variables)
    fixed = np.array([random.choice([0, 1, FREE, FREE, FREE]) for _ in range(n)], np.int8)
    ones = np.bincount(reduced.group_of[fixed == 1], minlength=reduced.num_groups)
    free = np.bincount(reduced.group_of[fixed == FREE], minlength=reduced.num_groups)
    remaining = reduced.counts - ones
    if (remaining < 0).any() or (remaining > free).any():
        return
    states = all_states(problem)[:, reduced.variables]  # those that reach the budget
    below = states[((fixed == FREE) | (states == (fixed == 1))).all(axis=1)]
    decided = fixed.copy()
    count = decide_by_weight(
        budget.weights,
        np.argsort(-budget.weights, kind="stable"),
        budget.at_least,
        decided,
        reduced.group_of,
        remaining.astype(np.int64),
        np.zeros((3, reduced.num_groups), np.int64),
    )
    assert (count < 0) == (len(below) == 0)
    if count >= 0:
        same = (below == below[0]).all(axis=0)
        known = decided != FREE
        assert (below[:, known] == (decided[known] == 1)).all()
        assert count == np.count_nonzero(known & (fixed == FREE))
        # And all of it, but for groups that the counts have decided.
        settled = ((remaining == 0) | (remaining == free))[reduced.group_of]
        assert (known | settled | ~same).all()


def test_a_certificate_verifies_and_a_forged_list_does_not() -> None:
    problem = heavy_or_light(10, part=0.6)
    spectrum = solve(problem, num_states=1000)
    assert spectrum.lower_bound == np.inf
    assert 3 < len(spectrum) < problem.num_states
    certificate = Certificate.of(problem, spectrum)
    assert verify(certificate, problem).complete
    few = solve(problem, num_states=3)
    assert verify(Certificate.of(problem, few), problem).complete
    hidden = dataclasses.replace(
        spectrum,
        states=spectrum.states[1:],
        energies=spectrum.energies[1:],
        num_proven=len(spectrum) - 1,
    )
    refused = verify(Certificate.of(problem, hidden), problem)
    assert [check.name for check in refused.failed] == ["sampling"]


def test_a_list_with_a_state_that_misses_the_budget_is_refused() -> None:
    problem = heavy_or_light(10, part=0.6)
    bare = Problem(problem.hessian, problem.remove)
    missing = solve(bare, num_states=1).states
    assert not problem.is_feasible(missing)[0]
    spectrum = solve(problem, num_states=3)
    certificate = Certificate.of(problem, spectrum)
    wrong = dataclasses.replace(
        spectrum,
        states=np.concatenate([missing, spectrum.states[:2]]),
        energies=np.concatenate([bare.energies(missing), spectrum.energies[:2]]),
    )
    forged = dataclasses.replace(certificate, spectrum=wrong, last_energy=float(wrong.energies[-1]))
    failed = verify(forged, problem).failed
    assert "feasibility" in [check.name for check in failed]


def test_the_price_tells_states_apart_that_the_counts_do_not() -> None:
    """Without a price the bound of a tight budget is that of the counts alone."""
    problem = heavy_or_light(16, part=0.9)
    spectrum = solve(problem, num_states=1, options={"threads": 1})
    proof = spectrum.proof
    assert float(proof["price"]) > 0.0
    bare = solve(Problem(problem.hessian, problem.remove), num_states=1)
    assert bare.energies[0] < float(proof["root_bound"]) <= spectrum.energies[0]


def test_weights_of_a_common_divisor_ask_for_multiples() -> None:
    for at_least, pairs in itertools.product((13, 14, 15), (3,)):
        problem = Problem(np.eye(6), pairs, weights=[1, 1, 1, 9, 9, 9], at_least=at_least)
        budget = binding_budget(problem.reduced())
        assert budget is not None
        assert (budget.weights.tolist(), budget.at_least) == ([0, 0, 0, 1, 1, 1], 2)
