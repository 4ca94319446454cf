"""What solvers are asked in a benchmark: a Hessian by name or from a file, and what to remove."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from qubo_prune.bench.instances import Instance
from qubo_prune.core.errors import InputError
from qubo_prune.core.problem.problem import Problem
from qubo_prune.solving.checking import fingerprint

Remove = int | dict[str, int]


@dataclass(frozen=True)
class Published:
    """A value that somebody published for a task.

    Attributes
    ----------
    value : float
        As published.
    source : str
        Where.
    scale : float
        What the value is multiplied by to get an energy and the constant term of the file: -1 for
        a maximum that the file holds as a minimum of the negative.
    """

    value: float
    source: str
    scale: float = 1.0


@dataclass(frozen=True)
class Task:
    """What solvers are asked.

    Attributes
    ----------
    instance : str
        A bundled Hessian, a member of a family such as ``wishart-64``, or a file that
        `Problem.load` reads.
    remove : int or dict, optional
        As for `Problem`; what the file says by default.
    num_states : int
        K, at most.
    keep, force, only, beta, at_least : as for Problem
    weights : tuple of float, optional
        As for `Problem`; the numbers of parameters by default, where they are known.
    published : Published, optional
        A value to hold solvers against where nothing is proven.
    without : tuple of str
        Backends of its suite that are not asked.

    Examples
    --------
    >>> task = Task("wishart-24", 6, 5)
    >>> task.problem
    Problem(num_blocks=24, remove=6, num_states=134,596)
    >>> task.family, task.wanted
    ('wishart 2N', 5)
    """

    instance: str
    remove: Remove | None = None
    num_states: int = 100
    keep: tuple[int | str, ...] = ()
    force: tuple[int | str, ...] = ()
    only: str | None = None
    beta: float = 0.0
    at_least: float | str | None = None
    weights: tuple[float, ...] | None = None
    published: Published | None = field(default=None, compare=False)
    without: tuple[str, ...] = field(default=(), compare=False)

    @property
    def is_file(self) -> bool:
        """Whether the instance is a file."""
        return Path(self.instance).is_file()

    @cached_property
    def _named(self) -> Instance:
        try:
            return Instance.load(self.instance)
        except InputError as error:
            raise InputError(f"there is no file {self.instance!r}, and {error}") from None

    @property
    def name(self) -> str:
        """What tables call the instance."""
        return Path(self.instance).name if self.is_file else self.instance

    @property
    def family(self) -> str:
        """What it is one of."""
        return Path(self.instance).stem if self.is_file else self._named.label

    @cached_property
    def problem(self) -> Problem:
        """The problem.

        Raises
        ------
        InputError
            If there is no such instance or the problem is invalid.
        """
        constraint: dict[str, Any] = {
            "keep": self.keep,
            "force": self.force,
            "only": self.only,
            "beta": self.beta,
            "at_least": self.at_least,
            "weights": self.weights,
        }
        if self.is_file:
            return Problem.load(self.instance, self.remove, **constraint)
        named = self._named
        if self.remove is None:
            raise InputError(
                f"{self.instance} does not say how many blocks to remove; give that number as"
                " remove."
            )
        try:
            return Problem(
                named.hessian,
                self.remove,
                kinds=named.kinds,
                names=named.names,
                parameter_counts=named.parameter_counts,
                **constraint,
            )
        except InputError as error:
            raise InputError(f"{self.instance}: {error}") from error

    @property
    def wanted(self) -> int:
        """K, or how many states have the right counts if these are fewer."""
        return min(self.num_states, self.problem.num_states)

    @cached_property
    def digest(self) -> str:
        """A hash of the matrix and all that is asked of it."""
        problem = self.problem
        parts = fingerprint(problem, problem.hessian_sha256)
        return hashlib.sha256(repr(parts).encode()).hexdigest()

    def published_energy(self) -> float | None:
        """Return the published value as an energy; None if there is none."""
        if self.published is None:
            return None
        offset = 0.0
        if self.is_file:
            from qubo_prune.core.files.hessian import load_hessian

            offset = load_hessian(self.instance).offset
        return self.published.scale * self.published.value - offset

    def to_dict(self) -> dict[str, Any]:
        """Return what a line of results keeps of it, so that it can be made again."""
        document = {name: value for name, value in asdict(self).items() if value}
        document.pop("published", None)
        document.pop("without", None)
        return document if self.remove is None else {**document, "remove": self.remove}

    @classmethod
    def from_dict(cls, document: Mapping[str, Any]) -> Task:
        """Make what `to_dict` described."""
        known = {name: document[name] for name in cls.__match_args__ if name in document}
        for name in ("keep", "force", "weights"):
            if name in known:
                known[name] = tuple(known[name])
        return cls(**known)
