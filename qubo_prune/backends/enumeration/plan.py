"""How long an enumeration would take: counted, not guessed, but for the speed of the machine."""

from __future__ import annotations

import math
import time
from contextlib import closing
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np

from qubo_prune.backends.common.checkpoint_file import INTERVAL_SECONDS
from qubo_prune.backends.enumeration import assembly
from qubo_prune.backends.enumeration.backend import Enumeration
from qubo_prune.backends.enumeration.cuda.device import HOST
from qubo_prune.backends.enumeration.engine import Batch, Engine, Job
from qubo_prune.backends.enumeration.executors.base import Executor
from qubo_prune.core.errors import InputError
from qubo_prune.core.problem.problem import Problem
from qubo_prune.core.stopping import Stop
from qubo_prune.core.validation import as_count, as_finite_float
from qubo_prune.search.starting_states import starting_states
from qubo_prune.search.threads import num_threads

_TASK_SECONDS = 0.02
_MOST_TASK_STATES = 1 << 50
"""What all executors take."""

_CALIBRATION_SECONDS = 0.3
_BATCH_SECONDS = _CALIBRATION_SECONDS / 6
_BYTES_PER_INDEX = 5
"""Rough size of the index of a removed block in a checkpoint."""


@dataclass(frozen=True)
class Plan:
    """What an enumeration of all states amounts to.

    Attributes
    ----------
    num_states : int
        States to visit.
    num_tasks : int
        Tasks that they are cut into.
    largest_task : int
        States in the largest task: what is lost at most, for each worker, if a run is killed.
    task_states, tile_size : int
        The options of the backend that cut them so.
    executor, scheduler : str
        The options of the backend that say who does the work.
    devices : int
        Cores or GPUs at work.
    rate : float
        States per second of one device.
    measured : bool
        Whether the rate was measured, rather than given.
    seconds : float
        Expected time of the search: all states at the rate of all devices, and the time of the
        largest task, for which the others wait at the end. It leaves out what starts workers.
    num_checkpoints : int
        How often a checkpoint is written.
    checkpoint_bytes : int
        Rough size of one.
    device_bytes : int
        Memory for the tables and the scratch of one worker process.
    """

    num_states: int
    num_tasks: int
    largest_task: int
    task_states: int
    tile_size: int
    executor: str
    scheduler: str | None
    devices: int
    rate: float
    measured: bool
    seconds: float
    num_checkpoints: int
    checkpoint_bytes: int
    device_bytes: int

    def to_dict(self) -> dict[str, Any]:
        """Return the plan as the JSON object that ``qubo-prune plan --json`` prints."""
        return asdict(self)


def plan(
    problem: Problem,
    devices: int | str | None = None,
    rate: float | None = None,
    *,
    num_states: int = 100,
    task_states: int | None = None,
    executor: str = "threads",
    scheduler: str | None = None,
) -> Plan:
    """Say what it takes to enumerate a problem.

    Parameters
    ----------
    problem : Problem
        What to enumerate.
    devices : int or str, optional
        Number of cores or GPUs; by default the workers that there are, or one device where a rate
        is given. With ``cuda`` also ``host``, as for the backend ``enumeration``.
    rate : float, optional
        States per second of one device. By default it is measured: the workers run parts of the
        real tasks for 0.3 seconds.
    num_states : int
        K.
    task_states : int, optional
        As for the backend ``enumeration``; by default what that takes, or more where a device would
        finish such a task in less than 20 ms.
    executor : str
        As for the backend ``enumeration``: whose workers are counted and measured.
    scheduler : str, optional
        As for the backend ``enumeration``; with a rate and no `devices`, its workers are counted
        all the same.

    Returns
    -------
    Plan
        Counts that are exact, and the time that follows from the rate.

    Raises
    ------
    InputError
        If an argument is out of range.
    BackendUnavailableError
        If the workers to be measured cannot be had.

    Examples
    --------
    >>> from qubo_prune import Problem, plan
    >>> found = plan(Problem.load("bytelm-40-branch", remove=12), devices=64, rate=1e12)
    >>> found.num_states, found.num_tasks, round(found.seconds, 2)
    (60246643120300, 2351, 0.97)
    """
    wanted = min(as_count(num_states, "num_states", least=1) + 1, problem.num_states)
    rate = None if rate is None else _checked_rate(rate)
    on_host = executor == "cuda" and devices == HOST
    count = None
    if devices is not None and not on_host:
        count = as_count(devices, "devices", least=1)
    elif on_host or (rate is not None and scheduler is None):
        count = 1
    threads = num_threads(None)
    backend = Enumeration(
        threads=threads if count is None else min(count, threads),
        task_states=task_states,
        executor=executor,
        scheduler=scheduler,
        devices=HOST if on_host else None,
    )
    if task_states is None:
        task_states = _lasting_task_states(backend, rate)
    nothing = Plan(
        num_states=1,
        num_tasks=1,
        largest_task=1,
        task_states=task_states,
        tile_size=0,
        executor=executor,
        scheduler=scheduler,
        devices=count or 1,
        rate=rate or 1.0,
        measured=False,
        seconds=0.0,
        num_checkpoints=0,
        checkpoint_bytes=0,
        device_bytes=0,
    )
    if not problem.groups:
        return nothing
    engine = assembly.make_engine(backend, Job(problem, wanted, task_states), ())
    tasks = engine.partition
    measured = rate is None
    if rate is None or count is None:
        count, rate = _counted_and_measured(backend, engine, count, rate)
    seconds = _quotient(tasks.num_states, count * rate) + _quotient(tasks.largest_task, rate)
    return replace(
        nothing,
        num_states=tasks.num_states,
        num_tasks=tasks.num_tasks,
        largest_task=tasks.largest_task,
        tile_size=engine.layout.tile_size,
        devices=count,
        rate=rate,
        measured=measured,
        seconds=seconds,
        num_checkpoints=2 + int(min(seconds / INTERVAL_SECONDS, 1e300)),
        checkpoint_bytes=1000 + wanted * (2 + _BYTES_PER_INDEX * problem.num_removed),
        device_bytes=engine.nbytes() + sum(array.nbytes for array in engine.new_workspace()),
    )


