"""How much the lowest states of a problem owe to the samples that happened to be drawn: the
bootstrap.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

_BATCH_ENTRIES = 1 << 22


@dataclass(frozen=True, eq=False)
class Stability:
    """The lowest states of a problem with the uncertainty that a finite number of samples leaves.

    The energy of a state x is the mean of ``(A x)^2`` over the samples (rows of A), so drawing as
    many samples anew, with replacement, gives another energy of every state. Spread and ranks are
    those over many such draws. Ranks are among the states listed: a state outside the list is not
    seen.

    Attributes
    ----------
    states : (K, N) bool
        As `solve` gives them, ascending in energy.
    energies : (K,) float64
        Of the Hessian itself.
    errors : (K,) float64
        Standard errors of the energies.
    gaps, gap_errors : (K,) float64
        Energies above that of the first state and their standard errors, which are smaller than
        those of the energies where states have blocks in common.
    ground_share : (K,) float64
        In what share of the draws each state is the lowest.
    lowest : int
        The k of `lowest_share`, at most K.
    lowest_share : (K,) float64
        In what share of the draws each state is among the lowest k.
    resamples : int
        How many draws.
    num_proven : int
        How many of the states are proven to be the lowest.
    """

    states: NDArray[np.bool_]
    energies: NDArray[np.float64]
    errors: NDArray[np.float64]
    gaps: NDArray[np.float64]
    gap_errors: NDArray[np.float64]
    ground_share: NDArray[np.float64]
    lowest: int
    lowest_share: NDArray[np.float64]
    resamples: int
    num_proven: int

    @property
    def num_indistinguishable(self) -> int:
        """How many states, the first included, are less than two standard errors above the
        first.
        """
        return int((self.gaps <= 2 * self.gap_errors).sum())


def bootstrap(
    gradients: NDArray[np.float64],
    states: NDArray[np.bool_],
    energies: NDArray[np.float64],
    *,
    lowest: int,
    resamples: int,
    seed: int,
    num_proven: int,
) -> Stability:
    """Resample the rows of A; ties count for the state listed first.

    Examples
    --------
    >>> gradients = np.array([[1.0, 0.0], [0.0, 3.0]])
    >>> energies = np.array([0.5, 4.5])
    >>> options = {"lowest": 1, "resamples": 500, "seed": 0, "num_proven": 2}
    >>> stability = bootstrap(gradients, np.eye(2, dtype=bool), energies, **options)
    >>> stability.errors.round(1).tolist(), stability.ground_share.round(1).tolist()
    ([0.4, 3.2], [0.7, 0.3])
    """
    # Column k: the energy of state k in every sample.
    of_samples = (gradients @ states.T.astype(np.float64)) ** 2
    drawn = np.concatenate(
        [counts @ of_samples for counts in _draws(len(of_samples), resamples, seed)]
    )
    drawn /= len(of_samples)
    order = np.argsort(drawn, axis=1, kind="stable")
    lowest = min(lowest, len(states))
    return Stability(
        states=states,
        energies=energies,
        errors=drawn.std(axis=0, ddof=1),
        gaps=energies - energies[0],
        gap_errors=(drawn - drawn[:, :1]).std(axis=0, ddof=1),
        ground_share=_shares(order[:, :1], len(states)),
        lowest=lowest,
        lowest_share=_shares(order[:, :lowest], len(states)),
        resamples=resamples,
        num_proven=num_proven,
    )


def _draws(samples: int, resamples: int, seed: int) -> Iterator[NDArray[np.float64]]:
    """Yield, in batches, how often each sample was drawn."""
    rng = np.random.default_rng(seed)
    batch = max(1, _BATCH_ENTRIES // samples)
    for first in range(0, resamples, batch):
        size = min(batch, resamples - first)
        yield rng.multinomial(samples, np.full(samples, 1 / samples), size).astype(np.float64)


def _shares(chosen: NDArray[np.int64], num_states: int) -> NDArray[np.float64]:
    return np.asarray(np.bincount(chosen.ravel(), minlength=num_states) / len(chosen))
