"""Whether a configuration describes the layers that stay, found out without any weights."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn

from qubo_prune.core.errors import InputError
from qubo_prune.core.text import format_value
from qubo_prune.hessians.gates.gates import Gates
from qubo_prune.pruning.removal.config_rules import Layers


@contextmanager
def without_layers(gates: Gates, layers: Layers, config: Any) -> Iterator[None]:
    """Have a model hold only the layers that stay, and their configuration, while the context
    lasts; it can be saved then, not run.
    """
    model = gates.model
    parent_path, _, name = gates.layers_path.rpartition(".")
    parent = model.get_submodule(parent_path)
    former, former_config = getattr(parent, name), model.config
    try:
        setattr(parent, name, nn.ModuleList(former[i] for i in layers.kept))
        model.config = config
        yield
    finally:
        setattr(parent, name, former)
        model.config = former_config


def check_structure(gates: Gates, layers: Layers, config: Any) -> None:
    """Refuse a configuration whose model is not the original without the removed layers.

    It is built without weights. Names and shapes of all weights have to be those that stay, and
    each layer has to consist of the same modules with the same settings as before: a window that is
    longer than any test would change no logits in one.

    Parameters
    ----------
    gates : Gates
        Of the original.
    layers : Layers
        Which stay.
    config : transformers.PretrainedConfig
        The new configuration.

    Raises
    ------
    InputError
        If anything differs; names it.
    """
    model: Any = gates.model
    try:
        getattr(config, "validate", lambda: None)()  # as it will be when it is saved
        with torch.device("meta"):
            smaller = type(model)._from_config(config)
    except Exception as error:  # whatever a configuration's own checks raise
        raise InputError(
            f"{type(model).__name__} cannot be built with the layers that stay"
            f" ({' '.join(str(error).split()):.200}); remove other blocks."
        ) from error
    for new, old in enumerate(layers.kept):
        _compare_layers(
            gates, old, new, config, smaller.get_submodule(f"{gates.layers_path}.{new}")
        )
    with without_layers(gates, layers, config):
        wanted = {key: value.shape for key, value in model.state_dict().items()}
    found = {key: value.shape for key, value in smaller.state_dict().items()}
    for key in sorted(wanted.keys() | found.keys()):
        if wanted.get(key) != found.get(key):
            raise InputError(
                f"without these layers {key} of {type(model).__name__} would be"
                f" {_shape(found.get(key))}, but it is {_shape(wanted.get(key))}; this architecture"
                " cannot be pruned so."
            )


def _compare_layers(gates: Gates, old: int, new: int, config: Any, built: nn.Module) -> None:
    """Refuse a layer that would be another one under its new number."""
    start = f"layers.{old} of {type(gates.model).__name__}, which becomes layers.{new}, would have"
    end = "; the configuration cannot say what stays, so remove other blocks."
    modules = dict(built.named_modules())
    for path, module in gates.layers[old].named_modules():
        other = modules.get(path)
        if other is None or type(other) is not type(module):
            raise InputError(
                f"{start} a {type(other).__name__} where it has a {type(module).__name__}"
                f" ({path or 'the layer itself'}){end}"
            )
        settings, others = _settings(module), _settings(other)
        for name in settings.keys() & others.keys():
            before, after = settings[name], others[name]
            is_number = (before, after) == (old, new)
            is_copied = isinstance(after, list) and after == getattr(config, name, None)
            if before != after and not is_number and not is_copied:
                raise InputError(
                    f"{start} {name} {format_value(after)} instead of {format_value(before)} in"
                    f" {path or 'it'}{end}"
                )


def _settings(module: nn.Module) -> dict[str, Any]:
    return {
        name: value
        for name, value in vars(module).items()
        if not name.startswith("_")
        and name != "training"
        and isinstance(value, bool | int | float | str | list | tuple | None)
    }


def _shape(shape: torch.Size | None) -> str:
    return "missing" if shape is None else f"of shape {tuple(shape)}"
