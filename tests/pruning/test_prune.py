"""Pruned models of every architecture against ones whose layers are deleted by hand; what is
refused; runs that are killed while they save.
"""

from __future__ import annotations

import contextlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")

from qubo_prune.core.errors import InputError, OutputError  # noqa: E402
from qubo_prune.core.problem.problem import Problem  # noqa: E402
from qubo_prune.hessians.gates.gates import find_gates  # noqa: E402
from qubo_prune.hessians.language_model import fingerprint  # noqa: E402
from qubo_prune.pruning import pruner, saving  # noqa: E402
from qubo_prune.pruning.pruner import prune  # noqa: E402
from qubo_prune.pruning.removal.config_rules import Layers, pruned_config  # noqa: E402
from qubo_prune.pruning.removal.structure import check_structure  # noqa: E402
from qubo_prune.pruning.selection import Candidate, Selection  # noqa: E402
from qubo_prune.solving.solve import solve  # noqa: E402
from tests.pruning.test_measurement import DEEPER, deleted  # noqa: E402
from tests.tiny_models import BY_TYPE, CASES, SIZES, VOCABULARY, build  # noqa: E402

WITH_ATTENTION_AT_ODD = {
    "bamba", "jamba", "granitemoehybrid", "qwen3_next", "lfm2", "nemotron_h",
}  # fmt: skip
"""Hybrids of four layers that lose all attention with layers 1 and 3."""


def deep(name: str, **more: Any) -> Any:
    """A model of four layers."""
    return build(BY_TYPE[name], **{"num_hidden_layers": 4} | DEEPER.get(name, {}) | more)


def tokens() -> Any:
    return torch.randint(VOCABULARY, (2, 12), generator=torch.Generator().manual_seed(3))


def logits(model: Any) -> Any:
    with torch.no_grad():
        return model(input_ids=tokens(), use_cache=False).logits


def load(folder: Path) -> Any:
    loaded, report = transformers.AutoModelForCausalLM.from_pretrained(
        folder, output_loading_info=True
    )
    assert not any(report[key] for key in ("missing_keys", "unexpected_keys", "mismatched_keys"))
    return loaded.eval()


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.fixture(scope="module")
def llama() -> Any:
    return deep("llama")


@pytest.mark.parametrize("name", [case.type for case in CASES])
def test_every_architecture(name: str, tmp_path: Path) -> None:
    model = deep(name)
    before = fingerprint(model)
    gates = find_gates(model)
    for removed in [(0,), (0, 2)]:
        out = tmp_path / "-".join(map(str, removed))
        pruned = prune(model, removed, out)
        reloaded = load(out)
        assert reloaded.config.num_hidden_layers == len(find_gates(reloaded)) == 4 - len(removed)
        by_hand = deleted(model, gates.layers_path, removed)
        assert torch.equal(logits(reloaded), logits(by_hand))
        assert pruned.verification.max_difference == 0
        assert pruned.num_parameters == sum(each.numel() for each in reloaded.parameters())
        cached, plain = (
            reloaded.generate(tokens(), max_new_tokens=4, do_sample=False, use_cache=use)
            for use in (True, False)
        )
        assert torch.equal(cached, plain)
    assert fingerprint(model) == before


EXPERTS = {"num_experts_per_tok": 2, "moe_intermediate_size": 24}
MORE = {
    "gpt_neo": {
        "num_layers": 4, "num_heads": 4, "window_size": 4,
        "attention_types": [[["global", "local"], 2]],
    },
    "recurrent_gemma": {"lru_width": 32, "attention_window_size": 8},
    "smollm3": {"no_rope_layer_interval": 2, "pad_token_id": 0},
    "llama4_text": {
        "interleave_moe_layer_step": 2, "num_local_experts": 4, "head_dim": 8,
        "intermediate_size_mlp": 48, "attention_chunk_size": 4,
    },
    "qwen2_moe": {
        "num_experts": 4, "decoder_sparse_step": 2, "mlp_only_layers": [1],
        "shared_expert_intermediate_size": 24, **EXPERTS,
    },
    "ernie4_5_moe": {
        "moe_num_experts": 4, "moe_k": 2, "moe_intermediate_size": 24, "moe_layer_start_index": 1,
    },
    "lfm2_moe": {
        "num_dense_layers": 1, "num_experts": 4, "layer_types": ["conv", "full_attention"] * 2,
        **EXPERTS,
    },
}  # fmt: skip
"""Patterns over the layers that no tiny model of the other tests has."""


