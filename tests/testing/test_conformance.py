"""The conformance kit: the built-in backends pass every check, and every check catches what it is
for.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from qubo_prune import (
    Availability,
    Backend,
    Capability,
    InputError,
    Problem,
    QuboPruneError,
    RawResult,
    Stop,
    get_backend,
    solve,
)
from qubo_prune.backends import backend_class
from qubo_prune.core.version import __version__
from qubo_prune.testing import (
    CHECKS,
    Check,
    ConformanceError,
    brute_force,
    check_backend,
    conformance,
    hard_problem,
    harness,
    select_checks,
)
from qubo_prune.testing.problems import cases, swap_neighbours

ALL = {check.name: check for check in CHECKS}

BUILT_IN = {
    "branch-and-bound": 100,
    "enumeration": 100,
    "gurobi": 100,
    "scip": 100,
    "greedy": 100,
    "random": 100,
}
"""Built-in backends as they are by default, and the size of the problem on which their limits are
tried.
"""


@pytest.mark.parametrize("check", CHECKS, ids=str)
@pytest.mark.parametrize("name", BUILT_IN)
def test_built_in_backends_conform(name: str, check: Check) -> None:
    if not backend_class(name).availability().usable:
        pytest.skip(f"{name} cannot run here")
    configured = get_backend(name)
    if not check.applies_to(configured):
        pytest.skip(f"{name} does not claim what this checks")
    check(configured, BUILT_IN[name])


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(harness, "SHORT_RUN", 0.1)
    monkeypatch.setattr(harness, "GRACE", 0.4)


TOO_LONG = 0.8
"""Seconds that break every limit of an impatient kit."""

truth_of = lru_cache(brute_force)


@dataclass(frozen=True)
class Toy(Backend):
    """Everything that a backend can do, for small problems; one state on large ones."""

    threads: int | None = None

    name = "toy"
    summary = "brute force"
    capabilities = ~Capability.GPU

    def run(
        self,
        problem: Problem,
        num_states: int,
        stop: Stop,
        seed: int,
        warm_start: NDArray[np.bool_] | None = None,
    ) -> RawResult:
        if problem.num_states > 20_000:
            return self.wait(problem, stop)
        truth = truth_of(problem)
        states = np.array([problem.state(removed) for _, removed in truth[: num_states + 1]])
        rest = truth[len(states) :]
        return RawResult(
            states, len(states), rest[0][0] if rest else np.inf, len(truth), "", {"all": 0.1}
        )

    def wait(self, problem: Problem, stop: Stop) -> RawResult:
        begin, count = time.perf_counter(), 0
        while not self.is_over(stop, time.perf_counter() - begin, count):
            count += 1
            self.report(stop, count)
            time.sleep(0.01)
        state = problem.state(range(problem.num_removed))
        return RawResult(state[None], num_evaluated=count)

    def is_over(self, stop: Stop, elapsed: float, count: int) -> bool:
        return stop.should_stop(count)

    def report(self, stop: Stop, count: int) -> None:
        stop.report(count, 1 - 1 / count)


def toy(**attributes: Any) -> Toy:
    """A Toy with some class attributes or methods replaced."""
    return type("Broken", (Toy,), attributes)()


def changed(change: Callable[[Problem, RawResult], Any]) -> Toy:
    """A Toy whose `run` returns `change(problem, raw result)`."""

    def run(self: Toy, problem: Problem, *rest: Any) -> RawResult:
        return change(problem, Toy.run(self, problem, *rest))

    return toy(run=run)


def with_fields(**fields: Any) -> Toy:
    return changed(lambda problem, raw: replace(raw, **fields))


def extra_state(problem: Problem, raw: RawResult) -> RawResult:
    return replace(raw, states=np.vstack([raw.states, ~raw.states[:1]]))


def run_without_budget(backend: Toy, problem: Problem, *rest: Any) -> RawResult:
    plain = problem.with_remove(problem.remove)
    plain.__dict__["budget"] = None
    return Toy.run(backend, plain, *rest)


def first_one_short(problem: Problem, raw: RawResult) -> RawResult:
    """Where there is a budget, as if a state had to weigh more than it says."""
    if problem.budget is None or len(raw.states) < 2:
        return raw
    return RawResult(raw.states[1:])


def other_ties_first(problem: Problem, raw: RawResult) -> RawResult:
    """As if ties were in order of the last removed block: right energies, other states where a tie
    is cut.
    """
    wanted = len(raw.states) - 1
    truth = truth_of(problem)
    if wanted < 1 or wanted == len(truth):
        return raw
    ordered = sorted(truth, key=lambda entry: (entry[0], entry[1][::-1]))[:wanted]
    return RawResult(
        np.array([problem.state(removed) for _, removed in ordered]), wanted, ordered[-1][0]
    )


def crash_when_all_are_asked_for(
    self: Toy, problem: Problem, num_states: int, *rest: Any
) -> RawResult:
    if 10 < num_states == problem.num_states:
        raise IndexError("no state left")
    return Toy.run(self, problem, num_states, *rest)


def complete_when_stopped(
    self: Toy, problem: Problem, num_states: int, stop: Stop, *rest: Any
) -> RawResult:
    raw = Toy.run(self, problem, num_states, stop, *rest)
    return replace(raw, states=raw.states[::-1][:1], num_complete=1) if stop.should_stop(1) else raw


def confident(self: Toy, problem: Problem, stop: Stop) -> RawResult:
    return replace(Toy.wait(self, problem, stop), lower_bound=1e9)


def complete_on_large(self: Toy, problem: Problem, stop: Stop) -> RawResult:
    return replace(Toy.wait(self, problem, stop), num_complete=1)


def some_state(problem: Problem, number: int) -> RawResult:
    truth = truth_of(problem)
    return RawResult(problem.state(truth[number % len(truth)][1])[None])


def entropy(self: Toy, problem: Problem, *rest: Any) -> RawResult:
    return some_state(problem, int.from_bytes(os.urandom(4), "little"))


def narrow_seed(
    self: Toy, problem: Problem, num_states: int, stop: Stop, seed: int, *rest: Any
) -> RawResult:
    np.random.RandomState(seed)
    return Toy.run(self, problem, num_states, stop, seed, *rest)


def by_thread(self: Toy, problem: Problem, *rest: Any) -> RawResult:
    return some_state(problem, self.threads or 0)


def sort_warm_start(
    self: Toy,
    problem: Problem,
    num_states: int,
    stop: Stop,
    seed: int,
    warm_start: NDArray[np.bool_] | None = None,
) -> RawResult:
    if warm_start is not None:
        warm_start.sort(axis=1)
    return Toy.run(self, problem, num_states, stop, seed, warm_start)


def crash_when_stopped(
    self: Toy, problem: Problem, num_states: int, stop: Stop, *rest: Any
) -> RawResult:
    if stop.should_stop(1):
        raise IndexError("no state yet")
    return Toy.run(self, problem, num_states, stop, *rest)


def chatty(write: Callable[[], object]) -> Toy:
    def run(self: Toy, problem: Problem, *rest: Any) -> RawResult:
        write()
        return Toy.run(self, problem, *rest)

    return toy(run=run)


def highest_state(self: Toy, problem: Problem, *rest: Any) -> RawResult:
    return some_state(problem, -1)


def no_warm_start(self: Toy, problem: Problem, num_states: int, stop: Stop, seed: int) -> RawResult:
    return Toy.run(self, problem, num_states, stop, seed)


def ignores(limit: Callable[[Stop], object]) -> Callable[..., bool]:
    return lambda self, stop, elapsed, count: (
        elapsed > TOO_LONG or (not limit(stop) and stop.should_stop(count))
    )


@dataclass
class Thawed(Backend):
    """Options can be changed behind the back of a run."""

    history: list[int] = field(default_factory=list)

    name = "thawed"
    summary = "not frozen"
    capabilities = Capability.NONE

    def run(
        self,
        problem: Problem,
        num_states: int,
        stop: Stop,
        seed: int,
        warm_start: NDArray[np.bool_] | None = None,
    ) -> None:
        raise NotImplementedError


BROKEN = [
    ("declarations", toy(name="")),
    ("declarations", toy(summary="two\nlines")),
    ("declarations", toy(name="two words")),
    ("declarations", toy(capabilities=3)),
    ("declarations", Thawed()),
    ("declarations", "a string"),
    ("availability", toy(availability=classmethod(lambda cls: "yes"))),
    ("availability", toy(availability=classmethod(lambda cls: Availability("maybe")))),
    ("availability", toy(availability=classmethod(lambda cls: Availability(False)))),
    (
        "availability",
        toy(availability=classmethod(lambda cls: Availability(False, install="pip install toy"))),
    ),
    ("availability", toy(availability=classmethod(lambda cls: Availability(licensed=1)))),
    ("availability", toy(availability=classmethod(lambda cls: Availability(detail=None)))),
    (
        "availability",
        toy(availability=classmethod(lambda cls: Availability(detail=os.urandom(8).hex()))),
    ),
    ("options", toy(configured=classmethod(lambda cls, **options: Toy()))),
    ("options", toy(configured=classmethod(lambda cls, **options: cls(**options)))),
    ("result", changed(lambda problem, raw: None)),
    ("result", changed(lambda problem, raw: replace(raw, states=raw.states.astype(np.int8)))),
    ("result", changed(lambda problem, raw: replace(raw, states=raw.states.tolist()))),
    ("result", changed(lambda problem, raw: replace(raw, states=raw.states[0]))),
    ("result", changed(lambda problem, raw: replace(raw, states=raw.states[:, :-1]))),
    ("result", changed(lambda problem, raw: replace(raw, num_complete=len(raw.states) + 1))),
    ("result", with_fields(num_complete=1.0)),
    ("result", with_fields(num_evaluated=-1)),
    ("result", with_fields(num_evaluated=np.int64(3))),
    ("result", with_fields(lower_bound=np.nan)),
    ("result", with_fields(lower_bound=None)),
    ("result", with_fields(native_status=None)),
    ("result", with_fields(timings=None)),
    ("result", with_fields(timings={"search": "fast"})),
    ("result", with_fields(timings={"search": -1.0})),
    ("result", with_fields(proof={"root_bound": np.inf})),
    ("result", with_fields(statistics=None)),
    ("result", with_fields(statistics={"samples": np.int64(3)})),
    ("result", with_fields(proof=None)),
    ("result", with_fields(proof={"bound": np.inf})),
    ("result", with_fields(proof={"nodes": np.int64(3)})),
    ("result", with_fields(proof={3: "nodes"})),
    ("feasible", changed(extra_state)),
    ("distinct", changed(lambda p, raw: replace(raw, states=raw.states.repeat(2, axis=0)))),
    ("spectrum", toy(run=crash_when_all_are_asked_for)),
    ("output", chatty(lambda: print("Restricted license"))),
    ("output", chatty(lambda: os.write(1, b"Restricted license"))),
    ("known states", toy(run=sort_warm_start)),
    ("known states", toy(run=no_warm_start)),
    ("budget", toy(run=run_without_budget)),
    ("budget", changed(first_one_short)),
    ("exact", changed(other_ties_first)),
    ("exact", changed(lambda problem, raw: RawResult(raw.states))),
    ("exact", changed(lambda problem, raw: RawResult(raw.states[1:]))),
    ("proof", toy(run=complete_when_stopped)),
    ("proof", with_fields(lower_bound=np.inf)),
    ("proof", changed(lambda problem, raw: RawResult(raw.states, 0, raw.lower_bound + 1.0))),
    ("proof", changed(lambda problem, raw: RawResult(raw.states[1:], len(raw.states) - 1))),
    ("bound under a limit", toy(wait=confident)),
    ("bound under a limit", toy(wait=complete_on_large)),
    ("seeds", toy(run=entropy)),
    ("seeds", toy(run=narrow_seed)),
    ("threads", toy(run=by_thread)),
    ("stopped early", toy(run=crash_when_stopped)),
    ("stopped early", toy(is_over=ignores(lambda stop: stop.max_evaluations))),
    ("time limit", toy(is_over=ignores(lambda stop: stop.time_limit))),
    ("time limit", toy(wait=lambda self, problem, stop: 1 / 0)),
    ("cancelled before", toy(is_over=ignores(lambda stop: not stop.time_limit))),
    ("cancelled from a thread", toy(is_over=ignores(lambda stop: not stop.time_limit))),
    ("progress", toy(report=lambda self, stop, count: None)),
    ("progress", toy(report=lambda self, stop, count: stop.report(-count))),
    ("progress", toy(report=lambda self, stop, count: stop.report(100 - count))),
    ("progress", toy(report=lambda self, stop, count: stop.report(1.5))),
    ("progress", toy(report=lambda self, stop, count: stop.report(count, float(count)))),
    ("progress", toy(report=lambda self, stop, count: stop.report(count, 1 / count))),
    ("progress", toy(report=lambda self, stop, count: stop.report(count, None, None))),
    ("warm start", toy(run=highest_state)),
]


@pytest.mark.parametrize(
    ("name", "backend"), BROKEN, ids=[f"{i} {name}" for i, (name, _) in enumerate(BROKEN)]
)
def test_a_broken_backend_fails_its_check(impatient: None, name: str, backend: Backend) -> None:
    with pytest.raises(ConformanceError, match=r"expected .*; received") as caught:
        ALL[name](backend)
    assert isinstance(caught.value, QuboPruneError)
    assert caught.value.check == name
    assert f"fails the check '{name}'" in str(caught.value)


def test_every_check_has_a_backend_that_fails_it() -> None:
    assert {name for name, _ in BROKEN} == set(ALL)


def test_names_of_checks_are_distinct_and_explained() -> None:
    assert len(ALL) == len(CHECKS)
    assert all(check.summary and str(check) == check.name for check in CHECKS)


def test_a_good_backend_passes(impatient: None) -> None:
    check_backend(Toy())


def test_the_first_failure_is_raised(impatient: None) -> None:
    with pytest.raises(ConformanceError, match="'feasible'"):
        check_backend(changed(extra_state))


def test_an_error_of_the_backend_is_reported_with_its_cause(impatient: None) -> None:
    with pytest.raises(ConformanceError, match="received KeyError: 'no'") as caught:
        ALL["result"](changed(lambda problem, raw: raw.timings["no"]))
    assert isinstance(caught.value.__cause__, KeyError)


def test_checks_apply_by_capability(impatient: None) -> None:
    modest = toy(run=entropy, capabilities=Capability.NONE)
    check_backend(modest)
    assert [check.name for check in CHECKS if check.applies_to(modest)] == [
        "declarations",
        "availability",
        "options",
        "result",
        "feasible",
        "distinct",
        "spectrum",
        "output",
        "known states",
    ]


def test_a_backend_that_can_only_be_cancelled_is_cancelled(impatient: None) -> None:
    check_backend(toy(capabilities=~(Capability.GPU | Capability.TIME_LIMIT)))


def test_a_small_solver_gets_a_smaller_problem(impatient: None) -> None:
    sizes = []

    def wait(self, problem: Problem, stop: Stop) -> RawResult:
        sizes.append(problem.num_blocks)
        return Toy.wait(self, problem, stop)

    check_backend(toy(wait=wait), num_blocks=20)
    assert set(sizes) == {20}


def test_checks_are_left_out_by_name_and_by_pattern(impatient: None) -> None:
    lazy = toy(run=entropy, capabilities=Capability.SEEDED)
    with pytest.raises(ConformanceError, match="'seeds'"):
        check_backend(lazy)
    check_backend(lazy, exclude=["seeds", "threads"])
    left = [check.name for check in select_checks(exclude=("cancelled*", "proof"))]
    assert left == [name for name in ALL if not name.startswith("cancelled") and name != "proof"]
    with pytest.raises(InputError, match="no check with 'cancelled'; the checks are declarations,"):
        select_checks(exclude=["cancelled"])
    with pytest.raises(
        InputError, match=r"must be a list of names, not 'seeds'; write \['seeds'\]"
    ):
        check_backend(Toy(), exclude="seeds")


def test_checks_of_later_versions_are_left_out(
    monkeypatch: pytest.MonkeyPatch, impatient: None
) -> None:
    later = [replace(ALL["seeds"], since=since) for since in ("0.1.1", "0.2.0", "1.10.0")]
    monkeypatch.setattr(conformance, "CHECKS", (ALL["result"], *later))
    chosen = {
        until: [check.since for check in select_checks(until=until)]
        for until in ("0.0", "0.1.0", "0.1", "0.2", "1.9", "2")
    }
    assert chosen == {
        "0.0": [],
        "0.1.0": ["0.1.0"],
        "0.1": ["0.1.0", "0.1.1"],
        "0.2": ["0.1.0", "0.1.1", "0.2.0"],
        "1.9": ["0.1.0", "0.1.1", "0.2.0"],
        "2": ["0.1.0", "0.1.1", "0.2.0", "1.10.0"],
    }
    check_backend(toy(run=entropy), until="0.1.0")
    with pytest.raises(ConformanceError, match="'seeds'"):
        check_backend(toy(run=entropy), until="0.1")
    for until in ("", "v1", "0.1rc1"):
        with pytest.raises(InputError, match="a version is numbers with dots"):
            check_backend(Toy(), until=until)


def test_no_check_is_of_a_version_to_come() -> None:
    assert select_checks(until=__version__) == CHECKS


def test_brute_force_is_a_spectrum() -> None:
    problem = Problem(
        np.diag([1.0, 1.0, 2.0, 0.5]),
        {"a": 1, "b": 1},
        kinds=["a", "a", "b", "c"],
        gradient=[0, 0, 1, 0],
        beta=1,
    )
    assert brute_force(problem) == [(5.0, (0, 2)), (5.0, (1, 2))]


def test_the_cases_cover_what_they_should() -> None:
    found = cases()
    assert len({case.name for case in found}) == len(found)
    assert all(len(case.spectrum) == case.problem.num_states <= 200 for case in found)
    assert all(case.problem.groups for case in found)  # a backend gets no others
    assert min(case.problem.num_states for case in found) == 2
    assert any(len(case.problem.groups) > 1 for case in found)
    levels = [len({energy for energy, _ in case.spectrum}) for case in found]
    assert levels.count(1) == 2
    assert sum(few < case.problem.num_states for few, case in zip(levels, found, strict=True)) > 5


def test_the_hard_problem_is_hard() -> None:
    spectrum = solve(hard_problem(), num_states=1, time_limit=1)
    assert spectrum.status.value == "partial"


def test_neighbours_keep_the_counts() -> None:
    problem = Problem(np.zeros((6, 6)), {"a": 1, "b": 2}, kinds=["a", "a", "b", "b", "b", "c"])
    state = problem.state([0, 2, 3])
    neighbours = swap_neighbours(problem, state[None])
    assert len(neighbours) == 1 + 1 + 2
    assert problem.is_feasible(neighbours).all()
    assert (np.count_nonzero(neighbours != state, axis=1) <= 2).all()
