"""Annealing and tempering: chains sample the Boltzmann distribution, and spectra are those that
branch and bound proves.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from itertools import product
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from qubo_prune import InputError, Problem, Status, Stop, StopReason, get_backend, solve
from qubo_prune.backends.swaps.annealing import METHODS, Annealing
from qubo_prune.backends.swaps.annealing_walks import temperature_range
from qubo_prune.bench import Instance
from qubo_prune.search.arrays import make_chains, make_landscape, make_pool
from qubo_prune.search.kernels.annealing import Chains, metropolis, start_chain, temper
from qubo_prune.search.kernels.landscape import Landscape, random_state
from qubo_prune.search.kernels.swap_pool import SwapPool
from qubo_prune.search.swap_search import SwapSearch
from qubo_prune.testing import CHECKS, brute_force

every_method = pytest.mark.parametrize("method", METHODS)


@pytest.mark.parametrize("check", CHECKS, ids=str)
@every_method
def test_conformance(method: str, check: Any) -> None:
    check(Annealing(method=method, walks=6, sweeps=50, replicas=4))


HALT = np.zeros(1, np.bool_)
TINY = Problem(
    Instance.load("wishart-7").hessian, {"a": 1, "b": 2}, kinds=["a", "a", "a", "b", "b", "b", "b"]
)
"""18 states."""
CHI_SQUARE = 40.8
"""Exceeded once in a thousand times with 17 degrees of freedom."""


def chains_of(
    problem: Problem, count: int, seed: int
) -> tuple[Landscape, SwapPool, Chains, NDArray[np.uint64]]:
    landscape = make_landscape(problem.reduced(), seed)
    chains = make_chains(count, problem.num_blocks)
    random = np.array([seed], np.uint64)
    for r in range(count):
        random_state(landscape, random, chains.y[r])
        start_chain(landscape, chains, r)
    return landscape, make_pool(1, problem.num_blocks), chains, random


def chi_square(counts: Counter[bytes], beta: float) -> float:
    """Compare counts of states with the weights of all states, enumerated."""
    spectrum = brute_force(TINY)
    weights = np.exp(-beta * np.array([energy for energy, _ in spectrum]))
    expected = weights / weights.sum() * counts.total()
    assert expected.min() > 20
    found = np.array([counts[TINY.state(removed).tobytes()] for _, removed in spectrum])
    assert found.sum() == counts.total()
    return float(((found - expected) ** 2 / expected).sum())


@pytest.mark.parametrize("beta", [0.0, 0.3, 1.0])
def test_a_chain_samples_the_boltzmann_distribution(beta: float) -> None:
    landscape, pool, chains, random = chains_of(TINY, 1, 1)
    evaluated = np.zeros(1, np.int64)
    counts: Counter[bytes] = Counter()
    for _ in range(10_000):
        metropolis(landscape, pool, pool.table, chains, 0, beta, 40, random, evaluated, HALT)
        counts[chains.y[0].tobytes()] += 1
    assert chi_square(counts, beta) < CHI_SQUARE
    assert evaluated[0] == 400_000


def test_exchanges_leave_every_temperature_its_distribution() -> None:
    betas = np.array([0.1, 0.4, 0.8, 1.2])
    landscape, pool, chains, random = chains_of(TINY, 4, 2)
    holders, evaluated = np.arange(4), np.zeros(1, np.int64)
    counts: list[Counter[bytes]] = [Counter() for _ in betas]
    seen = set()
    for _ in range(10_000):
        temper(
            landscape,
            pool,
            pool.table,
            chains,
            betas,
            holders,
            5,
            1 << 62,
            random,
            evaluated,
            HALT,
        )
        seen.add(tuple(holders.tolist()))
        for t, r in enumerate(holders):
            counts[t][chains.y[r].tobytes()] += 1
    assert len(seen) == 24, "every chain comes to every temperature"
    for t, beta in enumerate(betas):
        assert chi_square(counts[t], beta) < CHI_SQUARE


def test_a_step_obeys_detailed_balance() -> None:
    """From every state, single proposals lead on as often as computed, and what is computed is in
    balance with the way back.
    """
    beta, steps = 0.7, 4000
    spectrum = brute_force(TINY)
    energies = np.array([energy for energy, _ in spectrum])
    states = np.array([TINY.state(removed) for _, removed in spectrum])
    kinds = np.array(TINY.kinds)
    steps_to = np.zeros((18, 18))
    for (a, first), (b, second) in product(enumerate(states), repeat=2):
        different = np.flatnonzero(first != second)
        if len(different) != 2:  # in one group: the counts of both are kept
            continue
        group = kinds == kinds[different[0]]
        ones = first[group].sum()
        drawn = (1 / ones + 1 / (group.sum() - ones)) / 7
        steps_to[a, b] = drawn * min(1.0, np.exp(-beta * (energies[b] - energies[a])))
    np.fill_diagonal(steps_to, 1.0 - steps_to.sum(1))
    flow = np.exp(-beta * energies)[:, None] * steps_to
    np.testing.assert_allclose(flow, flow.T, rtol=1e-12)

    landscape, pool, chains, random = chains_of(TINY, 1, 5)
    evaluated = np.zeros(1, np.int64)
    found = np.zeros((18, 18))
    for a, state in enumerate(states):
        for _ in range(steps):
            chains.y[0] = state
            start_chain(landscape, chains, 0)
            metropolis(landscape, pool, pool.table, chains, 0, beta, 1, random, evaluated, HALT)
            found[a, np.flatnonzero((states == chains.y[0]).all(1))[0]] += 1
    assert not found[steps_to == 0].any()
    deviation = np.abs(found - steps * steps_to)
    assert (deviation <= 5 * np.sqrt(steps * steps_to) + 1).all()


@pytest.mark.parametrize(("first", "chance"), [([0, 1], 1.0), ([2, 3], np.exp(-0.7))])
def test_exchanges_happen_by_their_odds(first: list[int], chance: float) -> None:
    """Two chains in wells too deep to leave; `first` is where the hot one is."""
    matrix = np.zeros((4, 4))
    matrix[0, 1] = matrix[1, 0] = -10.0
    matrix[2, 3] = matrix[3, 2] = -9.5
    problem = Problem(matrix, 2)
    landscape, pool, chains, random = chains_of(problem, 2, 3)
    start = np.array([problem.state(first), ~problem.state(first)])
    chains.y[:] = start
    for r in range(2):
        start_chain(landscape, chains, r)
    exchanged, evaluated = 0, np.zeros(1, np.int64)
    for _ in range(4000):
        holders = np.arange(2)
        temper(
            landscape,
            pool,
            pool.table,
            chains,
            np.array([5.0, 5.7]),
            holders,
            1,
            1 << 62,
            random,
            evaluated,
            HALT,
        )
        assert sorted(holders.tolist()) == [0, 1]
        exchanged += int(holders[0] == 1)
    np.testing.assert_array_equal(chains.y, start)
    assert abs(exchanged - 4000 * chance) <= 5 * np.sqrt(4000 * chance * (1 - chance))


@pytest.mark.parametrize("problem", [TINY, Problem.load("bytelm-40-branch", {"mlp": 9})], ids=repr)
def test_chains_stay_consistent(problem: Problem) -> None:
    reduced = problem.reduced()
    landscape = make_landscape(reduced, 0)
    n = len(reduced.variables)
    chains, random = make_chains(3, n), np.array([4], np.uint64)
    for r in range(3):
        random_state(landscape, random, chains.y[r])
        start_chain(landscape, chains, r)
    scale = float(np.abs(problem.hessian).max())
    pool, holders = make_pool(5, n), np.arange(3)
    temper(
        landscape,
        pool,
        pool.table,
        chains,
        np.array([0.01, 1.0, 10.0]) / scale,
        holders,
        300,
        1 << 62,
        random,
        np.zeros(1, np.int64),
        HALT,
    )
    fresh = make_chains(3, n)
    for r in range(3):
        fresh.y[r] = chains.y[r]
        start_chain(landscape, fresh, r)
        np.testing.assert_array_equal(chains.places[r][chains.positions[r]], np.arange(n))
        for g, count in enumerate(reduced.counts):
            at = chains.places[r, landscape.group_start[g] : landscape.group_stop[g]]
            assert chains.y[r][at].tolist() == [True] * count + [False] * (len(at) - count)
    np.testing.assert_array_equal(chains.words, fresh.words)
    np.testing.assert_allclose(chains.fields, fresh.fields, rtol=0, atol=1e-10 * scale)
    np.testing.assert_allclose(chains.energies, fresh.energies, rtol=0, atol=1e-10 * scale)
    assert problem.is_feasible(reduced.expand(chains.y[:, np.argsort(_order(problem))])).all()


def _order(problem: Problem) -> NDArray[np.int64]:
    return np.argsort(problem.reduced().group_of, kind="stable")


def temperatures(problem: Problem, seed: int = 0) -> tuple[float, float]:
    return temperature_range(SwapSearch(problem, 10, 4, seed, Stop()))


def test_temperatures_scale_with_the_hessian() -> None:
    hessian = Instance.load("wishart-40").hessian
    hot, cold = temperatures(Problem(hessian, 12))
    assert 0 < cold < hot < np.abs(hessian).max()
    scaled = temperatures(Problem(2.0**-60 * hessian, 12))
    assert scaled == (2.0**-60 * hot, 2.0**-60 * cold)


@pytest.mark.parametrize("value", [0.0, 2.5])
def test_a_flat_landscape_has_temperatures(value: float) -> None:
    hot, cold = temperatures(Problem(np.full((8, 8), value), 3))
    assert 0 < cold <= hot


@every_method
@pytest.mark.parametrize(
    "given", [{"hot": 1e-30}, {"cold": 1e30}, {"hot": 5e-324}, {"hot": 2.0, "cold": 2.0}], ids=str
)
def test_any_positive_temperature_will_do(method: str, given: dict[str, float]) -> None:
    problem = Problem.load("bytelm-40-block", 8)
    spectrum = solve(problem, num_states=5, backend=Annealing(method=method, rounds=1, **given))
    spectrum.check(problem)


@every_method
@pytest.mark.parametrize(
    ("problem", "num_states"),
    [
        (Problem.load("bytelm-40-block", 8), 100),
        (Problem.load("bytelm-40-block", 20), 1000),
        (Problem.load("bytelm-40-branch", 8), 1000),
        (Problem.load("bytelm-40-branch", 40), 100),
        (Problem.load("bytelm-40-branch", {"attention": 4, "mlp": 4}, keep=[0]), 100),
        (Instance.load("wishart-60").problem(20), 100),
        (Instance.load("heterogeneous-80").problem(20), 100),
    ],
    ids=repr,
)
def test_every_state_is_found(method: str, problem: Problem, num_states: int) -> None:
    exact = solve(problem, num_states=num_states)
    assert exact.status is Status.PROVEN
    found = solve(problem, num_states=num_states, backend=Annealing(method=method))
    assert found.status is Status.HEURISTIC
    np.testing.assert_array_equal(found.states, exact.states)
    np.testing.assert_array_equal(found.energies.view(np.int64), exact.energies.view(np.int64))


@every_method
def test_chains_alone_find_the_ground_state(method: str) -> None:
    problem = Problem.load("bytelm-40-branch", 8)
    found = solve(problem, num_states=20, backend=Annealing(method=method, completion=False))
    np.testing.assert_array_equal(found.states[0], solve(problem, num_states=1).states[0])
    assert len(found) == 20


HARD = Instance.load("wishart-half-100").problem(40)


@every_method
@pytest.mark.parametrize("max_evaluations", [None, 200_000])
def test_threads_do_not_change_the_answer(method: str, max_evaluations: int | None) -> None:
    backend = Annealing(method=method, rounds=3)
    alone, *others = (
        solve(
            HARD,
            num_states=300,
            backend=replace(backend, threads=threads),
            seed=7,
            max_evaluations=max_evaluations,
        )
        for threads in (1, 2, 5)
    )
    for other in others:
        np.testing.assert_array_equal(other.states, alone.states)
        assert other.num_evaluated == alone.num_evaluated


@every_method
def test_evaluations_are_limited(method: str) -> None:
    backend = Annealing(method=method, completion=False)
    spectrum = solve(HARD, num_states=10, backend=backend, max_evaluations=1000)
    assert spectrum.stop_reason is StopReason.EVALUATION_LIMIT
    assert 1000 <= spectrum.num_evaluated <= 1000 + backend.walks


def test_ladders_start_from_a_warm_start() -> None:
    exact = solve(HARD, num_states=1, time_limit=1).states
    backend = Annealing(method="tempering", rounds=1, sweeps=1, cold=1e-9)
    found = solve(HARD, num_states=1, backend=backend, warm_start=exact)
    assert found.energies[0] <= HARD.energies(exact)[0]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"method": "melting"}, "method must be one of annealing, tempering, not 'melting'"),
        ({"method": 1}, "method must be one of"),
        ({"sweeps": 0}, "sweeps must be at least 1"),
        ({"replicas": 1}, "replicas must be at least 2"),
        ({"walks": 0}, "walks must be at least 1"),
        ({"hot": 0.0}, "hot must be above 0, not 0.0"),
        ({"cold": -1}, "cold must be above 0, not -1"),
        ({"hot": float("nan")}, "hot"),
        ({"hot": 1.0, "cold": 2.0}, "hot must be at least cold=2.0, not 1.0"),
        ({"completion": 1}, "completion must be true or false"),
    ],
)
def test_bad_options_are_input_errors(options: dict[str, Any], words: str) -> None:
    with pytest.raises(InputError, match=words):
        get_backend("annealing", **options)
