"""Where stdout is full, closed or left, and texts of others that would steer a terminal."""

from __future__ import annotations

import io
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from qubo_prune import Problem, solve
from qubo_prune.cli.main import main
from qubo_prune.cli.output import guarded_stdout, print_line, print_table
from qubo_prune.core.spectrum.spectrum import Spectrum
from qubo_prune.hessians import save_hessian

BLOCK = "bytelm-40-block"
BOLD = re.compile(r"\x1b\[[01]m")
FULL = Path("/dev/full")
SHELL = shutil.which("bash")
needs_shell = pytest.mark.skipif(
    not FULL.exists() or SHELL is None, reason="no device that is always full, or no shell"
)

COMMANDS = {
    "help": ["--help"],
    "help of a command": ["solve", "--help"],
    "version": ["--version"],
    "solve": ["solve", BLOCK, "--remove", "3", "--states", "200"],
    "solve in JSON": ["solve", BLOCK, "--remove", "3", "--json"],
    "sweep": ["sweep", BLOCK, "--remove", "2,3", "--states", "3"],
    "plan": ["plan", BLOCK, "--remove", "3", "--rate", "1e9"],
    "backends": ["backends", "--json"],
    "hessians": ["hessians"],
    "show": ["hessians", "show", BLOCK],
}


class Failing(io.StringIO):
    """A stream that fails when it is flushed, as files with a buffer do."""

    def __init__(self, error: OSError) -> None:
        super().__init__()
        self.error = error

    def flush(self) -> None:
        raise self.error


@pytest.fixture
def stdout_that(monkeypatch: pytest.MonkeyPatch) -> Iterator[object]:
    yield lambda stream: monkeypatch.setattr(sys, "stdout", stream)
    monkeypatch.undo()


@pytest.mark.parametrize("case", COMMANDS)
def test_stdout_that_cannot_be_written_to(
    case: str, stdout_that, capsys: pytest.CaptureFixture[str]
) -> None:
    for stream, line in (
        (Failing(OSError(28, "No space left on device")), "(No space left on device)"),
        (Failing(OSError(5, "Input/output error")), "(Input/output error)"),
        (None, "(it is closed)"),
    ):
        stdout_that(stream)
        assert main(COMMANDS[case]) == 4
        err = capsys.readouterr().err
        assert err.startswith("qubo-prune: error: stdout cannot be written to " + line)
        assert err.count("\n") == 1
        assert sys.stdout is stream
    stdout_that(Failing(BrokenPipeError(32, "Broken pipe")))
    assert main(COMMANDS[case]) == 4
    assert capsys.readouterr().err == ""


