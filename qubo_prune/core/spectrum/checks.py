"""The checks by which a spectrum certifies itself."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from qubo_prune.core.errors import SpectrumError
from qubo_prune.core.spectrum.order import lexicographic_order
from qubo_prune.core.spectrum.status import Status
from qubo_prune.core.spectrum.view import SpectrumView
from qubo_prune.core.text import format_count

if TYPE_CHECKING:
    from qubo_prune.core.problem.problem import Problem


def check(spectrum: SpectrumView, problem: Problem) -> None:
    """Raise `SpectrumError` where the spectrum contradicts the problem or itself."""
    check_problem(spectrum, problem)
    check_feasibility(spectrum, problem)
    check_energies(spectrum, problem)
    check_consistency(spectrum)


def check_consistency(spectrum: SpectrumView) -> None:
    """Raise `SpectrumError` where the spectrum contradicts itself."""
    check_order(spectrum)
    check_distinctness(spectrum)
    check_claims(spectrum)


def check_problem(spectrum: SpectrumView, problem: Problem) -> None:
    """Raise `SpectrumError` if this is the spectrum of another problem."""
    if spectrum.num_blocks != problem.num_blocks:
        raise SpectrumError(
            f"the spectrum is of {spectrum.num_blocks} blocks, the problem of {problem.num_blocks}."
        )
    for what, claimed, actual in (
        ("hessian_sha256", spectrum.hessian_sha256, problem.hessian_sha256),
        ("remove", spectrum.remove, problem.remove),
        ("num_states_total", spectrum.num_states_total, problem.num_states),
        ("budget", _budget(spectrum), _budget(problem)),
    ):
        if claimed != actual:
            raise SpectrumError(
                f"{what} of the spectrum and of the problem differ; "
                "it is the result of another problem."
            )


def _budget(stated: SpectrumView | Problem) -> tuple[list[int], int] | None:
    """Return the weights and what they have to reach, in units of their own."""
    budget = stated.budget
    return None if budget is None else (budget.weights.tolist(), budget.at_least)


def check_feasibility(spectrum: SpectrumView, problem: Problem) -> None:
    """Raise `SpectrumError` if a state violates the constraint."""
    infeasible = np.flatnonzero(~problem.is_feasible(spectrum.states))
    if infeasible.size:
        raise SpectrumError(
            f"state {infeasible[0]} does not satisfy the constraint: it removes blocks "
            f"{spectrum.removed(infeasible[0])}."
        )


def check_energies(spectrum: SpectrumView, problem: Problem) -> None:
    """Raise `SpectrumError` if an energy is not, to the last bit, what `Problem.energies` gives."""
    expected = problem.energies(spectrum.states)
    wrong = np.flatnonzero(expected.view(np.int64) != spectrum.energies.view(np.int64))
    if wrong.size:
        raise SpectrumError(
            f"the energy of state {wrong[0]} is {float(expected[wrong[0]])!r}, not "
            f"{float(spectrum.energies[wrong[0]])!r}."
        )


def check_order(spectrum: SpectrumView) -> None:
    """Raise `SpectrumError` unless states ascend by energy and then by removed blocks."""
    order = lexicographic_order(spectrum.states, spectrum.energies)
    misplaced = np.flatnonzero(order != np.arange(len(spectrum)))
    if misplaced.size:
        raise SpectrumError(
            "states are not in the order of energy and then removed blocks: state "
            f"{order[misplaced[0]]} belongs to position {misplaced[0]}."
        )


def check_distinctness(spectrum: SpectrumView) -> None:
    """Raise `SpectrumError` if a state is listed twice."""
    if len({row.tobytes() for row in np.packbits(spectrum.states, axis=1)}) < len(spectrum):
        raise SpectrumError("a state is listed twice.")


def check_claims(spectrum: SpectrumView) -> None:
    """Raise `SpectrumError` where the claims about the proof contradict each other."""
    if len(spectrum) > spectrum.num_states_total:
        raise SpectrumError(
            f"{len(spectrum)} states are listed, but only {spectrum.num_states_total} exist."
        )
    if spectrum.status is Status.PROVEN and spectrum.num_proven < len(spectrum):
        raise SpectrumError(
            f"the status is proven, but only {spectrum.num_proven} of {len(spectrum)} states are."
        )
    if spectrum.status is Status.HEURISTIC and spectrum.num_proven:
        raise SpectrumError(
            f"the status is heuristic, but {spectrum.num_proven} states are said to be proven."
        )
    if spectrum.num_proven and spectrum.lower_bound < spectrum.energies[spectrum.num_proven - 1]:
        raise SpectrumError(
            f"states up to energy {spectrum.energies[spectrum.num_proven - 1]:.17g} are said to be "
            f"proven, but states outside the list may reach down to {spectrum.lower_bound:.17g}."
        )
    # How many states reach a budget nobody has counted.
    fewest = spectrum.num_states_total if spectrum.budget is None else 0
    if spectrum.lower_bound == np.inf and len(spectrum) < fewest:
        raise SpectrumError(
            f"no state is said to be missing, but only {len(spectrum)} of"
            f" {format_count(spectrum.num_states_total)} are listed."
        )
    if spectrum.ties_truncated and len(spectrum) in (0, spectrum.num_states_total):
        raise SpectrumError("ties are said to be cut off, but no state is left to tie with.")
