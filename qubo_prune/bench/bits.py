"""States as text: bits in hexadecimal, the first block in the highest bit."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from qubo_prune.core.errors import InputError


def to_bits(states: NDArray[np.bool_]) -> tuple[str, ...]:
    """Return states (K, N) as a text each.

    Examples
    --------
    >>> to_bits(np.array([[True, False, False, True, False]]))
    ('90',)
    """
    return tuple(bytes(row).hex() for row in np.packbits(states, axis=1))


def from_bits(texts: Sequence[str], num_blocks: int) -> NDArray[np.bool_]:
    """Return texts as states (K, num_blocks).

    Raises
    ------
    InputError
        If a text is not of so many blocks.

    Examples
    --------
    >>> from_bits(["90"], 5).tolist()
    [[True, False, False, True, False]]
    """
    width = (num_blocks + 7) // 8
    if not texts:
        return np.zeros((0, num_blocks), np.bool_)
    try:
        data = bytes.fromhex("".join(texts))
    except ValueError:
        data = b""
    if len(data) != width * len(texts) or any(len(text) != 2 * width for text in texts):
        raise InputError(
            f"states of {num_blocks} blocks are texts of {2 * width} hexadecimal digits, and these"
            " are not; let bench run write them again."
        )
    rows = np.frombuffer(data, np.uint8).reshape(len(texts), width)
    return np.unpackbits(rows, axis=1, count=num_blocks).astype(np.bool_)
