"""Stop: limits, cancellation from threads and signals, progress."""

from __future__ import annotations

import math
import os
import signal
import sys
import threading
import time
from itertools import pairwise
from typing import Any

import pytest

from qubo_prune import Problem, Spectrum, solve, sweep
from qubo_prune.core import stopping
from qubo_prune.core.errors import InputError
from qubo_prune.core.stopping import Progress, Stop, StopReason
from tests.interrupts import send_while_it_solves


class Clock:
    now = 1000.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """A clock that stands still until it is told to go on."""
    fake = Clock()
    monkeypatch.setattr(stopping, "time", fake)
    return fake


def send_ctrl_c() -> None:
    signal.raise_signal(signal.SIGINT)


def test_without_limits_it_never_stops(clock: Clock) -> None:
    stop = Stop()
    clock.now += 1e9
    assert not stop.should_stop(10**18)
    assert stop.reason is None
    assert stop.remaining == math.inf
    assert stop.elapsed == 1e9


def test_time_limit(clock: Clock) -> None:
    stop = Stop(time_limit=5)
    clock.now += 4.0
    assert not stop.should_stop()
    assert (stop.elapsed, stop.remaining) == (4.0, 1.0)
    clock.now += 1.0
    assert stop.should_stop()
    assert stop.reason is StopReason.TIME_LIMIT
    clock.now += 7.0
    assert stop.remaining == 0.0


def test_limit_that_was_reached_stays_until_the_next_start(clock: Clock) -> None:
    stop = Stop(time_limit=5.0, max_evaluations=10)
    assert stop.should_stop(10)
    assert stop.should_stop(0)
    clock.now += 6.0
    assert stop.should_stop(0)
    assert stop.reason is StopReason.EVALUATION_LIMIT
    stop.start()
    assert stop.reason is None
    assert (stop.elapsed, stop.should_stop(9)) == (0.0, False)


def test_cancellation_wins_and_survives_a_start() -> None:
    stop = Stop(max_evaluations=1)
    assert stop.should_stop(1)
    stop.cancel()
    assert stop.reason is StopReason.INTERRUPTED
    stop.cancel(StopReason.TIME_LIMIT)
    assert stop.reason is StopReason.INTERRUPTED
    stop.start()
    assert stop.should_stop(0)


def test_cancel_from_another_thread_ends_a_loop() -> None:
    stop = Stop(time_limit=60)
    threading.Timer(0.05, stop.cancel).start()
    deadline = time.monotonic() + 10
    while not stop.should_stop():
        assert time.monotonic() < deadline
    assert stop.reason is StopReason.INTERRUPTED


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"time_limit": 0}, r"time_limit must be more than 0 seconds, not 0\.0; leave it out"),
        ({"time_limit": -1.5}, r"time_limit must be more than 0 seconds, not -1\.5"),
        ({"time_limit": math.nan}, r"time_limit must be a finite number, not nan"),
        ({"time_limit": math.inf}, r"time_limit must be a finite number, not inf"),
        ({"time_limit": "3"}, r"time_limit must be a finite number, not '3' \(str\)"),
        ({"time_limit": True}, r"time_limit must be a finite number, not True"),
        ({"max_evaluations": 0}, r"max_evaluations must be at least 1, not 0; leave it out"),
        ({"max_evaluations": -(10**5000)}, r"must be at least 1, not -1\.00e5000"),
        ({"max_evaluations": 1e6}, r"max_evaluations must be an integer, not 1000000\.0"),
        ({"progress": "bar"}, r"progress must be callable, not str; pass a function"),
    ],
)
def test_limits_that_make_no_sense_are_refused(arguments: Any, message: str) -> None:
    with pytest.raises(InputError, match=message):
        Stop(**arguments)


