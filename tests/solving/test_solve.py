"""solve() and sweep(): backends are not believed, arguments are checked, and whatever ends a run
leaves a valid spectrum.
"""

from __future__ import annotations

import json
import math
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from qubo_prune import (
    Backend,
    BackendError,
    Capability,
    InputError,
    Problem,
    Progress,
    RawResult,
    Spectrum,
    Status,
    Stop,
    StopReason,
    solve,
    sweep,
)
from qubo_prune.backends import backend_class, backend_names
from qubo_prune.testing import brute_force, hard_problem
from qubo_prune.testing.harness import ranked
from qubo_prune.testing.problems import Case, swap_neighbours
from tests.strategies import NO_CHOICE

EXACT = ["branch-and-bound", "enumeration"]
PROBLEM = Problem(np.diag([1.0, 2.0, 3.0, 4.0, 5.0]), 2)
TRUTH = brute_force(PROBLEM)
STATES = np.array([PROBLEM.state(removed) for _, removed in TRUTH])
LENIENT = 5.0
"""Seconds that a busy machine may add to a limit."""


@dataclass(frozen=True)
class Fake(Backend):
    """Does what it is told to; claims that it can prove."""

    act: Callable[..., Any]

    name = "fake"
    summary = "for tests"
    capabilities = Capability.PROVES | Capability.WARM_START

    def run(
        self, problem: Problem, num_states: int, stop: Stop, seed: int, warm_start: Any = None
    ) -> Any:
        return self.act(problem=problem, num_states=num_states, stop=stop, warm_start=warm_start)


def returning(result: Any) -> Fake:
    return Fake(lambda **_: result)


def raising(error: BaseException) -> Fake:
    def act(**_: Any) -> Any:
        raise error

    return Fake(act)


@pytest.mark.parametrize(
    "error", [ValueError("negative"), ZeroDivisionError(), RecursionError(), OSError("no device")]
)
def test_a_crash_is_a_backend_error(error: Any) -> None:
    with pytest.raises(BackendError, match=f"'fake' failed: {type(error).__name__}") as caught:
        solve(PROBLEM, backend=raising(error))
    assert caught.value.__cause__ is error


def test_errors_raised_on_purpose_pass() -> None:
    with pytest.raises(InputError, match="too many blocks"):
        solve(PROBLEM, backend=raising(InputError("too many blocks")))


def test_lack_of_memory_names_the_remedy() -> None:
    with pytest.raises(InputError, match=r"not enough memory for num_states=7 .*; ask for fewer"):
        solve(PROBLEM, num_states=7, backend=raising(MemoryError()))


def test_ctrl_c_is_not_a_backend_error() -> None:
    with pytest.raises(KeyboardInterrupt):
        solve(PROBLEM, backend=raising(KeyboardInterrupt()))


class Unreadable:
    def __array__(self, *_: Any, **__: Any) -> None:
        raise KeyError("gone")


GARBAGE = {
    "None": None,
    "an array": STATES,
    "a tuple": (STATES, 1),
    "no states": RawResult(None),
    "states as text": RawResult("101"),
    "objects": RawResult(np.array([[object()] * 5])),
    "ragged": RawResult([[1, 0], [1]]),
    "two as bool": RawResult(STATES.astype(int) * 2),
    "NaN": RawResult(np.full((1, 5), np.nan)),
    "complex": RawResult(STATES.astype(complex)),
    "too narrow": RawResult(STATES[:, :4]),
    "too wide": RawResult(np.hstack([STATES, STATES])),
    "3-D": RawResult(STATES[None]),
    "infeasible": RawResult(~STATES),
    "one infeasible": RawResult(np.vstack([STATES, np.ones((1, 5), bool)])),
    "a state twice": RawResult(STATES[[0, 1, 0]]),
    "num_complete too large": RawResult(STATES[:3], 4),
    "num_complete without states": RawResult(STATES[:0], 1),
    "num_complete negative": RawResult(STATES, -1),
    "num_complete as float": RawResult(STATES, 1.0),
    "num_complete as text": RawResult(STATES, "all"),
    "num_complete as None": RawResult(STATES, None),
    "lower_bound NaN": RawResult(STATES, 1, math.nan),
    "lower_bound None": RawResult(STATES, 1, None),
    "lower_bound as text": RawResult(STATES, 1, "-inf"),
    "lower_bound as array": RawResult(STATES, 1, np.zeros(3)),
    "lower_bound complex": RawResult(STATES, 1, 1j),
    "nothing outside, but states are missing": RawResult(STATES[:3], 3, math.inf),
    "num_evaluated negative": RawResult(STATES, num_evaluated=-3),
    "num_evaluated as float": RawResult(STATES, num_evaluated=1e9),
    "num_evaluated None": RawResult(STATES, num_evaluated=None),
    "native_status None": RawResult(STATES, native_status=None),
    "native_status as number": RawResult(STATES, native_status=2),
    "timings None": RawResult(STATES, timings=None),
    "timings as list": RawResult(STATES, timings=[("search", 1.0)]),
    "timings as text": RawResult(STATES, timings={"search": "fast"}),
    "timings of None": RawResult(STATES, timings={"search": None}),
    "timings of NaN": RawResult(STATES, timings={"search": math.nan}),
    "timings by number": RawResult(STATES, timings={1: 0.5}),
    "num_complete as bool": RawResult(STATES, True),
    "states that cannot be read": RawResult(Unreadable()),
    "statistics None": RawResult(STATES, statistics=None),
    "statistics with NaN": RawResult(STATES, statistics={"fraction": math.nan}),
    "statistics of arrays": RawResult(STATES, statistics={"samples": np.zeros(2)}),
}


