"""The architectures: deep and narrow models of the transformers library, at the paper's depths."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import torch

VOCABULARY = 256
"""One token per byte."""

NEMOTRON_3_NANO = "MEMEM*EMEMEM*EMEMEM*EMEMEM*EMEMEM*EMEMEMEM*EMEMEMEME"
"""The paper's section 4.5: 23 Mamba2 (M), 23 MoE (E) and 6 attention layers (*)."""

_KINDS = {"M": "linear_attention", "E": "moe", "*": "full_attention"}

# What adds its output to the residual stream, in any of the architectures.
_OUTPUTS = ("o_proj", "down_proj", "out_proj")


@dataclass(frozen=True)
class Recipe:
    """One model and how it is trained."""

    name: str
    model_type: str
    config: dict[str, Any]
    steps: int
    learning_rate: float
    batch: int = 8
    sequence: int = 128
    warm_up: int = 100
    weight_decay: float = 0.1
    seed: int = 0


def _dense(layers: int, width: int) -> dict[str, Any]:
    return {
        "hidden_size": width,
        "intermediate_size": 8 * width // 3 // 8 * 8,
        "num_hidden_layers": layers,
        "num_attention_heads": width // 16,
        "num_key_value_heads": width // 32 if width % 32 == 0 else width // 16,
        "head_dim": 16,
        "max_position_embeddings": 512,
        "tie_word_embeddings": False,
    }


RECIPES = {
    recipe.name: recipe
    for recipe in (
        Recipe("llama-32", "llama", _dense(32, 64), steps=1400, learning_rate=5e-3),
        Recipe("qwen3-40", "qwen3", _dense(40, 64), steps=1800, learning_rate=5e-3),
        Recipe("llama-80", "llama", _dense(80, 48), steps=1000, learning_rate=4e-3),
        Recipe(
            "nemotron-h-52",
            "nemotron_h",
            {
                "hidden_size": 48,
                "layers_block_type": [_KINDS[kind] for kind in NEMOTRON_3_NANO],
                "num_attention_heads": 3,
                "num_key_value_heads": 1,
                "head_dim": 16,
                "mamba_num_heads": 4,
                "mamba_head_dim": 24,
                "ssm_state_size": 16,
                "n_groups": 1,
                "chunk_size": 32,
                "n_routed_experts": 4,
                "num_experts_per_tok": 2,
                "moe_intermediate_size": 48,
                "moe_shared_expert_intermediate_size": 48,
                "max_position_embeddings": 512,
            },
            steps=800,
            learning_rate=5e-3,
        ),
        Recipe("llama-12", "llama", _dense(12, 64), steps=1000, learning_rate=5e-3),
    )
}


def build(recipe: Recipe) -> Any:
    """Return the untrained float32 model of a recipe; the same weights every time."""
    from transformers import AutoConfig, AutoModelForCausalLM

    config = AutoConfig.for_model(
        recipe.model_type,
        vocab_size=VOCABULARY,
        use_cache=False,
        pad_token_id=None,
        bos_token_id=None,
        eos_token_id=None,
        **recipe.config,
    )
    torch.manual_seed(recipe.seed)
    model = AutoModelForCausalLM.from_config(config, dtype=torch.float32)
    _initialise(model, recipe.seed)
    return model


def _initialise(model: Any, seed: int) -> None:
    """Draw the matrices so that a deep and narrow stack of pre-norm branches trains.

    A matrix has the standard deviation 1/sqrt(inputs), 0.02 being meant for wide models; what
    writes to the residual stream is divided by sqrt(2 L), so that its variance does not grow with
    the number of layers L.
    """
    generator = torch.Generator().manual_seed(seed)
    depth = 2 * model.config.num_hidden_layers
    for name, parameter in model.named_parameters():
        if parameter.ndim < 2 or "conv1d" in name:
            continue
        if "embed" in name:
            std = 1.0
        else:
            std = parameter.shape[-1] ** -0.5
            if any(output in name for output in _OUTPUTS):
                std /= math.sqrt(depth)
        with torch.no_grad():
            parameter.normal_(0.0, std, generator=generator)
