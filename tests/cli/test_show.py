"""`qubo-prune show`: every file of ours is recognised and shown; others are refused in one line."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path

import numpy as np
import pytest

from qubo_prune import Problem, Spectrum, load_hessian, solve, sweep
from qubo_prune.core.files.hessian import save_hessian
from qubo_prune.pruning import Measurement
from qubo_prune.pruning.evaluation.evaluation import Evaluation
from qubo_prune.pruning.evaluation.metrics import Metric
from qubo_prune.pruning.selection import Candidate, Selection
from qubo_prune.solving.proof.certificate import Certificate
from tests.cli.conftest import Run

NAMES = ("=first", "b", "c", "d", "e", "f")
PROBLEM = Problem(np.diag([6.0, 1, 5, 2, 4, 3]) + 0.5, 2, names=NAMES)


def spectrum(path: Path) -> Spectrum:
    found = solve(PROBLEM, num_states=4)
    found.save(path)
    return found


def table_of(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text)))


@pytest.mark.parametrize("name", ["s.json", "s.npz"])
def test_a_spectrum(name: str, run: Run, tmp_path: Path) -> None:
    path = tmp_path / name
    found = spectrum(path)
    code, out, err = run("show", path, "--rows", 2)
    assert (code, err) == (0, "")
    assert found.advice in " ".join(out.split())
    assert "1, 3" in out
    assert "2 not shown" in out
    assert "b, d" in run("show", path, "--names").out
    rows = table_of(run("show", path, "--csv", "--rows", 1).out)
    assert [float(row["energy"]) for row in rows] == found.energies.tolist()
    assert [row["removed"] for row in rows] == [
        " ".join(map(str, state.removed)) for state in found
    ]
    shown = json.loads(run("show", path, "--json").out)
    assert (shown.pop("kind"), shown.pop("file")) == ("spectrum", str(path))
    assert shown == found.to_dict()


def test_no_name_becomes_a_formula_of_a_spreadsheet(run: Run, tmp_path: Path) -> None:
    solve(PROBLEM.with_remove(5), num_states=9).save(tmp_path / "s.json")
    cells = [row["names"] for row in table_of(run("show", tmp_path / "s.json", "--csv").out)]
    assert any(cell.startswith("'=first") for cell in cells)
    assert not any(cell.startswith("=") for cell in cells)


def test_a_folder_of_a_sweep(run: Run, tmp_path: Path) -> None:
    found = sweep(PROBLEM, [2, 1, 3], num_states=2)
    for count, each in found.items():
        each.save(tmp_path / f"remove-{count}.json")
        certificate = Certificate.of(PROBLEM.with_remove(count), each)
        certificate.save(tmp_path / f"remove-{count}.certificate.json")
    out = run("show", tmp_path, "--names", "--rows", 2).out
    assert "b, d" in out
    assert "b, d, f" not in out
    assert "3 spectra; 1 not shown" in out
    rows = table_of(run("show", tmp_path, "--csv").out)
    assert [(row["remove"], row["removed"]) for row in rows] == [
        ("1", "1"),
        ("2", "1 3"),
        ("3", "1 3 5"),
    ]
    shown = json.loads(run("show", tmp_path, "--json").out)
    assert shown["kind"] == "sweep"
    assert shown["spectra"] == [found[count].to_dict() for count in (1, 2, 3)]


def test_a_certificate_is_shown_as_a_claim(run: Run, tmp_path: Path) -> None:
    path = tmp_path / "c.json"
    Certificate.of(PROBLEM, solve(PROBLEM, num_states=3), hessian="h.npy").save(path)
    out = run("show", path).out
    assert "h.npy" in out
    assert "1, 3" in out
    assert "qubo-prune verify" in out
    assert json.loads(run("show", path, "--json").out)["kind"] == "certificate"
    assert len(table_of(run("show", path, "--csv").out)) == 3


def test_a_checkpoint(run: Run, tmp_path: Path) -> None:
    path = tmp_path / "k.json"
    solve(PROBLEM, num_states=3, backend="enumeration", options={"checkpoint": str(path)})
    out = " ".join(run("show", path).out.split())
    assert "visited 15 states" in out
    assert "1, 3" in out
    shown = json.loads(run("show", path, "--json").out)
    assert (shown["kind"], shown["states_visited"]) == ("checkpoint", 15)
    assert table_of(run("show", path, "--csv").out)[0]["removed"] == "1 3"
    path.write_text(path.read_text().replace('"num_finished": 15', '"num_finished": 14'))
    code, _, err = run("show", path)
    assert code == 2
    assert "do not match its sha256" in err
    assert err.count("\n") == 1


def test_a_checkpoint_of_a_proof(run: Run, tmp_path: Path) -> None:
    path = tmp_path / "run.checkpoint"
    solve(PROBLEM, num_states=3, options={"checkpoint": str(path)})
    out = " ".join(run("show", path).out.split())
    assert "A proof by branch and bound that has visited" in out
    assert "0 nodes open." in out
    assert "1, 3" in out
    shown = json.loads(run("show", path, "--json").out)
    assert (shown["kind"], shown["num_open"], shown["lower_bound"]) == ("checkpoint", 0, None)
    assert table_of(run("show", path, "--csv").out)[0]["removed"] == "1 3"


def test_a_selection(run: Run, tmp_path: Path) -> None:
    measured = [Measurement.of([1, 3], [0.5, 0.7, 0.6]), Measurement.of([0, 2], [0.9, 1.0, 1.2])]
    selection = Selection(
        removals=tuple(
            Candidate.compared(each, measured[0], proposed_by="energy") for each in measured
        ),
        objective="loss",
        baseline=2.5,
        num_evaluations=2,
        remove=2,
        names=NAMES,
    )
    path = tmp_path / "selection.json"
    selection.save(path)
    out = run("show", path, "--names", "--rows", 1).out
    assert "b, d" in out
    assert "=first" not in out
    assert "1 not shown" in out
    rows = table_of(run("show", path, "--csv").out)
    assert float(rows[0]["objective"]) == selection.best.objective
    assert [row["removed"] for row in rows] == ["1 3", "0 2"]
    assert json.loads(run("show", path, "--json").out)["kind"] == "selection"


def test_an_evaluation(run: Run, tmp_path: Path) -> None:
    evaluation = Evaluation(
        models={"original": {}, "smaller": {}},
        metrics={
            "original": (Metric.mean("loss", [2.0, 3.0, 4.0]),),
            "smaller": (Metric.mean("loss", [2.1, 3.3, 4.2]),),
        },
        original="original",
    )
    evaluation.save(tmp_path / "e.json")
    evaluation.save(tmp_path / "e.csv")
    assert "smaller" in run("show", tmp_path / "e.json").out
    assert run("show", tmp_path / "e.json", "--csv").out == (tmp_path / "e.csv").read_text()
    assert json.loads(run("show", tmp_path / "e.json", "--json").out)["kind"] == "evaluation"
    code, _, err = run("show", tmp_path / "e.csv")
    assert code == 2
    assert "name the .json" in err
    assert err.count("\n") == 1


def test_a_hessian_its_sidecar_and_a_bundled_one(run: Run, tmp_path: Path) -> None:
    path = tmp_path / "h.npy"
    save_hessian(path, PROBLEM.hessian, names=NAMES, parameter_counts=[100 * k for k in range(6)])
    for each in (path, path.with_suffix(".json")):
        shown = json.loads(run("show", each, "--json").out)
        assert (shown["kind"], shown["num_blocks"]) == ("Hessian", 6)
        rows = table_of(run("show", each, "--csv").out)
        assert [row["parameters"] for row in rows] == ["0", "100", "200", "300", "400", "500"]
        assert float(rows[1]["energy_alone"]) == 1.5
    assert "b" in run("show", path, "--names", "--rows", 2).out
    shown = json.loads(run("show", "bytelm-40-block", "--json").out)
    assert shown["file_sha256"] == load_hessian("bytelm-40-block").sha256
    path.unlink()
    code, _, err = run("show", path.with_suffix(".json"))
    assert code == 2
    assert "none is beside it" in err


def test_a_table_of_gradients(run: Run, tmp_path: Path) -> None:
    path = tmp_path / "h.grads.npy"
    np.save(path, np.ones((5, 3), np.float32))
    assert "5 x 3 float32" in run("show", path).out
    assert json.loads(run("show", path, "--json").out)["shape"] == [5, 3]


@pytest.mark.parametrize("name", ["t.json", "t.csv", "t.npz", "t.svg", "t.html", "t.bin"])
@pytest.mark.parametrize("text", ["", "[]", "\x00\x93", '{"removals": 3}'])
def test_what_is_none_of_ours(name: str, text: str, run: Run, tmp_path: Path) -> None:
    path = tmp_path / name
    path.write_text(text)
    code, out, err = run("show", path)
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert str(path) in err


def test_what_is_not_there_and_an_empty_folder(run: Run, tmp_path: Path) -> None:
    code, _, err = run("show", tmp_path / "nothing.json")
    assert code == 2
    assert "there is no file" in err
    code, _, err = run("show", tmp_path)
    assert code == 2
    assert "remove-M.json" in err
    assert run("show", "bytelm-40-block", "--csv", "--json").code == 2