@pytest.mark.parametrize("result", GARBAGE.values(), ids=GARBAGE.keys())
def test_garbage_is_a_backend_error(result: Any) -> None:
    with pytest.raises(BackendError, match="'fake'"):
        solve(PROBLEM, num_states=3, backend=returning(result))


def test_a_backend_that_exits_or_cannot_prepare_is_reported() -> None:
    with pytest.raises(BackendError, match="'fake' failed: SystemExit: 3"):
        solve(PROBLEM, backend=raising(SystemExit(3)))

    @dataclass(frozen=True)
    class Unprepared(Fake):
        def prepare(self) -> None:
            raise ImportError("libnumquam.so.3 not found")

    with pytest.raises(BackendError, match="'fake' failed: ImportError: libnumquam"):
        solve(PROBLEM, backend=Unprepared(lambda **_: None))


@pytest.mark.parametrize(("what", "value"), [("name", None), ("capabilities", 3)])
def test_a_backend_must_say_what_it_is(what: Any, value: Any) -> None:
    broken = type("Broken", (Fake,), {what: value})(lambda **_: RawResult(STATES))
    with pytest.raises(BackendError, match=f"Broken declares {value} as its {what}"):
        solve(PROBLEM, backend=broken)


def test_a_proof_that_a_known_state_contradicts_is_not_believed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # What a search of our own would refute is another test: tests/test_trust.py.
    monkeypatch.setattr("qubo_prune.solving.checking.likely_states", lambda *_: iter(()))
    claim = returning(RawResult(STATES[1:4], 3, 10.0))
    assert solve(PROBLEM, num_states=3, backend=claim).num_proven == 3
    with pytest.raises(BackendError, match=r"started from has the energy 3\.0"):
        solve(PROBLEM, num_states=3, backend=claim, warm_start=STATES[:1])
    known = solve(PROBLEM, num_states=3, backend=claim, warm_start=STATES[1:2])
    assert known.num_proven == 3


def test_a_backend_cannot_change_the_states_it_starts_from() -> None:
    def act(warm_start: Any, **_: Any) -> Any:
        warm_start[:] = False
        return RawResult(STATES)

    known = STATES[:2].copy()
    with pytest.raises(BackendError, match="read-only"):
        solve(PROBLEM, backend=Fake(act), warm_start=known)
    np.testing.assert_array_equal(known, STATES[:2])
    assert known.flags.writeable


def unlocked(array: Any) -> Any:
    array.flags.writeable = True
    return array


def from_the_base(array: Any) -> Any:
    while isinstance(array.base, np.ndarray):
        array = array.base
    return unlocked(np.asarray(array if array.base is None else array.base.obj))


