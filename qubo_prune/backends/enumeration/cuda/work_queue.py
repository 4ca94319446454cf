"""What a device is given next: the tasks of a batch as sheets, and these in parts that are each
worth a launch.
"""

from __future__ import annotations

import time
from collections import deque
from typing import Any, NamedTuple

import numpy as np

from qubo_prune.backends.enumeration.cuda.device import Device
from qubo_prune.backends.enumeration.cuda.work_list import Sheet, SheetMaker
from qubo_prune.backends.enumeration.engine import Batch
from qubo_prune.backends.enumeration.space.tasks import Partition, Task
from qubo_prune.core.errors import BackendError

_MOST_TASKS = 256
"""Tasks of a sheet."""


class LoadedSheet:
    """A sheet in the memory of a device, and how far it is done.

    Attributes
    ----------
    sheet : Sheet
        What it holds.
    arguments : list
        What the kernel takes of it.
    stop_task : int
        The task after its last one.
    next_unit : int
        The units before were handed out.
    open_parts : int
        How many parts of them are not done.
    visited : int
        States in the parts that are done.
    """

    def __init__(self, sheet: Sheet, device: Device, stop_task: int) -> None:
        self.sheet = sheet
        self.arguments: list[Any] = [
            device.upload(sheet.bases),
            device.upload(sheet.base_energies),
            device.upload(sheet.sections),
            device.upload(sheet.strips),
            np.int64(sheet.strips.shape[1]),
            np.int64(sheet.max_picks),
        ]
        self.stop_task = stop_task
        self.next_unit = 0
        self.open_parts = 0
        self.visited = 0

    @property
    def handed_out(self) -> bool:
        """Whether all units were."""
        return self.next_unit == self.sheet.num_units


class Part(NamedTuple):
    """Units [first, stop) of a sheet; of a single unit maybe only the states whose keys lie in
    [first_key, stop_key).
    """

    loaded: LoadedSheet
    first: int
    stop: int
    first_key: int
    stop_key: int


class Feed:
    """The parts of a batch, made when they are asked for.

    Attributes
    ----------
    finished : int
        The tasks of the batch up to this number, exclusive, are done.
    """

    def __init__(
        self, batch: Batch, partition: Partition, sheets: SheetMaker, device: Device, num_keys: int
    ) -> None:
        self.finished = batch.first
        self._batch = batch
        self._deadline = time.perf_counter() + batch.seconds
        self._partition = partition
        self._sheets = sheets
        self._device = device
        self._num_keys = num_keys
        self._open: deque[LoadedSheet] = deque()
        self._halves: list[Part] = []

    def next(self, states: int) -> Part | None:
        """Return a part of about so many states, or half of one that was split; None if the batch
        or its time is over.
        """
        if self._halves:
            return self._halves.pop()
        if not self._open or self._open[-1].handed_out:
            first = self._open[-1].stop_task if self._open else self.finished
            late = first > self._batch.first and time.perf_counter() > self._deadline
            if first == self._batch.stop or late:
                return None
            tasks = self._tasks(first, states)
            sheet = self._sheets.make(tasks)
            self._open.append(LoadedSheet(sheet, self._device, first + len(tasks)))
        loaded = self._open[-1]
        unit = loaded.next_unit
        loaded.next_unit = loaded.sheet.unit_after(unit, states)
        loaded.open_parts += 1
        return Part(loaded, unit, loaded.next_unit, 0, self._num_keys)

    def split(self, part: Part) -> None:
        """Have a part done again, in two."""
        loaded, first, stop, first_key, stop_key = part
        loaded.open_parts += 1
        if stop - first > 1:
            middle = (first + stop) // 2
            self._halves.append(part._replace(first=middle))
            self._halves.append(part._replace(stop=middle))
        else:
            middle = (first_key + stop_key) // 2
            self._halves.append(part._replace(first_key=middle))
            self._halves.append(part._replace(stop_key=middle))

    def finish(self, part: Part, visited: int) -> None:
        """Enter that a part is done.

        Raises
        ------
        BackendError
            If another number of states was visited than the tasks of a sheet hold.
        """
        part.loaded.visited += visited
        part.loaded.open_parts -= 1
        # Sheets may be done in another order than that of their tasks.
        while self._open and self._open[0].handed_out and not self._open[0].open_parts:
            done = self._open.popleft()
            if done.visited != done.sheet.num_states:
                raise BackendError(
                    f"tasks of {done.sheet.num_states} states visited {done.visited} on the device;"
                    " please report this."
                )
            self.finished = done.stop_task

    def _tasks(self, first: int, states: int) -> list[Task]:
        """Return tasks that hold about so many states, at least one."""
        tasks: list[Task] = []
        for task in self._partition.tasks(first, min(self._batch.stop, first + _MOST_TASKS)):
            tasks.append(task)
            states -= task.num_states
            if states <= 0:
                break
        return tasks
