"""`compress`: every step that is not done yet, one after the other."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from qubo_prune.backends.registry import get_backend
from qubo_prune.core.errors import InputError, OutputError
from qubo_prune.core.files.lock import locked
from qubo_prune.core.stopping import Progress, Stop, StopReason
from qubo_prune.core.text import did_you_mean
from qubo_prune.pruning.evaluation.evaluation import Evaluation
from qubo_prune.pruning.evaluation.harness import require_library
from qubo_prune.pruning.pipeline.folder import EVALUATION, MODEL, read_model
from qubo_prune.pruning.pipeline.ledger import Ledger, Standing, require_folder
from qubo_prune.pruning.pipeline.settings import CompressSettings
from qubo_prune.pruning.pipeline.steps import (
    STEPS,
    Job,
    Prune,
    Report,
    Step,
    left_over,
    steps_of,
)
from qubo_prune.pruning.pipeline.workbench import Workbench
from qubo_prune.pruning.saving import RECORD

__all__ = ["Compressed", "StepReport", "compress"]

_LOCK = ".lock"


@dataclass(frozen=True)
class StepReport:
    """What became of a step.

    Attributes
    ----------
    name : str
        Of the step.
    output : Path
        What it wrote.
    outcome : str
        ``done now``, ``done before``, ``put there by hand``, ``stopped`` or ``not begun``.
    seconds : float
        How long it took when it was done.
    """

    name: str
    output: Path
    outcome: str
    seconds: float = 0.0


@dataclass(frozen=True)
class Compressed:
    """What a call of `compress` came to.

    Attributes
    ----------
    out : Path
        The folder.
    steps : tuple of StepReport
        All steps.
    stop_reason : StopReason
        Why it ended.
    removed : tuple of int
        What the smaller model lacks, once it is there.
    summary : str
        What it is, in a sentence.
    removed_names : tuple of str
        The names of those layers.
    num_parameters, num_parameters_before : int, optional
        Of the smaller model and of the original.
    evaluation : Evaluation, optional
        How good it is, beside the original.
    """

    out: Path
    steps: tuple[StepReport, ...]
    stop_reason: StopReason
    removed: tuple[int, ...] = ()
    summary: str = ""
    removed_names: tuple[str, ...] = ()
    num_parameters: int | None = None
    num_parameters_before: int | None = None
    evaluation: Evaluation | None = None

    @property
    def complete(self) -> bool:
        """Whether everything is there."""
        return self.stop_reason is StopReason.COMPLETED

    def to_dict(self) -> dict[str, Any]:
        """Return all of it in plain Python types."""
        return {
            "out": str(self.out),
            "complete": self.complete,
            "stop_reason": self.stop_reason.value,
            "removed": list(self.removed),
            "removed_names": list(self.removed_names),
            "num_parameters": self.num_parameters,
            "num_parameters_before": self.num_parameters_before,
            "summary": self.summary,
            "evaluation": None if self.evaluation is None else self.evaluation.to_dict(),
            "steps": [{**vars(step), "output": str(step.output)} for step in self.steps],
        }


def compress(
    model: str | os.PathLike[str],
    data: str | os.PathLike[str] | Sequence[str | os.PathLike[str]],
    out: str | os.PathLike[str],
    settings: CompressSettings,
    *,
    begin: str | None = None,
    command: str | None = None,
    time_limit: float | None = None,
    progress: Callable[[Progress], None] | None = None,
    tell: Callable[[str], object] = lambda _: None,
) -> Compressed:
    """Make a model smaller: extract, solve, select, prune, heal, and say how good it is.

    Every step writes a file or folder into `out` that can be inspected, or replaced by hand: what
    was put there by hand is kept, and the steps after it are done again. The same call goes on
    where the last one was stopped or killed, and does again what depends on changed files or
    settings.

    Parameters
    ----------
    model : str or path
        A folder, or a name on the Hugging Face hub.
    data : str, path or sequence of them
        Samples, as of `qubo_prune.hessians.load_calibration`.
    out : path
        The folder to write.
    settings : CompressSettings
        What to remove, and how to choose it.
    begin : str, optional
        The step from which on all are done again.
    command : str, optional
        What the model card names as the way to do it again.
    time_limit : float, optional
        Seconds after which to stop.
    progress : callable, optional
        Called with a `Progress` now and then.
    tell : callable, optional
        Takes sentences about what is done.

    Returns
    -------
    Compressed

    Raises
    ------
    InputError
        If an argument is out of range, the model cannot be cut so, or `begin` names a step whose
        file was put there by hand.
    OutputError
        If a file cannot be written.
    """
    folder = Path(out)
    get_backend(settings.backend)
    if settings.tasks:
        require_library()  # of which the last step would tell otherwise
    require_folder(folder)
    _require_other_folder(folder, Path(model))
    names = [data] if isinstance(data, str | os.PathLike) else list(data)
    bench = Workbench(str(model), [str(each) for each in names], settings, tell)
    stop = Stop(time_limit)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(
            f"{folder} cannot be made ({error.strerror}); name a folder that can be."
        ) from error
    try:
        with locked(folder / _LOCK, f"compressing into {folder}"), stop.interruptible():
            job = Job(folder, bench, settings, command, progress=progress)
            return _run(job, Ledger(folder), steps_of(settings), begin, stop, tell)
    finally:
        with contextlib.suppress(OSError):
            folder.rmdir()  # which was made for nothing, if it is empty


def _run(
    job: Job,
    ledger: Ledger,
    steps: Sequence[Step],
    begin: str | None,
    stop: Stop,
    tell: Callable[[str], object],
) -> Compressed:
    """Do what is to be done, step by step."""
    require_step(begin, steps)
    reports: list[StepReport] = []
    is_forced = False
    for number, step in enumerate(steps, 1):
        output, request = job.folder / step.output, step.request(job)
        is_forced = is_forced or step.name == begin
        standing = standing_of(ledger, step, output, request, begin, is_forced=is_forced)
        entry = ledger.entry(step.name)
        seconds = 0.0 if entry is None else entry.seconds
        if standing is Standing.GIVEN:
            tell(f"{step.name}: {step.output} was put there by hand, and is kept")
            reports.append(StepReport(step.name, output, standing.value))
            continue
        if standing is Standing.DONE:
            reports.append(StepReport(step.name, output, "done before", seconds))
            continue
        if stop.should_stop():
            return _stopped(job, steps, reports, stop.reason)
        if not any(report.outcome == "done now" for report in reports):
            check_doable(job, ledger)
        changes = ledger.changes(step.name, request) if standing is Standing.CHANGED else []
        why = f" again ({', '.join(changes)} changed)" if changes else ""
        tell(f"{number}/{len(steps)} {step.name}{why}: {step.summary}")
        ledger.start(step.name, output, request)
        job.time_limit = None if stop.time_limit is None else max(stop.remaining, 1e-3)
        begun = time.perf_counter()
        reason = step.run(job, request)
        if reason is not StopReason.COMPLETED:
            return _stopped(job, steps, reports, reason)
        seconds = time.perf_counter() - begun
        ledger.finish(step.name, output, request, seconds)
        reports.append(StepReport(step.name, output, "done now", seconds))
    for name in left_over(job.folder, job.settings):
        tell(f"{name} is of another call with more candidates, and in no table; delete it, or not")
    evaluation = None
    if Report.is_wanted(job.settings):
        evaluation = Evaluation.load(job.folder / EVALUATION)
    return Compressed(
        job.folder,
        tuple(reports),
        StopReason.COMPLETED,
        **_what_was_made(job.folder / MODEL),
        evaluation=evaluation,
    )


def _what_was_made(model: Path) -> dict[str, Any]:
    """Return what a folder says of the layers that it lacks; nothing if it came by hand."""
    if not (model / RECORD).exists():
        return {}
    made = read_model(model)
    names = ("removed", "removed_names", "num_parameters", "num_parameters_before", "summary")
    return {name: getattr(made, name) for name in names}


def check_doable(job: Job, ledger: Ledger) -> None:
    """Find out what cannot be done before hours of work; a model that was put there by hand needs
    no cut.
    """
    job.bench.check()
    if ledger.standing(Prune.name, job.folder / MODEL, {}) is not Standing.GIVEN:
        job.bench.check_prunable()


def standing_of(
    ledger: Ledger,
    step: Step,
    output: Path,
    request: Mapping[str, Any],
    begin: str | None,
    *,
    is_forced: bool,
) -> Standing:
    """Return where a step stands; refuse to begin with one whose file was put there by hand."""
    standing = ledger.standing(step.name, output, request)
    if standing is Standing.GIVEN and step.name == begin:
        raise InputError(
            f"{output} was put there by hand, and is not replaced; delete it, or begin with a later"
            " step."
        )
    return Standing.CHANGED if standing is Standing.DONE and is_forced else standing


def _stopped(
    job: Job, steps: Sequence[Step], reports: list[StepReport], reason: StopReason | None
) -> Compressed:
    """Return what there is when a step was stopped or never begun."""
    rest = [
        StepReport(step.name, job.folder / step.output, "not begun" if late else "stopped")
        for late, step in enumerate(steps[len(reports) :])
    ]
    return Compressed(job.folder, (*reports, *rest), reason or StopReason.INTERRUPTED)


def require_step(begin: str | None, steps: Sequence[Step]) -> None:
    """Refuse the name of a step to begin with that is none of these."""
    names = [step.name for step in steps]
    if begin is not None and begin not in names:
        known = [step.name for step in STEPS]
        why = "is left out by these settings" if begin in known else "does not exist"
        raise InputError(
            f"the step {begin!r} to begin with {why}; choose one of {', '.join(names)}"
            f"{did_you_mean(begin, names)}"
        )


def _require_other_folder(folder: Path, model: Path) -> None:
    if folder.is_dir() and model.is_dir() and folder.samefile(model):
        raise InputError(f"{folder} is the folder of the model itself; name another one.")