def test_files_are_written_before_anything_is_printed(
    stdout_that, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    stdout_that(Failing(OSError(28, "No space left on device")))
    files = ["--out", str(tmp_path / "s.json"), "--certificate", str(tmp_path / "c.json")]
    assert main([*COMMANDS["solve"], *files]) == 4
    assert len(Spectrum.load(tmp_path / "s.json")) == 200
    assert (tmp_path / "c.json").exists()
    # All of them, although the first row cannot be printed.
    assert main([*COMMANDS["sweep"], "--out", str(tmp_path / "sweep")]) == 4
    assert {path.name for path in (tmp_path / "sweep").iterdir()} == {
        "remove-2.json",
        "remove-3.json",
    }
    proof = tmp_path / "c.json"
    assert main(["verify", str(proof), "--max-states", "1"]) == 4  # and not 1, "a check failed"
    assert main(["verify", str(proof), "--max-states", "1", "--quiet"]) in (0, 4)
    capsys.readouterr()


@needs_shell
@pytest.mark.parametrize("redirection", ["> /dev/full", ">&-", "| head -n 0", ">&- 2>&- <&-"])
def test_in_a_shell(redirection: str, tmp_path: Path) -> None:
    command = f"{sys.executable} -m qubo_prune solve {BLOCK} --remove 3 --out s.json"
    script = f"set -o pipefail; {command} {redirection}"
    done = subprocess.run(
        [str(SHELL), "-c", script], capture_output=True, text=True, cwd=tmp_path, check=False
    )
    assert done.returncode == 4
    assert "Traceback" not in done.stderr
    assert "Exception ignored" not in done.stderr
    assert len(Spectrum.load(tmp_path / "s.json")) == 100


@needs_shell
def test_stderr_that_cannot_be_written_to() -> None:
    for redirection in ("2> /dev/full", "2>&-"):
        script = f"{sys.executable} -m qubo_prune solve nowhere --remove 3 {redirection}"
        done = subprocess.run([str(SHELL), "-c", script], capture_output=True, check=False)
        assert (done.returncode, done.stdout) == (2, b"")


def test_characters_that_stdout_does_not_know(stdout_that) -> None:
    buffer = io.BytesIO()
    stdout_that(io.TextIOWrapper(buffer, encoding="ascii"))
    assert main(["solve", BLOCK, "--remove", "1"]) == 0
    assert main(["hessians"]) == 0
    with guarded_stdout():
        print_line("bloc médian")
    assert buffer.getvalue().endswith(b"bloc m\\xe9dian\n")


HOSTILE = {
    "clears the screen": "\x1b[2J\x1b[H",
    "retitles the window": "\x1b]0;owned\x07",
    "overwrites the line": "ok\r\x1b[K",
    "half a character": "\ud83d",
    "turns the text": "\u202eevil",
    "one byte of C1": "\x9b31m",
    "new lines": "a\nb\u2028c",
}


@pytest.mark.parametrize("case", HOSTILE)
def test_texts_of_files_do_not_steer_the_terminal(case: str, tmp_path: Path, run) -> None:
    text = HOSTILE[case]
    path = tmp_path / "h.npy"
    matrix = np.diag([1.0, 2.0, 3.0, 4.0]) + 0.9
    names = [f"{text}{i}" for i in range(4)]
    save_hessian(path, matrix, names=names, kinds=[text + "k"] * 4, model=text, description=text)
    proof, out = tmp_path / "c.json", tmp_path / "problem.lp"
    kind = text + "k"
    runs = [
        run("solve", path, "--remove", f"{kind}=2", "--certificate", proof),
        run("solve", path, "--remove", 2, "--keep", names[0] + "x"),
        run("solve", path, "--remove", "no=2"),
        run("hessians", "show", path),
        run("verify", proof, "--hessian", path),
        run("verify", tmp_path / f"{text[:1]}missing.json"),
        run("sweep", path, "--keep", names[0]),
        run("export", path, "--remove", f"{kind}=2", "--out", out),
        run("import", out, "--out", tmp_path / "again.npy"),
        run("plan", path, "--remove", 2, "--rate", "1e9"),
    ]
    assert [each.code for each in runs[:1]] == [0]
    for each in runs:
        for character in each.out + each.err:
            assert character == "\n" or character.isprintable(), (each, character)
    spectrum = solve(Problem.load(path, remove={kind: 2}), num_states=2)
    shown = spectrum.summary() + str(spectrum).replace("\n", "") + spectrum._repr_html_()
    assert all(character.isprintable() for character in shown)


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Any:
    """Return a function that runs the command line on a terminal so wide and returns its lines,
    without the codes that make headings bold.
    """

    def run_main(width: int, *arguments: object) -> list[str]:
        monkeypatch.setenv("COLUMNS", str(width))
        monkeypatch.setattr("qubo_prune.cli.output.Stdout.isatty", lambda _: True)
        assert main([str(argument) for argument in arguments]) == 0
        return BOLD.sub("", capfd.readouterr().out).splitlines()

    return run_main


@pytest.mark.parametrize("width", [80, 120])
@pytest.mark.parametrize(
    "arguments",
    [
        ["solve", "llama-80-branch", "--remove", "30", "--states", "3", "--names"],
        ["solve", BLOCK, "--remove", "20", "--states", "200"],
        ["sweep", "llama-80-branch", "--remove", "3,40", "--states", "3"],
        ["show", "llama-80-branch"],
        ["backends"],
        ["hessians"],
        ["bench", "list"],
        ["bench", "list", "bundled"],
        ["plan", BLOCK, "--remove", "12", "--rate", "1e9"],
        *([*words, "--help"] for words in ([], ["solve"], ["compress"], ["bench", "run"])),
    ],
    ids=" ".join,
)
def test_what_is_printed_fits_the_terminal(width: int, arguments: list[str], terminal: Any) -> None:
    lines = terminal(width, *arguments)
    assert lines
    assert max(map(len, lines)) <= width
    text = "\n".join(lines)
    assert "…" not in text
    if arguments[-1] != "--help":
        assert "..." not in text


def test_the_list_of_commands_is_not_cut(terminal: Any) -> None:
    for words in ([], ["bench"], ["hessians"]):
        lines = terminal(80, *words, "--help")
        assert not [line for line in lines if line.endswith("...") and "ARGS" not in line]


@pytest.mark.parametrize("width", [80, 120])
def test_names_are_whole_and_figures_too(width: int, terminal: Any) -> None:
    asked = ("llama-80-branch", "--remove", 12, "--states", 2)
    lines = terminal(width, "solve", *asked, "--names")
    spectrum = solve(Problem.load("llama-80-branch", remove=12), num_states=2)
    words = {word.strip(",") for line in lines for word in line.replace("│", " ").split()}
    assert set(spectrum.removed_names(0)) <= words
    assert f"{spectrum.energies[0]:.9g}" in words
    swept = terminal(width, "sweep", *asked)
    assert f"{spectrum.energies[0]:.9g}" in {word for line in swept for word in line.split()}
    listed = ", ".join(map(str, spectrum.removed(0)[:4]))
    assert any(listed in line for line in swept) or "-" in listed


def test_a_table_that_does_not_fit_is_printed_in_parts(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "60")
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    columns = ["#", "name", *(f"criterion-{k}" for k in range(8))]
    rows = [[str(i), f"layers.{i}", *(f"{i + k / 10:.4f}" for k in range(8))] for i in range(3)]
    print_table(columns, rows, keys=2)
    lines = BOLD.sub("", capsys.readouterr().out).splitlines()
    assert max(map(len, lines)) <= 60
    words = " ".join(lines).split()
    assert all(words.count(cell) == 1 for row in rows for cell in row[2:])
    assert words.count("layers.1") == words.count("name") > 1


def test_one_of_each_is_in_the_singular(run: Any) -> None:
    out = " ".join(run("solve", BLOCK, "--remove", 40).out.split())
    assert "1 state by branch-and-bound" in out
    assert "1 of 1 state proven, 1 evaluation in" in out
    assert "1 seed;" in run("bench", "list", "smoke").out


def test_colour_is_for_terminals_that_want_it(
    terminal: Any, monkeypatch: pytest.MonkeyPatch, run: Any
) -> None:
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.delenv("NO_COLOR", raising=False)
    asked = ("solve", BLOCK, "--remove", 3, "--states", 3)
    monkeypatch.setenv("NO_COLOR", "1")
    assert "\x1b[3" not in "\n".join(terminal(80, *asked))
    monkeypatch.undo()
    assert "\x1b" not in run(*asked).out
