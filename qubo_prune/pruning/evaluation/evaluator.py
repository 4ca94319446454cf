"""The evaluation of models, one at a time beside the original."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from qubo_prune.core.defaults import BATCH_SIZE
from qubo_prune.core.errors import InputError
from qubo_prune.core.stopping import Stop, StopReason
from qubo_prune.core.text import format_value
from qubo_prune.core.validation import as_count
from qubo_prune.core.version import versions
from qubo_prune.hessians.calibration.calibration import Calibration
from qubo_prune.pruning.evaluation.evaluation import Evaluation
from qubo_prune.pruning.evaluation.metrics import Kind, Metric
from qubo_prune.pruning.evaluation.perplexity import CHUNK, WINDOW
from qubo_prune.pruning.evaluation.records import MeasureRecords
from qubo_prune.pruning.evaluation.suites import as_tasks, suite_dtype
from qubo_prune.pruning.evaluation.watch import StoppedError, Watch

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

    from qubo_prune.pruning.evaluation.measures import Measure, Wanted
    from qubo_prune.pruning.evaluation.samples import Original

__all__ = ["evaluate"]

_ORIGINAL = "original"
"""What the original is called, if that is not said."""


def evaluate(
    models: Mapping[str, PreTrainedModel | str | os.PathLike[str]],
    calibration: Calibration | None = None,
    *,
    original: str | None = None,
    tokenizer: PreTrainedTokenizerBase | None = None,
    text: str | os.PathLike[str] | Sequence[str | os.PathLike[str]] | None = None,
    text_tokens: int | None = None,
    window: int = WINDOW,
    chunk: int = CHUNK,
    tasks: Sequence[str] = (),
    shots: int | None = None,
    limit: int | None = None,
    include_path: str | os.PathLike[str] | None = None,
    latency: bool = True,
    prompt_tokens: int = 512,
    new_tokens: int = 32,
    repeats: int = 9,
    batch_size: int = BATCH_SIZE,
    dtype: str = "auto",
    device_map: str | None = "auto",
    revision: str | None = None,
    trust_remote_code: bool = False,
    state: str | os.PathLike[str] | None = None,
    stop: Stop | None = None,
) -> Evaluation:
    """Measure models, and compare each with the original on the same samples.

    Models given by name are loaded one at a time, the original first, which stays. Sizes are always
    measured: parameters, bytes of weights, bytes of the cache.

    Parameters
    ----------
    models : dict of str to transformers.PreTrainedModel or path
        By the name that tables show: a model in memory, a folder, or a name on the hub.
    calibration : Calibration, optional
        Samples (`qubo_prune.hessians.calibration.load_calibration`) for the loss and, beside an
        original, KL(original || model) and the share of tokens that both find most likely.
    original : str, optional
        The name of what the others are compared with; ``original`` if one is called so.
    tokenizer : transformers tokenizer, optional
        For text and tasks, the same for all models; by default that of the original, or of the
        first.
    text : path or sequence of path, optional
        Documents for perplexities (`qubo_prune.pruning.evaluation.texts.read_documents`).
    text_tokens : int, optional
        Score no more than so many tokens of them.
    window : int
        Tokens that a model sees at once in the rolling perplexity, no more than it has positions.
    chunk : int
        Tokens of a chunk of the perplexity as llama.cpp has it.
    tasks : sequence of str
        Tasks of lm-eval (extra ``eval``), and suites
        (`qubo_prune.pruning.evaluation.suites.SUITES`): ``paper``.
    shots : int, optional
        Examples in each prompt of tasks that are not of a suite; by default what the task says.
    limit : int, optional
        Only the first so many items of each task.
    include_path : path, optional
        A folder with files of tasks.
    latency : bool
        Whether times and the peak of memory are taken.
    prompt_tokens, new_tokens, repeats : int
        What is timed, and how often.
    batch_size : int
        Most samples at a time; halved when memory runs out.
    dtype : str
        What models are loaded as; ``auto`` is what the suite says, or what they were saved in.
    device_map, revision, trust_remote_code
        As of `qubo_prune.hessians.load_model`.
    state : path, optional
        A file that keeps every measure as it comes, from which a run that was stopped goes on;
        runs with other models and measures may share it.
    stop : Stop, optional
        When to stop. What was measured by then is returned.

    Returns
    -------
    Evaluation

    Raises
    ------
    InputError
        If a model cannot be loaded or measured, or an argument is out of range.

    Examples
    --------
    >>> import pytest
    >>> transformers = pytest.importorskip("transformers")
    >>> def model_of(layers):
    ...     return transformers.GPT2LMHeadModel(
    ...         transformers.GPT2Config(vocab_size=50, n_embd=16, n_layer=layers, n_head=2)
    ...     )
    >>> tokens = tuple(np.random.default_rng(0).integers(0, 50, (5, 9)))
    >>> samples = Calibration(tokens, (np.arange(9) > 0,) * 5, np.arange(5), {"source": "random"})
    >>> models = {"original": model_of(3), "smaller": model_of(2)}
    >>> found = evaluate(models, samples, latency=False)
    >>> [each.name for each in found["smaller"]]  # doctest: +NORMALIZE_WHITESPACE
    ['loss', 'KL from the original', 'top-1 agreement', 'parameters', 'weights', 'cache per token']
    >>> found.compare("smaller", "cache per token").change == 2 / 3
    True
    """
    from qubo_prune.pruning.evaluation.latency import Load
    from qubo_prune.pruning.evaluation.measures import Wanted
    from qubo_prune.pruning.evaluation.texts import read_documents

    first = _original_of(models, original)
    load = Load(
        as_count(prompt_tokens, "prompt_tokens", least=1),
        as_count(new_tokens, "new_tokens", least=2),
        as_count(repeats, "repeats", least=1),
    )
    wanted = Wanted(
        calibration=calibration,
        documents=() if text is None else read_documents(text),
        text_tokens=None if text_tokens is None else as_count(text_tokens, "text_tokens", least=1),
        window=as_count(window, "window", least=2),
        chunk=as_count(chunk, "chunk", least=4),
        tasks=as_tasks(tasks, shots),
        limit=None if limit is None else as_count(limit, "limit", least=1),
        include_path=None if include_path is None else Path(include_path),
        load=load if latency else None,
        batch_size=as_count(batch_size, "batch_size", least=1),
    )
    if wanted.tasks:
        from qubo_prune.pruning.evaluation.harness import require_library

        require_library()
    of_loading = {
        "dtype": (suite_dtype(tasks) or "auto") if dtype == "auto" else dtype,
        "device_map": device_map,
        "revision": revision,
        "trust_remote_code": trust_remote_code,
    }
    return _Run(
        models, first, wanted, of_loading, tokenizer, MeasureRecords(state), stop or Stop()
    ).evaluation()


def _original_of(models: Mapping[str, Any], original: str | None) -> str | None:
    """Return the name of the original, if there is one."""
    if not models:
        raise InputError("there must be at least one model, not 0; name one.")
    if original is None:
        return _ORIGINAL if _ORIGINAL in models else None
    if original not in models:
        raise InputError(
            f"original must be one of {', '.join(models)}, not {format_value(original)}; name one"
            " of them."
        )
    return original


class _Run:
    """An evaluation under way.

    Parameters
    ----------
    models
        By name, in memory or where they are.
    original
        The name of the original, if there is one.
    wanted
        What is measured.
    of_loading
        Arguments of `load_model`.
    tokenizer
        If it is given.
    records
        What is known already.
    stop
        When to stop.
    """

    def __init__(
        self,
        models: Mapping[str, PreTrainedModel | str | os.PathLike[str]],
        original: str | None,
        wanted: Wanted,
        of_loading: Mapping[str, Any],
        tokenizer: PreTrainedTokenizerBase | None,
        records: MeasureRecords,
        stop: Stop,
    ) -> None:
        self._sources = models
        self._original_name = original
        self._wanted = wanted
        self._of_loading = of_loading
        self._tokenizer = tokenizer
        self._records = records
        self._stop = stop
        self._measures: list[Measure] = []
        self._original: Original | None = None
        self._described: dict[str, dict[str, Any]] = {}
        self._metrics: dict[str, list[Metric]] = {}

    def evaluation(self) -> Evaluation:
        """Measure what is not known, until it is all done or the stop says so."""
        started = time.monotonic()
        reason = StopReason.COMPLETED
        others = [name for name in self._sources if name != self._original_name]
        names = others if self._original_name is None else [self._original_name, *others]
        with self._stop.interruptible():
            try:
                for name in names:
                    self._measure(name)
            except StoppedError:
                reason = self._stop.reason or StopReason.INTERRUPTED
        self._stop.raise_failure()
        self._add_times_of_original()
        has_original = self._original_name in self._described
        return Evaluation(
            models=self._described,
            metrics={name: tuple(each) for name, each in self._metrics.items()},
            original=self._original_name if has_original else None,
            settings=_settings(self._wanted),
            versions=versions("python", "qubo-prune", "torch", "transformers", "numpy", "lm_eval"),
            seconds=time.monotonic() - started,
            stop_reason=reason,
        )

    def _measure(self, name: str) -> None:
        """Load a model and measure it, beside the original if it is another one."""
        from qubo_prune.hessians.language_model import describe
        from qubo_prune.pruning.evaluation.measures import LATENCY, measures_of
        from qubo_prune.pruning.evaluation.samples import Original
        from qubo_prune.pruning.measuring.memory import release

        Watch(self._stop, f"loading {name}")(0)
        model = self._load(name)
        facts = describe(model)
        facts.pop("versions")
        self._described[name] = facts
        self._metrics[name] = []
        if not self._measures:
            tokenizer = self._needed_tokenizer(name)
            self._measures = list(measures_of(self._wanted, model, tokenizer))
        is_original = name == self._original_name
        for measure in self._measures:
            # The original is timed beside each of the others.
            if is_original and measure.name == LATENCY and len(self._sources) > 1:
                continue
            self._metrics[name] += self._result(name, model, measure, is_original)
        if is_original and len(self._sources) > 1:
            self._original = Original(model)
        else:
            del model
            release()

    def _result(
        self, name: str, model: PreTrainedModel, measure: Measure, is_original: bool
    ) -> Sequence[Metric]:
        """Return what a measure says of a model, measured if it is not known."""
        fingerprint = self._described[name]["model_fingerprint"]
        settings = dict(measure.settings)
        original = None
        if measure.is_paired and not is_original and self._original_name is not None:
            original = self._original
            settings["original"] = self._described[self._original_name]["model_fingerprint"]
        known = self._records.get(fingerprint, measure.name, settings)
        if known is not None:
            return known
        watch = Watch(self._stop, f"{measure.name} of {name}")
        watch(0)
        found = measure.run(model, original, watch)
        self._records.add(fingerprint, measure.name, settings, found)
        return found

    def _load(self, name: str) -> PreTrainedModel:
        from qubo_prune.hessians.language_model import load_model

        source = self._sources[name]
        if not isinstance(source, str | os.PathLike):
            return source
        return load_model(os.fspath(source), **self._of_loading)

    def _needed_tokenizer(self, name: str) -> PreTrainedTokenizerBase | None:
        """Return the tokenizer of all models: that of the first one, if none was given."""
        from qubo_prune.hessians.language_model import load_tokenizer

        if not self._wanted.needs_tokenizer or self._tokenizer is not None:
            return self._tokenizer
        source = self._sources[name]
        if not isinstance(source, str | os.PathLike):
            raise InputError(
                f"text and tasks need the tokenizer of {name!r}, which is given in memory; pass"
                " tokenizer=."
            )
        found = load_tokenizer(
            os.fspath(source),
            revision=self._of_loading["revision"],
            trust_remote_code=self._of_loading["trust_remote_code"],
        )
        if found is None:
            raise InputError(
                f"text and tasks need the tokenizer of {os.fspath(source)!r}, with which none"
                " comes that can be loaded; add its tokenizer.json."
            )
        return found

    def _add_times_of_original(self) -> None:
        """Give the original the times that it took beside all the others."""
        name = self._original_name
        if name is None or name not in self._metrics:
            return
        known = {each.name for each in self._metrics[name]}
        beside: dict[str, list[Metric]] = {}
        for other, metrics in self._metrics.items():
            for each in metrics:
                if other != name and each.kind is Kind.TIME and len(each.reference):
                    beside.setdefault(each.name, []).append(each)
        self._metrics[name] += [
            Metric.time(what, np.concatenate([e.reference for e in these]), facts=these[0].facts)
            for what, these in beside.items()
            if what not in known
        ]


def _settings(wanted: Wanted) -> dict[str, Any]:
    """Return what was measured how, as JSON."""
    settings: dict[str, Any] = {"batch_size": wanted.batch_size}
    if wanted.calibration is not None:
        settings["calibration"] = wanted.calibration.description
        settings["samples"] = len(wanted.calibration)
    if wanted.documents:
        settings["text"] = {
            "documents": len(wanted.documents),
            "tokens": wanted.text_tokens,
            "window": wanted.window,
            "chunk": wanted.chunk,
        }
    if wanted.tasks:
        settings["tasks"] = dict(wanted.tasks)
        settings["limit"] = wanted.limit
    if wanted.load is not None:
        settings["latency"] = wanted.load._asdict()
    return settings