@pytest.mark.parametrize("name", MORE)
@pytest.mark.parametrize("removed", [[0], [1]])
def test_more_patterns(name: str, removed: list[int], tmp_path: Path) -> None:
    settings = SIZES | MORE[name]
    if name == "gpt_neo":
        del settings["num_attention_heads"]
    else:
        settings["num_hidden_layers"] = 4
    config = transformers.AutoConfig.for_model(name, **settings)
    model = transformers.AutoModelForCausalLM.from_config(config).eval()
    assert prune(model, removed, tmp_path / "out").verification.max_difference == 0
    assert len(find_gates(load(tmp_path / "out"))) == 3


@pytest.mark.parametrize("name", sorted(WITH_ATTENTION_AT_ODD))
def test_a_hybrid_without_any_attention_cannot_generate(name: str, tmp_path: Path) -> None:
    attention = [1] if name == "nemotron_h" else [1, 3]
    with pytest.raises(InputError, match="cannot generate with a cache"):
        prune(deep(name), attention, tmp_path / "out")
    assert list(tmp_path.iterdir()) == []


def test_periods_that_cannot_say_what_stays_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"attn_layer_period .* at \[1, 2\], which is no such"):
        prune(deep("jamba"), [2], tmp_path / "out")
    config = pruned_config(deep("jamba").config, Layers((1, 3), 4))
    assert (config.attn_layer_period, config.attn_layer_offset) == (1, 0)


def test_what_depends_on_the_number_of_a_layer_is_refused(tmp_path: Path) -> None:
    model = deep("gpt2", scale_attn_by_inverse_layer_idx=True)
    with pytest.raises(InputError, match="divides the attention of a layer by its number"):
        prune(model, [1], tmp_path / "out")
    config = transformers.DiffLlamaConfig(
        vocab_size=40, hidden_size=32, intermediate_size=48, num_hidden_layers=3,
        num_attention_heads=4, num_key_value_heads=2,
    )  # fmt: skip
    model = transformers.DiffLlamaForCausalLM(config).eval()
    with pytest.raises(InputError, match=r"layers\.2 .*becomes layers\.1, would have lambda_init"):
        prune(model, [1], tmp_path / "out")
    assert list(tmp_path.iterdir()) == []


def test_shared_weights_are_refused(tmp_path: Path) -> None:
    model = deep("llama")
    model.model.layers[2].mlp = model.model.layers[1].mlp
    with pytest.raises(InputError, match="share the weights"):
        prune(model, [2], tmp_path / "out")


def test_experts_and_dense_layers_are_said_one_by_one(tmp_path: Path) -> None:
    prune(deep("qwen3_moe"), [0], tmp_path / "a")
    config = json.loads((tmp_path / "a" / "config.json").read_text())
    assert (config["decoder_sparse_step"], config["mlp_only_layers"]) == (1, [1])
    prune(deep("deepseek_v3"), [0], tmp_path / "b")
    assert json.loads((tmp_path / "b" / "config.json").read_text())["first_k_dense_replace"] == 0


def test_editing_only_the_number_of_layers_is_noticed() -> None:
    """It would reload deepseek_v3 with random tensors."""
    gates = find_gates(deep("deepseek_v3"))
    config = pruned_config(gates.model.config, Layers((1, 2, 3), 4))
    config.first_k_dense_replace = 1
    with pytest.raises(InputError, match="would have a DeepseekV3MLP where it has a"):
        check_structure(gates, Layers((1, 2, 3), 4), config)


def test_a_window_longer_than_any_test_is_noticed() -> None:
    gates = find_gates(deep("gemma2", sliding_window=4000))
    config = pruned_config(gates.model.config, Layers((1, 2, 3), 4))
    config.layer_types = ["sliding_attention", "full_attention", "sliding_attention"]
    with pytest.raises(InputError, match=r"layers\.1 .*becomes layers\.0, would have"):
        check_structure(gates, Layers((1, 2, 3), 4), config)


def test_nemotron_h_says_its_layers_twice_and_alike(tmp_path: Path) -> None:
    pruned = prune(deep("nemotron_h"), ["layers.2"], tmp_path / "out")
    config = json.loads((tmp_path / "out" / "config.json").read_text())
    assert config["hybrid_override_pattern"] == "M*-"
    assert config["num_hidden_layers"] == len(config["layers_block_type"]) == 3
    assert pruned.kinds == {"mamba": (0, 1), "attention": (0, 1), "moe": (1, 1), "mlp": (0, 1)}


def test_bfloat16_and_tied_embeddings(tmp_path: Path) -> None:
    deep("llama", tie_word_embeddings=True).to(torch.bfloat16).save_pretrained(tmp_path / "in")
    pruned = prune(load(tmp_path / "in"), [1], tmp_path / "out")
    assert load(tmp_path / "out").dtype == torch.bfloat16
    assert pruned.verification.max_difference == 0


