"""What a backend returned, held against the problem and what is known: what is true of it, and its
lies.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from qubo_prune.backends.base import Backend, Capability, RawResult
from qubo_prune.bench.measures import PUBLISHED_DIGITS, Truth
from qubo_prune.bench.results import ReferenceKind, Violation
from qubo_prune.core.errors import BackendError
from qubo_prune.core.problem.problem import Problem, digest
from qubo_prune.core.spectrum.order import lexicographic_order
from qubo_prune.core.stopping import Stop
from qubo_prune.core.validation import as_states
from qubo_prune.solving import checking

_REFUTING_SECONDS = 1.0


@dataclass
class Verdict:
    """What became of a result.

    Attributes
    ----------
    violations : list of Violation
        Its lies.
    states, energies : ndarray
        The feasible ones that it returned, distinct, lowest first, at most as many as were asked
        for.
    bare, bare_energies : ndarray
        The solver's own among them, where it was repaired.
    num_proven : int
        How many are the lowest, by the backend's word.
    lower_bound : float
        No state outside the list lies below it, by the backend's word.
    shares : dict
        ``feasible_share`` and ``distinct_share`` of what it returned.
    """

    violations: list[Violation]
    states: NDArray[np.bool_]
    energies: NDArray[np.float64]
    bare: NDArray[np.bool_]
    bare_energies: NDArray[np.float64]
    num_proven: int = 0
    lower_bound: float = -math.inf
    shares: dict[str, float | None] = field(default_factory=dict)

    @contextmanager
    def held(self, kind: str) -> Iterator[None]:
        """Note as a lie of this kind what a check within the context refuses."""
        try:
            yield
        except BackendError as error:
            self.violations.append(Violation(kind, str(error)))


def judge(
    problem: Problem, solver: Backend, raw: RawResult, truth: Truth, stop: Stop, seed: int
) -> Verdict:
    """Return what is true of a result.

    Parameters
    ----------
    problem : Problem
        What was asked.
    solver : Backend
        Who answered.
    raw : RawResult
        What it returned.
    truth : Truth
        What is known.
    stop : Stop
        Of the run.
    seed : int
        Of the run, and of a short search that tries to refute a proof.

    Raises
    ------
    BackendError
        If it is no result at all.
    """
    checking.check_fields(solver.name, raw)
    try:
        given = as_states(raw.states, problem.num_blocks, "states")
        bare = given if raw.bare is None else as_states(raw.bare, problem.num_blocks, "bare")
    except Exception as error:
        message = f"backend {solver.name!r} returned no valid states: {error}"
        raise BackendError(message) from error
    feasible = problem.is_feasible(given)
    states, energies = _lowest(problem, given)
    verdict = Verdict([], states[: truth.wanted], energies[: truth.wanted], states, energies)
    if raw.bare is not None:
        verdict.bare, verdict.bare_energies = _lowest(problem, bare)
    verdict.bare = verdict.bare[: truth.wanted]
    verdict.bare_energies = verdict.bare_energies[: truth.wanted]
    verdict.shares = {
        "feasible_share": float(feasible.mean()) if len(given) else None,
        "distinct_share": len(np.unique(given, axis=0)) / len(given) if len(given) else None,
    }
    with verdict.held("problem"):
        if digest(problem.hessian) != problem.hessian_sha256:
            raise BackendError(f"backend {solver.name!r} changed the problem that it was given.")
    with verdict.held("infeasible"):
        checking.check_states(problem, solver.name, raw)
    with verdict.held("energy"):
        checking.check_energies(problem, solver.name, raw, given, problem.energies(given))
    with verdict.held("energy"):
        _check_told(problem, solver, raw)
    if Capability.PROVES in solver.capabilities:
        with verdict.held("proof"):
            checking.check_claims(problem, solver.name, raw, len(states))
        if not verdict.violations:
            _weigh_proof(verdict, problem, solver, replace(raw, states=states), truth, stop, seed)
    return verdict


def _lowest(
    problem: Problem, states: NDArray[np.bool_]
) -> tuple[NDArray[np.bool_], NDArray[np.float64]]:
    """Return the feasible ones among states, distinct, lowest first, with their energies."""
    distinct = np.unique(states[problem.is_feasible(states)], axis=0)
    energies = problem.energies(distinct)
    order = lexicographic_order(distinct, energies)
    return distinct[order], energies[order]


def _check_told(problem: Problem, solver: Backend, raw: RawResult) -> None:
    """Refuse energies that a function returned with its spins, beyond rounding."""
    error = raw.statistics.get("energy_error", 0.0)
    scale = float(np.abs(problem.hessian).sum())
    if isinstance(error, int | float) and error > checking.ROUNDING * scale:
        raise BackendError(
            f"backend {solver.name!r} returned energies that are wrong by up to {error:.6g}."
        )


def _weigh_proof(
    verdict: Verdict,
    problem: Problem,
    solver: Backend,
    raw: RawResult,
    truth: Truth,
    stop: Stop,
    seed: int,
) -> None:
    """Note what a backend claims to have proven, or that it is false."""
    with verdict.held("proof"):
        raw = replace(raw, energies=None)
        spectrum = checking.certified(problem, solver, raw, truth.wanted, stop, seed, 0.0)
        refute(truth, spectrum.energies, spectrum.num_proven, spectrum.lower_bound)
        checking.check_word(problem, spectrum, seed, _REFUTING_SECONDS)
        verdict.num_proven, verdict.lower_bound = spectrum.num_proven, spectrum.lower_bound


def refute(
    truth: Truth, energies: NDArray[np.float64], num_proven: int, lower_bound: float
) -> None:
    """Raise BackendError if what is known contradicts a proof.

    Examples
    --------
    >>> truth = Truth(ReferenceKind.BEST_KNOWN, np.array([1.0, 2.0]), 2, 190)
    >>> refute(truth, np.array([1.0, 3.0]), 2, 3.0)
    Traceback (most recent call last):
    qubo_prune.core.errors.BackendError: state 1 is claimed to be proven at the energy 3.0, and
    that of the reference is 2.0.
    """
    known = truth.energies
    if truth.kind is ReferenceKind.PUBLISHED:
        known = known + PUBLISHED_DIGITS * np.abs(known)
    both = min(num_proven, len(known))
    higher = np.flatnonzero(energies[:both] > known[:both])
    if higher.size:
        first = higher[0]
        raise BackendError(
            f"state {first} is claimed to be proven at the energy {float(energies[first])!r}, and"
            f" that of the reference is {float(known[first])!r}."
        )
    missing = int((known < lower_bound).sum()) - int((energies < lower_bound).sum())
    if missing > 0:
        raise BackendError(
            f"no state outside the list is claimed to lie below {lower_bound!r}, and {missing} of"
            " the reference do that are not in it."
        )
