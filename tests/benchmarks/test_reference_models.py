"""The reference models train and are extracted as they say, and energy against truth."""

from __future__ import annotations

import dataclasses
import json
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from qubo_prune.hessians import load_hessian

pytest.importorskip("torch")
pytest.importorskip("transformers")

import torch

from benchmarks import energy_truth
from benchmarks.reference_models import training
from benchmarks.reference_models.corpus import load_corpus, windows
from benchmarks.reference_models.extraction import extract_all
from benchmarks.reference_models.models import NEMOTRON_3_NANO, RECIPES, build

ROOT = Path(__file__).resolve().parents[2]
TINY = energy_truth.SMOKE.recipe


def test_the_corpus_is_split_by_file_and_windows_depend_on_the_seed_alone() -> None:
    corpus = load_corpus()
    sizes = corpus.description["bytes"]
    assert [len(corpus.train), len(corpus.calibration), len(corpus.held_out)] == list(
        sizes.values()
    )
    assert sizes["train"] > 10 * sizes["held_out"]
    text = corpus.held_out
    drawn = windows(text, 5, 32, [0, 7])
    assert (drawn == windows(text, 5, 32, [0, 7])).all()
    assert not (drawn == windows(text, 5, 32, [0, 8])).all()
    assert all(bytes(row.astype(np.uint8)) in text.tobytes() for row in drawn)


def test_the_models_have_the_depths_of_the_paper() -> None:
    layers = {name: recipe.config.get("num_hidden_layers") for name, recipe in RECIPES.items()}
    assert layers["llama-32"] == 32
    assert layers["qwen3-40"] == 40
    assert layers["llama-80"] == 80
    kinds = RECIPES["nemotron-h-52"].config["layers_block_type"]
    assert len(kinds) == len(NEMOTRON_3_NANO) == 52
    counts = [kinds.count(kind) for kind in ("linear_attention", "moe", "full_attention")]
    assert counts == [23, 23, 6]
    assert [i for i, kind in enumerate(kinds) if kind == "full_attention"] == [
        5,
        12,
        19,
        26,
        33,
        42,
    ]


def weights_of(folder: Path) -> bytes:
    return (folder / "model.safetensors").read_bytes()


def test_training_repeats_itself_interrupted_or_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    training.train(TINY, tmp_path / "a")
    draws = iter(range(3))

    def until_killed(*args: Any) -> Any:
        if args[0] is load_corpus().train and next(draws, None) is None:
            raise KeyboardInterrupt
        return windows(*args)

    with monkeypatch.context() as patch:
        patch.setattr(training, "windows", until_killed)
        with pytest.raises(KeyboardInterrupt):
            training.train(TINY, tmp_path / "b", save_every=0.0)
    assert not (tmp_path / "b" / "model.safetensors").exists()
    training.train(TINY, tmp_path / "b")
    assert weights_of(tmp_path / "a") == weights_of(tmp_path / "b")
    report = json.loads((tmp_path / "a" / "training.json").read_text())
    assert report["bits_per_byte"]["trained"] < report["bits_per_byte"]["untrained"]
    with pytest.raises(SystemExit, match="another recipe"):
        training.train(dataclasses.replace(TINY, seed=1), tmp_path / "a")


def test_the_number_of_steps_can_be_chosen_until_the_learning_rate_falls() -> None:
    longer = dataclasses.replace(TINY, steps=1000)
    shorter = dataclasses.replace(TINY, steps=800)
    same = training.decay_start(800)
    rates = [training.learning_rate(step, longer) for step in range(1000)]
    assert rates[: same + 1] == [training.learning_rate(step, shorter) for step in range(same + 1)]
    assert max(rates) == rates[same] == TINY.learning_rate
    assert 0.05 * TINY.learning_rate < rates[-1] < 0.06 * TINY.learning_rate


def test_hessians_are_extracted_with_what_is_known_about_the_model(tmp_path: Path) -> None:
    training.train(TINY, tmp_path)
    extract_all(TINY, tmp_path, data=tmp_path, samples=16)
    for granularity, count in (("block", 4), ("branch", 8)):
        file = load_hessian(tmp_path / f"{TINY.name}-{granularity}.npy")
        assert file.num_blocks == count
        assert file.metadata["samples"] == 16
        assert file.metadata["training"]["held_out_bits_per_byte"]["untrained"] > 8
        assert file.mean_gradient is not None
        assert np.linalg.eigvalsh(file.hessian).min() > -1e-12
    # Gates at whole layers, differentiated by themselves, give what the sum of the branches gives.
    model, _ = training.load_trained(TINY, tmp_path)
    direct = energy_truth.gate_gradients(model, energy_truth.SMOKE)
    block = load_hessian(tmp_path / f"{TINY.name}-block.npy")
    assert direct.T @ direct / 16 == pytest.approx(block.hessian, rel=1e-4)
    assert direct.mean(axis=0) == pytest.approx(block.mean_gradient, rel=1e-4)


def test_removing_is_what_gates_at_zero_do(tmp_path: Path) -> None:
    from qubo_prune.hessians import find_gates

    model = build(TINY).eval()
    tokens = windows(load_corpus().held_out, 3, TINY.sequence, 0)
    gates = find_gates(model, "block")
    values = torch.ones(3, 4)
    values[:, [1, 2]] = 0.0
    with gates.attached(values), torch.no_grad():
        gated = float(training.losses(model, torch.from_numpy(tokens)).mean())
    assert energy_truth.loss_without(model, (1, 2), tokens) == pytest.approx(gated, rel=1e-6)
    assert model.config.num_hidden_layers == len(model.model.layers) == 4


def test_block_influence_is_that_of_the_hidden_states() -> None:
    model = build(TINY).eval()
    tokens = windows(load_corpus().held_out, 3, TINY.sequence, 0)
    with torch.no_grad():
        states = model(input_ids=torch.from_numpy(tokens), output_hidden_states=True).hidden_states
    cosines = [
        float(torch.nn.functional.cosine_similarity(before, after, dim=-1).mean())
        for before, after in pairwise(states[:-1])
    ]  # the last of the states is normalised
    influence = energy_truth.block_influence(model, tokens)
    assert influence[:-1] == pytest.approx(1 - np.array(cosines), abs=1e-6)


def test_energy_is_compared_with_the_truth_of_every_subset(tmp_path: Path) -> None:
    training.train(TINY, tmp_path)
    model, _ = training.load_trained(TINY, tmp_path)
    result = energy_truth.compare(model, energy_truth.SMOKE)
    assert {count: len(each) for count, each in result["loss_changes"].items()} == {1: 4, 2: 6}
    assert len(result["judged"]) == 2 * 5
    for row in result["judged"]:
        changes = result["loss_changes"][row["remove"]]
        # Ten states are all there are.
        assert row["best_of_ten"]["rank"] == 1
        assert row["best_of_ten"]["change"] == min(changes)
        assert row["validated"]["change"] in changes
        assert 1 <= row["choice"]["rank"] <= row["subsets"]
    assert energy_truth.table(result).count("\n") == 1 + 2 * 7


def test_the_documentation_has_the_figures_that_were_measured() -> None:
    [result] = json.loads((ROOT / "benchmarks" / "results" / "energy_truth.json").read_text())[
        "rows"
    ]
    assert energy_truth.table(result) in (ROOT / "docs" / "benchmarks.md").read_text()
