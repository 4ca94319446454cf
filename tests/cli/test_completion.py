"""What a shell completes, as bash, zsh and fish ask for it."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from typer.completion import get_completion_script

from qubo_prune.backends import backend_names
from qubo_prune.bench.suite_names import suite_names
from qubo_prune.cli import completion
from qubo_prune.core.files.bundled import bundled, bundled_names
from tests.cli.conftest import Run

pytestmark = pytest.mark.skipif(os.name != "posix", reason="shells of Unix")


def asked(**environment: str) -> str:
    """Return what the command prints to a shell that asks; no numerical library may be loaded."""
    code = (
        "import atexit, sys\n"
        "from qubo_prune.cli.main import main\n"
        "heavy = {'numpy', 'numba', 'torch', 'rich', 'scipy', 'dimod', 'matplotlib'}\n"
        "atexit.register(lambda: print(sorted(heavy & set(sys.modules)), file=sys.stderr))\n"
        "sys.exit(main())"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        env=os.environ | environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stderr == "[]\n"
    return done.stdout


def completions(line: str) -> list[str]:
    """Return what bash gets at the end of a line."""
    words = line.split(" ")
    return asked(
        _QUBO_PRUNE_COMPLETE="complete_bash", COMP_WORDS=line, COMP_CWORD=str(len(words) - 1)
    ).split()


@pytest.mark.parametrize(
    ("line", "found"),
    [
        ("qubo-prune sw", ["sweep"]),
        ("qubo-prune bench co", ["compare"]),
        ("qubo-prune solve --thr", ["--threads"]),
        ("qubo-prune solve --backend ", list(backend_names())),
        ("qubo-prune solve qwen3", [each for each in bundled_names() if "qwen3" in each]),
        ("qubo-prune bench run ", [*suite_names(), *bundled_names()]),
        ("qubo-prune bench run smoke --backends greedy,tab", ["greedy,tabu"]),
        ("qubo-prune criteria m --criteria last,norm", ["last,norm-ratio"]),
        ("qubo-prune compress m --from so", ["solve"]),
        ("qubo-prune sweep qwen3-40-block --from ", []),
        ("qubo-prune show ./fi", []),
    ],
)
def test_bash(line: str, found: list[str]) -> None:
    assert completions(line) == found


def test_zsh_and_fish() -> None:
    line = {"_TYPER_COMPLETE_ARGS": "qubo-prune solve --backend tab"}
    assert '"tabu"' in asked(_QUBO_PRUNE_COMPLETE="complete_zsh", **line)
    fish = asked(
        _QUBO_PRUNE_COMPLETE="complete_fish", _TYPER_COMPLETE_FISH_ACTION="get-args", **line
    )
    assert fish.split() == ["tabu"]
    files = asked(_QUBO_PRUNE_COMPLETE="complete_zsh", _TYPER_COMPLETE_ARGS="qubo-prune solve ./fi")
    assert files.strip() == "_files"


def test_the_script_of_bash_completes(tmp_path: Path) -> None:
    bash = shutil.which("bash")
    if bash is None:
        pytest.skip("needs bash")
    program = tmp_path / "qubo-prune"
    program.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m qubo_prune "$@"\n')
    program.chmod(0o755)
    script = tmp_path / "script"
    script.write_text(
        get_completion_script(  # noqa: S604 - `shell` is the name of one
            prog_name="qubo-prune",
            complete_var="_QUBO_PRUNE_COMPLETE",
            shell="bash",
        )
    )
    complete = "COMP_CWORD=3; _qubo_prune_completion qubo-prune"
    line = "COMP_WORDS=(qubo-prune solve --backend gree)"
    done = subprocess.run(
        [bash, "--norc", "-c", f'. "$0"; {line}; {complete}; echo "${{COMPREPLY[@]}}"', script],
        env=os.environ | {"PATH": f"{tmp_path}:{os.environ['PATH']}"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.split() == ["greedy"]


def test_completion_can_be_installed(run: Run) -> None:
    out = run("--help").out
    assert "--install-completion" in out
    assert "--show-completion" in out


def test_the_names_are_those_that_there_are() -> None:
    from qubo_prune.pruning.criteria import criterion_names

    assert criterion_names() == completion.CRITERIA
    assert bundled_names() == [each.name for each in bundled()]
    pytest.importorskip("torch")
    from qubo_prune.hessians.language_model import DTYPES
    from qubo_prune.pruning.healing.distillation.settings import PRECISIONS
    from qubo_prune.pruning.healing.registry import method_names
    from qubo_prune.pruning.pipeline.steps import STEPS

    assert method_names() == completion.HEALING
    assert tuple(step.name for step in STEPS) == completion.STEPS
    assert completion.DTYPES == DTYPES
    assert set(completion.DTYPES[:3]) == set(PRECISIONS)
