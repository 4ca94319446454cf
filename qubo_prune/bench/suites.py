"""Suites: which tasks, which solvers, how long and how often; TOML files of the package and of
users.
"""

from __future__ import annotations

import os
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, NoReturn

from qubo_prune.bench.suite_names import FOLDER, suite_names
from qubo_prune.bench.tasks import Published, Remove, Task
from qubo_prune.core.errors import InputError
from qubo_prune.core.text import did_you_mean

BACKENDS = ("branch-and-bound", "tabu", "annealing", "ocean-tabu", "ocean-annealing", "random")
"""Who is compared where nobody says otherwise."""

_KEYS = ("summary", "needs", "states", "time_limits", "seeds", "backends", "tasks")
_TASK_KEYS = (
    *("instance", "instance_seeds", "file", "remove", "states"),
    *("keep", "force", "only", "beta", "at_least", "weights"),
    *("published", "source", "scale", "without"),
)


@dataclass(frozen=True)
class Solver:
    """A backend and its options.

    Attributes
    ----------
    backend : str
        A name that `get_backend` takes.
    options : mapping
        Its options.
    """

    backend: str
    options: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Suite:
    """What a benchmark does unless somebody says otherwise.

    Attributes
    ----------
    name, summary : str
        What it is called, and is.
    tasks : tuple of Task
        What solvers are asked.
    solvers : tuple of Solver
        Who is asked.
    time_limits : tuple of float
        Seconds of a run; each makes runs of its own.
    seeds : int
        Runs with 0, 1, ...; one of a solver that is exact.
    needs : str
        What the user has to get first; empty for nothing.
    missing : tuple of str
        Its files that are not there.

    Examples
    --------
    >>> smoke = load_suite("smoke")
    >>> len(smoke.tasks), smoke.time_limits
    (2, (5.0,))
    """

    name: str
    summary: str = ""
    tasks: tuple[Task, ...] = ()
    solvers: tuple[Solver, ...] = tuple(map(Solver, BACKENDS))
    time_limits: tuple[float, ...] = (10.0,)
    seeds: int = 3
    needs: str = ""
    missing: tuple[str, ...] = ()


def load_suite(source: str, data: str | os.PathLike[str] | None = None) -> Suite:
    """Return a suite.

    Parameters
    ----------
    source : str
        A name of the package, or a ``.toml`` file.
    data : path, optional
        The folder of its files; that of the ``.toml`` file by default.

    Raises
    ------
    InputError
        If there is none, or something in it is not as it should be.
    """
    path = FOLDER / f"{source}.toml" if source in suite_names() else Path(source)
    try:
        document = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(
            f"there is no suite {source!r} ({error.strerror}); take one of"
            f" {', '.join(suite_names())}, or a .toml file{did_you_mean(source, suite_names())}"
        ) from error
    except ValueError as error:
        raise InputError(f"{path} is not TOML ({error}); correct it.") from error
    folder = path.parent if data is None else Path(data)
    return _Form(str(path), document, folder).suite(path.stem)


def suite_of_tasks(tasks: Iterable[Task]) -> Suite:
    """Return a suite of tasks that a user names one by one."""
    return Suite("tasks", tasks=tuple(tasks))


def join_suites(suites: Iterable[Suite]) -> Suite:
    """Return one suite with the tasks of several, each once; the rest is that of the first.

    Examples
    --------
    >>> smoke = load_suite("smoke")
    >>> join_suites([smoke, smoke]) == smoke
    True
    """
    first, *others = suites
    tasks: list[Task] = []
    missing = list(first.missing)
    for suite in (first, *others):
        tasks += [task for task in suite.tasks if task not in tasks]
        missing += [each for each in suite.missing if each not in missing]
    return replace(first, tasks=tuple(tasks), missing=tuple(missing))


