"""`qubo-prune heal`: what it writes, says and refuses."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")

from tests.tiny_models import BY_TYPE, VOCABULARY, build  # noqa: E402


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with an original, a pruned model and tokens."""
    from qubo_prune.pruning.pruner import prune

    folder = tmp_path_factory.mktemp("healing")
    model = build(BY_TYPE["llama"], num_hidden_layers=5)
    model.save_pretrained(folder / "tiny")
    model = transformers.AutoModelForCausalLM.from_pretrained(folder / "tiny").eval()
    prune(model, [1, 3], folder / "smaller")
    build(BY_TYPE["llama"], num_hidden_layers=4).save_pretrained(folder / "other")
    rng = np.random.default_rng(0)
    np.save(folder / "tokens.npy", rng.integers(VOCABULARY, size=(40, 12)))
    return folder


def arguments(place: Path, out: Path, **more: object) -> list[object]:
    given = {
        "original": place / "tiny", "data": place / "tokens.npy", "out": out, "samples": 20,
        "held_out": 8, **more,
    }  # fmt: skip
    found: list[object] = ["heal", place / "smaller"]
    for name, value in given.items():
        found += [f"--{name.replace('_', '-')}", value]
    return found


def test_both_repairs(run: Any, place: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    ran = run(*arguments(place, out, method="rescale,linear", ridge=0.1), "--json")
    assert (ran.code, ran.err) == (0, f"qubo-prune: wrote {out}\n")
    record = json.loads(ran.out)
    assert record == json.loads((out / "heal.json").read_text())
    assert [step["method"] for step in record["steps"]] == ["rescale", "linear"]
    assert record["evaluation"]["models"].keys() == {
        "original", "not healed", "rescale", "rescale, linear",
    }  # fmt: skip
    assert (record["calibration"]["samples"], record["held_out"]["samples"]) == (20, 8)
    command = record["command"]
    assert command.startswith(f"qubo-prune heal {place / 'smaller'} --original {place / 'tiny'}")
    assert "--method rescale,linear" in command
    assert "--ridge 0.1" in command
    assert "--seed" not in command
    assert command in (out / "README.md").read_text()
    again = run(*command.replace(str(out), str(tmp_path / "again")).split()[1:], "--json", "-q")
    assert json.loads(again.out)["steps"][1]["facts"] == record["steps"][1]["facts"]
    loaded = transformers.AutoModelForCausalLM.from_pretrained(out)
    assert loaded.config.num_hidden_layers == 3


def test_what_is_said(run: Any, place: Path, tmp_path: Path) -> None:
    ran = run(*arguments(place, tmp_path / "out"))
    assert ran.code == 0
    said = " ".join(ran.out.split())
    assert "linear maps in place of layers 1 by model.layers.0.mlp.down_proj" in said
    assert "KL on held-out samples: " in said
    ran = run(*arguments(place, tmp_path / "out", held_out=0), "-q")
    assert (ran.code, ran.out, ran.err) == (0, "", "")


def test_more_samples_than_there_are_are_shared(run: Any, place: Path, tmp_path: Path) -> None:
    ran = run(*arguments(place, tmp_path / "out", samples=60, held_out=20), "--json")
    assert "only 40 of 80 samples" in ran.err
    record = json.loads(ran.out)
    assert (record["calibration"]["samples"], record["held_out"]["samples"]) == (30, 10)


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ({"method": "magic"}, "there is no method of healing 'magic'; choose from rescale, linear"),
        ({"method": "rescale", "ridge": 1}, "--ridge is for the method linear, which is not among"),
        ({"ridge": -1}, "ridge must be at least 0, not -1; leave it out to choose it"),
        ({"blocks": "1,2"}, "says that layers 1, 3 were removed, not 1, 2; leave the blocks out"),
        ({"blocks": "layers.1.mlp"}, "must be an index or a name as layers.3"),
        ({"dtype": "int8"}, "dtype must be one of"),
        ({"samples": 1, "held_out": 1}, "needs at least 2 samples, not 1"),
    ],
)
def test_mistakes(
    more: dict[str, object], message: str, run: Any, place: Path, tmp_path: Path
) -> None:
    ran = run(*arguments(place, tmp_path / "out", **more))
    assert (ran.code, ran.out) == (2, "")
    assert message in " ".join(ran.err.split())
    assert ran.err.count("\n") <= 4
    assert list(tmp_path.iterdir()) == []


def test_a_wrong_original(run: Any, place: Path, tmp_path: Path) -> None:
    ran = run(*arguments(place, tmp_path / "out", original=place / "other"))
    assert (ran.code, ran.out) == (2, "")
    assert "the original has 4 layers, but the pruned model has 3" in " ".join(ran.err.split())
    ran = run(*arguments(place, tmp_path / "out", original=tmp_path / "none"))
    assert ran.code == 2
    assert "none" in ran.err


def test_folders_that_are_read_are_not_replaced(run: Any, place: Path, tmp_path: Path) -> None:
    for out in (place / "smaller", place / "tiny", place):
        ran = run(*arguments(place, out))
        assert (ran.code, ran.out) == (2, "")
        assert "--out" in ran.err
    assert (place / "smaller" / "prune.json").exists()


def test_a_time_limit_that_comes_first(run: Any, place: Path, tmp_path: Path) -> None:
    ran = run(*arguments(place, tmp_path / "out", time_limit=1e-6))
    assert ran.code == 3
    assert "nothing was written" in ran.out
    assert list(tmp_path.iterdir()) == []


def test_help_names_every_method(run: Any) -> None:
    from qubo_prune.pruning.healing.registry import method_names

    said = " ".join(run("heal", "--help").out.split())
    for name in method_names():
        assert name in said
