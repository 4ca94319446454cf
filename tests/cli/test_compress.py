"""`qubo-prune compress`: what it writes, says and refuses."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")

from qubo_prune import Spectrum  # noqa: E402
from tests.tiny_models import BY_TYPE, build  # noqa: E402

FEW = (
    *("--hessian-samples", 8, "--samples", 6, "--evaluations", 9),
    *("--evaluation-samples", 4, "--no-latency"),
)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a tiny model and samples."""
    folder = tmp_path_factory.mktemp("model")
    build(BY_TYPE["llama"], num_hidden_layers=5).save_pretrained(folder)
    np.save(folder / "tokens.npy", np.random.default_rng(0).integers(0, 40, (30, 10)))
    return folder


def arguments(model: Path, out: Path, *more: object) -> list[object]:
    return ["compress", model, "--data", model / "tokens.npy", "--out", out, *FEW, *more]


def test_a_smaller_model_in_one_command(run: Any, model: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    ran = run(*arguments(model, out, "--remove", 2, "--keep", "0", "--json"))
    assert ran.code == 0
    assert "2/" in ran.err
    assert "solve: the lowest energies, with proof" in ran.err
    found = json.loads(ran.out)
    assert found["complete"]
    assert len(found["removed"]) == 2
    assert 0 not in found["removed"]
    assert {step["outcome"] for step in found["steps"]} == {"done now"}
    record = json.loads((out / "04-model" / "prune.json").read_text())
    assert record["removed"] == found["removed"]
    command = (
        f"qubo-prune compress {model} --data {model / 'tokens.npy'} --out {out} --keep 0 --remove 2"
        " --hessian-samples 8 --evaluations 9 --samples 6 --evaluation-samples 4 --no-latency"
    )
    assert record["command"] == command
    assert found["removed_names"] == [f"layers.{block}" for block in found["removed"]]
    assert found["num_parameters"] < found["num_parameters_before"]
    share = arguments(model, out, "--remove", "40%", "--keep", "0", "--dry-run")
    assert run(*share).code == 0
    again = run(*arguments(model, out, "--remove", 2, "--keep", "0", "--names"))
    assert (again.code, again.err) == (0, "")
    assert "done before" in again.out
    assert f"They are {', '.join(found['removed_names'])}." in " ".join(again.out.split())
    assert "against the original" in again.out
    assert found["evaluation"]["original"] == "original"
    assert "removed 2 of 5 layers" in " ".join(again.out.split())


def test_a_dry_run_does_nothing(run: Any, model: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    ran = run(*arguments(model, out, "--remove", 1, "--dry-run"))
    assert (ran.code, ran.err) == (0, "")
    assert "to do" in ran.out
    assert "about" in ran.out
    ran = run(*arguments(model, out, "--remove", 1, "--dry-run", "--json"))
    steps = {step["name"]: step for step in json.loads(ran.out)["steps"]}
    assert steps["solve"]["seconds"] is None
    assert steps["extract"]["seconds"] > 0
    assert not out.exists()


def test_the_preset_of_the_paper(run: Any, model: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    more = ("--remove", 2, "--preset", "paper", "--evaluation-samples", 0, "--candidates", 2)
    more = (*more, "--tasks", "none")
    data = ["compress", model, "--data", model / "tokens.npy", "--out", out]
    ran = run(*data, *more, "--json")
    assert ran.code == 0
    assert [step["name"] for step in json.loads(ran.out)["steps"]] == ["extract", "solve", "prune"]
    sidecar = json.loads((out / "01-hessian.json").read_text())
    assert sidecar["calibration"]["seed"] == 42
    assert sidecar["calibration"]["requested_samples"] == 2048
    assert sidecar["dtype"] == "bfloat16"
    assert (out / "04-model-1").is_dir()
    ran = run(*data, *more, "--seed", 0, "--dtype", "float32", "--dry-run")
    assert ran.out.count("to do again") == 3  # what is given goes first


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ([], "--remove"),
        (["--remove", 2, "--from", "cook"], "'cook' to begin with does not exist"),
        (["--remove", 2, "--preset", "best"], "there is no preset 'best'"),
        (["--remove", 2, "--objective", "speed"], "--objective must be loss or kl"),
        (["--remove", 2, "--granularity", "branch"], "--granularity must be block here"),
        (["--remove", 2, "--samples", 1], "--samples must be at least 2, not 1"),
        (["--remove", 9], "and 5 (blocks that may be removed), not 9"),
        (["--remove", 5], "--remove must be from 1 to 4 of the 5 blocks, not 5"),
        (["--remove", 2, "--keep", "layers.9"], "layers.9"),
        (["--remove", 2, "--backend", "nope"], "there is no backend 'nope'"),
        (["--remove", 2, "--text", "x.txt"], "comes with no tokenizer"),
        (["--remove", 2, "--data", "none.npy"], "none.npy does not exist"),
    ],
)
def test_bad_input_is_one_line(
    more: list[object], message: str, run: Any, model: Path, tmp_path: Path
) -> None:
    ran = run(*arguments(model, tmp_path / "out", *more), "-q")
    assert (ran.code, ran.out) == (2, "")
    assert message in ran.err
    assert ran.err.count("\n") == 1
    assert not (tmp_path / "out").exists()


def test_a_time_limit_and_then_the_rest(run: Any, model: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    ran = run(*arguments(model, out, "--remove", 2, "--time-limit", 0.001))
    assert ran.code == 3
    assert "Stopped (time limit); the same command goes on." in ran.out
    assert run(*arguments(model, out, "--remove", 2, "-q")).code == 0


def test_extract_has_the_preset_too(run: Any, model: Path, tmp_path: Path) -> None:
    out = tmp_path / "h.npy"
    data = ["extract", model, "--data", model / "tokens.npy", "--out", out]
    assert run(*data, "--preset", "paper", "--samples", 5, "-q").code == 0
    sidecar = json.loads(out.with_suffix(".json").read_text())
    assert (sidecar["samples"], sidecar["dtype"]) == (5, "bfloat16")
    assert sidecar["calibration"]["seed"] == 42
    assert sidecar["calibration"]["sequence_length"] == 131_072
    ran = run("extract", model, "--data", "x", "--out", tmp_path / "i.npy", "--preset", "best")
    assert (ran.code, ran.err.count("\n")) == (2, 1)


def test_a_budget_in_the_place_of_a_number(run: Any, model: Path, tmp_path: Path) -> None:
    out, weights = tmp_path / "out", tmp_path / "weights.json"
    weights.write_text(json.dumps([5, 1, 1, 1, 5]))
    asked = arguments(model, out, "--budget", "60%", "--weights", weights, "--json")
    planned = run(*asked, "--dry-run")
    assert planned.code == 0
    assert "at least 8 of 13 by weights.json has to go, which takes 2 to 4 of" in planned.err
    ran = run(*asked)
    assert ran.code == 0, ran.err
    found = json.loads(ran.out)
    assert found["complete"]
    assert sum([5, 1, 1, 1, 5][block] for block in found["removed"]) >= 8  # 60 % of 13
    spectrum = Spectrum.load(out / "02-spectrum.json")
    assert spectrum.num_proven == len(spectrum) > 1
    assert all({0, 4} & set(spectrum.removed(k)) for k in range(len(spectrum)))
    exact = run(*asked, "--remove", 2, "--dry-run")
    assert exact.code == 0, exact.err
    weights.write_text(json.dumps([1, 9, 1, 1, 1]))
    again = run(*asked)
    assert "solve again (reads weights changed)" in again.err
    found = json.loads(again.out)
    assert [each["outcome"] for each in found["steps"]][:2] == ["done before", "done now"]
    assert 1 in found["removed"]
    weights.unlink()
    gone = run(*asked)
    assert (gone.code, gone.err.count("\n")) == (2, 1)
    assert "weights.json" in gone.err
    none = run(*arguments(model, tmp_path / "other"))
    assert (none.code, "--remove M, or --budget" in none.err) == (2, True)
