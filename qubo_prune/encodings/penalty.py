"""The constraint as a penalty term: unconstrained problems that QUBO and Ising solvers take.

The paper's section 4.1 reformulates equation 5 in this way for tabu, quantum and other solvers:
over the free variables y of a problem, ``offset + y'Qy + sum_g P_g (sum_{i in g} y_i - r_g)^2``
with one penalty P_g for each group g of which exactly r_g variables are 1. How large P has to be is
the business of `qubo_prune.encodings.weights`.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from qubo_prune.core.errors import InputError
from qubo_prune.core.problem.problem import Problem
from qubo_prune.core.text import format_value
from qubo_prune.core.validation import as_real_array, as_states
from qubo_prune.encodings.refusals import refuse_budget


@dataclass(frozen=True, eq=False)
class Qubo:
    """Minimise ``offset + y'Qy`` over all binary y.

    Attributes
    ----------
    matrix : (n, n) float64
        Q, symmetric; linear terms are on the diagonal.
    offset : float
        The constant term, so that a feasible y has the energy of its state.
    variables : (n,) int64
        Block index of each variable.
    penalties : (num_groups,) float64
        The penalties inside `matrix`.
    """

    matrix: NDArray[np.float64]
    offset: float
    variables: NDArray[np.int64]
    penalties: NDArray[np.float64]

    def energies(self, y: ArrayLike) -> NDArray[np.float64]:
        """Return ``offset + y'Qy`` for y of shape (K, n) or (n,), bool or 0/1, as (K,) float64."""
        rows = as_states(y, len(self.variables), "y").astype(np.float64)
        return np.asarray(self.offset + np.einsum("ki,ki->k", rows @ self.matrix, rows))


@dataclass(frozen=True, eq=False)
class Ising:
    """Minimise ``offset + h's + s'Js`` over spins s of -1 and 1; 1 means removed.

    Attributes
    ----------
    h : (n,) float64
        Fields.
    couplings : (n, n) float64
        J, nonzero above the diagonal only.
    offset : float
        The constant term.
    variables : (n,) int64
        Block index of each spin.
    """

    h: NDArray[np.float64]
    couplings: NDArray[np.float64]
    offset: float
    variables: NDArray[np.int64]

    def energies(self, spins: ArrayLike) -> NDArray[np.float64]:
        """Return ``offset + h's + s'Js`` for spins of shape (K, n) or (n,), -1 or 1, as (K,)
        float64.
        """
        rows = np.atleast_2d(np.asarray(spins, np.float64))
        return np.asarray(
            self.offset + rows @ self.h + np.einsum("ki,ki->k", rows @ self.couplings, rows)
        )


def penalty_qubo(problem: Problem, penalties: ArrayLike | None = None) -> Qubo:
    """Return the problem over its free variables with penalties in place of the constraint.

    Parameters
    ----------
    problem : Problem
        What to encode; fixed blocks are folded into the coefficients.
    penalties : float or (num_groups,) array_like, optional
        One for all groups or one for each, at least 0; `safe_penalty` by default.

    Returns
    -------
    Qubo
        Feasible states have their own energies, up to rounding.

    Raises
    ------
    InputError
        If a penalty is negative, not finite, or there are not as many as groups, or if there is a
        budget, which a penalty cannot hold.

    Examples
    --------
    >>> problem = Problem([[2.0, 1.0, 0.0], [1.0, 3.0, -2.0], [0.0, -2.0, 4.0]], remove=2)
    >>> qubo = penalty_qubo(problem, 10.0)
    >>> qubo.energies([[1, 1, 0], [0, 1, 1], [1, 1, 1]]), problem.energies([[1, 1, 0], [0, 1, 1]])
    (array([ 7.,  3., 17.]), array([7., 3.]))
    """
    refuse_budget(problem, "a penalty form")
    if penalties is None:
        from qubo_prune.encodings.weights import safe_penalty

        penalties = safe_penalty(problem)
    weights = as_penalties(problem, penalties)
    reduced = problem.reduced()
    matrix = reduced.matrix.copy()
    offset = reduced.offset
    for number, (weight, count) in enumerate(zip(weights, reduced.counts, strict=True)):
        # P (sum y - r)^2 = P (sum_{i != j} y_i y_j + (1 - 2 r) sum y + r^2)
        members = np.flatnonzero(reduced.group_of == number)
        matrix[np.ix_(members, members)] += weight
        matrix[members, members] -= 2.0 * count * weight
        offset += float(weight * count**2)
    for array in (matrix, weights):
        array.setflags(write=False)
    return Qubo(matrix, offset, reduced.variables, weights)


def to_ising(problem: Problem, penalties: ArrayLike | None = None) -> Ising:
    """Return the problem with penalties as fields, couplings and an offset.

    Parameters
    ----------
    problem : Problem
        What to encode.
    penalties : float or (num_groups,) array_like, optional
        As for `penalty_qubo`.

    Returns
    -------
    Ising
        With y = (1 + s) / 2: ``h_i = sum_j Q_ij / 2``, ``J_ij = Q_ij / 2`` for i < j.

    Examples
    --------
    >>> problem = Problem([[2.0, 1.0, 0.0], [1.0, 3.0, -2.0], [0.0, -2.0, 4.0]], remove=2)
    >>> to_ising(problem, 10.0).energies([[1, 1, -1], [-1, 1, 1]])
    array([7., 3.])
    """
    qubo = penalty_qubo(problem, penalties)
    upper = np.triu(qubo.matrix, 1)
    return Ising(
        h=0.5 * qubo.matrix.sum(axis=1),
        couplings=0.5 * upper,
        offset=float(qubo.offset + 0.5 * np.trace(qubo.matrix) + 0.5 * upper.sum()),
        variables=qubo.variables,
    )


def as_penalties(problem: Problem, value: ArrayLike) -> NDArray[np.float64]:
    """Return one penalty for each group of the problem, checked."""
    num_groups = len(problem.groups)
    array = as_real_array(value, "penalties").astype(np.float64)
    if array.shape not in ((), (num_groups,)):
        raise InputError(
            f"penalties must be one number or {num_groups}, one for each group, not an array of"
            f" shape {array.shape}; give as many as problem.groups."
        )
    if not (np.isfinite(array) & (array >= 0)).all():
        raise InputError(
            f"penalties must be finite and at least 0, not {format_value(array.tolist())}; see"
            " smallest_penalty and safe_penalty."
        )
    return np.broadcast_to(array, (num_groups,)).copy()


def penalty_facts(penalties: NDArray[np.float64]) -> dict[str, float | int | str]:
    """Return penalties as statistics of a run: ``penalty`` if all are equal, else ``penalty_0``,
    ``penalty_1``... by group.

    >>> penalty_facts(np.array([2.0, 2.0])), penalty_facts(np.array([2.0, 3.0]))
    ({'penalty': 2.0}, {'penalty_0': 2.0, 'penalty_1': 3.0})
    """
    if len(set(penalties.tolist())) == 1:
        return {"penalty": float(penalties[0])}
    return {f"penalty_{number}": float(value) for number, value in enumerate(penalties)}
