"""Tiny models of every supported architecture, and independent ways to compute their losses."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")

VOCABULARY = 40
A, F, E, S, C, L = "attention", "mlp", "moe", "mamba", "conv", "linear_attention"


@dataclass(frozen=True)
class Case:
    """A tiny model: its type, its settings, the kinds of the branches of each layer."""

    type: str
    kinds: list[list[str]]
    settings: dict[str, Any] = field(default_factory=dict)
    differences: bool = False


MOE = {"num_experts_per_tok": 2, "moe_intermediate_size": 24}
MAMBA2 = {
    "mamba_n_heads": 8,
    "mamba_d_head": 8,
    "mamba_d_state": 8,
    "mamba_n_groups": 1,
    "mamba_chunk_size": 4,
}

CASES = [
    Case("llama", [[A, F]] * 2, differences=True),
    Case("qwen2", [[A, F]] * 2),
    Case("qwen3", [[A, F]] * 2, {"head_dim": 8}),
    Case("mistral", [[A, F]] * 2, {"sliding_window": 4}),
    Case("ministral3", [[A, F]] * 2, {"head_dim": 8}),
    Case("gemma2", [[A, F]] * 2, {"head_dim": 8, "sliding_window": 4}, True),
    Case("gemma3_text", [[A, F]] * 2, {"head_dim": 8, "sliding_window": 4}),
    Case("phi3", [[A, F]] * 2, {"pad_token_id": 0}),
    Case("gpt2", [[A, F]] * 2, {"n_embd": 32, "n_layer": 2, "n_head": 4}, True),
    Case("gpt_neox", [[A, F]] * 2, {"use_parallel_residual": True}, True),
    Case("opt", [[A, F]] * 2, {"ffn_dim": 48, "word_embed_proj_dim": 32}),
    Case("falcon", [[A, F]] * 2, {"new_decoder_architecture": False, "parallel_attn": True}),
    Case("olmo2", [[A, F]] * 2, {"pad_token_id": 0}, True),
    Case("mixtral", [[A, E]] * 2, {"num_local_experts": 4}, True),
    Case("qwen3_moe", [[A, F], [A, E]], {"num_experts": 4, "decoder_sparse_step": 2, "head_dim": 8, **MOE}),
    Case(
        "deepseek_v3",
        [[A, F], [A, E]],
        {
            "n_routed_experts": 4, "n_group": 2, "topk_group": 1, "first_k_dense_replace": 1, "q_lora_rank": 16,
            "kv_lora_rank": 16, "qk_rope_head_dim": 4, "qk_nope_head_dim": 4, "v_head_dim": 8, **MOE,
        },
    ),
    Case("gpt_oss", [[A, E]] * 2, {"num_local_experts": 4, "num_experts_per_tok": 2, "head_dim": 8}),
    Case("nemotron", [[A, F]] * 2),
    Case(
        "nemotron_h",
        [[S], [A], [E], [F]],
        {
            "layers_block_type": ["mamba", "attention", "moe", "mlp"], "n_routed_experts": 4,
            "moe_shared_expert_intermediate_size": 24, "n_group": 1, "topk_group": 1, "ssm_state_size": 8,
            "mamba_num_heads": 8, "mamba_head_dim": 8, "n_groups": 1, "chunk_size": 4, "head_dim": 8, **MOE,
        },
        True,
    ),
    Case("bamba", [[S, F], [A, F]], {"attn_layer_indices": [1], **MAMBA2}),
    Case(
        "jamba",
        [[S, F], [A, E]],
        {
            "attn_layer_period": 2, "attn_layer_offset": 1, "expert_layer_period": 2, "expert_layer_offset": 1,
            "num_experts": 4, "mamba_d_state": 4, "mamba_dt_rank": 4, "use_mamba_kernels": False,
        },
        True,
    ),
    Case(
        "granitemoehybrid",
        [[S, E], [A, E]],
        {
            "layer_types": ["mamba", "attention"], "num_local_experts": 4, "num_experts_per_tok": 2,
            "shared_intermediate_size": 24, "residual_multiplier": 0.5, "logits_scaling": 2.0, **MAMBA2,
        },
        True,
    ),
    Case("falcon_h1", [[S, A, F]] * 2, {"head_dim": 8, "mamba_d_ssm": 64, **MAMBA2}),
    Case(
        "qwen3_next",
        [[L, E], [A, E]],
        {
            "layer_types": ["linear_attention", "full_attention"], "num_experts": 4, "head_dim": 8,
            "shared_expert_intermediate_size": 24, "linear_key_head_dim": 8, "linear_value_head_dim": 8,
            "linear_num_key_heads": 2, "linear_num_value_heads": 4, **MOE,
        },
    ),
    Case(
        "mamba2",
        [[S]] * 2,
        {"num_heads": 8, "head_dim": 8, "state_size": 8, "n_groups": 1, "chunk_size": 4, "expand": 2},
        True,
    ),
    Case("lfm2", [[C, F], [A, F]], {"layer_types": ["conv", "full_attention"]}),
]  # fmt: skip
SIZES = {
    "vocab_size": VOCABULARY, "hidden_size": 32, "intermediate_size": 48, "num_attention_heads": 4,
    "num_key_value_heads": 2, "max_position_embeddings": 64, "bos_token_id": 1, "eos_token_id": 2,
    "tie_word_embeddings": False,
}  # fmt: skip


def build(case: Case, experts_implementation: str | None = None, **more: Any) -> Any:
    settings = SIZES | {"num_hidden_layers": len(case.kinds)} | case.settings | more
    if "n_embd" in settings:
        settings = {
            k: v
            for k, v in settings.items()
            if k not in {"hidden_size", "num_hidden_layers", "num_attention_heads"}
        }
    config = transformers.AutoConfig.for_model(case.type, **settings)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        model = transformers.AutoModelForCausalLM.from_config(
            config, experts_implementation=experts_implementation
        )
        for parameter in model.parameters():
            if parameter.ndim > 1:  # so large that every branch matters
                torch.nn.init.normal_(parameter, std=0.8 * parameter[0].numel() ** -0.5)
    return model.eval()


BY_TYPE = {case.type: case for case in CASES}


def samples(seed: int = 0) -> tuple[list[NDArray[np.int64]], list[NDArray[np.bool_]]]:
    """Three samples of unequal lengths, and some of their tokens to predict."""
    rng = np.random.default_rng(seed)
    tokens = [rng.integers(VOCABULARY, size=length) for length in (6, 11, 3)]
    targets = [np.arange(len(each)) > 0 for each in tokens]
    targets[1][:4] = False
    return tokens, targets


def losses_of(
    model: Any, tokens: NDArray[np.int64], targets: NDArray[np.bool_], copies: int
) -> Any:
    """The mean negative log-likelihood of the counted tokens of a sample, for each of its copies."""
    ids = torch.from_numpy(tokens).expand(copies, -1)
    logits = model(input_ids=ids, use_cache=False).logits
    wide = logits.to(torch.promote_types(logits.dtype, torch.float32))
    log_likelihood = torch.log_softmax(wide, -1)[:, torch.arange(len(tokens) - 1), ids[0, 1:]]
    return -log_likelihood[:, torch.from_numpy(targets[1:])].mean(1)


def one_loss(model: Any, tokens: NDArray[np.int64], targets: NDArray[np.bool_]) -> Any:
    return losses_of(model, tokens, targets, copies=1)[0]


@contextmanager
def multiplied(modules: list[tuple[Any, Any]]) -> Iterator[None]:
    """Multiply the outputs of modules by a number each."""

    def hook(factor: Any) -> Any:
        def multiply(_: Any, __: Any, output: Any) -> Any:
            if isinstance(output, tuple):
                return (output[0] * factor, *output[1:])
            return output * factor

        return multiply

    handles = [module.register_forward_hook(hook(factor)) for module, factor in modules]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


ENDS = {
    "llama": ["self_attn", "mlp"], "qwen2": ["self_attn", "mlp"], "qwen3": ["self_attn", "mlp"],
    "mistral": ["self_attn", "mlp"], "ministral3": ["self_attn", "mlp"], "phi3": ["self_attn", "mlp"],
    "gemma2": ["post_attention_layernorm", "post_feedforward_layernorm"],
    "gemma3_text": ["post_attention_layernorm", "post_feedforward_layernorm"],
    "gpt2": ["attn", "mlp"], "gpt_neox": ["attention", "mlp"], "opt": ["self_attn", "fc2"],
    "falcon": ["self_attention", "mlp"], "olmo2": ["post_attention_layernorm", "post_feedforward_layernorm"],
    "mixtral": ["self_attn", "mlp"], "qwen3_moe": ["self_attn", "mlp"], "deepseek_v3": ["self_attn", "mlp"],
    "gpt_oss": ["self_attn", "mlp"], "nemotron": ["self_attn", "mlp"], "nemotron_h": ["mixer"],
    "bamba": ["mamba|self_attn", "feed_forward"], "jamba": ["mamba|self_attn", "feed_forward"],
    "granitemoehybrid": ["mamba|self_attn", "block_sparse_moe+shared_mlp"],
    "falcon_h1": ["mamba", "self_attn", "feed_forward"],
    "qwen3_next": ["linear_attn|self_attn", "mlp"], "mamba2": ["mixer"], "lfm2": ["conv|self_attn", "feed_forward"],
}  # fmt: skip
"""By hand from the sources of transformers: which modules' outputs each layer adds to its input."""


def ends_by_hand(case: Case, layer: Any) -> list[list[Any]]:
    """The modules to scale, branch by branch; ``a|b`` is whichever the layer has, ``a+b`` both."""
    return [
        [
            next(getattr(layer, name) for name in part.split("|") if getattr(layer, name, None))
            for part in names.split("+")
        ]
        for names in ENDS[case.type]
    ]