class _Form:
    """The document of a suite, whose errors name the file and the key."""

    def __init__(self, path: str, document: dict[str, Any], folder: Path) -> None:
        self._path, self._document, self._folder = path, document, folder
        self._missing: list[str] = []

    def suite(self, name: str) -> Suite:
        top = self._document
        self._refuse_unknown(top, _KEYS, "it")
        entries = self._get(top, "tasks", list, [])
        tasks = [
            task for number, entry in enumerate(entries) for task in self._tasks(entry, number)
        ]
        if not entries:
            self._fail("it has no tasks; write one or more tables [[tasks]]")
        limits = tuple(
            float(limit) for limit in _listed(top.get("time_limits", 10.0)) if _is_number(limit)
        )
        if not limits or len(limits) < len(_listed(top.get("time_limits", 10.0))):
            self._fail("time_limits must be numbers of seconds")
        seeds = self._get(top, "seeds", int, 3)
        if seeds < 1 or min(limits) <= 0:
            self._fail("seeds and time_limits must be positive")
        return Suite(
            name=name,
            summary=self._get(top, "summary", str, ""),
            tasks=tuple(tasks),
            solvers=self._solvers(),
            time_limits=limits,
            seeds=seeds,
            needs=self._get(top, "needs", str, ""),
            missing=tuple(self._missing),
        )

    def _solver(self, entry: Any) -> Solver:
        if isinstance(entry, str):
            return Solver(entry)
        if not isinstance(entry, dict) or not isinstance(entry.get("name"), str):
            self._fail('a backend is a name, or a table as { name = "tabu", options = {} }')
        self._refuse_unknown(entry, ("name", "options"), f"backend {entry['name']!r}")
        return Solver(entry["name"], self._get(entry, "options", dict, {}))

    def _tasks(self, entry: Any, number: int) -> list[Task]:
        where = f"task {number}"
        if not isinstance(entry, dict):
            self._fail("tasks are tables; write [[tasks]]")
        self._refuse_unknown(entry, _TASK_KEYS, where)
        if ("instance" in entry) == ("file" in entry):
            self._fail(f"{where} must have either instance or file")
        names = [str(name) for name in _listed(entry.get("instance", []))]
        for name in map(str, _listed(entry.get("file", []))):
            if (self._folder / name).is_file():
                names.append(str(self._folder / name))
            else:
                self._missing.append(name)
        if "instance_seeds" in entry:
            seeds = _listed(entry["instance_seeds"])
            names = [f"{name}-seed-{seed}" for name in names for seed in seeds]
        return [
            Task(
                instance=name,
                remove=self._remove(remove, where),
                num_states=self._count(states, where),
                keep=tuple(self._get(entry, "keep", list, [])),
                force=tuple(self._get(entry, "force", list, [])),
                only=entry.get("only"),
                beta=float(self._get(entry, "beta", (int, float), 0.0)),
                at_least=at_least,
                weights=self._weights(entry, where),
                published=self._published(entry, where),
                without=self._without(entry, where),
            )
            for name in names
            for remove in _listed(entry.get("remove"))
            for at_least in self._budgets(entry, where)
            for states in _listed(entry.get("states", self._document.get("states", 100)))
        ]

    def _remove(self, value: Any, where: str) -> Remove | None:
        counts = value.values() if isinstance(value, dict) else [value]
        if value is not None and not all(type(count) is int for count in counts):
            self._fail(f"{where} removes {value!r}; write a count, or one of each kind")
        remove: Remove | None = value
        return remove

    def _budgets(self, entry: dict[str, Any], where: str) -> list[float | str | None]:
        budgets = _listed(entry.get("at_least"))
        for value in budgets:
            if value is not None and not _is_number(value) and not isinstance(value, str):
                self._fail(f"{where} has at_least={value!r}; write a number, or a share as '20%'")
        return budgets

    def _weights(self, entry: dict[str, Any], where: str) -> tuple[float, ...] | None:
        if "weights" not in entry:
            return None
        weights = self._get(entry, "weights", list, [])
        wrong = [value for value in weights if not _is_number(value)]
        if wrong:
            self._fail(f"{where} has the weight {wrong[0]!r}; write one number for each block")
        return tuple(weights)

    def _count(self, value: Any, where: str) -> int:
        if type(value) is not int or value < 1:
            self._fail(f"{where} asks for {value!r} states; write a positive count")
        count: int = value
        return count

    def _without(self, entry: dict[str, Any], where: str) -> tuple[str, ...]:
        without = tuple(self._get(entry, "without", list, []))
        names = [solver.backend for solver in self._solvers()]
        unknown = [name for name in without if name not in names]
        if unknown:
            self._fail(
                f"{where} is without {unknown[0]!r}, which is not among the backends of the suite"
            )
        return without

    def _solvers(self) -> tuple[Solver, ...]:
        entries = self._get(self._document, "backends", list, list(BACKENDS))
        return tuple(map(self._solver, entries))

    def _published(self, entry: dict[str, Any], where: str) -> Published | None:
        if "published" not in entry:
            return None
        values = [entry["published"], entry.get("scale", 1.0)]
        if not all(map(_is_number, values)) or not isinstance(entry.get("source"), str):
            self._fail(f"the published value of {where} must be a number, with a source")
        return Published(float(values[0]), entry["source"], float(values[1]))

    def _get(self, table: dict[str, Any], key: str, kind: Any, default: Any) -> Any:
        value = table.get(key, default)
        if not isinstance(value, kind) or isinstance(value, bool):
            self._fail(f"{key} is {value!r}, which is of the wrong type")
        return value

    def _refuse_unknown(self, table: dict[str, Any], known: tuple[str, ...], what: str) -> None:
        unknown = sorted(set(table) - set(known))
        if unknown:
            self._fail(f"{what} has an unknown key {unknown[0]!r}; known are {', '.join(known)}")

    def _fail(self, problem: str) -> NoReturn:
        raise InputError(f"{self._path} is not a valid suite: {problem}.")


def _listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
