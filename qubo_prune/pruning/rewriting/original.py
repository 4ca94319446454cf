"""The folder that a model is rewritten from: its weights' names, its configuration, its layers."""

from __future__ import annotations

import importlib
import re
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from qubo_prune.core.errors import InputError
from qubo_prune.hessians.gates.gates import Gates
from qubo_prune.hessians.language_model import describe_as, listed, model_folder, said_of
from qubo_prune.pruning.removal.config_rules import Layers
from qubo_prune.pruning.rewriting.layer_names import LayerNames, lists_of_layers
from qubo_prune.pruning.rewriting.quantization import FILES, SETTINGS, base_names
from qubo_prune.pruning.rewriting.unloaded_model import (
    Report,
    gates_without_weights,
    load_config,
    loading_report,
    without_quantization,
)
from qubo_prune.pruning.rewriting.weight_files import StoredTensor, WeightFiles, read_weight_files

_COMMIT = re.compile(r"[0-9a-f]{40}")


@dataclass(frozen=True)
class Original:
    """The folder of the original.

    Attributes
    ----------
    folder : Path
        Where it is.
    weights : WeightFiles
        Its weights.
    config, plain_config : transformers.PretrainedConfig
        Its configuration, and that without quantisation.
    is_quantized : bool
        Whether its weights are quantised.
    gates : Gates
        The layers of its model.
    report : Report
        What loading its weights would report.
    surplus : frozenset of str
        Stored tensors that the model does not use.
    """

    folder: Path
    weights: WeightFiles
    config: Any
    plain_config: Any
    is_quantized: bool
    gates: Gates
    report: Report
    surplus: frozenset[str]

    @classmethod
    def read(
        cls, name: str, revision: str | None, layers: str | None, trust_remote_code: bool
    ) -> Original:
        """Read all but the weights, and find out whether they are those of the model."""
        folder = model_folder(name, revision=revision)
        weights = read_weight_files(folder)
        with said_of(name):
            config = load_config(folder, trust_remote_code=trust_remote_code)
        plain = without_quantization(config)
        gates = gates_without_weights(plain, layers=layers, trust_remote_code=trust_remote_code)
        is_quantized = _is_quantized(config) or any((folder / each).exists() for each in FILES)
        report = report_of(gates, plain, weights.tensors, is_quantized)
        surplus = _unused_tensors(name, gates, weights.tensors, report, is_quantized)
        return cls(folder, weights, config, plain, is_quantized, gates, report, surplus)

    @property
    def tensors(self) -> dict[str, StoredTensor]:
        """The stored tensors that the model uses."""
        return {
            name: each for name, each in self.weights.tensors.items() if name not in self.surplus
        }

    def names_for(self, kept: Layers) -> LayerNames:
        """Return how the names of the tensors follow.

        Which of the numbered lists are the layers, and that their numbers are those of the model's,
        shows when the tensors of the removed layers are left out: just those are missing then.

        Raises
        ------
        InputError
            If no list of names is that of the layers.
        """
        path = self.gates.layers_path
        gone = [f"{path}.{i}." for i in range(kept.number) if i not in kept.kept]
        last = path.rpartition(".")[2]
        lists = lists_of_layers(self.tensors, kept.number)
        for stored in sorted(lists, key=lambda each: each.rpartition(".")[2] != last):
            names = LayerNames(stored, path, kept)
            left = {name: t for name, t in self.tensors.items() if names.renamed(name) is not None}
            missing = (
                report_of(self.gates, self.plain_config, left, self.is_quantized).missing
                - self.report.missing
            )
            if all(key.startswith(tuple(gone)) for key in missing) and all(
                any(key.startswith(each) for key in missing) for each in gone
            ):
                return names
        raise InputError(
            f"the tensors of {self.folder} are not named by the layers of {path} in a way that is"
            " known here; leave out --without-loading."
        )

    def described(self, name: str) -> dict[str, Any]:
        """Return what the record says of the original."""
        dtype = str(getattr(self.config, "dtype", None) or _main_type(self.weights.tensors))
        model: Any = self.gates.model
        described = describe_as(name, model, dtype=dtype.removeprefix("torch."), fingerprint=None)
        if self.surplus:
            described["surplus_weights"] = sorted(self.surplus)
        if self.folder.parent.name == "snapshots" and _COMMIT.fullmatch(self.folder.name):
            described["model_revision"] = self.folder.name
        return described