def test_progress_has_rate_and_time_left(clock: Clock) -> None:
    seen = []
    stop = Stop(progress=seen.append)
    clock.now += 2.0
    stop.report(1000, 0.25, "walking")
    assert seen == [Progress(0.25, 1000, 500.0, 6.0, "walking", 2.0)]
    clock.now += 2.0
    stop.report(1000)
    assert seen[1] == Progress(None, 1000, 250.0, None, "", 4.0)


def test_a_line_a_second_is_logged(clock: Clock, caplog: pytest.LogCaptureFixture) -> None:
    stop = Stop(time_limit=10.0)
    stop.report(1)
    assert not caplog.records
    with caplog.at_level("INFO", "qubo_prune"):
        for _ in range(30):
            clock.now += 0.125
            stop.report(1000, 0.25, "walking")
    lines = [record.getMessage() for record in caplog.records]
    assert len(lines) == 4
    assert lines[0].startswith("0.1 s: walking, 25.0 %, 1,000 evaluated, 8,000/s, 0.4 s left")
    assert lines[0].endswith("limit in 9.9 s")


def test_progress_before_any_work_does_not_divide_by_zero(clock: Clock) -> None:
    seen = []
    Stop(progress=seen.append).report(0, 0.0)
    assert seen == [Progress(0.0, 0, 0.0, None, "")]


@pytest.mark.parametrize(("given", "shown"), [(-0.1, 0.0), (1.5, 1.0)])
def test_progress_fraction_is_clipped(clock: Clock, given: Any, shown: Any) -> None:
    seen = []
    Stop(progress=seen.append).report(1, given)
    assert seen[0].fraction == shown


def test_progress_is_called_at_most_every_tenth_of_a_second(clock: Clock) -> None:
    times = []
    stop = Stop(progress=lambda _: times.append(clock.now))
    for _ in range(1000):
        clock.now += 0.01
        stop.report(1)
    assert 90 <= len(times) <= 101
    assert min(b - a for a, b in pairwise(times)) >= 0.1 - 1e-9
    stop.start()
    stop.report(1)
    assert times[-1] == clock.now


def test_progress_callback_may_cancel_and_report() -> None:
    stop = Stop()

    def progress(_: Any) -> None:
        stop.cancel()
        stop.report(2)

    stop = Stop(progress=progress)
    stop.report(1)
    assert stop.reason is StopReason.INTERRUPTED


def test_a_callback_that_fails_stops_the_run_and_is_called_no_more(clock: Clock) -> None:
    calls = []

    def progress(snapshot: Progress) -> None:
        calls.append(snapshot)
        raise RuntimeError("no terminal")

    stop = Stop(progress=progress)
    stop.raise_failure()
    for run in (1, 2):
        assert not stop.should_stop(1)
        for _ in range(3):
            clock.now += 1.0
            stop.report(1)
        assert len(calls) == run
        assert stop.should_stop(1)
        assert stop.reason is StopReason.INTERRUPTED
        with pytest.raises(RuntimeError, match="no terminal"):
            stop.raise_failure()
        stop.start()
        stop.raise_failure()


def test_a_callback_that_exits_is_not_held_up() -> None:
    stop = Stop(progress=lambda _: sys.exit(3))
    for _ in range(2):
        with pytest.raises(SystemExit):
            stop.report(1)
        stop.start()
    assert stop.reason is None


def test_threads_never_run_the_callback_at_the_same_time() -> None:
    running = threading.Lock()
    overlaps = []

    def progress(_: Any) -> None:
        if not running.acquire(blocking=False):
            overlaps.append(1)
            return
        time.sleep(0.02)
        running.release()

    stop = Stop(progress=progress)
    end = time.monotonic() + 0.4

    def work() -> None:
        while time.monotonic() < end:
            stop.report(1)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not overlaps


def test_first_ctrl_c_cancels_and_the_second_raises() -> None:
    stop = Stop()
    former = signal.getsignal(signal.SIGINT)
    with stop.interruptible():
        assert signal.getsignal(signal.SIGINT) != former
        send_ctrl_c()
        assert stop.reason is StopReason.INTERRUPTED
        with pytest.raises(KeyboardInterrupt):
            send_ctrl_c()
    assert signal.getsignal(signal.SIGINT) == former


