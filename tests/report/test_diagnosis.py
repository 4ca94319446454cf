"""Plots of diagnoses: written whole, the same every time, refused where they cannot be."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest

from qubo_prune.core.errors import InputError
from qubo_prune.core.files.gradients import gradients_path, save_gradients
from qubo_prune.hessians import Diagnosis, save_hessian
from qubo_prune.hessians.diagnostics import diagnose
from qubo_prune.report.diagnosis import plot_diagnosis

STARTS = {".png": b"\x89PNG", ".pdf": b"%PDF", ".svg": b"<?xml"}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "toy.npy"
    gradients = np.random.default_rng(0).standard_normal((40, 5)).astype(np.float32)
    rows = gradients.astype(np.float64)
    save_hessian(path, rows.T @ rows / 40)
    save_gradients(gradients_path(path), gradients)
    return path


@pytest.fixture
def diagnosis(path: Path) -> Diagnosis:
    return diagnose(path, remove=2, resamples=10)


@pytest.mark.parametrize("suffix", STARTS)
def test_plots_are_written_and_the_same_every_time(
    diagnosis: Diagnosis, tmp_path: Path, suffix: str
) -> None:
    out = tmp_path / f"plot{suffix}"
    plot_diagnosis(diagnosis, out)
    first = out.read_bytes()
    assert first.startswith(STARTS[suffix])
    plot_diagnosis(diagnosis, out)
    assert out.read_bytes() == first


def test_what_is_not_known_is_not_drawn(diagnosis: Diagnosis, tmp_path: Path) -> None:
    counts = []
    for missing in ({}, {"stability": None}, {"stability": None, "convergence": None}):
        plot_diagnosis(dataclasses.replace(diagnosis, **missing), tmp_path / "plot.svg")
        counts.append((tmp_path / "plot.svg").read_text().count('id="axes_'))
    assert counts == [5, 4, 3]  # correlations with their scale, eigenvalues, convergence, states


def test_matrices_without_correlations_or_eigenvalues(tmp_path: Path) -> None:
    for name, matrix in (("one", np.ones((1, 1))), ("zero", np.zeros((3, 3)))):
        np.save(tmp_path / f"{name}.npy", matrix)
        plot_diagnosis(diagnose(tmp_path / f"{name}.npy"), tmp_path / "plot.png")
        assert (tmp_path / "plot.png").read_bytes().startswith(STARTS[".png"])


def test_plots_that_are_refused(diagnosis: Diagnosis, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"must end in .png, .pdf or .svg, not 'plot.gif'; rename"):
        plot_diagnosis(diagnosis, tmp_path / "plot.gif")
    with pytest.raises(InputError, match="cannot be written"):
        plot_diagnosis(diagnosis, tmp_path / "no" / "plot.png")
