"""The Hessians of the reference models that come with the package, and their stored spectra."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from benchmarks.reference_models import summary
from benchmarks.reference_models.spectra import REFERENCES, Reference
from qubo_prune import Status, verify
from qubo_prune.hessians import bundled, load_hessian
from qubo_prune.solving.proof.certificate import Certificate
from qubo_prune.solving.proof.statement import Statement

ROOT = Path(__file__).resolve().parents[2]

QUICK = [each for each in REFERENCES if each.hessian.startswith(("llama-32-block", "nemotron"))]
"""Small enough to be solved anew by another engine in a moment."""


@pytest.mark.parametrize("name", sorted({each.hessian for each in REFERENCES}))
def test_bundled_hessians_say_where_they_come_from(name: str) -> None:
    file = load_hessian(name)
    assert name in {entry.name for entry in bundled()}
    assert file.metadata["samples"] == 2048
    assert file.metadata["sequence_length"] == 128
    bits = file.metadata["training"]["held_out_bits_per_byte"]
    assert bits["trained"] < 0.5 * bits["untrained"]
    assert np.linalg.eigvalsh(file.hessian).min() > -1e-12
    assert file.mean_gradient is not None
    assert len(file.metadata["parameter_counts"]) == file.num_blocks


@pytest.mark.parametrize("reference", REFERENCES, ids=lambda each: each.path.stem)
def test_every_stored_spectrum_is_one_of_its_problem_and_proven(reference: Reference) -> None:
    certificate, problem = Certificate.load(reference.path), reference.problem()
    assert certificate.statement == Statement.of(problem)
    certificate.spectrum.check(problem)
    assert certificate.spectrum.status is Status.PROVEN
    assert len(certificate.spectrum) == min(100, problem.num_states)


@pytest.mark.parametrize("reference", QUICK, ids=lambda each: each.path.stem)
def test_small_spectra_verify_and_come_out_the_same_to_the_last_bit(reference: Reference) -> None:
    certificate, problem = Certificate.load(reference.path), reference.problem()
    anew = reference.solve()
    assert (anew.states == certificate.spectrum.states).all()
    assert (anew.energies == certificate.spectrum.energies).all()
    verification = verify(certificate, problem)
    assert verification.passed
    assert verification.complete


def test_every_stored_spectrum_is_listed() -> None:
    folder = REFERENCES[0].path.parent
    assert set(folder.glob("*.json")) == {each.path for each in REFERENCES}


def test_layers_of_one_kind() -> None:
    file = load_hessian("nemotron-h-52")
    assert file.kinds is not None
    assert [i for i, kind in enumerate(file.kinds) if kind == "attention"] == [
        5,
        12,
        19,
        26,
        33,
        42,
    ]
    [pairs] = [each for each in REFERENCES if each.remove == {"attention": 2}]
    assert pairs.problem().num_states == 15


@pytest.mark.parametrize("table", [summary.hessians_table, summary.spectra_table])
def test_the_documentation_has_these_figures(table: Callable[[], str]) -> None:
    page = ROOT / "docs" / "explanation" / "reference-hessians.md"
    assert table() in page.read_text()
