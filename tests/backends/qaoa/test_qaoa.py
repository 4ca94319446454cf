"""QAOA among the feasible states: against matrix exponentials, dictionaries, differences, and
itself.
"""

from __future__ import annotations

import tracemalloc
from itertools import combinations, pairwise
from math import comb

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.linalg import expm
from threadpoolctl import threadpool_limits

from qubo_prune import InputError, Problem, Status, Stop, StopReason, get_backend, solve
from qubo_prune.backends.base import Capability
from qubo_prune.backends.qaoa import MIXERS, Angles, optimize_angles, simulate
from qubo_prune.backends.qaoa.limits import BYTES_PER_AMPLITUDE
from qubo_prune.backends.qaoa.mixers import layers, ordered_pairs
from qubo_prune.backends.qaoa.optimizer import optimize
from qubo_prune.backends.qaoa.simulator import Simulator
from qubo_prune.backends.qaoa.subspace import Subspace
from qubo_prune.testing import CHECKS, Check
from qubo_prune.testing.harness import Recorder
from qubo_prune.testing.problems import Case, cases
from tests.strategies import NO_CHOICE, random_problem

ANGLES = Angles([0.7, -0.3, 1.9], [0.4, 1.1, -0.2])


LARGER = [
    random_problem(12, 5),
    random_problem(13, 11),
    random_problem(40, 2),
    random_problem(70, 1),
    random_problem(15, {"a": 4, "b": 1, "c": 2}, kinds=[*"aabaacaabaacbaa"]),
    random_problem(20, {"a": 2, "b": 3}, kinds=[*("a" * 9 + "b" * 11)], keep=[3], force=[12]),
]
"""Beyond what the lowest variables hold, and with groups of which the last is not the largest."""

everywhere = pytest.mark.parametrize("case", [*cases(), *NO_CHOICE], ids=lambda case: case.name)
with_mixers = pytest.mark.parametrize("mixer", MIXERS)


def group_pairs(problem: Problem, mixer: str) -> list[tuple[int, int]]:
    """Pairs of blocks that the mixer swaps, in order."""
    return [
        (int(group.indices[i]), int(group.indices[j]))
        for group in problem.groups
        for i, j in ordered_pairs(mixer, len(group.indices))
    ]


def by_dictionary(problem: Problem, angles: Angles, mixer: str) -> NDArray[np.complex128]:
    """Amplitudes of all states in the order of the simulation, by looking up the partner of each
    state.
    """
    states = simulate(problem, Angles()).states(np.arange(problem.num_states))
    energies = problem.energies(states)
    rank = {state.tobytes(): k for k, state in enumerate(states)}
    psi = np.full(len(states), len(states) ** -0.5, complex)
    for gamma, beta in zip(angles.gammas, angles.betas, strict=True):
        psi = psi * np.exp(-1j * gamma * energies)
        for i, j in group_pairs(problem, mixer):
            swapped = states.copy()
            swapped[:, [i, j]] = states[:, [j, i]]
            partner = np.array([rank[state.tobytes()] for state in swapped])
            differs = states[:, i] != states[:, j]
            psi = np.where(differs, np.cos(beta) * psi + 1j * np.sin(beta) * psi[partner], psi)
    return psi


def same_up_to_phase(one: NDArray[np.complex128], other: NDArray[np.complex128]) -> bool:
    overlap = np.vdot(one, other)
    return bool(np.abs(other - one * overlap / abs(overlap)).max() < 1e-10)


def pauli(n: int, qubit: int, matrix: NDArray[np.complex128]) -> NDArray[np.complex128]:
    """A one-qubit operator on n qubits, qubit 0 being the lowest bit."""
    return np.asarray(np.kron(np.kron(np.eye(2 ** (n - 1 - qubit)), matrix), np.eye(2**qubit)))


X = np.array([[0, 1], [1, 0]], complex)
Y = np.array([[0, -1j], [1j, 0]], complex)