def a_spectrum(names: list[str] | None = None, blocks: int = 4) -> Any:
    factor = np.random.default_rng(0).standard_normal((9, blocks))
    return solve(Problem(factor.T @ factor, 2, names=names), num_states=3, backend="enumeration")


def a_selection(model: Any, names: list[str]) -> Selection:
    chosen = Candidate(
        removed=(1, 2), objective=0.25, standard_error=0.0625, proposed_by="surrogate", energy=1.5,
        rank_in_spectrum=4, held_out=0.3125, held_out_error=0.125,
    )  # fmt: skip
    return Selection(
        removals=(chosen,), objective="loss", baseline=2.5, num_evaluations=7, remove=2,
        names=names, model_fingerprint=fingerprint(model),
    )  # fmt: skip


NAMES = [f"layers.{i}" for i in range(4)]


def test_a_spectrum_and_a_selection_are_named_in_the_card(llama: Any, tmp_path: Path) -> None:
    spectrum = a_spectrum(NAMES)
    pruned = prune(llama, spectrum, tmp_path / "a", state=1)
    assert pruned.removed == spectrum[1].removed
    card = (tmp_path / "a" / "README.md").read_text()
    assert f"| energy x'Hx | {spectrum[1].energy:.6g} |" in card
    assert "| rank proven | yes |" in card
    pruned = prune(llama, a_selection(llama, NAMES), tmp_path / "b", command="make it")
    card = (tmp_path / "b" / "README.md").read_text()
    for text in (
        "| increase of the loss, the samples of the choice | 0.25 ± 0.062 |",
        "| increase of the loss, held-out samples | 0.3125 ± 0.12 |",
        "| layer | 2 | 4 |", "```sh\nmake it\n```", "may be covered by a patent application",
        f"{pruned.num_parameters:,} parameters", pruned.sha256["model.safetensors"],
    ):  # fmt: skip
        assert text in card
    record = json.loads((tmp_path / "b" / "prune.json").read_text())
    assert record == pruned.to_dict()
    assert prune(llama, a_spectrum(), tmp_path / "a").removed  # blocks without names


def test_a_selection_of_another_model_is_a_warning(llama: Any, tmp_path: Path) -> None:
    with pytest.warns(UserWarning, match="another fingerprint"):
        prune(llama, a_selection(deep("llama", rms_norm_eps=0.1), NAMES), tmp_path / "a")


BRANCHES = [f"layers.{i}.{kind}" for i in range(2) for kind in ("attention", "mlp")]


@pytest.mark.parametrize(
    ("removal", "state", "message"),
    [
        ([], 0, "from 1 to 3 of the 4 blocks can be removed, not 0"),
        ([0, 1, 2, 3], 0, "from 1 to 3 of the 4 blocks can be removed, not 4"),
        ([4], 0, "blocks go from 0 to 3, but 4"),
        ([-1], 0, "blocks go from 0 to 3, but -1"),
        ([1, "layers.1"], 0, r"block layers\.1 is named twice"),
        (["layers.1", "layers.1.mlp"], 0, r"block layers\.1\.mlp is named twice"),
        (["lm_head"], 0, "the model has no block 'lm_head'"),
        (["layers.1.mlp"], 0, r"layers\.1\.mlp goes while its layer stays, which no loader can"),
        (["layers.1.moe"], 0, "the model has no block 'layers.1.moe'"),
        (["layers.1.mlp", 4], 0, "blocks go from 0 to 3, but 4"),
        ([1], 1, "state must be 0 for a list of blocks"),
        (a_spectrum(), 3, "state must be below the 3 removals of the spectrum, not 3"),
        (a_spectrum(blocks=5), 0, "the spectrum is of 5 blocks, but the model has 4 layers"),
        (a_spectrum(["a", "b", "c", "d"]), 0, "its block 0 is called 'a', that of the model"),
        (a_spectrum(BRANCHES), 0, "the spectrum is of 4 blocks, but the model has 8 branches"),
    ],
)
def test_other_removals_are_refused(
    removal: Any, state: int, message: str, llama: Any, tmp_path: Path
) -> None:
    with pytest.raises(InputError, match=message):
        prune(llama, removal, tmp_path / "out", state=state)
    assert list(tmp_path.iterdir()) == []


