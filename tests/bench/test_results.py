"""Files of results: nothing is lost, cut lines are told, and damaged ones refused."""

from __future__ import annotations

import dataclasses
import json
import re
from pathlib import Path

import pytest

from qubo_prune.bench import Run, append_run, read_results
from qubo_prune.bench.results import MEASURES, TracePoint
from qubo_prune.core.errors import InputError
from tests.benchmark_runs import runs


def test_a_line_is_read_as_it_was_written() -> None:
    for run in runs(seeds=1):
        again = Run.from_line(run.to_line().encode(), "here")
        assert again == run
        assert again.key == run.key


def test_files_of_two_machines_are_joined(tmp_path: Path) -> None:
    made = runs(seeds=2)
    paths = tmp_path / "a.jsonl", tmp_path / "b.jsonl"
    for place, run in enumerate(made):
        append_run(paths[place % 2], run)
    append_run(paths[1], made[0])
    found = read_results(paths)
    assert {run.key: run for run in found.runs} == {run.key: run for run in made}
    assert (found.repeated, found.truncated) == (1, ())
    joined = tmp_path / "joined.jsonl"
    joined.write_bytes(b"".join(path.read_bytes() for path in paths))
    assert read_results([joined]).runs == found.runs


def test_the_last_of_two_lines_of_one_run_counts(tmp_path: Path) -> None:
    first = runs(seeds=1)[0]
    second = dataclasses.replace(first, measures={"recall_100": 0.25})
    for run in (first, second):
        append_run(tmp_path / "r.jsonl", run)
    [found] = read_results([tmp_path / "r.jsonl"]).runs
    assert found == second


def test_what_a_killed_benchmark_was_writing_is_left_out_and_written_over(tmp_path: Path) -> None:
    path = tmp_path / "r.jsonl"
    first, second, third = runs(seeds=1)[:3]
    append_run(path, first)
    with path.open("a") as stream:
        stream.write(second.to_line()[:100])
    found = read_results([path])
    assert (found.runs, found.truncated) == ((first,), (str(path),))
    append_run(path, third)
    found = read_results([path])
    assert (found.runs, found.truncated) == ((first, third), ())


@pytest.mark.parametrize(
    "change",
    [
        *({"seed": 7}, {"time_limit": 11.0}, {"backend": "x"}, {"options": {"a": 1}}),
        *({"threads": 9}, {"problem": "0"}, {"remove": 3}, {"num_states": 7}),
    ],
)
def test_the_key_tells_what_was_asked(change: dict[str, object]) -> None:
    run = runs(seeds=1)[0]
    assert dataclasses.replace(run, **change).key != run.key
    assert dataclasses.replace(run, message="x", measures={}).key == run.key


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"schema": 2}, "its schema is 2, and only 1 is known here"),
        ({"num_blocks": "40"}, "num_blocks has a wrong value, '40'"),
        ({"outcome": "fine"}, "outcome has a wrong value, 'fine'"),
        ({"measures": {"recall": 1.0}}, "there is no measure 'recall'"),
        ({"measures": {"recall_100": "1"}}, "measures has a wrong value"),
        ({"trace": [[2.0], [1.0]]}, "trace has a wrong value, [[2.0], [1.0]]"),
        ({"trace": [[None]]}, "trace has a wrong value, [[None]]"),
        ({"trace": [[0, 1, 2, 3, 4, 5, 6, 7, 8]]}, "trace has a wrong value"),
        ({"violations": [["energy"]]}, "violations has a wrong value"),
        ({"energies": None}, "energies has a wrong value, None"),
        ({"seed": 0.5}, "seed has a wrong value, 0.5"),
        ({"backend": ...}, "the key 'backend' is missing"),
    ],
)
def test_a_damaged_line_is_named(tmp_path: Path, change: dict[str, object], message: str) -> None:
    document = json.loads(runs(seeds=1)[0].to_line()) | change
    document = {key: value for key, value in document.items() if value is not ...}
    path = tmp_path / "r.jsonl"
    path.write_text("\n" + json.dumps(document) + "\n")
    expected = f"line 2 of {path} is not a valid run of a benchmark: {message}"
    with pytest.raises(InputError, match=f"^{re.escape(expected)}"):
        read_results([path])


def test_measures_have_names() -> None:
    run = dataclasses.replace(runs(seeds=1)[0], measures={}, trace=(TracePoint(0.5, best=1.0),))
    assert all(run.measure(name) is None for name in MEASURES)
    with pytest.raises(InputError, match=r"^there is no measure 'speed'; take one of ground_state"):
        run.measure("speed")
    assert Run.from_line(run.to_line().encode(), "").trace == (TracePoint(0.5, best=1.0),)
