"""The decoder layers of a causal language model."""

from __future__ import annotations

import operator
from collections.abc import Sequence
from typing import Any

from torch import nn

from qubo_prune.core.errors import InputError
from qubo_prune.core.text import format_value


def find_layers(model: nn.Module, path: str | None = None) -> tuple[str, tuple[nn.Module, ...]]:
    """Return the dotted path of the decoder layers and the layers.

    They are the one `torch.nn.ModuleList` with as many entries as the configuration has hidden
    layers whose entries are the model's indivisible modules.

    Parameters
    ----------
    model
        A causal language model of the transformers library.
    path
        Where to look instead.

    Raises
    ------
    InputError
        If there is no such list or more than one, or if its layers share weights or state.
    """
    config = getattr(model, "config", None)
    if config is None or not callable(getattr(model, "get_input_embeddings", None)):
        raise InputError(
            f"model must be a causal language model of the transformers library, not "
            f"{type(model).__name__}; load one with AutoModelForCausalLM."
        )
    if getattr(config, "is_encoder_decoder", False):
        raise InputError(
            f"{type(model).__name__} is an encoder with a decoder, and its loss is not that of a "
            "causal language model; give a decoder-only model."
        )
    text = config.get_text_config(decoder=True)
    candidates = {
        name: module for name, module in model.named_modules() if isinstance(module, nn.ModuleList)
    }
    if path is None:
        path = _only_match(model, candidates, text)
    elif path not in candidates or len(candidates[path]) == 0:
        known = ", ".join(name for name, module in candidates.items() if len(module)) or "none"
        raise InputError(
            f"layers must be the path of a list of modules, not {format_value(path)}; "
            f"the lists of this model are: {known}."
        )
    layers = tuple(candidates[path])
    _check_nothing_shared(path, layers, text)
    return path, layers


def _only_match(model: nn.Module, candidates: dict[str, nn.ModuleList], config: Any) -> str:
    from transformers.modeling_layers import GradientCheckpointingLayer

    number = operator.index(config.num_hidden_layers)
    whole = set(getattr(model, "_no_split_modules", None) or ())
    fitting = [name for name, modules in candidates.items() if len(modules) == number]
    matches = [
        name
        for name in fitting
        if all(
            isinstance(module, GradientCheckpointingLayer) or type(module).__name__ in whole
            for module in candidates[name]
        )
    ]
    if len(matches) == 1:
        return matches[0]
    found = ", ".join(matches or fitting) or "none"
    raise InputError(
        f"exactly one list of {number} decoder layers is needed, but {type(model).__name__} has "
        f"{len(matches)} ({found}); name the list with layers='path.of.layers'."
    )


def _check_nothing_shared(path: str, layers: Sequence[nn.Module], config: Any) -> None:
    owner: dict[int, int] = {}
    for index, layer in enumerate(layers):
        for name, parameter in layer.named_parameters():
            first = owner.setdefault(id(parameter), index)
            if first != index:
                raise InputError(
                    f"{path}.{first} and {path}.{index} share the weights {name}, so one cannot be "
                    "removed without the other; architectures with shared blocks are not supported."
                )
    if getattr(config, "num_kv_shared_layers", 0):
        raise InputError(
            f"the last {config.num_kv_shared_layers} layers of {path} attend to keys and values of "
            "earlier ones, so those cannot be removed alone; architectures with shared keys and "
            "values are not supported."
        )
