"""What a backend returned, checked and turned into a spectrum; nothing of it is believed."""

from __future__ import annotations

import time

import numpy as np
from numpy.typing import NDArray

from qubo_prune.backends.base import Backend, Capability, RawResult
from qubo_prune.backends.registry import is_built_in
from qubo_prune.core.errors import BackendError, InputError, SpectrumError
from qubo_prune.core.files.strict_json import is_fact
from qubo_prune.core.problem.problem import Problem, digest
from qubo_prune.core.spectrum.order import lexicographic_order
from qubo_prune.core.spectrum.spectrum import Spectrum
from qubo_prune.core.spectrum.status import Status
from qubo_prune.core.stopping import Stop, StopReason
from qubo_prune.core.validation import as_states
from qubo_prune.search.sampling import random_states
from qubo_prune.solving.refutation import Refuter, likely_states

_EFFORT = 0.1
_SECONDS = 1.0
_FEWEST_SECONDS = 0.1
"""A proof that rests on somebody's word is held against what is found in so short a time."""

_MANY_STATES = 20_000
_SAMPLED_STATES = 4096
_MANY_TERMS = 10**8
_SAMPLED_TERMS = 10**7
"""Of the sums that energies are: from so many on they take their time, and so many are tried."""
_MANY_BYTES = 1 << 24
_SAMPLED_BYTES = 1 << 22
"""The same of a matrix that is hashed."""
_HANDLING = 4.0
_HANDLING_TWICE = 7.0
"""Time from the end of a search to a spectrum, in terms of that of its checks: backends unpack
states too, and exact ones sort those that they start from.
"""
_CHECKING = 1.5

ROUNDING = 1e-6
"""What a solver's own energies may be off by, relative to the sum of the magnitudes of all terms:
some count in single precision.
"""

_FIELDS = (
    ("lower_bound", float),
    ("native_status", str),
    ("timings", dict),
    ("proof", dict),
    ("statistics", dict),
)


def certified(
    problem: Problem,
    solver: Backend,
    raw: RawResult,
    num_states: int,
    stop: Stop,
    seed: int,
    seconds: float,
) -> Spectrum:
    """Turn what a backend returned into a spectrum, or say what is wrong with it."""
    check_fields(solver.name, raw)
    states = check_states(problem, solver.name, raw)
    check_claims(problem, solver.name, raw, len(states))
    energies = problem.energies(states)
    check_energies(problem, solver.name, raw, states, energies)
    order = lexicographic_order(states, energies)
    states, energies = states[order], energies[order]
    if _has_repetition(states):
        raise BackendError(f"backend {solver.name!r} returned a state twice.")
    # That the only state of a problem is its lowest needs no proof.
    proves = Capability.PROVES in solver.capabilities or not problem.groups
    known = raw.num_complete if proves else 0
    outside = raw.lower_bound if proves else -np.inf
    if problem.budget is not None and outside == np.inf:
        known = len(states)  # how many reach the budget, only an engine that looked can say
        num_states = min(num_states, known)
    # Whatever the backend left out comes after the states that it is sure of.
    if known == problem.num_states:
        outside = np.inf
    elif known:
        outside = max(outside, float(energies[known - 1]))
    outside = min([outside, *energies[num_states : num_states + 1].tolist()])
    ties = len(states) > num_states and energies[num_states] == energies[num_states - 1]
    proof = dict(raw.proof)
    if proves and not is_built_in(type(solver)):
        proof.setdefault("rests_on", f"the word of {type(solver).__module__}")
    if known >= num_states < len(states) and outside == energies[num_states]:
        proof["next_energy"] = float(energies[num_states])
    states, energies = states[:num_states], energies[:num_states]
    proven = max(min(known, num_states), int(np.searchsorted(energies, outside)))
    complete = proven >= num_states
    unproven = Status.PARTIAL if proves else Status.HEURISTIC
    return Spectrum(
        states=states,
        energies=energies,
        num_proven=proven,
        lower_bound=outside,
        status=Status.PROVEN if complete else unproven,
        stop_reason=StopReason.COMPLETED if complete else stop.reason or StopReason.COMPLETED,
        ties_truncated=bool(ties),
        backend=solver.name,
        num_states_total=problem.num_states,
        hessian_sha256=problem.hessian_sha256,
        names=problem.block_names(),
        remove=problem.remove,
        seed=seed if Capability.SEEDED in solver.capabilities else None,
        timings={**raw.timings, "total": seconds},
        num_evaluated=raw.num_evaluated,
        native_status=raw.native_status,
        proof=proof,
        statistics=dict(raw.statistics),
        parameter_counts=problem.parameter_counts,
        at_least=problem.at_least,
        weights=None if problem.budget is None else problem.weights or problem.parameter_counts,
    )