@with_mixers
@pytest.mark.parametrize(
    "problem",
    [
        *(random_problem(n, m) for n in range(2, 6) for m in range(1, n)),
        random_problem(6, 3),
        random_problem(6, {"a": 1, "b": 2}, kinds=[*"abbaba"]),
    ],
    ids=str,
)
def test_equals_matrix_exponentials_of_all_qubits(problem: Problem, mixer: str) -> None:
    n = problem.num_blocks
    every = (np.arange(2**n)[:, None] >> np.arange(n)) & 1
    energies = problem.energies(every)
    psi = problem.is_feasible(every) / np.sqrt(problem.num_states) + 0j
    for gamma, beta in zip(ANGLES.gammas, ANGLES.betas, strict=True):
        psi = np.exp(-1j * gamma * energies) * psi
        for group in problem.groups:
            for layer in layers(mixer, len(group.indices)):
                hamiltonian = np.zeros((2**n, 2**n), complex)
                for pair in layer:
                    i, j = group.indices[list(pair)]
                    for matrix in (X, Y):
                        hamiltonian -= 0.5 * pauli(n, i, matrix) @ pauli(n, j, matrix)
                with threadpool_limits(1):  # threads cost more than they gain here
                    psi = expm(-1j * beta * hamiltonian) @ psi
    simulation = simulate(problem, ANGLES, mixer=mixer)
    ranked = simulation.states(np.arange(problem.num_states)) @ (1 << np.arange(n))
    assert same_up_to_phase(psi[ranked], simulation.amplitudes)
    assert np.sum(np.abs(psi[ranked]) ** 2) == pytest.approx(1, abs=1e-12)  # nothing leaks out


@with_mixers
@pytest.mark.parametrize("problem", LARGER, ids=str)
def test_equals_a_dictionary_of_swaps(problem: Problem, mixer: str) -> None:
    simulation = simulate(problem, ANGLES, mixer=mixer)
    assert same_up_to_phase(by_dictionary(problem, ANGLES, mixer), simulation.amplitudes)


@everywhere
@with_mixers
def test_the_norm_is_preserved(case: Case, mixer: str) -> None:
    simulation = simulate(case.problem, ANGLES, mixer=mixer)
    assert simulation.probabilities.sum() == pytest.approx(1, abs=1e-12)
    assert len(simulation.probabilities) == case.problem.num_states


@everywhere
def test_without_layers_all_states_are_equally_likely(case: Case) -> None:
    simulation = simulate(case.problem, Angles())
    assert np.allclose(simulation.probabilities, 1 / case.problem.num_states, rtol=1e-14)
    if case.name != "forced blocks that cancel":
        energies = [energy for energy, _ in case.spectrum]
        assert simulation.expected_energy == pytest.approx(np.mean(energies))


@pytest.mark.parametrize(
    "problem", [*(case.problem for case in (*cases(), *NO_CHOICE)), *LARGER], ids=str
)
def test_ranks_number_the_states(problem: Problem) -> None:
    simulation = simulate(problem, Angles())
    every = np.arange(problem.num_states)
    states = simulation.states(every)
    assert problem.is_feasible(states).all()
    assert len(np.unique(states, axis=0)) == problem.num_states
    assert (simulation.ranks(states) == every).all()
    scale = np.abs(problem.hessian).sum() + np.abs(problem.linear).sum()
    assert np.abs(simulation.energies - problem.energies(states)).max() <= 1e-14 * scale


def test_ranks_order_states_as_binary_numbers() -> None:
    states = simulate(random_problem(6, 3), Angles()).states(np.arange(20))
    assert (np.diff(states @ (1 << np.arange(6))) > 0).all()


@given(size=st.integers(2, 40))
def test_layers_are_disjoint_pairs(size: int) -> None:
    for mixer in MIXERS:
        for layer in layers(mixer, size):
            assert layer
            assert len({i for pair in layer for i in pair}) == 2 * len(layer)
    neighbours = {(i, i + 1) for i in range(size - 1)} | {(0, size - 1)}
    assert sorted(ordered_pairs("ring", size)) == sorted(neighbours)
    assert sorted(ordered_pairs("complete", size)) == list(combinations(range(size), 2))
    assert len(layers("complete", size)) <= size


@with_mixers
@pytest.mark.parametrize("problem", [random_problem(6, 3), LARGER[0], LARGER[4]], ids=str)
def test_slopes_equal_differences(problem: Problem, mixer: str) -> None:
    simulator = Simulator(Subspace(problem), mixer)
    x = np.array([0.7, 0.2, -0.4, 0.3, 0.9, 0.1])
    value, slopes = simulator.gradient(x)
    step = 1e-5
    differences = [
        (simulator.gradient(x + e)[0] - simulator.gradient(x - e)[0]) / (2 * step)
        for e in step * np.eye(6)
    ]
    assert slopes == pytest.approx(differences, abs=1e-8)
    expected = simulator.simulate(x).expected_energy
    mean = simulator.simulate(np.zeros(0)).expected_energy
    assert value * simulator.deviation == pytest.approx(expected - mean)


