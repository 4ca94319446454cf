"""The surrogate: its algebra against features written out, and its QUBO against its predictions."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from qubo_prune import Problem, solve
from qubo_prune.pruning.surrogate import Posterior, Prior


def features(states: NDArray[np.bool_]) -> NDArray[np.float64]:
    """One column for each x_i and each x_i x_j."""
    rows = states.astype(np.float64)
    size = rows.shape[1]
    pairs = [rows[:, i] * rows[:, j] for i, j in itertools.combinations(range(size), 2)]
    return np.column_stack([rows, *pairs])


def weights(matrix: NDArray[np.float64]) -> NDArray[np.float64]:
    """The weights of those columns in a symmetric matrix."""
    upper = [2 * matrix[i, j] for i, j in itertools.combinations(range(len(matrix)), 2)]
    return np.array([*np.diagonal(matrix), *upper])


@st.composite
def posteriors(draw: st.DrawFn) -> Posterior:
    rng = np.random.default_rng(draw(st.integers(0, 10**6)))
    size, count = draw(st.integers(2, 6)), draw(st.integers(0, 9))
    trends = rng.standard_normal((draw(st.integers(0, 3)), size, size))
    trends += np.swapaxes(trends, 1, 2)
    variances = rng.uniform(0.1, 2, (size, size))
    root = rng.standard_normal((size, draw(st.integers(1, size)))) * 0.5
    prior = Prior(
        trends,
        rng.standard_normal(len(trends)),
        rng.uniform(0, 2, len(trends)),
        variances + variances.T,
        root @ root.T if draw(st.booleans()) else None,
    )
    states = rng.random((count, size)) < 0.5
    return prior.condition(states, rng.standard_normal(count) * 3, rng.uniform(0.05, 1, count))


def oracle(posterior: Posterior) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Mean and covariance of the weights by conditioning the joint Gaussian, all written out."""
    prior = posterior.prior
    through = np.array([weights(trend) for trend in prior.trends]).reshape(
        len(prior.trends), prior.num_blocks * (prior.num_blocks + 1) // 2
    )
    own = [
        *np.diagonal(prior.variances),
        *(prior.variances[pair] for pair in itertools.combinations(range(prior.num_blocks), 2)),
    ]
    mean = prior.amounts @ through
    covariance = np.diag(own) + through.T @ np.diag(prior.amount_variances) @ through
    if prior.kinship is not None:
        covariance += kin_covariance(prior.kinship)
    known = features(posterior.states)
    gain = (
        covariance
        @ known.T
        @ np.linalg.inv(known @ covariance @ known.T + np.diag(posterior.noise))
    )
    return mean + gain @ (posterior.values - known @ mean), covariance - gain @ known @ covariance


def kin_covariance(kinship: NDArray[np.float64]) -> NDArray[np.float64]:
    """That of the weights of a symmetric Gaussian matrix A with cov(x'Ax, z'Az) = (x'Kz)^2."""
    size = len(kinship)
    entries = [(i, i) for i in range(size)] + list(itertools.combinations(range(size), 2))
    return np.array(
        [
            [
                (kinship[i, k] * kinship[j, m] + kinship[i, m] * kinship[j, k])
                / 2
                * (1 + (i != j))
                * (1 + (k != m))
                for k, m in entries
            ]
            for i, j in entries
        ]
    )


@given(posteriors())
def test_the_posterior_is_the_conditioned_gaussian(posterior: Posterior) -> None:
    mean, covariance = oracle(posterior)
    np.testing.assert_allclose(weights(posterior.matrix), mean, atol=1e-6)
    every = np.array(list(itertools.product([False, True], repeat=posterior.prior.num_blocks)))
    means, deviations = posterior.predict(every)
    written = features(every)
    np.testing.assert_allclose(means, written @ mean, atol=1e-6)
    variances = np.einsum("ki,ij,kj->k", written, covariance, written)
    np.testing.assert_allclose(deviations**2, np.maximum(variances, 0), atol=1e-6)


@given(posteriors())
def test_energies_of_the_quadratic_are_the_predictions(posterior: Posterior) -> None:
    size = posterior.prior.num_blocks
    problem = Problem(posterior.matrix, remove=size // 2, symmetrize=True)
    spectrum = solve(problem, num_states=10**6)
    means, _ = posterior.predict(spectrum.states)
    np.testing.assert_allclose(spectrum.energies, means, atol=1e-9)


@pytest.mark.parametrize("seed", [0, 1])
@pytest.mark.parametrize("kin", [0.0, 0.6])
def test_draws_have_the_mean_and_the_covariance_of_the_posterior(seed: int, kin: float) -> None:
    rng = np.random.default_rng(seed)
    kinship = np.array([[0.5, 0.3, 0.0], [0.3, 0.5, 0.3], [0.0, 0.3, 0.5]]) * kin if kin else None
    trends = np.diag([1.0, 2.0, 3.0])[None]
    prior = Prior(trends, np.ones(1), np.full(1, 0.5), np.full((3, 3), 0.5), kinship)
    states = np.array([[1, 1, 0], [0, 1, 1]], np.bool_)
    posterior = prior.condition(states, [4.0, 3.0], 0.1)
    drawn = np.array([weights(posterior.sample(rng)) for _ in range(20_000)])
    mean, covariance = oracle(posterior)
    np.testing.assert_allclose(drawn.mean(axis=0), mean, atol=0.03)
    np.testing.assert_allclose(np.cov(drawn.T), covariance, atol=0.03)


def test_evidence_is_the_density_of_the_values() -> None:
    prior = Prior(np.zeros((0, 2, 2)), np.zeros(0), np.zeros(0), np.ones((2, 2)))
    posterior = prior.condition([[1, 0], [1, 1]], [0.5, -1.0], 0.25)
    covariance = np.array([[1.25, 1.0], [1.0, 3.25]])
    values = np.array([0.5, -1.0])
    density = -0.5 * values @ np.linalg.inv(covariance) @ values
    density -= 0.5 * np.log(np.linalg.det(2 * np.pi * covariance))
    assert posterior.log_evidence == pytest.approx(density, abs=1e-6)
