"""A pruned model written from the files of the original, tensor by tensor, in constant memory."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from qubo_prune.core.errors import InputError
from qubo_prune.core.text import format_value
from qubo_prune.hessians.gates.gates import find_gates
from qubo_prune.hessians.language_model import check_config, load_model
from qubo_prune.pruning.pruner import Pruned, write_record
from qubo_prune.pruning.removal.choice import Removal, choose
from qubo_prune.pruning.removal.config_rules import extra_settings, pruned_config
from qubo_prune.pruning.removal.cut import count_in_layers, find_cut, removed_kinds
from qubo_prune.pruning.removal.freed import Sizes, freed
from qubo_prune.pruning.removal.structure import check_structure
from qubo_prune.pruning.removal.verification import Expectation, Verification, fail
from qubo_prune.pruning.removal_lists.together import mergekit_slices
from qubo_prune.pruning.rewriting.layer_names import LayerNames
from qubo_prune.pruning.rewriting.original import Original, names_in_model, report_of
from qubo_prune.pruning.rewriting.quantization import SETTINGS, renumbered_settings
from qubo_prune.pruning.rewriting.small_files import CONFIG, copy_small_files
from qubo_prune.pruning.rewriting.unloaded_model import (
    Report,
    gates_without_weights,
    load_config,
    without_quantization,
)
from qubo_prune.pruning.rewriting.weight_files import StoredTensor, read_weight_files
from qubo_prune.pruning.rewriting.weight_writing import cut_into_shards, write_shards
from qubo_prune.pruning.saving import (
    checksums,
    new_folder,
    refuse_replacing,
    require_replaceable_folder,
    require_space,
    told_of,
)

__all__ = ["VERIFY", "prune_folder"]

VERIFY = ("files", "full")
"""What is checked before the folder gets its name: its files alone, or also what it computes."""


def prune_folder(
    model: str | os.PathLike[str],
    removal: Removal,
    out: str | os.PathLike[str],
    *,
    state: int = 0,
    layers: str | None = None,
    command: str | None = None,
    revision: str | None = None,
    trust_remote_code: bool = False,
    verify: str = "files",
    device_map: str | None = "auto",
    shard_size: int | None = None,
) -> Pruned:
    """Write a model's folder without some of its decoder layers, and load no weight of it.

    The safetensors files are copied tensor by tensor, a few megabytes at a time, as the bytes that
    they are, so that any model fits and quantised weights stay what they are; layers are renumbered
    in the names of the tensors, in the configuration and in the lists of modules of its
    quantisation. The folder gets its name only when it was read again: all bytes are those of the
    original, and transformers, given tensors of these names and shapes, finds none missing, left
    over or of another size in the model of the new configuration.

    Parameters
    ----------
    model : path or str
        A folder with safetensors files, or a name on the Hugging Face hub.
    removal, out, state, layers, command, trust_remote_code
        As of `qubo_prune.pruning.prune`. Code is copied only where it is trusted.
    revision : str, optional
        Branch, tag or commit on the hub.
    verify : str
        ``files``, or ``full`` to load both models as well, and compare what they compute.
    device_map : str, optional
        Where to load them.
    shard_size : int, optional
        Bytes of tensors a file; as in the original if not given.

    Returns
    -------
    Pruned

    Raises
    ------
    InputError
        If the folder is damaged or holds no safetensors files, or as of `qubo_prune.pruning.prune`.
    OutputError
        If the folder cannot be written.

    Examples
    --------
    >>> import tempfile, pytest
    >>> transformers = pytest.importorskip("transformers")
    >>> config = transformers.LlamaConfig(
    ...     vocab_size=64, hidden_size=16, intermediate_size=32, num_hidden_layers=4,
    ...     num_attention_heads=2, num_key_value_heads=2,
    ... )
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     transformers.LlamaForCausalLM(config).save_pretrained(f"{folder}/tiny")
    ...     pruned = prune_folder(f"{folder}/tiny", [1, 2], f"{folder}/smaller")
    ...     print(sorted(path.name for path in pruned.out.iterdir()))
    ['README.md', 'config.json', 'generation_config.json', 'model.safetensors', 'prune.json']
    >>> pruned.verification.num_tensors, pruned.verification.max_difference
    (21, None)
    """
    if verify not in VERIFY:
        raise InputError(f"verify must be one of {', '.join(VERIFY)}, not {verify!r}; choose one.")
    if shard_size is not None and shard_size < 1:
        raise InputError(f"shard_size must be at least 1 byte, not {shard_size}; leave it out.")
    target, name = Path(out), str(model)
    require_replaceable_folder(target)
    check_config(name, revision=revision, trust_remote_code=trust_remote_code)
    source = Original.read(name, revision, layers, trust_remote_code)
    refuse_replacing(target, source.folder)
    _refuse_inside(source.folder, target)
    gates, described = source.gates, source.described(name)
    bare: Any = gates.model
    choice = choose(removal, [gate.name for gate in gates.gates], state)
    kept = find_cut(gates, choice.removed).layers
    check_structure(gates, kept, pruned_config(source.plain_config, kept))
    names = source.names_for(kept)
    tensors = {
        new: tensor
        for old, tensor in source.tensors.items()
        if (new := names.renamed(old)) is not None
    }
    shards = cut_into_shards(tensors, shard_size or max(source.weights.sizes))
    predicted = bare.num_parameters() - count_in_layers(gates, choice.removed)
    require_space(target.resolve().parent, sum(shard.size for shard in shards))
    with new_folder(target) as folder:
        with told_of(target):
            _write_config(folder, source.config, names, with_code=trust_remote_code)
            copy_small_files(source.folder, folder, names, with_code=trust_remote_code)
            wanted = write_shards(folder, shards, source.weights.metadata)
            sums = checksums(folder)
        for file, expected in wanted.items():
            if sums[file] != expected:
                fail(f"{file} does not hold the bytes that were written")
        _check_written(source, names, folder, tensors, predicted, layers, trust_remote_code)
        verification, cache_before = Verification(predicted, None, None, len(tensors)), None
        if verify == "full":
            loaded = load_model(
                name, device_map=device_map, revision=revision, trust_remote_code=trust_remote_code
            )
            original = Expectation(find_gates(loaded, layers=layers), choice.removed, predicted)
            run = original.verify(folder, trust_remote_code=trust_remote_code)
            verification = replace(run, num_tensors=len(tensors))
            cache_before = original.cache_per_token
        pruned = Pruned(
            out=target,
            removed=choice.removed,
            removed_names=tuple(gates.gates[i].name for i in choice.removed),
            num_blocks=len(gates),
            granularity="block",
            layers_removed=choice.removed,
            branches=None,
            merge=None,
            kinds=removed_kinds(gates, choice.removed),
            num_parameters=predicted,
            num_parameters_before=bare.num_parameters(),
            freed=freed(
                Sizes(bare.num_parameters(), _size(source.tensors), cache_before),
                Sizes(predicted, _size(tensors), verification.cache_per_token),
            ),
            verification=verification,
            choice=choice.facts,
            command=command
            or f"python: prune_folder({name!r}, {list(choice.removed)}, {str(out)!r})",
            sha256=sums,
            described=described,
            mergekit=mergekit_slices(
                choice.removed,
                [gate.name for gate in gates.gates],
                str(described["model"]),
                described["dtype"],
            ),
        )
        write_record(pruned, folder)
    return pruned


def _size(tensors: Mapping[str, StoredTensor]) -> int:
    """Return the bytes of some stored tensors."""
    return sum(each.size for each in tensors.values())


def _refuse_inside(source: Path, target: Path) -> None:
    """Refuse a place in the folder of the original."""
    if source.resolve() in target.resolve().parents:
        raise InputError(
            f"{target} lies in {source}, the folder of the original; name one outside it."
        )


def _write_config(folder: Path, config: Any, names: LayerNames, *, with_code: bool) -> None:
    """Write the configuration of the layers that stay, with that of the quantisation; without code
    it names none.
    """
    smaller = pruned_config(config, names.layers)
    text = smaller.get_text_config(decoder=True)
    for each in (smaller,) if text is smaller else (smaller, text):
        for key in SETTINGS:
            settings = getattr(each, key, None)
            if settings is not None:
                plain = settings if isinstance(settings, dict) else settings.to_dict()
                setattr(each, key, renumbered_settings(plain, names))
    smaller.save_pretrained(folder)
    path = folder / CONFIG
    settings = json.loads(path.read_text("utf-8")) | extra_settings(smaller)
    if not with_code:
        settings.pop("auto_map", None)
    path.write_text(json.dumps(settings, indent=2) + "\n", "utf-8")


def _check_written(
    source: Original,
    names: LayerNames,
    folder: Path,
    tensors: Mapping[str, StoredTensor],
    num_parameters: int,
    layers: str | None,
    trust_remote_code: bool,
) -> None:
    """Hold a written folder against what it has to be: its tensors, and its configuration."""
    written = read_weight_files(folder).tensors
    for key in sorted(tensors.keys() | written.keys()):
        if _described(tensors.get(key)) != _described(written.get(key)):
            fail(
                f"{format_value(key)} is {_described(written.get(key))}, not"
                f" {_described(tensors.get(key))}"
            )
    config = load_config(folder, trust_remote_code=trust_remote_code)
    plain = without_quantization(config)
    gates = gates_without_weights(plain, layers=layers, trust_remote_code=trust_remote_code)
    bare: Any = gates.model
    number = bare.num_parameters()
    if number != num_parameters:
        fail(f"it has {number:,} parameters, but {num_parameters:,} are left")
    found = report_of(gates, plain, written, source.is_quantized)
    in_model = LayerNames(gates.layers_path, gates.layers_path, names.layers)
    expected = _report_renumbered(source, in_model)
    for what in ("missing", "unexpected", "mismatched"):
        wrong = getattr(found, what) ^ getattr(expected, what)
        if wrong:
            fail(f"loading it would report {what} keys ({min(map(str, wrong))}...)")


def _report_renumbered(source: Original, names: LayerNames) -> Report:
    """Return what loading the rest has to report: what the original does, but for surplus."""
    report = source.report
    missing = {names.renamed(key) for key in report.missing}
    unexpected = {
        names.renamed(key)
        for key in report.unexpected
        if not any(key in names_in_model(each, source.gates) for each in source.surplus)
    }
    mismatched = {
        (new, stored, wanted)
        for key, stored, wanted in report.mismatched
        if (new := names.renamed(key)) is not None
    }
    return Report(
        frozenset(key for key in missing if key is not None),
        frozenset(key for key in unexpected if key is not None),
        frozenset(mismatched),
    )


def _described(tensor: StoredTensor | None) -> str:
    return "missing" if tensor is None else f"{tensor.dtype} of shape {tensor.shape}"
