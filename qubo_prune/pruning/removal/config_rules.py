"""What a configuration says about single layers, and how that follows when some are removed.

A rule that is wrong or missing is found out before anything is saved, by `check_structure`.
"""

from __future__ import annotations

import copy
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from qubo_prune.core.errors import InputError

Settings = Mapping[str, Any]


@dataclass(frozen=True)
class Layers:
    """Which layers stay: ascending indices, of so many."""

    kept: tuple[int, ...]
    number: int

    def sliced(self, values: Sequence[Any]) -> list[Any]:
        """Return the entries of the layers that stay, and those beyond the last layer.

        >>> Layers((0, 2), 3).sliced("abcd")
        ['a', 'c', 'd']
        """
        return [*(values[i] for i in self.kept), *values[self.number :]]

    def remapped(self, indices: Sequence[int]) -> list[int]:
        """Return the new indices of those layers of a list that stay.

        >>> Layers((0, 2, 3), 4).remapped([1, 2])
        [1]
        """
        return [new for new, old in enumerate(self.kept) if old in indices]

    def head(self, count: int) -> int:
        """Return how many of the first `count` layers stay; counts that cover all of them stay.

        >>> Layers((1, 2), 3).head(2), Layers((1, 2), 3).head(28)
        (1, 28)
        """
        return sum(i < count for i in self.kept) if count < self.number else count


@dataclass(frozen=True)
class Rule:
    """How some settings follow.

    Attributes
    ----------
    keys : tuple of str
        Settings that have to be there, and not None, for the rule to apply.
    change : callable
        Takes all settings and the layers that stay; returns settings with new values.
    model_type : str, optional
        The only type of configuration that it is for.
    """

    keys: tuple[str, ...]
    change: Callable[[Settings, Layers], Settings]
    model_type: str | None = None


def pruned_config(config: Any, layers: Layers) -> Any:
    """Return a copy of a configuration for the layers that stay.

    Parameters
    ----------
    config : transformers.PretrainedConfig
        Stays as it is.
    layers : Layers
        Which stay.

    Raises
    ------
    InputError
        If a pattern over the layers cannot be said any more, with the reason.
    """
    smaller = copy.deepcopy(config)
    text = smaller.get_text_config(decoder=True)
    settings = dict(vars(text))
    changes: dict[str, Any] = {}
    for rule in RULES:
        if rule.model_type not in (None, text.model_type):
            continue
        if all(settings.get(key) is not None for key in rule.keys):
            changes.update(rule.change(settings, layers))
    for key, value in changes.items():
        setattr(text, key, value)
    if not isinstance(getattr(type(text), "num_hidden_layers", None), property):
        text.num_hidden_layers = len(layers.kept)
    return smaller


def extra_settings(config: Any) -> dict[str, Any]:
    """Return what other programs read in ``config.json`` and transformers does not write.

    vLLM reads the layers of a Nemotron-H from `hybrid_override_pattern`.
    """
    text = config.get_text_config(decoder=True)
    if text.model_type != "nemotron_h":
        return {}
    kinds = text.layers_block_type
    return {
        "hybrid_override_pattern": "".join(_NEMOTRON_LETTERS[kind] for kind in kinds),
        "num_hidden_layers": len(kinds),
    }


_NUMBER = re.compile(r"(?<=\.)(\d+)(?=\.)", re.ASCII)
"""The number of a layer in the path of a module."""

_NEMOTRON_LETTERS = {
    "mamba": "M", "linear_attention": "M", "attention": "*", "full_attention": "*",
    "moe": "E", "mlp": "-",
}  # fmt: skip


def _slice(key: str) -> Rule:
    def change(settings: Settings, layers: Layers) -> Settings:
        values = settings[key]
        if not isinstance(values, list | tuple):
            return {}  # one value for all layers
        if len(values) < layers.number:
            raise InputError(
                f"{key} of the configuration has {len(values)} entries for {layers.number} layers,"
                " so it is not known which of them go; correct the configuration."
            )
        return {key: layers.sliced(values)}

    return Rule((key,), change)


