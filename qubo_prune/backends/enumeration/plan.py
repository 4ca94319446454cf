"""How long an enumeration would take: counted, not guessed, but for the speed of the machine."""

from __future__ import annotations

import math
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from qubo_prune.backends.enumeration import Enumeration
from qubo_prune.backends.workers import at_least_one, num_threads
from qubo_prune.errors import InputError
from qubo_prune.validation import as_count, as_finite_float

if TYPE_CHECKING:
    from qubo_prune.backends.enumeration.engine import Engine
    from qubo_prune.problem import Problem

_TASK_SECONDS = 0.02
_CALIBRATION_SECONDS = 0.3
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
    devices : int
        Cores or GPUs at work.
    rate : float
        States per second of one device.
    measured : bool
        Whether the rate was measured here, rather than given.
    seconds : float
        Expected time of the search: all states at the rate of all devices, and the time of the largest task, for which the others wait
        at the end. It leaves out what starts workers.
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
    devices: int | None = None,
    rate: float | None = None,
    *,
    num_states: int = 100,
    task_states: int | None = None,
) -> Plan:
    """Say what it takes to enumerate a problem.

    Parameters
    ----------
    problem : Problem
        What to enumerate.
    devices : int, optional
        Number of cores or GPUs; by default the cores of this machine, or one device where a rate is given.
    rate : float, optional
        States per second of one device. By default it is measured: the cores of this machine run parts of the real tasks for 0.3 seconds.
    num_states : int
        K.
    task_states : int, optional
        As for the backend ``enumeration``; by default what that takes, or more where a device would finish such a task in less than 20 ms.

    Returns
    -------
    Plan

    Raises
    ------
    InputError
        If a number is out of range.

    Examples
    --------
    >>> from qubo_prune import Problem, plan
    >>> found = plan(Problem.load("bytelm-40-branch", remove=12), devices=64, rate=1e12)
    >>> found.num_states, found.num_tasks, round(found.seconds, 2)
    (60246643120300, 2351, 0.97)
    """
    wanted = _at_least_one(num_states, "num_states")
    measured = rate is None
    cores = num_threads(None)
    if devices is None:
        devices = cores if measured else 1
    devices = at_least_one(devices, "devices")
    if rate is not None:
        rate = as_finite_float(rate, "rate")
        if rate <= 0:
            raise InputError(
                f"rate must be more than 0 states per second, not {rate!r}; leave it out to have it measured."
            )
    wanted = min(wanted + 1, problem.num_states)
    if task_states is None:
        task_states = Enumeration.task_states
        if rate is not None:
            task_states = max(
                task_states, 1 << math.ceil(math.log2(max(1.0, rate * _TASK_SECONDS)))
            )
    task_states = at_least_one(task_states, "task_states")
    checkpoint_bytes = 1000 + wanted * (2 + _BYTES_PER_INDEX * problem.num_removed)
    if not problem.groups:
        return Plan(1, 1, 1, task_states, 0, devices, rate or 1.0, False, 0.0, 0, 0, 0)

    from qubo_prune.backends.enumeration.checkpoint import INTERVAL_SECONDS
    from qubo_prune.backends.enumeration.engine import Engine, Job

    engine = Engine(Job(problem, wanted, task_states))
    work = engine.new_workspace()
    device_bytes = engine.nbytes() + sum(array.nbytes for array in work)
    if rate is None:
        rate = _measure(engine, min(devices, cores))
    tasks = engine.partition
    seconds = _quotient(tasks.num_states, devices * rate) + _quotient(tasks.largest_task, rate)
    return Plan(
        num_states=tasks.num_states,
        num_tasks=tasks.num_tasks,
        largest_task=tasks.largest_task,
        task_states=task_states,
        tile_size=engine.layout.tile_size,
        devices=devices,
        rate=rate,
        measured=measured,
        seconds=seconds,
        num_checkpoints=2 + int(min(seconds / INTERVAL_SECONDS, 1e300)),
        checkpoint_bytes=checkpoint_bytes,
        device_bytes=device_bytes,
    )


def _at_least_one(value: object, what: str) -> int:
    count = as_count(value, what)
    if count < 1:
        raise InputError(f"{what} must be at least 1, not {count}; ask for one or more.")
    return count


def _quotient(count: int, rate: float) -> float:
    """Divide a count of any size; a time beyond all numbers is the largest one."""
    try:
        return min(count / rate, 1.7e308)
    except OverflowError:
        return 1.7e308


def _measure(engine: Engine, threads: int) -> float:
    """Return the states per second of one of `threads` threads, on tasks spread over the whole space."""
    from qubo_prune.backends.enumeration.engine import Batch
    from qubo_prune.backends.enumeration.kernel import Shared
    from qubo_prune.backends.warm_start import starting_states
    from qubo_prune.stopping import Stop

    job, tasks = engine.job, engine.partition
    start = starting_states(job.problem, job.capacity, 0, Stop())
    full = len(start) == job.capacity
    threshold = float(job.problem.energies(start[-1:])[0]) if full else np.inf
    engine.compile()
    end = time.perf_counter() + _CALIBRATION_SECONDS
    rounds = [0] * threads

    def work(index: int) -> tuple[int, float]:
        workspace = engine.new_workspace()
        visited, seconds = 0, 0.0
        while time.perf_counter() < end or not visited:
            shared = Shared(np.full(1, threshold), np.zeros(1, np.bool_))
            timer = threading.Timer(_CALIBRATION_SECONDS / 6, shared.stop.fill, (True,))
            timer.start()
            # The fractional parts of the multiples of the golden ratio fill the space evenly, whenever one stops.
            position = (index + threads * rounds[index]) * 0.6180339887498949 % 1.0
            rounds[index] += 1
            number = tasks.task_at(int(position * 2**53) * tasks.num_states >> 53)
            result = engine.run(Batch(number, number + 1, math.inf), workspace, shared)
            timer.cancel()
            visited += result.visited
            seconds += result.seconds
        return visited, seconds

    with ThreadPoolExecutor(threads) as executor:
        measured = list(executor.map(work, range(threads)))
    return sum(visited for visited, _ in measured) / sum(seconds for _, seconds in measured)
