"""Checking a certificate: what can be recomputed is recomputed, and what cannot is said to be a
claim.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Sequence
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from qubo_prune.backends.base import Backend
from qubo_prune.backends.enumeration.plan import plan
from qubo_prune.backends.registry import DEFAULT_BACKEND, get_backend
from qubo_prune.core.defaults import MAX_STATES
from qubo_prune.core.errors import InputError, SpectrumError
from qubo_prune.core.problem.problem import Problem
from qubo_prune.core.spectrum.checks import (
    check_claims,
    check_distinctness,
    check_energies,
    check_feasibility,
    check_order,
    check_problem,
)
from qubo_prune.core.spectrum.spectrum import Spectrum
from qubo_prune.core.spectrum.status import Status
from qubo_prune.core.stopping import Progress, Stop, StopReason
from qubo_prune.core.text import format_count
from qubo_prune.core.validation import as_count, as_finite_float
from qubo_prune.solving.proof.certificate import Certificate
from qubo_prune.solving.proof.statement import Statement
from qubo_prune.solving.proof.verification import Outcome, Report, Verification
from qubo_prune.solving.refutation import Refuter, likely_states
from qubo_prune.solving.solve import solve

if TYPE_CHECKING:
    from qubo_prune.backends.branch_and_bound.backend import BranchAndBound

_ORACLE = "enumeration"
_LONG = 10**9
"""Fewer states take a second or two, as long as an estimate would."""


_SEARCH_SECONDS = 10.0
_PATIENCE = 10.0
"""Branch and bound may take so many times as long as enumeration and the search for states took."""


def verify(
    certificate: Certificate,
    problem: Problem,
    *,
    time_limit: float | None = None,
    max_states: float = MAX_STATES,
    threads: int | None = None,
    seed: int = 1,
    progress: Callable[[Progress], None] | None = None,
    announce: Callable[[str], None] | None = None,
    borrowed: Collection[str] = ("kinds", "names"),
) -> Verification:
    """Check everything that can be recomputed, and say what cannot.

    Energies are recomputed to the last bit; order, distinctness, feasibility and the claims about
    the proof are checked. States found by a fresh search, random ones and neighbours of the listed
    ones must not contradict the list. Where the problem has at most `max_states` states, both exact
    engines find them anew, and everything has to agree. Ctrl-C ends that; a second one raises
    KeyboardInterrupt.

    Parameters
    ----------
    certificate : Certificate
        What is to be checked.
    problem : Problem
        What the certificate should be of.
    time_limit : float, optional
        Seconds for the independent solution. With a limit, it is tried for larger problems too.
    max_states : float
        Up to this size the problem is solved anew without a limit.
    threads : int, optional
        Threads of that; all available cores by default.
    seed : int
        Seed of the random states.
    progress : callable, optional
        As for `solve`.
    announce : callable, optional
        Called with a sentence before anything that takes long, with an estimate.
    borrowed : collection of str
        Which of ``names`` and ``kinds`` `problem` has from the certificate itself, so that they
        agree by themselves; see `Certificate.borrowed`.

    Raises
    ------
    InputError
        If an argument is out of range.
    """
    if not isinstance(problem, Problem):
        raise InputError(
            f"problem must be a Problem, not {type(problem).__name__}; "
            "make it with Certificate.problem(hessian)."
        )
    max_states = as_finite_float(max_states, "max_states")
    if max_states < 0:
        raise InputError(
            f"max_states must be at least 0, not {max_states:g}; leave it out for the default."
        )
    seed = as_count(seed, "seed", least=0, remedy="choose another one")
    stop = Stop(time_limit, None, progress)
    spectrum = certificate.spectrum
    report = Report(spectrum.num_proven)
    if not _check_what_was_solved(report, certificate, problem):
        return report.close("nothing: the certificate is of another problem", "everything")
    conclude = partial(_conclude, report, certificate, problem, borrowed)
    listed = f"the {len(spectrum)} listed states"
    report.check("count", partial(_check_count, certificate), f"{len(spectrum)} states are listed")
    for name, check, sentence in (
        ("energies", check_energies, f"the energies of {listed} agree to the last bit"),
        ("feasibility", check_feasibility, f"{listed} satisfy the constraint"),
        ("order", _without_problem(check_order), "the states are in order"),
        ("distinctness", _without_problem(check_distinctness), "no state is listed twice"),
        ("claims", _without_problem(check_claims), "the claims do not contradict each other"),
    ):
        report.check(name, partial(check, spectrum, problem), sentence)
    report.check("threshold", partial(_check_threshold, certificate), "the thresholds agree")
    if spectrum.backend == _ORACLE and spectrum.status is Status.PROVEN:
        report.check(
            "visited", partial(_check_visited, spectrum), "every state was visited, it says"
        )
    if not report.passed:
        report.skip("sampling", "the list itself is wrong")
        report.skip("completeness", "the list itself is wrong")
        return conclude()
    refuter = Refuter(spectrum, problem)

    def sample() -> None:
        for states in likely_states(spectrum, problem, seed, Stop(_SEARCH_SECONDS)):
            refuter.check(states)

    if report.check("sampling", sample, refuter.summary):
        _solve_anew(report, certificate, problem, stop, max_states, threads, progress, announce)
    else:
        report.skip("completeness", "a state that refutes the list is known already")
    return conclude()


def _conclude(
    report: Report, certificate: Certificate, problem: Problem, borrowed: Collection[str]
) -> Verification:
    only_claimed = _only_claimed(report, certificate, problem, borrowed)
    return report.close(*_conclusion(report, certificate), only_claimed)


def _check_what_was_solved(report: Report, certificate: Certificate, problem: Problem) -> bool:
    stated, actual = certificate.statement, Statement.of(problem)

    def same_hessian() -> None:
        if stated.hessian_sha256 != actual.hessian_sha256:
            raise SpectrumError(
                f"the certificate is of a Hessian with SHA-256 {stated.hessian_sha256:.16}..., "
                f"not {actual.hessian_sha256:.16}...."
            )

    def same_problem() -> None:
        different = stated.differences(actual)
        if actual.names is None and "names" in different:
            different.remove("names")  # the Hessian's file has none to compare with
        if different:
            raise SpectrumError(
                f"the certificate and the problem differ in {', '.join(different)}."
            )
        check_problem(certificate.spectrum, problem)
        if certificate.spectrum.names != (stated.names or problem.block_names()):
            raise SpectrumError("the names of the spectrum and of the problem differ.")

    report.add("format", Outcome.PASSED, "the file is a certificate")
    begins = f"its SHA-256 begins with {actual.hessian_sha256:.16}"
    return report.check("hessian", same_hessian, begins) and report.check(
        "problem", same_problem, f"it is {problem!r}"
    )


def _check_count(certificate: Certificate) -> None:
    if certificate.num_states != len(certificate.spectrum):
        raise SpectrumError(
            f"the certificate is of {certificate.num_states} states, but lists"
            f" {len(certificate.spectrum)}."
        )


def _without_problem(check: Callable[[Spectrum], None]) -> Callable[[Spectrum, Problem], None]:
    return lambda spectrum, _: check(spectrum)


def _check_threshold(certificate: Certificate) -> None:
    """Raise `SpectrumError` where the K-th energy, the next one, the bounds and the ties contradict
    each other.
    """
    spectrum = certificate.spectrum
    last = float(spectrum.energies[-1]) if len(spectrum) else None
    following = certificate.next_energy
    if certificate.last_energy != last:
        raise SpectrumError(
            f"the last energy is said to be {certificate.last_energy!r}, but is {last!r}."
        )
    if spectrum.proof.get("next_energy") != following:
        raise SpectrumError("the certificate and its spectrum differ in the next energy.")
    if following is not None:
        if not _is_complete(spectrum) or spectrum.lower_bound != following:
            raise SpectrumError(
                f"the next energy is said to be {following!r}, but the bound on it"
                f" {spectrum.lower_bound!r}."
            )
        if spectrum.ties_truncated != (following == last):
            raise SpectrumError(
                f"ties are said to be {'' if spectrum.ties_truncated else 'not '}cut off, but the"
                f" last energy is {last!r} and the next {following!r}."
            )
    if last is not None and spectrum.ties_truncated and spectrum.lower_bound > last:
        raise SpectrumError("ties are said to be cut off below the bound on what is cut off.")
    root, epsilon = (spectrum.proof.get(key) for key in ("root_bound", "epsilon"))
    if isinstance(root, str) or isinstance(epsilon, str):
        raise SpectrumError("root_bound and epsilon must be numbers.")
    if root is not None and epsilon is not None and len(spectrum):
        if epsilon < 0:
            raise SpectrumError(f"the rounding allowance epsilon is negative, {epsilon!r}.")
        lowest = float(spectrum.energies[0])
        if root > lowest + epsilon:
            raise SpectrumError(
                f"the bound of the root, {root!r}, lies above the lowest energy, {lowest!r}."
            )


def _check_visited(spectrum: Spectrum) -> None:
    """Raise `SpectrumError` if an enumeration says that it visited another number of states than
    there are.
    """
    if spectrum.num_evaluated != spectrum.num_states_total:
        raise SpectrumError(
            f"{spectrum.num_evaluated} states were visited, but there are"
            f" {spectrum.num_states_total}."
        )


def _solve_anew(
    report: Report,
    certificate: Certificate,
    problem: Problem,
    stop: Stop,
    max_states: float,
    threads: int | None,
    progress: Callable[[Progress], None] | None,
    announce: Callable[[str], None] | None,
) -> None:
    """Find the spectrum again, with both engines if it can be enumerated.

    Which engine the certificate is from is nothing but a word in it. Two engines that agree need
    not believe that word; one alone might be the very code that is to be checked.
    """
    spectrum = certificate.spectrum
    size = format_count(problem.num_states)
    if not _claim(spectrum):
        report.skip("completeness", "the certificate claims no proof")
        return
    small = problem.num_states <= max_states
    if not small:
        report.skip(
            "completeness",
            f"{size} states are too many to enumerate (at most {max_states:g}; see max_states and"
            " time_limit)",
        )
        if stop.time_limit is None:
            return
    engines = [_otherwise(get_backend(DEFAULT_BACKEND, threads=threads), spectrum)]
    if small:
        engines.insert(0, get_backend(_ORACLE, threads=threads))
    num_states = max(1, len(spectrum))
    if announce is not None and problem.num_states >= _LONG:
        estimate = "how long it takes cannot be said beforehand"
        if stop.time_limit is not None:
            estimate = f"for {stop.time_limit:g} s at most"
        elif small:
            estimate = _estimate(problem, num_states, threads)
        names = " and ".join(each.name for each in engines)
        announce(f"solving it anew by {names}: {size} states, {estimate}")
    found: list[Spectrum] = []
    for engine in engines:
        watch = stop
        if found and stop.time_limit is None:
            # Branch and bound has no estimate; where it is far behind, enumeration stands alone.
            patience = _PATIENCE * (_SEARCH_SECONDS + found[0].timings["total"])
            watch = Stop(patience, None, progress)
        found.append(
            solve(
                problem,
                num_states=num_states,
                backend=engine,
                seed=(spectrum.seed or 0) + 1,
                stop=watch,
            )
        )
        reason = found[-1].stop_reason
        if reason is StopReason.INTERRUPTED or (
            watch is stop and report.stop_reason is StopReason.COMPLETED
        ):
            report.stop_reason = reason
        if reason is StopReason.INTERRUPTED:
            break
    _hold_against(report, certificate, problem, found)


def _hold_against(
    report: Report, certificate: Certificate, problem: Problem, found: Sequence[Spectrum]
) -> None:
    """Compare a certificate with what was found anew, as far as that is proven."""
    spectrum = certificate.spectrum
    proven = [each for each in found if each.status is Status.PROVEN]
    check = "completeness" if len(proven or found) > 1 else "repetition"
    stopped = " and ".join(
        f"{each.backend} stopped ({each.stop_reason.value})"
        for each in found
        if each.status is not Status.PROVEN
    )
    if not proven:
        for each in found:
            try:
                Refuter(spectrum, problem).check(each.states)
            except SpectrumError as error:
                report.add(check, Outcome.FAILED, str(error))
                return
        report.skip(check, f"{stopped} without a proof; what was found contradicts nothing")
        return
    by = " and ".join(each.backend for each in proven)
    by += ", two engines," if len(proven) > 1 else ", perhaps the same code, so a weak check,"
    if stopped:
        by = f"{stopped}; {by}"
    finding = (
        "found the claimed states, energies and bounds, to the last bit"
        if spectrum.num_proven
        else "found no state that contradicts the claimed bound"
    )

    def compare() -> None:
        for each in proven:
            _compare(certificate, each)

    report.check(check, compare, f"{by} {finding}")


def _estimate(problem: Problem, num_states: int, threads: int | None) -> str:
    """Say how long it takes to enumerate a problem here, measured."""
    found = plan(problem, threads, num_states=num_states)
    return (
        f"about {format_count(math.ceil(found.seconds))} s "
        f"at the {found.rate * found.devices:.1e} states/s measured here"
    )


def _otherwise(backend: Backend, spectrum: Spectrum) -> Backend:
    """Return branch and bound with other settings than those that the certificate names."""
    solver: Any = backend
    steps = spectrum.proof.get("max_steps")
    used = spectrum.proof.get("threads")
    found: BranchAndBound = replace(
        solver,
        max_steps=60 if steps != 60 else 40,
        anchor_interval=64 if spectrum.proof.get("anchor_interval") != 64 else 512,
        threads=solver.threads or (1 if used != 1 else 2),
    )
    return found


def _compare(certificate: Certificate, reference: Spectrum) -> None:
    """Raise `SpectrumError` where the certificate claims what the reference, a proven spectrum of
    as many states, denies.
    """
    spectrum = certificate.spectrum
    proven = spectrum.num_proven
    same = (spectrum.states[:proven] == reference.states[:proven]).all(axis=1)
    same &= spectrum.energies[:proven] == reference.energies[:proven]
    if not same.all():
        first = int(np.flatnonzero(~same)[0])
        raise SpectrumError(
            f"state {first} should be {reference.removed(first)} with energy"
            f" {float(reference.energies[first])!r}, not {spectrum.removed(first)} with"
            f" {float(spectrum.energies[first])!r}."
        )
    listed = {state.tobytes() for state in spectrum.states}
    missing = [k for k, state in enumerate(reference.states) if state.tobytes() not in listed]
    outside = float(reference.energies[missing[0]]) if missing else reference.lower_bound
    if spectrum.lower_bound > outside:
        raise SpectrumError(
            f"no state outside the list is said to lie below {spectrum.lower_bound!r}, but one has"
            f" energy {outside!r}."
        )
    if _is_complete(spectrum):
        if spectrum.ties_truncated != reference.ties_truncated:
            raise SpectrumError(
                f"ties are {'' if reference.ties_truncated else 'not '}cut off, unlike the"
                " certificate says."
            )
        if certificate.next_energy not in (None, outside):
            raise SpectrumError(f"the next energy is {outside!r}, not {certificate.next_energy!r}.")


def _is_complete(spectrum: Spectrum) -> bool:
    """Whether every listed state is said to be proven, so that ties at the end are known."""
    return 0 < len(spectrum) == spectrum.num_proven


def _conclusion(report: Report, certificate: Certificate) -> tuple[str, str]:
    """Return what is known and what is only claimed, in words."""
    spectrum = certificate.spectrum
    facts = (
        "which engine made the proof and how (bounds of nodes, tree statistics, timings, versions,"
        " date)"
    )
    if not report.passed:
        return "that the certificate is wrong", "whatever no check passed"
    listed = (
        f"the {len(spectrum)} states are distinct, feasible and in order, with exactly these"
        " energies"
    )
    if not spectrum.num_proven:
        listed += "; none of them is proven to be among the lowest"
    claim = _claim(spectrum)
    if not claim:
        return listed, facts
    if _solved_anew(report):
        return f"{listed}; and {claim}, by engines that do not depend on the certificate's", facts
    return f"{listed}; and the states sampled refute nothing", f"{claim}; {facts}"


def _solved_anew(report: Report) -> bool:
    last = report.checks[-1]
    return last.name == "completeness" and last.outcome is Outcome.PASSED


def _only_claimed(
    report: Report, certificate: Certificate, problem: Problem, borrowed: Collection[str]
) -> tuple[str, ...]:
    """Return the fields of the file that nothing but the file speaks for."""
    if not report.passed:
        return ()
    spectrum = certificate.spectrum
    fields = [
        *("created", "versions", "platform", "hessian"),
        *(f"spectrum.{key}" for key in ("backend", "seed", "timings", "statistics")),
        *(f"spectrum.{key}" for key in ("num_evaluated", "native_status", "stop_reason")),
        *(f"spectrum.proof.{key}" for key in spectrum.proof if key != "next_energy"),
    ]
    if spectrum.status is not Status.PROVEN:
        fields.append("spectrum.status")
    if not (_solved_anew(report) and _is_complete(spectrum)):
        fields.append("spectrum.ties_truncated")
        if certificate.next_energy is not None:
            fields += ["next_energy", "spectrum.proof.next_energy"]
    if not _solved_anew(report) and _claim(spectrum):
        fields += ["spectrum.num_proven", "spectrum.lower_bound", "spectrum.status"]
    if "names" in borrowed or problem.names is None:
        fields += ["problem.names", "spectrum.names"]
    if "kinds" in borrowed:
        fields.append("problem.kinds")
    return tuple(dict.fromkeys(fields))


def _claim(spectrum: Spectrum) -> str:
    """Say what a spectrum claims beyond what it lists; empty if nothing."""
    claims = []
    if spectrum.num_proven:
        claims.append(f"the first {spectrum.num_proven} are the lowest of all")
    if spectrum.lower_bound == np.inf:
        claims.append("no state is missing")
    elif spectrum.lower_bound > -np.inf:
        claims.append(f"no state outside the list lies below {spectrum.lower_bound:.9g}")
    return ", and ".join(claims)
