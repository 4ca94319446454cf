"""How alike the final hidden states stay without some blocks, which sliding windows ask for."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from qubo_prune.core.defaults import BATCH_SIZE
from qubo_prune.hessians.calibration.calibration import Calibration

if TYPE_CHECKING:
    from torch import Tensor

    from qubo_prune.hessians.gates.gates import Gates

__all__ = ["FinalSimilarity"]


class FinalSimilarity:
    """Cosine of a model's final hidden states, without some blocks, with the original's.

    Of each sample the states of all its tokens are taken as one long vector, and of the samples the
    mean, as sliding-window merging does. The original's states are kept: tokens times size numbers
    in the type of the model.

    Parameters
    ----------
    gates : Gates
        The gates of the model (`qubo_prune.hessians.gates.find_gates`).
    calibration : Calibration
        The samples.
    batch_size : int
        How many samples go through the model together.

    Examples
    --------
    >>> import pytest
    >>> transformers = pytest.importorskip("transformers")
    >>> from qubo_prune.hessians.gates.gates import find_gates
    >>> config = transformers.GPT2Config(
    ...     vocab_size=50, n_embd=16, n_layer=3, n_head=2, bos_token_id=0, eos_token_id=0
    ... )
    >>> tokens = tuple(np.random.default_rng(0).integers(0, 50, (5, 9)))
    >>> samples = Calibration(tokens, (np.arange(9) > 0,) * 5, np.arange(5), {"source": "random"})
    >>> similarity = FinalSimilarity(find_gates(transformers.GPT2LMHeadModel(config)), samples)
    >>> round(similarity(()), 6), similarity((1,)) < 1
    (1.0, True)
    """

    def __init__(
        self, gates: Gates, calibration: Calibration, *, batch_size: int = BATCH_SIZE
    ) -> None:
        from qubo_prune.pruning.measuring.batches import make_batches
        from qubo_prune.pruning.measuring.passes import Passes

        self._passes = Passes(gates)
        self._batches = make_batches(gates.model, calibration, batch_size)
        self._num_samples = len(calibration)
        self._originals = [self._states(index, ()) for index in range(len(self._batches))]

    def __call__(self, removed: tuple[int, ...]) -> float:
        """Return the mean cosine, from -1 to 1; NaN where a state is not finite."""
        cosines = np.empty(self._num_samples)
        for index, batch in enumerate(self._batches):
            pairs = zip(self._originals[index], self._states(index, removed), strict=True)
            cosines[batch.samples] = [_cosine(original, state) for original, state in pairs]
        return float(cosines.mean())

    def _states(self, index: int, removed: tuple[int, ...]) -> list[Tensor]:
        """Return each sample's final hidden states, padding left out."""
        batch = self._batches[index]
        states = self._passes.end_of(batch.ids, None, 0, removed)
        return [state[:length].clone() for state, length in zip(states, batch.lengths, strict=True)]


def _cosine(one: Tensor, other: Tensor) -> float:
    import torch

    return float(torch.cosine_similarity(one.double().flatten(), other.double().flatten(), dim=0))
