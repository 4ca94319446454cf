"""What a certificate is a proof of: a problem, without its matrix."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from qubo_prune.core.problem.problem import Problem


@dataclass(frozen=True, kw_only=True)
class Statement:
    """What was solved: a problem without its matrix and its gradient, of which only checksums are
    kept.

    Attributes
    ----------
    hessian_sha256 : str
        `Problem.hessian_sha256`.
    num_blocks : int
        N.
    num_states : int
        Exact number of states with the right counts.
    remove, kinds, names, keep, force, only, beta : as for Problem
        What was asked for.
    gradient_sha256 : str or None
        Hexadecimal SHA-256 of the gradient as little-endian float64; None if `beta` is 0.
    weights : tuple of int or None
        Those of the budget, if there is one; see `Budget`.
    at_least : int or None
        What the removed blocks have to weigh.
    """

    hessian_sha256: str
    num_blocks: int
    num_states: int
    remove: int | dict[str, int] | None
    kinds: tuple[str, ...] | None
    names: tuple[str, ...] | None
    keep: tuple[int, ...]
    force: tuple[int, ...]
    only: str | None
    beta: float
    gradient_sha256: str | None
    weights: tuple[int, ...] | None = None
    at_least: int | None = None

    @classmethod
    def of(cls, problem: Problem) -> Statement:
        """Return the statement of a problem."""
        gradient = None
        if problem.beta != 0 and problem.gradient is not None:
            data = np.ascontiguousarray(problem.gradient, dtype="<f8").data
            gradient = hashlib.sha256(data).hexdigest()
        budget = problem.budget
        return cls(
            hessian_sha256=problem.hessian_sha256,
            num_blocks=problem.num_blocks,
            num_states=problem.num_states,
            remove=problem.remove,
            kinds=problem.kinds,
            names=problem.names,
            keep=problem.keep,
            force=problem.force,
            only=problem.only,
            beta=problem.beta,
            gradient_sha256=gradient,
            weights=None if budget is None else tuple(budget.weights.tolist()),
            at_least=None if budget is None else budget.at_least,
        )

    def differences(self, other: Statement) -> list[str]:
        """Return the names of the fields in which two statements differ."""
        return [f.name for f in fields(self) if getattr(self, f.name) != getattr(other, f.name)]