CHANGES = {
    "an entry": lambda p: p.hessian.__setitem__((0, 0), 7.0),
    "a view": lambda p: p.hessian.T.__setitem__((0, 1), 7.0),
    "a row": lambda p: p.hessian[0].fill(0.0),
    "in place": lambda p: np.multiply(p.hessian, 2.0, out=p.hessian),
    "the flag": lambda p: unlocked(p.hessian).fill(1.0),
    "the flag of a view": lambda p: unlocked(p.hessian[1:]).fill(1.0),
    "the base": lambda p: from_the_base(p.hessian).fill(1.0),
    "a sign of the base": lambda p: np.negative(*[from_the_base(p.hessian)[:1, 1:]] * 2),
    "the linear terms": lambda p: from_the_base(p.linear).fill(1.0),
    "a group": lambda p: from_the_base(p.groups[0].indices).fill(1),
    "another matrix": lambda p: p.__dict__.update(hessian=2.0 * p.hessian),
    "another count": lambda p: p.__dict__.update(_constraint=p.with_remove(1)._constraint),
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES.keys())
@pytest.mark.parametrize("warm", [False, True])
def test_a_backend_that_changes_the_problem_is_named(change: Any, warm: bool) -> None:
    """What cannot be prevented is seen afterwards; nothing is made of such an answer."""
    matrix = np.diag(np.arange(1.0, 6.0)) + 0.25

    def act(problem: Problem, **_: Any) -> RawResult:
        change(problem)
        return RawResult(problem.state([0, 1])[None])

    problem = Problem(matrix, remove=2)
    start = problem.state([0, 1])[None] if warm else None
    with pytest.raises(BackendError, match=r"backend 'fake' (changed the problem|failed: )"):
        solve(problem, num_states=1, backend=Fake(act), warm_start=start)


def test_the_matrix_of_the_caller_is_nobody_elses() -> None:
    matrix = np.diag(np.arange(1.0, 6.0))
    problem = Problem(matrix, remove=2)
    with pytest.raises(BackendError, match="'fake'"):
        solve(problem, backend=Fake(lambda problem, **_: unlocked(problem.hessian).fill(0.0)))
    assert np.array_equal(problem.hessian, np.diag(np.arange(1.0, 6.0)))
    assert problem.energies(problem.state([0, 1])) == 3.0


def test_states_are_sorted_and_cut_and_energies_recomputed() -> None:
    spectrum = solve(PROBLEM, num_states=4, backend=returning(RawResult(STATES[::-1], 5)))
    assert ranked(spectrum) == TRUTH[:4]
    assert (spectrum.status, spectrum.num_proven) == (Status.PROVEN, 4)
    assert spectrum.lower_bound == TRUTH[4][0]
    spectrum.check(PROBLEM)


def test_fewer_states_than_asked_for_are_partial() -> None:
    spectrum = solve(PROBLEM, num_states=4, backend=returning(RawResult(STATES[[0, 1, 7]], 2)))
    assert (spectrum.status, spectrum.num_proven, len(spectrum)) == (Status.PARTIAL, 2, 3)
    assert spectrum.lower_bound == TRUTH[1][0]
    spectrum.check(PROBLEM)


@pytest.mark.parametrize("suffix", [".json", ".npz"])
def test_statistics_reach_the_spectrum_and_its_files(tmp_path: Path, suffix: str) -> None:
    statistics = {"feasible_fraction": 0.1, "samples": 10, "formulation": "penalty"}
    raw = RawResult(STATES, 1, statistics=statistics)
    spectrum = solve(PROBLEM, num_states=3, backend=returning(raw))
    assert spectrum.statistics == spectrum[:1].statistics == statistics
    spectrum.save(tmp_path / f"s{suffix}")
    assert Spectrum.load(tmp_path / f"s{suffix}").statistics == statistics
    assert "statistics" not in solve(PROBLEM).to_dict()


def test_no_states_are_a_spectrum() -> None:
    spectrum = solve(PROBLEM, backend=returning(RawResult(STATES[:0])))
    assert (len(spectrum), spectrum.num_proven) == (0, 0)
    assert spectrum.lower_bound == -np.inf
    spectrum.check(PROBLEM)


def test_a_bound_proves_the_states_below_it() -> None:
    spectrum = solve(PROBLEM, num_states=4, backend=returning(RawResult(STATES, 0, 4.5)))
    assert (spectrum.status, spectrum.num_proven) == (Status.PARTIAL, 2)
    assert spectrum.lower_bound == 4.5
    spectrum.check(PROBLEM)


def test_states_that_a_backend_leaves_out_of_the_list_lower_the_bound() -> None:
    spectrum = solve(PROBLEM, num_states=2, backend=returning(RawResult(STATES, 0, 7.5)))
    assert (spectrum.num_proven, spectrum.lower_bound) == (2, TRUTH[2][0])
    spectrum.check(PROBLEM)


