"""Quantised weights: which of their tensors stand for a weight of the model, and the modules that
their configuration lists.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from typing import Any

from qubo_prune.pruning.rewriting.layer_names import LayerNames

SETTINGS = ("quantization_config", "compression_config")
"""Keys of ``config.json``."""

FILES = ("quantize_config.json", "quant_config.json", "hf_quant_config.json")
"""Those of GPTQ, AWQ and ModelOpt beside it."""

_PACKED = ("qweight", "weight_packed", "W_q", "codes")
_BLOCKS, _SCALES = "_blocks", "_scales"
_BESIDE = re.compile(
    r"(?:\w+_)?(?:scale|scales|scale_inv|zero_point|zeros|qzeros|g_idx|SCB|amax|weight_format"
    r"|weight_shape)(?:_\d)?"
)
"""What lies beside a quantised weight, or a scale of the cache."""


def base_names(names: Collection[str]) -> dict[str, str]:
    """Return the tensors that stand for weights of the model, each with the name of that weight.

    Scales, zero points and the like have none.

    Examples
    --------
    >>> base_names(["a.qweight", "a.scales", "a.bias", "b.weight", "b.weight.absmax"])
    {'a.qweight': 'a.weight', 'a.bias': 'a.bias', 'b.weight': 'b.weight'}
    >>> base_names(["c_blocks", "c_scales", "d.weight", "d.weight_scale_inv"])
    {'c_blocks': 'c', 'd.weight': 'd.weight'}
    """
    every = set(names)
    found = {}
    for name in names:
        module, _, last = name.rpartition(".")
        is_blocks = last.endswith(_BLOCKS) and name.removesuffix(_BLOCKS) + _SCALES in every
        if last in _PACKED:
            found[name] = f"{module}.weight"
        elif is_blocks:
            found[name] = name.removesuffix(_BLOCKS)
        elif not (
            _BESIDE.fullmatch(last)
            or (last.endswith(_SCALES) and name.removesuffix(_SCALES) + _BLOCKS in every)
            or any(before in every for before in _weights_before(name))
        ):
            found[name] = name
    return found


def _weights_before(name: str) -> list[str]:
    """Return the weights that a tensor called ``a.weight.absmax`` could be about."""
    parts = name.split(".")
    return [".".join(parts[:end]) for end in range(1, len(parts)) if parts[end - 1] == "weight"]


def renumbered_settings(value: Any, names: LayerNames) -> Any:
    """Return settings of a quantisation for the layers that stay.

    Names and patterns of modules in lists, and as keys, are renumbered, or go with their layers;
    a group of which no target is left goes, too.

    Examples
    --------
    >>> from qubo_prune.pruning.removal.config_rules import Layers
    >>> names = LayerNames("model.layers", "model.layers", Layers((0, 2), 3))
    >>> renumbered_settings({"ignore": ["lm_head", "layers.1.mlp", "layers.2.mlp"]}, names)
    {'ignore': ['lm_head', 'layers.1.mlp']}
    """
    if isinstance(value, Mapping):
        settings: dict[Any, Any] = {}
        for key, each in value.items():
            changed = renumbered_settings(each, names)
            if not _lost_its_targets(each, changed):
                settings |= dict.fromkeys(_renumbered(key, names), changed)
        return settings
    if isinstance(value, list | tuple):
        return [
            renumbered_settings(new, names) for each in value for new in _renumbered(each, names)
        ]
    return value


def _renumbered(value: Any, names: LayerNames) -> tuple[Any, ...]:
    return names.renumbered(value) if isinstance(value, str) else (value,)


def _lost_its_targets(before: Any, after: Any) -> bool:
    return isinstance(before, Mapping) and bool(before.get("targets")) and not after["targets"]
