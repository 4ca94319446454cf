"""Loss on samples, and how far the predictions lie from the original's: KL and agreement."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from transformers import PreTrainedModel

from qubo_prune.core.errors import InputError
from qubo_prune.core.text import format_count
from qubo_prune.hessians.calibration.calibration import Calibration
from qubo_prune.hessians.gates.gates import frozen
from qubo_prune.hessians.gates.head import Head, base_hidden_states, find_head, token_embedding
from qubo_prune.hessians.gates.probes import random_tokens, run
from qubo_prune.hessians.gradients import chunk_size
from qubo_prune.pruning.evaluation.metrics import Metric
from qubo_prune.pruning.evaluation.watch import UNWATCHED, Watch
from qubo_prune.pruning.measuring.batches import Batch, make_batches
from qubo_prune.pruning.measuring.losses import Predictions, token_comparisons, token_losses
from qubo_prune.pruning.measuring.memory import ran_out, release

__all__ = [
    "Original",
    "Predictor",
    "block_losses",
    "checksum",
    "inference",
    "measure_samples",
    "require_same_vocabulary",
    "sample_losses",
    "with_less_memory",
]

_Result = TypeVar("_Result")


class Predictor:
    """A model as something that predicts tokens, with the logits of few of them at a time.

    Parameters
    ----------
    model : transformers.PreTrainedModel
        A causal language model.

    Attributes
    ----------
    step : int
        Predictions whose logits are in memory at a time.
    """

    def __init__(self, model: PreTrainedModel) -> None:
        self.model = model
        with inference(model):
            tokens = random_tokens(model)
            self._head: Head | None = find_head(model, tokens, run(model, tokens))
        self.step = max(1, chunk_size(len(token_embedding(model)), None) // 4)

    @property
    def keeps(self) -> bool:
        """Whether hidden states, which are small, are all that logits come from."""
        return self._head is not None

    def predictions(self, batch: Batch, states: Tensor | None = None) -> Predictions:
        """Return what makes the counted predictions of a batch; `states` if they are known."""
        if states is None:
            ids = batch.ids[:, :-1]  # the last token of a sample predicts none that counts
            if self._head is None:
                states = self.model(input_ids=ids, use_cache=False).logits
            else:
                states = base_hidden_states(self.model, ids)
            states = batch.predicting(states)
        return Predictions(self._head, states)


class Original:
    """The predictions of the original, which every other model is held against.

    Hidden states are kept in the memory of the processor; where only the model itself makes logits,
    which are too large to keep, it is run again.

    Parameters
    ----------
    model : transformers.PreTrainedModel
        The original.
    """

    def __init__(self, model: PreTrainedModel) -> None:
        self.model = model
        self._predictor = Predictor(model)
        self._kept: dict[tuple[int, ...], tuple[Tensor, torch.device]] = {}
        self._batch_size = 0

    def batches_of(self, batch_size: int) -> None:
        """Forget what was kept of batches of another size."""
        if batch_size != self._batch_size:
            self._kept.clear()
        self._batch_size = batch_size

    def predictions(self, batch: Batch) -> Predictions:
        """Return what makes the original's predictions of a batch."""
        key = tuple(batch.samples.tolist())
        if key in self._kept:
            states, device = self._kept[key]
            return self._predictor.predictions(batch, states.to(device))
        found = self._predictor.predictions(batch)
        if self._predictor.keeps:
            self._kept[key] = found.states.cpu(), found.states.device
        return found


def measure_samples(
    model: PreTrainedModel,
    calibration: Calibration,
    original: Original | None,
    *,
    batch_size: int,
    watch: Watch = UNWATCHED,
) -> list[Metric]:
    """Return the loss on samples and, beside an original, KL(original || model) and the share of
    tokens that both find most likely.

    Each is a mean over samples of the mean over a sample's counted tokens, in nats per token.

    Parameters
    ----------
    model : transformers.PreTrainedModel
        The model.
    calibration : Calibration
        The samples.
    original : Original, optional
        What it is held against.
    batch_size : int
        Most samples at a time; halved whenever memory runs out.
    watch : Watch
        Told before every batch, and may end it.

    Raises
    ------
    InputError
        If the two do not predict the same tokens, or one sample does not fit into memory.
    StoppedError
        If the watch has it end.
    """
    if original is None:
        losses = sample_losses(model, calibration, batch_size=batch_size, watch=watch)
        return [Metric.mean("loss", losses, unit="nats")]
    require_same_vocabulary(model, original.model)
    predictor = Predictor(model)

    def run_all(size: int) -> NDArray[np.float64]:
        original.batches_of(size)
        values = np.empty((3, len(calibration)))
        for batch in _watched(make_batches(model, calibration, size), watch):
            with inference(original.model):
                expected = original.predictions(batch)
            with inference(model):
                found = predictor.predictions(batch)
                compared = token_comparisons(found, expected, batch.labels, predictor.step)
            values[:, batch.samples] = [batch.sample_means(each) for each in compared]
        return values

    losses, divergences, agreements = with_less_memory(run_all, batch_size)
    return [
        Metric.mean("loss", losses, unit="nats"),
        Metric.mean("KL", divergences, unit="nats"),
        Metric.mean("top-1 agreement", agreements, higher_is_better=True),
    ]