def test_claims_of_a_backend_that_proves_nothing_are_ignored() -> None:
    @dataclass(frozen=True)
    class Modest(Fake):
        capabilities = Capability.NONE

    result = RawResult(STATES[:3], 3, 1e9)
    spectrum = solve(PROBLEM, num_states=3, backend=Modest(lambda **_: result))
    assert (spectrum.status, spectrum.num_proven) == (Status.HEURISTIC, 0)
    assert spectrum.lower_bound == -np.inf
    assert spectrum.seed is None
    spectrum.check(PROBLEM)


def test_a_cut_tie_is_noticed() -> None:
    tied = Problem(np.zeros((4, 4)), 1)
    states = np.eye(4, dtype=bool)
    assert solve(tied, num_states=2, backend=returning(RawResult(states, 4))).ties_truncated
    assert not solve(tied, num_states=4, backend=returning(RawResult(states, 4))).ties_truncated


def test_a_backend_is_asked_for_as_many_states_as_exist_and_gets_the_warm_start() -> None:
    asked = []

    def act(num_states: int, warm_start: Any, **_: Any) -> Any:
        asked.append((num_states, warm_start))
        return RawResult(STATES)

    solve(PROBLEM, num_states=1000, backend=Fake(act), warm_start=STATES[:2].astype(int))
    solve(PROBLEM, num_states=3, backend=Fake(act))
    assert [count for count, _ in asked] == [10, 3]
    np.testing.assert_array_equal(asked[0][1], STATES[:2])
    assert asked[1][1] is None


@pytest.mark.parametrize("case", NO_CHOICE, ids=lambda case: case.name)
@pytest.mark.parametrize("backend", [*backend_names(), raising(AssertionError("not to be run"))])
def test_the_only_state_needs_no_backend(backend: str | Backend, case: Case) -> None:
    if isinstance(backend, str) and not backend_class(backend).availability().usable:
        pytest.skip(f"{backend} cannot run here")
    for num_states in (1, 10):
        spectrum = solve(case.problem, num_states=num_states, backend=backend)
        spectrum.check(case.problem)
        assert ranked(spectrum) == case.spectrum
        assert (spectrum.status, spectrum.num_proven) == (Status.PROVEN, 1)
        assert (spectrum.lower_bound, spectrum.stop_reason) == (math.inf, StopReason.COMPLETED)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"num_states": 0}, "num_states must be at least 1, not 0"),
        ({"num_states": -3}, "num_states must be at least 1"),
        ({"num_states": 2.0}, "num_states must be an integer"),
        ({"num_states": True}, "num_states must be an integer"),
        ({"num_states": "all"}, "num_states must be an integer"),
        ({"num_states": None}, "num_states must be an integer"),
        ({"seed": -1}, "seed must be at least 0"),
        ({"seed": 1.5}, "seed must be an integer"),
        ({"seed": None}, "seed must be an integer"),
        ({"stop": 10}, "stop must be a Stop, not int"),
        ({"stop": Stop, "time_limit": 1}, "stop must be a Stop"),
        ({"stop": Stop(), "time_limit": 1}, "stop was given together with"),
        ({"stop": Stop(), "max_evaluations": 1}, "stop was given together with"),
        ({"stop": Stop(), "progress": print}, "stop was given together with"),
        ({"time_limit": 0}, "time_limit must be more than 0"),
        ({"time_limit": -1.0}, "time_limit must be more than 0"),
        ({"time_limit": math.inf}, "time_limit must be a finite number"),
        ({"time_limit": math.nan}, "time_limit must be a finite number"),
        ({"time_limit": "1 s"}, "time_limit must be a finite number"),
        ({"max_evaluations": 0}, "max_evaluations must be at least 1"),
        ({"max_evaluations": 1e6}, "max_evaluations must be an integer"),
        ({"progress": "bar"}, "progress must be callable"),
        ({"backend": "simulated-annealing-9000"}, "there is no backend"),
        ({"backend": Fake}, "backend must be a name or a Backend"),
        ({"backend": None}, "backend must be a name or a Backend"),
        ({"options": {"threads": 0}}, "threads must be at least 1"),
        ({"options": {"thread": 1}}, "no option 'thread'; its options are: threads"),
        ({"options": [("threads", 1)]}, "options must be a mapping"),
        ({"options": "threads=1"}, "options must be a mapping"),
        ({"backend": returning(None), "options": {"threads": 1}}, "options go with a backend"),
        ({"warm_start": ~STATES}, "warm_start must satisfy the constraint, but state 0"),
        ({"warm_start": STATES[:, :4]}, r"warm_start must have shape \(K, 5\)"),
        ({"warm_start": STATES * 2.0}, "warm_start must hold only 0 and 1"),
        ({"warm_start": "10100"}, "warm_start must hold real numbers"),
        ({"warm_start": [[1, 0], [1]]}, "warm_start cannot be read as an array"),
    ],
)
def test_bad_arguments(arguments: Any, message: str) -> None:
    with pytest.raises(InputError, match=message):
        solve(PROBLEM, **arguments)


