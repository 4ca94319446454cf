"""The model that a folder describes, without its weights: its layers, and what loading the weights
would report.
"""

from __future__ import annotations

import copy
import importlib
import logging
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from qubo_prune.core.errors import InputError
from qubo_prune.hessians.gates.branches import count_parameters
from qubo_prune.hessians.gates.gates import Gate, Gates
from qubo_prune.hessians.gates.layers import find_layers
from qubo_prune.pruning.rewriting.quantization import SETTINGS

_TORCH_TYPES = {
    "F64": torch.float64, "F32": torch.float32, "F16": torch.float16, "BF16": torch.bfloat16,
}  # fmt: skip


def load_config(folder: Path, *, trust_remote_code: bool) -> Any:
    """Return the configuration of a folder."""
    transformers = importlib.import_module("transformers")  # its functions carry no types
    return transformers.AutoConfig.from_pretrained(
        folder, trust_remote_code=trust_remote_code, local_files_only=True
    )


def without_quantization(config: Any) -> Any:
    """Return a copy of a configuration that says nothing of quantised weights."""
    plain = copy.deepcopy(config)
    for each in (plain, plain.get_text_config(decoder=True)):
        for key in SETTINGS:
            vars(each).pop(key, None)
    return plain


def gates_without_weights(
    config: Any, *, layers: str | None = None, trust_remote_code: bool = False
) -> Gates:
    """Return the decoder layers of the model that a configuration describes.

    The model has the names and shapes of its weights, no values; it cannot be run.

    Parameters
    ----------
    config : transformers.PretrainedConfig
        Without quantisation.
    layers : str, optional
        Dotted path of the decoder layers; found if not given.
    trust_remote_code : bool
        Run Python code that comes with the model.

    Raises
    ------
    InputError
        If the model cannot be built, or its layers are not found or share weights.
    """
    transformers = importlib.import_module("transformers")
    try:
        with torch.device("meta"):
            model = transformers.AutoModelForCausalLM.from_config(
                config, trust_remote_code=trust_remote_code
            )
    except Exception as error:  # whatever a configuration's own checks raise
        raise InputError(
            f"the model of type {config.model_type!r} cannot be built without weights"
            f" ({type(error).__name__}: {' '.join(str(error).split()):.300}); check its"
            " configuration and --trust-remote-code, or leave out --without-loading."
        ) from error
    path, found = find_layers(model.eval(), layers)
    gates = [
        Gate(f"layers.{i}", _kind(layer), i, count_parameters([layer]), "block")
        for i, layer in enumerate(found)
    ]
    return Gates(
        model,
        gates,
        [(layer,) for layer in found],
        granularity="block",
        layers_path=path,
        layers=found,
    )


def _kind(layer: nn.Module) -> str:
    """Return what a layer of one branch is, by what it consists of; ``layer`` for several."""
    parts = [
        child for child in layer.children() if any(each.ndim > 1 for each in child.parameters())
    ]
    if len(parts) != 1:
        return "layer"
    modules = list(parts[0].modules())
    own = {name for each in modules for name, _ in each.named_parameters(recurse=False)}
    if "A_log" in own:
        return "mamba" if "D" in own else "linear_attention"
    if any(isinstance(each, nn.Conv1d) for each in modules):
        return "conv"
    if any(isinstance(each, nn.ModuleList) and len(each) > 1 for each in modules) or any(
        each.ndim > 2 for each in parts[0].parameters()
    ):
        return "moe"
    return (
        "attention" if hasattr(parts[0], "layer_idx") and hasattr(parts[0], "head_dim") else "mlp"
    )


@dataclass(frozen=True)
class Report:
    """What transformers says of weights when it loads them.

    Attributes
    ----------
    missing, unexpected : frozenset of str
        Names in the model.
    mismatched : frozenset of (str, tuple of int, tuple of int)
        Names with the shape that is stored and that of the model.
    """

    missing: frozenset[str]
    unexpected: frozenset[str]
    mismatched: frozenset[tuple[str, tuple[int, ...], tuple[int, ...]]]


def loading_report(
    model: Any, config: Any, shapes: Mapping[str, tuple[str, Sequence[int]]]
) -> Report:
    """Return what loading weights of these types and shapes would report, by loading weights that
    have no values, so that whatever transformers renames, fuses or splits is what it is.

    Parameters
    ----------
    model : transformers.PreTrainedModel
        Of the class that is meant.
    config : transformers.PretrainedConfig
        Without quantisation.
    shapes : mapping
        For each stored tensor its type, as safetensors names it, and its shape.
    """
    weights = {
        name: torch.empty(tuple(shape), dtype=_TORCH_TYPES.get(dtype, torch.uint8), device="meta")
        for name, (dtype, shape) in shapes.items()
    }
    with _silent():
        _, report = type(model).from_pretrained(
            None,
            config=copy.deepcopy(config),
            state_dict=weights,
            dtype=model.dtype,
            device_map="meta",
            output_loading_info=True,
            ignore_mismatched_sizes=True,
        )
    return Report(
        frozenset(report["missing_keys"]),
        frozenset(report["unexpected_keys"]),
        frozenset(
            (name, tuple(stored), tuple(wanted))
            for name, stored, wanted in report["mismatched_keys"]
        ),
    )


@contextmanager
def _silent() -> Iterator[None]:
    """Keep reports and progress bars of transformers to itself: what they say is refused here."""
    library = importlib.import_module("transformers").utils.logging
    verbosity, is_shown = library.get_verbosity(), library.is_progress_bar_enabled()
    library.set_verbosity(logging.CRITICAL)
    library.disable_progress_bar()
    try:
        yield
    finally:
        library.set_verbosity(verbosity)
        if is_shown:
            library.enable_progress_bar()
