"""Calibration samples in batches of similar length."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from torch import Tensor, nn

from qubo_prune.hessians.calibration.calibration import Calibration
from qubo_prune.hessians.gradients import check_samples, padded_batch


@dataclass(frozen=True, eq=False)
class Batch:
    """Samples that go through a model together, padded on the right.

    Parameters
    ----------
    samples
        Which samples of the calibration, (B,).
    ids
        Their tokens, (B, T).
    lengths
        How many tokens each has, (B,).
    rows, columns
        Of each counted prediction, its sample in the batch and where it is made, (tokens,).
    labels
        What it should be, (tokens,).
    """

    samples: NDArray[np.intp]
    ids: Tensor
    lengths: NDArray[np.int64]
    rows: Tensor
    columns: Tensor
    labels: Tensor

    def predicting(self, states: Tensor) -> Tensor:
        """Return of hidden states or logits, (B, T, size), those that make counted predictions."""
        return states[self.rows.to(states.device), self.columns.to(states.device)]

    def sample_means(self, nats: Tensor) -> NDArray[np.float64]:
        """Return the mean over each sample's counted predictions, (B,), of one number for each."""
        sums = nats.new_zeros(len(self.samples)).index_add_(0, self.rows, nats)
        counts = np.bincount(self.rows.numpy(), minlength=len(self.samples))
        means: NDArray[np.float64] = sums.numpy() / counts
        return means


def make_batches(model: nn.Module, calibration: Calibration, batch_size: int) -> list[Batch]:
    """Return the samples in batches, from the shortest to the longest.

    Parameters
    ----------
    model
        What they are for.
    calibration
        The samples.
    batch_size
        Most samples of a batch.

    Raises
    ------
    InputError
        If there are no samples, or some that are not for this model.
    """
    check_samples(model, calibration.tokens, calibration.targets)
    lengths = np.array([len(tokens) for tokens in calibration.tokens], np.int64)
    order = np.argsort(lengths, kind="stable")
    batches = []
    for start in range(0, len(order), batch_size):
        chosen = order[start : start + batch_size]
        ids, rows, columns, labels = padded_batch(
            model,
            [calibration.tokens[s] for s in chosen],
            [calibration.targets[s] for s in chosen],
        )
        batches.append(Batch(chosen, ids, lengths[chosen], rows, columns, labels))
    return batches
