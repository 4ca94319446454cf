"""The steps from a model to a smaller one, each of which turns files into a file."""

from __future__ import annotations

import contextlib
import hashlib
import json
import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from qubo_prune.core.defaults import WEIGHTS as DEFAULT_WEIGHTS
from qubo_prune.core.errors import InputError
from qubo_prune.core.files.hessian import load_hessian
from qubo_prune.core.problem.problem import Problem
from qubo_prune.core.spectrum.spectrum import Spectrum
from qubo_prune.core.stopping import Progress, Stop, StopReason
from qubo_prune.hessians.extraction import extract
from qubo_prune.pruning.block_weights import WEIGHTS, block_weights
from qubo_prune.pruning.evaluation.evaluator import evaluate
from qubo_prune.pruning.healing.distillation.method import Distill
from qubo_prune.pruning.healing.healer import heal
from qubo_prune.pruning.model_card import write_card
from qubo_prune.pruning.pipeline.digests import digest_of
from qubo_prune.pruning.pipeline.folder import (
    EVALUATION,
    HEALED,
    HESSIAN,
    MODEL,
    SELECTION,
    SPECTRUM,
    WORK,
)
from qubo_prune.pruning.pipeline.settings import CompressSettings
from qubo_prune.pruning.pipeline.workbench import Workbench
from qubo_prune.pruning.problem_of_model import problem_of
from qubo_prune.pruning.pruner import prune
from qubo_prune.pruning.saving import RECORD
from qubo_prune.pruning.selection import Selection
from qubo_prune.pruning.selector import select
from qubo_prune.solving.solve import solve

__all__ = ["STEPS", "Job", "Step", "steps_of"]

_READING = ("split", "config", "text_field", "mask_prompt", "sequence_length", "seed")
_LOADING = ("dtype", "layers", "granularity")
_WEIGHTS = "weights"
"""What stands for the file that says what blocks weigh."""
_ALLOWED = ("remove", "only", "keep", "force")


@dataclass
class Job:
    """What a step works with.

    Attributes
    ----------
    folder : Path
        Of the steps.
    bench : Workbench
        The model and the samples.
    settings : CompressSettings
        All settings.
    command : str
        How to do it again.
    time_limit : float or None
        Seconds left.
    progress : callable, optional
        Called with a `Progress`.
    """

    folder: Path
    bench: Workbench
    settings: CompressSettings
    command: str | None = None
    time_limit: float | None = None
    progress: Callable[[Progress], None] | None = None

    def stop(self, most: float | None = None) -> Stop:
        """Return when a step has to stop: after `most` seconds, and when no time is left."""
        limits = [each for each in (most, self.time_limit) if each is not None]
        return Stop(min(limits, default=None), progress=self.progress)

    def work(self, name: str, request: Mapping[str, Any]) -> Path:
        """Return a path for what an unfinished step leaves, which depends on what it is asked."""
        text = json.dumps(request, sort_keys=True)
        path = self.folder / WORK / f"{hashlib.sha256(text.encode()).hexdigest()[:12]}-{name}"
        path.parent.mkdir(exist_ok=True)
        return path


class Step(ABC):
    """One step.

    Attributes
    ----------
    name : str
        What ``--from`` calls it.
    output : str
        The file or folder that it writes.
    summary : str
        What it does, in a few words.
    """

    name: str
    output: str
    summary: str

    @classmethod
    def is_wanted(cls, _: CompressSettings) -> bool:
        """Whether these settings need it."""
        return True

    @abstractmethod
    def reads(self, settings: CompressSettings) -> tuple[str, ...]:
        """Return the files that it reads; ``model``, ``data`` and ``weights`` stand for what the
        user gave.
        """

    @abstractmethod
    def options(self, settings: CompressSettings) -> dict[str, Any]:
        """Return the settings that its result depends on."""

    @abstractmethod
    def run(self, job: Job, request: Mapping[str, Any]) -> StopReason:
        """Write the output, unless it was stopped before; then the next call goes on."""

    def request(self, job: Job) -> dict[str, Any]:
        """Return what it is asked, with the checksums of what it reads."""
        given: dict[str, Callable[[], str | None]] = {
            "model": lambda: job.bench.model_digest,
            "data": lambda: job.bench.data_digest,
            _WEIGHTS: lambda: digest_of(Path(job.settings.weights)),
        }
        read = {
            name: given[name]() if name in given else digest_of(job.folder / name)
            for name in self.reads(job.settings)
        }
        return {
            **self.options(job.settings),
            **{f"reads {key}": each for key, each in read.items()},
        }


