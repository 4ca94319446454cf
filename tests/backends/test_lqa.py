"""Local quantum annealing: the descent follows its cost, levels are bisected, the backend conforms
and says what was its own.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from qubo_prune import InputError, Problem, get_backend, solve
from qubo_prune.backends.lqa.annealer import Glass
from qubo_prune.backends.lqa.kernels.product_state import descend_angles
from qubo_prune.backends.lqa.levels import Levels
from qubo_prune.testing import CHECKS, brute_force
from tests.strategies import random_problem

SMALL = {"num_reads": 20, "steps": 50, "levels": 2}
NOT_HALTED = np.zeros(1, np.bool_)


@pytest.mark.parametrize("check", CHECKS, ids=str)
def test_conformance(check: Any) -> None:
    check(get_backend("lqa", **SMALL), 40)


def cost(glass: Glass, weights: np.ndarray, at: float, level: float, steepness: float) -> float:
    """Return the cost of a product state, `at` of the schedule, as the two papers write it."""
    angles = 0.5 * np.pi * np.tanh(weights)
    z = np.sin(angles)
    energy = glass.fields @ z + 0.5 * z @ glass.couplings @ z
    if level > -math.inf:
        energy += math.exp(-steepness * (energy - level)) / steepness
    return float(2.5 * at**3.8 * energy - (1 - at) * np.cos(angles).sum())


@pytest.mark.parametrize(("level", "steepness"), [(-math.inf, 0.0), (-1.0, 0.7)])
def test_a_step_is_the_gradient_of_the_cost(level: float, steepness: float) -> None:
    """The first of two steps is at the middle of the schedule, without momentum so far."""
    glass = Glass.of(random_problem(7, 3), np.array([0.5]))
    start = np.random.default_rng(1).uniform(-1, 1, 7)
    ended = start.copy()
    descend_angles(
        glass.fields, glass.couplings, ended, 1, 1e-3, 0.9, 2.5, level, steepness, NOT_HALTED
    )  # one step of one: all energy, no driver
    expected = np.zeros(7)
    for i in range(7):
        shift = 1e-6 * np.eye(7)[i]
        up, down = (cost(glass, start + s * shift, 1.0, level, steepness) for s in (1, -1))
        expected[i] = (up - down) / 2e-6
    assert ended - start == pytest.approx(-1e-3 * expected, rel=1e-5, abs=1e-10)


def test_two_steps_have_momentum_and_a_schedule() -> None:
    glass = Glass.of(random_problem(6, 2), np.array([0.3]))
    start = np.random.default_rng(2).uniform(-1, 1, 6)
    ended = start.copy()
    descend_angles(
        glass.fields, glass.couplings, ended, 2, 1e-2, 0.5, 2.5, -math.inf, 0.0, NOT_HALTED
    )
    weights, velocity = start.copy(), np.zeros(6)
    for at in (0.5, 1.0):
        gradient = np.zeros(6)
        for i in range(6):
            shift = 1e-6 * np.eye(6)[i]
            up, down = (cost(glass, weights + s * shift, at, -math.inf, 0.0) for s in (1, -1))
            gradient[i] = (up - down) / 2e-6
        velocity = 0.5 * velocity - 1e-2 * gradient
        weights = weights + velocity
    assert ended == pytest.approx(weights, rel=1e-6, abs=1e-9)


def test_what_lies_below_the_level_climbs() -> None:
    """From the ground state, a descent of the lifted cost ends higher."""
    glass = Glass.of(random_problem(10, 4), np.array([1.0]))
    rows = (np.arange(1 << 10)[:, None] >> np.arange(10)) & 1 == 1
    energies = glass.energies(rows)
    lowest = rows[energies.argmin()]
    ended = []
    for level in (-math.inf, float(np.quantile(energies, 0.5))):
        weights = np.where(lowest, 1.0, -1.0)
        descend_angles(
            glass.fields, glass.couplings, weights, 400, 0.1, 0.9, 3.0, level, 1.0, NOT_HALTED
        )
        ended.append(float(glass.energies(weights[None] > 0)[0]))
    assert ended[0] == energies.min() < ended[1]


@pytest.mark.parametrize("scale", [1.0, 1e-280, 1e280])
def test_the_model_has_the_energies_of_the_penalty_form(scale: float) -> None:
    problem = random_problem(6, 3)
    scaled = Problem(scale * problem.hessian, 3)
    glass = Glass.of(scaled, np.array([scale]))
    rows = (np.arange(64)[:, None] >> np.arange(6)) & 1 == 1
    feasible = glass.is_feasible(rows)
    assert (feasible == (rows.sum(axis=1) == 3)).all()
    energies, truth = glass.energies(rows[feasible]), problem.energies(rows[feasible])
    slope = np.ptp(energies) / np.ptp(truth)
    assert energies - energies[0] == pytest.approx(slope * (truth - truth[0]), abs=1e-9)


def test_levels_take_turns_and_are_bisected() -> None:
    levels = Levels(count=3, num_states=9)
    states = np.array([[bool(k >> b & 1) for b in range(4)] for k in range(9)])
    energies = np.arange(9.0)
    every = np.ones(9, np.bool_)
    assert levels.aim() == (-math.inf, 0.0)
    levels.learn(energies, states, every)
    heights: dict[int, list[float]] = {1: [], 2: []}
    for _ in range(20):
        for turn, lifted in ((1, 3), (2, 6)):
            level, steepness = levels.aim()
            assert steepness == pytest.approx(3.0 / (lifted - 1))
            heights[turn].append(level)
            # Runs end at the level, and half of them have to end above what is lifted.
            levels.learn(np.full(4, 0.5 * level), states[:4], np.zeros(4, np.bool_))
        assert levels.aim() == (-math.inf, 0.0)
        levels.learn(np.zeros(0), states[:0], every[:0])
    # Doubled until enough, then bisected down to twice the energy of the last state lifted.
    assert heights[1][:3] == [2.0, 4.0, 8.0]
    assert heights[1][-1] == pytest.approx(4.0, abs=1e-4)
    assert heights[2][-1] == pytest.approx(10.0, abs=1e-4)


def test_levels_start_again_where_lower_states_are_found() -> None:
    levels = Levels(count=2, num_states=2)
    states = np.eye(3, dtype=np.bool_)
    levels.learn(np.array([5.0, 7.0, 9.0]), states, np.array([True, False, True]))
    assert levels.aim() == (5.0 + 1e-3, 3.0 / 1e-3)  # one state is lifted, the infeasible is not
    levels.learn(np.array([1.0]), states[1:2], np.array([True]))
    levels.learn(np.array([1.0]), states[1:2], np.array([True]))
    level, _ = levels.aim()
    assert 1.0 < level < 1.1


def test_without_a_feasible_state_nothing_is_lifted() -> None:
    levels = Levels(count=2, num_states=5)
    for _ in range(4):
        assert levels.aim() == (-math.inf, 0.0)
        levels.learn(np.array([1.0]), np.array([[True]]), np.array([False]))


def test_it_finds_small_spectra_and_says_what_was_its_own() -> None:
    problem = random_problem(12, 5)
    options = {"num_reads": 80, "steps": 300}
    repaired = solve(problem, num_states=10, backend="lqa", options=options)
    bare = solve(problem, num_states=10, backend="lqa", options={**options, "repair": False})
    truth = brute_force(problem)[:10]
    assert [(state.energy, state.removed) for state in repaired] == truth
    facts = repaired.statistics
    assert facts["samples"] == 80
    assert facts["lifted_samples"] == 60
    assert bare.statistics["bare_states"] == len(bare) == facts["bare_states"]
    if len(bare):
        assert bare.energies[0] == facts["bare_lowest_energy"]


def test_the_answer_depends_on_the_seed_and_not_on_threads() -> None:
    problem = random_problem(14, 6)
    options = {**SMALL, "repair": False, "num_reads": 30}
    one, other, third = (
        solve(problem, backend="lqa", seed=seed, options={**options, "threads": threads})
        for seed, threads in ((3, 1), (3, 4), (4, 1))
    )
    assert (one.states == other.states).all()
    assert one.statistics == other.statistics
    assert one.statistics != third.statistics


def test_a_long_descent_heeds_the_clock() -> None:
    problem = random_problem(60, 20)
    backend = get_backend("lqa", steps=10**9, threads=2)
    spectrum = solve(problem, backend=backend, time_limit=1.0)
    assert spectrum.timings["total"] < 3.0
    assert len(spectrum) > 0


@pytest.mark.parametrize(
    ("option", "value", "message"),
    [
        ("levels", 0, "levels must be at least 1, not 0"),
        ("steps", 2.5, "steps must be an integer, not 2.5"),
        ("step_size", 0.0, "step_size must be above 0, not 0.0"),
        ("gamma", -1, "gamma must be above 0, not -1"),
        ("spread", math.nan, "spread must be a finite number, not nan"),
        ("momentum", 1.0, "momentum must be at least 0 and below 1, not 1.0"),
        ("threads", 0, "threads must be at least 1, not 0"),
        ("penalty", [1.0, 2.0], "penalties must be one number or 1"),
        ("sampler_options", {"beta": 1}, "'lqa' has no sampler_options"),
        ("sweeps", 3, "has no option 'sweeps'"),
    ],
)
def test_wrong_options(option: str, value: object, message: str) -> None:
    with pytest.raises(InputError, match=message):
        solve(random_problem(5, 2), backend="lqa", options={option: value})