@with_mixers
def test_angles_are_better_than_a_grid(mixer: str) -> None:
    problem = random_problem(7, 3)
    best = simulate(problem, optimize_angles(problem, 1, mixer=mixer), mixer=mixer).expected_energy
    grid = [
        simulate(problem, Angles([gamma], [beta]), mixer=mixer).expected_energy
        for gamma in np.linspace(0, 0.5, 25)
        for beta in np.linspace(0, np.pi, 25)
    ]
    assert best <= min(grid)


@with_mixers
def test_every_layer_improves_the_expectation(mixer: str) -> None:
    problem = Problem.load("bytelm-40-block", remove=5, keep=range(10, 40))
    simulations = [
        simulate(problem, optimize_angles(problem, p, mixer=mixer), mixer=mixer) for p in range(5)
    ]
    energies = [simulation.expected_energy for simulation in simulations]
    assert all(deeper < shallower for shallower, deeper in pairwise(energies))
    ratios = [simulation.approximation_ratio for simulation in simulations]
    assert ratios == sorted(ratios)
    assert 0 < ratios[0] < ratios[-1] < 1
    found = [simulation.ground_state_probability for simulation in simulations]
    assert found[0] == pytest.approx(1 / comb(10, 5))
    assert found[-1] > 5 * found[0]


@pytest.mark.parametrize("check", CHECKS, ids=str)
def test_conformance(check: Check) -> None:  # type: ignore[no-untyped-def]
    check(get_backend("qaoa", p=2, shots=500), num_blocks=20)


def test_a_spectrum_is_what_was_measured() -> None:
    problem = Problem.load("bytelm-40-block", remove=8, keep=range(16, 40))
    spectrum = solve(problem, num_states=20_000, backend="qaoa", options={"p": 2, "shots": 3000})
    facts = spectrum.statistics
    simulation = simulate(problem, Angles.of(spectrum))
    assert simulation.angles.p == facts["p"] == 2
    assert facts["expected_energy"] == pytest.approx(simulation.expected_energy)
    assert facts["ground_state_probability"] == pytest.approx(simulation.ground_state_probability)
    assert facts["approximation_ratio"] == pytest.approx(simulation.approximation_ratio)
    assert facts["amplitudes"] == 12870
    assert facts["shots"] == 3000
    assert facts["circuit_evaluations"] == spectrum.num_evaluated > 0
    assert facts["distinct_states"] == len(spectrum) < 3000
    assert spectrum.status is Status.HEURISTIC
    spectrum.check(problem)
    # The measured states are as likely as the simulation says: on average more than a state drawn
    # uniformly.
    likely = simulation.probabilities[simulation.ranks(spectrum.states)]
    assert likely.mean() > 2 / 12870


def test_shots_follow_the_probabilities() -> None:
    simulation = simulate(random_problem(6, 3), ANGLES)
    ranks, times = simulation.sample(200_000, np.random.default_rng(1))
    frequencies = np.zeros(20)
    frequencies[ranks] = times / 200_000
    assert times.sum() == 200_000
    deviation = np.sqrt(simulation.probabilities / 200_000)
    assert (np.abs(frequencies - simulation.probabilities) < 5 * deviation + 1e-9).all()


def test_ties_share_the_ground_state_probability() -> None:
    problem = Problem(np.eye(6), 2)
    facts = solve(problem, backend="qaoa").statistics
    assert facts["ground_state_probability"] == pytest.approx(1)
    assert facts["approximation_ratio"] == 1
    assert facts["circuit_evaluations"] == 0  # nothing to optimise
    assert facts["p"] == 3


@pytest.mark.parametrize("exponent", [-900, -30, 30, 900])
def test_the_scale_of_the_energies_plays_no_role(exponent: int) -> None:
    problem = random_problem(8, 3)
    scaled = Problem(problem.hessian * 2.0**exponent, 3)
    one, other = (solve(each, backend="qaoa", options={"shots": 30}) for each in (problem, scaled))
    assert len(one) < 56
    assert (one.states == other.states).all()
    assert Angles.of(other).gammas == pytest.approx(
        [gamma * 2.0**-exponent for gamma in Angles.of(one).gammas]
    )
    assert one.statistics["approximation_ratio"] == other.statistics["approximation_ratio"]


