"""What Python shows of results: texts, tables, frames; and equality after a file."""

from __future__ import annotations

import csv
import dataclasses
import io
import sys
from pathlib import Path

import numpy as np
import pytest

from qubo_prune import InputError, Problem, Spectrum, solve, sweep
from qubo_prune.core.files.hessian import save_hessian
from qubo_prune.hessians import diagnose

NAMES = ("a", "<b>", "c", "d", "e", "f")
PROBLEM = Problem(np.diag([6.0, 1, 5, 2, 4, 3]) + 0.5, 2, names=NAMES)


@pytest.fixture(scope="module")
def found() -> Spectrum:
    return solve(PROBLEM, num_states=14)


def test_printing_a_spectrum_shows_its_states(found: Spectrum) -> None:
    lines = str(found).splitlines()
    assert lines[0] == found.summary()
    assert len(lines) == 1 + 1 + 10 + 1
    assert lines[2].split() == ["0", f"{found.energies[0]:.9g}", "0", "yes", "1,", "3"]
    assert lines[-1] == "... and 4 more"
    assert str(found[:3]).splitlines()[-1].endswith("1, 4")
    assert str(found[:0]) == found[:0].summary()
    assert repr(found) == f"<Spectrum: {found.summary()}>"


@pytest.mark.parametrize("name", ["s.json", "s.npz"])
@pytest.mark.parametrize("backend", ["branch-and-bound", "tabu"])
def test_a_spectrum_is_equal_after_saving_and_loading(
    name: str, backend: str, tmp_path: Path
) -> None:
    saved = solve(PROBLEM, num_states=5, backend=backend)
    saved.save(tmp_path / name)
    loaded = Spectrum.load(tmp_path / name)
    assert loaded == saved
    assert hash(loaded) == hash(saved)


def test_whatever_differs_makes_spectra_differ(found: Spectrum) -> None:
    changes = [
        {"energies": np.nextafter(found.energies, np.inf)},
        {"states": ~found.states},
        {"num_proven": 3},
        {"seed": 5},
        {"names": tuple("uvwxyz")},
    ]
    for change in changes:
        assert dataclasses.replace(found, **change) != found
    assert found != found[:5]
    assert found != 3
    assert dataclasses.replace(found) == found


def test_a_spectrum_as_a_frame(found: Spectrum, monkeypatch: pytest.MonkeyPatch) -> None:
    pandas = pytest.importorskip("pandas")
    frame = found.to_pandas()
    assert list(frame.energy) == found.energies.tolist()
    assert list(frame.removed) == [list(state.removed) for state in found]
    assert frame.proven.all()
    assert list(found[:0].to_pandas().columns) == list(frame.columns)
    text = pandas.read_csv(io.StringIO(found.to_csv()))
    assert list(text.columns) == list(frame.columns)
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(InputError, match="pip install pandas"):
        found.to_pandas()


def test_a_sweep_is_a_dict_with_a_table() -> None:
    swept = sweep(PROBLEM, [2, 1], num_states=3)
    assert isinstance(swept, dict)
    assert list(swept) == [2, 1]
    assert swept[2] == dict(swept)[2]
    lines = str(swept).splitlines()
    assert lines[0] == "2 spectra"
    assert lines[2].split()[:2] == ["2", "15"]
    assert lines[3].endswith("  1")
    rows = list(csv.DictReader(io.StringIO(swept.to_csv())))
    assert [row["removed"] for row in rows] == ["1 3", "1"]
    assert [float(row["lowest_energy"]) for row in rows] == [
        float(swept[2].energies[0]),
        float(swept[1].energies[0]),
    ]
    assert "<td>1, 3</td>" in swept._repr_html_()
    assert repr(swept) == "<Sweep: 2 spectra, M = 2, 1>"


def test_a_sweep_over_kinds() -> None:
    problem = Problem(np.eye(4), {"x": 1, "y": 1}, kinds=["x", "x", "y", "y"])
    swept = sweep(problem, [{"x": 1, "y": 1}], num_states=1)
    assert list(swept) == [(("x", 1), ("y", 1))]
    assert swept.to_rows()[0]["remove"] == "1 x+1 y"
    pytest.importorskip("pandas")
    assert swept.to_pandas().shape == (1, 9)


def test_a_problem_and_a_diagnosis_show_themselves(tmp_path: Path) -> None:
    problem = Problem(np.eye(3), 1, kinds=["<i>", "y", "y"], only="<i>", keep=[1])
    shown = problem._repr_html_()
    assert "&lt;i&gt;" in shown
    assert "<i>" not in shown
    path = tmp_path / "h.npy"
    save_hessian(path, np.diag([1.0, 0.0, 2.0]), names=NAMES[:3])
    diagnosis = diagnose(path)
    assert str(diagnosis).startswith("h.npy: 3 blocks, rank 2, ")
    assert len(str(diagnosis).splitlines()) == 1 + len(diagnosis.warnings) > 1
    assert "\n" not in repr(diagnosis)
    assert diagnosis._repr_html_().count("<li>") == len(diagnosis.warnings)