def is_quantized_model(name: str, *, revision: str | None, trust_remote_code: bool) -> bool:
    """Whether the configuration of a folder or of a model on the hub says that its weights are
    quantised.
    """
    transformers = importlib.import_module("transformers")  # its functions carry no types
    with said_of(name):
        config = transformers.AutoConfig.from_pretrained(
            name, revision=revision, trust_remote_code=trust_remote_code
        )
    return _is_quantized(config)


def _is_quantized(config: Any) -> bool:
    """Whether a configuration says that the weights are quantised."""
    texts = (config, config.get_text_config(decoder=True))
    return any(getattr(each, key, None) for each in texts for key in SETTINGS)


def report_of(
    gates: Gates, config: Any, tensors: Mapping[str, StoredTensor], is_quantized: bool
) -> Report:
    """Return what loading these tensors into a model would report."""
    bases = base_names(tensors) if is_quantized else {name: name for name in tensors}
    shapes = {base: (tensors[name].dtype, tensors[name].shape) for name, base in bases.items()}
    return loading_report(gates.model, config, shapes)


def _unused_tensors(
    name: str,
    gates: Gates,
    tensors: Mapping[str, StoredTensor],
    report: Report,
    is_quantized: bool,
) -> frozenset[str]:
    """Return the stored tensors that the model does not use, and warn of them; refuse weights that
    are not all there or of another size.
    """
    extras = {key for key in report.unexpected if is_quantized and _is_beside(key, report.missing)}
    lacking = sorted(
        key for key in report.missing if not any(_is_beside(extra, {key}) for extra in extras)
    )
    if lacking:
        raise InputError(
            f"the checkpoint of {name!r} lacks {listed(lacking)}, which would be random; correct"
            " its config.json (num_hidden_layers?) or complete the weights."
        )
    if report.mismatched and not is_quantized:
        key, found, wanted = min(report.mismatched)
        raise InputError(
            f"the checkpoint of {name!r} holds {key} of size {found}, but its config.json asks for"
            f" {wanted} ({len(report.mismatched)} such in all); correct one of them."
        )
    unused = report.unexpected - extras
    surplus = {each for each in tensors if names_in_model(each, gates) & unused}
    left = unused - {key for each in surplus for key in names_in_model(each, gates)}
    if left:
        raise InputError(
            f"the checkpoint of {name!r} holds {listed(sorted(left))}, under another name, which"
            " the model as configured does not use; leave out --without-loading."
        )
    surplus |= {
        each
        for each in tensors
        for path in lists_of_layers(tensors, len(gates))
        if (layer := LayerNames(path, path, Layers((), len(gates))).layer_of(each)) is not None
        and layer >= len(gates)
        and path.rpartition(".")[2] == gates.layers_path.rpartition(".")[2]
    }
    if surplus:
        warnings.warn(
            f"the checkpoint of {name!r} holds {listed(sorted(surplus))}, which the model as"
            " configured does not use; it is not copied",
            UserWarning,
            stacklevel=2,
        )
    return frozenset(surplus)


def _is_beside(extra: str, missing: set[str] | frozenset[str]) -> bool:
    """Whether a tensor may be a part of a quantised weight that is not there under its own name."""
    return any(
        extra.startswith((f"{key.rpartition('.')[0]}.", f"{key}_", f"{key}.")) for key in missing
    )


def names_in_model(stored: str, gates: Gates) -> set[str]:
    """Return the names that a stored tensor may have in the model."""
    model: Any = gates.model
    prefix = f"{model.base_model_prefix}."
    return {stored, prefix + stored, stored.removeprefix(prefix)}


def _main_type(tensors: Mapping[str, StoredTensor]) -> str:
    sizes: dict[str, int] = {}
    for each in tensors.values():
        sizes[each.dtype] = sizes.get(each.dtype, 0) + each.size
    return max(sizes, key=sizes.__getitem__)
