"""What can be measured of a model, and what each result depends on."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from qubo_prune.core.defaults import BATCH_SIZE
from qubo_prune.core.errors import InputError
from qubo_prune.hessians.calibration.calibration import Calibration
from qubo_prune.hessians.language_model import check_length
from qubo_prune.pruning.evaluation.harness import Tasks
from qubo_prune.pruning.evaluation.latency import Load, measure_latency, measure_memory
from qubo_prune.pruning.evaluation.metrics import Metric
from qubo_prune.pruning.evaluation.perplexity import (
    CHUNK,
    WINDOW,
    Text,
    chunks,
    measure_chunks,
    measure_rolling,
    rolling,
)
from qubo_prune.pruning.evaluation.samples import Original, checksum, measure_samples
from qubo_prune.pruning.evaluation.size import measure_size
from qubo_prune.pruning.evaluation.watch import Watch

if TYPE_CHECKING:
    from transformers import PreTrainedModel

__all__ = ["LATENCY", "Measure", "Wanted", "measures_of"]

LATENCY = "latency"


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """What is to be measured, beside the sizes.

    Attributes
    ----------
    calibration : Calibration, optional
        Samples for the loss and, beside an original, KL and agreement.
    documents : tuple of str
        For perplexities.
    text_tokens : int, optional
        Most tokens of them.
    window, chunk : int
        Tokens of a rolling window and of a chunk.
    tasks : dict of str to int or None
        Of lm-eval, with their examples.
    limit : int, optional
        Most items of each.
    include_path : path, optional
        A folder with files of tasks.
    load : Load, optional
        What is timed.
    batch_size : int
        Most samples at a time.
    """

    calibration: Calibration | None = None
    documents: tuple[str, ...] = ()
    text_tokens: int | None = None
    window: int = WINDOW
    chunk: int = CHUNK
    tasks: Mapping[str, int | None] = field(default_factory=dict)
    limit: int | None = None
    include_path: Path | None = None
    load: Load | None = None
    batch_size: int = BATCH_SIZE

    @property
    def needs_tokenizer(self) -> bool:
        """Whether texts have to become tokens."""
        return bool(self.documents or self.tasks)


@dataclass(frozen=True)
class Measure:
    """Something that is measured of a model.

    Attributes
    ----------
    name : str
        What it is called in files of measures.
    settings : dict
        What the result depends on, besides the models.
    run : callable
        Measures a model, beside the original if there is one and this is not it.
    is_paired : bool
        Whether the result depends on the original.
    """

    name: str
    settings: Mapping[str, Any]
    run: Callable[[PreTrainedModel, Original | None, Watch], Sequence[Metric]]
    is_paired: bool = False


def measures_of(wanted: Wanted, first: PreTrainedModel, tokenizer: Any) -> Iterator[Measure]:
    """Yield what is measured of every model, in this order.

    Parameters
    ----------
    wanted : Wanted
        What is asked for.
    first : transformers.PreTrainedModel
        The first of the models; windows are no longer than its positions.
    tokenizer : transformers tokenizer
        That of all models; not needed for samples and sizes.
    """
    size = wanted.batch_size
    if (samples := wanted.calibration) is not None:
        check_length(first, max(map(len, samples.tokens)))
        yield Measure(
            "samples",
            {"tokens_sha256": checksum(samples)},
            lambda model, original, watch: measure_samples(
                model, samples, original, batch_size=size, watch=watch
            ),
            is_paired=True,
        )
    if wanted.documents:
        yield from _perplexities(wanted, first, tokenizer)
    if wanted.tasks:
        tasks = Tasks(tuple(wanted.tasks), include_path=wanted.include_path, limit=wanted.limit)
        for task, shots in wanted.tasks.items():
            yield _of_task(tasks, task, shots, tokenizer, size)
    yield Measure("size", {}, lambda model, _original, _watch: measure_size(model))
    if (load := wanted.load) is not None:
        where = {
            **load._asdict(),
            "device": str(first.device),
            "threads": torch.get_num_threads(),
        }
        yield Measure(
            LATENCY,
            where,
            lambda model, original, watch: measure_latency(
                model, None if original is None else original.model, load, watch
            ),
            is_paired=True,
        )
        yield Measure(
            "memory", where, lambda model, _original, watch: measure_memory(model, load, watch)
        )


def _perplexities(wanted: Wanted, first: PreTrainedModel, tokenizer: Any) -> Iterator[Measure]:
    text = Text(wanted.documents, tokenizer, wanted.text_tokens)
    positions = getattr(first.config.get_text_config(decoder=True), "max_position_embeddings", None)
    longest = positions if isinstance(positions, int) else wanted.window
    if wanted.chunk > longest:
        raise InputError(
            f"chunk must be at most {longest}, the positions of {type(first).__name__}, not"
            f" {wanted.chunk}; give a smaller one."
        )
    size = wanted.batch_size
    in_a_row = rolling(text, min(wanted.window, longest))
    yield Measure(
        "rolling perplexity",
        {"tokens_sha256": checksum(in_a_row.calibration), "words": float(in_a_row.words.sum())},
        lambda model, _original, watch: measure_rolling(
            model, in_a_row, batch_size=size, watch=watch
        ),
    )
    cut = chunks(text, wanted.chunk)
    yield Measure(
        "chunk perplexity",
        {"tokens_sha256": checksum(cut.calibration)},
        lambda model, _original, watch: measure_chunks(model, cut, batch_size=size, watch=watch),
    )


def _of_task(tasks: Tasks, task: str, shots: int | None, tokenizer: Any, size: int) -> Measure:
    return Measure(
        f"task {task}",
        tasks.settings(task, shots),
        lambda model, _original, watch: tasks.run(
            task, model, tokenizer, shots=shots, batch_size=size, watch=watch
        ),
    )