def fingerprint(problem: Problem, hessian_sha256: str) -> tuple[object, ...]:
    """Return what differs once somebody has changed a problem in place; `hessian_sha256` is that
    of the matrix now.
    """
    constraint = [(group.indices.tobytes(), group.count) for group in problem.groups]
    fixed = problem.fixed_removed.tobytes(), problem.fixed_kept.tobytes()
    budget = problem.budget and (problem.budget.weights.tobytes(), problem.budget.at_least)
    return hessian_sha256, problem.linear.tobytes(), constraint, fixed, budget


def require_budget_kept(problem: Problem, solver: Backend) -> None:
    """Refuse a problem with a budget where the backend would not see it."""
    if problem.budget is not None and Capability.BUDGET not in solver.capabilities:
        raise InputError(
            f"backend {solver.name!r} takes no budget, but the problem has"
            f" at_least={problem.at_least!r}; choose one that does (qubo-prune backends), or"
            " leave the budget out."
        )


def check_untouched(problem: Problem, name: str, before: tuple[object, ...]) -> None:
    """Refuse whatever a backend returned that changed the problem; `before` is its fingerprint."""
    if fingerprint(problem, digest(problem.hessian)) != before:
        raise BackendError(
            f"backend {name!r} changed the problem that it was given, so neither its answer nor"
            " that problem is of use; load the problem again, and solve it by another backend."
        )


