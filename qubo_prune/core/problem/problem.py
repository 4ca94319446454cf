"""The problem: which M of N blocks to remove so that ``x'Hx + 2 beta g'x`` is small."""

from __future__ import annotations

import hashlib
import html
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
from numpy.typing import ArrayLike, NDArray

from qubo_prune.core.errors import InputError
from qubo_prune.core.memory import check_memory
from qubo_prune.core.problem.budget import Budget, as_asked, make_budget
from qubo_prune.core.problem.constraint import Constraint, Group, make_constraint
from qubo_prune.core.problem.decimals import decimal_scale
from qubo_prune.core.problem.reduced import ReducedProblem
from qubo_prune.core.text import format_blocks, format_count
from qubo_prune.core.validation import (
    as_blocks,
    as_finite_float,
    as_gradient,
    as_hessian,
    as_labels,
    as_names,
    as_parameter_counts,
    as_share,
    as_states,
    check_magnitude,
    frozen,
    sum_of_magnitudes,
)


@dataclass(frozen=True, eq=False, init=False, repr=False)
class Problem:
    """A Hessian and what to remove, validated and normalised (equation 5 of the paper).

    A state is a binary vector x with ``x[i] = 1`` where block i is removed. Its energy is
    ``x'Hx + 2 beta g'x``, twice the second-order change of the loss (equation 3): ``beta = 0``
    leaves out the gradient, ``beta = 1`` is the equation as printed, ``beta = -1`` the strict
    Taylor expansion.

    Parameters
    ----------
    hessian : (N, N) array_like
        Real, finite and symmetric; copied to float64. It need not be positive semidefinite.
    remove : int, str or mapping
        How many blocks to remove in all, as a number or a share, ``"10%"``; or of each kind (kinds
        not mentioned are kept). Blocks in `force` count. Any number, one at least, where there is
        `at_least` alone.
    kinds : sequence of str, optional
        Kind of each block, such as ``attention`` or ``mlp``.
    names : sequence of str, optional
        Distinct name of each block; "0", "1", ... without.
    keep, force : sequence of int or str
        Blocks to keep and to remove in any case, by index or name.
    only : str, optional
        The only kind that may be removed.
    gradient : (N,) array_like, optional
        Mean gradient g of the loss with respect to the gates.
    beta : float
        Weight of the first-order term; needs `gradient` unless 0.
    symmetrize : bool
        Accept any asymmetry and use ``(H + H.T) / 2``, which has the same energies. Asymmetry up
        to 1e-8 of max |H| is averaged away in any case.
    parameter_counts : sequence of int, optional
        Number of parameters of each block, of which results tell how many a state removes.
    at_least : float or str, optional
        A budget: what the removed blocks have to weigh together, in the unit of `weights`, or as a
        share of the sum of all weights, ``"20%"``; besides the count, or in its place where
        `remove` is None.
    weights : (N,) sequence of float, optional
        What each block frees, at least 0: bytes, milliseconds...; `parameter_counts` without.

    Attributes
    ----------
    hessian : (N, N) float64
        Read-only, C-contiguous, exactly symmetric.
    remove : int or dict
        As asked.
    keep, force : tuple of int
        Ascending indices.
    linear : (N,) float64
        ``2 beta g``; zeros without a first-order term.
    budget : Budget or None
        `weights` and `at_least` as whole numbers; None without `at_least`.

    Raises
    ------
    InputError
        If anything above does not hold.

    Examples
    --------
    >>> problem = Problem([[2.0, 1.0, 0.0], [1.0, 3.0, -2.0], [0.0, -2.0, 4.0]], remove=2)
    >>> problem
    Problem(num_blocks=3, remove=2, num_states=3)
    >>> problem.with_remove("33%").remove
    1
    >>> problem.energies([[1, 1, 0], [0, 1, 1]])
    array([7., 3.])
    >>> large = Problem(problem.hessian, 2, weights=[5, 5, 2], at_least="60%")
    >>> large.is_feasible([[1, 1, 0], [0, 1, 1]])
    array([ True, False])
    """

    hessian: NDArray[np.float64]
    remove: int | dict[str, int] | None
    kinds: tuple[str, ...] | None
    names: tuple[str, ...] | None
    keep: tuple[int, ...]
    force: tuple[int, ...]
    only: str | None
    gradient: NDArray[np.float64] | None
    beta: float
    parameter_counts: tuple[int, ...] | None
    at_least: float | str | None
    weights: tuple[float, ...] | None
    linear: NDArray[np.float64] = field(init=False)
    budget: Budget | None = field(init=False)
    _constraint: Constraint = field(init=False)

    def __init__(
        self,
        hessian: ArrayLike,
        remove: int | str | Mapping[str, int] | None = None,
        kinds: Sequence[str] | None = None,
        names: Sequence[str] | None = None,
        keep: Iterable[int | str] = (),
        force: Iterable[int | str] = (),
        only: str | None = None,
        gradient: ArrayLike | None = None,
        beta: float = 0.0,
        *,
        symmetrize: bool = False,
        parameter_counts: Sequence[int] | None = None,
        at_least: float | str | None = None,
        weights: Sequence[float] | None = None,
    ) -> None:
        matrix = as_hessian(hessian, symmetrize)
        num_blocks = len(matrix)
        values = self.__dict__  # a frozen dataclass refuses plain assignment
        values["hessian"] = matrix
        values["kinds"] = None if kinds is None else as_labels(kinds, num_blocks, "kinds")
        values["names"] = None if names is None else as_names(names, num_blocks)
        values["only"] = only
        values["gradient"] = None if gradient is None else as_gradient(gradient, num_blocks)
        values["beta"] = as_finite_float(beta, "beta")
        values["parameter_counts"] = (
            None if parameter_counts is None else as_parameter_counts(parameter_counts, num_blocks)
        )
        values["at_least"] = at_least
        values["weights"] = None if weights is None else tuple(weights)
        if at_least is None and weights is not None:
            raise InputError(
                "weights are given, but no at_least; say what the removed blocks have to weigh."
            )
        values["budget"] = make_budget(
            at_least, values["parameter_counts"] if weights is None else weights, num_blocks
        )
        values["linear"] = self._linear_terms()
        values["keep"] = tuple(self._blocks(keep, "keep").tolist())
        values["force"] = tuple(self._blocks(force, "force").tolist())
        self._set_remove(remove)

    @classmethod
    def load(
        cls,
        source: str | os.PathLike[str],
        remove: int | str | Mapping[str, int] | None = None,
        *,
        kinds: Sequence[str] | None = None,
        names: Sequence[str] | None = None,
        keep: Iterable[int | str] = (),
        force: Iterable[int | str] = (),
        only: str | None = None,
        gradient: ArrayLike | None = None,
        beta: float = 0.0,
        symmetrize: bool = False,
        gradients: bool = False,
        at_least: float | str | None = None,
        weights: Sequence[float] | None = None,
    ) -> Problem:
        """Read the Hessian from a file or take a bundled one.

        Parameters
        ----------
        source : str or path
            A ``.npy`` or ``.pt`` file or one of another format, or the name of a bundled Hessian.
        remove : int, str or mapping, optional
            As for `Problem`; what the file or its sidecar says unless given. Where neither does, a
            budget is reached by any number of blocks.
        kinds, names, keep, force, only, gradient, beta, symmetrize : as for Problem
            Kinds, names and the gradient come from the sidecar unless given, and the numbers of
            parameters if it has them.
        gradients : bool
            Take the file for per-sample gradients A, from which ``H = A'A/m``; see `load_hessian`.
        at_least, weights : as for Problem
            What the file says unless given. Without `weights`, a given budget counts the parameters
            that the sidecar tells.

        Raises
        ------
        InputError
            If the file cannot be read or contradicts its sidecar, or the problem is invalid.

        Examples
        --------
        >>> problem = Problem.load("bytelm-40-branch", remove={"attention": 3}, keep=[0])
        >>> problem.num_states
        9139
        """
        from qubo_prune.core.files.hessian import load_hessian

        file = load_hessian(source, gradients=gradients)
        if at_least is None and weights is None:
            at_least, weights = file.at_least, file.weights
        if remove is None and file.remove is None and at_least is None:
            raise InputError(
                f"{source} does not say how many blocks to remove; give that number as remove."
            )
        try:
            return cls(
                file.hessian,
                file.remove if remove is None else remove,
                kinds=file.kinds if kinds is None else kinds,
                names=file.names if names is None else names,
                keep=keep,
                force=force,
                only=only,
                gradient=file.mean_gradient if gradient is None else gradient,
                beta=beta,
                symmetrize=symmetrize,
                parameter_counts=file.metadata.get("parameter_counts"),
                at_least=at_least,
                weights=weights,
            )
        except InputError as error:
            raise InputError(f"{source}: {error}") from error

    def with_remove(self, remove: int | str | Mapping[str, int] | None) -> Problem:
        """Return the same problem with another count; the matrix is shared, not copied.

        Parameters
        ----------
        remove : int, str, mapping or None
            As for `Problem`.

        Examples
        --------
        >>> Problem([[1.0, 0.0], [0.0, 2.0]], remove=1).with_remove(2).num_removed
        2
        """
        other = object.__new__(Problem)
        # Asking for these here computes them once for all problems derived from this one.
        known = {"hessian_sha256": self.hessian_sha256, "decimals": self.decimals}
        other.__dict__.update(self.__dict__, **known)
        other._set_remove(remove)
        return other

    def with_hessian(self, hessian: ArrayLike) -> Problem:
        """Return a problem with the same removals and another energy, without a first-order term.

        Parameters
        ----------
        hessian : (N, N) array_like
            Symmetric up to rounding.

        Examples
        --------
        >>> Problem(np.eye(3), remove=1, keep=[0]).with_hessian(np.diag([1.0, 2.0, 3.0])).keep
        (0,)
        """
        return Problem(
            hessian,
            self.remove,
            kinds=self.kinds,
            names=self.names,
            keep=self.keep,
            force=self.force,
            only=self.only,
            symmetrize=True,
            parameter_counts=self.parameter_counts,
            at_least=self.at_least,
            weights=self.weights,
        )

    @property
    def num_blocks(self) -> int:
        """Number of blocks, N."""
        return len(self.hessian)

    @property
    def num_removed(self) -> int:
        """Number of blocks removed in every feasible state, M, forced ones included; the fewest
        that can reach the budget where `remove` is None.
        """
        return self._constraint.num_removed

    @property
    def counts(self) -> range:
        """Every number of blocks that a feasible state may remove: M alone, or where `remove` is
        None each with which the budget can be reached.

        Examples
        --------
        >>> list(Problem(np.eye(4), weights=[4, 3, 2, 1], at_least=6).counts)
        [2, 3, 4]
        """
        least = self.num_removed
        if self.remove is not None:
            return range(least, least + 1)
        return range(least, self.num_blocks - len(self.fixed_kept) + 1)

    @property
    def num_states(self) -> int:
        """Exact number of states with the right counts; a budget may leave fewer."""
        return self._constraint.num_states

    @property
    def groups(self) -> tuple[Group, ...]:
        """Disjoint groups of free blocks with exact counts, by smallest index."""
        return self._constraint.groups

    @property
    def fixed_removed(self) -> NDArray[np.int64]:
        """Ascending indices of the blocks that every feasible state removes."""
        return self._constraint.fixed_removed

    @property
    def fixed_kept(self) -> NDArray[np.int64]:
        """Ascending indices of the blocks that every feasible state keeps."""
        return self._constraint.fixed_kept

    @cached_property
    def decimals(self) -> float:
        """A power of ten that makes all entries whole, such as 10 for multiples of 0.1: energies
        are rounded to whole numbers over it, which gives the float next to the exact one. 0 where
        entries are whole already, or no decimals of nine places, or sums too large for it.
        """
        return decimal_scale(self.hessian, self.linear)

    @cached_property
    def hessian_sha256(self) -> str:
        """Hexadecimal SHA-256 of the matrix as little-endian float64 in C order."""
        return digest(self.hessian)

    def block_names(self) -> tuple[str, ...]:
        """Return the name of each block: `names`, or "0", "1", ... without."""
        return self.names or tuple(map(str, range(self.num_blocks)))

    def group_labels(self) -> tuple[str, ...]:
        """Return a name for each group: its kind where counts are asked for by kind, else
        ``remove``.

        Examples
        --------
        >>> Problem(np.eye(4), {"mlp": 1}, kinds=["mlp", "attention"] * 2).group_labels()
        ('mlp',)
        """
        if not isinstance(self.remove, dict) or self.kinds is None:
            return tuple("remove" for _ in self.groups)
        return tuple(self.kinds[group.indices[0]] for group in self.groups)

    def energies(self, states: ArrayLike) -> NDArray[np.float64]:
        """Return the energies of states, feasible or not.

        This is the only place where an energy of a result is computed; equal states have equal
        energies to the last bit, and so have states whose exact energies are equal where the
        entries are decimals, see `decimals`.

        Parameters
        ----------
        states : (K, N) or (N,) array_like of bool or 0/1
            1 where a block is removed.

        Returns
        -------
        (K,) float64
            ``x'Hx + 2 beta g'x`` of each state; K = 1 for a single one.

        Raises
        ------
        InputError
            If the shape or a value does not fit.
        """
        from qubo_prune.core.kernels.energy import energies

        rows = as_states(states, self.num_blocks)
        return np.asarray(energies(self.hessian, self.linear, rows, self.decimals), np.float64)

    def is_feasible(self, states: ArrayLike) -> NDArray[np.bool_]:
        """Tell which states satisfy the constraint.

        Parameters
        ----------
        states : (K, N) or (N,) array_like of bool or 0/1
            1 where a block is removed.

        Returns
        -------
        (K,) bool

        Examples
        --------
        >>> Problem([[1.0, 0.0], [0.0, 2.0]], remove=1).is_feasible([[1, 0], [1, 1]])
        array([ True, False])
        """
        rows = as_states(states, self.num_blocks)
        allowed = self._constraint.allows(rows)
        return allowed if self.budget is None else allowed & self.budget.allows(rows)

    def state(self, removed: Iterable[int | str]) -> NDArray[np.bool_]:
        """Return the state that removes the given blocks, feasible or not.

        Parameters
        ----------
        removed : sequence of int or str
            Distinct block indices or names, in any order.

        Returns
        -------
        (N,) bool

        Raises
        ------
        InputError
            If a block is unknown or given twice.

        Examples
        --------
        >>> Problem([[1.0, 0.0], [0.0, 2.0]], remove=1, names=["a", "b"]).state(["b"])
        array([False,  True])
        """
        state = np.zeros(self.num_blocks, np.bool_)
        state[self._blocks(removed, "removed")] = True
        return state

    def reduced(self) -> ReducedProblem:
        """Return the problem over its free blocks alone, as solvers want it.

        Examples
        --------
        >>> problem = Problem([[2.0, 1.0, 0.0], [1.0, 3.0, -2.0], [0.0, -2.0, 4.0]], 2, force=[1])
        >>> reduced = problem.reduced()
        >>> reduced.offset, reduced.matrix.tolist()
        (3.0, [[4.0, 0.0], [0.0, 0.0]])

        Raises
        ------
        InputError
            If there is no count, which solvers need.
        """
        if self.remove is None:
            raise InputError(
                f"the problem has a budget, at_least={self.at_least!r}, but no count, and what is"
                " asked for needs one; give remove, one of"
                f" {self.counts.start}-{self.counts.stop - 1}."
            )
        group_of = np.full(self.num_blocks, -1)
        for number, group in enumerate(self.groups):
            group_of[group.indices] = number
        variables = np.flatnonzero(group_of >= 0)
        matrix = self.hessian
        if len(variables) < self.num_blocks or self.linear.any():
            check_memory(8 * len(variables) ** 2, f"the matrix of {len(variables):,} free blocks")
            # x_i is 0 or 1, so x_i^2 = x_i and every linear term can sit on the diagonal.
            matrix = self.hessian[np.ix_(variables, variables)]
            coupling = self.hessian[np.ix_(variables, self.fixed_removed)].sum(axis=1)
            diagonal = np.einsum("ii->i", matrix)
            diagonal += self.linear[variables] + 2.0 * coupling
            matrix = frozen(matrix)
        return ReducedProblem(
            variables=frozen(variables),
            matrix=matrix,
            offset=float(self.energies(self.state(self.fixed_removed))[0]),
            group_of=frozen(group_of[variables]),
            counts=frozen(np.array([group.count for group in self.groups], np.int64)),
            fixed_removed=self.fixed_removed,
            num_blocks=self.num_blocks,
            budget=self.budget and self.budget.of_free(variables, self.fixed_removed),
        )

    def _repr_html_(self) -> str:
        asked = (
            ", ".join(f"{count} {kind}" for kind, count in self.remove.items())
            if isinstance(self.remove, dict)
            else f"{self.num_removed}{' or more' if self.remove is None else ''}"
        )
        facts: dict[str, object] = {
            "blocks": self.num_blocks,
            "remove": asked,
            "keep": format_blocks(sorted(self.keep)) or "none",
            "force": format_blocks(sorted(self.force)) or "none",
            "only": self.only or "all kinds",
            "removals": format_count(self.num_states),
        }
        if self.budget is not None:
            facts["at least"] = self.at_least
        rows = "".join(
            f"<tr><th>{key}</th><td>{html.escape(str(value))}</td></tr>"
            for key, value in facts.items()
        )
        return f"<table><caption>Problem</caption><tbody>{rows}</tbody></table>"

    def __repr__(self) -> str:
        budget = "" if self.budget is None else f"at_least={self.at_least!r}, "
        return (
            f"Problem(num_blocks={self.num_blocks}, remove={self.remove}, {budget}"
            f"num_states={format_count(self.num_states)})"
        )

    def _set_remove(self, remove: int | str | Mapping[str, int] | None) -> None:
        if isinstance(remove, str):
            remove = as_share(remove, self.num_blocks)
        self.__dict__["remove"] = as_asked(remove, self.budget)
        constraint = make_constraint(
            self.remove,
            self.kinds,
            np.array(self.keep, np.int64),
            np.array(self.force, np.int64),
            self.only,
            self.num_blocks,
        )
        if self.budget is not None:
            if remove is None:
                constraint = self.budget.at_fewest(constraint)
            self.budget.require_reachable(constraint)
        self.__dict__["_constraint"] = constraint

    def _blocks(self, entries: Iterable[int | str], what: str) -> NDArray[np.int64]:
        positions = {name: index for index, name in enumerate(self.block_names())}
        return as_blocks(entries, positions, what)

    def _linear_terms(self) -> NDArray[np.float64]:
        linear = np.zeros(self.num_blocks)
        if self.beta != 0:
            if self.gradient is None:
                raise InputError(
                    f"beta={self.beta} weights the first-order term, which needs the gradient; "
                    "pass gradient=..., a file whose sidecar has mean_gradient, or beta=0."
                )
            with np.errstate(over="ignore", invalid="ignore"):
                linear = 2.0 * self.beta * self.gradient
                check_magnitude(sum_of_magnitudes(self.hessian) + float(np.abs(linear).sum()))
        return frozen(linear)


def digest(hessian: NDArray[np.float64]) -> str:
    """Return the hexadecimal SHA-256 of a matrix as little-endian float64 in C order."""
    return hashlib.sha256(np.ascontiguousarray(hessian, dtype="<f8").data).hexdigest()
