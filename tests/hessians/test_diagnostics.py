"""Diagnoses held against covariances and distributions that are known."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from qubo_prune import Problem, solve
from qubo_prune.core.errors import InputError
from qubo_prune.core.files.gradients import gradients_path, save_gradients
from qubo_prune.hessians import load_hessian, save_hessian
from qubo_prune.hessians.diagnostics import diagnose
from qubo_prune.hessians.stability import bootstrap


def write(folder: Path, gradients: NDArray[np.float32], **sidecar: Any) -> Path:
    path = folder / "toy.npy"
    gradients = np.asarray(gradients, np.float32).astype(np.float64)
    save_hessian(path, gradients.T @ gradients / len(gradients), samples=len(gradients), **sidecar)
    save_gradients(gradients_path(path), gradients)
    return path


def normal(m: int, covariance: NDArray[np.float64], seed: int = 0) -> NDArray[np.float32]:
    rng = np.random.default_rng(seed)
    return rng.multivariate_normal(np.zeros(len(covariance)), covariance, m)


@settings(max_examples=20)
@given(seed=st.integers(0, 2**32), n=st.integers(2, 6), m=st.integers(2, 60))
def test_the_standard_error_is_that_of_a_mean(seed: int, n: int, m: int) -> None:
    rng = np.random.default_rng(seed)
    gradients = rng.standard_normal((m, n))
    states = np.eye(n, dtype=bool) | (rng.random((n, n)) < 0.3)
    of_samples = (gradients @ states.T) ** 2
    found = bootstrap(
        gradients, states, of_samples.mean(0), lowest=n, resamples=4000, seed=1, num_proven=n
    )
    # The bootstrap of a mean has a standard error in closed form; 4,000 draws come within a few per
    # cent.
    np.testing.assert_allclose(found.errors, of_samples.std(axis=0) / np.sqrt(m), rtol=0.1)
    gaps = of_samples - of_samples[:, :1]
    np.testing.assert_allclose(found.gap_errors, gaps.std(axis=0) / np.sqrt(m), rtol=0.1)
    assert found.gap_errors[0] == 0
    assert found.ground_share.sum() == pytest.approx(1)
    assert found.lowest_share.tolist() == [1] * n


def test_the_error_of_an_energy_follows_from_the_covariance(tmp_path: Path) -> None:
    covariance = np.array([[4.0, 1.0, 0.0], [1.0, 3.0, -1.0], [0.0, -1.0, 2.0]])
    m = 4000
    found = diagnose(write(tmp_path, normal(m, covariance)), remove=2).stability
    # a'x is normal with variance v = x'Cx, so (a'x)^2 has the variance 2 v^2.
    variances = np.einsum("ki,ij,kj->k", found.states, covariance, found.states)
    np.testing.assert_allclose(found.energies, variances, rtol=0.1)
    np.testing.assert_allclose(found.errors, variances * np.sqrt(2 / m), rtol=0.15)


def test_energies_are_the_mean_squares_of_what_is_removed(tmp_path: Path) -> None:
    gradients = normal(50, np.diag([1.0, 2.0, 3.0, 4.0])).astype(np.float32).astype(np.float64)
    path = write(tmp_path, gradients)
    found = diagnose(path, remove=2, num_states=4, lowest=2, resamples=10).stability
    expected = solve(Problem.load(path, 2), num_states=4)
    assert found.states.tolist() == np.asarray(expected.states).tolist()
    assert found.energies.tolist() == np.asarray(expected.energies).tolist()
    np.testing.assert_allclose(
        found.energies, ((gradients @ found.states.T) ** 2).mean(axis=0), rtol=1e-12
    )
    assert (found.num_proven, found.lowest, found.resamples) == (4, 2, 10)
    assert found.lowest_share.sum() == pytest.approx(2)


def test_ranks_are_stable_where_the_gap_is_large_and_a_coin_where_there_is_none(
    tmp_path: Path,
) -> None:
    clear = diagnose(write(tmp_path, normal(500, np.diag([1.0, 100.0, 400.0]))), remove=1)
    assert clear.stability.ground_share.tolist() == [1, 0, 0]
    assert clear.stability.num_indistinguishable == 1
    assert clear.warnings == ()
    even = diagnose(write(tmp_path, normal(2000, np.diag([1.0, 1.0, 400.0]), 7)), remove=1)
    assert even.stability.ground_share[2] == 0
    assert even.stability.ground_share[:2].min() > 0.02
    assert even.stability.num_indistinguishable == 2
    assert even.warnings[0].startswith(
        "1 of the 3 lowest states is less than two standard errors above the first"
    )


def test_the_same_seed_gives_the_same_diagnosis(tmp_path: Path) -> None:
    path = write(tmp_path, normal(40, np.eye(4)))
    one, two, other = (diagnose(path, remove=2, seed=seed) for seed in (3, 3, 4))
    assert one.split_half == two.split_half != other.split_half
    assert one.stability.errors.tolist() == two.stability.errors.tolist()
    assert one.stability.errors.tolist() != other.stability.errors.tolist()
    assert one.convergence == other.convergence


def test_counts_per_kind(tmp_path: Path) -> None:
    path = write(tmp_path, normal(40, np.eye(4)), kinds=["attention", "mlp"] * 2)
    found = diagnose(path, remove={"attention": 1, "mlp": 2}).stability
    assert found.states[:, [0, 2]].sum(axis=1).tolist() == [1, 1]


def test_conditioning_of_known_matrices(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", np.diag([4.0, 4.0, 0.0]))
    found = diagnose(tmp_path / "a.npy")
    assert found.effective_rank == pytest.approx(2)
    assert (found.rank, found.condition_number) == (2, np.inf)
    assert (found.samples, found.split_half, found.stability) == (None, None, None)
    np.save(tmp_path / "b.npy", np.diag([8.0, 2.0, 4.0]))
    found = diagnose(tmp_path / "b.npy")
    assert (found.rank, found.condition_number) == (3, 4)
    assert found.eigenvalues.tolist() == [2, 4, 8]
    np.save(tmp_path / "c.npy", np.zeros((2, 2)))
    found = diagnose(tmp_path / "c.npy")
    assert (found.rank, found.effective_rank, found.condition_number) == (0, 0, np.inf)


def test_correlations(tmp_path: Path) -> None:
    matrix = np.array(
        [[4.0, 3.0, 0.0, 0.0], [3.0, 9.0, -1.5, 0.0], [0, -1.5, 1.0, 0], [0, 0, 0, 0]]
    )
    np.save(tmp_path / "a.npy", matrix)
    found = diagnose(tmp_path / "a.npy")
    assert found.correlated_pairs(2) == [(0, 1, 0.5), (1, 2, -0.5)]
    assert np.diag(found.correlations).tolist() == [1, 1, 1, 0]
    assert not found.correlations[3].any()


def test_half_of_the_samples_repeated_are_the_whole(tmp_path: Path) -> None:
    half = normal(32, np.eye(3))
    found = diagnose(write(tmp_path, np.concatenate([half, half])))
    assert [count for count, _ in found.convergence] == [8, 16, 32]
    assert found.convergence[2][1] < 1e-6 < found.convergence[0][1]


def test_the_distance_falls_with_the_square_root_of_the_samples(tmp_path: Path) -> None:
    few, many = (diagnose(write(tmp_path, normal(m, np.eye(6)))).split_half for m in (500, 8000))
    assert few / many == pytest.approx(4, rel=0.2)
    # Two halves of m/2 normal samples: the entries of the difference have the variance 2 (1 + [i =
    # j]) / (m/2).
    expected = np.sqrt(2 * (36 + 6) / 4000) / np.sqrt(6)
    assert many == pytest.approx(expected, rel=0.1)


def test_one_sample_has_nothing_to_compare(tmp_path: Path) -> None:
    found = diagnose(write(tmp_path, np.ones((1, 2))), remove=1)
    assert (found.convergence, found.split_half, found.samples) == ((), None, 1)
    assert found.stability.errors.tolist() == [0, 0]


def test_dead_gates(tmp_path: Path) -> None:
    gradients = normal(50, np.eye(8))
    gradients[:, 1:7] = 0
    found = diagnose(write(tmp_path, gradients, names=list("abcdefgh")))
    assert found.warnings[0].startswith("6 of 8 gates are dead, b, c, d, e, f and 1 more: ")


def test_one_sample_dominating(tmp_path: Path) -> None:
    gradients = normal(200, np.eye(3))
    gradients[17] *= 20
    found = diagnose(write(tmp_path, gradients))
    (warning,) = found.warnings
    assert warning.startswith("sample 17 alone makes ")
    assert found.largest_share > 0.1
    assert found.effective_samples < 20
    equal = diagnose(write(tmp_path, np.ones((200, 3))))
    assert equal.effective_samples == pytest.approx(200)
    assert equal.largest_share == pytest.approx(1 / 200)


def test_fewer_samples_than_blocks(tmp_path: Path) -> None:
    path = write(tmp_path, normal(4, np.eye(6)))
    message = "4 samples for 6 blocks leave H with rank 4 at most"
    assert any(each.startswith(message) for each in diagnose(path).warnings)
    gradients_path(path).unlink()
    (warning,) = diagnose(path).warnings  # the sidecar says so as well
    assert warning.startswith(message)


def test_a_kind_without_strength_looks_like_a_gate_before_a_post_norm(tmp_path: Path) -> None:
    scale = np.diag([1.0, 1e-8, 1.0, 1e-8])
    path = write(tmp_path, normal(50, scale), kinds=["attention", "mlp"] * 2)
    (warning,) = diagnose(path).warnings
    assert warning.startswith(
        "gradients of the kind 'mlp' are typically 0.0001 of those of 'attent"
    )
    assert "post-norm" in warning


def test_coarse_half_precision_and_negative_eigenvalues(tmp_path: Path) -> None:
    path = tmp_path / "toy.npy"
    check = {"samples": 4, "median_relative_error": 0.4, "largest_relative_error": 0.5}
    save_hessian(path, np.diag([1.0, -1.0]), dtype_check=check)
    negative, coarse = diagnose(path).warnings
    assert negative.startswith("H has the negative eigenvalue -1")
    assert "typically 40% off those of the same weights in float32" in coarse
    save_hessian(path, np.eye(2), dtype_check={**check, "median_relative_error": 0.01})
    assert diagnose(path).warnings == ()


def test_gradients_of_another_hessian(tmp_path: Path) -> None:
    path = write(tmp_path, normal(50, np.eye(3)))
    with pytest.raises(InputError, match=r"are not those of toy.npy: A'A/m differs from H by"):
        diagnose(path, normal(50, np.eye(3), seed=9))
    with pytest.raises(InputError, match="one row of 3 numbers"):
        diagnose(path, np.ones((5, 2)))
    # Given as an array, a path or found beside the file, they are the same.
    rows = np.load(gradients_path(path))
    for grads in (rows, gradients_path(path), None):
        assert diagnose(load_hessian(path), grads).samples == 50


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"resamples": 1}, "resamples must be at least 2, not 1"),
        ({"lowest": 0}, "lowest must be at least 1, not 0"),
        ({"num_states": 0}, "num_states must be at least 1"),
        ({"remove": 9}, "remove"),
    ],
)
def test_arguments_that_are_refused(tmp_path: Path, options: Any, message: str) -> None:
    path = write(tmp_path, normal(50, np.eye(3)))
    with pytest.raises(InputError, match=message):
        diagnose(path, **{"remove": 1, **options})


def test_error_bars_need_gradients() -> None:
    with pytest.raises(InputError, match="error bars need the per-sample gradients of bytelm"):
        diagnose("bytelm-40-block", remove=4)


def test_a_diagnosis_cannot_be_changed() -> None:
    found = diagnose("bytelm-40-block")
    with pytest.raises(dataclasses.FrozenInstanceError):
        found.rank = 3
