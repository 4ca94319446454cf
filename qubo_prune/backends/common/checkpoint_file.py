"""Checkpoints: a file from which a run goes on after anything, a SIGKILL included."""

from __future__ import annotations

import hashlib
import json
import os
import time
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from qubo_prune.core.errors import InputError
from qubo_prune.core.files.disk import read_file, write_atomically
from qubo_prune.core.files.kinds import require_no_sidecar
from qubo_prune.core.files.strict_json import Reader, as_index_lists, as_string
from qubo_prune.core.problem.problem import Problem
from qubo_prune.core.text import format_value
from qubo_prune.core.version import __version__
from qubo_prune.search.best_states import Best
from qubo_prune.search.kernels.pool import pack

FORMAT_VERSION = 1
INTERVAL_SECONDS = 3.0
"""Time between two checkpoints, unless writing one takes more than a twentieth of that."""

_LARGEST_DUTY = 0.05


class CheckpointFile:
    """The file of one run, written again and again, each time completely or not at all.

    Parameters
    ----------
    path : path
        Where it is.
    run : mapping
        What has to be the same for the run to be taken up, in plain values.

    Raises
    ------
    InputError
        If the path is that of a sidecar.
    """

    def __init__(self, path: str | os.PathLike[str], run: Mapping[str, Any]) -> None:
        self.path = Path(path)
        require_no_sidecar(self.path)
        self._run = dict(run)
        self._due = 0.0
        self._warned = False

    def load(self) -> tuple[dict[str, Any], Reader] | None:
        """Return what the file holds, and what reads it; None if there is no file.

        Raises
        ------
        InputError
            If it is damaged, or of another run.
        """
        if not self.path.exists():
            return None
        fields, reader = read_checkpoint_file(self.path)
        self.check(fields, reader)
        return fields, reader

    def check(self, fields: Mapping[str, Any], reader: Reader) -> None:
        """Check what the file held.

        Raises
        ------
        InputError
            If it is of another run.
        """
        run = reader.as_object(fields.get("run"), "run")
        for key, value in self._run.items():
            if run.get(key) != value:
                raise InputError(
                    f"{self.path} is the checkpoint of another run, with"
                    f" {key}={format_value(run.get(key))} in place of {format_value(value)}; name"
                    " another file, or repeat that run as it was."
                )

    def save(self, fields: Mapping[str, Any]) -> None:
        """Write the file.

        Raises
        ------
        InputError
            If that is impossible.
        """
        begin = time.monotonic()
        body = {"run": self._run, **fields}
        document = {"format_version": FORMAT_VERSION, "sha256": digest(body), **body}
        data = json.dumps(document).encode() + b"\n"
        write_atomically({self.path: lambda stream: stream.write(data)})
        end = time.monotonic()
        self._due = end + max(INTERVAL_SECONDS, (end - begin) / _LARGEST_DUTY)

    def save_if_due(self, fields: Callable[[], Mapping[str, Any]]) -> None:
        """Write the file now and then; a failure, as on a full disk, is a warning and no reason to
        lose the run.
        """
        if time.monotonic() < self._due:
            return
        try:
            self.save(fields())
        except InputError as error:
            self._due = time.monotonic() + INTERVAL_SECONDS
            if not self._warned:
                self._warned = True
                warnings.warn(
                    f"the checkpoint is out of date: {error}", RuntimeWarning, stacklevel=2
                )

    def save_last(self, fields: Callable[[], Mapping[str, Any]]) -> None:
        """Write the file at the end of a run, as `save_if_due` does."""
        self._due = 0.0
        self.save_if_due(fields)


def read_checkpoint_file(path: Path) -> tuple[dict[str, Any], Reader]:
    """Return the contents of a checkpoint that is whole, and what reads them.

    Raises
    ------
    InputError
        If it cannot be read or is damaged.
    """
    reader = Reader(path, "checkpoint", "delete it, or name another file, to start afresh")
    fields = reader.parse(read_file(path))
    reader.check_version(fields, FORMAT_VERSION)
    body = {k: v for k, v in fields.items() if k not in ("format_version", "sha256")}
    if reader.get(fields, "sha256", as_string) != digest(body):
        reader.fail("its contents do not match its sha256")
    return fields, reader


def stored(best: Best) -> dict[str, Any]:
    """Return the field that holds the best states."""
    return {"removed": [np.flatnonzero(state).tolist() for state in best.states()]}


def add_stored(best: Best, problem: Problem, fields: dict[str, Any], reader: Reader) -> None:
    """Add the states of that field, their energies computed anew.

    Raises
    ------
    InputError
        If they are none of the problem.
    """
    states = reader.states(reader.get(fields, "removed", as_index_lists), problem.num_blocks)
    if not problem.is_feasible(states).all():
        reader.fail("it holds a state that violates the constraint")
    best.add(problem.energies(states), pack(states))


def identity_of(problem: Problem, num_states: int) -> dict[str, Any]:
    """Return what identifies a problem, how many states are wanted of it, and who wrote it down."""
    groups = [[group.indices.tolist(), group.count] for group in problem.groups]
    constraint: list[object] = [groups, problem.fixed_removed.tolist(), problem.num_blocks]
    if problem.budget is not None:
        constraint += [problem.budget.weights.tolist(), problem.budget.at_least]
    little_endian = np.ascontiguousarray(problem.linear, "<f8")
    return {
        "package_version": __version__,
        "hessian_sha256": problem.hessian_sha256,
        "linear_sha256": hashlib.sha256(little_endian.data).hexdigest(),
        "constraint_sha256": digest(constraint),
        "num_removed": problem.num_removed,
        "num_states": num_states,
    }


def digest(value: object) -> str:
    """Return the checksum of a plain value."""
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()