@pytest.mark.parametrize("problem", [np.eye(3), "bytelm-40-block", None, Problem])
@pytest.mark.parametrize("function", [solve, sweep])
def test_the_problem_must_be_one(function: Any, problem: Problem) -> None:
    with pytest.raises(InputError, match="problem must be a Problem"):
        function(problem)


@pytest.mark.parametrize("seed", [0, 2**63, 2**64, 2**200])
@pytest.mark.parametrize("backend", EXACT)
def test_any_seed(backend: str, seed: int) -> None:
    spectrum = solve(PROBLEM, backend=backend, seed=seed)
    assert ranked(spectrum) == TRUTH
    assert spectrum.seed == seed


@pytest.mark.parametrize("warm_start", [STATES[:1], STATES[0], STATES[::-1], STATES[:0]])
@pytest.mark.parametrize("backend", EXACT)
def test_a_warm_start_does_not_change_the_answer(backend: str, warm_start: Any) -> None:
    assert ranked(solve(PROBLEM, backend=backend, warm_start=warm_start)) == TRUTH


@pytest.mark.parametrize("backend", EXACT)
def test_more_states_than_exist(backend: str) -> None:
    spectrum = solve(PROBLEM, num_states=10**9, backend=backend)
    assert ranked(spectrum) == TRUTH
    assert (spectrum.status, spectrum.lower_bound) == (Status.PROVEN, np.inf)


@pytest.mark.parametrize("remove", [0, 5])
@pytest.mark.parametrize("backend", EXACT)
def test_nothing_or_everything_removed(backend: str, remove: int | dict[str, int]) -> None:
    problem = PROBLEM.with_remove(remove)
    spectrum = solve(problem, backend=backend)
    assert [state.removed for state in spectrum] == [tuple(range(remove))]
    assert spectrum.energies.tolist() == [15.0 if remove else 0.0]
    assert (spectrum.status, spectrum.lower_bound) == (Status.PROVEN, np.inf)
    spectrum.check(problem)


@pytest.fixture(scope="module")
def large() -> Problem:
    rng = np.random.default_rng(0)
    factor = rng.normal(size=(5000, 3))
    return Problem(factor @ factor.T + np.diag(rng.normal(size=5000)), 1, symmetrize=True)


@pytest.mark.parametrize("backend", EXACT)
def test_five_thousand_blocks(large: Any, backend: str) -> None:
    begin = time.perf_counter()
    spectrum = solve(large, num_states=5, backend=backend, time_limit=60)
    assert time.perf_counter() - begin < 60
    assert spectrum.status is Status.PROVEN
    lowest = np.argsort(np.diagonal(large.hessian))[:5].tolist()
    assert [state.removed for state in spectrum] == [(block,) for block in lowest]


@pytest.fixture(scope="module", autouse=True)
def compiled() -> None:
    """Kernels that are compiled within a time limit would break it."""
    for backend in EXACT:
        solve(Problem(np.diag(np.arange(12.0)), 6), num_states=10, backend=backend)


def check_partial(problem: Problem, spectrum: Spectrum, known: list[Spectrum]) -> None:
    """No state found by any other means may refute what an unfinished run claims."""
    assert spectrum.status is Status.PARTIAL
    spectrum.check(problem)
    found = np.vstack([other.states for other in [spectrum, *known]])
    found = swap_neighbours(problem, found[np.argsort(problem.energies(found))[:20]])
    listed = {row.tobytes() for row in spectrum.states}
    outside = np.array([row for row in found if row.tobytes() not in listed])
    lowest = problem.energies(outside).min()
    assert spectrum.lower_bound <= lowest
    assert (spectrum.energies[: spectrum.num_proven] <= lowest).all()
    assert spectrum.num_proven == np.count_nonzero(spectrum.energies < spectrum.lower_bound)


