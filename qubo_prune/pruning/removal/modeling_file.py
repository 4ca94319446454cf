"""A model without some branches of its layers: the modelling file that loads it, and its settings.

No loader of the library can leave out a branch of one layer, so the weights come with a class that
builds the model as it was and puts modules without weights in the place of those that went.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from pathlib import Path
from string import Template
from typing import Any

from torch import nn

from qubo_prune.core.errors import InputError
from qubo_prune.hessians.gates.branches import count_parameters
from qubo_prune.hessians.gates.gates import Gates
from qubo_prune.hessians.gates.probes import random_tokens
from qubo_prune.pruning.measuring.skipping import Skipper
from qubo_prune.pruning.saving import CODE

__all__ = ["MissingModules", "find_missing"]

_TEMPLATE = Template('''\
"""$model without some branches of its layers; written by qubo-prune.

The settings in config.json name the modules that are missing. Each is replaced by one that adds
nothing and has no weights.
"""

import torch
from torch import nn
from transformers import $config, $model
from transformers.cache_utils import Cache


class PrunedConfig($config):
    model_type = "$type"


class Missing(nn.Module):
    """Returns zeros in the form in which the module in its place returned its result."""

    def __init__(self, module, returns, keeps):
        super().__init__()
        self.returns, self.keeps = returns, keeps
        self.size = module.out_features if isinstance(module, nn.Linear) else None
        for name, value in vars(module).items():  # layers may read such as layer_idx
            if isinstance(value, (bool, int, float, str)) and name != "training":
                setattr(self, name, value)
        for name in module._non_persistent_buffers_set:  # or models may set, as Falcon-H1 does
            self.register_buffer(name, getattr(module, name), persistent=False)

    def forward(self, *args, **kwargs):
        values = (*args, *kwargs.values())
        given = next(value for value in values if isinstance(value, torch.Tensor))
        cache = next((value for value in values if isinstance(value, Cache)), None)
        if cache is not None and self.keeps == "keys":  # positions are counted by the cache
            keys = given.new_zeros(given.shape[0], 1, given.shape[1], 1)
            cache.update(keys, keys, self.layer_idx)
        elif cache is not None and self.keeps == "state":
            cache.update_conv_state(given.new_zeros(given.shape[0], 1, 1), self.layer_idx)
        shape = given.shape if self.size is None else (*given.shape[:-1], self.size)
        zeros = given.new_zeros(shape)
        return (zeros, *[None] * (self.returns - 1)) if self.returns else zeros


class PrunedForCausalLM($model):
    config_class = PrunedConfig

    def __init__(self, config):
        super().__init__(config)
        for path, form in config.missing_modules.items():
            parent, _, name = path.rpartition(".")
            parent = self.get_submodule(parent)
            setattr(parent, name, Missing(getattr(parent, name), **form))

    @classmethod
    def is_custom_code(cls):  # all other modules are the library's, which initialises them
        return False
''')


class MissingModules:
    """The modules of branches that go, in a model.

    Parameters
    ----------
    model : torch.nn.Module
        The model.
    forms : dict
        For each module what stands in its place gets as arguments.

    Attributes
    ----------
    modules : tuple of torch.nn.Module
        All of them.
    num_parameters : int
        How many parameters go with them.
    """

    def __init__(self, model: nn.Module, forms: dict[nn.Module, dict[str, Any]]) -> None:
        self._model = model
        self._forms = forms
        self.modules = tuple(forms)
        self.num_parameters = count_parameters(self.modules)

    def __bool__(self) -> bool:
        return bool(self.modules)

    @contextlib.contextmanager
    def taken_out(self) -> Iterator[dict[str, dict[str, Any]]]:
        """Have the model hold nothing in their places while the context lasts, which gets their
        paths; it can be saved then, not run.
        """
        places = {
            path: module for path, module in self._model.named_modules() if module in self._forms
        }
        with contextlib.ExitStack() as stack:
            for path, module in places.items():
                parent_path, _, name = path.rpartition(".")
                parent = self._model.get_submodule(parent_path)
                setattr(parent, name, nn.Identity())
                stack.callback(setattr, parent, name, module)
            yield {path: self._forms[module] for path, module in places.items()}

    def write_code(self, folder: Path, places: dict[str, dict[str, Any]]) -> None:
        """Write the modelling file, and into the configuration what leads to it."""
        model: Any = self._model
        path = folder / "config.json"
        settings = json.loads(path.read_text("utf-8"))
        settings["model_type"] = f"pruned_{settings['model_type']}"
        settings["architectures"] = ["PrunedForCausalLM"]
        module = CODE.removesuffix(".py")
        settings["auto_map"] = {
            "AutoConfig": f"{module}.PrunedConfig",
            "AutoModelForCausalLM": f"{module}.PrunedForCausalLM",
        }
        settings["missing_modules"] = places
        path.write_text(json.dumps(settings, indent=2) + "\n", "utf-8")
        code = _TEMPLATE.substitute(
            model=type(model).__name__,
            config=type(model.config).__name__,
            type=settings["model_type"],
        )
        (folder / CODE).write_text(code, "utf-8")


def find_missing(gates: Gates, branches: tuple[int, ...]) -> MissingModules:
    """Return the modules that belong to some branches only.

    Raises
    ------
    InputError
        If the model brings its own code, or nothing can stand in for a branch.
    """
    model: Any = gates.model
    if not branches:
        return MissingModules(model, {})
    if not type(model).__module__.startswith("transformers."):
        raise InputError(
            f"{type(model).__name__} brings its own code, which a modelling file of prune cannot"
            " build on; choose branches zero."
        )
    if model.config.get_text_config(decoder=True) is not model.config:
        raise InputError(
            f"the configuration of {type(model).__name__} holds that of its text model inside,"
            " which a modelling file of prune cannot build on; choose branches zero."
        )
    skipper = Skipper(gates, random_tokens(model))
    forms: dict[nn.Module, dict[str, Any]] = {}
    for block in branches:
        gate = gates.gates[block]
        keeps = "keys" if gate.kind == "attention" else "state"
        for module in (*gates.ends[block], *skipper.left_out_inside(block)):
            returns = skipper.returns(module)
            if returns is None:
                raise InputError(
                    f"nothing can stand in for {gate.name}, whose {type(module).__name__} returns"
                    " what has another shape than its input; choose branches zero."
                )
            mixes = gate.kind not in ("mlp", "moe") and hasattr(module, "layer_idx")
            forms[module] = {"returns": returns, "keeps": keeps if mixes else None}
    return MissingModules(model, forms)
