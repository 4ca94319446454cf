"""Batches run on one device: launches, survivors, and what to do when there are too many of
them.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from qubo_prune.backends.enumeration.arrays import make_workspace
from qubo_prune.backends.enumeration.cuda.device import MAX_PICKS, Device
from qubo_prune.backends.enumeration.cuda.source import LAUNCHES
from qubo_prune.backends.enumeration.cuda.tables import WARP, make_tables
from qubo_prune.backends.enumeration.cuda.tile_cost import choose_tile_size
from qubo_prune.backends.enumeration.cuda.work_list import Sheet, SheetMaker
from qubo_prune.backends.enumeration.cuda.work_queue import Feed, Part
from qubo_prune.backends.enumeration.engine import Batch, Engine, Job, Result
from qubo_prune.backends.enumeration.kernels.walk import Shared, Workspace, screen_level
from qubo_prune.core.errors import InputError
from qubo_prune.search.best_states import Best
from qubo_prune.search.kernels.pool import pack, unpack

CAPACITY = 1 << 20
"""Survivors that the buffer of a launch holds."""

MAX_TASK_STATES = 1 << 50
"""Numbers of states and nodes of a task fit 64 bits with room to spare."""

_LAUNCH_SECONDS = 0.05
"""Time between two looks at the threshold and at whoever wants to stop."""

_FIRST_LAUNCH = 1 << 24
_CHUNK = 1 << 16

_VISITED, _SURVIVORS = 1, 2
"""Counters, as in kernel.cu."""

_TASK, _ROW, _COLUMN, _PICKS = range(4)
"""Where a survivor's record holds what."""