def _remap(key: str) -> Rule:
    return Rule((key,), lambda settings, layers: {key: layers.remapped(settings[key])})


def _recount(key: str) -> Rule:
    return Rule((key,), lambda settings, layers: {key: layers.head(settings[key])})


def _period(period: str, offset: str) -> Rule:
    """Layers i with ``i % period == offset`` are special; another such pair may say the same."""

    def change(settings: Settings, layers: Layers) -> Settings:
        first, size = settings[offset], len(layers.kept)
        wanted = [old % settings[period] == first for old in layers.kept]
        pairs = [(settings[period], first)]
        pairs += [(each, start) for each in range(1, size + 2) for start in range(each)]
        for each, start in pairs:
            if [new % each == start for new in range(size)] == wanted:
                return {period: each, offset: start}
        special = [new for new, is_special in enumerate(wanted) if is_special]
        raise InputError(
            f"the configuration places layers by {period} and {offset} only, but after this removal"
            f" they would be at {special}, which is no such pattern; remove other blocks."
        )

    return Rule((period, offset), change)


def _sparse_step(settings: Settings, layers: Layers) -> Settings:
    """Every so many layers have experts, but for a list; only the list can say what stays."""
    step, only = settings["decoder_sparse_step"], settings["mlp_only_layers"]
    dense = [i for i in range(layers.number) if i in only or (i + 1) % step]
    return {"decoder_sparse_step": 1, "mlp_only_layers": layers.remapped(dense)}


def _attention_types(settings: Settings, layers: Layers) -> Settings:
    kept = layers.sliced(settings["attention_layers"])
    return {"attention_layers": kept, "attention_types": [[kept, 1]]}


def _repeated_types(settings: Settings, layers: Layers) -> Settings:
    types = settings["block_types"]
    return {"block_types": [types[i % len(types)] for i in layers.kept]}


def _renumbered_paths(settings: Settings, layers: Layers) -> Settings:
    """Of a model that lacks branches already: where they are missing, by the path of a module."""
    numbers = {str(old): str(new) for new, old in enumerate(layers.kept)}
    parts = {path: _NUMBER.split(path, maxsplit=1) for path in settings["missing_modules"]}
    return {
        "missing_modules": {
            before + numbers[number] + after: settings["missing_modules"][path]
            for path, (before, number, after) in parts.items()
            if number in numbers
        }
    }


def _refuse_scaled_attention(settings: Settings, _: Layers) -> Settings:
    if settings["scale_attn_by_inverse_layer_idx"]:
        raise InputError(
            "scale_attn_by_inverse_layer_idx of the configuration divides the attention of a layer"
            " by its number, which would change; this model cannot be pruned."
        )
    return {}


RULES: tuple[Rule, ...] = (
    *map(_slice, (
        "layer_types", "layers_block_type", "mlp_layer_types", "no_rope_layers", "layer_rope_theta",
        "intermediate_size", "num_attention_heads", "num_key_value_heads", "moe_layer_freq",
        "moe_topk", "block_configs", "activation_sparsity_pattern", "num_attention_heads_per_layer",
    )),
    *map(_remap, (
        "attn_layer_indices", "full_attn_idxs", "moe_layers", "rope_scaling_layers",
        "mlp_only_layers", "hybrid_layer_ids",
    )),
    *map(_recount, ("first_k_dense_replace", "max_window_layers", "num_dense_layers",
        "moe_layer_start_index")),
    _period("attn_layer_period", "attn_layer_offset"),
    _period("expert_layer_period", "expert_layer_offset"),
    Rule(("decoder_sparse_step", "mlp_only_layers"), _sparse_step),
    Rule(("attention_layers", "attention_types"), _attention_types, "gpt_neo"),
    Rule(("missing_modules",), _renumbered_paths),
    Rule(("block_types",), _repeated_types, "recurrent_gemma"),
    Rule(("scale_attn_by_inverse_layer_idx",), _refuse_scaled_attention),
)  # fmt: skip
"""All rules, each on the settings before any change; later ones have the last word."""