def test_handler_is_restored_after_an_error() -> None:
    former = signal.getsignal(signal.SIGINT)
    with pytest.raises(RuntimeError, match="broken"), Stop().interruptible():
        raise RuntimeError("broken")
    assert signal.getsignal(signal.SIGINT) == former


def test_second_ctrl_c_raises_in_an_outer_context_as_well() -> None:
    stop = Stop()
    with stop.interruptible():
        with stop.interruptible():
            send_ctrl_c()
        with pytest.raises(KeyboardInterrupt):
            send_ctrl_c()


def test_ctrl_c_after_a_limit_still_interrupts_gently() -> None:
    stop = Stop(max_evaluations=1)
    assert stop.should_stop(1)
    with stop.interruptible():
        send_ctrl_c()
    assert stop.reason is StopReason.INTERRUPTED


def test_ignored_ctrl_c_stays_ignored() -> None:
    former = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        stop = Stop()
        with stop.interruptible():
            send_ctrl_c()
        assert stop.reason is None
    finally:
        signal.signal(signal.SIGINT, former)


def test_interruptible_does_nothing_off_the_main_thread() -> None:
    former = signal.getsignal(signal.SIGINT)
    seen = []

    def work() -> None:
        with Stop().interruptible():
            seen.append(signal.getsignal(signal.SIGINT))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert seen == [former]


@pytest.mark.skipif(os.name == "nt", reason="os.kill cannot send SIGINT to this process there")
def test_signal_from_outside_ends_a_busy_loop() -> None:
    stop = Stop(time_limit=30)
    with stop.interruptible():
        threading.Timer(0.05, os.kill, (os.getpid(), signal.SIGINT)).start()
        while not stop.should_stop():
            pass
    assert stop.reason is StopReason.INTERRUPTED


@pytest.mark.skipif(os.name == "nt", reason="SIGTERM ends a process there")
def test_sigterm_is_taken_as_ctrl_c_where_nobody_else_handles_it():
    stop = Stop()
    with stop.interruptible():
        signal.raise_signal(signal.SIGTERM)
        assert stop.reason is StopReason.INTERRUPTED
        for each in (signal.SIGTERM, signal.SIGINT):
            with pytest.raises(KeyboardInterrupt):
                signal.raise_signal(each)
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
    seen: list[int] = []
    for handler in (signal.SIG_IGN, lambda *_: seen.append(1)):
        signal.signal(signal.SIGTERM, handler)
        try:
            stop = Stop()
            with stop.interruptible():
                signal.raise_signal(signal.SIGTERM)
            assert stop.reason is None
            assert seen == ([] if handler is signal.SIG_IGN else [1])
            assert signal.getsignal(signal.SIGTERM) is handler
        finally:
            signal.signal(signal.SIGTERM, signal.SIG_DFL)


@pytest.mark.skipif(os.name == "nt", reason="SIGTERM ends a process there")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_solve_and_sweep_return_what_they_have(number: signal.Signals) -> None:
    problem = Problem.load("bytelm-40-branch", remove=40)
    solve(problem, num_states=2, backend="enumeration", max_evaluations=1)  # loads the kernels
    send_while_it_solves(number)
    spectrum = solve(problem, num_states=2, backend="enumeration")
    assert (spectrum.stop_reason, len(spectrum)) == (StopReason.INTERRUPTED, 2)

    def interrupt(spectrum: Spectrum) -> None:
        if spectrum.remove == 1:
            signal.raise_signal(number)

    # Between two solves.
    spectra = sweep(problem, [1, 2, 3, 4], num_states=2, on_result=interrupt)
    assert list(spectra) == [1]
    assert spectra[1].stop_reason is StopReason.COMPLETED
