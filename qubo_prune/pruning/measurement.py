"""The objective of many removals on one loaded model.

A removed layer is not run at all, and neither is a removed branch; removals that keep the same
first layers share the work of running them (`qubo_prune.pruning.measuring.trie`).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from qubo_prune.core.defaults import BATCH_SIZE
from qubo_prune.core.errors import InputError
from qubo_prune.core.stopping import Stop
from qubo_prune.core.text import format_count, format_value
from qubo_prune.core.validation import as_count
from qubo_prune.hessians.calibration.calibration import Calibration
from qubo_prune.pruning.objective import Measurement

if TYPE_CHECKING:
    from transformers import PreTrainedModel

    from qubo_prune.hessians.gates.gates import Gates
    from qubo_prune.pruning.measuring.work import ModelWork

__all__ = ["ModelObjective"]


class ModelObjective:
    """What removals do to a language model: `qubo_prune.pruning.objective.Objective` of a model.

    Of each sample the mean over its own counted tokens is taken, and of a removal the mean over the
    samples. Nothing is copied; the model's weights, settings and hooks are as they were after every
    value, and in between. A value does not depend, to the last bit, on what else is measured.

    Parameters
    ----------
    model : transformers.PreTrainedModel
        A causal language model, in any type, on any device or spread over several.
    gates : Gates
        Its gates (`qubo_prune.hessians.gates.find_gates`): what can be removed.
    calibration : Calibration
        The samples.
    objective : {"loss", "kl"}
        ``loss`` for the increase of the cross-entropy in nats, ``kl`` for KL(original || removed)
        of the predicted distributions, in nats per token.
    batch_size : int, optional
        Most samples that go through the model together; halved whenever memory runs out.
    shard : (int, int), optional
        Take part i of n of the samples, 1 <= i <= n; files of measurements
        (`qubo_prune.pruning.measuring.files`) put the parts together.
    chunk_tokens : int, optional
        Predictions whose logits are held in memory at a time; by default as many as take 64 MB in
        float32.

    Attributes
    ----------
    num_blocks, num_samples : int
        How many blocks and samples there are.
    batch_size : int
        Samples in a batch; smaller than asked for where memory ran out.

    Raises
    ------
    InputError
        If the gates are of another model, the samples do not suit it, or an argument is out of
        range.

    Examples
    --------
    >>> import pytest
    >>> transformers = pytest.importorskip("transformers")
    >>> from qubo_prune.hessians.gates.gates import find_gates
    >>> config = transformers.GPT2Config(
    ...     vocab_size=50, n_embd=16, n_layer=3, n_head=2, bos_token_id=0, eos_token_id=0
    ... )
    >>> model = transformers.GPT2LMHeadModel(config)
    >>> tokens = tuple(np.random.default_rng(0).integers(0, 50, (5, 9)))
    >>> samples = Calibration(tokens, (np.arange(9) > 0,) * 5, np.arange(5), {"source": "random"})
    >>> objective = ModelObjective(model, find_gates(model), samples, objective="kl")
    >>> found = {each.removed: each for each in objective.measure([(0, 2), (1,), ()])}
    >>> len(found), found[()].value, found[1,].values.shape, found[1,].value > 0
    (3, 0.0, (5,), True)
    """

    def __init__(
        self,
        model: PreTrainedModel,
        gates: Gates,
        calibration: Calibration,
        *,
        objective: Literal["loss", "kl"] = "loss",
        batch_size: int | None = None,
        shard: tuple[int, int] | None = None,
        chunk_tokens: int | None = None,
    ) -> None:
        from qubo_prune.pruning.measuring.passes import Passes

        if gates.model is not model:
            raise InputError(
                "the gates must be those of the model, not of another "
                f"{type(gates.model).__name__}; find them with find_gates(model)."
            )
        if objective not in {"loss", "kl"}:
            raise InputError(
                f"objective must be 'loss' or 'kl', not {format_value(objective)}; "
                "choose one of them."
            )
        if not len(calibration):
            raise InputError("there must be at least one sample, not 0; give other data.")
        size = BATCH_SIZE if batch_size is None else as_count(batch_size, "batch_size")
        if size < 1:
            raise InputError(
                f"batch_size must be at least 1, not {format_count(size)}; give 1 or more."
            )
        self.gates = gates
        self.calibration = calibration if shard is None else calibration.shard(*shard)
        self.objective = objective
        self.shard = shard
        self.num_blocks = len(gates)
        self.num_samples = len(self.calibration)
        self.batch_size = min(size, self.num_samples)
        self._passes = Passes(gates)
        self._sharing = self._passes.shares
        self._gradient_batch_size = self.batch_size
        self._chunk_tokens = chunk_tokens
        self._work: ModelWork | None = None
        self._described: dict[str, Any] | None = None

    @property
    def baseline(self) -> NDArray[np.float64]:
        """Each sample's loss in the original model, (m,) float64."""
        while True:
            try:
                return self._prepared().baseline
            except (RuntimeError, MemoryError) as error:
                self._give_way(error)
            self._release()

    @property
    def shares_layers(self) -> bool:
        """Whether removals that keep the same first layers share them."""
        return self._sharing

    def measure(
        self, removals: Sequence[tuple[int, ...]], stop: Stop | None = None
    ) -> Iterator[Measurement]:
        """Yield one measurement per removal, as soon as it is known, in an order that saves work.

        Parameters
        ----------
        removals : sequence of tuple of int
            Blocks to remove, in any order; the same removal may come more than once.
        stop : Stop, optional
            Asked after each batch of samples; those that are finished are then all there is.

        Yields
        ------
        Measurement
            A removal after which a loss is not finite has the value inf.

        Raises
        ------
        InputError
            If a removal is none, the original's loss is not finite, or a single sample does not fit
            into memory.
        """
        wanted = Counter(self._as_removal(removed) for removed in removals)
        waiting = list(wanted)
        done = 0
        while waiting:
            try:
                for removed, values in self._walk(waiting, stop):
                    waiting.remove(removed)
                    for _ in range(wanted[removed]):
                        done += 1
                        yield Measurement.of(removed, values)
                    if stop is not None and stop.should_stop(done):
                        return
                return
            except (RuntimeError, MemoryError) as error:
                self._give_way(error)
            # Here, where no traceback holds on to the tensors of what was too large.
            self._release()

    def slopes(self, removed: Sequence[int] = ()) -> NDArray[np.float64]:
        """Return the gradient of each sample's loss at the gates, those of `removed` at 0.

        One backward pass per batch tells, to first order, what removing each block more, or putting
        each removed one back, would change.

        Parameters
        ----------
        removed : sequence of int
            The blocks whose gates are at 0; the others are at 1.

        Returns
        -------
        (m, N) float64
            In the order of the samples; NaN or infinite where a loss is not finite.

        Raises
        ------
        InputError
            If the removal is none, or a single sample does not fit into memory.
        """
        from qubo_prune.pruning.measuring.work import sample_slopes

        blocks = self._as_removal(removed)
        while True:
            try:
                return sample_slopes(
                    self.gates,
                    self.calibration,
                    blocks,
                    self._gradient_batch_size,
                    self._chunk_tokens,
                )
            except (RuntimeError, MemoryError) as error:
                self._require_smaller(error, self._gradient_batch_size)
            self._gradient_batch_size //= 2
            self._release()

    def speed_advice(self) -> str | None:
        """Return a sentence on a type or a number of threads that is faster here.

        It is measured in about a second; None where nothing is faster by much.
        """
        from qubo_prune.hessians.gates.head import input_device
        from qubo_prune.pruning.measuring.speed import measure_speed

        parameter = next(self.gates.model.parameters())
        dtype = str(parameter.dtype).removeprefix("torch.")
        return measure_speed(dtype, input_device(self.gates.model)).advice(dtype)

    def describe(self) -> dict[str, Any]:
        """Return what is measured, of what and how: JSON-able, for files of measurements."""
        if self._described is None:
            from qubo_prune.hessians.language_model import describe

            self._described = {
                **describe(self.gates.model),  # type: ignore[arg-type]
                "objective": self.objective,
                "granularity": self.gates.granularity,
                "names": [gate.name for gate in self.gates.gates],
                "kinds": [gate.kind for gate in self.gates.gates],
                "calibration": self.calibration.description,
                "sample_indices": self.calibration.indices.tolist(),
                "samples": self.num_samples,
                "sequence_length": max(len(tokens) for tokens in self.calibration.tokens),
            }
            if self.shard is not None:
                index, of = self.shard
                self._described["shard"] = {"index": int(index), "of": int(of)}
        return {**self._described, "batch_size": self.batch_size}

    def _walk(
        self, removals: list[tuple[int, ...]], stop: Stop | None
    ) -> Iterator[tuple[tuple[int, ...], NDArray[np.float64]]]:
        from qubo_prune.pruning.measuring.trie import Walk
        from qubo_prune.pruning.measuring.work import StoppedError

        walk = Walk([gate.layer for gate in self.gates.gates])
        groups = [removals] if self._sharing else [[removed] for removed in removals]
        try:
            work = self._prepared(stop)
            for group in groups:
                yield from walk.through(group, work)
        except StoppedError:
            return

    def _prepared(self, stop: Stop | None = None) -> ModelWork:
        from qubo_prune.pruning.measuring.work import ModelWork

        if self._work is None:
            self._work = ModelWork(
                self._passes,
                self.calibration,
                self.batch_size,
                divergence=self.objective == "kl",
                chunk_tokens=self._chunk_tokens,
                stop=stop,
            )
        return self._work.asking(stop)

    def _give_way(self, error: RuntimeError | MemoryError) -> None:
        """Ask for less memory from now on, or raise the error that says that it is not enough."""
        if self.batch_size == 1 and self._sharing:
            self._require_memory(error)
            self._sharing = False  # then no state is kept for later
        else:
            self._require_smaller(error, self.batch_size)
            self.batch_size //= 2
        self._work = None

    def _require_smaller(self, error: RuntimeError | MemoryError, batch_size: int) -> None:
        self._require_memory(error)
        if batch_size == 1:
            longest = max(len(tokens) for tokens in self.calibration.tokens)
            raise InputError(
                f"memory ran out with a single sample of up to {longest} tokens; use fewer or "
                "shorter samples, a smaller dtype or more devices."
            ) from error

    def _require_memory(self, error: RuntimeError | MemoryError) -> None:
        from qubo_prune.pruning.measuring.memory import ran_out

        if not ran_out(error):
            raise error

    def _release(self) -> None:
        from qubo_prune.pruning.measuring.memory import release

        release()

    def _as_removal(self, removed: Sequence[int]) -> tuple[int, ...]:
        blocks = sorted(as_count(block, "a block of a removal") for block in removed)
        wrong = [block for block in blocks if not 0 <= block < self.num_blocks]
        if wrong:
            raise InputError(
                f"a removal must name blocks from 0 to {self.num_blocks - 1}, not "
                f"{format_count(wrong[0])}; correct it."
            )
        if len(set(blocks)) < len(blocks):
            raise InputError(
                f"a removal must name each block once, unlike {format_value(blocks)}; correct it."
            )
        return tuple(blocks)
