"""Checkpoints of a proof: the nodes that are open, and the best states below all others."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from qubo_prune.backends.branch_and_bound.ledger import Ledger
from qubo_prune.backends.branch_and_bound.orders import DECISIVE, DIAGONAL
from qubo_prune.backends.branch_and_bound.subtrees import Explorer, OpenNode
from qubo_prune.backends.common.checkpoint_file import (
    CheckpointFile,
    add_stored,
    digest,
    identity_of,
    read_checkpoint_file,
    stored,
)
from qubo_prune.core.files.strict_json import (
    Reader,
    as_float,
    as_index_lists,
    as_large_integer,
    as_string,
    from_large_integer,
)
from qubo_prune.search.best_states import Best

_BACKEND = "branch-and-bound"


class SavedRun(NamedTuple):
    """What a file holds.

    Attributes
    ----------
    fields : dict
        As they are in the file.
    reader : Reader
        What reads them.
    """

    fields: dict[str, Any]
    reader: Reader

    @property
    def order(self) -> str:
        """In which order the run decides; by the diagonal if it is none of a proof."""
        order = self.reader.as_object(self.fields.get("run"), "run").get("order")
        return DECISIVE if order == DECISIVE else DIAGONAL


def read_saved(path: str | os.PathLike[str]) -> SavedRun | None:
    """Return what earlier runs saved; None if there is no file.

    Raises
    ------
    InputError
        If it cannot be read or is damaged.
    """
    return SavedRun(*read_checkpoint_file(Path(path))) if Path(path).exists() else None


class Checkpoint:
    """The file of one run.

    An open node is a line of digits, one for each free block in branching order: 1 is removed, 0
    kept, 2 open. Bounds are hexadecimal, so that they come back to the last bit.

    Parameters
    ----------
    path : path
        Written again and again, each time completely or not at all.
    explorer : Explorer
        What is being proven.
    order : str
        In which blocks are decided.

    Raises
    ------
    InputError
        If the path is that of a sidecar.
    """

    def __init__(self, path: str | os.PathLike[str], explorer: Explorer, order: str) -> None:
        job = explorer.job
        run = identity_of(job.problem, job.num_states) | {
            "backend": _BACKEND,
            "order": order,
            "order_sha256": digest(explorer.tables.block_of.tolist()),
        }
        self._file = CheckpointFile(path, run)
        self._explorer = explorer

    @property
    def name(self) -> str:
        """The name of the file."""
        return self._file.path.name

    def ledger(self, saved: SavedRun) -> Ledger:
        """Return what the file held.

        Raises
        ------
        InputError
            If it is damaged, or of another run.
        """
        fields, reader = saved.fields, saved.reader
        self._file.check(fields, reader)
        job = self._explorer.job
        best = Best(job.num_states, job.problem.num_blocks)
        add_stored(best, job.problem, fields, reader)
        ledger = Ledger(best, self._nodes(_open_nodes(fields, reader), reader))
        ledger.num_before = reader.get(fields, "num_nodes", as_large_integer)
        ledger.root_bound = _from_hex(reader.get(fields, "root_bound", as_string), reader)
        ledger.epsilon = reader.get(fields, "epsilon", as_float)
        return ledger

    def save(self, ledger: Ledger) -> None:
        """Write the file, with nothing under way.

        Raises
        ------
        InputError
            If that is impossible.
        """
        self._file.save(_fields(ledger, ()))

    def save_if_due(self, ledger: Ledger, flying: Sequence[OpenNode]) -> None:
        """Write the file now and then, with the nodes under way as open; a failure, as on a full
        disk, is a warning and no reason to lose the run.
        """
        self._file.save_if_due(lambda: _fields(ledger, flying))

    def save_last(self, ledger: Ledger) -> None:
        """Write the file at the end of a run, as `save_if_due` does."""
        self._file.save_last(lambda: _fields(ledger, ()))

    def _nodes(self, entries: list[tuple[float, str]], reader: Reader) -> list[OpenNode]:
        n = len(self._explorer.tables.matrix)
        nodes = []
        for serial, (bound, digits) in enumerate(entries):
            if len(digits) != n or set(digits) - set("012"):
                reader.fail(f"an open node is not {n} digits of 0, 1 and 2")
            fixed = np.array([*map(int, digits)], np.int8)
            nodes.append(OpenNode(bound, serial, fixed, self._explorer.start(fixed)))
        return nodes


@dataclass(frozen=True)
class ProofCheckpointFacts:
    """What a checkpoint says without the problem that it belongs to.

    Attributes
    ----------
    run : dict
        What has to be the same for the run to be taken up.
    num_open : int
        How many nodes are open.
    lower_bound : float, optional
        No state that is not listed lies below; None if nothing is open.
    num_nodes : int
        How many were visited.
    removed : list of list of int
        The best states so far, as removed blocks.
    """

    run: dict[str, Any]
    num_open: int
    lower_bound: float | None
    num_nodes: int
    removed: list[list[int]]


def read_checkpoint(path: str | os.PathLike[str]) -> ProofCheckpointFacts:
    """Read a checkpoint for people.

    Raises
    ------
    InputError
        If it cannot be read or is damaged.
    """
    fields, reader = read_checkpoint_file(Path(path))
    nodes = _open_nodes(fields, reader)
    return ProofCheckpointFacts(
        run=reader.as_object(fields.get("run"), "run"),
        num_open=len(nodes),
        lower_bound=min((bound for bound, _ in nodes), default=None),
        num_nodes=reader.get(fields, "num_nodes", as_large_integer),
        removed=reader.get(fields, "removed", as_index_lists),
    )


def _fields(ledger: Ledger, flying: Sequence[OpenNode]) -> dict[str, Any]:
    return {
        "open": [
            f"{node.bound.hex()} {''.join(map(str, node.fixed.tolist()))}"
            for node in [*ledger.open, *flying]
        ],
        "num_nodes": from_large_integer(ledger.num_before + ledger.num_nodes),
        "root_bound": float(ledger.root_bound).hex(),
        "epsilon": ledger.epsilon,
        **stored(ledger.best),
    }


def _open_nodes(fields: dict[str, Any], reader: Reader) -> list[tuple[float, str]]:
    """Return bound and digits of every open node."""
    entries = fields.get("open")
    if not isinstance(entries, list) or not all(isinstance(each, str) for each in entries):
        reader.fail("its open nodes are not texts")
    nodes = []
    for each in entries:
        bound, _, digits = each.partition(" ")
        nodes.append((_from_hex(bound, reader), digits))
    return nodes


def _from_hex(text: str, reader: Reader) -> float:
    try:
        value = float.fromhex(text)
    except ValueError:
        reader.fail(f"{text!r} is no bound")
    if np.isnan(value):
        reader.fail(f"{text!r} is no bound")
    return value
