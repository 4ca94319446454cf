"""Options from a TOML file."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer

from qubo_prune.cli import main
from tests.cli.conftest import Run

BLOCK = "bytelm-40-block"


def commands(command: Any, words: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Yield every command without commands of its own, with the words that call it."""
    for name, each in getattr(command, "commands", {}).items():
        if getattr(each, "commands", None):
            yield from commands(each, (*words, name))
        else:
            yield (*words, name), each


EVERY = dict(commands(typer.main.get_command(main._app)))


@pytest.fixture
def config(tmp_path: Path) -> Any:
    def write(text: str) -> Path:
        path = tmp_path / "run.toml"
        path.write_text(text)
        return path

    return write


@pytest.mark.parametrize("words", EVERY, ids=" ".join)
def test_every_command_takes_a_file_and_says_so(words: tuple[str, ...], run: Run) -> None:
    assert any("--config" in parameter.opts for parameter in EVERY[words].params)
    out = " ".join(run(*words, "--help").out.split())
    assert "Take options from the table of this command in FILE, a .toml" in out


def test_options_come_from_the_file_and_the_command_line_wins(run: Run, config: Any) -> None:
    path = config(f"""
        [solve]
        hessian = "{BLOCK}"
        remove = "10%"
        states = 3
        keep = [0, "2-4"]
        json = true
        [solve.option]
        max_steps = 40
        [sweep]
        remove = "3,4"
        """)
    ran = run("solve", "--config", path)
    assert (ran.code, ran.err) == (0, "")
    found = json.loads(ran.out)
    assert (found["remove"], len(found["removed"])) == (4, 3)
    assert not {0, 2, 3, 4} & {block for removed in found["removed"] for block in removed}
    assert found["proof"]["max_steps"] == 40
    changed = json.loads(run("solve", BLOCK, "--remove", 2, "--keep", 1, "--config", path).out)
    assert changed["remove"] == 2
    assert not any(1 in removed for removed in changed["removed"])
    assert run("sweep", BLOCK, "--config", path).out.splitlines()[2].split()[0] == "4"


def test_tables_lists_and_commands_in_groups(run: Run, config: Any) -> None:
    path = config("""
        [sweep]
        from = 2
        to = 3
        states = 1
        quiet = false
        [solve]
        remove = { attention = 2, mlp = 1 }
        states = 1
        json = true
        [bench.run]
        backends = ["greedy", "random"]
        remove = 3
        dry_run = true
        json = true
        """)
    assert [line.split()[0] for line in run("sweep", BLOCK, "--config", path).out.splitlines()] == [
        "M",
        "2",
        "3",
    ]
    branch = json.loads(run("solve", "bytelm-40-branch", "--config", path).out)
    assert branch["remove"] == {"attention": 2, "mlp": 1}
    planned = run("bench", "run", BLOCK, "--config", path)
    assert planned.code == 0
    assert json.loads(planned.out)["runs"] == 6  # of two solvers, with three seeds


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[sovle]\nstates=3", "there is no command 'sovle'; did you mean 'solve'?"),
        ("states=3", "states is in no table of a command; write [solve] above it."),
        ("[solve]\nstate=3", "solve has no option 'state'; did you mean 'states'?"),
        ("[solve]\nconfig='x'", "solve has no option 'config'"),
        ("[solve]\nstates='x'", "--states takes a whole number, not 'x'"),
        ("[solve]\nstates=[1,2]", "--states takes a whole number, not '1,2'"),
        ("[solve]\nrows=-1", "--rows"),
        ("[solve]\nquiet=3", "quiet of solve must be true or false, not 3."),
        ("[solve]\nverbose='x'", "verbose of solve must be a whole number, not 'x'."),
        ("[solve]\ntime-limit=true", "time-limit of solve must be a number or a text, not True."),
        ("[solve]\nremove=[[1]]", "remove of solve must be a number or a text, not [1]."),
        ("[solve]\nstates=1979-05-27", "states of solve must be a number or a text"),
        ("[solve]\ntime_limit=1\ntime-limit=2", "twice"),
        ("[solve", "it is no TOML"),
        ("[bench]\nrnu={}", "there is no command 'bench rnu'; did you mean 'run'?"),
        ("[bench]\nrun=3", "bench run is in no table of a command"),
    ],
)
def test_what_is_wrong_is_said_with_the_file_and_the_key(
    text: str, said: str, run: Run, config: Any
) -> None:
    path = config(text)
    code, out, err = run("solve", BLOCK, "--remove", 2, "--config", path)
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert err.startswith(f"qubo-prune: error: {path}: ")
    assert said in err


def test_a_file_that_is_missing_or_no_text(run: Run, tmp_path: Path) -> None:
    code, _, err = run("solve", BLOCK, "--config", tmp_path / "none.toml")
    assert (code, err.count("\n")) == (2, 1)
    assert "none.toml" in err
    (tmp_path / "latin.toml").write_bytes(b"[solve]\nhessian = '\xe9'\n")
    code, _, err = run("solve", BLOCK, "--config", tmp_path / "latin.toml")
    assert (code, err.count("\n")) == (2, 1)
    assert "UTF-8" in err
