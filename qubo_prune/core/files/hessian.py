"""Hessian files: a ``.npy`` matrix, an optional ``.json`` sidecar, and those that come bundled.

The sidecar of ``name.npy`` is ``name.json``, an object with any of these keys: ``format_version``,
``description``, ``model``, ``names``, ``kinds``, ``parameter_counts`` (per block), ``granularity``,
``calibration``, ``samples``, ``sequence_length``, ``loss``, ``mean_gradient``, ``remove`` (how
many, unless somebody says otherwise), ``at_least`` with ``weights`` (a budget, likewise),
``offset``, ``versions`` (of libraries) and ``sha256`` (of the ``.npy`` file). Other keys are kept.
What contradicts the matrix is an error.

Files of other formats (see `qubo_prune.core.files.formats`) are read as well, and tensors that
`torch.save` wrote (``.pt``); theirs is ``name.suffix.json``. A table with more rows than columns is
no Hessian but the per-sample gradients A, one row for each sample: then ``H = A'A/m``.
"""

from __future__ import annotations

import hashlib
import io
import os
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from qubo_prune.core.errors import InputError
from qubo_prune.core.files.bundled import bundled
from qubo_prune.core.files.disk import array_in, check_suffix, read_file, write_atomically
from qubo_prune.core.files.formats import format_of, has_format
from qubo_prune.core.files.gradients import as_gradients, gauss_newton
from qubo_prune.core.files.kinds import Kind, require_replaceable
from qubo_prune.core.files.sidecar import (
    FORMAT_VERSION,
    check_sidecar,
    merge_sidecar,
    read_sidecar,
    sidecar_path,
    sidecar_text,
)
from qubo_prune.core.files.torch_file import is_torch_file, read_tensor
from qubo_prune.core.text import did_you_mean
from qubo_prune.core.validation import as_hessian, as_real_array, check_square

SUFFIXES = (".npy",)
"""Of files that are written; any other suffix that names no format is read as this one too."""

_MAGIC = b"\x93NUMPY"
_ZIP_MAGIC = b"PK\x03\x04"


@dataclass(frozen=True, eq=False)
class HessianFile:
    """What a Hessian file and its sidecar hold.

    Attributes
    ----------
    hessian : (N, N) array
        As in the file, of any real dtype; `Problem` checks its entries. ``A'A/m`` in float64 where
        the file holds per-sample gradients.
    names, kinds : tuple of str or None
        Name and kind of each block.
    mean_gradient : (N,) float64 or None
        Gradient of the loss with respect to the gates, averaged over the samples.
    metadata : dict
        The whole sidecar; empty without one.
    path : Path
        The file.
    sha256 : str
        Hexadecimal SHA-256 of the file.
    remove : int or dict, optional
        How many blocks the file or its sidecar says to remove.
    offset : float
        Constant term of the file; energies leave it out.
    gradients : (m, N) float64, optional
        A, where that is what the file holds.
    weights, at_least : optional
        What blocks weigh and have to weigh, where the file or its sidecar says so.
    """

    hessian: NDArray[Any]
    names: tuple[str, ...] | None
    kinds: tuple[str, ...] | None
    mean_gradient: NDArray[np.float64] | None
    metadata: dict[str, Any]
    path: Path
    sha256: str
    remove: int | dict[str, int] | None = None
    offset: float = 0.0
    gradients: NDArray[np.float64] | None = None
    weights: tuple[float, ...] | None = None
    at_least: float | str | None = None

    @property
    def num_blocks(self) -> int:
        """Number of blocks, N."""
        return len(self.hessian)


