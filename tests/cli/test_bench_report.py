"""`qubo-prune bench report`: boards, pages, files and exit codes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from qubo_prune.bench import append_run
from tests.benchmark_runs import runs


@pytest.fixture
def results(tmp_path: Path) -> Path:
    path = tmp_path / "results.jsonl"
    for made in runs():
        append_run(path, made)
    return path


def test_the_leader_board_and_the_page(run: Any, results: Path, tmp_path: Path) -> None:
    page = tmp_path / "page.html"
    ran = run("bench", "report", results, "--html", page)
    assert ran.code == 0, ran.err
    assert ran.err == f"qubo-prune: wrote {page}\n"
    rows = [line.split() for line in ran.out.splitlines()]
    assert [row[1] for row in rows if row and row[0] in {*"12345"}] == [
        *("branch-and-bound", "tabu", "annealing", "naive", "gurobi")
    ]
    assert "Time limit 10 s, over 9 tasks." in ran.out
    assert "Left out: cheat, for it claimed what is not true" in ran.out
    assert "Not to be believed: cheat (energy): state 0 was given the energy 0.1" in ran.out
    text = page.read_text()
    assert "<h1>results</h1>" in text
    assert run("bench", "report", results, "--html", page, "--title", "T", "-q") == (0, "", "")
    assert "<h1>T</h1>" in page.read_text()


def test_json_has_every_figure(run: Any, results: Path) -> None:
    ran = run("bench", "report", results, "--json")
    found = json.loads(ran.out)
    assert (ran.code, found["runs"], found["wrong"]) == (0, 110, ["cheat"])
    [board] = found["leader_boards"]
    assert board["time_limit"] == 10.0
    assert len(board["tasks"]) == 9
    assert all(len(row) == len(board["columns"]) for row in board["rows"])
    [naive] = [row for row in board["rows"] if row[1] == "naive"]
    assert naive[board["columns"].index("TTS99 s")] == "never"
    assert board["left_out"][0]["what"] == "cheat"


def test_several_files_are_one_benchmark(run: Any, results: Path, tmp_path: Path) -> None:
    lines = results.read_bytes().splitlines(keepends=True)
    other = tmp_path / "other.jsonl"
    other.write_bytes(b"".join(lines[50:]) + lines[0][:40])
    results.write_bytes(b"".join(lines[:60]))
    ran = run("bench", "report", results, other, "--json")
    assert ran.err == (
        f"qubo-prune: warning: the last line of {other} was cut off and is left out.\n"
    )
    found = json.loads(ran.out)
    assert (found["runs"], found["repeated"], found["truncated"]) == (110, 10, [str(other)])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["missing.jsonl"], "there is no file missing.jsonl; check the path."),
        (["{results}", "--html", "{results}"], "a page must end in .html or .htm, not"),
        (["{results}", "--html", "a.pdf"], "a page must end in .html or .htm, not 'a.pdf'"),
        (["{results}", "--html", "no/a.html"], "--html cannot write into 'no'"),
        (["blank.jsonl"], "there are 0 runs in the results; let bench run write some first."),
        (["mine.html"], "line 1 of mine.html is not a valid run of a benchmark: it is not JSON"),
        (
            ["{results}", "--html", "mine.html"],
            "--html: mine.html is something else, and a page of this",
        ),
        ([], "Missing argument 'RESULTS"),
    ],
)
def test_bad_input_is_one_line(
    run: Any,
    results: Path,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    arguments: list[str],
    message: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("mine.html").write_text("<p>mine\n")
    Path("blank.jsonl").write_text("\n")
    before = results.read_bytes()
    ran = run("bench", "report", *(each.format(results=results) for each in arguments))
    assert ran.code == 2
    assert ran.out == ""
    assert ran.err.startswith(f"qubo-prune: error: {message}"), ran.err
    assert ran.err.count("\n") == 1
    assert results.read_bytes() == before
    assert Path("mine.html").read_text() == "<p>mine\n"


def test_the_group_says_what_it_has(run: Any) -> None:
    ran = run("bench")
    assert ran.code == 0
    assert "report" in ran.out


def test_a_csv_file_is_as_good_but_for_what_it_lacks(
    run: Any, results: Path, tmp_path: Path
) -> None:
    table, page = tmp_path / "runs.csv", tmp_path / "page.html"
    assert run("bench", "export", results, "--csv", table).code == 0
    boards = [json.loads(run("bench", "report", each, "--json").out) for each in (results, table)]
    for board in boards:
        board["repeated"] = 0
    assert boards[0] == boards[1]
    assert run("bench", "report", table, "--html", page).code == 0
    text = page.read_text()
    assert "Not to be believed: <b>cheat" in text or "Not to be believed: cheat" in text
    assert "Recall@100 along time" not in text, "nobody knows what was found when"
    table.write_text(table.read_text().replace("certified", "certain", 1))
    refused = run("bench", "report", table)
    assert (refused.code, refused.err.count("\n")) == (2, 1)
    assert "line 2 of" in refused.err
    table.write_text("a,b\n1,2\n")
    assert "its columns are others" in run("bench", "report", table).err
