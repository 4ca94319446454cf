"""One Hessian from those that several machines computed from shards of one calibration."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from qubo_prune.core.errors import InputError
from qubo_prune.core.files.gradients import gradients_path, load_gradients, save_gradients
from qubo_prune.core.files.hessian import HessianFile, load_hessian, save_hessian
from qubo_prune.core.text import format_value
from qubo_prune.core.validation import as_count, as_finite_float

__all__ = ["merge_hessians"]

_AGREE = (
    *("model_fingerprint", "model", "names", "kinds", "parameter_counts", "granularity", "gates"),
    *("dtype", "calibration"),
)
"""Entries of the sidecars that shards must have in common: of ``gates`` the method, and ``model``,
which may be a folder, only without a fingerprint.
"""

_COMBINED = ("samples", "mean_gradient", "loss", "sample_indices", "shard", "sequence_length")
_FILLED_IN = ("format_version", "sha256")


class _Shard(NamedTuple):
    file: HessianFile
    number: int
    of: int
    samples: int
    sample_indices: NDArray[np.int64]


def merge_hessians(
    shards: Sequence[str | os.PathLike[str] | HessianFile],
    out: str | os.PathLike[str],
    *,
    allow_partial: bool = False,
) -> HessianFile:
    """Merge the Hessians of the shards of one calibration.

    ``H = sum_k m_k H_k / sum_k m_k`` over shards of m_k samples is the Hessian of all samples
    together (paper, equation 6), up to rounding. Mean gradients and losses are weighed alike;
    per-sample gradients are concatenated where every shard has them. The order in which shards are
    given does not matter.

    Parameters
    ----------
    shards : sequence of str, path or HessianFile
        Files with sidecars that say ``samples``, ``sample_indices`` and ``shard``, as `qubo-prune
        extract --shard` writes them.
    out : str or path
        The ``.npy`` file to write; the sidecar, and ``.grads.npy`` if there is one, go beside it.
    allow_partial : bool
        Whether shards may be missing; the sidecar then says which.

    Returns
    -------
    HessianFile
        What was written.

    Raises
    ------
    InputError
        If the shards are not of one calibration of one model, overlap, or some are missing.

    Examples
    --------
    >>> import tempfile
    >>> from qubo_prune.hessians import save_hessian
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     files = [f"{folder}/{i}.npy" for i in (1, 2)]
    ...     first, second = {"index": 1, "of": 2}, {"index": 2, "of": 2}
    ...     save_hessian(files[0], [[2.0]], samples=3, sample_indices=[4, 0, 7], shard=first)
    ...     save_hessian(files[1], [[6.0]], samples=1, sample_indices=[5], shard=second)
    ...     merge_hessians(files, f"{folder}/all.npy").hessian.tolist()
    [[3.0]]
    """
    if not shards:
        raise InputError("no shards are given to merge; name their .npy files.")
    found = sorted((_as_shard(each) for each in shards), key=lambda shard: shard.number)
    _check_agreement(found)
    missing = _check_shards(found, allow_partial)
    weights = np.array([shard.samples for shard in found], np.float64)
    gradients = _gradients(found)
    entries = _merged_entries(found, weights)
    entries["merged_from"] = [_provenance(shard, entries) for shard in found]
    if missing:
        entries["missing_shards"] = missing
    out = Path(out)
    matrices = [np.asarray(shard.file.hessian, np.float64) for shard in found]
    save_hessian(out, _mean(matrices, weights), **entries)
    if gradients is not None:
        save_gradients(gradients_path(out), gradients)
    else:
        # Those of an earlier Hessian of this name would be taken for this one's.
        gradients_path(out).unlink(missing_ok=True)
    return load_hessian(out)


def _as_shard(given: str | os.PathLike[str] | HessianFile) -> _Shard:
    file = given if isinstance(given, HessianFile) else load_hessian(given)
    metadata = file.metadata
    for key in ("samples", "sample_indices", "shard"):
        if metadata.get(key) is None:
            raise InputError(
                f"{file.path} cannot be merged: its sidecar has no {key!r}; extract it with --shard"
                " I/N."
            )
    samples = as_count(metadata["samples"], f"samples of {file.path}")
    shard = metadata["shard"]
    if not isinstance(shard, Mapping) or not {"index", "of"} <= set(shard):
        raise InputError(
            f"the shard of {file.path} must say index and of, not {format_value(shard)}; extract it"
            " again."
        )
    index = as_count(shard["index"], f"the shard index of {file.path}")
    of = as_count(shard["of"], f"the number of shards of {file.path}")
    if not 1 <= index <= of:
        raise InputError(
            f"{file.path} says that it is shard {index} of {of}; shards are counted from 1, extract"
            " it again."
        )
    indices = metadata["sample_indices"]
    if not isinstance(indices, list) or len(indices) != samples:
        raise InputError(
            f"{file.path} must list one sample index for each of its {samples} samples, not"
            f" {format_value(indices)}; extract it again."
        )
    numbers = [as_count(each, f"a sample index of {file.path}") for each in indices]
    return _Shard(file, index, of, samples, np.array(numbers, np.int64))


def _check_agreement(shards: Sequence[_Shard]) -> None:
    first = shards[0].file
    for other in (shard.file for shard in shards[1:]):
        for key in _AGREE:
            one, another = _comparable(first, key), _comparable(other, key)
            if one == another:
                continue
            if isinstance(one, Mapping) and isinstance(another, Mapping):
                inner = next(
                    each for each in {**one, **another} if one.get(each) != another.get(each)
                )
                one, another = one.get(inner), another.get(inner)
                key = f"{key}.{inner}"  # noqa: PLW2901
            raise InputError(
                f"{first.path} and {other.path} are not shards of one extraction: {key} is"
                f" {format_value(one)} in one and {format_value(another)} in the other; merge"
                " shards of the same model and calibration."
            )
        if other.num_blocks != first.num_blocks:
            raise InputError(
                f"{first.path} has {first.num_blocks} blocks and {other.path} {other.num_blocks};"
                " merge shards of the same model."
            )


def _comparable(file: HessianFile, key: str) -> Any:
    value = file.metadata.get(key)
    if key == "model" and file.metadata.get("model_fingerprint") is not None:
        return None
    # The rest of the gates' entry are the results of self-tests, which differ in rounding between
    # machines.
    return value.get("method") if key == "gates" and isinstance(value, Mapping) else value


def _check_shards(shards: Sequence[_Shard], allow_partial: bool) -> list[int]:
    """Return the numbers of the shards that are missing."""
    of = shards[0].of
    owner: dict[int, _Shard] = {}
    for shard in shards:
        if shard.of != of:
            raise InputError(
                f"{shards[0].file.path} is one of {of} shards and {shard.file.path} one of"
                f" {shard.of}; merge shards of one split."
            )
        if shard.number in owner:
            raise InputError(
                f"{owner[shard.number].file.path} and {shard.file.path} are both shard"
                f" {shard.number} of {of}; give each shard once."
            )
        owner[shard.number] = shard
    every = np.concatenate([shard.sample_indices for shard in shards])
    values, counts = np.unique(every, return_counts=True)
    if len(values) < len(every):
        twice = int(values[counts > 1][0])
        raise InputError(
            f"sample {twice} is in the shards more than once, and {len(every) - len(values)} such"
            " repetitions are there in all; extract the shards with the same seed and data."
        )
    missing = [index for index in range(1, of + 1) if index not in owner]
    if missing and not allow_partial:
        raise InputError(
            f"of {of} shards {len(missing)} are missing, number {', '.join(map(str, missing))}; "
            "give them too, or allow a partial merge (--allow-partial)."
        )
    return missing


def _merged_entries(shards: Sequence[_Shard], weights: NDArray[np.float64]) -> dict[str, Any]:
    metadata = [shard.file.metadata for shard in shards]
    entries = {
        key: value
        for key, value in metadata[0].items()
        if key not in (*_COMBINED, *_FILLED_IN)
        and all(each.get(key) == value for each in metadata[1:])
    }
    entries |= {key: metadata[0].get(key) for key in ("model", "gates")}
    entries["samples"] = int(sum(shard.samples for shard in shards))
    entries["sample_indices"] = np.concatenate([shard.sample_indices for shard in shards])
    gradients = [shard.file.mean_gradient for shard in shards]
    if all(gradient is not None for gradient in gradients):
        entries["mean_gradient"] = _mean([np.asarray(each) for each in gradients], weights)
    lengths = [each.get("sequence_length") for each in metadata]
    if all(length is not None for length in lengths):
        entries["sequence_length"] = max(as_count(each, "sequence_length") for each in lengths)
    if all(each.get("loss") is not None for each in metadata):
        losses = [
            np.array(as_finite_float(shard.file.metadata["loss"], f"loss of {shard.file.path}"))
            for shard in shards
        ]
        entries["loss"] = float(_mean(losses, weights))
    return {key: value for key, value in entries.items() if value is not None}


def _provenance(shard: _Shard, merged: Mapping[str, Any]) -> dict[str, Any]:
    """Return what identifies a shard, and what its sidecar says that the merged one does not."""
    own = {
        key: value
        for key, value in shard.file.metadata.items()
        if key not in merged and key not in (*_COMBINED, *_FILLED_IN)
    }
    return {
        "index": shard.number,
        "of": shard.of,
        "samples": shard.samples,
        "sha256": shard.file.sha256,
        **own,
    }


def _mean(
    values: Sequence[NDArray[np.float64]], weights: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Return the weighted mean, added up in the order of the shards."""
    total = np.zeros_like(values[0])
    for value, weight in zip(values, weights, strict=True):
        total = total + weight * value
    return np.asarray(total / weights.sum())


def _gradients(shards: Sequence[_Shard]) -> NDArray[np.float64] | None:
    paths = [gradients_path(shard.file.path) for shard in shards]
    if not all(path.exists() for path in paths):
        return None
    rows = [
        load_gradients(path, shard.file.num_blocks)
        for path, shard in zip(paths, shards, strict=True)
    ]
    for path, shard, each in zip(paths, shards, rows, strict=True):
        if len(each) != shard.samples:
            raise InputError(
                f"{path} has {len(each)} rows, but the sidecar of {shard.file.path} counts"
                f" {shard.samples} samples; put matching files together."
            )
    return np.concatenate(rows)
