"""Layers that are merged in place of being deleted, against tensors computed one by one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")

from qubo_prune.core.errors import InputError  # noqa: E402
from qubo_prune.hessians.language_model import fingerprint  # noqa: E402
from qubo_prune.pruning.pruner import prune  # noqa: E402
from tests.pruning.test_prune import deep, load, logits  # noqa: E402

BY_HAND = {
    "llama": ("model.layers", ["input_layernorm.weight", "post_attention_layernorm.weight"]),
    "qwen2": ("model.layers", ["input_layernorm.weight", "post_attention_layernorm.weight"]),
    "gpt2": ("transformer.h", ["ln_1.weight", "ln_1.bias", "ln_2.weight", "ln_2.bias"]),
    "mixtral": ("model.layers", ["input_layernorm.weight", "post_attention_layernorm.weight"]),
}
"""Where the layers are, and all of their weights that belong to norms."""

WINDOWS = {(1,): {2: [1, 2]}, (0, 1): {2: [0, 1, 2]}, (0, 2): {1: [0, 1], 3: [2, 3]},
           (2, 3): {1: [1, 2, 3]}, (1, 3): {2: [1, 2, 3]}}  # fmt: skip
"""For each removal what becomes what; the last run has no layer above it but the merged one."""


def expected(state: Any, path: str, norms: list[str], window: list[int], form: str) -> Any:
    """The weights of the merged layer by name, in float64."""
    layers = [
        {
            name.removeprefix(f"{path}.{i}."): value.double()
            for name, value in state.items()
            if name.startswith(f"{path}.{i}.")
        }
        for i in window
    ]
    first, last = layers[0], layers[-1]
    assert set(norms) < first.keys()
    merged = {}
    for name in first:
        if name in norms:
            merged[name] = first[name]
        elif form == "official":
            merged[name] = last[name]
        else:
            merged[name] = sum(each[name] for each in layers[1:]) - (len(window) - 2) * first[name]
    return merged


@pytest.fixture(scope="module")
def models() -> Any:
    made = {}
    for name in BY_HAND:
        made[name] = deep(name)
        with torch.no_grad():
            for key, value in made[name].named_parameters():
                if value.ndim == 1:  # norms and biases are ones and zeros otherwise
                    value.add_(torch.randn_like(value), alpha=0.1)
                assert value.std() > 0, key
    return made


@pytest.mark.parametrize("form", ["official", "sum"])
@pytest.mark.parametrize("name", BY_HAND)
def test_every_tensor(name: str, form: Any, models: Any, tmp_path: Path) -> None:
    model, (path, norms) = models[name], BY_HAND[name]
    before = fingerprint(model)
    state = model.state_dict()
    outside = {key: value for key, value in state.items() if not key.startswith(path)}
    for number, (removed, windows) in enumerate(WINDOWS.items()):
        pruned = prune(model, removed, tmp_path / str(number), merge=form)
        assert pruned.merge == {
            "form": form,
            "windows": [{"into": i, "layers": [w[0], w[-1]]} for i, w in windows.items()],
        }
        assert pruned.verification.max_difference == 0
        found = load(tmp_path / str(number)).state_dict()
        kept = [i for i in range(4) if i not in removed]
        for key, value in outside.items():
            assert torch.equal(found[key], value)
        for new, old in enumerate(kept):
            wanted = expected(state, path, norms, windows.get(old, [old]), form)
            for key, value in wanted.items():
                torch.testing.assert_close(
                    found[f"{path}.{new}.{key}"], value.float(), rtol=0, atol=1e-6
                )
                if form == "official":
                    assert torch.equal(found[f"{path}.{new}.{key}"].double(), value)
    assert fingerprint(model) == before


def test_merging_is_no_deleting(models: Any, tmp_path: Path) -> None:
    deleted = prune(models["llama"], [1, 2], tmp_path / "a")
    found = {tuple(logits(load(tmp_path / "a")).flatten().tolist())}
    for form in ("official", "sum"):
        merged = prune(models["llama"], [1, 2], tmp_path / form, merge=form)  # type: ignore[arg-type]
        assert merged.num_parameters == deleted.num_parameters
        found.add(tuple(logits(load(tmp_path / form)).flatten().tolist()))
    assert len(found) == 3
    card = (tmp_path / "sum" / "README.md").read_text()
    assert "in the form `sum`: layers 1 to 3 in the place of layer 3" in card
    assert merged.mergekit is None


def test_bfloat16_is_rounded_once(tmp_path: Path) -> None:
    model = deep("llama")
    model.to(torch.bfloat16).save_pretrained(tmp_path / "in")
    model = load(tmp_path / "in")
    prune(model, [1, 2], tmp_path / "out", merge="sum")
    name = "mlp.up_proj.weight"
    one, two, three = (model.get_parameter(f"model.layers.{i}.{name}").double() for i in (1, 2, 3))
    found = load(tmp_path / "out").get_parameter(f"model.layers.1.{name}")
    assert torch.equal(found, (two + three - one).to(torch.bfloat16))


@pytest.mark.parametrize("name", ["bamba", "qwen3_moe", "nemotron_h"])
def test_layers_that_are_built_differently_are_not_merged(name: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"layers\.0 and layers\.1, which is beside it, would be"):
        prune(deep(name), [0], tmp_path / "out", merge="sum")
    assert list(tmp_path.iterdir()) == []
