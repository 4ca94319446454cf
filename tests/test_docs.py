"""Every example in the README and the docs runs, and prints what the page shows.

- `python` blocks of a page run in one namespace, in a folder of their own; an `output` block after
  one is what it prints. Blocks with a title, as `title="mine.py"`, are files of that folder.
- A page that begins with `<!-- needs: LIBRARY -->` is skipped where that is not installed.
- `console` blocks run the lines that begin with `$ qubo-prune`; the lines below each have to appear
  in its output in this order, where
  `...` stands for any number of lines. `$ echo $?` shows the exit code of the command before;
  without it, that is 0.

Durations, speeds, counts of evaluations and the version of hashes differ from run to run, so they
are masked.
"""

from __future__ import annotations

import contextlib
import io
import re
import shlex
from dataclasses import dataclass
from pathlib import Path

import pytest

from qubo_prune.backends import backend_class, backend_names
from qubo_prune.backends.base import Capability
from qubo_prune.cli.main import main

ROOT = Path(__file__).resolve().parent.parent
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]

FENCE = re.compile(r'^```(\w+)(?: title="([\w.-]+)")?\n(.*?)^```$', re.MULTILINE | re.DOTALL)
NEEDS = re.compile(r"^<!-- needs: (\w+) -->$", re.MULTILINE)
VARYING = re.compile(r"\b[\d.,]+(e\d+)? (s\b|evaluations\b|samples/s\b)|\b\d+:\d\d(:\d\d)?\b")


@dataclass(frozen=True)
class Block:
    language: str
    file: str
    text: str


def blocks_of(page: Path) -> list[Block]:
    return [Block(*match.groups()) for match in FENCE.finditer(page.read_text())]


def masked(text: str) -> list[str]:
    """Lines without what varies, single-spaced; empty lines are dropped."""
    lines = (" ".join(VARYING.sub("<varies>", line).split()) for line in text.splitlines())
    return [line for line in lines if line]


def appears_in(expected: list[str], actual: list[str]) -> bool:
    rest = iter(actual)
    return all(line in rest for line in expected if line != "...")


def commands_of(text: str) -> list[tuple[str, str, int]]:
    """Split a console block into (command, lines shown below it, exit code)."""
    commands: list[tuple[str, str, int]] = []
    for part in re.split(r"^\$ ", text, flags=re.MULTILINE)[1:]:
        line, _, shown = part.partition("\n")
        if line == "echo $?":
            command, above, _ = commands.pop()
            commands.append((command, above, int(shown)))
        else:
            commands.append((line, shown, 0))
    return commands


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_page(page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for library in NEEDS.findall(page.read_text()):
        pytest.importorskip(library)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "100")
    namespace: dict[str, object] = {"__name__": "docs"}
    printed = ""
    for block in blocks_of(page):
        if block.file:
            Path(block.file).write_text(block.text)
        elif block.language == "python":
            with contextlib.redirect_stdout(io.StringIO()) as stdout:
                code = compile(block.text, page.name, "exec", dont_inherit=True)
                exec(code, namespace)  # noqa: S102
            printed = stdout.getvalue()
        elif block.language == "output":
            assert masked(printed) == masked(block.text)
        elif block.language == "console":
            for command, shown, code in commands_of(block.text):
                run_command(command, shown, code)


def run_command(command: str, shown: str, code: int) -> None:
    program, *arguments = shlex.split(command)
    assert program == "qubo-prune"
    with (
        contextlib.redirect_stdout(io.StringIO()) as stdout,
        contextlib.redirect_stderr(io.StringIO()) as stderr,
    ):
        result = main(arguments)
    assert result == code, stderr.getvalue()
    actual = masked(stdout.getvalue() + stderr.getvalue())
    assert appears_in(masked(shown), actual), f"$ {command}\n{stdout.getvalue()}"


def test_the_examples_are_found() -> None:
    found = [block.language for page in PAGES for block in blocks_of(page)]
    assert found.count("python") > 10
    assert found.count("console") > 10


def test_ci_runs_the_test_command_of_the_readme() -> None:
    commands = [
        line
        for block in blocks_of(ROOT / "README.md")
        if block.language == "sh"
        for line in block.text.splitlines()
    ]
    assert len(commands) == 2, "the README gives two commands, one line each"
    assert commands[0].endswith("qubo-prune solve bytelm-40-branch --remove 8")
    assert commands[1] in (ROOT / ".ci" / "run").read_text().splitlines()


def test_the_table_of_backends_is_complete_and_right() -> None:
    page = (ROOT / "docs" / "choose-a-backend.md").read_text()
    rows = dict(re.findall(r"^\| `([\w-]+)` \| (\w+ \| \w+ \| \w+) \|", page, re.MULTILINE))
    assert rows == {
        name: " | ".join(
            "yes" if flag in backend_class(name).capabilities else "no"
            for flag in (Capability.EXACT, Capability.PROVES, Capability.NATIVE_CONSTRAINT)
        )
        for name in backend_names()
    }
