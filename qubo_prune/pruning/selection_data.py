"""Ranked removals with their measurements, and how sure their order is."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from qubo_prune.core.errors import InputError
from qubo_prune.core.problem.budget import Budget, as_asked, make_budget
from qubo_prune.core.stopping import StopReason
from qubo_prune.core.validation import as_count, as_names, as_parameter_counts
from qubo_prune.pruning.objective import Measurement

TIE = 2.0
"""Removals that differ by less than so many standard errors cannot be told apart."""


@dataclass(frozen=True, kw_only=True)
class Candidate:
    """One measured removal of a selection.

    Attributes
    ----------
    removed : tuple of int
        Ascending indices of the removed blocks.
    objective : float
        Its value on the samples that it was chosen on; inf where it diverged.
    standard_error : float
        Of that value, over the samples; inf where nothing is known of it.
    proposed_by : str
        ``single``, ``surrogate``, ``draw`` (from the posterior), or whoever brought it.
    energy : float, optional
        Its energy, where there is a Hessian.
    rank_in_spectrum : int, optional
        Its position among the lowest energies, from 0, where it is among those known.
    predicted : float, optional
        What the surrogate expected before it was measured.
    held_out, held_out_error : float, optional
        Its value on samples that no choice looked at, and the standard error.
    above_best, above_best_error : float
        How much worse than the first it is, sample by sample, and the standard error of that:
        on the held-out samples where it was measured on them, else on those of the choice.
    tied_with_best : bool
        Whether that difference is within `TIE` standard errors.
    """

    removed: tuple[int, ...]
    objective: float
    standard_error: float
    proposed_by: str
    energy: float | None = None
    rank_in_spectrum: int | None = None
    predicted: float | None = None
    held_out: float | None = None
    held_out_error: float | None = None
    above_best: float = 0.0
    above_best_error: float = 0.0
    tied_with_best: bool = True

    @classmethod
    def compared(
        cls,
        measured: Measurement,
        best: Measurement,
        *,
        held_out: Measurement | None = None,
        best_held_out: Measurement | None = None,
        **facts: Any,
    ) -> Candidate:
        """Return a candidate, compared with the best one sample by sample.

        Parameters
        ----------
        measured, best : Measurement
            On the samples of the choice.
        held_out, best_held_out : Measurement, optional
            On the held-out samples; the comparison is made there if both are given.
        **facts
            The other fields.
        """
        if measured.removed == best.removed:
            above, error = 0.0, 0.0
        elif held_out is not None and best_held_out is not None:
            above, error = held_out.difference(best_held_out)
        else:
            above, error = measured.difference(best)
        tied = not measured.diverged and abs(above) <= TIE * error
        return cls(
            removed=measured.removed,
            objective=measured.value,
            standard_error=measured.standard_error,
            held_out=None if held_out is None else held_out.value,
            held_out_error=None if held_out is None else held_out.standard_error,
            above_best=above,
            above_best_error=error,
            tied_with_best=tied or measured.removed == best.removed,
            **facts,
        )


@dataclass(frozen=True, eq=False, kw_only=True, repr=False)
class SelectionData:
    """The fields of a `Selection`, which documents them."""

    removals: tuple[Candidate, ...]
    objective: str
    num_evaluations: int
    remove: int | dict[str, int] | None
    names: tuple[str, ...]
    baseline: float | None = None
    held_out_baseline: float | None = None
    num_held_out: int = 0
    singles: dict[int, float] = field(default_factory=dict)
    samples: dict[str, Any] = field(default_factory=dict)
    hessian_sha256: str | None = None
    model_fingerprint: str | None = None
    seed: int = 0
    seconds: float = 0.0
    stop_reason: StopReason = StopReason.COMPLETED
    parameter_counts: tuple[int, ...] | None = None
    at_least: float | str | None = None
    weights: tuple[float, ...] | None = None
    weights_of: str | None = None

    def __post_init__(self) -> None:
        values = self.__dict__  # a frozen dataclass refuses plain assignment
        values["names"] = as_names(self.names, len(tuple(self.names)))
        values["weights"] = None if self.weights is None else tuple(self.weights)
        values["remove"] = as_asked(self.remove, self.budget)
        values["removals"] = tuple(self.removals)
        if self.parameter_counts is not None:
            counts = as_parameter_counts(self.parameter_counts, self.num_blocks)
            values["parameter_counts"] = counts
        values["singles"] = dict(sorted(self.singles.items()))
        values["stop_reason"] = StopReason(self.stop_reason)
        for what in ("num_evaluations", "num_held_out", "seed"):
            if as_count(values[what], what) < 0:
                raise InputError(f"{what} must not be negative, but is {values[what]}; count up.")
        blocks = len(self.names)
        for position, each in enumerate(self.removals):
            if any(not 0 <= block < blocks for block in each.removed):
                raise InputError(
                    f"removal {position} must name blocks from 0 to {blocks - 1}, not "
                    f"{list(each.removed)}; give the names of all blocks."
                )
        if any(
            b.objective < a.objective
            for a, b in zip(self.removals, self.removals[1:], strict=False)
        ):
            raise InputError("removals must be given best first; sort them by their objective.")

    @property
    def num_blocks(self) -> int:
        """Number of blocks, N."""
        return len(self.names)

    @property
    def best(self) -> Candidate:
        """The removal that measured best.

        Raises
        ------
        InputError
            If nothing was measured before the search was stopped.
        """
        if not self.removals:
            raise InputError(
                "the selection holds no removal, because the search was stopped before the first "
                "one; repeat the command, which goes on from there."
            )
        return self.removals[0]

    @property
    def ties(self) -> tuple[Candidate, ...]:
        """Those, beside the best, that were held against it on held-out samples and are tied."""
        judged = [each for each in self.removals if each.held_out is not None] or self.removals
        return tuple(each for each in judged[1:] if each.tied_with_best)

    def __len__(self) -> int:
        return len(self.removals)

    def __iter__(self) -> Iterator[Candidate]:
        return iter(self.removals)

    def __getitem__(self, index: int) -> Candidate:
        """Return removal `index`, 0 for the best."""
        return self.removals[index]

    def removed_names(self, k: int = 0) -> list[str]:
        """Return the names of the blocks that removal k removes."""
        return [self.names[block] for block in self.removals[k].removed]

    def parameters_removed(self, k: int = 0) -> tuple[int, float] | None:
        """Return how many parameters removal k removes, and which share of those of all blocks that
        is; None where `parameter_counts` is None.
        """
        counts = self.parameter_counts
        if counts is None:
            return None
        removed = sum(counts[block] for block in self.removals[k].removed)
        return removed, removed / (sum(counts) or 1)

    @cached_property
    def budget(self) -> Budget | None:
        """What a removal has to weigh, if anything."""
        return make_budget(self.at_least, self.weights, self.num_blocks)

    def weight_removed(self, k: int = 0) -> tuple[float, float] | None:
        """Return what removal k removes in the unit of `weights`, and which share of the sum of all
        weights that is; None without a budget.
        """
        if self.budget is None:
            return None
        removed = int(self.budget.removed(self.state(k)[None])[0])
        return self.budget.amount(removed), removed / (self.budget.total or 1)

    def state(self, k: int = 0) -> NDArray[np.bool_]:
        """Return removal k as a state, True where a block is removed."""
        state = np.zeros(self.num_blocks, np.bool_)
        state[list(self.removals[k].removed)] = True
        return state
