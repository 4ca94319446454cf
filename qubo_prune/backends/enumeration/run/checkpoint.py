"""Checkpoints: a file from which a run goes on after anything, a SIGKILL included."""

from __future__ import annotations

import os
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

from qubo_prune.backends.common.checkpoint_file import (
    CheckpointFile,
    add_stored,
    digest,
    identity_of,
    read_checkpoint_file,
    stored,
)
from qubo_prune.backends.enumeration.engine import Engine
from qubo_prune.backends.enumeration.run.progress import Ledger, Range, Ranges
from qubo_prune.core.files.strict_json import (
    Reader,
    as_index_lists,
    as_large_integer,
    from_large_integer,
)
from qubo_prune.search.best_states import Best


class Checkpoint:
    """The file of one run.

    Parameters
    ----------
    path : path
        Written again and again, each time completely or not at all.
    engine : Engine
        What is being enumerated.

    Raises
    ------
    InputError
        If the file is there but damaged, or of another run.
    """

    def __init__(self, path: str | os.PathLike[str], engine: Engine) -> None:
        self._file = CheckpointFile(path, _identity(engine))
        self._problem = engine.job.problem
        self._partition = engine.partition
        self._ledger = Ledger(Best(engine.job.capacity, self._problem.num_blocks))
        if (found := self._file.load()) is not None:
            self._take_up(*found)

    def ledger(self) -> Ledger:
        """Return what the file holds; an empty account if there is none."""
        return self._ledger

    def save(self, ledger: Ledger) -> None:
        """Write the file.

        Raises
        ------
        InputError
            If that is impossible.
        """
        self._file.save(_fields(ledger))

    def save_if_due(self, ledger: Ledger) -> None:
        """Write the file now and then; a failure, as on a full disk, is a warning and no reason to
        lose the run.
        """
        self._file.save_if_due(lambda: _fields(ledger))

    def save_last(self, ledger: Ledger) -> None:
        """Write the file at the end of a run, as `save_if_due` does."""
        self._file.save_last(lambda: _fields(ledger))

    def _take_up(self, fields: dict[str, Any], reader: Reader) -> None:
        finished = _ranges(reader.get(fields, "finished", as_index_lists), reader)
        if finished and finished[-1][1] > self._partition.num_tasks:
            reader.fail(f"it has more than {self._partition.num_tasks} tasks")
        before = self._partition.states_before
        num_finished = sum(before(stop) - before(first) for first, stop in finished)
        if reader.get(fields, "num_finished", as_large_integer) != num_finished:
            reader.fail(f"its finished tasks hold {num_finished} states, not num_finished")
        add_stored(self._ledger.best, self._problem, fields, reader)
        self._ledger.finished = Ranges(finished)
        self._ledger.num_finished = num_finished


@dataclass(frozen=True)
class CheckpointFacts:
    """What a checkpoint says without the problem that it belongs to.

    Attributes
    ----------
    run : dict
        What has to be the same for the run to be taken up.
    tasks_finished, num_tasks : int
        How many tasks are done, of how many.
    states_visited : int
        How many states they held.
    removed : list of list of int
        The best states so far, as removed blocks.
    """

    run: dict[str, Any]
    tasks_finished: int
    num_tasks: int
    states_visited: int
    removed: list[list[int]]


def read_checkpoint(path: str | os.PathLike[str]) -> CheckpointFacts:
    """Read a checkpoint for people.

    Raises
    ------
    InputError
        If it cannot be read or is damaged.
    """
    fields, reader = read_checkpoint_file(Path(path))
    run = reader.as_object(fields.get("run"), "run")
    finished = _ranges(reader.get(fields, "finished", as_index_lists), reader)
    return CheckpointFacts(
        run=run,
        tasks_finished=sum(stop - first for first, stop in finished),
        num_tasks=reader.get(run, "num_tasks", as_large_integer),
        states_visited=reader.get(fields, "num_finished", as_large_integer),
        removed=reader.get(fields, "removed", as_index_lists),
    )


def _fields(ledger: Ledger) -> dict[str, Any]:
    return {
        "finished": [list(pair) for pair in ledger.finished],
        "num_finished": from_large_integer(ledger.num_finished),
        **stored(ledger.best),
    }


def _identity(engine: Engine) -> dict[str, Any]:
    """Return what has to be the same for a run to be taken up: the problem, and how it is cut into
    tasks.
    """
    job, layout = engine.job, engine.layout
    order = [layout.block_of, layout.floor, layout.ceiling, layout.remaining]
    return identity_of(job.problem, job.capacity) | {
        "task_states": job.task_states,
        "tile_size": layout.tile_size,
        "num_tasks": from_large_integer(engine.partition.num_tasks),
        "order_sha256": digest([array.tolist() for array in order]),
    }


def _ranges(pairs: list[list[int]], reader: Reader) -> list[Range]:
    edges = [edge for pair in pairs for edge in pair]
    if any(len(pair) != 2 for pair in pairs) or any(a >= b for a, b in pairwise([-1, *edges])):
        reader.fail("its ranges of finished tasks do not ascend")
    return [(first, stop) for first, stop in pairs]