def _asked(settings: CompressSettings) -> dict[str, Any]:
    """Return what is to be removed, by the names of `problem_of`."""
    budget = () if settings.at_least is None else ("at_least", "weights")
    return _values(settings, *_ALLOWED, *budget)


def _weights_file(settings: CompressSettings) -> tuple[str, ...]:
    """Return that a file says what blocks weigh, if one does."""
    is_read = settings.at_least is not None and settings.weights not in WEIGHTS
    return (_WEIGHTS,) if is_read else ()


def _values(settings: CompressSettings, *names: str) -> dict[str, Any]:
    values: dict[str, Any] = {}
    for name in names:
        value = getattr(settings, name)
        values[name] = dict(value) if isinstance(value, Mapping) else value
    return values


class Extract(Step):
    """The Hessian of the model."""

    name = "extract"
    output = HESSIAN
    summary = "the Hessian, from gradients"

    @classmethod
    def is_wanted(cls, settings: CompressSettings) -> bool:
        return settings.hessian_samples > 0

    def reads(self, _: CompressSettings) -> tuple[str, ...]:
        return ("model", "data")

    def options(self, settings: CompressSettings) -> dict[str, Any]:
        report = "evaluation_samples"  # which decide how many are left where they are few
        return _values(settings, *_READING, *_LOADING, "hessian_samples", report)

    def run(self, job: Job, request: Mapping[str, Any]) -> StopReason:
        target, made = job.folder / HESSIAN, job.work(HESSIAN, request)
        complete = made.with_suffix(".complete")  # said before the first file is moved
        if not (made.exists() and (complete.exists() or _has_own_sidecar(made))):
            made.unlink(missing_ok=True)  # of which a killed run wrote no sidecar
            complete.unlink(missing_ok=True)
            bench = job.bench
            extraction = extract(
                bench.model,
                bench.calibration.part(0, bench.shares.hessian),
                made,
                granularity=job.settings.granularity,
                layers=job.settings.layers,
                batch_size=job.settings.batch_size,
                with_gradients=True,
                time_limit=job.time_limit,
                progress=job.progress,
            )
            if not extraction.complete:
                return extraction.stop_reason
        complete.touch()
        for suffix in (".grads.npy", ".json", ".npy"):  # the matrix last: then all is there
            part = made.with_name(made.name.removesuffix(".npy") + suffix)
            with contextlib.suppress(FileNotFoundError):
                part.replace(target.with_name(target.stem + suffix))
        complete.unlink()
        return StopReason.COMPLETED


def _has_own_sidecar(hessian: Path) -> bool:
    """Whether a Hessian lies beside the sidecar that was written with it."""
    with contextlib.suppress(InputError):
        return bool(load_hessian(hessian).metadata)
    return False


class Solve(Step):
    """The lowest energies of the Hessian."""

    name = "solve"
    output = SPECTRUM
    summary = "the lowest energies, with proof"

    @classmethod
    def is_wanted(cls, settings: CompressSettings) -> bool:
        return settings.hessian_samples > 0

    def reads(self, settings: CompressSettings) -> tuple[str, ...]:
        return (HESSIAN, *_weights_file(settings))

    def options(self, settings: CompressSettings) -> dict[str, Any]:
        own = ("states", "backend", "solve_seconds", "seed")
        return _asked(settings) | _values(settings, *own)

    def run(self, job: Job, _: Mapping[str, Any]) -> StopReason:
        settings = job.settings
        asked, weights = _asked(settings), None
        if asked.pop("weights", DEFAULT_WEIGHTS) != DEFAULT_WEIGHTS:
            weights = block_weights(job.bench.gates, settings.weights)
        problem = Problem.load(job.folder / HESSIAN, weights=weights, **asked)
        spectrum = solve(
            problem,
            num_states=settings.states,
            backend=settings.backend,
            seed=settings.seed,
            stop=job.stop(settings.solve_seconds),
        )
        reason = spectrum.stop_reason
        own_limit = settings.solve_seconds or math.inf
        if reason is StopReason.INTERRUPTED or not len(spectrum):
            return reason
        if reason is StopReason.TIME_LIMIT and (job.time_limit or math.inf) < own_limit:
            return reason
        spectrum.save(job.folder / SPECTRUM)
        return StopReason.COMPLETED


