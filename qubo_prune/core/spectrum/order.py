"""The order of states in a spectrum."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray


def lexicographic_order(states: ArrayLike, energies: ArrayLike) -> NDArray[np.int64]:
    """Return the permutation that sorts states as a spectrum does.

    Parameters
    ----------
    states : (K, N) array_like of bool
        States that remove equally many blocks.
    energies : (K,) array_like of float
        Their energies.

    Returns
    -------
    (K,) int64
        Sorts by energy, then by the ascending removed indices: of two states with the same energy,
        the one that removes the lowest block in which they differ comes first. Stable.

    Examples
    --------
    >>> lexicographic_order([[0, 1, 1], [1, 0, 1], [1, 1, 0]], [1.0, 1.0, 0.5])
    array([2, 1, 0])
    """
    kept = ~np.asarray(states, np.bool_)
    count, num_blocks = kept.shape
    padded = np.zeros((count, -(-num_blocks // 64) * 64), np.bool_)
    padded[:, :num_blocks] = kept
    # Block 0 is the highest bit of the first word, so words compare as the lists of removed do.
    words = np.packbits(padded, axis=1).view(">u8")
    return np.lexsort((*words.T[::-1].astype(np.uint64), np.asarray(energies, np.float64)))
