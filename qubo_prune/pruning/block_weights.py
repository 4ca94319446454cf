"""What each block of a model frees: parameters, bytes, or bytes of the KV cache per token."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from qubo_prune.core.defaults import WEIGHTS as DEFAULT_WEIGHTS
from qubo_prune.core.errors import InputError
from qubo_prune.core.files.weights import SUFFIXES, read_weights
from qubo_prune.core.text import did_you_mean, format_value

if TYPE_CHECKING:
    from qubo_prune.hessians.gates.gates import Gates

__all__ = ["WEIGHTS", "block_weights"]

WEIGHTS = (DEFAULT_WEIGHTS, "bytes", "kv-cache")
"""What can be counted; anything else is a file."""


def block_weights(gates: Gates, what: str) -> tuple[float, ...]:
    """Return what each block of a model weighs.

    Parameters
    ----------
    gates : Gates
        The blocks.
    what : str
        One of `WEIGHTS`, or a ``.json`` or ``.csv`` file; see `read_weights`. The KV cache is that
        of one more token, of layers with attention alone: keys and values in the dtype of the
        model.

    Raises
    ------
    InputError
        If it is neither, or the configuration does not tell what a layer caches.
    """
    if what == DEFAULT_WEIGHTS:
        return tuple(gate.num_parameters for gate in gates.gates)
    if what == "bytes":
        return tuple(
            gate.num_parameters * _item_size(gates.layers[gate.layer]) for gate in gates.gates
        )
    if what == "kv-cache":
        return _kv_cache(gates)
    if Path(what).suffix.lower() not in SUFFIXES:
        raise InputError(
            f"weights must be {', '.join(WEIGHTS)} or a .json or .csv file, not"
            f" {format_value(what)}; choose one{did_you_mean(what, WEIGHTS)}."
        )
    return read_weights(what, [gate.name for gate in gates.gates])


def _item_size(module: Any) -> int:
    """Return the bytes of a number of a module's weights."""
    return int(next(iter(module.parameters())).element_size())


def _kv_cache(gates: Gates) -> tuple[float, ...]:
    from qubo_prune.hessians.gates.gates import find_gates

    config: Any = gates.model.config
    config = config.get_text_config() if hasattr(config, "get_text_config") else config
    if getattr(config, "kv_lora_rank", None) is not None:
        raise InputError(
            "weights 'kv-cache' knows layers that cache keys and values, and this model caches"
            " something smaller in their place; give a file of what each block caches."
        )
    branches = find_gates(gates.model, "branch", layers=gates.layers_path)
    attending = {gate.layer for gate in branches.gates if gate.kind == "attention"}
    if not attending:
        raise InputError(
            "weights 'kv-cache' needs layers whose attention can be told apart, and this model has"
            " none; give a file of what each block caches."
        )
    return tuple(
        _cached(config, gate.layer) * _item_size(gates.layers[gate.layer])
        if gate.layer in attending and gate.kind in ("attention", "layer")
        else 0
        for gate in gates.gates
    )


def _cached(config: Any, layer: int) -> int:
    """Return how many numbers a layer caches for each token."""
    heads = getattr(config, "num_attention_heads", None)
    groups = getattr(config, "num_key_value_heads", None) or heads
    groups, heads = (
        each[layer] if isinstance(each, list | tuple) else each for each in (groups, heads)
    )
    size = getattr(config, "head_dim", None)
    if size is None and heads:
        size = config.hidden_size // heads
    if not isinstance(groups, int) or not isinstance(size, int):
        raise InputError(
            "weights 'kv-cache' needs num_attention_heads in the configuration of the model, which"
            " has none; give a file of what each block caches."
        )
    return 2 * groups * size
