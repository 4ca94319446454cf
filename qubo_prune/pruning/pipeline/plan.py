"""What `compress` would do, and about how long it takes, without doing it."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from qubo_prune.hessians.gradients import sample_gradients
from qubo_prune.pruning.healing.distillation.method import Distill
from qubo_prune.pruning.healing.distillation.schedule import steps_of as steps_of_training
from qubo_prune.pruning.measurement import ModelObjective
from qubo_prune.pruning.pipeline.compress import check_doable, require_step, standing_of
from qubo_prune.pruning.pipeline.ledger import Ledger, Standing, require_folder
from qubo_prune.pruning.pipeline.settings import CompressSettings
from qubo_prune.pruning.pipeline.steps import Job, steps_of
from qubo_prune.pruning.pipeline.workbench import Workbench
from qubo_prune.pruning.selector import FINALISTS

__all__ = ["Planned", "plan"]

_ALL_WEIGHTS = 1.5
"""A pass backward through all weights, in passes through the gates alone."""


@dataclass(frozen=True)
class Planned:
    """A step that would be done, or not.

    Attributes
    ----------
    name, output, summary : str
        Of the step.
    standing : str
        ``done``, ``put there by hand``, ``to do`` or ``to do again``.
    seconds : float or None
        About how long it takes; None where that cannot be known.
    """

    name: str
    output: str
    summary: str
    standing: str
    seconds: float | None

    def to_dict(self) -> dict[str, Any]:
        """Return all of it in plain Python types."""
        return asdict(self)


def plan(
    model: str | os.PathLike[str],
    data: Sequence[str],
    out: str | os.PathLike[str],
    settings: CompressSettings,
    *,
    begin: str | None = None,
    tell: Callable[[str], object] = lambda _: None,
) -> list[Planned]:
    """Return what `compress` would do.

    Where something is to be done, the model is loaded and a few samples go through it once, forward
    and backward: durations are what that took, times how much there is to do.

    Parameters
    ----------
    model, data, out, settings, begin, tell
        As of `qubo_prune.pruning.pipeline.compress.compress`, which refuses the same.
    """
    folder = Path(out)
    require_folder(folder)
    bench = Workbench(str(model), list(data), settings, tell)
    ledger, job, steps = Ledger(folder), Job(folder, bench, settings), steps_of(settings)
    require_step(begin, steps)
    standings: list[Standing] = []
    is_forced = False  # whether a step before this one is to be done
    for step in steps:
        is_forced = is_forced or step.name == begin
        standing = standing_of(
            ledger, step, folder / step.output, step.request(job), begin, is_forced=is_forced
        )
        is_forced = standing in (Standing.MISSING, Standing.CHANGED) or (
            is_forced and standing is not Standing.GIVEN
        )
        standings.append(standing)
    if not any(each in (Standing.MISSING, Standing.CHANGED) for each in standings):
        pace = None
    else:
        pace = _measured(bench)
        check_doable(job, ledger)
    return [
        Planned(
            step.name,
            step.output,
            step.summary,
            standing.value,
            _seconds(step.name, bench, pace)
            if pace and standing in (Standing.MISSING, Standing.CHANGED)
            else None,
        )
        for step, standing in zip(steps, standings, strict=True)
    ]


@dataclass(frozen=True)
class _Pace:
    """Seconds for a token forward, and forward and backward; and for loading the model."""

    forward: float
    backward: float
    loading: float


def _measured(bench: Workbench) -> _Pace:
    """Time a few samples, of which the first run also loads what is needed only once."""
    begin = time.perf_counter()
    gates = bench.gates
    loading = time.perf_counter() - begin
    few = bench.calibration.part(0, min(bench.settings.batch_size, len(bench.calibration)))
    tokens = sum(map(len, few.tokens))
    objective = ModelObjective(bench.model, gates, few, batch_size=bench.settings.batch_size)
    begin = time.perf_counter()
    list(objective.measure([(0,)]))  # the model, and the model without its first block
    forward = (time.perf_counter() - begin) / (2 * tokens)
    begin = time.perf_counter()
    sample_gradients(gates, few.tokens, few.targets)
    return _Pace(forward, (time.perf_counter() - begin) / tokens, loading)


def _seconds(name: str, bench: Workbench, pace: _Pace) -> float | None:
    settings, shares = bench.settings, bench.shares
    lengths = [len(tokens) for tokens in bench.calibration.tokens]
    if name == "extract":
        return pace.backward * sum(lengths[: shares.hessian])
    if name == "select":
        half = sum(lengths[: shares.measuring]) / 2
        passes = settings.evaluations + FINALISTS + 2 * (1 + len(settings.criteria))
        return pace.forward * half * passes
    if name == "evaluate" and not (settings.tasks or settings.text or settings.latency):
        first, last = shares.report
        return 2 * pace.forward * sum(lengths[first:last]) * (1 + settings.candidates)
    if name.startswith("heal-"):
        return _healing_seconds(
            name.removeprefix("heal-"), settings, lengths[: shares.healing], pace
        )
    if name == "prune":
        return 3 * pace.loading * settings.candidates
    return None


def _healing_seconds(
    method: str, settings: CompressSettings, lengths: Sequence[int], pace: _Pace
) -> float:
    """Return about how long healing takes: of the original a pass forward, of the smaller model
    one forward for each repair, or forward and backward through all weights to distil.
    """
    if method != Distill.name:
        return 3 * pace.loading + 2 * pace.forward * sum(lengths)
    used = sum(
        lengths[i] for step in steps_of_training(lengths, settings.distillation) for i in step
    )
    return 3 * pace.loading + (pace.forward + _ALL_WEIGHTS * pace.backward) * used
