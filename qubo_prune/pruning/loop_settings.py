"""How the measured loop believes and explores."""

from __future__ import annotations

from dataclasses import dataclass

from qubo_prune.core.errors import InputError
from qubo_prune.core.validation import as_count, as_finite_float

__all__ = ["LoopSettings"]


@dataclass(frozen=True)
class LoopSettings:
    """How the loop believes and explores; the defaults were chosen by `benchmarks.selection`.

    Standard deviations are in *units*: the value of a good removal, divided by the number of
    blocks that it removes.

    Parameters
    ----------
    batch_size : int
        How many removals are proposed, and measured, at a time.
    draws : float
        Share of the proposals that come from a draw from the posterior instead of its mean.
    candidates : int
        Of so many lowest unmeasured states of the surrogate the one that is expected to gain most
        is measured; 1 for the lowest.
    singles : float
        Largest share of the measurements that go to single blocks.
    shortlist : float
        Share of the blocks, those that the ranking likes best, that are measured alone; never
        fewer than one and a half times those that are removed. Without a ranking it is all.
    singles_each : int
        How many of them at most for each block that is removed: where few go, what they do together
        is worth more measurements than the blocks that the ranking likes less.
    single_deviation, pair_deviation : float
        Of the weight of a block and of a pair of blocks around what is expected.
    trend_deviation : float
        Of the amounts of the singles and of the energy, around 1 and around 0.
    kinship : float
        Share of the variance of pairs that is common to neighbouring pairs: what blocks 4 and 9
        do together tells something of 5 and 9.
    reach : float
        How far neighbours are apart, in layers.
    misfit : float
        What no quadratic can say of a removal.
    ceiling : float
        Removals so many units worse than the best teach nothing more; values are cut off there,
        and removals that diverged count as if they were at it.
    patience : float
        The search ends where no removal is expected to gain more than this part of the standard
        error of the best; 0 for never.
    """

    batch_size: int = 1
    draws: float = 0.1
    candidates: int = 10
    singles: float = 0.75
    shortlist: float = 0.67
    singles_each: int = 5
    single_deviation: float = 0.3
    pair_deviation: float = 0.3
    kinship: float = 0.5
    reach: float = 1.5
    trend_deviation: float = 0.3
    misfit: float = 0.4
    ceiling: float = 6.0
    patience: float = 0.01

    def __post_init__(self) -> None:
        for name in ("batch_size", "candidates", "singles_each"):
            if as_count(getattr(self, name), name) < 1:
                raise InputError(
                    f"{name} must be at least 1, not {getattr(self, name)}; give more."
                )
        for name in ("single_deviation", "pair_deviation", "reach", "misfit", "ceiling"):
            if as_finite_float(getattr(self, name), name) <= 0:
                raise InputError(
                    f"{name} must be more than 0, not {getattr(self, name)}; "
                    "leave it out for the default."
                )
        for name in ("draws", "singles", "shortlist", "kinship", "trend_deviation", "patience"):
            if not 0 <= as_finite_float(getattr(self, name), name) <= 1:
                raise InputError(
                    f"{name} must be between 0 and 1, not {getattr(self, name)}; "
                    "leave it out for the default."
                )