def finishing_seconds(problem: Problem, num_states: int, solver: Backend) -> float:
    """Return about how long it takes a backend to hand over so many states, and to check them and
    that the problem is what it was, by the speed of this machine now; 0 where that is little.
    """
    size = sum(group.count for group in problem.groups) + len(problem.fixed_removed)
    seconds = 0.0
    if problem.hessian.nbytes >= _MANY_BYTES:
        rows = problem.hessian[: max(1, _SAMPLED_BYTES // problem.hessian[0].nbytes)]
        begin = time.perf_counter()
        digest(rows)
        seconds += (time.perf_counter() - begin) * len(problem.hessian) / len(rows)
    if num_states < _MANY_STATES and num_states * size**2 < _MANY_TERMS:
        return seconds
    sampled = max(1, min(_SAMPLED_STATES, num_states, _SAMPLED_TERMS // max(1, size**2)))
    states = next(random_states(problem, sampled, np.random.default_rng(0)))
    problem.energies(states[:1])  # loads the kernel
    begin = time.perf_counter()
    problem.is_feasible(states)
    order = lexicographic_order(states, problem.energies(states))
    _has_repetition(states[order])
    times = _HANDLING_TWICE if Capability.PROVES in solver.capabilities else _HANDLING
    if num_states < _MANY_STATES:
        times = _CHECKING  # all the time goes to energies, which backends do not compute
    return seconds + times * (time.perf_counter() - begin) * num_states / len(states)


def check_fields(name: str, raw: object) -> None:
    """Refuse a result whose fields, but for the states, are not what a `RawResult` holds."""
    if not isinstance(raw, RawResult):
        raise BackendError(f"backend {name!r} returned {type(raw).__name__}, not a RawResult.")
    for what in ("num_complete", "num_evaluated"):
        count = getattr(raw, what)
        if not isinstance(count, int) or isinstance(count, bool) or count < 0:
            raise BackendError(f"backend {name!r} returned {count!r} as {what}.")
    for what, kind in _FIELDS:
        value = getattr(raw, what)
        if not isinstance(value, kind) or value != value:  # noqa: PLR0124 - only NaN differs
            raise BackendError(f"backend {name!r} returned {value!r} as {what}.")
    for what in ("proof", "statistics"):
        facts = getattr(raw, what)
        if not all(is_fact(*item) for item in facts.items()):
            raise BackendError(f"backend {name!r} returned {facts!r} as {what}.")
    if not all(is_fact(*item) and not isinstance(item[1], str) for item in raw.timings.items()):
        raise BackendError(f"backend {name!r} returned {raw.timings!r} as timings.")


def check_states(problem: Problem, name: str, raw: RawResult) -> NDArray[np.bool_]:
    """Return the states of a result, refused unless they are feasible."""
    try:
        states = as_states(raw.states, problem.num_blocks, "states")
    # An array of another library may raise anything when it is converted.
    except Exception as error:
        raise BackendError(f"backend {name!r} returned no valid states: {error}") from error
    infeasible = np.flatnonzero(~problem.is_feasible(states))
    if infeasible.size:
        raise BackendError(
            f"backend {name!r} returned {infeasible.size} states that violate the constraint, the "
            f"first removing {np.flatnonzero(states[infeasible[0]]).tolist()}."
        )
    return states


def check_energies(
    problem: Problem,
    name: str,
    raw: RawResult,
    states: NDArray[np.bool_],
    energies: NDArray[np.float64],
) -> None:
    """Refuse energies of a backend's own that are not those of its states, beyond rounding."""
    if raw.energies is None:
        return
    claimed = np.asarray(raw.energies)
    if claimed.shape != energies.shape or claimed.dtype.kind not in "fiu":
        raise BackendError(
            f"backend {name!r} returned energies of shape {claimed.shape} and type {claimed.dtype}"
            f" for {len(energies)} states."
        )
    ones = states.astype(np.float64)
    scale = ((ones @ np.abs(problem.hessian)) * ones).sum(axis=1) + ones @ np.abs(problem.linear)
    # Not "above": NaN compares false.
    wrong = np.flatnonzero(~(np.abs(claimed - energies) <= ROUNDING * scale))
    if wrong.size:
        first = wrong[0]
        raise BackendError(
            f"backend {name!r} says that the energy of a state is {float(claimed[first])!r}, and it"
            f" is {float(energies[first])!r}; {wrong.size} of {len(energies)} are wrong."
        )


def _has_repetition(states: NDArray[np.bool_]) -> bool:
    """Whether a state is there twice, in the order of a spectrum."""
    return bool((states[1:] == states[:-1]).all(axis=1).any())


def check_claims(problem: Problem, name: str, raw: RawResult, num_states: int) -> None:
    """Refuse claims about completeness that so many states cannot bear out."""
    # How many reach a budget nobody has counted; the heaviest does.
    fewest = problem.num_states if problem.budget is None else 1
    if raw.lower_bound == np.inf and num_states < fewest:
        raise BackendError(
            f"backend {name!r} says that no state is missing, but returned {num_states} of "
            f"{problem.num_states}."
        )
    if raw.num_complete > num_states:
        word = raw.proof.get("rests_on")
        rests = "" if word is None else f"; that rests on {word}, which is false"
        raise BackendError(
            f"backend {name!r} says that it returned the {raw.num_complete} lowest states, but "
            f"returned {num_states}{rests}."
        )


def check_word(problem: Problem, spectrum: Spectrum, seed: int, seconds: float) -> None:
    """Refuse a proof that rests on somebody's word where a short search refutes it.

    Parameters
    ----------
    problem : Problem
        What was solved.
    spectrum : Spectrum
        Its `proof` says under ``rests_on`` whose word it is, if anybody's.
    seed : int
        Seed of the search.
    seconds : float
        What is left of the time limit; the search takes a second at most.
    """
    word = spectrum.proof.get("rests_on")
    if word is None or not (spectrum.num_proven or spectrum.lower_bound > -np.inf):
        return
    refuter = Refuter(spectrum, problem)
    stop = Stop(max(_FEWEST_SECONDS, min(_SECONDS, seconds)))
    try:
        for states in likely_states(spectrum, problem, seed, stop, _EFFORT):
            refuter.check(states)
    except SpectrumError as error:
        raise BackendError(
            f"backend {spectrum.backend!r} claims a proof that rests on {word}, and it is false: "
            f"{error}"
        ) from error


def check_against_known(problem: Problem, spectrum: Spectrum, known: NDArray[np.bool_]) -> None:
    """Refuse a proof that a state the backend started from contradicts."""
    listed = {state.tobytes() for state in spectrum.states}
    missing = np.array([state for state in known if state.tobytes() not in listed], np.bool_)
    lowest = problem.energies(missing).min() if len(missing) else np.inf
    if lowest < spectrum.lower_bound:
        raise BackendError(
            f"backend {spectrum.backend!r} says that no state outside its list lies below "
            f"{spectrum.lower_bound!r}, but one that it started from has the energy "
            f"{float(lowest)!r}."
        )