def test_time_limit_of_branch_and_bound() -> None:
    problem = hard_problem()
    known = [solve(problem, num_states=50, time_limit=1, seed=seed) for seed in (1, 2)]
    begin = time.perf_counter()
    spectrum = solve(problem, num_states=20, time_limit=1)
    assert time.perf_counter() - begin < 1 + LENIENT
    assert spectrum.stop_reason is StopReason.TIME_LIMIT
    assert len(spectrum) == 20
    assert math.isfinite(spectrum.lower_bound)
    assert spectrum.num_evaluated > 0
    check_partial(problem, spectrum, known)


def test_time_limit_of_enumeration() -> None:
    problem = hard_problem()
    begin = time.perf_counter()
    spectrum = solve(problem, num_states=20, time_limit=1, backend="enumeration")
    assert time.perf_counter() - begin < 1 + LENIENT
    assert spectrum.stop_reason is StopReason.TIME_LIMIT
    assert (len(spectrum), spectrum.num_proven) == (20, 0)
    check_partial(problem, spectrum, [])


def test_a_bound_that_proves_a_part() -> None:
    # One state far below the rest: proven at once, while the rest never is.
    matrix = hard_problem().hessian.copy()
    matrix[:50, :50] -= 10.0
    problem = Problem(matrix, 50)
    spectrum = solve(problem, num_states=5, time_limit=1)
    spectrum.check(problem)
    assert spectrum.removed(0) == list(range(50))
    assert spectrum.num_proven >= 1


@pytest.mark.parametrize("limit", [1, 50, 3000])
@pytest.mark.parametrize("backend", EXACT)
def test_max_evaluations(backend: str, limit: Any) -> None:
    problem = hard_problem()
    spectrum = solve(problem, num_states=20, max_evaluations=limit, backend=backend)
    assert spectrum.stop_reason is StopReason.EVALUATION_LIMIT
    assert spectrum.num_evaluated >= limit
    check_partial(problem, spectrum, [])


@pytest.mark.parametrize("backend", EXACT)
def test_cancel_from_a_thread(backend: str) -> None:
    problem = hard_problem()
    stop = Stop()
    timer = threading.Timer(0.5, stop.cancel)
    begin = time.perf_counter()
    timer.start()
    spectrum = solve(problem, num_states=20, backend=backend, stop=stop)
    assert 0.5 <= time.perf_counter() - begin < 0.5 + LENIENT
    assert spectrum.stop_reason is StopReason.INTERRUPTED
    assert len(spectrum) == 20
    check_partial(problem, spectrum, [])


@pytest.mark.parametrize("backend", EXACT)
def test_a_cancelled_stop_stays_cancelled(backend: str) -> None:
    stop = Stop()
    stop.cancel()
    for _ in range(2):
        spectrum = solve(hard_problem(), num_states=2, backend=backend, stop=stop)
        assert spectrum.stop_reason is StopReason.INTERRUPTED
        assert len(spectrum) > 0


SCRIPT = """
import json, sys
from qubo_prune import Problem, solve
from qubo_prune.testing import hard_problem

# The kernels may have to be compiled first.
solve(Problem([[i * j for i in range(12)] for j in range(12)], 6), backend=sys.argv[1])
problem = hard_problem()
def progress(_):
    print("running", flush=True)
spectrum = solve(problem, num_states=20, backend=sys.argv[1], progress=progress)
spectrum.check(problem)
print(json.dumps(spectrum.to_dict()))
"""


@pytest.mark.parametrize("backend", EXACT)
@pytest.mark.skipif(sys.platform == "win32", reason="no SIGINT to another process")
def test_ctrl_c_keeps_what_was_found(backend: str) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", SCRIPT, backend],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            assert process.stdout.readline() == "running\n", process.stderr.read()
            begin = time.perf_counter()
            process.send_signal(signal.SIGINT)
            output, errors = process.communicate(timeout=60)
        finally:
            process.kill()
    assert time.perf_counter() - begin < 2 * LENIENT
    assert (process.returncode, errors) == (0, "")
    result = json.loads(output.splitlines()[-1])
    assert result["stop_reason"] == "interrupted"
    assert result["status"] == "partial"
    assert len(result["removed"]) == 20
    assert (result["lower_bound"] is not None) == (backend == "branch-and-bound")


