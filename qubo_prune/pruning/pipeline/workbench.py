"""The model and the samples of a pipeline, loaded when a step first needs them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from qubo_prune.core.errors import InputError
from qubo_prune.core.problem.problem import Problem
from qubo_prune.hessians.calibration.calibration import Calibration
from qubo_prune.hessians.gates.gates import Gates, find_gates
from qubo_prune.hessians.language_model import (
    check_config,
    load_model,
    load_tokenizer,
    require_dtype,
)
from qubo_prune.hessians.samples_for_model import samples_for_model
from qubo_prune.pruning.block_weights import WEIGHTS
from qubo_prune.pruning.pipeline.digests import source_digest
from qubo_prune.pruning.pipeline.settings import CompressSettings
from qubo_prune.pruning.problem_of_model import problem_of
from qubo_prune.pruning.removal.prunable import require_prunable

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

__all__ = ["Shares", "Workbench", "shares"]

_FEWEST = 3


@dataclass(frozen=True)
class Shares:
    """Which samples are for what: the first ones for the choice and for healing, later ones for the
    report.

    Attributes
    ----------
    hessian, measuring, healing : int
        So many of the first samples.
    report : (int, int)
        Those from one number up to another, which no choice looks at.
    """

    hessian: int
    measuring: int
    report: tuple[int, int]
    healing: int = 0


def shares(available: int, settings: CompressSettings) -> Shares:
    """Divide the samples there are; where they are too few, the report gets at most a quarter, and
    healing what is left.

    Examples
    --------
    >>> settings = CompressSettings(remove=2)
    >>> shares(400, settings)
    Shares(hessian=256, measuring=64, report=(256, 320), healing=0)
    >>> shares(100, settings)
    Shares(hessian=75, measuring=64, report=(75, 100), healing=0)
    >>> shares(400, CompressSettings(remove=2, heal=("distill",)))
    Shares(hessian=256, measuring=64, report=(336, 400), healing=336)
    """
    chosen_by = _chosen_by(settings)
    reported = settings.evaluation_samples
    if available < chosen_by + reported:
        if available < _FEWEST:
            raise InputError(
                f"the data give {available} samples, and at least {_FEWEST} are needed; give more"
                " data."
            )
        reported = min(reported, max(1, available // 4))
    used = min(max(chosen_by, _healed_with(settings)), available - reported)
    return Shares(
        min(settings.hessian_samples, used),
        min(settings.samples, used),
        (used, used + reported),
        min(_healed_with(settings), used),
    )


def _chosen_by(settings: CompressSettings) -> int:
    measured = settings.samples if settings.evaluations else 0
    return max(settings.hessian_samples, measured)


def _healed_with(settings: CompressSettings) -> int:
    return settings.heal_samples if settings.heal else 0


class Workbench:
    """What the steps work on.

    Parameters
    ----------
    model : str
        A folder, or a name on the hub.
    data : sequence of str
        Files, or one dataset.
    settings : CompressSettings
        How both are read.
    tell : callable
        Takes a sentence for the user.
    """

    def __init__(
        self,
        model: str,
        data: Sequence[str],
        settings: CompressSettings,
        tell: Callable[[str], object],
    ) -> None:
        require_dtype(settings.dtype)
        self.name = model
        self.data = list(data)
        self.settings = settings
        self._tell = tell
        self._of_model: dict[str, Any] = {
            "revision": settings.revision,
            "trust_remote_code": settings.trust_remote_code,
        }
        check_config(model, **self._of_model)

    @cached_property
    def model_digest(self) -> str:
        """What identifies the model."""
        return source_digest([self.name], self.settings.revision)

    @cached_property
    def data_digest(self) -> str:
        """What identifies the data."""
        return source_digest(self.data, self.settings.data_revision)

    @cached_property
    def calibration(self) -> Calibration:
        """All samples."""
        settings = self.settings
        wanted = max(_chosen_by(settings), _healed_with(settings)) + settings.evaluation_samples
        calibration = samples_for_model(
            self.name,
            self.data,
            **self._of_model,
            num_samples=wanted,
            sequence_length=settings.sequence_length,
            seed=settings.seed,
            split=settings.split,
            config=settings.config,
            text_field=settings.text_field,
            mask_prompt=settings.mask_prompt,
            data_revision=settings.data_revision,
        )
        if len(calibration) < wanted:
            found = shares(len(calibration), settings)
            self._tell(
                f"only {len(calibration)} of the {wanted} samples asked for are there:"
                f" {found.hessian} for the Hessian, {found.measuring} for the measurements,"
                + (f" {found.healing} for healing," if found.healing else "")
                + f" {found.report[1] - found.report[0]} others for the report"
            )
        return calibration

    @cached_property
    def shares(self) -> Shares:
        """Which of them are for what."""
        return shares(len(self.calibration), self.settings)

    @cached_property
    def tokenizer(self) -> PreTrainedTokenizerBase | None:
        """The tokenizer, if there is one."""
        return load_tokenizer(self.name, **self._of_model)

    @cached_property
    def model(self) -> PreTrainedModel:
        """The model."""
        settings = self.settings
        return load_model(
            self.name, dtype=settings.dtype, device_map=settings.device, **self._of_model
        )

    def check(self) -> None:
        """Find out what cannot be done with the samples and the model, before hours of work.

        Raises
        ------
        InputError
            If there are no samples or no such blocks, too many are to go, or text is to be read
            without a tokenizer.
        """
        settings = self.settings
        needs_tokenizer = settings.text or settings.tasks
        if needs_tokenizer and self.tokenizer is None:
            raise InputError(
                f"the model {self.name!r} comes with no tokenizer that can be loaded, but text and"
                " tasks need one; add its tokenizer.json, or leave them out."
            )
        _ = self.shares
        problem = self._problem
        if not 0 < problem.num_removed < problem.num_blocks:
            raise InputError(
                f"remove must be from 1 to {problem.num_blocks - 1} of the {problem.num_blocks}"
                f" blocks, not {problem.num_removed}; choose another number."
            )
        if problem.budget is not None:
            self._tell(budget_in_words(problem, settings.weights))

    def check_prunable(self) -> None:
        """Find out whether the model can be pruned, from three removals that may be chosen.

        Raises
        ------
        InputError
            If it can do without none of them.
        """
        reason = require_prunable(self.gates, _some_removals(self._problem))
        if reason is not None:
            self._tell(
                f"warning: what is selected may be refused by prune, as others are: {reason}"
            )

    @cached_property
    def _problem(self) -> Problem:
        settings = self.settings
        return problem_of(
            self.gates,
            settings.remove,
            keep=settings.keep,
            force=settings.force,
            only=settings.only,
            at_least=settings.at_least,
            weights=settings.weights,
        )

    @cached_property
    def gates(self) -> Gates:
        """Its blocks."""
        return find_gates(self.model, self.settings.granularity, layers=self.settings.layers)


def budget_in_words(problem: Problem, weights: str) -> str:
    """Return what the budget of a problem asks for, in amounts and numbers of blocks.

    Examples
    --------
    >>> sizes = [0.5, 1, 1, 2.5]
    >>> problem = Problem([[0.0] * 4] * 4, weights=sizes, at_least="60%")
    >>> budget_in_words(problem, "times/ms.json")
    'at least 3 of 5 by ms.json has to go, which takes 2 to 3 of the 4 blocks'
    """
    budget = problem.budget
    assert budget is not None  # noqa: S101 - there is one
    what = {"kv-cache": "bytes of cache per token"}.get(weights, weights)
    what = what if weights in WEIGHTS else f"by {Path(weights).name}"
    asked, total = (
        f"{amount:,}" if isinstance(amount, int) else f"{amount:.4g}"
        for amount in (budget.amount(budget.at_least), budget.amount(budget.total))
    )
    fewest, most = problem.counts[0], min(problem.counts[-1], problem.num_blocks - 1)
    counts = f"{fewest} to {most}" if most > fewest else str(fewest)
    takes = "is to take" if problem.remove is not None else "takes"
    return (
        f"at least {asked} of {total} {what} has to go, which {takes} {counts} of the"
        f" {problem.num_blocks} blocks"
    )


def _some_removals(problem: Problem) -> list[tuple[int, ...]]:
    """Return the removal of the first blocks that may go, of the last ones, and a spread one."""
    picks: tuple[Callable[[list[int], int], list[int]], ...] = (
        lambda free, count: free[:count],
        lambda free, count: free[len(free) - count :],
        lambda free, count: [free[k * len(free) // count] for k in range(count)],
    )
    return [
        tuple(
            sorted(
                problem.fixed_removed.tolist()
                + [i for each in problem.groups for i in pick(each.indices.tolist(), each.count)]
            )
        )
        for pick in picks
    ]
