"""What people mistype gets one sentence that says what was meant."""

from __future__ import annotations

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
