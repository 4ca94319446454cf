"""Runs of a benchmark in a file: one line of JSON each, only ever appended, so that what a killed
benchmark had measured stays, and the files of several machines are joined by `cat`.
"""

from __future__ import annotations

import enum
import hashlib
import json
import os
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, fields
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

from qubo_prune.core.errors import InputError
from qubo_prune.core.files.disk import append_line, drop_cut_off_line, read_file
from qubo_prune.core.files.kinds import Kind, require_kind
from qubo_prune.core.files.strict_json import (
    Reader,
    as_float,
    as_integer,
    as_list,
    as_string,
    optional,
)

__all__ = [
    "MEASURES",
    "Outcome",
    "ReferenceKind",
    "Results",
    "Run",
    "TracePoint",
    "Violation",
    "append_run",
    "read_results",
]

SCHEMA = 1

MEASURES = (
    *("ground_state", "ground_state_repaired"),
    *(f"recall_{k}{how}" for k in (20, 100, 1000) for how in ("", "_repaired")),
    *("energy_error", "energy_error_repaired"),
    *("seconds_to_ground_state", "seconds_to_recall_100", "primal_integral"),
    *("num_proven", "lower_bound", "gap", "seconds_to_proof"),
    *("feasible_share", "distinct_share", "unrepaired_share", "diversity"),
    *("wall_seconds", "cpu_seconds", "peak_bytes", "num_evaluated"),
)
"""What may be known of a run; each is defined in docs/reference/measures.md. Without
``_repaired`` it is of the solver's own states, before anything was repaired.
"""


class Outcome(enum.Enum):
    """How a run ended."""

    DONE = "done"
    LIMIT = "limit"
    REFUSED = "refused"
    CRASHED = "crashed"
    MEMORY = "memory"
    WRONG = "wrong"


class ReferenceKind(enum.Enum):
    """What the states of a run are held against."""

    CERTIFIED = "certified"
    PUBLISHED = "published"
    BEST_KNOWN = "best known"
    NONE = "none"


class Violation(NamedTuple):
    """A lie of a solver.

    Attributes
    ----------
    kind : str
        ``energy``, ``infeasible``, ``proof``, ``order``, ``repeated``, ...
    message : str
        What was claimed and what is true.
    """

    kind: str
    message: str


class TracePoint(NamedTuple):
    """What was known of a run at a time.

    Attributes
    ----------
    seconds : float
        Since it began.
    evaluations : float or None
        So far.
    best : float or None
        The lowest energy so far.
    recall_20, recall_100, recall_1000 : float or None
        Bare, so far.
    proven : float or None
        How many states were proven.
    bound : float or None
        No state that the solver did not know by then lies below it.
    """

    seconds: float
    evaluations: float | None = None
    best: float | None = None
    recall_20: float | None = None
    recall_100: float | None = None
    recall_1000: float | None = None
    proven: float | None = None
    bound: float | None = None


@dataclass(frozen=True)
class Run:
    """One run of a solver.

    Attributes
    ----------
    instance, family : str
        Names of the Hessian and of what it is one of.
    problem : str
        A hash of the problem that was posed: the Hessian and all that is asked of it.
    num_blocks, remove, num_states : int
        N, M and K.
    backend : str
        The solver, as tables call it.
    options : mapping
        Its options.
    seed : int or None
        None for a solver that takes none.
    time_limit : float or None
        Seconds it was given.
    threads : int or None
        That it was given.
    outcome : Outcome
        How it ended.
    message : str
        Why, if it did not end well.
    violations : tuple of Violation
        Its lies; none of its figures is averaged if there is one.
    reference_kind : ReferenceKind
        What it was held against.
    reference_energies, energies : tuple of float
        The lowest, and those that it found, ascending.
    states : tuple of str
        Of these energies, bits in hexadecimal, the first block in the highest bit.
    measures : mapping of str to (float or None)
        By the names of `MEASURES`.
    trace : tuple of TracePoint
        What it had when, ascending.
    machine : mapping
        What `describe_machine` says.
    task : mapping
        What the problem can be made of again: its instance, and what is asked of it.
    version : str
        Of a solver from outside, a hash of its file or the version of its package.
    details : mapping
        What else is known: the solver's own status, its phases, statistics and messages.
    repaired_energies, repaired_states : tuple
        Energies and states after repair, of a solver that is repaired; empty for others.
    """

    instance: str
    family: str
    problem: str
    num_blocks: int
    remove: int
    num_states: int
    backend: str
    options: Mapping[str, Any] = field(default_factory=dict)
    seed: int | None = None
    time_limit: float | None = None
    threads: int | None = None
    outcome: Outcome = Outcome.DONE
    message: str = ""
    violations: tuple[Violation, ...] = ()
    reference_kind: ReferenceKind = ReferenceKind.NONE
    reference_energies: tuple[float, ...] = ()
    energies: tuple[float, ...] = ()
    states: tuple[str, ...] = ()
    measures: Mapping[str, float | None] = field(default_factory=dict)
    trace: tuple[TracePoint, ...] = ()
    machine: Mapping[str, Any] = field(default_factory=dict)
    task: Mapping[str, Any] = field(default_factory=dict)
    version: str = ""
    details: Mapping[str, Any] = field(default_factory=dict)
    repaired_energies: tuple[float, ...] = ()
    repaired_states: tuple[str, ...] = ()

    @property
    def key(self) -> str:
        """What tells this run from others; one with the same key need not be done again."""
        identity = {name: getattr(self, name) for name in _IDENTITY}
        text = json.dumps(identity, sort_keys=True, default=str)
        return hashlib.sha256(text.encode()).hexdigest()[:16]

    def measure(self, name: str) -> float | None:
        """Return a measure, None where it is not known.

        Examples
        --------
        >>> run = Run("a", "a", "0", 40, 8, 100, "tabu", measures={"recall_100": 0.5})
        >>> run.measure("recall_100"), run.measure("gap")
        (0.5, None)
        """
        if name not in MEASURES:
            raise InputError(f"there is no measure {name!r}; take one of {', '.join(MEASURES)}.")
        return self.measures.get(name)

    def to_line(self) -> str:
        """Return it as a line of a file, without the end of the line."""
        document: dict[str, Any] = {"schema": SCHEMA, "key": self.key}
        for each in fields(self):
            value = getattr(self, each.name)
            document[each.name] = value.value if isinstance(value, enum.Enum) else value
        return json.dumps(document, allow_nan=False, separators=(",", ":"))

    @classmethod
    def from_line(cls, line: bytes, where: str) -> Run:
        """Read what `to_line` wrote; `where` names it in errors."""
        reader = Reader(Path(where), "run of a benchmark", "let bench run write it again")
        document = reader.parse(line)
        require_kind(Path(where), document, Kind.BENCHMARK)
        schema = reader.get(document, "schema", as_integer)
        if schema != SCHEMA:
            reader.fail(f"its schema is {schema}, and only {SCHEMA} is known here")
        values: dict[str, Any] = {
            name: reader.get(document, name, convert) for name, convert in _FIELDS.items()
        }
        values |= {
            name: reader.get(document, name, convert)
            for name, convert in _LATER_FIELDS.items()
            if name in document
        }
        unknown = set(values["measures"]) - set(MEASURES)
        if unknown:
            reader.fail(f"there is no measure {min(unknown)!r}")
        return cls(**values)