def _checked_rate(rate: object) -> float:
    checked = as_finite_float(rate, "rate")
    if checked <= 0:
        raise InputError(
            f"rate must be more than 0 states per second, not {checked!r}; leave it out to have it"
            " measured."
        )
    return checked


def _lasting_task_states(backend: Enumeration, rate: float | None) -> int:
    """Return the upper limit of the states per task: what the backend takes by default, or more
    where a device would finish such a task too soon.
    """
    lasting = 1 << math.ceil(math.log2(max(1.0, (rate or 0.0) * _TASK_SECONDS)))
    return max(assembly.default_task_states(backend), min(lasting, _MOST_TASK_STATES))


def _counted_and_measured(
    backend: Enumeration, engine: Engine, count: int | None, rate: float | None
) -> tuple[int, float]:
    """Return the number of workers and the rate of one, each as given or else as it is."""
    # A task cannot be broken off everywhere, so that short ones are measured.
    short = min(engine.job.task_states, assembly.default_task_states(backend))
    job = replace(engine.job, task_states=short, tile_size=engine.layout.tile_size)
    devices = assembly.find_devices(backend)[:count]
    sample = assembly.make_engine(backend, job, devices)
    with closing(assembly.start_workers(backend, sample, devices)) as workers:
        count = count or max(1, workers.num_workers())
        return count, rate or _measure(sample, workers)


def _quotient(count: int, rate: float) -> float:
    """Divide a count of any size; a time beyond all numbers is the largest one."""
    try:
        return min(count / rate, 1.7e308)
    except OverflowError:
        return 1.7e308


def _measure(engine: Engine, workers: Executor) -> float:
    """Return the states per second of one worker while all are at work, on tasks spread over the
    whole space.
    """
    job, tasks = engine.job, engine.partition
    start = starting_states(job.problem, job.capacity, 0, Stop())
    full = len(start) == job.capacity
    threshold = float(job.problem.energies(start[-1:])[0]) if full else np.inf
    engine.compile()
    sent, in_flight, visited, seconds = 0, 0, 0, 0.0
    end = math.inf
    while time.perf_counter() < end or in_flight:
        while time.perf_counter() < end and in_flight < max(1, workers.num_workers()):
            # The fractional parts of the multiples of the golden ratio fill the space evenly,
            # whenever one stops.
            position = sent * 0.6180339887498949 % 1.0
            number = tasks.task_at(int(position * 2**53) * tasks.num_states >> 53)
            workers.submit(Batch(number, tasks.num_tasks, _BATCH_SECONDS), threshold)
            sent, in_flight = sent + 1, in_flight + 1
        for _, result in workers.results(_BATCH_SECONDS):
            in_flight -= 1
            visited += result.visited
            seconds += result.seconds
        if end == math.inf and visited:  # only now have the workers started
            end = time.perf_counter() + _CALIBRATION_SECONDS
    return visited / seconds