class DeviceEngine(Engine):
    """An `Engine` that screens on a device; for the use of one thread.

    The device screens in float32, against a level in its memory, and collects what passes. Those
    survivors get their canonical energies here, and the lowest of them lower the level of later
    launches. One launch runs while another's survivors are looked at and the next is prepared. A
    launch whose survivors do not fit its buffer counts for nothing but the lower level: it is done
    again in two parts, down to single states if it has to be.

    Parameters
    ----------
    job : Job
        What to enumerate.
    device : Device, optional
        What to use; None for an engine that only cuts the tasks.
    capacity : int
        Survivors that the buffer of a launch holds.
    """

    def __init__(self, job: Job, device: Device | None, capacity: int = CAPACITY) -> None:
        if job.task_states > MAX_TASK_STATES:
            raise InputError(
                f"task_states must be at most {MAX_TASK_STATES} with executor='cuda', not"
                f" {job.task_states}; leave it out."
            )
        groups = job.problem.groups
        picks = sum(min(each.count, len(each.indices) - each.count) for each in groups)
        if picks > MAX_PICKS:
            raise InputError(
                f"executor='cuda' chooses at most {MAX_PICKS} blocks to remove or to keep, not"
                f" {picks}; leave executor out."
            )
        super().__init__(job, choose_tile_size)
        tables = self._sheet_tables = make_tables(self.layout)
        self._num_keys = len(tables.panels) * WARP * tables.max_rows * tables.max_columns
        self._base_state = unpack(self.layout.base_words[None], job.problem.num_blocks)[0]
        self._launch_states = _FIRST_LAUNCH
        self._capacity = capacity
        self._buffer_size = capacity * (_PICKS + picks)
        if device is None:
            return
        self._device = device
        self._sheets = SheetMaker(self.layout, tables)
        self._buffers = [device.empty(self._buffer_size, np.int32) for _ in range(LAUNCHES)]
        self._constants = [
            device.upload(tables.tables),
            np.int64(tables.stride),
            device.upload(tables.first_rows),
            device.upload(tables.panels),
            device.upload(tables.binomials),
            np.int64(tables.num_positions),
        ]

    def new_workspace(self) -> Workspace:
        """Return scratch of which only the counter of states is used: the best of a batch are kept
        apart.
        """
        return make_workspace(self.layout, 1, self.job.problem.num_blocks)

    def nbytes(self) -> int:
        """Return the size of the tables and the buffers in the device's memory."""
        tables = self._sheet_tables
        uploaded = (tables.tables, tables.first_rows, tables.panels, tables.binomials)
        buffers = LAUNCHES * self._buffer_size * np.dtype(np.int32).itemsize
        return sum(table.nbytes for table in uploaded) + buffers

    def compile(self) -> None:
        """Do nothing: the kernel was compiled when the device was opened."""

    def run(self, batch: Batch, work: Workspace, shared: Shared) -> Result:
        """See `Engine.run`."""
        begin = time.perf_counter()
        before = int(work.visited[0])
        best = Best(self.job.capacity, self.job.problem.num_blocks)
        feed = Feed(batch, self.partition, self._sheets, self._device, self._num_keys)
        free = list(self._buffers)
        launches: deque[_Launch] = deque()
        try:
            while True:
                while free and not shared.stop[0] and (part := feed.next(self._launch_states)):
                    launches.append(self._launch(part, free.pop(), shared))
                if not launches:
                    break
                launch = launches.popleft()
                work.visited[0] += self._land(launch, feed, best, shared)
                free.append(launch.buffer)
        finally:
            for launch in launches:
                launch.wait()  # what it reads and writes must not be freed before
        states = best.states()
        energies = self.job.problem.energies(states)
        wanted = energies <= shared.threshold[0]
        return Result(
            feed.finished,
            int(work.visited[0]) - before,
            time.perf_counter() - begin,
            energies[wanted],
            best.words()[wanted],
        )

    def _launch(self, part: Part, buffer: Any, shared: Shared) -> _Launch:
        """Start the kernel."""
        layout, tables = self.layout, self._sheet_tables
        level = screen_level(
            float(shared.threshold[0]),
            layout.constant,
            self.allowance,
            layout.scale,
            layout.margin,
        )
        counters = self._device.upload(np.zeros(3, np.uint64))
        arguments = [
            *self._constants,
            *part.loaded.arguments,
            self._device.upload(np.array([level], np.float32)),
            *map(np.int64, part[1:]),
            np.int64(tables.max_rows),
            np.int64(tables.max_columns),
            counters,
            buffer,
            np.int64(self._capacity),
        ]
        begin = time.perf_counter()
        wait = self._device.start(arguments, part.loaded.sheet.max_picks)
        return _Launch(part, begin, arguments, counters, buffer, wait)

    def _land(self, launch: _Launch, feed: Feed, best: Best, shared: Shared) -> int:
        """Wait for a launch and take in what it found; return how many states it visited
        for good.
        """
        counters = self._counters(launch)
        seconds = time.perf_counter() - launch.begin
        survivors, visited = int(counters[_SURVIVORS]), int(counters[_VISITED])
        if survivors:
            self._offer(launch, min(survivors, self._capacity), best, shared)
        if survivors > self._capacity:
            feed.split(launch.part)
            return 0
        if launch.part.first_key:
            visited = 0  # the first of the parts of a unit counts its states
        else:
            # The other launches had their share of that time.
            rate = LAUNCHES * visited / seconds
            self._launch_states = int(max(_FIRST_LAUNCH, _LAUNCH_SECONDS * rate))
        feed.finish(launch.part, visited)
        return visited

    def _counters(self, launch: _Launch) -> NDArray[np.uint64]:
        """Wait for a launch; return its counters."""
        launch.wait()
        return self._device.download(launch.counters, 3)

    def _offer(self, launch: _Launch, count: int, best: Best, shared: Shared) -> None:
        """Give survivors their energies, keep the best and lower the threshold."""
        sheet = launch.part.loaded.sheet
        size = _PICKS + sheet.max_picks
        records = self._device.download(launch.buffer, count * size).reshape(-1, size)
        for begin in range(0, count, _CHUNK):
            states = self._states(records[begin : begin + _CHUNK], sheet)
            if self.job.problem.budget is not None:
                states = states[self.job.problem.budget.allows(states)]
            energies = self.job.problem.energies(states)
            wanted = energies <= shared.threshold[0]
            best.add(energies[wanted], pack(states[wanted]))
            shared.threshold[0] = min(shared.threshold[0], best.threshold())

    def _states(self, records: NDArray[np.int32], sheet: Sheet) -> NDArray[np.bool_]:
        """Return the states that records describe, shape (R, N)."""
        members = self._sheet_tables.members
        n = members.shape[1]
        # One more column takes the picks that are none.
        picked = np.zeros((len(records), n + 1), np.bool_)
        rows = np.arange(len(records))[:, None]
        picked[rows, records[:, _PICKS:]] = True
        picked[rows, sheet.prefixes[records[:, _TASK]]] = True
        selected = picked[:, :n]
        selected |= members[records[:, _ROW]] | members[records[:, _COLUMN]]
        states = np.tile(self._base_state, (len(records), 1))
        states[:, self.layout.block_of] ^= selected
        return states


class _Launch(NamedTuple):
    """The kernel at work on a part."""

    part: Part
    begin: float
    arguments: list[Any]
    """Kept until it is done."""
    counters: Any
    buffer: Any
    wait: Callable[[], object]
