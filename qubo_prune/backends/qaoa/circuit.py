"""The circuit for a quantum computer, and the way back from what it measures."""

from __future__ import annotations

from collections.abc import Mapping
from math import acos, sqrt
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from qubo_prune.backends.qaoa.angles import Angles
from qubo_prune.backends.qaoa.mixers import check_mixer, ordered_pairs
from qubo_prune.core.errors import BackendUnavailableError, InputError
from qubo_prune.core.text import format_value
from qubo_prune.core.validation import as_count

if TYPE_CHECKING:
    from qiskit import QuantumCircuit

    from qubo_prune.core.problem.problem import Problem
from qubo_prune.encodings.refusals import refuse_budget


def to_circuit(
    problem: Problem, angles: Angles, *, mixer: str = "ring", measure: bool = False
) -> QuantumCircuit:
    """Return the circuit that `simulate` simulates: Dicke states, phase separators and XY mixers.

    Qubit k stands for ``problem.reduced().variables[k]``; blocks kept or forced have no qubit. The
    blocks are in ``circuit.metadata["blocks"]``. The number of states plays no role here, so
    circuits that nobody can simulate can be written down.

    Parameters
    ----------
    problem : Problem
        With something to choose.
    angles : Angles
        From `optimize_angles`, or any.
    mixer : str
        ``ring`` or ``complete``, as for `simulate`.
    measure : bool
        Whether to measure all qubits at the end.

    Returns
    -------
    qiskit.QuantumCircuit
        Over one qubit for each free block; its amplitudes are those of `simulate` up to a global
        phase.

    Raises
    ------
    InputError
        If the mixer is unknown or no block is free.
    BackendUnavailableError
        If qiskit is not installed.

    Examples
    --------
    >>> from qubo_prune import Problem
    >>> problem = Problem([[2.0, 1.0, 0.0], [1.0, 3.0, -1.0], [0.0, -1.0, 2.5]], remove=2)
    >>> circuit = to_circuit(problem, Angles([0.4], [0.3]))  # doctest: +SKIP
    >>> circuit.num_qubits, circuit.count_ops()["xx_plus_yy"]  # doctest: +SKIP
    (3, 3)
    """
    check_mixer(mixer)
    refuse_budget(problem, "a circuit")
    if not problem.groups:
        raise InputError(
            "a circuit needs a block that may be removed or kept, but the problem has one feasible"
            " state; change remove, keep or force."
        )
    try:
        from qiskit import QuantumCircuit
        from qiskit.circuit.library import XXPlusYYGate
    except ImportError as error:
        raise BackendUnavailableError(
            "to_circuit needs qiskit, which is not installed; install it with: pip install"
            " 'qubo-prune[qaoa]'."
        ) from error
    reduced = problem.reduced()
    n = len(reduced.variables)
    members = [
        np.flatnonzero(reduced.group_of == group).tolist() for group in range(reduced.num_groups)
    ]
    circuit = QuantumCircuit(n, metadata={"blocks": reduced.variables.tolist()})
    for qubits, count in zip(members, reduced.counts.tolist(), strict=True):
        _prepare_dicke(circuit, qubits, count)
    # y = (1 - Z) / 2 turns y'Qy into Z terms of minus half the sum of a row and ZZ terms of Q_ij /
    # 2.
    fields = -reduced.matrix.sum(axis=1)
    for gamma, beta in zip(angles.gammas, angles.betas, strict=True):
        for i in range(n):
            circuit.rz(gamma * fields[i], i)
            for j in range(i):
                if reduced.matrix[i, j] != 0.0:
                    circuit.rzz(gamma * reduced.matrix[i, j], j, i)
        for qubits in members:
            for i, j in ordered_pairs(mixer, len(qubits)):
                circuit.append(XXPlusYYGate(-2.0 * beta), [qubits[i], qubits[j]])
    if measure:
        circuit.measure_all()
    return circuit


def _prepare_dicke(circuit: QuantumCircuit, qubits: list[int], ones: int) -> None:
    """Prepare the equal superposition of all states of `qubits` with so many ones (Bärtschi and
    Eidenbenz 2019).
    """
    n, weight = len(qubits), min(ones, len(qubits) - ones)
    for qubit in qubits[n - weight :]:
        circuit.x(qubit)
    for last in range(n - 1, 0, -1):
        # Splits the state of weight ones over the first last + 1 qubits and cycles what is split
        # off to the last of them.
        for split in range(1, min(weight, last) + 1):
            target = qubits[last - split]
            angle = 2.0 * acos(sqrt(split / (last + 1)))
            circuit.cx(target, qubits[last])
            if split == 1:
                circuit.cry(angle, qubits[last], target)
            else:
                for half in (0.5 * angle, -0.5 * angle):  # in all, a rotation with two controls
                    circuit.ry(half, target)
                    circuit.ccx(qubits[last], qubits[last - split + 1], target)
            circuit.cx(target, qubits[last])
    if weight != ones:
        circuit.x(qubits)


def decode_counts(
    problem: Problem, counts: Mapping[str, int]
) -> tuple[NDArray[np.bool_], NDArray[np.int64]]:
    """Turn what the circuit measured into states, feasible or not.

    Parameters
    ----------
    problem : Problem
        That of `to_circuit`.
    counts : mapping of str to int
        How often each bit string was measured, qubit 0 to the right, as Qiskit writes it.

    Returns
    -------
    states : (K, N) bool
        Distinct states; noise makes some infeasible, see `Problem.is_feasible`.
    times : (K,) int64
        How often each was measured.

    Raises
    ------
    InputError
        If a string does not have one bit per free block.

    Examples
    --------
    >>> from qubo_prune import Problem
    >>> problem = Problem([[2.0, 1.0, 0.0], [1.0, 3.0, -1.0], [0.0, -1.0, 2.5]], remove=2)
    >>> states, times = decode_counts(problem, {"110": 60, "011": 40})
    >>> states.astype(int).tolist(), times.tolist()
    ([[0, 1, 1], [1, 1, 0]], [60, 40])
    """
    reduced = problem.reduced()
    n = len(reduced.variables)
    free = np.zeros((len(counts), n), np.bool_)
    times = np.zeros(len(counts), np.int64)
    for row, (bits, number) in enumerate(counts.items()):
        if len(bits) != n or set(bits) - {"0", "1"}:
            raise InputError(
                f"counts must be of strings of {n} bits, one per free block, not"
                f" {format_value(bits)}; measure the qubits of to_circuit and nothing else."
            )
        free[row] = [bit == "1" for bit in reversed(bits)]
        times[row] = as_count(number, f"counts[{bits!r}]")
    return reduced.expand(free), times
