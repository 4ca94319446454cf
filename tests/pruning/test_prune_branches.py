"""Branches that go while their layer stays, as zeros and by a modelling file, against modules whose
outputs are set to zero by hand.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")

from qubo_prune.core.errors import InputError  # noqa: E402
from qubo_prune.hessians.gates.gates import find_gates  # noqa: E402
from qubo_prune.hessians.language_model import fingerprint  # noqa: E402
from qubo_prune.pruning.pruner import prune  # noqa: E402
from tests.pruning.test_prune import deep, logits, tokens  # noqa: E402
from tests.tiny_models import BY_TYPE, CASES, ends_by_hand, multiplied  # noqa: E402


def load(folder: Path, **more: Any) -> Any:
    loaded, report = transformers.AutoModelForCausalLM.from_pretrained(
        folder, output_loading_info=True, **more
    )
    assert not any(report[key] for key in ("missing_keys", "unexpected_keys", "mismatched_keys"))
    return loaded.eval()


def without(model: Any, name: str, branches: list[tuple[int, int]]) -> Any:
    """The logits with the modules of some branches of some layers returning zeros."""
    gates = find_gates(model)
    ends = [
        end
        for layer, branch in branches
        for end in ends_by_hand(BY_TYPE[name], gates.layers[layer])[branch]
    ]
    with multiplied([(end, 0.0) for end in ends]):
        return logits(model)


SEVERAL = [case.type for case in CASES if len(case.kinds[0]) > 1]


@pytest.mark.parametrize("how", ["zero", "module"])
@pytest.mark.parametrize("name", SEVERAL)
def test_every_architecture(name: str, how: Any, tmp_path: Path) -> None:
    model = deep(name)
    before, out = fingerprint(model), tmp_path / "out"
    names = [gate.name for gate in find_gates(model, "branch").gates]
    per_layer = [[each for each in names if each.startswith(f"layers.{i}.")] for i in range(4)]
    removed = [per_layer[1][0], per_layer[0][-1], per_layer[3][-1]]
    pruned = prune(model, removed, out, branches=how)
    reloaded = load(out, trust_remote_code=how == "module")
    last = len(per_layer[0]) - 1
    assert torch.equal(logits(reloaded), without(model, name, [(1, 0), (0, last), (3, last)]))
    cached, plain = (
        reloaded.generate(tokens(), max_new_tokens=4, do_sample=False, use_cache=use)
        for use in (True, False)
    )
    assert torch.equal(cached, plain)
    assert pruned.num_parameters == reloaded.num_parameters()
    assert (reloaded.num_parameters() < model.num_parameters()) == (how == "module")
    assert fingerprint(model) == before


@pytest.fixture(scope="module")
def llama() -> Any:
    return deep("llama")


def test_a_layer_of_which_all_branches_go_is_deleted(llama: Any, tmp_path: Path) -> None:
    """It needs no choice of what becomes of branches."""
    pruned = prune(llama, ["layers.1.mlp", "layers.1.attention"], tmp_path / "a")
    whole = prune(llama, [1], tmp_path / "b")
    assert (pruned.removed, pruned.layers_removed, pruned.branches) == ((2, 3), (1,), None)
    assert (pruned.num_blocks, pruned.granularity) == (8, "branch")
    assert pruned.kinds == {"attention": (1, 4), "mlp": (1, 4)}
    assert (whole.removed, whole.layers_removed, whole.granularity) == ((1,), (1,), "block")
    for file in ("config.json", "model.safetensors"):
        assert pruned.sha256[file] == whole.sha256[file]
    together = prune(llama, [3, "layers.0.mlp", "layers.1"], tmp_path / "c", branches="module")
    assert together.removed_names == (
        "layers.0.mlp", "layers.1.attention", "layers.1.mlp", "layers.3.attention", "layers.3.mlp",
    )  # fmt: skip
    assert together.layers_removed == (1, 3)
    reloaded = load(tmp_path / "c", trust_remote_code=True)
    assert len(reloaded.model.layers) == 2
    assert reloaded.config.missing_modules.keys() == {
        "model.layers.0.post_attention_layernorm", "model.layers.0.mlp",
    }  # fmt: skip


def test_nemotron_h_loses_some_of_each_kind(tmp_path: Path) -> None:
    """Its layers are branches: each removal is one of whole layers, said in both patterns."""
    kinds = ["mamba", "mlp", "moe", "attention", "mamba", "mlp", "attention", "moe"]
    model = deep("nemotron_h", layers_block_type=kinds, num_hidden_layers=8)
    names = [gate.name for gate in find_gates(model, "branch").gates]
    assert names == [f"layers.{i}.{kind}" for i, kind in enumerate(kinds)]
    removed = ["layers.1.mlp", "layers.2.moe", "layers.4.mamba"]
    pruned = prune(model, removed, tmp_path / "out")
    assert pruned.kinds == {"mamba": (1, 2), "mlp": (1, 2), "moe": (1, 2), "attention": (0, 2)}
    config = json.loads((tmp_path / "out" / "config.json").read_text())
    types = [kind.removeprefix("full_") for kind in config["layers_block_type"]]
    assert types == ["linear_attention", "attention", "mlp", "attention", "moe"]
    assert config["hybrid_override_pattern"] == "M*-*E"
    assert config["num_hidden_layers"] == 5
    card = (tmp_path / "out" / "README.md").read_text()
    assert "without 3 of 8 branches" in card
    assert "| moe | 1 | 2 |" in card


def test_the_modelling_file_has_to_be_trusted(llama: Any, tmp_path: Path) -> None:
    pruned = prune(llama, ["layers.2.attention"], tmp_path / "out", branches="module")
    assert pruned.sha256.keys() == {
        "config.json", "generation_config.json", "model.safetensors", "modeling_pruned.py",
    }  # fmt: skip
    with pytest.raises(ValueError, match="trust_remote_code"):
        load(tmp_path / "out", trust_remote_code=False)
    card = (tmp_path / "out" / "README.md").read_text()
    assert "trust_remote_code=True" in card
    assert "No weight was changed" in card
    attention = llama.model.layers[2]
    gone = [attention.self_attn, attention.input_layernorm]
    count = sum(each.numel() for module in gone for each in module.parameters())
    assert pruned.num_parameters == llama.num_parameters() - count


def test_zeros_load_without_any_code(llama: Any, tmp_path: Path) -> None:
    pruned = prune(llama, ["layers.2.attention", "layers.0.mlp"], tmp_path / "out", branches="zero")
    reloaded = load(tmp_path / "out")
    changed = {
        name
        for (name, new), old in zip(reloaded.named_parameters(), llama.parameters(), strict=True)
        if not torch.equal(new, old)
    }
    assert changed == {
        "model.layers.2.self_attn.o_proj.weight", "model.layers.0.mlp.down_proj.weight",
    }  # fmt: skip
    assert all(not dict(reloaded.named_parameters())[name].any() for name in changed)
    card = (tmp_path / "out" / "README.md").read_text()
    assert "No weight was changed" not in card
    assert "output weights of the branch are zero" in card
    assert "as zeros" in str(pruned)


@pytest.mark.parametrize("how", ["zero", "module"])
def test_bfloat16_and_tied_embeddings(how: Any, tmp_path: Path) -> None:
    deep("qwen3", tie_word_embeddings=True).to(torch.bfloat16).save_pretrained(tmp_path / "in")
    pruned = prune(load(tmp_path / "in"), ["layers.1.mlp"], tmp_path / "out", branches=how)
    reloaded = load(tmp_path / "out", trust_remote_code=True)
    assert (reloaded.dtype, pruned.verification.max_difference) == (torch.bfloat16, 0)


@pytest.mark.parametrize("how", ["zero", "module"])
def test_a_branch_of_a_pruned_model_is_pruned(how: Any, llama: Any, tmp_path: Path) -> None:
    prune(llama, [1], tmp_path / "first")
    prune(load(tmp_path / "first"), ["layers.1.mlp"], tmp_path / "second", branches=how)
    found = load(tmp_path / "second", trust_remote_code=True)
    assert torch.equal(logits(found), without(load(tmp_path / "first"), "llama", [(1, 1)]))


def test_a_model_without_branches_is_pruned_again(llama: Any, tmp_path: Path) -> None:
    prune(llama, ["layers.2.attention", "layers.0.mlp"], tmp_path / "1", branches="module")
    again = load(tmp_path / "1", trust_remote_code=True)
    whole = prune(again, [0], tmp_path / "2", trust_remote_code=True)
    assert whole.verification.max_difference == 0
    found = load(tmp_path / "2", trust_remote_code=True)
    assert found.config.missing_modules.keys() == {
        "model.layers.1.self_attn", "model.layers.1.input_layernorm",
    }  # fmt: skip
    zero = prune(
        again, ["layers.1.mlp"], tmp_path / "3", branches="zero", trust_remote_code=True
    )  # fmt: skip
    assert zero.num_parameters == again.num_parameters()
    found = load(tmp_path / "3", trust_remote_code=True)
    assert torch.equal(logits(found), without(again, "llama", [(1, 1)]))
    with pytest.raises(InputError, match="brings its own code, which a modelling file"):
        prune(again, ["layers.1.mlp"], tmp_path / "4", branches="module")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["1", "2", "3"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"branches": "none"}, "branches must be one of zero, module, not 'none'"),
        ({"merge": "mean"}, "merge must be one of official, sum, not 'mean'"),
        ({"merge": "sum"}, r"only whole layers can be merged, but layers\.1\.mlp is a branch"),
        ({"merge": "sum", "lists": True}, "which no list can say"),
        ({}, r"layers\.1\.mlp goes while its layer stays"),
    ],
)
def test_options_that_do_not_fit_are_refused(
    options: Any, message: str, llama: Any, tmp_path: Path
) -> None:
    with pytest.raises(InputError, match=message):
        prune(llama, ["layers.1.mlp"], tmp_path / "out", **options)
    assert list(tmp_path.iterdir()) == []
