"""Hessian files: a ``.npy`` matrix, an optional ``.json`` sidecar, and those that come bundled.

The sidecar of ``name.npy`` is ``name.json``, an object with any of these keys: ``format_version``,
``description``, ``model``, ``names``, ``kinds``, ``parameter_counts`` (per block), ``granularity``,
``calibration``, ``samples``, ``sequence_length``, ``loss``, ``mean_gradient``, ``versions`` (of
libraries) and ``sha256`` (of the ``.npy`` file). Other keys are kept. What contradicts the matrix
is an error.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from qubo_prune.errors import InputError
from qubo_prune.files import read_array, read_file, write_atomically
from qubo_prune.text import format_value
from qubo_prune.validation import (
    as_count,
    as_gradient,
    as_hessian,
    as_labels,
    as_names,
    as_real_array,
    check_square,
)

__all__ = ["BundledHessian", "HessianFile", "bundled", "load_hessian", "save_hessian"]

FORMAT_VERSION = 1

_DATA = Path(__file__).with_name("data")
_MAGIC = b"\x93NUMPY"
_ZIP_MAGIC = b"PK\x03\x04"


@dataclass(frozen=True, eq=False)
class HessianFile:
    """What a Hessian file and its sidecar hold.

    Attributes
    ----------
    hessian : (N, N) array
        As in the file, of any real dtype; `Problem` checks its entries.
    names, kinds : tuple of str or None
        Name and kind of each block.
    mean_gradient : (N,) float64 or None
        Gradient of the loss with respect to the gates, averaged over the samples.
    metadata : dict
        The whole sidecar; empty without one.
    path : Path
        The ``.npy`` file.
    sha256 : str
        Hexadecimal SHA-256 of the ``.npy`` file.
    """

    hessian: NDArray[Any]
    names: tuple[str, ...] | None
    kinds: tuple[str, ...] | None
    mean_gradient: NDArray[np.float64] | None
    metadata: dict[str, Any]
    path: Path
    sha256: str

    @property
    def num_blocks(self) -> int:
        """Number of blocks, N."""
        return len(self.hessian)


@dataclass(frozen=True)
class BundledHessian:
    """A Hessian that comes with the package.

    Attributes
    ----------
    name : str
        What `load_hessian` and the command line know it by.
    path : Path
        Its ``.npy`` file.
    num_blocks : int
        N.
    kinds : dict
        Number of blocks of each kind.
    model : str
        The model that it was computed from.
    samples : int
        Number of calibration samples.
    description : str
        What it is, in one sentence.
    """

    name: str
    path: Path
    num_blocks: int
    kinds: dict[str, int]
    model: str
    samples: int
    description: str


def bundled() -> list[BundledHessian]:
    """Return the Hessians that come with the package, by name.

    Examples
    --------
    >>> [(hessian.name, hessian.num_blocks) for hessian in bundled()]
    [('bytelm-40-block', 40), ('bytelm-40-branch', 80)]
    """
    found = []
    for path in sorted(_DATA.glob("*.npy")):
        sidecar = json.loads(path.with_suffix(".json").read_bytes())
        kinds = sidecar["kinds"]
        found.append(
            BundledHessian(
                name=path.stem,
                path=path,
                num_blocks=len(kinds),
                kinds={kind: kinds.count(kind) for kind in dict.fromkeys(kinds)},
                model=sidecar["model"],
                samples=sidecar["samples"],
                description=sidecar["description"],
            )
        )
    return found


def load_hessian(source: str | os.PathLike[str]) -> HessianFile:
    """Read a Hessian and its sidecar, or a bundled one.

    Parameters
    ----------
    source : str or path
        A ``.npy`` file, or the name of a bundled Hessian where no such file exists.

    Returns
    -------
    HessianFile

    Raises
    ------
    InputError
        If there is no such file, it is not a readable square matrix of real numbers, or the
        sidecar contradicts it. Pickled objects are never loaded.

    Examples
    --------
    >>> file = load_hessian("bytelm-40-branch")
    >>> file.hessian.shape, file.names[1], file.kinds[1]
    ((80, 80), 'layers.0.mlp', 'mlp')
    """
    path = _find(source)
    data = read_file(path)
    if not data.startswith(_MAGIC):
        found = "a .npz archive" if data.startswith(_ZIP_MAGIC) else f"bytes {data[:6]!r} first"
        raise InputError(
            f"{path} is not a .npy file, it has {found}; "
            "save the (N, N) matrix alone with numpy.save or save_hessian."
        )
    what = f"the matrix in {path}"
    hessian = as_real_array(read_array(io.BytesIO(data), len(data), str(path)), what)
    check_square(hessian.shape, what)
    sha256 = hashlib.sha256(data).hexdigest()
    sidecar = path.with_suffix(".json")
    if not sidecar.exists():
        return HessianFile(hessian, None, None, None, {}, path, sha256)
    metadata = _read_sidecar(sidecar)
    claimed = metadata.get("sha256")
    if claimed not in (None, sha256):
        raise InputError(
            f"{sidecar} belongs to another matrix: its sha256 is {format_value(claimed)}, "
            f"that of {path.name} is '{sha256}'; put matching files together or delete the sidecar."
        )
    labels = _check_metadata(metadata, len(hessian), str(sidecar))
    return HessianFile(hessian, *labels, metadata, path, sha256)


def save_hessian(
    path: str | os.PathLike[str],
    hessian: ArrayLike,
    **sidecar: Any,
) -> None:
    """Write a Hessian and its sidecar, completely or not at all.

    Parameters
    ----------
    path : str or path
        Has to end in ``.npy``; the sidecar goes beside it. Existing files are replaced.
    hessian : (N, N) array_like
        Real, finite and symmetric; saved as float64.
    **sidecar
        Entries of the sidecar, see the module; its version and ``sha256`` are filled in.

    Raises
    ------
    InputError
        If the matrix is invalid, the sidecar contradicts it or is not JSON, or the files cannot be
        written.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     save_hessian(f"{folder}/tiny.npy", [[2.0, 1.0], [1.0, 3.0]], names=["a", "b"])
    ...     load_hessian(f"{folder}/tiny.npy").names
    ('a', 'b')
    """
    path = Path(path)
    if path.suffix != ".npy":
        raise InputError(f"a Hessian file must end in .npy, not {path.name!r}; rename it.")
    for key in ("format_version", "sha256"):
        if key in sidecar:
            raise InputError(f"{key} of a sidecar is filled in by save_hessian; leave it out.")
    matrix = as_hessian(hessian, symmetrize=False)
    buffer = io.BytesIO()
    np.save(buffer, matrix, allow_pickle=False)
    data = buffer.getvalue()
    metadata = {
        "format_version": FORMAT_VERSION,
        **sidecar,
        "sha256": hashlib.sha256(data).hexdigest(),
    }
    try:
        text = json.dumps(metadata, indent=1, allow_nan=False, default=_plain) + "\n"
    except (TypeError, ValueError) as error:
        raise InputError(
            f"the sidecar of {path} cannot be written as JSON ({error}); "
            "use numbers, strings, lists and dicts."
        ) from error
    _check_metadata(json.loads(text), len(matrix), f"the sidecar of {path}")
    # Should the machine stop between the two renames, the sha256 shows that they do not match.
    write_atomically(
        {
            path: lambda stream: stream.write(data),
            path.with_suffix(".json"): lambda stream: stream.write(text.encode()),
        }
    )


def _find(source: str | os.PathLike[str]) -> Path:
    if not isinstance(source, str | os.PathLike):
        raise InputError(
            f"a Hessian file must be given by its path or bundled name, not as "
            f"{type(source).__name__}; pass arrays to Problem."
        )
    path = Path(source)
    try:
        exists = path.exists()
        if path.is_file():
            return path
    except OSError as error:
        raise InputError(f"{path} cannot be read ({error.strerror}); check the path.") from error
    known = {hessian.name: hessian.path for hessian in bundled()}
    if str(source) in known:
        return known[str(source)]
    if not exists:
        raise InputError(
            f"there is no file {str(source)!r} and no bundled Hessian of that name; "
            f"check the path or use one of {', '.join(known)}."
        )
    return path


def _read_sidecar(path: Path) -> dict[str, Any]:
    try:
        metadata = json.loads(read_file(path).decode())
    except (ValueError, RecursionError) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(
            f"the sidecar {path} is not JSON ({error}); correct or delete it."
        ) from error
    if not isinstance(metadata, dict):
        raise InputError(
            f"the sidecar {path} must hold a JSON object, not a {type(metadata).__name__}; "
            "correct or delete it."
        )
    return metadata


_Labels = tuple[tuple[str, ...] | None, tuple[str, ...] | None, NDArray[np.float64] | None]


def _check_metadata(metadata: dict[str, Any], num_blocks: int, where: str) -> _Labels:
    """Return names, kinds and mean gradient; an entry that is null counts as left out."""

    def checked(key: str, convert: Callable[[Any], Any]) -> Any:
        if metadata.get(key) is None:
            return None
        try:
            return convert(metadata[key])
        except InputError as error:
            raise InputError(f"{where} contradicts the matrix or its format: {error}") from error

    checked("format_version", _check_version)
    checked("granularity", _check_text)
    checked("samples", lambda value: _check_at_least(value, 1, "samples"))
    checked("parameter_counts", lambda value: _check_parameter_counts(value, num_blocks))
    return (
        checked("names", lambda value: as_names(value, num_blocks)),
        checked("kinds", lambda value: as_labels(value, num_blocks, "kinds")),
        checked("mean_gradient", lambda value: as_gradient(value, num_blocks, "mean_gradient")),
    )


def _check_version(value: object) -> None:
    if as_count(value, "format_version") != FORMAT_VERSION:
        raise InputError(
            f"format_version is {format_value(value)}, but only {FORMAT_VERSION} is known here; "
            "upgrade."
        )


def _check_text(value: object) -> None:
    if not isinstance(value, str) or not value:
        raise InputError(
            f"granularity must be a word such as branch, not {format_value(value)}; correct it."
        )


def _check_at_least(value: object, least: int, what: str) -> None:
    if as_count(value, what) < least:
        raise InputError(f"{what} must be at least {least}, not {format_value(value)}; correct it.")


def _check_parameter_counts(value: object, num_blocks: int) -> None:
    if not isinstance(value, list) or len(value) != num_blocks:
        size = len(value) if isinstance(value, list) else format_value(value)
        raise InputError(
            f"parameter_counts must have one entry per block, {num_blocks}, not {size}; correct it."
        )
    for count in value:
        _check_at_least(count, 0, "an entry of parameter_counts")


def _plain(value: Any) -> Any:
    if isinstance(value, np.ndarray | np.generic):
        return value.tolist()
    raise TypeError(f"{type(value).__name__} is not JSON")
