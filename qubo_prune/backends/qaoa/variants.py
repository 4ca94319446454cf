"""The runs of the two variants of QAOA."""

from __future__ import annotations

from functools import cache
from importlib import import_module
from typing import Protocol

import numpy as np
from numpy.typing import ArrayLike

from qubo_prune.backends.base import RawResult
from qubo_prune.backends.common.phases import Phases
from qubo_prune.backends.qaoa.limits import FEWER_STATES
from qubo_prune.backends.qaoa.optimizer import optimize, optimize_angles
from qubo_prune.backends.qaoa.penalty import sample
from qubo_prune.backends.qaoa.simulator import Simulator
from qubo_prune.backends.qaoa.subspace import Subspace
from qubo_prune.core.errors import InputError
from qubo_prune.core.problem.problem import Problem
from qubo_prune.core.stopping import Stop
from qubo_prune.core.text import format_count
from qubo_prune.encodings.penalty import penalty_facts
from qubo_prune.encodings.weights import estimated_penalty
from qubo_prune.search.repair import Harvest, repair


class Options(Protocol):
    """The fields of `QAOA`, which documents them."""

    @property
    def variant(self) -> str: ...  # noqa: D102
    @property
    def p(self) -> int: ...  # noqa: D102
    @property
    def shots(self) -> int: ...  # noqa: D102
    @property
    def max_amplitudes(self) -> int: ...  # noqa: D102
    @property
    def mixer(self) -> str: ...  # noqa: D102
    @property
    def starts(self) -> int: ...  # noqa: D102
    @property
    def penalty(self) -> ArrayLike | None: ...  # noqa: D102
    @property
    def repair(self) -> bool: ...  # noqa: D102
    @property
    def iterations(self) -> int: ...  # noqa: D102


def run_xy(options: Options, problem: Problem, stop: Stop, seed: int) -> RawResult:
    """Optimise the angles among the feasible states, then measure."""
    try:
        return _run_xy(options, problem, stop, seed)
    except MemoryError as error:
        raise InputError(
            f"there is not enough memory for {format_count(problem.num_states)} amplitudes;"
            f" {FEWER_STATES}."
        ) from error


def _run_xy(options: Options, problem: Problem, stop: Stop, seed: int) -> RawResult:
    clock = Phases("preparation", "optimization", "sampling")
    starts, shots = np.random.default_rng(seed).spawn(2)
    simulator = Simulator(Subspace(problem, options.max_amplitudes), options.mixer)
    clock.begin("optimization")
    optimum = optimize(simulator, options.p, options.starts, starts, stop)
    clock.begin("sampling")
    simulation = simulator.simulate(optimum.x)
    ranks, _ = simulation.sample(options.shots, shots)
    p = simulation.angles.p
    return RawResult(
        states=simulation.states(ranks),
        num_evaluated=optimum.num_evaluations,
        native_status=(
            f"p = {p}, {optimum.num_evaluations} circuit evaluations; {options.shots} shots found"
            f" {len(ranks)} of {format_count(problem.num_states)} states"
        ),
        timings=clock.timings(),
        statistics={
            "variant": options.variant,
            "mixer": options.mixer,
            "p": p,
            "amplitudes": problem.num_states,
            "circuit_evaluations": optimum.num_evaluations,
            "expected_energy": simulation.expected_energy,
            "approximation_ratio": simulation.approximation_ratio,
            "ground_state_probability": simulation.ground_state_probability,
            "shots": options.shots,
            "distinct_states": len(ranks),
            **simulation.angles.as_facts(),
        },
    )


def run_penalty(
    options: Options, problem: Problem, num_states: int, stop: Stop, seed: int
) -> RawResult:
    """Optimise the angles on the penalty form, measure, and repair."""
    clock = Phases("penalty", "sampling", "repair")
    # A first circuit of many qubits may take longer than a short limit.
    stop.report(0, 0.0, "choosing penalties")
    penalties = options.penalty
    if penalties is None:
        penalties = estimated_penalty(problem, num_states, seed=seed, stop=stop)
    clock.begin("sampling")
    random = np.random.default_rng(seed)
    samples = sample(problem, penalties, options.p, options.shots, options.iterations, random, stop)
    clock.begin("repair")
    harvest = Harvest(problem, num_states + 1, repaired=options.repair)
    harvest.add(samples.states, stop)
    return RawResult(
        states=harvest.states(),
        num_evaluated=samples.num_evaluations,
        native_status=(
            f"p = {options.p}, {samples.num_evaluations} circuit evaluations;"
            f" {harvest.num_feasible} of {options.shots} shots feasible"
        ),
        timings=clock.timings(),
        statistics={
            "variant": options.variant,
            "p": options.p,
            "amplitudes": 1 << len(problem.reduced().variables),
            "circuit_evaluations": samples.num_evaluations,
            "expected_penalty_energy": samples.expected_energy,
            **harvest.statistics(num_states),
            **penalty_facts(samples.penalties),
        },
        bare=harvest.bare(),
    )


@cache
def load(variant: str) -> None:
    """Load libraries and kernels, once per process, by solving a tiny problem."""
    problem = Problem(np.diag([1.0, 2.0, 3.0]), 1)
    if variant == "xy":
        optimize_angles(problem, p=1, starts=1)
    else:
        for module in ("qiskit_aer.primitives", "qiskit_optimization.algorithms"):
            import_module(module)
        estimated_penalty(problem, 1)
        repair(problem, np.zeros((1, 3), np.bool_))
