"""`qubo-prune heal --method distill` and `compress --heal`: options, mistakes, and going on."""

from __future__ import annotations

import importlib.util
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")

from safetensors.torch import load_file  # noqa: E402

from qubo_prune.pruning.pruner import prune  # noqa: E402
from tests.tiny_models import BY_TYPE, build  # noqa: E402


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_folder(tmp_path_factory.mktemp("heal"))


def make_folder(folder: Path, **sizes: int) -> Path:
    """Write a tiny model, itself without a layer, and samples."""
    build(BY_TYPE["llama"], num_hidden_layers=5, **sizes).save_pretrained(folder / "tiny")
    model = transformers.AutoModelForCausalLM.from_pretrained(folder / "tiny")
    prune(model, [2], folder / "smaller")
    np.save(folder / "tokens.npy", np.random.default_rng(0).integers(0, 40, (30, 10)))
    return folder


def arguments(folder: Path, out: Path, *more: object) -> list[object]:
    return [
        *("heal", folder / "smaller", "--original", folder / "tiny"),
        *("--data", folder / "tokens.npy", "--out", out, "--held-out", 6, "--samples", 24, *more),
    ]


DISTILL = ("--method", "distill", "--step-samples", 4, "--learning-rate", 0.003, "--epochs", 3)


def test_distilling_from_the_command_line(run: Any, folder: Path, tmp_path: Path) -> None:
    pytest.importorskip("peft")
    out = tmp_path / "out"
    ran = run(*arguments(folder, out, *DISTILL, "--lora", 2, "--max-tokens", 300, "--json"))
    assert ran.code == 0
    found = json.loads(ran.out)
    [step] = found["steps"]
    assert step["method"] == "distill"
    assert step["settings"]["lora"] == 2
    assert step["facts"]["num_tokens"] == 280
    assert step["facts"]["num_steps"] == len(step["facts"]["losses"]) == 7
    assert found["calibration"]["samples"] == 24
    assert "--lora 2" in found["command"]
    assert "--max-tokens 300" in found["command"]
    assert "distill" in (out / "README.md").read_text()
    loaded = transformers.AutoModelForCausalLM.from_pretrained(out)
    assert loaded.config.num_hidden_layers == 4


def test_an_original_in_four_bits(run: Any, tmp_path: Path) -> None:
    """Teaches by what it predicts itself, and figures are beside it."""
    pytest.importorskip("bitsandbytes")
    folder = make_folder(tmp_path, hidden_size=64, intermediate_size=128)  # whole blocks of 64
    found = []
    for name, options in (("plain", ()), ("four", ("--original-4bit",))):
        ran = run(*arguments(folder, tmp_path / name, *DISTILL, "--json", *options))
        assert ran.code == 0
        found.append(json.loads(ran.out))
    plain, four = ([each["steps"][0]["facts"]["losses"], each["original"]] for each in found)
    assert plain != four
    assert "--original-4bit" in found[1]["command"]
    stored = load_file(tmp_path / "four" / "model.safetensors")
    assert {str(tensor.dtype) for tensor in stored.values()} == {"torch.float32"}


def test_few_samples_are_divided(run: Any, folder: Path, tmp_path: Path) -> None:
    few = arguments(folder, tmp_path / "out", *DISTILL, "--samples", 1000, "--json")
    ran = run(*few)
    assert ran.code == 0
    assert "only 30 of 1006 samples asked for" in ran.err
    found = json.loads(ran.out)
    assert [found[key]["samples"] for key in ("calibration", "held_out")] == [24, 6]


def test_out_of_time_it_goes_on(run: Any, folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    limited = run(*arguments(folder, out, *DISTILL, "--time-limit", 0.001))
    assert limited.code == 3
    assert not out.exists()
    whole = run(*arguments(folder, tmp_path / "whole", *DISTILL))
    again = run(*arguments(folder, out, *DISTILL))
    assert (whole.code, again.code) == (0, 0)
    assert not list(tmp_path.glob(".*"))
    first, second = ((tmp_path / each / "model.safetensors") for each in ("out", "whole"))
    assert first.read_bytes() == second.read_bytes()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            ("--lora", 4),
            "--lora is for the method distill, which is not among linear; leave it out",
        ),
        (("--method", "distill", "--lora", 0), "lora must be at least 1, not 0"),
        (("--method", "distill", "--learning-rate", 0), "--learning-rate must be more than 0"),
        (("--method", "distill", "--precision", "int4"), "precision must be one of auto, float32"),
        (("--method", "distil"), "there is no method of healing 'distil'; choose from rescale"),
    ],
)
def test_mistakes_are_told_in_one_line(
    run: Any, folder: Path, tmp_path: Path, options: tuple[object, ...], message: str
) -> None:
    ran = run(*arguments(folder, tmp_path / "out", *options))
    assert ran.code == 2
    assert message in ran.err
    assert ran.err.count("\n") == 1
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("module", "options", "message"),
    [
        ("bitsandbytes", ("--original-4bit",), "install it with: pip install bitsandbytes"),
        ("peft", ("--lora", 2), "install it with: pip install 'qubo-prune[heal]'"),
    ],
)
def test_missing_libraries_are_told(
    run: Any,
    folder: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    module: str,
    options: tuple[object, ...],
    message: str,
) -> None:
    found = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name, *a: None if name == module else found(name, *a)
    )
    monkeypatch.setitem(sys.modules, module, None)
    ran = run(*arguments(folder, tmp_path / "out", *DISTILL, *options))
    assert ran.code == 2
    assert message in ran.err
    assert ran.err.count("\n") == 1


def test_options_of_healing_in_compress(run: Any, folder: Path, tmp_path: Path) -> None:
    few = (
        *("--hessian-samples", 0, "--samples", 6, "--evaluations", 6, "--remove", 1),
        *(
            "--evaluation-samples",
            4,
            "--no-latency",
            "--heal-samples",
            10,
            "--out",
            tmp_path / "out",
        ),
    )
    command = ("compress", folder / "tiny", "--data", folder / "tokens.npy", *few)
    ran = run(*command, "--lora", 2)
    assert (ran.code, ran.err.count("\n")) == (2, 1)
    assert "--lora is for --heal distill, which is not asked for; leave it out" in ran.err
    ran = run(*command, "--heal", "rescale,distill", "--step-samples", 5, "--json")
    assert ran.code == 0
    found = json.loads(ran.out)
    assert [step["name"] for step in found["steps"]][-3:] == [
        "heal-rescale", "heal-distill", "evaluate",
    ]  # fmt: skip
    models = list(found["evaluation"]["models"])
    assert models == ["original", "04-model", "05-healed-rescale", "05-healed-rescale-distill"]
    healing = json.loads((tmp_path / "out" / models[-1] / "heal.json").read_text())
    assert healing["steps"][0]["facts"]["num_steps"] == 2
    assert "--step-samples 5" in healing["command"]
