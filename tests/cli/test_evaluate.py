"""`qubo-prune evaluate`: what it prints, writes and refuses."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("torch")
pytest.importorskip("transformers")

from qubo_prune.pruning import Evaluation
from tests.tiny_tokenizer import save_llama

SHORT = ("--prompt-tokens", 8, "--new-tokens", 2, "--repeats", 2, "--chunk", 16)


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("models")
    save_llama(root / "big", 3)
    save_llama(root / "small", 2)
    (root / "other").mkdir()
    save_llama(root / "other" / "small", 1)
    rows = [{"text": f"sample {k} of some that are not so long."} for k in range(8)]
    (root / "data.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (root / "text.txt").write_text("all that is left is measured again and again. " * 5)
    return root


def test_a_table_a_file_and_a_plot(run: Any, root: Path, tmp_path: Path) -> None:
    out, plot = tmp_path / "e.json", tmp_path / "e.png"
    arguments = (
        "evaluate", root / "small", "--original", root / "big", "--data", root / "data.jsonl",
        "--samples", 6, "--text", root / "text.txt", *SHORT, "--out", out, "--plot", plot,
    )  # fmt: skip
    ran = run(*arguments)
    assert (ran.code, ran.err) == (0, f"qubo-prune: wrote {out} and {plot}\n")
    for word in (
        "loss",
        "KL",
        "as llama.cpp",
        "big",
        "small",
        "(paired t test)",
        "times of five: loss 0.",
    ):
        assert word in " ".join(ran.out.split())
    loaded = Evaluation.load(out)
    assert loaded.names == ("big", "small")
    assert plot.read_bytes().startswith(b"\x89PNG")
    state = tmp_path / "e.measures.jsonl"
    lines = state.read_text().count("\n")
    ran = run(*arguments, "--json")  # again, with nothing to measure
    assert ran.code == 0
    document = json.loads(ran.out)
    assert document["metrics"] == json.loads(out.read_text())["metrics"]
    assert state.read_text().count("\n") == lines


def test_sizes_alone_need_no_data(run: Any, root: Path) -> None:
    ran = run("evaluate", root / "small", "--no-latency")
    assert (ran.code, ran.err) == (0, "")
    assert "cache per token" in ran.out
    assert "loss" not in ran.out


def test_models_are_told_apart(run: Any, root: Path) -> None:
    models = (root / "small", root / "other" / "small")
    ran = run("evaluate", *models, "--no-latency", "--json")
    assert list(json.loads(ran.out)["models"]) == [str(each) for each in models]
    ran = run("evaluate", root / "small", root / "big", "--no-latency", "--json")
    assert list(json.loads(ran.out)["models"]) == ["small", "big"]


def test_a_time_limit(run: Any, root: Path, tmp_path: Path) -> None:
    out = tmp_path / "e.json"
    ran = run("evaluate", root / "small", "--time-limit", "0.000001", "--out", out)
    assert ran.code == 3
    assert "nothing was measured" in ran.out
    assert Evaluation.load(out).names == ()
    ran = run("evaluate", root / "small", "--no-latency", "--out", out)
    assert ran.code == 0
    assert Evaluation.load(out).names == ("small",)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["none"], "the model 'none' cannot be loaded"),
        (["{root}/small", "{root}/small"], "small' is given twice; name each one once."),
        (["{root}/small", "--data", "none.jsonl"], "none.jsonl does not exist"),
        (["{root}/small", "--text", "none.txt"], "there is no file none.txt"),
        (["{root}/small", "--text", "{root}/data.npy"], "there is no file"),
        (["{root}/small", "--out", "e.txt"], "must end in .json, .md or .csv"),
        (["{root}/small", "--plot", "e.gif"], "a plot must end in"),
        (["{root}/small", "--text", "{root}/text.txt", "--chunk", "200"], "--chunk must be at most 64"),
        (["{root}/small", "--text", "{root}/text.txt", "--chunk", "60", "--window", "8", "--text-tokens", "40"], "at least 2 chunks"),
        (["{root}/small", "--dtype", "int3"], "--dtype must be one of"),
        (["{root}/small", "--repeats", "0"], "--repeats"),
        (["{root}/small", "--tasks", "x", "--include-path", "none"], "there is no folder none with tasks"),
    ],
)  # fmt: skip
def test_bad_input_is_one_line(
    arguments: list[str], message: str, run: Any, root: Path, tmp_path: Path, monkeypatch: Any
) -> None:
    monkeypatch.chdir(tmp_path)
    if "--tasks" in arguments:
        pytest.importorskip("lm_eval")
    ran = run("evaluate", *(each.format(root=root) for each in arguments))
    assert (ran.code, ran.out) == (2, "")
    assert message in ran.err
    assert ran.err.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


def test_files_of_others_are_not_replaced(run: Any, root: Path, tmp_path: Path) -> None:
    notes = tmp_path / "notes.md"
    notes.write_text("mine")
    ran = run("evaluate", root / "small", "--no-latency", "--out", notes)
    assert ran.code == 2
    assert "notes.md is something else, and an evaluation does not replace it" in ran.err
    notes.unlink()
    for _ in range(2):
        assert run("evaluate", root / "small", "--no-latency", "--out", notes, "-q").code == 0
    assert notes.read_text().startswith("<!-- qubo-prune evaluation -->")


def test_tasks_need_their_library(run: Any, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from qubo_prune.backends.common import libraries

    monkeypatch.setattr(libraries, "find_spec", lambda _: None)
    ran = run("evaluate", root / "small", "--tasks", "hellaswag")
    assert ran.code == 2
    assert "pip install 'qubo-prune[eval]', or leave the tasks out." in ran.err