_IDENTITY = (
    *("instance", "problem", "num_blocks", "remove", "num_states"),
    *("backend", "options", "seed", "time_limit", "threads"),
)


def _as_mapping(value: Any) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise TypeError
    return value


def _as_measures(value: Any) -> dict[str, float | None]:
    return {name: optional(as_float)(entry) for name, entry in _as_mapping(value).items()}


def _as_trace(value: Any) -> tuple[TracePoint, ...]:
    points = []
    for seconds, *rest in map(as_list, as_list(value)):
        points.append(TracePoint(as_float(seconds), *map(optional(as_float), rest)))
    if any(a.seconds > b.seconds for a, b in pairwise(points)):
        raise ValueError
    return tuple(points)


def _as_floats(value: Any) -> tuple[float, ...]:
    return tuple(map(as_float, as_list(value)))


def _as_strings(value: Any) -> tuple[str, ...]:
    return tuple(map(as_string, as_list(value)))


_FIELDS: dict[str, Callable[[Any], object]] = {
    "instance": as_string,
    "family": as_string,
    "problem": as_string,
    "num_blocks": as_integer,
    "remove": as_integer,
    "num_states": as_integer,
    "backend": as_string,
    "options": _as_mapping,
    "seed": optional(as_integer),
    "time_limit": optional(as_float),
    "threads": optional(as_integer),
    "outcome": Outcome,
    "message": as_string,
    "violations": lambda value: tuple(
        Violation(*map(as_string, as_list(each))) for each in as_list(value)
    ),
    "reference_kind": ReferenceKind,
    "reference_energies": _as_floats,
    "energies": _as_floats,
    "states": _as_strings,
    "measures": _as_measures,
    "trace": _as_trace,
    "machine": _as_mapping,
}

_LATER_FIELDS: dict[str, Callable[[Any], object]] = {
    "task": _as_mapping,
    "version": as_string,
    "details": _as_mapping,
    "repaired_energies": _as_floats,
    "repaired_states": _as_strings,
}
"""Lines may lack these."""


class Results(NamedTuple):
    """What files of results hold.

    Attributes
    ----------
    runs : tuple of Run
        One of each key, the last one; in the order of the files.
    repeated : int
        How many lines were left out, since a later one has the same key.
    truncated : tuple of str
        Files whose last line was cut off, and left out.
    """

    runs: tuple[Run, ...]
    repeated: int
    truncated: tuple[str, ...]


def read_results(paths: Iterable[str | os.PathLike[str]]) -> Results:
    """Read files of results as one.

    A last line without an end is what a killed benchmark was writing: it is left out.

    Raises
    ------
    InputError
        If a file cannot be read or a line of it is no run.
    """
    by_key: dict[str, Run] = {}
    lines = 0
    truncated = []
    for path in map(Path, paths):
        *whole, last = read_file(path).split(b"\n")
        if last:
            truncated.append(str(path))
        for number, line in enumerate(whole, 1):
            if line.strip():
                run = Run.from_line(line, f"line {number} of {path}")
                lines += 1
                by_key[run.key] = run
    return Results(tuple(by_key.values()), lines - len(by_key), tuple(truncated))


def append_run(path: str | os.PathLike[str], run: Run) -> None:
    """Add a run to a file, on disk when this returns; one process writes to a file at a time.

    Parameters
    ----------
    path : str or path
        The file; made if it is not there. What a killed benchmark was writing at its end is
        dropped, or this line would be lost with it.
    run : Run
        What to add.

    Raises
    ------
    InputError
        If it cannot be written.
    """
    path = Path(path)
    if path.is_file():
        drop_cut_off_line(path)
    append_line(path, run.to_line())
