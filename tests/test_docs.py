"""Every example in the README and the docs runs, and prints what the page shows.

- `python` blocks of a page run in one namespace, in a folder of their own; an `output` block after
  one is what it prints. Blocks with a title, as `title="mine.py"`, are files of that folder.
- A page that begins with `<!-- needs: LIBRARY -->` is skipped where that is not installed.
- `console` blocks run the lines that begin with `$ qubo-prune`; the lines below each have to appear
  in its output in this order, where
  `...` stands for any number of lines. `$ echo $?` shows the exit code of the command before;
  without it, that is 0.

- `sh` and `py` blocks are not run, and `<!-- not run: REASON -->` above the first of a page says why. What they and
  `text` blocks name has to exist all the same: commands, options, modules.

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
import typer
from typer.core import TyperGroup

from qubo_prune.backends import backend_class, backend_names
from qubo_prune.backends.base import Capability
from qubo_prune.cli.main import _app, main

ROOT = Path(__file__).resolve().parent.parent
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]

FENCE = re.compile(r'^```(\w+)(?: title="([\w.-]+)")?\n(.*?)^```$', re.MULTILINE | re.DOTALL)
NEEDS = re.compile(r"^<!-- needs: (\w+) -->$", re.MULTILINE)
NOT_RUN = re.compile(r"^<!-- not run: (\w.+) -->$", re.MULTILINE)
VARYING = re.compile(
    r"\b\d+ (min|h)( \d+ (s|min))?\b|\b[\d.,]+(e\d+)? (s\b|evaluations\b|samples/s\b)"
)


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


def lines_of(text: str) -> list[list[str]]:
    """Split a block of shell into the words of its commands; loops and pipes are taken apart."""
    joined = re.sub(r"\\\n\s*", " ", text)
    parts = re.split(r"&&|;|\||\n", joined)
    words = [shlex.split(part, comments=True) for part in parts]
    return [each[1:] if each[:1] == ["do"] else each for each in words if each]


def check_command(arguments: list[str]) -> None:
    """Let the command line parse arguments, without looking at files or running anything."""
    command = typer.main.get_command(_app)
    path = []
    while isinstance(command, TyperGroup):
        path.append(arguments[0])
        command = command.commands[arguments[0]]
        arguments = arguments[1:]
    known = {option for each in command.params for option in (*each.opts, *each.secondary_opts)}
    used = {word.partition("=")[0] for word in arguments if re.match("--?[a-z]", word)}
    assert used <= known, f"qubo-prune {' '.join(path)} has no {', '.join(used - known)}"


SHELL = [
    pytest.param(page, block, id=f"{page.relative_to(ROOT).as_posix()}-{number}")
    for page in PAGES
    for number, block in enumerate(blocks_of(page))
    if block.language in ("py", "sh", "text")
]


@pytest.mark.parametrize(("page", "block"), SHELL)
def test_what_is_not_run_says_why_and_names_what_there_is(page: Path, block: Block) -> None:
    text = page.read_text()
    if block.language in ("py", "sh") and page.name != "README.md":  # CI runs its commands
        assert NOT_RUN.search(text[: text.index(block.text)]), "say <!-- not run: why --> above"
    if block.language == "py":
        compile(block.text, page.name, "exec")
        return
    shell = block.text
    if block.language == "text":  # what a terminal showed, or a file
        shell = "\n".join(re.findall(r"^(?:\$ )?(qubo-prune (?:.*\\\n)*.*)", shell, re.MULTILINE))
    for program, *arguments in lines_of(shell):
        if Path(program).name == "qubo-prune":
            check_command(arguments)
        elif arguments[:1] == ["-m"] and arguments[1].startswith("benchmarks."):
            module = ROOT.joinpath(*arguments[1].split("."))
            assert module.with_suffix(".py").exists() or (module / "__main__.py").exists()


def test_a_typing_error_in_a_block_that_is_not_run_is_seen() -> None:
    check_command(["solve", "h.npy", "--remove", "8", "--time-limit=5"])
    with pytest.raises(AssertionError, match="has no --limit-time"):
        check_command(["solve", "h.npy", "--limit-time", "5"])
    with pytest.raises(KeyError, match="slove"):
        check_command(["slove"])
    assert lines_of("for M in 8; do qubo-prune solve $M \\\n  --json; done  # so") == [
        ["for", "M", "in", "8"],
        ["qubo-prune", "solve", "$M", "--json"],
        ["done"],
    ]


def test_every_language_of_a_block_is_known() -> None:
    found = {block.language for page in PAGES for block in blocks_of(page)}
    assert found <= {"console", "output", "py", "python", "sh", "text", "toml", "yaml", "json"}


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
    rows = dict(re.findall(r"^\| `([\w-]+)` \| ((?:\w+ \| ){3}\w+) \|", page, re.MULTILINE))
    assert rows == {
        name: " | ".join(
            "yes" if flag in backend_class(name).capabilities else "no"
            for flag in (
                Capability.EXACT,
                Capability.PROVES,
                Capability.NATIVE_CONSTRAINT,
                Capability.BUDGET,
            )
        )
        for name in backend_names()
    }