class Select(Step):
    """The removal that is missed least, by measuring."""

    name = "select"
    output = SELECTION
    summary = "removals, measured on the model"

    @classmethod
    def is_wanted(cls, settings: CompressSettings) -> bool:
        return settings.evaluations > 0

    def reads(self, settings: CompressSettings) -> tuple[str, ...]:
        hessian = (HESSIAN, SPECTRUM) if Solve.is_wanted(settings) else ()
        return ("model", "data", *hessian, *_weights_file(settings))

    def options(self, settings: CompressSettings) -> dict[str, Any]:
        own = ("evaluations", "samples", "objective", "criteria", "evaluation_samples")
        return _values(settings, *_READING, *_LOADING, *own) | _asked(settings)

    def run(self, job: Job, _: Mapping[str, Any]) -> StopReason:
        settings, bench = job.settings, job.bench
        has_hessian = Solve.is_wanted(settings)
        measured = _values(settings, *_LOADING, "objective") | {
            "model": bench.model_digest,
            "tokens": bench.calibration.description["tokens_sha256"],
            "samples": bench.shares.measuring,
        }
        selection = select(
            bench.model,
            bench.calibration.part(0, bench.shares.measuring),
            problem_of(
                bench.gates,
                file=load_hessian(job.folder / HESSIAN) if has_hessian else None,
                **_asked(settings),
            ),
            objective=settings.objective,
            evaluations=settings.evaluations,
            gates=bench.gates,
            criteria=settings.criteria,
            spectrum=Spectrum.load(job.folder / SPECTRUM) if has_hessian else None,
            seed=settings.seed,
            batch_size=settings.batch_size,
            state=job.work("measurements.jsonl", measured),
            weights_of=None if settings.at_least is None else settings.weights,
            stop=job.stop(),
        )
        if selection.stop_reason is StopReason.COMPLETED:
            selection.save(job.folder / SELECTION)
        return selection.stop_reason


class Prune(Step):
    """The smaller model."""

    name = "prune"
    output = MODEL
    summary = "the smaller model, loaded again and compared"

    def reads(self, settings: CompressSettings) -> tuple[str, ...]:
        return ("model", removal_file(settings))

    def options(self, settings: CompressSettings) -> dict[str, Any]:
        return _values(settings, *_LOADING, "candidates")

    def run(self, job: Job, _: Mapping[str, Any]) -> StopReason:
        settings, bench = job.settings, job.bench
        path = job.folder / removal_file(settings)
        removal = Selection.load(path) if settings.evaluations else Spectrum.load(path)
        stop = job.stop()
        with stop.interruptible():
            for state in reversed(range(min(settings.candidates, len(removal)))):
                if stop.should_stop():
                    return stop.reason or StopReason.INTERRUPTED
                stop.report(0, None, f"writing {model_name(state)}")
                prune(
                    bench.model,
                    removal,
                    job.folder / model_name(state),
                    state=state,
                    tokenizer=bench.tokenizer,
                    layers=settings.layers,
                    command=job.command,
                    trust_remote_code=settings.trust_remote_code,
                )
        return StopReason.COMPLETED


class Heal(Step):
    """The smaller model, nearer to the original by one more method.

    Parameters
    ----------
    number : int
        Which of the methods, from 0.
    settings : CompressSettings
        Of which the methods are.
    """

    def __init__(self, number: int, settings: CompressSettings) -> None:
        self._method = settings.heal[number]
        self._from = healed_name(settings.heal[:number])
        self.name = f"heal-{self._method}"
        self.output = healed_name(settings.heal[: number + 1])
        self.summary = settings.method(self._method).summary

    def reads(self, _: CompressSettings) -> tuple[str, ...]:
        return ("model", "data", self._from)

    def options(self, settings: CompressSettings) -> dict[str, Any]:
        used = ("hessian_samples", "samples", "evaluation_samples")  # which leave it its samples
        own = asdict(settings.distillation) if self._method == Distill.name else {}
        return {**_values(settings, *_READING, *_LOADING, "heal_samples", *used), **own}

    def run(self, job: Job, _: Mapping[str, Any]) -> StopReason:
        settings, bench = job.settings, job.bench
        return heal(
            job.folder / self._from,
            bench.model,
            bench.calibration.part(0, bench.shares.healing),
            job.folder / self.output,
            methods=[settings.method(self._method)],
            batch_size=settings.batch_size,
            dtype=settings.dtype,
            device_map=settings.device,
            layers=settings.layers,
            command=job.command,
            trust_remote_code=settings.trust_remote_code,
            keep_partial=False,
            stop=job.stop(),
        ).stop_reason


