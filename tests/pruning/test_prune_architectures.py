"""One layer removed from further architectures; those that cannot do without one, and why; and the
table of all of them in the docs.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")

from qubo_prune.core.errors import InputError  # noqa: E402
from qubo_prune.hessians.gates.gates import find_gates  # noqa: E402
from qubo_prune.pruning.pruner import prune  # noqa: E402
from tests.pruning.test_prune import MORE, load  # noqa: E402
from tests.pruning.test_prune_branches import SEVERAL  # noqa: E402
from tests.tiny_models import CASES, MOE, Case, build  # noqa: E402

PAGE = Path(__file__).resolve().parents[2] / "docs" / "how-to" / "prune-a-model.md"

EXPERTS: dict[str, Any] = {"num_experts": 4, "num_experts_per_tok": 2}
LOCAL: dict[str, Any] = {"num_local_experts": 4, "num_experts_per_tok": 2}
SHARED: dict[str, Any] = {
    "n_routed_experts": 4, "n_group": 2, "topk_group": 1, "first_k_dense_replace": 1,
    "n_shared_experts": 1, "head_dim": 8, **MOE,
}  # fmt: skip
LATENT: dict[str, Any] = {
    "q_lora_rank": 16, "kv_lora_rank": 16, "qk_rope_head_dim": 4, "qk_nope_head_dim": 4,
    "v_head_dim": 8,
}  # fmt: skip
SPARSE: dict[str, Any] = {
    **SHARED, **LATENT, "num_key_value_heads": 4, "index_topk": 64, "index_n_heads": 2,
    "index_head_dim": 8, "head_dim": 4,
}  # fmt: skip
LINEAR: dict[str, Any] = {
    "layer_types": ["linear_attention", "full_attention"] * 2, "head_dim": 8,
    "linear_key_head_dim": 8, "linear_value_head_dim": 8, "linear_num_key_heads": 2,
    "linear_num_value_heads": 4,
}  # fmt: skip
FOUR_OF_GPT: dict[str, Any] = {"n_embd": 32, "n_layer": 4, "n_head": 4}
HEADS, PADDED, WINDOW = {"head_dim": 8}, {"pad_token_id": 0}, {"sliding_window": 4}

FURTHER: dict[str, dict[str, Any]] = {
    "afmoe": {"num_dense_layers": 1, "num_experts": 4, **HEADS, **MOE},
    "apertus": PADDED,
    "arcee": {},
    "biogpt": {},
    "bloom": {"n_layer": 4, "n_head": 4},
    "codegen": {**FOUR_OF_GPT, "rotary_dim": 4},
    "cohere": {},
    "cohere2": WINDOW,
    "dbrx": {
        "d_model": 32, "n_heads": 4, "n_layers": 4,
        "attn_config": {"kv_n_heads": 2, "clip_qkv": 8, "rope_theta": 10000.0},
        "ffn_config": {"ffn_hidden_size": 24, "moe_num_experts": 4, "moe_top_k": 2},
    },
    "deepseek_v2": {
        **LATENT, **MOE, "n_routed_experts": 4, "n_shared_experts": 1, "first_k_dense_replace": 1,
        "num_key_value_heads": 4, "head_dim": 4,
    },
    "deepseek_v32": SPARSE,
    "dots1": SHARED,
    "ernie4_5": HEADS,
    "exaone4": HEADS | WINDOW,
    "falcon_mamba": {"state_size": 4, "time_step_rank": 4, "use_falcon_mambapy": False},
    "flex_olmo": {**EXPERTS, **PADDED},
    "gemma": HEADS,
    "gemma4_text": {
        **HEADS, **WINDOW, "hidden_size_per_layer_input": 0, "num_kv_shared_layers": 0,
        "global_head_dim": 8, "layer_types": ["sliding_attention", "full_attention"] * 2,
    },
    "glm": HEADS | PADDED,
    "glm4": HEADS | PADDED,
    "glm4_moe": SHARED,
    "glm_moe_dsa": SPARSE,
    "gpt_bigcode": FOUR_OF_GPT,
    "gptj": {**FOUR_OF_GPT, "rotary_dim": 4},
    "granite": {"residual_multiplier": 0.5},
    "granitemoe": LOCAL,
    "helium": HEADS | PADDED,
    "hunyuan_v1_dense": HEADS | PADDED,
    "hunyuan_v1_moe": {
        **HEADS, **PADDED, "num_experts": 4, "moe_topk": 2, "moe_intermediate_size": 24,
    },
    "jetmoe": {**LOCAL, "kv_channels": 8},
    "laguna": {**EXPERTS, "moe_intermediate_size": 24, "shared_expert_intermediate_size": 24},
    "mamba": {"state_size": 4, "time_step_rank": 4, "use_mambapy": False},
    "minimax_m2": LOCAL | HEADS,
    "mpt": {"d_model": 32, "n_heads": 4, "n_layers": 4},
    "olmo": PADDED,
    "olmo3": PADDED | WINDOW,
    "olmo_hybrid": PADDED,
    "olmoe": {**EXPERTS, **PADDED},
    "persimmon": {},
    "phi": PADDED,
    "phimoe": LOCAL,
    "qwen3_5_text": LINEAR,
    "seed_oss": HEADS | PADDED,
    "stablelm": {},
    "starcoder2": WINDOW,
    "vaultgemma": HEADS | WINDOW,
    "xglm": {"d_model": 32, "ffn_dim": 48, "attention_heads": 4, "num_layers": 4},
}  # fmt: skip
"""Settings of tiny models of four layers."""

REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "diffllama": ({}, "would have lambda_init .* the configuration cannot say what stays"),
    "gemma3n_text": (
        {
            "head_dim": 8, "hidden_size_per_layer_input": 8, "vocab_size_per_layer_input": 40,
            "num_kv_shared_layers": 2, "laurel_rank": 4, "altup_num_inputs": 2,
            "activation_sparsity_pattern": [0.0] * 4, "sliding_window": 4,
            "layer_types": ["sliding_attention", "full_attention"] * 2,
        },
        "the last 2 layers .* attend to keys and values of earlier ones",
    ),
    "minicpm3": (LATENT, "would have residual_scale .* the configuration cannot say what stays"),
    "minimax": (
        {
            **LOCAL, "head_dim": 8,
            "layer_types": ["linear_attention", "full_attention"] * 2,
        },
        "would have num_hidden_layers 3 instead of 4 in self_attn",
    ),
    "modernbert-decoder": (
        {"pad_token_id": 0, "local_attention": 4, "global_attn_every_n_layers": 2},
        "which becomes layers.0, would have a Identity where it has a LayerNorm",
    ),
    "rwkv": ({}, r"without these layers rwkv\.blocks\.0\.pre_ln\.bias .* it is missing"),
    "zamba2": (
        {
            "mamba_d_state": 8, "mamba_headdim": 8, "mamba_ngroups": 1, "n_mamba_heads": 8,
            "num_hidden_layers": 6, "layers_block_type": ["mamba", "hybrid"] * 3,
            "num_mem_blocks": 1, "chunk_size": 4,
        },
        "would have layer_block_map .* the configuration cannot say what stays",
    ),
}  # fmt: skip
"""What cannot do without its first layer: settings of a tiny model, and the reason."""


def tiny(name: str, settings: dict[str, Any]) -> Any:
    return build(Case(name, [[]] * 4, settings))


@pytest.mark.parametrize("name", FURTHER)
def test_a_layer_of_further_architectures(name: str, tmp_path: Path) -> None:
    model = tiny(name, FURTHER[name])
    pruned = prune(model, [0], tmp_path / "out")
    assert pruned.verification.max_difference == 0
    reloaded = load(tmp_path / "out")
    assert len(find_gates(reloaded)) == 3
    assert pruned.num_parameters == sum(each.numel() for each in reloaded.parameters())


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_do_without_a_layer_says_why(name: str, tmp_path: Path) -> None:
    settings, reason = REFUSED[name]
    with pytest.raises(InputError, match=reason):
        prune(tiny(name, settings), [0], tmp_path / "out")
    assert list(tmp_path.iterdir()) == []


def test_the_docs_list_what_is_tested() -> None:
    """The tables on the page hold exactly the architectures that the tests prune or see refused."""
    section = PAGE.read_text().partition("## Architectures\n")[2].partition("\n## ")[0]
    verified, refused = section.split("Refused,")
    tested = {case.type for case in CASES} | MORE.keys() | FURTHER.keys()
    assert _names(verified) == sorted(tested)
    assert _names(refused) == sorted(REFUSED)
    counts = [int(each) for each in re.findall(r"(\d+) (?:architectures|of them)", verified)]
    assert counts == [len(tested), len(SEVERAL)]
    assert len(tested) >= 38


def _names(text: str) -> list[str]:
    rows = [line for line in text.splitlines() if line.startswith("|")]
    return sorted(name for row in rows for name in re.findall(r"`([\w-]+)`", row))
