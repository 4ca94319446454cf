"""Per-sample gradients on disk: ``name.grads.npy`` beside ``name.npy``, one float32 row for each
calibration sample.
"""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike, NDArray

from qubo_prune.core.errors import InputError
from qubo_prune.core.files.disk import read_array, write_atomically
from qubo_prune.core.files.kinds import Kind, require_replaceable
from qubo_prune.core.validation import as_real_array

__all__ = ["gauss_newton", "gradients_path", "load_gradients", "save_gradients"]


def gradients_path(path: str | os.PathLike[str]) -> Path:
    """Return where the per-sample gradients of a Hessian file are.

    Examples
    --------
    >>> gradients_path("runs/llama.npy").as_posix()
    'runs/llama.grads.npy'
    """
    path = Path(path)
    return path.with_name(f"{path.stem}.grads.npy")


def load_gradients(path: str | os.PathLike[str], num_blocks: int) -> NDArray[np.float64]:
    """Read per-sample gradients.

    Parameters
    ----------
    path : str or path
        A ``.npy`` file.
    num_blocks : int
        N, of the Hessian that they belong to.

    Returns
    -------
    (m, N) float64

    Raises
    ------
    InputError
        If the file cannot be read or does not hold one finite row of N numbers for each sample.
    """
    path = Path(path)
    try:
        with path.open("rb") as stream:
            rows = read_array(stream, path.stat().st_size, str(path))
    except OSError as error:
        raise InputError(
            f"{path} cannot be read ({error.strerror}); check the path and its permissions."
        ) from error
    return as_gradients(rows, num_blocks, str(path))


def as_gradients(value: ArrayLike, num_blocks: int, what: str) -> NDArray[np.float64]:
    """Return per-sample gradients as finite (m, N) float64, m at least 1."""
    rows = as_real_array(value, what)
    if rows.ndim != 2 or rows.shape[1] != num_blocks or not len(rows):
        raise InputError(
            f"{what} must hold one row of {num_blocks} numbers for each sample, not shape"
            f" {rows.shape}; give the per-sample gradients of this Hessian."
        )
    gradients = rows.astype(np.float64)
    if not np.isfinite(gradients).all():
        sample = int(np.flatnonzero(~np.isfinite(gradients).all(axis=1))[0])
        raise InputError(
            f"{what} holds NaN or infinity, first in sample {sample}; extract it again without that"
            " sample."
        )
    return gradients


def gauss_newton(gradients: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return ``H = A'A/m`` of per-sample gradients (paper, equation 5).

    Parameters
    ----------
    gradients : (m, N) float64
        A, one row for each sample.

    Returns
    -------
    (N, N) float64
        Symmetric; the same to the last bit whatever the number of threads.

    Examples
    --------
    >>> gauss_newton(np.array([[1.0, 2.0], [3.0, 0.0]])).tolist()
    [[5.0, 1.0], [1.0, 2.0]]
    """
    from threadpoolctl import threadpool_limits

    with threadpool_limits(1, user_api="blas"):
        product: NDArray[np.float64] = gradients.T @ gradients
    return (product + product.T) / (2 * len(gradients))


def save_gradients(path: str | os.PathLike[str], gradients: ArrayLike) -> None:
    """Write per-sample gradients as float32, completely or not at all.

    Parameters
    ----------
    path : str or path
        Of the gradients, see `gradients_path`. Gradients that are there are replaced, another file
        is not.
    gradients : (m, N) array_like
        One row for each sample.

    Raises
    ------
    InputError
        If the file cannot be written.
    """
    require_replaceable(Path(path), Kind.GRADIENTS)
    rows = np.ascontiguousarray(gradients, np.float32)
    write_atomically({Path(path): lambda stream: np.save(stream, rows, allow_pickle=False)})