@pytest.mark.parametrize("backend", EXACT)
def test_progress(backend: str) -> None:
    seen: list[Progress] = []
    begin = time.perf_counter()
    solve(hard_problem(), backend=backend, time_limit=1.5, progress=seen.append)
    seconds = time.perf_counter() - begin
    assert 1 <= len(seen) <= seconds / 0.1 + 1
    counts = [each.num_evaluated for each in seen]
    assert all(a <= b for a, b in pairwise(counts))
    for each in seen:
        assert each.fraction is None or 0 <= each.fraction <= 1
        assert each.eta is None or each.eta >= 0
        assert 0 <= each.rate < math.inf
        assert each.message


class CallbackError(Exception):
    """Nothing that this package raises."""


def fail(_: Any) -> None:
    raise CallbackError("of the user")


@pytest.mark.parametrize("backend", EXACT)
def test_an_exception_in_a_progress_callback_is_the_users_own(backend: str) -> None:
    with pytest.raises(CallbackError, match="of the user") as caught:
        solve(hard_problem(), backend=backend, progress=fail, time_limit=60)
    assert caught.traceback[-1].name == "fail"
    stop = Stop(max_evaluations=1_000_000, progress=fail)
    with pytest.raises(CallbackError):
        solve(hard_problem(), backend=backend, stop=stop)
    assert stop.reason is StopReason.INTERRUPTED


def test_a_backend_that_cannot_be_stopped_is_not_blamed_for_a_callback() -> None:
    def act(stop: Stop, **_: Any) -> Any:
        stop.report(1)
        return RawResult(STATES)

    with pytest.raises(CallbackError):
        solve(PROBLEM, backend=Fake(act), progress=fail)


def test_a_checkpoint_survives_a_progress_callback_that_fails(tmp_path: Path) -> None:
    problem = Problem.load("bytelm-40-block", remove=10)
    options = {"checkpoint": tmp_path / "c", "task_states": 100_000}
    run = {"num_states": 5, "backend": "enumeration", "options": options}

    def fail_after_some_tasks(progress: Progress) -> None:
        if progress.num_evaluated > 2_000_000:
            fail(progress)

    with pytest.raises(CallbackError):
        solve(problem, progress=fail_after_some_tasks, **run)
    spectrum = solve(problem, **run)
    assert spectrum.proof["visited_before"] > 0
    assert spectrum.num_evaluated == problem.num_states


def test_a_sweep_ends_with_a_progress_callback_that_fails() -> None:
    found = []

    def fail_later(progress: Progress) -> None:
        if found:
            fail(progress)

    with pytest.raises(CallbackError):
        sweep(
            Problem.load("bytelm-40-branch", remove=1),
            [2, 40, 41],
            backend="enumeration",
            num_states=5,
            progress=fail_later,
            on_result=lambda spectrum: found.append(spectrum.remove),
        )
    assert found == [2]


def test_progress_of_enumeration_ends_near_one() -> None:
    seen: list[Progress] = []
    problem = Problem.load("bytelm-40-block", remove=10)
    spectrum = solve(problem, num_states=5, backend="enumeration", progress=seen.append)
    assert spectrum.num_evaluated == problem.num_states
    for each in seen:
        assert each.fraction == each.num_evaluated / problem.num_states


def content(spectrum: Spectrum) -> tuple[Any, ...]:
    return (
        ranked(spectrum),
        spectrum.remove,
        spectrum.status,
        spectrum.num_proven,
        spectrum.lower_bound,
        spectrum.ties_truncated,
        spectrum.stop_reason,
    )


def test_a_sweep_equals_single_solves() -> None:
    problem = Problem.load("bytelm-40-block", remove=1)
    order: list[Any] = []
    spectra = sweep(problem, num_states=20, on_result=lambda each: order.append(each.remove))
    assert list(spectra) == order == list(range(1, 40))
    for count, spectrum in spectra.items():
        single = problem.with_remove(count)
        assert content(spectrum) == content(solve(single, num_states=20))
        spectrum.check(single)
        assert spectrum.status is Status.PROVEN


def test_a_sweep_leaves_out_counts_that_the_problem_does_not_allow() -> None:
    spectra = sweep(replace_problem(keep=[0, 1], force=[4]), num_states=1)
    assert list(spectra) == [1, 2, 3]


