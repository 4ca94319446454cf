"""What people mistype gets one sentence that says what was meant."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.cli.conftest import Run

BLOCK = "bytelm-40-block"


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("slove", "No such command 'slove'. Did you mean 'solve'?"),
        ("bench rnu", "Did you mean 'run'?"),
        (f"solve {BLOCK} --statse 3", "solve has no option --statse; did you mean --states?"),
        ("bench run smoke --treads 3", "bench run has no option --treads; did you mean --threads?"),
        ("solve -z", "solve has no option -z."),
        ("solve bytelm-40-blok", "did you mean 'bytelm-40-block'?"),
        (f"solve {BLOCK} --remove 3 --backend tabbu", "; did you mean 'tabu'?"),
        (f"solve {BLOCK} --remove 3 --option max_step=1", "; did you mean 'max_steps'?"),
        ("solve bytelm-40-branch --remove atention=3", "did you mean 'attention'?"),
        ("solve bytelm-40-branch --remove 3 --keep layers.0.mpl", "did you mean 'layers.0.mlp'?"),
        (f"export {BLOCK} --remove 4 --out q.lp --format lpp", "did you mean 'lp'?"),
        ("bench run smokee", "no instance or suite of that name; did you mean 'smoke'?"),
        ("bench list smokee", "did you mean 'smoke'?"),
        ("bench run smoke --backends gredy", "did you mean 'greedy'?"),
        ("solve", "Missing argument 'HESSIAN'; see `qubo-prune solve --help`."),
        (f"solve {BLOCK} remove 8", "solve takes no further argument, got remove 8; see"),
        (f"solve {BLOCK} --remove", "--remove needs a value, which is missing; write it behind."),
        (f"solve {BLOCK} --remove 3 --rows -1", "--rows must be at least 0, not -1;"),
        (
            f"solve {BLOCK} --remove 101%",
            "--remove must be a whole number, or a share up to '100%'",
        ),
    ],
)
def test_one_sentence(line: str, said: str, run: Run) -> None:
    code, out, err = run(*line.split())
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert said in err


@pytest.mark.parametrize("command", ["solve", "sweep", "show", "plan", "hessians show"])
def test_an_empty_name(command: str, run: Run) -> None:
    code, out, err = run(*command.split(), "")
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert "empty" in err or "folder" in err


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("verify s.json", "s.json is a spectrum, not a certificate; name another file."),
        ("prune m --selection s.json --out d", "s.json is a spectrum, not a selection;"),
        ("bench report s.json", "s.json is a spectrum, not results of a benchmark;"),
        ("solve s.json --remove 3", "s.json is a spectrum, not a Hessian; name the file of a matr"),
        ("bound hesian.npy --remove 3", "did you mean 'hessian.npy'?"),
        ("prune m --spectrum c.json --out d", "c.json is a certificate, not a spectrum;"),
    ],
)
def test_another_file_is_named_as_what_it_is(
    line: str, said: str, run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    np.save("hessian.npy", np.eye(4))
    files = ("--out", "s.json", "--certificate", "c.json", "--quiet")
    run("solve", "hessian.npy", "--remove", 2, *files)
    code, out, err = run(*line.split())
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert said in err


def test_what_is_not_shown_is_had_by_options_that_there_are(run: Run, tmp_path: Path) -> None:
    asked = ("--rows", 1, "--remove", 3, "--states", 2, "--out", tmp_path / "s.json")
    assert "1 not shown (--rows, --json, --out)" in run("solve", BLOCK, *asked).out
    shown = run("show", tmp_path / "s.json", "--rows", 1).out
    assert "1 not shown (--rows, --csv, --json)" in shown