def load_hessian(
    source: str | os.PathLike[str],
    format: str | None = None,  # noqa: A002
    *,
    gradients: bool = False,
) -> HessianFile:
    """Read a Hessian and its sidecar, or a bundled one; or make it from per-sample gradients.

    Parameters
    ----------
    source : str or path
        A ``.npy`` file, a ``.pt`` file or one of another format, or the name of a bundled Hessian
        where no such file exists.
    format : str, optional
        Name of the format (see `qubo_prune.core.files.formats.FORMATS`); by default the suffix
        tells, and a file is a ``.npy`` if that says nothing.
    gradients : bool
        Take the file for per-sample gradients A, one row for each sample, whatever its shape. One
        with more rows than columns is taken so in any case, with a warning.

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
    sha256 = hashlib.sha256(data).hexdigest()
    sidecar_file = _sidecar_path(path, format)
    sidecar = read_sidecar(sidecar_file, path, sha256)
    rows = None
    if _holds_array(path, format):
        hessian, rows = _read_array(path, data, gradients=gradients)
        facts = check_sidecar(sidecar, len(hessian), str(sidecar_file))
    elif gradients:
        raise InputError(
            f"{path} is of the format {format_of(path, format).name}, which holds no per-sample"
            " gradients; give a .npy or .pt file."
        )
    else:
        model = format_of(path, format).read(path, data)
        hessian, facts = merge_sidecar(model, sidecar, path, sidecar_file)
    if rows is not None and facts.mean_gradient is None:
        facts = facts._replace(mean_gradient=rows.mean(axis=0))
    return HessianFile(
        hessian=hessian,
        names=facts.names,
        kinds=facts.kinds,
        mean_gradient=facts.mean_gradient,
        metadata=sidecar,
        path=path,
        sha256=sha256,
        remove=facts.remove,
        offset=facts.offset or 0.0,
        gradients=rows,
        weights=facts.weights,
        at_least=facts.at_least,
    )


def files_of_hessian(
    source: str | os.PathLike[str],
    format: str | None = None,  # noqa: A002
) -> list[Path]:
    """Return the files that `load_hessian` reads, or would read if they were there."""
    path = _find(source)
    return [path, _sidecar_path(path, format)]


def _holds_array(path: Path, format_name: str | None) -> bool:
    """Whether a file is a ``.npy`` or ``.pt``, not one of a format of quadratic models."""
    return format_name is None and not has_format(path)


def _sidecar_path(path: Path, format_name: str | None) -> Path:
    return sidecar_path(path, is_npy=_holds_array(path, format_name) and not is_torch_file(path))


def _read_array(
    path: Path, data: bytes, *, gradients: bool
) -> tuple[NDArray[Any], NDArray[np.float64] | None]:
    """Return the Hessian, and the per-sample gradients if it was made from them."""
    array = read_tensor(path, data) if is_torch_file(path) else _read_npy(path, data)
    what = f"the matrix in {path}"
    is_tall = array.ndim == 2 and array.shape[0] > array.shape[1]
    if array.ndim != 2 or not (gradients or is_tall):
        check_square(array.shape, what)
        return array, None
    num_blocks = array.shape[1]
    rows = as_gradients(array, num_blocks, f"the table in {path}")
    if not gradients:
        warnings.warn(
            f"{path} holds {len(rows)} rows of {num_blocks} numbers, which are taken for the"
            f" gradients A of {len(rows)} samples: H = A'A/m",
            UserWarning,
            stacklevel=2,
        )
    hessian = gauss_newton(rows)
    check_square(hessian.shape, what)
    return hessian, rows


def _read_npy(path: Path, data: bytes) -> NDArray[Any]:
    if not data.startswith(_MAGIC):
        found = "a .npz archive" if data.startswith(_ZIP_MAGIC) else f"bytes {data[:6]!r} first"
        raise InputError(
            f"{path} is not a .npy file, it has {found}; "
            "save the (N, N) matrix alone with numpy.save or save_hessian."
        )
    return as_real_array(array_in(data, str(path)), f"the matrix in {path}")


def save_hessian(
    path: str | os.PathLike[str],
    hessian: ArrayLike,
    **sidecar: Any,
) -> None:
    """Write a Hessian and its sidecar, completely or not at all.

    Parameters
    ----------
    path : str or path
        Has to end in ``.npy``; the sidecar goes beside it. A matrix and a sidecar that are there
        are replaced, another file is not.
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
    check_suffix(path, SUFFIXES, "a Hessian file")
    for key in ("format_version", "sha256"):
        if key in sidecar:
            raise InputError(f"{key} of a sidecar is filled in by save_hessian; leave it out.")
    require_replaceable(path, Kind.MATRIX)
    require_replaceable(path.with_suffix(".json"), Kind.SIDECAR)
    matrix = as_hessian(hessian, symmetrize=False)
    buffer = io.BytesIO()
    np.save(buffer, matrix, allow_pickle=False)
    data = buffer.getvalue()
    metadata = {
        "format_version": FORMAT_VERSION,
        **sidecar,
        "sha256": hashlib.sha256(data).hexdigest(),
    }
    text = sidecar_text(metadata, len(matrix), path)
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
    if not os.fspath(source):
        raise InputError("the name of the Hessian is empty; name a file or a bundled Hessian.")
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
            f"check the path or use one of {', '.join(known)}"
            f"{did_you_mean(str(source), [*known, *_like(path)])}"
        )
    return path


def _like(path: Path) -> list[str]:
    """Return the files beside where `path` would be that end as it does."""
    try:
        return [str(each) for each in path.parent.iterdir() if each.suffix == path.suffix]
    except OSError:
        return []