def replace_problem(**arguments: Any) -> Problem:
    return Problem(np.diag([1.0, 2.0, 3.0, 4.0, 5.0]), 1, **arguments)


def test_a_sweep_over_counts_per_kind() -> None:
    problem = Problem.load("bytelm-40-branch", remove={"attention": 1})
    removes = [{"mlp": 2, "attention": 1}, {"attention": 3}, {"attention": 0, "mlp": 0}]
    spectra = sweep(problem, removes, num_states=5)
    assert list(spectra) == [
        (("attention", 1), ("mlp", 2)),
        (("attention", 3),),
        (("attention", 0), ("mlp", 0)),
    ]
    for remove, spectrum in zip(removes, spectra.values(), strict=True):
        assert content(spectrum) == content(solve(problem.with_remove(remove), num_states=5))


def test_a_sweep_takes_any_iterable_and_order() -> None:
    spectra = sweep(PROBLEM, (m for m in (4, 0, np.int64(2), 5)), num_states=100)
    assert list(spectra) == [4, 0, 2, 5]
    assert ranked(spectra[2]) == TRUTH


@pytest.mark.parametrize("backend", EXACT)
def test_a_sweep_takes_a_warm_start_for_any_count(backend: str) -> None:
    spectra = sweep(PROBLEM, [1, 3], backend=backend, warm_start=STATES[3:5])
    for count, spectrum in spectra.items():
        assert ranked(spectrum) == brute_force(PROBLEM.with_remove(count))
    with pytest.raises(InputError, match="warm_start must have shape"):
        sweep(PROBLEM, [1], warm_start=STATES[:, :2])


def test_a_sweep_hands_on_what_it_found() -> None:
    given = []

    def act(problem: Problem, warm_start: Any, **_: Any) -> Any:
        given.append(warm_start)
        return RawResult(problem.state(range(problem.num_removed))[None])

    sweep(PROBLEM, [1, 3, 2], backend=Fake(act))
    assert given[0] is None
    assert [start.sum() for start in given[1:]] == [3, 2]


@pytest.mark.parametrize(
    "removes", [[1, 6], [1, -1], [1, 2.5], [1, "2"], [1, {"attention": 1}], [1, None]]
)
def test_a_bad_count_is_noticed_before_anything_is_solved(removes: Any) -> None:
    with pytest.raises(InputError):
        sweep(PROBLEM, removes, backend=raising(AssertionError("solved")))


def test_an_interrupted_sweep_stops_after_the_interrupted_spectrum() -> None:
    stop = Stop()
    problem = hard_problem()
    solved = []

    def on_result(spectrum: Spectrum) -> None:
        solved.append(spectrum)
        threading.Timer(0.3, stop.cancel).start()

    spectra = sweep(problem, [1, 50, 2, 3], num_states=5, stop=stop, on_result=on_result)
    assert list(spectra) == [1, 50]
    assert list(spectra.values()) == solved
    assert [each.stop_reason for each in solved] == [
        StopReason.COMPLETED,
        StopReason.INTERRUPTED,
    ]
    solved[1].check(problem)


def test_limits_of_a_sweep_hold_for_each_count() -> None:
    spectra = sweep(hard_problem(), [50, 51], num_states=5, time_limit=0.3)
    assert [each.stop_reason for each in spectra.values()] == [StopReason.TIME_LIMIT] * 2
    assert all(len(each) == 5 for each in spectra.values())


def test_sweep_checks_its_arguments() -> None:
    with pytest.raises(InputError, match="stop was given together"):
        sweep(PROBLEM, [1], stop=Stop(), time_limit=1)
    with pytest.raises(InputError, match="num_states must be at least 1"):
        sweep(PROBLEM, [1], num_states=0)
    with pytest.raises(InputError, match="removes"):
        sweep(PROBLEM, 3)


def test_results_of_a_backend_are_copied() -> None:
    raw = RawResult(STATES.copy(), 10)
    spectrum = solve(PROBLEM, backend=returning(raw))
    raw.states[:] = False
    assert ranked(spectrum) == TRUTH


def test_options_reach_the_backend() -> None:
    for threads in (1, 4):
        spectrum = solve(PROBLEM, backend="enumeration", options={"threads": threads})
        assert ranked(spectrum) == TRUTH
