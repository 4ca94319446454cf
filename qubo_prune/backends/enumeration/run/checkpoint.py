"""Checkpoints: a file from which a run goes on after anything, a SIGKILL included."""

from __future__ import annotations

import hashlib
import json
import os
import time
import warnings
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from qubo_prune.backends.enumeration.best_states import Best
from qubo_prune.backends.enumeration.engine import Engine
from qubo_prune.backends.enumeration.run.progress import Ledger, Range, Ranges
from qubo_prune.core.errors import InputError
from qubo_prune.core.files.disk import read_file, write_atomically
from qubo_prune.core.files.kinds import require_no_sidecar
from qubo_prune.core.files.strict_json import (
    Reader,
    as_index_lists,
    as_large_integer,
    as_string,
    from_large_integer,
)
from qubo_prune.core.problem.problem import Problem
from qubo_prune.core.text import format_value
from qubo_prune.core.version import __version__
from qubo_prune.search.kernels.pool import pack

FORMAT_VERSION = 1
INTERVAL_SECONDS = 3.0
"""Time between two checkpoints, unless writing one takes more than a twentieth of that."""

_LARGEST_DUTY = 0.05


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
        self._path = Path(path)
        require_no_sidecar(self._path)
        self._problem = engine.job.problem
        self._partition = engine.partition
        self._run = _identity(engine)
        self._due = 0.0
        self._warned = False
        self._ledger = Ledger(Best(engine.job.capacity, self._problem.num_blocks))
        if self._path.exists():
            self._load()

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
        begin = time.monotonic()
        body = {
            "run": self._run,
            "finished": [list(pair) for pair in ledger.finished],
            "num_finished": from_large_integer(ledger.num_finished),
            "removed": [np.flatnonzero(state).tolist() for state in ledger.best.states()],
        }
        document = {"format_version": FORMAT_VERSION, "sha256": _digest(body), **body}
        data = json.dumps(document).encode() + b"\n"
        write_atomically({self._path: lambda stream: stream.write(data)})
        end = time.monotonic()
        self._due = end + max(INTERVAL_SECONDS, (end - begin) / _LARGEST_DUTY)

    def save_if_due(self, ledger: Ledger) -> None:
        """Write the file now and then; a failure, as on a full disk, is a warning and no reason to
        lose the run.
        """
        if time.monotonic() < self._due:
            return
        try:
            self.save(ledger)
        except InputError as error:
            self._due = time.monotonic() + INTERVAL_SECONDS
            if not self._warned:
                self._warned = True
                warnings.warn(
                    f"the checkpoint is out of date: {error}", RuntimeWarning, stacklevel=2
                )

    def save_last(self, ledger: Ledger) -> None:
        """Write the file at the end of a run, as `save_if_due` does."""
        self._due = 0.0
        self.save_if_due(ledger)

    def _load(self) -> None:
        fields, reader = _read(self._path)
        self._compare(reader.as_object(fields.get("run"), "run"))
        finished = _ranges(reader.get(fields, "finished", as_index_lists), reader)
        if finished and finished[-1][1] > self._partition.num_tasks:
            reader.fail(f"it has more than {self._partition.num_tasks} tasks")
        before = self._partition.states_before
        num_finished = sum(before(stop) - before(first) for first, stop in finished)
        if reader.get(fields, "num_finished", as_large_integer) != num_finished:
            reader.fail(f"its finished tasks hold {num_finished} states, not num_finished")
        removed = reader.get(fields, "removed", as_index_lists)
        states = reader.states(removed, self._problem.num_blocks)
        if not self._problem.is_feasible(states).all():
            reader.fail("it holds a state that violates the constraint")
        self._ledger.finished = Ranges(finished)
        self._ledger.num_finished = num_finished
        self._ledger.best.add(self._problem.energies(states), pack(states))

    def _compare(self, run: dict[str, Any]) -> None:
        for key, value in self._run.items():
            if run.get(key) != value:
                raise InputError(
                    f"{self._path} is the checkpoint of another run, with"
                    f" {key}={format_value(run.get(key))} in place of {format_value(value)}; name"
                    " another file, or repeat that run as it was."
                )


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
    fields, reader = _read(Path(path))
    run = reader.as_object(fields.get("run"), "run")
    finished = _ranges(reader.get(fields, "finished", as_index_lists), reader)
    return CheckpointFacts(
        run=run,
        tasks_finished=sum(stop - first for first, stop in finished),
        num_tasks=reader.get(run, "num_tasks", as_large_integer),
        states_visited=reader.get(fields, "num_finished", as_large_integer),
        removed=reader.get(fields, "removed", as_index_lists),
    )


def _read(path: Path) -> tuple[dict[str, Any], Reader]:
    """Return the contents of a checkpoint that is whole."""
    reader = Reader(path, "checkpoint", "delete it, or name another file, to start afresh")
    fields = reader.parse(read_file(path))
    reader.check_version(fields, FORMAT_VERSION)
    digest = reader.get(fields, "sha256", as_string)
    if digest != _digest(
        {k: v for k, v in fields.items() if k not in ("format_version", "sha256")}
    ):
        reader.fail("its contents do not match its sha256")
    return fields, reader


def _identity(engine: Engine) -> dict[str, Any]:
    """Return what has to be the same for a run to be taken up: the problem, and how it is cut into
    tasks.
    """
    job, problem, layout = engine.job, engine.job.problem, engine.layout
    little_endian = np.ascontiguousarray(problem.linear, "<f8")
    order = [layout.block_of, layout.floor, layout.ceiling, layout.remaining]
    return {
        "package_version": __version__,
        "hessian_sha256": problem.hessian_sha256,
        "linear_sha256": hashlib.sha256(little_endian.data).hexdigest(),
        "constraint_sha256": _constraint_digest(problem),
        "num_removed": problem.num_removed,
        "num_states": job.capacity,
        "task_states": job.task_states,
        "tile_size": layout.tile_size,
        "num_tasks": from_large_integer(engine.partition.num_tasks),
        "order_sha256": _digest([array.tolist() for array in order]),
    }


def _constraint_digest(problem: Problem) -> str:
    groups = [[group.indices.tolist(), group.count] for group in problem.groups]
    return _digest([groups, problem.fixed_removed.tolist(), problem.num_blocks])


def _digest(value: object) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()


def _ranges(pairs: list[list[int]], reader: Reader) -> list[Range]:
    edges = [edge for pair in pairs for edge in pair]
    if any(len(pair) != 2 for pair in pairs) or any(a >= b for a, b in pairwise([-1, *edges])):
        reader.fail("its ranges of finished tasks do not ascend")
    return [(first, stop) for first, stop in pairs]