def sample_losses(
    model: PreTrainedModel,
    calibration: Calibration,
    *,
    batch_size: int,
    watch: Watch = UNWATCHED,
) -> NDArray[np.float64]:
    """Return the mean cross-entropy of each sample's counted tokens, (m,); the arguments are those
    of `measure_samples`.
    """
    predictor = Predictor(model)

    def run_all(size: int) -> NDArray[np.float64]:
        losses = np.empty(len(calibration))
        for batch in _watched(make_batches(model, calibration, size), watch):
            with inference(model):
                head, states = predictor.predictions(batch)
                nats = token_losses(head, states, batch.labels, predictor.step)
            losses[batch.samples] = batch.sample_means(nats)
        return losses

    return with_less_memory(run_all, batch_size)


def block_losses(
    model: PreTrainedModel,
    calibration: Calibration,
    block: int,
    *,
    batch_size: int,
    watch: Watch = UNWATCHED,
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the summed cross-entropy of each block of a sample's counted tokens, and how many
    tokens it has, sample by sample.

    Parameters
    ----------
    block : int
        Tokens of a block; the last one of a sample may be shorter.
    model, calibration, batch_size, watch
        As of `measure_samples`.
    """
    predictor = Predictor(model)
    counted = np.array([each.sum() for each in calibration.targets])
    starts = np.concatenate([[0], np.cumsum(-(-counted // block))])

    def run_all(size: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        sums, counts = np.zeros((2, starts[-1]))
        for batch in _watched(make_batches(model, calibration, size), watch):
            with inference(model):
                head, states = predictor.predictions(batch)
                nats = token_losses(head, states, batch.labels, predictor.step).numpy()
            rows = batch.rows.numpy()
            # Predictions come sample by sample, each from its first counted token on.
            position = np.arange(len(rows)) - np.searchsorted(rows, rows)
            place = starts[batch.samples[rows]] + position // block
            np.add.at(sums, place, nats)
            np.add.at(counts, place, 1)
        return sums, counts

    return with_less_memory(run_all, batch_size)


def checksum(calibration: Calibration) -> str:
    """Return the SHA-256 of the tokens of samples, and of which of them count."""
    digest = hashlib.sha256()
    for tokens, targets in zip(calibration.tokens, calibration.targets, strict=True):
        digest.update(len(tokens).to_bytes(8, "little"))
        digest.update(np.ascontiguousarray(tokens, "<i8").tobytes())
        digest.update(np.packbits(targets).tobytes())
    return digest.hexdigest()


def with_less_memory(run_all: Callable[[int], _Result], batch_size: int) -> _Result:
    """Return what a function of the size of batches does, with smaller ones if memory runs out."""
    size = batch_size
    while True:
        try:
            return run_all(size)
        except (RuntimeError, MemoryError) as error:
            if not ran_out(error):
                raise
            if size == 1:
                raise InputError(
                    "memory ran out with a single sample; use shorter samples, a smaller dtype or"
                    " more devices."
                ) from error
        size //= 2
        release()


@contextmanager
def inference(model: PreTrainedModel) -> Iterator[None]:
    """Evaluate without gradients; nothing of a model's settings is changed afterwards."""
    with frozen(model), torch.inference_mode():
        yield


def _watched(batches: list[Batch], watch: Watch) -> Iterator[Batch]:
    for done, batch in enumerate(batches):
        watch(done, len(batches))
        yield batch


def require_same_vocabulary(model: PreTrainedModel, original: PreTrainedModel) -> None:
    """Refuse a model whose predictions cannot be held against the original's."""
    sizes = [len(token_embedding(each)) for each in (model, original)]
    if sizes[0] != sizes[1]:
        raise InputError(
            f"a model must predict the {format_count(sizes[1])} tokens of the original, not"
            f" {format_count(sizes[0])} others; compare models of one tokenizer."
        )
