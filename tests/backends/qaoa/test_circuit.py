"""The exported circuit is the one that is simulated, and what it measures comes back."""

from __future__ import annotations

import sys
from typing import Any

import numpy as np
import pytest

from qubo_prune import BackendUnavailableError, InputError, Problem
from qubo_prune.backends.qaoa import MIXERS, Angles, decode_counts, simulate, to_circuit
from tests.strategies import random_problem

ANGLES = Angles([0.7, -0.3], [0.4, 1.1])
KINDS = [*"abcabcabab"]
with_mixers = pytest.mark.parametrize("mixer", MIXERS)


@pytest.fixture
def qiskit() -> object:
    return pytest.importorskip("qiskit")


def with_slope(n: int, remove: int | dict[str, int], **arguments: Any) -> Problem:
    gradient = np.random.default_rng(n).normal(size=n)
    return random_problem(n, remove, gradient=gradient, beta=0.5, **arguments)


@with_mixers
@pytest.mark.parametrize(
    "problem",
    [
        *(with_slope(n, m) for n in range(2, 8) for m in range(1, n)),
        with_slope(12, 4),
        Problem(np.diag(np.arange(5.0)), 2),
        with_slope(10, {"a": 2, "b": 1}, kinds=KINDS),
        with_slope(10, {"a": 1, "b": 3, "c": 1}, kinds=KINDS),
        with_slope(10, {"a": 3, "b": 2}, kinds=KINDS, keep=[0], force=[4]),
        with_slope(9, 4, keep=[1, 2], force=[0]),
    ],
    ids=str,
)
def test_the_circuit_prepares_what_is_simulated(
    qiskit: object, problem: Problem, mixer: str
) -> None:
    from qiskit.quantum_info import Statevector

    circuit = to_circuit(problem, ANGLES, mixer=mixer)
    found = Statevector(circuit).data
    simulation = simulate(problem, ANGLES, mixer=mixer)
    blocks = circuit.metadata["blocks"]
    assert blocks == problem.reduced().variables.tolist()
    states = simulation.states(np.arange(problem.num_states))
    expected = np.zeros(2 ** len(blocks), complex)
    expected[states[:, blocks] @ (1 << np.arange(len(blocks)))] = simulation.amplitudes
    overlap = np.vdot(expected, found)
    assert np.abs(found - expected * overlap / abs(overlap)).max() < 1e-10


def test_without_layers_it_prepares_dicke_states(qiskit: object) -> None:
    from qiskit.quantum_info import Statevector

    for n in range(2, 9):
        for m in range(1, n):
            circuit = to_circuit(Problem(np.eye(n), m), Angles())
            found = Statevector(circuit).probabilities()
            ones = np.array([state.bit_count() for state in range(2**n)])
            assert found[ones == m] == pytest.approx(1 / np.count_nonzero(ones == m))


def test_a_circuit_is_made_where_nothing_can_be_simulated(qiskit: object) -> None:
    problem = Problem.load("bytelm-40-branch", remove=8)
    circuit = to_circuit(problem, Angles([100.0], [0.3]))
    operations = circuit.count_ops()
    assert circuit.num_qubits == 80
    assert operations["xx_plus_yy"] == 80
    assert operations["rzz"] == 80 * 79 / 2
    assert operations["cry"] == 79  # one for each size of the Dicke recursion
    assert circuit.num_clbits == 0


def test_terms_that_are_zero_have_no_gate(qiskit: object) -> None:
    assert "rzz" not in to_circuit(Problem(np.diag([1.0, 2, 3]), 1), ANGLES).count_ops()


def test_other_programs_can_read_it(qiskit: object) -> None:
    from qiskit import qasm2
    from qiskit.quantum_info import Statevector

    circuit = to_circuit(with_slope(5, 2), ANGLES)
    text = qasm2.dumps(circuit)
    again = qasm2.loads(text, custom_instructions=qasm2.LEGACY_CUSTOM_INSTRUCTIONS)
    overlap = np.vdot(Statevector(again).data, Statevector(circuit).data)
    assert abs(overlap) == pytest.approx(1)


def test_measured_counts_become_states(qiskit: object) -> None:
    from qiskit.primitives import StatevectorSampler

    problem = with_slope(10, {"a": 2, "b": 1}, kinds=KINDS, force=[4])
    circuit = to_circuit(problem, ANGLES, measure=True)
    shots = 50_000
    measured = StatevectorSampler(seed=1).run([circuit], shots=shots).result()[0].data.meas
    states, times = decode_counts(problem, measured.get_counts())
    assert problem.is_feasible(states).all()
    assert times.sum() == shots
    simulation = simulate(problem, ANGLES)
    likely = simulation.probabilities[simulation.ranks(states)]
    assert (np.abs(times / shots - likely) < 5 * np.sqrt(likely / shots) + 1e-9).all()


def test_infeasible_counts_stay_visible() -> None:
    problem = Problem(np.eye(4), 2, keep=[1])
    states, times = decode_counts(problem, {"111": 1, "011": 4})
    assert states.astype(int).tolist() == [[1, 0, 1, 1], [1, 0, 1, 0]]
    assert times.tolist() == [1, 4]
    assert problem.is_feasible(states).tolist() == [False, True]
    assert decode_counts(problem, {})[0].shape == (0, 4)


@pytest.mark.parametrize("bits", ["0110", "01", "01x", "0 1", ""])
def test_bit_strings_of_another_circuit_are_an_input_error(bits: str) -> None:
    with pytest.raises(InputError, match="strings of 3 bits"):
        decode_counts(Problem(np.eye(3), 1), {bits: 1})


def test_a_problem_of_one_state_has_no_circuit() -> None:
    with pytest.raises(InputError, match="one feasible state"):
        to_circuit(Problem(np.eye(3), 3), ANGLES)


def test_an_unknown_mixer_is_an_input_error() -> None:
    with pytest.raises(InputError, match="mixer"):
        to_circuit(Problem(np.eye(3), 1), ANGLES, mixer="star")


def test_it_says_how_to_get_qiskit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "qiskit", None)
    with pytest.raises(BackendUnavailableError, match=r"pip install 'qubo-prune\[qaoa\]'"):
        to_circuit(Problem(np.eye(3), 1), ANGLES)
