"""`qubo-prune criteria`: scores, removals, files and exit codes."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from qubo_prune.pruning.criteria import criterion_names

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a tiny model and samples."""
    folder = tmp_path_factory.mktemp("model")
    torch.manual_seed(0)
    config = transformers.LlamaConfig(
        vocab_size=64,
        hidden_size=32,
        intermediate_size=48,
        num_hidden_layers=5,
        num_attention_heads=4,
        num_key_value_heads=2,
        initializer_range=0.2,
    )
    transformers.LlamaForCausalLM(config).save_pretrained(folder)
    np.save(folder / "tokens.npy", np.random.default_rng(0).integers(0, 64, (12, 10)))
    return folder


def arguments(model: Path, *more: object) -> list[object]:
    return ["criteria", model, "--data", model / "tokens.npy", "--samples", 6, *more]


def test_scores_removals_table_and_heat_map(run: Any, model: Path, tmp_path: Path) -> None:
    scores, plot = tmp_path / "scores.csv", tmp_path / "map.svg"
    ran = run(*arguments(model, "--remove", 2, "--csv", scores, "--plot", plot))
    assert ran.code == 0, ran.err
    assert ran.err == f"qubo-prune: wrote {scores} and {plot}\n"
    for name in criterion_names():
        assert name in ran.out
    assert "of 6 samples. A star marks what goes." in ran.out
    last = next(line for line in ran.out.splitlines() if line.split()[:1] == ["last"])
    assert last.split() == ["last", "3,", "4"]
    rows = list(csv.DictReader(scores.read_text().splitlines()))
    assert [row["name"] for row in rows] == [f"layers.{i}" for i in range(5)]
    assert [float(row["last"]) for row in rows] == [4, 3, 2, 1, 0]
    assert plot.read_bytes().startswith(b"<?xml")


def test_json_of_branches_with_counts_per_kind(run: Any, model: Path) -> None:
    ran = run(
        *arguments(model, "--granularity", "branch", "--criteria", "block-influence,last"),
        *("--criteria", "angular-distance", "--remove", "attention=2", "--remove", "mlp=1"),
        *("--keep", "layers.4.attention", "--force", "1", "--json"),
    )
    assert ran.code == 0, ran.err
    document = json.loads(ran.out)
    assert document["samples"] == 6
    assert document["remove"] == {"attention": 2, "mlp": 1}
    by_name = {each["name"]: each for each in document["criteria"]}
    assert list(by_name) == ["block-influence", "last", "angular-distance"]
    assert by_name["last"]["removed"] == [1, 4, 6]
    assert by_name["angular-distance"]["removed"] in ([0, 1, 2], None)
    assert len(by_name["block-influence"]["scores"]) == 10


def test_switches(run: Any, model: Path) -> None:
    scores = []
    for tokens in ("all", "last"):
        ran = run(
            *arguments(model, "--criteria", "block-influence", "--json"),
            *("--option", f"block-influence.tokens={tokens}"),
        )
        scores.append(json.loads(ran.out)["criteria"][0]["scores"])
    assert scores[0] != scores[1]


def test_a_time_limit_shows_what_was_finished(run: Any, model: Path) -> None:
    ran = run(*arguments(model, "--time-limit", 1e-6))
    assert ran.code == 3
    assert "Stopped: the other criteria are not computed." in ran.out
    assert "random" in ran.out
    assert "taylor" not in ran.out


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["--criteria", "entropy"], "there is no criterion 'entropy'"),
        (["--option", "tokens=last"], "--option takes NAME.KEY=VALUE"),
        (["--criteria", "last", "--option", "taylor.per_sample=true"], "--option takes NAME"),
        (["--option", "taylor.per_sample=3"], "must be true or false, not 3"),
        (["--keep", "1"], "add --remove M"),
        (["--remove", "9"], "remove must be between 0"),
        (["--remove", "mlp=1"], "unknown kind 'mlp'"),
        (["--plot", "map.gif"], "must end in .png"),
        (["--csv", "nowhere/scores.csv"], "--csv cannot write into"),
        (["--granularity", "head"], "granularity must be 'block' or 'branch'"),
        (["--dtype", "int4"], "dtype must be one of"),
    ],
)
def test_bad_input_is_one_line(run: Any, model: Path, more: list[str], message: str) -> None:
    ran = run(*arguments(model, *more))
    assert ran.code == 2
    assert message in ran.err
    assert ran.err.count("\n") == 1
    assert ran.out == ""
