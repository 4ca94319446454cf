"""How many amplitudes can be simulated."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qubo_prune.core.errors import InputError
from qubo_prune.core.text import format_bytes, format_count
from qubo_prune.encodings.refusals import refuse_budget

if TYPE_CHECKING:
    from qubo_prune.core.problem.problem import Problem

MAX_AMPLITUDES = 1 << 23
"""Default limit: C(25, 12) fits, C(26, 13) does not."""

BYTES_PER_AMPLITUDE = 64
"""Energies and scores, and two more states while angles are optimised, or what sampling needs."""

BYTES_PER_QUBIT_STATE = 32
"""What the simulator of the variant ``penalty`` takes for each amplitude."""

FEWER_STATES = "leave fewer blocks to choose from with only or keep, or remove fewer"


def check_size(problem: Problem, max_amplitudes: int) -> None:
    """Refuse a problem that has more feasible states than there may be amplitudes, or a budget,
    which amplitudes of states with the right counts know nothing of.
    """
    refuse_budget(problem, "a QAOA")
    if problem.num_states > max_amplitudes:
        raise InputError(
            "QAOA is simulated with one amplitude for each of the"
            f" {format_count(problem.num_states)} feasible states, which takes"
            f" {format_bytes(BYTES_PER_AMPLITUDE * problem.num_states)}, but max_amplitudes is"
            f" {format_count(max_amplitudes)}; {FEWER_STATES}, or raise max_amplitudes."
        )


def check_qubits(problem: Problem, max_amplitudes: int) -> None:
    """Refuse a problem whose free blocks have more states, feasible or not, than there may be
    amplitudes.
    """
    qubits = sum(len(group.indices) for group in problem.groups)
    if 1 << qubits > max_amplitudes:
        raise InputError(
            f"the variant 'penalty' simulates one amplitude for each of the 2^{qubits} ="
            f" {format_count(1 << qubits)} subsets of the free blocks, which takes"
            f" {format_bytes(BYTES_PER_QUBIT_STATE << qubits)}, but max_amplitudes is"
            f" {format_count(max_amplitudes)}; leave fewer blocks to choose from with only or keep,"
            " take the variant 'xy', or raise max_amplitudes."
        )
