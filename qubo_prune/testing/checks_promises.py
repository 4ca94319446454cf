"""Checks of capabilities: what a backend says of itself must be true."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np

from qubo_prune.backends.base import Backend, Capability, RawResult
from qubo_prune.core.errors import BackendError
from qubo_prune.core.problem.problem import Problem
from qubo_prune.core.spectrum.spectrum import Spectrum
from qubo_prune.core.spectrum.status import Status
from qubo_prune.core.stopping import Stop, StopReason
from qubo_prune.solving.solve import solve
from qubo_prune.testing import harness
from qubo_prune.testing.harness import Recorder, Tap, expect, ranked, short_run, warm_up
from qubo_prune.testing.problems import (
    Case,
    budget_cases,
    cases,
    medium_problem,
    swap_neighbours,
)

_SEEDS = (0, 1, 2**40)
"""The last one does not fit into 32 bits, which some libraries expect."""


def check_exact(backend: Backend, _num_blocks: int) -> None:
    """Return the spectrum of brute force bit for bit, for any number of states, also where ties are
    cut off.
    """
    proves = Capability.PROVES in type(backend).capabilities
    for case in cases():
        for num_states in case.sizes():
            spectrum = solve(case.problem, num_states=num_states, backend=backend)
            truth = case.spectrum[:num_states]
            where = f"for {case.name} with num_states={num_states}"
            expect(
                ranked(spectrum) == truth,
                f"{len(truth)} states {where}, beginning with {truth[:2]}",
                f"{len(spectrum)}, beginning with"
                f" {ranked(spectrum)[:2]}{_difference(spectrum, truth)}",
            )
            if proves:
                expect(spectrum.status is Status.PROVEN, f"PROVEN {where}", spectrum.status)


def _difference(spectrum: Spectrum, truth: list[Any]) -> str:
    for index, (ours, theirs) in enumerate(zip(ranked(spectrum), truth, strict=False)):
        if ours != theirs:
            return f", and {ours} for {theirs} at {index}"
    return ""


def check_proof(backend: Backend, _num_blocks: int) -> None:
    """Claim nothing false about what is proven, also when stopped at any moment."""
    for case in cases():
        sizes = case.sizes()
        for num_states in {sizes[0], sizes[len(sizes) // 2], sizes[-1]}:
            for what, make_stop in {"not stopped": Stop, **_EARLY_STOPS}.items():
                where = f"for {case.name} with num_states={num_states}, {what}"
                tap = Tap(backend)
                refused = None
                try:
                    spectrum = solve(
                        case.problem, num_states=num_states, backend=tap, stop=make_stop()
                    )
                except BackendError as error:
                    refused = error
                if tap.raw is not None:
                    _check_raw_claims(case, tap.raw, where)
                if refused is not None:
                    raise refused
                _check_spectrum_claims(case, spectrum, num_states, where)


_EARLY_STOPS: dict[str, Callable[[], Stop]] = {
    "stopped after one evaluation": lambda: Stop(max_evaluations=1),
    "cancelled before": lambda: Recorder(questions=0),
    "cancelled at its third question": lambda: Recorder(questions=2),
}


def _check_raw_claims(case: Case, raw: RawResult, where: str) -> None:
    held = {tuple(np.flatnonzero(state).tolist()) for state in raw.states}
    missing = (rank for rank, (_, removed) in enumerate(case.spectrum) if removed not in held)
    first = next(missing, len(case.spectrum))
    expect(
        raw.num_complete <= first,
        f"num_complete to be at most {first} {where}, since state {first} is missing",
        raw.num_complete,
    )
    if first < len(case.spectrum):
        lowest = case.spectrum[first][0]
        expect(
            raw.lower_bound <= lowest,
            f"RawResult.lower_bound to be at most {lowest!r}, the energy of a missing state,"
            f" {where}",
            repr(raw.lower_bound),
        )


def _check_spectrum_claims(case: Case, spectrum: Spectrum, num_states: int, where: str) -> None:
    spectrum.check(case.problem)
    listed = ranked(spectrum)
    proven = listed[: spectrum.num_proven]
    truth = case.spectrum[: len(proven)]
    expect(proven == truth, f"the proven states to be {truth} {where}", proven)
    lowest = min((energy for energy, _ in set(case.spectrum) - set(listed)), default=math.inf)
    expect(
        spectrum.lower_bound <= lowest,
        f"Spectrum.lower_bound to be at most {lowest!r}, the energy of a missing state, {where}",
        repr(spectrum.lower_bound),
    )
    wanted = min(num_states, len(case.spectrum))
    expect(
        spectrum.status is not Status.PROVEN or len(spectrum) == wanted,
        f"a PROVEN spectrum to have {wanted} states {where}",
        f"{len(spectrum)} states",
    )


def check_budget(backend: Backend, _num_blocks: int) -> None:
    """Return only states that reach a budget; if it is exact, all that there are."""
    exact = Capability.EXACT in type(backend).capabilities
    for case in budget_cases():
        for num_states in (1, 10, case.problem.num_states):
            where = f"for {case.name} with num_states={num_states}"
            tap = Tap(backend)
            refused = None
            try:
                spectrum = solve(case.problem, num_states=num_states, backend=tap)
            except BackendError as error:
                refused = error
            if tap.raw is not None:
                states = np.asarray(tap.raw.states, np.bool_)
                missed = states[~case.problem.is_feasible(states)]
                expect(
                    not len(missed),
                    f"only states that reach the budget {where}",
                    [np.flatnonzero(state).tolist() for state in missed[:1]],
                )
            if refused is not None:
                raise refused
            _check_spectrum_claims(case, spectrum, num_states, where)
            truth = case.spectrum[:num_states]
            expect(
                len(spectrum) > 0 and set(ranked(spectrum)) <= set(case.spectrum),
                f"energies equal to brute force {where}",
                ranked(spectrum)[:3],
            )
            expect(
                not exact or ranked(spectrum) == truth,
                f"{len(truth)} states {where}, beginning with {truth[:2]}",
                f"{len(spectrum)}, beginning with {ranked(spectrum)[:2]}",
            )


def check_stopped_early(backend: Backend, num_blocks: int) -> None:
    """Give a valid spectrum when stopped at any moment, and heed a limit of evaluations."""
    for case in cases():
        for what, make_stop in _EARLY_STOPS.items():
            spectrum = solve(case.problem, num_states=10, backend=backend, stop=make_stop())
            spectrum.check(case.problem)
            truth = set(case.spectrum)
            expect(
                set(ranked(spectrum)) <= truth,
                f"energies equal to brute force for {case.name}, {what}",
                ranked(spectrum)[:3],
            )
    warm_up(backend, num_blocks)
    # Cancelled if it heeds no such limit.
    problem, spectrum, seconds = short_run(
        backend, num_blocks, Stop(max_evaluations=1), cancel_after=harness.GRACE
    )
    _expect_ended(problem, spectrum, seconds, 0.0, StopReason.EVALUATION_LIMIT)


def check_bound_under_limit(backend: Backend, num_blocks: int) -> None:
    """Keep its claims on a problem too hard to finish: no state one swap away may refute them."""
    capabilities = type(backend).capabilities
    if not capabilities & (Capability.TIME_LIMIT | Capability.CANCEL):
        return
    problem, spectrum, _ = short_run(backend, num_blocks)
    spectrum.check(problem)
    lowest = _lowest_outside(problem, spectrum)
    expect(
        spectrum.lower_bound <= lowest,
        f"lower_bound to be at most {lowest!r}, the energy of a state that is not listed",
        repr(spectrum.lower_bound),
    )
    if spectrum.num_proven:
        last = float(spectrum.energies[spectrum.num_proven - 1])
        expect(
            last <= lowest,
            f"no proven state above {lowest!r}, the energy of a state that is not listed",
            repr(last),
        )


def _lowest_outside(problem: Problem, spectrum: Spectrum) -> float:
    listed = {row.tobytes() for row in spectrum.states}
    neighbours = swap_neighbours(problem, spectrum.states[:10])
    outside = [row for row in neighbours if row.tobytes() not in listed]
    return float(problem.energies(np.array(outside)).min()) if outside else math.inf


def check_seeds(backend: Backend, num_blocks: int) -> None:
    """Give the same states for the same seed, whatever its size."""
    for problem in _seeded_problems(num_blocks):
        for seed in _SEEDS:
            first, second = (
                solve(problem, num_states=10, backend=backend, seed=seed) for _ in range(2)
            )
            expect(
                ranked(first) == ranked(second),
                f"the same states twice with seed {seed} for {problem}, beginning with"
                f" {ranked(first)[:1]}",
                ranked(second)[:1],
            )


def check_threads(backend: Backend, num_blocks: int) -> None:
    """Give the same states on any number of threads, if there is an option `threads`."""
    if "threads" not in type(backend).options():
        return
    for problem in _seeded_problems(num_blocks):
        alone, *others = (
            solve(
                problem,
                num_states=10,
                # A backend with that option is a dataclass with that field.
                backend=replace(backend, threads=threads),  # type: ignore[type-var]
                seed=1,
            )
            for threads in (1, 2, 3)
        )
        for threads, other in enumerate(others, start=2):
            expect(
                ranked(other) == ranked(alone),
                f"the same states on {threads} threads as on one for {problem}",
                ranked(other)[:1],
            )


def _seeded_problems(num_blocks: int) -> list[Problem]:
    return [medium_problem(num_blocks), *(case.problem for case in cases()[:8])]


def check_time_limit(backend: Backend, num_blocks: int) -> None:
    """Stop near the time limit with a valid spectrum."""
    warm_up(backend, num_blocks)
    problem, spectrum, seconds = short_run(backend, num_blocks, Stop(harness.SHORT_RUN))
    _expect_ended(problem, spectrum, seconds, harness.SHORT_RUN, StopReason.TIME_LIMIT)


def check_cancelled_before(backend: Backend, num_blocks: int) -> None:
    """Return soon, with a valid spectrum, when it was cancelled before it started."""
    warm_up(backend, num_blocks)
    stop = Stop()
    stop.cancel()
    problem, spectrum, seconds = short_run(backend, num_blocks, stop)
    _expect_ended(problem, spectrum, seconds, 0.0, StopReason.INTERRUPTED)


def check_cancelled_from_thread(backend: Backend, num_blocks: int) -> None:
    """Return soon, with a valid spectrum, when another thread cancels it."""
    warm_up(backend, num_blocks)
    problem, spectrum, seconds = short_run(backend, num_blocks, Stop())
    _expect_ended(problem, spectrum, seconds, harness.SHORT_RUN, StopReason.INTERRUPTED)


def _expect_ended(
    problem: Problem, spectrum: Spectrum, seconds: float, limit: float, reason: StopReason
) -> None:
    expect(
        seconds <= limit + harness.GRACE,
        f"an end within {limit + harness.GRACE} s, {limit} s of which are the limit",
        f"{seconds:.2f} s",
    )
    spectrum.check(problem)
    expect(
        spectrum.stop_reason in (reason, StopReason.COMPLETED),
        f"the stop reason {reason.value!r}, or 'completed' if it was done before",
        repr(spectrum.stop_reason.value),
    )


def check_progress(backend: Backend, num_blocks: int) -> None:
    """Report counts and fractions that only grow, at least once in a run that takes its time."""
    limited = Capability.TIME_LIMIT in type(backend).capabilities
    stop = Recorder(time_limit=harness.SHORT_RUN if limited else None)
    short_run(backend, num_blocks, stop)
    expect(bool(stop.reports), "a call of stop.report", "none")
    previous_count, previous_fraction = 0, 0.0
    for count, fraction, message in stop.reports:
        expect(
            type(count) is int and count >= previous_count,
            f"a count of evaluations of at least {previous_count}",
            repr(count),
        )
        expect(isinstance(message, str), "a message of type str", repr(message))
        previous_count = count
        if fraction is not None:
            expect(
                previous_fraction <= fraction <= 1,
                f"a fraction between {previous_fraction} and 1",
                repr(fraction),
            )
            previous_fraction = fraction


def check_warm_start_accepted(backend: Backend, _num_blocks: int) -> None:
    """Take states to start from, used or not, and leave them as they are."""
    for case in cases():
        known = np.array([case.problem.state(removed) for _, removed in case.spectrum[-2:]])
        before = known.copy()
        wanted = min(3, case.problem.num_states)
        backend.run(case.problem, wanted, Stop(), 0, known)
        expect(
            np.array_equal(known, before), f"warm_start untouched for {case.name}", known.tolist()
        )


def check_warm_start(backend: Backend, _num_blocks: int) -> None:
    """Be no worse than the best of the states that it starts from."""
    for case in cases():
        for what, chosen in (("best", case.spectrum[:2]), ("worst", case.spectrum[-2:])):
            known = np.array([case.problem.state(removed) for _, removed in chosen])
            spectrum = solve(case.problem, num_states=3, backend=backend, warm_start=known)
            best = chosen[0][0]
            expect(
                len(spectrum) > 0 and spectrum.energies[0] <= best,
                f"a state of energy {best!r} or below when {case.name} starts from its {what}"
                " states",
                spectrum.energies[:1],
            )