def test_zero_layers_draw_feasible_states() -> None:
    spectrum = solve(random_problem(10, 5), backend="qaoa", options={"p": 0, "shots": 40})
    assert spectrum.statistics["p"] == 0
    assert spectrum.num_evaluated == 0
    assert 20 < len(spectrum) <= 40


@pytest.mark.parametrize("limit", [1, 2, 9, 30])
def test_an_evaluation_limit_is_kept(limit: int) -> None:
    problem = random_problem(10, 5)
    spectrum = solve(problem, backend="qaoa", max_evaluations=limit)
    assert spectrum.num_evaluated == limit
    assert spectrum.stop_reason is StopReason.EVALUATION_LIMIT
    spectrum.check(problem)


def test_a_cancelled_run_stops_between_layers() -> None:
    simulator = Simulator(Subspace(random_problem(10, 5)), "ring")
    for questions in range(12):
        stop = Recorder(questions=questions)
        optimum = optimize(simulator, 4, 1, np.random.default_rng(0), stop)
        # One question before each evaluation, and one before each layer of its way there and back.
        assert optimum.num_evaluations == questions // 3
        assert len(optimum.x) == 2


def test_what_was_found_is_kept_when_stopped_at_any_depth() -> None:
    simulator = Simulator(Subspace(random_problem(10, 5)), "ring")
    previous = 0.0
    for limit in range(0, 80, 8):
        stop = Stop(max_evaluations=limit or None)
        if not limit:
            stop.cancel()
        optimum = optimize(simulator, 3, 1, np.random.default_rng(0), stop)
        value = simulator.gradient(optimum.x)[0]
        assert value <= previous + 1e-12
        previous = value


def test_too_many_states_are_refused_before_the_launch() -> None:
    problem = Problem.load("bytelm-40-branch", remove=8)
    message = (
        r"one amplitude for each of the 2\.90e10 feasible states, which takes 1,855\.2 GB, but "
        r"max_amplitudes is 8\.39e6; .*only.*keep.*"
    )
    for attempt in (
        lambda: solve(problem, backend="qaoa"),
        lambda: simulate(problem, Angles()),
        lambda: optimize_angles(problem),
    ):
        with pytest.raises(InputError, match=message):
            attempt()
    with pytest.raises(InputError, match=r"252 feasible states, which takes 16 kB.*is 251"):
        solve(random_problem(10, 5), backend="qaoa", options={"max_amplitudes": 251})
    assert len(solve(random_problem(10, 5), backend="qaoa", options={"max_amplitudes": 252}))


def test_angles_are_refused_for_numbers_out_of_range() -> None:
    for arguments in ({"p": -1}, {"starts": 0}, {"seed": -1}):
        [what] = arguments
        with pytest.raises(InputError, match=f"{what} must be at least"):
            optimize_angles(random_problem(6, 3), **arguments)


def test_memory_is_what_the_limit_says() -> None:
    problem = random_problem(20, 6)
    options = {"p": 2, "shots": 10}
    solve(problem, backend="qaoa", options=options)  # loads what is loaded once
    tracemalloc.start()
    try:
        solve(problem, backend="qaoa", options=options)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < BYTES_PER_AMPLITUDE * problem.num_states + 200_000


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("variant", "xyz"),
        ("variant", 1),
        ("p", -1),
        ("p", 1.5),
        ("mixer", "star"),
        ("mixer", None),
        ("shots", 0),
        ("starts", 0),
        ("max_amplitudes", 0),
    ],
)
def test_a_bad_option_is_an_input_error(option: str, value: object) -> None:
    with pytest.raises(InputError, match=option) as caught:
        get_backend("qaoa", **{option: value})
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("gammas", "betas", "message"),
    [
        ([0.1], [], "equally many"),
        ([np.nan], [0.1], "finite"),
        (["a"], [0.1], "finite"),
        (1.0, [0.1], "list of numbers"),
    ],
)
def test_bad_angles_are_an_input_error(gammas: object, betas: object, message: str) -> None:
    with pytest.raises(InputError, match=message):
        Angles(gammas, betas)  # type: ignore[arg-type]


def test_angles_of_another_backend_are_an_input_error() -> None:
    with pytest.raises(InputError, match=r"'branch-and-bound'.*backend='qaoa'"):
        Angles.of(solve(random_problem(6, 3)))


def test_it_says_what_it_can_do() -> None:
    backend = get_backend("qaoa")
    assert Capability.NATIVE_CONSTRAINT in backend.capabilities
    assert Capability.EXACT not in backend.capabilities
