"""What a packed state weighs."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from qubo_prune.core.kernels.jit import kernel


@kernel
def reaches(weights: NDArray[np.int64], at_least: int, word: NDArray[np.uint64]) -> bool:
    """Whether a packed state reaches a budget; `weights` (N,) are of all blocks, or (0,) where
    there is none.
    """
    total = np.int64(0)
    for i in range(weights.shape[0]):
        bit = (word[i // 64] >> np.uint64(i % 64)) & np.uint64(1)
        total += weights[i] * np.int64(bit)
    return weights.shape[0] == 0 or bool(total >= at_least)
