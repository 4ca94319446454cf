"""`--plot` and `--dark`: drawn when asked, refused before any work, and of every file that has a
picture.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import pytest

from qubo_prune import Problem, solve, sweep
from qubo_prune.bench.results import Run as BenchRun
from qubo_prune.bench.results import TracePoint, append_run
from qubo_prune.core.files.hessian import save_hessian
from qubo_prune.pruning import Measurement
from qubo_prune.pruning.evaluation.evaluation import Evaluation
from qubo_prune.pruning.evaluation.metrics import Metric
from qubo_prune.pruning.selection import Candidate, Selection
from qubo_prune.report.theme import DARK, LIGHT
from qubo_prune.solving.proof.certificate import Certificate
from tests.cli.conftest import Run

NAMES = ("a", "b", "c", "d", "e", "f")
PROBLEM = Problem(np.diag([6.0, 1, 5, 2, 4, 3]) + 0.5, 2, names=NAMES)


@pytest.fixture
def hessian(tmp_path: Path) -> Path:
    path = tmp_path / "h.npy"
    save_hessian(path, PROBLEM.hessian, names=NAMES, kinds=["x", "y"] * 3)
    return path


def is_dark(path: Path) -> bool:
    text = path.read_text()
    assert "<svg" in text
    assert (LIGHT.background in text) is not (DARK.background in text)
    return DARK.background in text


def files(folder: Path) -> set[str]:
    return {each.name for each in folder.iterdir()}


def test_solve_draws_what_it_found(hessian: Path, run: Run, tmp_path: Path) -> None:
    out = tmp_path / "s.svg"
    code, said, err = run("solve", hessian, "--remove", 2, "--states", 5, "--plot", out, "--json")
    assert (code, err) == (0, f"qubo-prune: wrote {out}\n")
    assert len(json.loads(said)["energies"]) == 5
    assert not is_dark(out)
    first = out.read_bytes()
    run("solve", hessian, "--remove", 2, "--states", 5, "--plot", out, "-q")
    assert out.read_bytes() == first  # the kinds of the sidecar are in it, as they are in no file
    text = " ".join(run("solve", hessian, "--remove", 2, "--plot", out, "--dark").err.split())
    assert "wrote" in text
    assert is_dark(out)


def test_sweep_draws_all_its_spectra(hessian: Path, run: Run, tmp_path: Path) -> None:
    out = tmp_path / "sweep.svg"
    code, said, err = run("sweep", hessian, "--remove", "1-3", "--states", 2, "--plot", out)
    assert code == 0
    assert f"wrote {out}" in err
    assert len(said.splitlines()) == 4
    assert not is_dark(out)


def test_nothing_is_drawn_unless_asked(hessian: Path, run: Run, tmp_path: Path) -> None:
    before = files(tmp_path)
    for command in (("solve", hessian, "--remove", 2), ("sweep", hessian), ("show", hessian)):
        assert run(*command).code == 0
    assert files(tmp_path) == before
    for command in (("solve", hessian, "--remove", 2), ("sweep", hessian), ("show", hessian)):
        code, said, err = run(*command, "--dark")
        assert (code, said) == (2, "")
        assert err == "qubo-prune: error: --dark says how --plot draws; add --plot FILE.\n"


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("plot.gif", "--plot: a plot must end in .png, .pdf or .svg, not 'plot.gif'; rename it."),
        ("plot", "--plot: a plot must end in .png, .pdf or .svg, not 'plot'; rename it."),
        ("notes.svg", "and a plot does not replace it; name another file, or delete it."),
        ("no/plot.svg", "name a folder that exists and is writable."),
    ],
)
def test_a_plot_that_must_fail_is_refused_before_any_work(
    name: str, message: str, hessian: Path, run: Run, tmp_path: Path
) -> None:
    (tmp_path / "notes.svg").write_text("mine")
    out = tmp_path / "s.json"
    for command in (
        ("solve", hessian, "--remove", 2, "--out", out),
        ("sweep", hessian, "--out", tmp_path / "swept"),
        ("show", hessian),
        ("hessians", "show", hessian),
    ):
        code, said, err = run(*command, "--plot", tmp_path / name)
        assert (code, said, err.count("\n")) == (2, "", 1)
        assert message in err
    assert files(tmp_path) == {"h.npy", "h.json", "notes.svg"}
    assert (tmp_path / "notes.svg").read_text() == "mine"


def test_without_matplotlib_nothing_is_begun(
    hessian: Path, run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    out = tmp_path / "s.json"
    code, _, err = run("solve", hessian, "--remove", 2, "--out", out, "--plot", tmp_path / "s.svg")
    assert code == 2
    assert "--plot: a plot needs matplotlib, which is not installed; install it with" in err
    assert not out.exists()
    assert run("solve", hessian, "--remove", 2, "--out", out).code == 0


def make_all(folder: Path) -> dict[str, Path]:
    """One file of each kind that has a picture."""
    found = solve(PROBLEM, num_states=4)
    found.save(folder / "s.npz")
    Certificate.of(PROBLEM, found).save(folder / "c.json")
    (folder / "swept").mkdir()
    for count, each in sweep(PROBLEM, [1, 2], num_states=2).items():
        each.save(folder / "swept" / f"remove-{count}.json")
    measured = [Measurement.of([1, 3], [0.5, 0.7, 0.6]), Measurement.of([0, 2], [0.9, 1.0, 1.2])]
    Selection(
        removals=tuple(
            Candidate.compared(each, measured[0], proposed_by="energy") for each in measured
        ),
        objective="loss",
        baseline=2.5,
        num_evaluations=2,
        remove=2,
        names=NAMES,
    ).save(folder / "selection.json")
    metrics = {"original": (Metric.mean("loss", [2.0, 3.0]),)}
    Evaluation(models={"original": {}}, metrics=metrics, original="original").save(
        folder / "e.json"
    )
    points = (TracePoint(0.01, best=2.0), TracePoint(0.1, best=1.0))
    append_run(folder / "b.jsonl", BenchRun("toy", "toy", "0", 9, 3, 1, "tabu", trace=points))
    save_hessian(folder / "h.npy", PROBLEM.hessian)
    names = ("s.npz", "c.json", "swept", "selection.json", "e.json", "b.jsonl", "h.npy")
    return {name: folder / name for name in names}


def test_show_draws_every_file_that_has_a_picture(run: Run, tmp_path: Path) -> None:
    for number, path in enumerate(make_all(tmp_path).values()):
        out = tmp_path / "plot.svg"
        code, said, err = run("show", path, "--plot", out, *(["--dark"] if number % 2 else []))
        assert (code, err) == (0, f"qubo-prune: wrote {out}\n")
        assert said == run("show", path).out
        assert is_dark(out) is bool(number % 2)
        out.unlink()


def test_show_says_what_has_a_picture(run: Run, tmp_path: Path) -> None:
    np.save(tmp_path / "h.grads.npy", np.ones((5, 3), np.float32))
    out = tmp_path / "plot.svg"
    code, said, err = run("show", tmp_path / "h.grads.npy", "--plot", out)
    assert (code, said, err.count("\n")) == (2, "", 1)
    assert "is a table of gradients, which has no picture; name a spectrum, a certificate," in err
    assert not out.exists()
