"""The quadratic that predicts an objective from the measurements so far, and is a QUBO again.

A state x has the features x_i and x_i x_j, whose weights w are unknown. Before any measurement they
are independent Gaussians, ``w ~ N(T c, diag(v))``: v is the prior's variance, and the columns of T
are *trends*, given quadratics (the measured singles, an energy...) of which only the amounts c are
unknown, ``c ~ N(c0, diag(t))``. Measurements ``y = F w + noise`` then condition w by linear algebra
with one row per measurement. The posterior mean is a symmetric matrix Q with ``x'Qx`` the
prediction: its lowest states are found, with proof, by `solve`.

Blocks that are near each other may act alike: with a *kinship* K, a positive semidefinite matrix,
the prior adds a quadratic whose values at x and z have the covariance ``(x'Kz)^2``, so that what a
pair is found to do tells something of the pairs of its neighbours.

Features are never written out. With ``z = x * x'`` elementwise, two states have the prior
covariance ``z'Vz``, V holding the variances (halves of those of the pairs, above and below the
diagonal).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

__all__ = ["Posterior", "Prior"]

_JITTER = 1e-10
"""Added to the covariance of the measurements, relative to its largest entry, against rounding."""


@dataclass(frozen=True, eq=False)
class Prior:
    """What is believed of a quadratic before it is measured.

    Attributes
    ----------
    trends : (T, N, N) float64
        Symmetric matrices whose quadratic forms the objective is thought to resemble.
    amounts : (T,) float64
        How much of each is expected.
    amount_variances : (T,) float64
        How unsure that is.
    variances : (N, N) float64
        Symmetric: of the weight of x_i on the diagonal, of the weight of x_i x_j beside it.
    kinship : (N, N) float64, optional
        Positive semidefinite: how alike pairs of neighbouring blocks are thought to act.

    Examples
    --------
    >>> singles = np.diag([1.0, 2.0, 4.0])
    >>> prior = Prior(singles[None], np.ones(1), np.zeros(1), np.full((3, 3), 0.25))
    >>> prior.condition([[1, 1, 0], [1, 0, 1]], [3.0, 6.0]).matrix.round(2)
    array([[ 1.25, -0.06,  0.19],
           [-0.06,  1.88,  0.  ],
           [ 0.19,  0.  ,  4.37]])
    """

    trends: NDArray[np.float64]
    amounts: NDArray[np.float64]
    amount_variances: NDArray[np.float64]
    variances: NDArray[np.float64]
    kinship: NDArray[np.float64] | None = None

    @property
    def num_blocks(self) -> int:
        """Number of blocks, N."""
        return len(self.variances)

    def covariance(
        self, states: NDArray[np.bool_], others: NDArray[np.bool_]
    ) -> NDArray[np.float64]:
        """Return the prior covariance of the objective at states with that at others."""
        left, right = self._trends_at(states), self._trends_at(others)
        result = (left * self.amount_variances) @ right.T
        halves = _halved(self.variances)
        columns = others.astype(np.float64)
        for row, state in enumerate(states):
            chosen = np.flatnonzero(state)
            result[row] += _at_rows(columns[:, chosen], halves[np.ix_(chosen, chosen)])
        if self.kinship is not None:
            result += (states.astype(np.float64) @ self.kinship @ others.T) ** 2
        return result

    def variance(self, states: NDArray[np.bool_]) -> NDArray[np.float64]:
        """Return the prior variance of the objective at each state."""
        rows = states.astype(np.float64)
        result: NDArray[np.float64] = self._trends_at(states) ** 2 @ self.amount_variances
        result += _at_rows(rows, _halved(self.variances))
        if self.kinship is not None:
            result += _at_rows(rows, self.kinship) ** 2
        return result

    def mean(self, states: NDArray[np.bool_]) -> NDArray[np.float64]:
        """Return the prior mean of the objective at states."""
        return self._trends_at(states) @ self.amounts

    def condition(
        self, states: ArrayLike, values: ArrayLike, noise: ArrayLike = 1e-12
    ) -> Posterior:
        """Return what is believed after measurements.

        Parameters
        ----------
        states : (n, N) array_like of bool
            What was measured.
        values : (n,) array_like of float
            The values, all finite.
        noise : float or (n,) array_like
            Variance of each value around the quadratic: errors of the measurement, and what no
            quadratic can say.
        """
        states = np.asarray(states, np.bool_).reshape(-1, self.num_blocks)
        values = np.asarray(values, np.float64)
        covariance = self.covariance(states, states)
        scale = float(np.abs(covariance).max(initial=0.0)) or 1.0
        noise = np.broadcast_to(np.asarray(noise, np.float64), values.shape)
        covariance[np.diag_indices(len(values))] += noise + _JITTER * scale
        factor = np.asarray(np.linalg.cholesky(covariance), np.float64)
        return Posterior(self, states, values, noise, factor)

    def sample(self, random: np.random.Generator) -> NDArray[np.float64]:
        """Draw a quadratic from the prior, as a symmetric matrix."""
        amounts = self.amounts + np.sqrt(self.amount_variances) * random.standard_normal(
            len(self.amounts)
        )
        weights = np.triu(np.sqrt(self.variances) * random.standard_normal(self.variances.shape))
        drawn: NDArray[np.float64] = np.tensordot(amounts, self.trends, 1)
        drawn = drawn + (weights + weights.T) / 2
        if self.kinship is not None:
            values, vectors = np.linalg.eigh(self.kinship)
            root = vectors * np.sqrt(np.maximum(values, 0.0))
            kin = root @ random.standard_normal(self.variances.shape) @ root.T
            drawn = drawn + (kin + kin.T) / 2
        return drawn

    def _trends_at(self, states: NDArray[np.bool_]) -> NDArray[np.float64]:
        rows = states.astype(np.float64)
        values = np.empty((len(rows), len(self.trends)))
        for column, trend in enumerate(self.trends):
            values[:, column] = _at_rows(rows, trend)
        return values


@dataclass(frozen=True, eq=False)
class Posterior:
    """What is believed of a quadratic after measurements; made by `Prior.condition`.

    Attributes
    ----------
    prior : Prior
        What was believed before.
    states : (n, N) bool
        What was measured.
    values : (n,) float64
        The values.
    noise : (n,) float64
        The variance of each.
    factor : (n, n) float64
        Lower Cholesky factor of the covariance of the values.
    """

    prior: Prior
    states: NDArray[np.bool_]
    values: NDArray[np.float64]
    noise: NDArray[np.float64]
    factor: NDArray[np.float64]

    @property
    def matrix(self) -> NDArray[np.float64]:
        """The posterior mean, a symmetric matrix Q: the prediction of state x is ``x'Qx``."""
        residuals = self.values - self.prior.mean(self.states)
        return np.tensordot(self.prior.amounts, self.prior.trends, 1) + self._correction(residuals)

    @property
    def log_evidence(self) -> float:
        """How likely the prior holds the measured values to be: the log of their density."""
        white = np.linalg.solve(self.factor, self.values - self.prior.mean(self.states))
        logs = np.log(np.diagonal(self.factor)).sum()
        return float(-0.5 * white @ white - logs - 0.5 * len(white) * np.log(2 * np.pi))

    def predict(self, states: NDArray[np.bool_]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return the predictions of states and their standard deviations."""
        covariance = self.prior.covariance(states, self.states)
        white = np.linalg.solve(self.factor, covariance.T)
        residuals = np.linalg.solve(self.factor, self.values - self.prior.mean(self.states))
        variances = self.prior.variance(states) - np.einsum("nk,nk->k", white, white)
        means = self.prior.mean(states) + white.T @ residuals
        return means, np.sqrt(np.maximum(variances, 0.0))

    def sample(self, random: np.random.Generator) -> NDArray[np.float64]:
        """Draw a quadratic from the posterior, as a symmetric matrix.

        A draw from the prior is corrected by what it gets wrong of the measurements (Matheron's
        rule), which takes the same solve as the mean.
        """
        matrix = self.prior.sample(random)
        rows = self.states.astype(np.float64)
        drawn = _at_rows(rows, matrix)
        drawn += np.sqrt(self.noise) * random.standard_normal(len(drawn))
        return matrix + self._correction(self.values - drawn)

    def _correction(self, residuals: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return how the quadratic changes where the measurements differ from it by `residuals`."""
        multipliers = np.linalg.solve(self.factor.T, np.linalg.solve(self.factor, residuals))
        rows = self.states.astype(np.float64)
        weighted = rows.T @ (multipliers[:, np.newaxis] * rows)
        trends = self.prior.amount_variances * (multipliers @ self.prior._trends_at(self.states))
        result = _halved(self.prior.variances) * weighted
        result += np.tensordot(trends, self.prior.trends, 1)
        if self.prior.kinship is not None:
            result += self.prior.kinship @ weighted @ self.prior.kinship
        return result


def _at_rows(rows: NDArray[np.float64], matrix: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the quadratic of a symmetric matrix at each row."""
    values: NDArray[np.float64] = ((rows @ matrix) * rows).sum(axis=1)
    return values


def _halved(variances: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the matrix with halves of the variances of pairs, each of which it holds twice."""
    return (variances + np.diag(np.diagonal(variances))) / 2
