"""Foreign files on the command line: what is refused, in one line, and what is solved."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from qubo_prune.cli.main import main

Solve = Callable[..., tuple[int, dict[str, Any], str]]


@pytest.fixture
def solve_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Solve:
    """Solve a file with this name and text; return the exit code, the JSON and the error."""

    def run(name: str, text: str, *arguments: str) -> tuple[int, dict[str, Any], str]:
        path = tmp_path / name
        path.write_text(text)
        capsys.readouterr()
        code = main(["solve", str(path), "--json", "-q", *arguments])
        captured = capsys.readouterr()
        return code, json.loads(captured.out or "{}"), " ".join(captured.err.split())

    return run


@pytest.mark.parametrize(
    ("name", "text", "line", "words"),
    [
        ("a.coo", "# vartype=BINARY\n1 1 2\n1 2 1\n2 1 1\n", 4, "line 3 has the entry 2 1"),
        ("a.coo", "# vartype=SPIN\n0 1 2\n0 1 2\n", 3, "line 2 has the entry 0 1"),
        ("a.qubo", "p qubo 0 2 2 2\n0 0 1\n1 1 1\n0 1 1\n0 1 1\n", 5, "line 4 has the entry"),
        ("a.bq", "2 2\n1 2 1\n2 1 1\n", 3, "line 2 has the entry 2 1"),
        ("a.mc", "2 2\n1 2 1\n1 2 1\n", 3, "line 2 has the entry 1 2"),
        (
            "a.mtx",
            "%%MatrixMarket matrix coordinate real symmetric\n2 2 3\n1 1 1\n2 1 1\n1 2 1\n",
            5,
            "line 4 has the entry 1 2 already, and a symmetric matrix has one half",
        ),
        (
            "a.mtx",
            "%%MatrixMarket matrix coordinate real general\n2 2 3\n1 1 1\n2 2 1\n1 1 1\n",
            5,
            "line 3 has the entry 1 1 already",
        ),
    ],
)
def test_entries_that_are_there_twice_are_refused(
    solve_file: Solve, name: str, text: str, line: int, words: str
) -> None:
    code, _, error = solve_file(name, text, "--remove", "1")
    assert code == 2
    assert f"line {line} of" in error
    assert words in error


@pytest.mark.parametrize("indices", [(1, 2, 3), (3, 7, 9), (0, 2, 70000)])
def test_blocks_of_a_list_keep_their_numbers(
    solve_file: Solve, indices: tuple[int, int, int]
) -> None:
    i, j, k = indices
    code, spectrum, _ = solve_file(
        "a.coo", f"# vartype=BINARY\n{i} {i} 3\n{j} {j} 2\n{k} {k} 1\n", "--remove", "1"
    )
    assert code == 0
    assert spectrum["num_blocks"] == 3
    assert spectrum["energies"] == [1.0, 2.0, 3.0]
    assert [spectrum["names"][block] for [block] in spectrum["removed"]] == [str(k), str(j), str(i)]
