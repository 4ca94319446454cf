"""Measurements on disk, and one file from those that several machines made of shards."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from qubo_prune.core.errors import InputError
from qubo_prune.core.files.disk import read_file, write_atomically
from qubo_prune.core.files.strict_json import Reader, as_index_lists, as_integer, as_integers
from qubo_prune.core.text import format_blocks, format_value
from qubo_prune.pruning.objective import Measurement

__all__ = ["MeasurementFile", "load_measurements", "merge_measurements", "save_measurements"]

FORMAT_VERSION = 1

_ARRAYS = {"values": "float64"}

_AGREE = (
    *("objective", "model_fingerprint", "model_class", "names", "kinds", "granularity"),
    *("dtype", "calibration"),
)
"""What shards must have in common."""


@dataclass(frozen=True, eq=False)
class MeasurementFile:
    """What a file of measurements holds.

    Attributes
    ----------
    description : dict
        As of `qubo_prune.pruning.measurement.ModelObjective.describe`.
    removals : tuple of tuple of int
        What was measured.
    values : (R, m) float64
        One row for each removal, one column for each sample; infinite or NaN where a loss was.
    """

    description: dict[str, Any]
    removals: tuple[tuple[int, ...], ...]
    values: NDArray[np.float64]

    @property
    def measurements(self) -> list[Measurement]:
        """The measurements, in the order of the file."""
        return [
            Measurement.of(removed, row)
            for removed, row in zip(self.removals, self.values, strict=True)
        ]


def save_measurements(
    path: str | os.PathLike[str], description: dict[str, Any], measurements: Iterable[Measurement]
) -> None:
    """Write measurements with their values per sample, completely or not at all.

    Parameters
    ----------
    path : str or path
        The file, which should end in ``.npz``; replaced if it is there.
    description : dict
        Of the objective that they were made with (`ModelObjective.describe`).
    measurements : iterable of Measurement
        One value per sample each.

    Raises
    ------
    InputError
        If the file cannot be written, or the measurements are not of the same samples.
    """
    rows = list(measurements)
    samples = int(description["samples"])
    for each in rows:
        if each.values.shape != (samples,):
            raise InputError(
                f"a measurement must have one value for each of {samples} samples, but that of the "
                f"removal of blocks {format_blocks(each.removed)} has {len(each.values)}; measure "
                "it with this objective."
            )
    _write(
        Path(path),
        description,
        [each.removed for each in rows],
        np.array([each.values for each in rows]).reshape(len(rows), samples),
    )


def load_measurements(path: str | os.PathLike[str]) -> MeasurementFile:
    """Read a file of measurements.

    Parameters
    ----------
    path : str or path
        As `save_measurements` or `merge_measurements` wrote it.

    Raises
    ------
    InputError
        If there is no such file, or it is damaged.
    """
    path = Path(path)
    reader = Reader(path, "file of measurements", "measure again")
    fields, arrays = reader.arrays(
        read_file(path), _ARRAYS, lambda fields: _most_bytes(fields, reader)
    )
    description = reader.as_object(fields.get("description"), "description")
    names = description.get("names")
    removals = reader.get(fields, "removals", as_index_lists)
    samples = reader.get(description, "samples", as_integer)
    if not isinstance(names, list) or arrays["values"].shape != (len(removals), samples):
        reader.fail(f"it does not hold {samples} values for each of {len(removals)} removals")
    if len(reader.get(description, "sample_indices", as_integers)) != samples:
        reader.fail(f"it does not list {samples} samples")
    reader.states(removals, len(names))  # refuses blocks that do not exist
    return MeasurementFile(description, tuple(map(tuple, removals)), arrays["values"])


def _most_bytes(fields: dict[str, Any], reader: Reader) -> dict[str, int]:
    """Return how many bytes the values may take."""
    reader.check_version(fields, FORMAT_VERSION)
    description = reader.as_object(fields.get("description"), "description")
    removals = reader.get(fields, "removals", as_index_lists)
    return {"values": 8 * len(removals) * max(0, reader.get(description, "samples", as_integer))}


def merge_measurements(
    shards: Sequence[str | os.PathLike[str]], out: str | os.PathLike[str]
) -> MeasurementFile:
    """Merge measurements of the same removals on all shards of one calibration.

    The values of each removal are put one after the other, so that means, errors and paired
    differences are those of all samples. The order in which shards are given does not matter.

    Parameters
    ----------
    shards : sequence of str or path
        Files of objectives that were made with ``shard=(i, n)``, all n of them.
    out : str or path
        The file to write.

    Returns
    -------
    MeasurementFile
        What was written.

    Raises
    ------
    InputError
        If the files are not all shards of one calibration of one model, or lack removals.
    """
    if not shards:
        raise InputError("no shards are given to merge; name their files.")
    paths = [Path(shard) for shard in shards]
    files = [load_measurements(path) for path in paths]
    numbers = [_shard_of(path, file) for path, file in zip(paths, files, strict=True)]
    _check_agreement(paths, files)
    of = numbers[0][1]
    if sorted(numbers) != [(number, of) for number in range(1, of + 1)]:
        given = ", ".join(f"{number} of {total}" for number, total in sorted(numbers))
        raise InputError(
            f"all {of} shards are needed once each, not {given}; give one file of each."
        )
    order = sorted(range(len(files)), key=lambda index: numbers[index])
    files = [files[index] for index in order]
    first = files[0]
    indices = [s for file in files for s in file.description["sample_indices"]]
    description = {k: v for k, v in first.description.items() if k not in {"shard", "batch_size"}}
    description |= {
        "samples": len(indices),
        "sample_indices": indices,
        "sequence_length": max(file.description["sequence_length"] for file in files),
    }
    rows = [dict(zip(file.removals, file.values, strict=True)) for file in files]
    values = np.array(
        [np.concatenate([row[removed] for row in rows]) for removed in first.removals]
    ).reshape(len(first.removals), len(indices))
    _write(Path(out), description, first.removals, values)
    return load_measurements(out)


def _shard_of(path: Path, file: MeasurementFile) -> tuple[int, int]:
    shard = file.description.get("shard")
    if not isinstance(shard, dict) or not {"index", "of"} <= set(shard):
        raise InputError(
            f"{path} does not say which shard it is; measure with shard=(i, n) of the samples."
        )
    return int(shard["index"]), int(shard["of"])


def _check_agreement(paths: Sequence[Path], files: Sequence[MeasurementFile]) -> None:
    first = files[0]
    for path, file in zip(paths[1:], files[1:], strict=True):
        for key in _AGREE:
            one, other = first.description.get(key), file.description.get(key)
            if one != other:
                raise InputError(
                    f"{paths[0]} and {path} are not shards of one objective: {key} is "
                    f"{format_value(one)} in one and {format_value(other)} in the other; merge "
                    "shards of the same model and calibration."
                )
        missing = set(first.removals) ^ set(file.removals)
        if missing:
            raise InputError(
                f"{paths[0]} and {path} do not hold the same removals, only one of them has that "
                f"of blocks {format_blocks(min(missing))}; measure the same list on every shard."
            )


def _write(
    path: Path,
    description: dict[str, Any],
    removals: Sequence[tuple[int, ...]],
    values: NDArray[np.float64],
) -> None:
    header = json.dumps(
        {
            "format_version": FORMAT_VERSION,
            "description": description,
            "removals": [list(removed) for removed in removals],
        },
        allow_nan=False,
    )
    arrays: dict[str, NDArray[Any]] = {
        "header": np.frombuffer(header.encode(), np.uint8),
        "values": np.asarray(values, np.float64),
    }
    write_atomically({path: lambda stream: np.savez(stream, allow_pickle=False, **arrays)})