class Report(Step):
    """How good the smaller models are, beside the original."""

    name = "evaluate"
    output = EVALUATION
    summary = "how good it is, beside the original"

    @classmethod
    def is_wanted(cls, settings: CompressSettings) -> bool:
        return bool(settings.evaluation_samples or settings.tasks or settings.text)

    def reads(self, settings: CompressSettings) -> tuple[str, ...]:
        sampled = ("data",) if settings.evaluation_samples else ()
        return ("model", *sampled, removal_file(settings), *models_of(settings))

    def options(self, settings: CompressSettings) -> dict[str, Any]:
        own = ("evaluation_samples", "tasks", "limit", "include_path", "latency", "text_tokens")
        used = ("hessian_samples", "samples")  # which decide where the report's samples begin
        files = [digest_of(Path(each)) for each in settings.text]
        return {**_values(settings, *_READING, "dtype", *own, *used), "text": files}

    def run(self, job: Job, _: Mapping[str, Any]) -> StopReason:
        settings, bench = job.settings, job.bench
        samples = None
        if settings.evaluation_samples:
            samples = bench.calibration.part(*bench.shares.report)
        made = [name for name in models_of(settings) if (job.folder / name).is_dir()]
        evaluation = evaluate(
            {"original": bench.model, **{name: job.folder / name for name in made}},
            samples,
            tokenizer=bench.tokenizer,
            text=settings.text or None,
            text_tokens=settings.text_tokens,
            tasks=settings.tasks,
            limit=settings.limit,
            include_path=settings.include_path,
            latency=settings.latency,
            batch_size=settings.batch_size,
            dtype=settings.dtype,
            device_map=settings.device,
            trust_remote_code=settings.trust_remote_code,
            state=job.work("measures.jsonl", {}),
            stop=job.stop(),
        )
        if evaluation.stop_reason is StopReason.COMPLETED:
            for name in made:
                write_card(job.folder / name, evaluation.to_markdown())
            evaluation.save((job.folder / EVALUATION).with_suffix(".md"))
            evaluation.save(job.folder / EVALUATION)  # the last: then all is there
        return evaluation.stop_reason


def models_of(settings: CompressSettings) -> tuple[str, ...]:
    """Return the folders of the smaller models."""
    healed = (healed_name(settings.heal[: number + 1]) for number in range(len(settings.heal)))
    return (*map(model_name, range(settings.candidates)), *healed)


def left_over(folder: Path, settings: CompressSettings) -> list[str]:
    """Return the folders of models that an earlier call with more candidates made."""
    made = (each.name for each in folder.glob(f"{MODEL}-*") if (each / RECORD).exists())
    return sorted(set(made).difference(models_of(settings)))


def removal_file(settings: CompressSettings) -> str:
    """Return which file says what is removed."""
    return SELECTION if settings.evaluations else SPECTRUM


def model_name(state: int) -> str:
    """Return the folder of the model without the blocks of a state.

    >>> model_name(0), model_name(17)
    ('04-model', '04-model-17')
    """
    return MODEL if not state else f"{MODEL}-{state}"


def healed_name(methods: Sequence[str]) -> str:
    """Return the folder of the best model when some methods have healed it.

    >>> healed_name(["linear", "distill"]), healed_name([])
    ('05-healed-linear-distill', '04-model')
    """
    return "-".join((HEALED, *methods)) if methods else MODEL


STEPS: tuple[type[Step], ...] = (Extract, Solve, Select, Prune, Report)
"""All steps but those of healing, in order."""


def steps_of(settings: CompressSettings) -> list[Step]:
    """Return the steps that these settings need, in order."""
    steps = [step() for step in STEPS if step.is_wanted(settings)]
    place = next((at for at, step in enumerate(steps) if isinstance(step, Report)), len(steps))
    steps[place:place] = [Heal(number, settings) for number in range(len(settings.heal))]
    return steps