def test_only_what_prune_wrote_is_replaced(llama: Any, tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.mkdir()
    prune(llama, [1], out)  # an empty folder loses nothing
    first = contents(out)
    prune(llama, [2, 3], out)
    assert contents(out)["model.safetensors"] != first["model.safetensors"]
    (out / "notes.txt").write_text("mine")
    with pytest.raises(InputError, match=r"holds notes\.txt, which prune did not write"):
        prune(llama, [1], out)
    with pytest.raises(InputError, match="is a file, but a folder is to be written"):
        prune(llama, [1], out / "notes.txt")
    with pytest.raises(InputError, match="cannot be written"):
        prune(llama, [1], tmp_path / "none" / "out")
    (out / "notes.txt").unlink()
    with pytest.raises(InputError, match="which would be replaced; name another folder"):
        prune(load(out), [1], out)


class KilledError(BaseException):
    """The end of a run."""


PLACES = [
    (pruner._Smaller, "save"), (pruner, "checksums"), (pruner, "model_card"), (saving, "_flush"),
    (saving, "_move"), (saving.Path, "rename"), (saving.Path, "mkdir"),
]  # fmt: skip


@pytest.mark.parametrize(("owner", "name"), PLACES)
@pytest.mark.parametrize("call", [1, 2])
@pytest.mark.parametrize("after", [False, True])
def test_killed_while_saving(
    owner: Any, name: str, call: int, after: bool, llama: Any, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    """Nothing runs after a kill, so what tidies up is made to do nothing."""
    out, calls = tmp_path / "out", 0
    prune(llama, [1], out)
    old = contents(out)
    original = getattr(owner, name)

    def dies(*args: Any, **kwargs: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls > call or (calls == call and not after):
            raise KilledError
        result = original(*args, **kwargs)
        if calls == call:
            raise KilledError
        return result

    with monkeypatch.context() as patch:
        patch.setattr(owner, name, dies)
        patch.setattr(saving.shutil, "rmtree", lambda *_, **__: None)
        with contextlib.suppress(KilledError):
            prune(llama, [2, 3], out)
    between_two_renames = not out.exists()
    assert not between_two_renames or (owner, name) == (saving.Path, "rename")
    if not between_two_renames:
        found = contents(out)
        assert found == old or len(load(out).model.layers) == 2
    else:
        assert contents(tmp_path / ".out.old") == old
    with pytest.raises(InputError, match="blocks go from"):
        prune(llama, [9], out)  # bad input changes nothing
    prune(llama, [0, 1, 2], out)
    assert len(load(out).model.layers) == 1
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_a_failed_run_puts_the_old_folder_back_when_it_was_killed_between_two_renames(
    llama: Any, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    prune(llama, [1], out)
    old = contents(out)
    out.rename(tmp_path / ".out.old")
    (tmp_path / ".out.new").mkdir()
    with pytest.raises(KilledError), saving.new_folder(out):
        raise KilledError
    assert contents(out) == old
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def full(*_: Any, **__: Any) -> None:
    raise OSError(28, "No space left on device")


def full_as_safetensors_says(*_: Any, **__: Any) -> None:
    from safetensors import SafetensorError

    raise SafetensorError("Error while serializing: I/O error: No space left on device")


LEFT_OUT: dict[str, Any] = {"removal": ["layers.2.mlp"], "branches": "module"}


@pytest.mark.parametrize(
    ("owner", "name", "error", "options"),
    [
        (transformers.LlamaForCausalLM, "save_pretrained", full, {"removal": [2]}),
        (
            transformers.LlamaForCausalLM, "save_pretrained", full_as_safetensors_says,
            {"removal": ["layers.2.mlp"], "branches": "zero"},
        ),
        (Path, "write_text", full, LEFT_OUT),  # of the modelling file
        (pruner, "write_lists", full, LEFT_OUT | {"lists": True}),
        (pruner, "model_card", full, {"removal": [2]}),
    ],
)  # fmt: skip
def test_a_full_disk_is_one_line(
    owner: Any, name: str, error: Any, options: Any, llama: Any, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    prune(llama, [1], tmp_path / "out")
    old = contents(tmp_path / "out")
    monkeypatch.setattr(owner, name, error)
    with pytest.raises(OutputError, match=r"out cannot be written \(.*No space left on device"):
        prune(llama, out=tmp_path / "out", **options)
    assert contents(tmp_path / "out") == old
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_too_little_space_is_known_before_anything_is_written(
    llama: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(saving.shutil, "disk_usage", lambda _: type("Usage", (), {"free": 1000})())
    with pytest.raises(OutputError, match=r"has 1 kB of free space, but the model takes \d+ kB"):
        prune(llama, [1], tmp_path / "out")
    assert list(tmp_path.iterdir()) == []
