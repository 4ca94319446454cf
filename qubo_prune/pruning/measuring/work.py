"""What is done with a model on the way through a tree of removals."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from qubo_prune.core.errors import InputError
from qubo_prune.core.stopping import Stop
from qubo_prune.hessians.calibration.calibration import Calibration
from qubo_prune.hessians.gates.gates import Gates
from qubo_prune.hessians.gates.head import token_embedding
from qubo_prune.hessians.gradients import chunk_size, sample_gradients
from qubo_prune.pruning.measuring.batches import Batch, make_batches
from qubo_prune.pruning.measuring.losses import token_divergences, token_losses
from qubo_prune.pruning.measuring.passes import Passes, inference


class StoppedError(Exception):
    """A `Stop` said so."""


class ModelWork:
    """Runs a model for `qubo_prune.pruning.measuring.trie.Walk`.

    Its states are what enters a layer, one tensor for each batch of samples; None before the first.

    Parameters
    ----------
    passes
        The passes of the model.
    calibration
        The samples.
    batch_size
        Most samples of a batch.
    divergence
        Whether to measure KL(original || removed) in place of the increase of the loss.
    chunk_tokens
        Predictions whose logits are held in memory at a time.
    stop
        Asked after each batch, as later the one given to `asking`.

    Attributes
    ----------
    baseline
        Each sample's loss in the original model, (m,).

    Raises
    ------
    InputError
        If a loss of the original is not finite.
    """

    def __init__(
        self,
        passes: Passes,
        calibration: Calibration,
        batch_size: int,
        *,
        divergence: bool,
        chunk_tokens: int | None,
        stop: Stop | None = None,
    ) -> None:
        self._passes = passes
        self._head = passes.gates.head
        self._num_samples = len(calibration)
        self._batches = make_batches(passes.gates.model, calibration, batch_size)
        vocabulary = len(token_embedding(passes.gates.model))
        self._step = chunk_size(vocabulary, chunk_tokens)
        if chunk_tokens is None:
            # Without a graph to keep, a quarter is as fast on a GPU and faster on a processor.
            self._step = max(1, self._step // 4)
        self._stop = stop
        self.baseline: NDArray[np.float64] = np.empty(self._num_samples)
        self._originals: list[Tensor | None] | None = None
        originals: list[Tensor | None] = []
        for batch in self._batches:
            losses, original = self._original(batch)
            self.baseline[batch.samples] = losses
            if divergence:
                originals.append(original)
        self.baseline.setflags(write=False)
        self._check_finite()
        if divergence:
            self._originals = originals

    def asking(self, stop: Stop | None) -> ModelWork:
        """Have the work end with `StoppedError` where `stop` says so."""
        self._stop = stop
        return self

    def start(self) -> list[Tensor | None]:
        """Return the states before the first layer, which the model makes itself."""
        return [None] * len(self._batches)

    def advance(
        self, state: list[Tensor | None], first: int, last: int, removed: tuple[int, ...]
    ) -> None:
        """Turn what enters layer `first` into what enters layer `last`, batch by batch."""
        for index, batch in enumerate(self._batches):
            self._check_stop()
            state[index] = self._passes.state_at(batch.ids, state[index], first, last, removed)

    def finish(
        self, state: list[Tensor | None], first: int, removed: tuple[int, ...]
    ) -> NDArray[np.float64]:
        """Run the layers from `first` on; return the value of each sample, (m,)."""
        values = np.empty(self._num_samples)
        for index, batch in enumerate(self._batches):
            self._check_stop()
            with inference(self._passes.gates):
                end = self._passes.end_of(batch.ids, state[index], first, removed)
                found = batch.predicting(end)
                if self._originals is None:
                    nats = token_losses(self._head, found, batch.labels, self._step)
                else:
                    expected = self._expected(batch, self._originals[index])
                    nats = token_divergences(self._head, expected, found, self._step)
            values[batch.samples] = batch.sample_means(nats)
            state[index] = None
        return values if self._originals is not None else values - self.baseline

    def _original(self, batch: Batch) -> tuple[NDArray[np.float64], Tensor | None]:
        """Return the losses of the original, and what its predictions are made of again later.

        These are the hidden states that the head is applied to, or what enters the last layer where
        only the model itself makes logits of it.
        """
        self._check_stop()
        passes, kept = self._passes, None
        with inference(passes.gates):
            if self._head is None and passes.shares:
                kept = passes.state_at(batch.ids, None, 0, passes.num_layers - 1, ())
            states = batch.predicting(self._end_of_original(batch, kept))
            nats = token_losses(self._head, states, batch.labels, self._step)
        return batch.sample_means(nats), states if self._head is not None else kept

    def _end_of_original(self, batch: Batch, kept: Tensor | None) -> Tensor:
        first = 0 if kept is None else self._passes.num_layers - 1
        return self._passes.end_of(batch.ids, kept, first, ())

    def _expected(self, batch: Batch, original: Tensor | None) -> Tensor:
        """Return what the original's predictions come from: hidden states, or logits."""
        if self._head is not None:
            assert original is not None  # noqa: S101  # as _original keeps it
            return original
        return batch.predicting(self._end_of_original(batch, original))

    def _check_stop(self) -> None:
        if self._stop is not None and self._stop.should_stop():
            raise StoppedError

    def _check_finite(self) -> None:
        wrong = ~np.isfinite(self.baseline)
        if wrong.any():
            dtype = str(next(self._passes.gates.model.parameters()).dtype).removeprefix("torch.")
            raise InputError(
                "the loss of the original model must be finite, but those of "
                f"{int(wrong.sum())} of {self._num_samples} samples are not in {dtype}, first of "
                f"sample {int(wrong.argmax())}; load the model in bfloat16 or float32."
            )


def sample_slopes(
    gates: Gates,
    calibration: Calibration,
    removed: tuple[int, ...],
    batch_size: int,
    chunk_tokens: int | None,
) -> NDArray[np.float64]:
    """Return the gradient of each sample's loss at the gates, (m, N), those of `removed` at 0."""
    slopes = np.empty((len(calibration), len(gates)))
    order = np.argsort([len(tokens) for tokens in calibration.tokens], kind="stable")
    for start in range(0, len(order), batch_size):
        chosen = order[start : start + batch_size]
        _, slopes[chosen] = sample_gradients(
            gates,
            [calibration.tokens[s] for s in chosen],
            [calibration.targets[s] for s in chosen],
            removed=removed,
            chunk_tokens=chunk_tokens,
        )
    return slopes
