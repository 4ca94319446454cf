"""Training a smaller model to predict what its original predicts (paper, section 4, appendix G)."""

from __future__ import annotations

import contextlib
import hashlib
import json
import math
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn

from qubo_prune.core.defaults import BATCH_SIZE
from qubo_prune.core.errors import InputError
from qubo_prune.core.stopping import Stop, StopReason
from qubo_prune.core.text import format_count, format_duration
from qubo_prune.hessians.calibration.calibration import Calibration
from qubo_prune.hessians.gates.gates import frozen
from qubo_prune.hessians.gates.head import (
    Head,
    base_hidden_states,
    find_head,
    input_device,
    token_embedding,
)
from qubo_prune.hessians.gates.layers import find_layers
from qubo_prune.hessians.gates.probes import random_tokens, run
from qubo_prune.hessians.gradients import check_samples, chunk_size, padded_ids, recomputing
from qubo_prune.hessians.language_model import (
    check_length,
    checkpointed,
    fingerprint,
    in_float32,
)
from qubo_prune.pruning.evaluation.samples import checksum, inference, require_same_vocabulary
from qubo_prune.pruning.healing.distillation.adapters import adapted
from qubo_prune.pruning.healing.distillation.divergence import propagate
from qubo_prune.pruning.healing.distillation.schedule import learning_rate, parts_of, steps_of
from qubo_prune.pruning.healing.distillation.settings import DistillSettings
from qubo_prune.pruning.healing.distillation.state import Progress, load_state, save_state
from qubo_prune.pruning.measuring.losses import Predictions
from qubo_prune.pruning.measuring.memory import ran_out

if TYPE_CHECKING:
    from transformers import PreTrainedModel

__all__ = ["Distilled", "distill"]

_SHOWN = 10
"""Most steps whose mean loss is shown."""


@dataclass(frozen=True, kw_only=True)
class Distilled:
    """What a distillation came to.

    Attributes
    ----------
    losses : tuple of float
        T^2 KL(original || smaller model) of each step, the mean over its tokens, in nats, before
        the step was made.
    num_steps : int
        How many steps there are in all.
    num_tokens : int
        Tokens gone through, padding left out.
    num_trained : int
        How many weights were trained.
    seconds : float
        How long it took, in all calls.
    stop_reason : StopReason
        Why it ended; but for COMPLETED, the same call goes on from the state on disk.
    """

    losses: tuple[float, ...]
    num_steps: int
    num_tokens: int
    num_trained: int
    seconds: float
    stop_reason: StopReason

    def to_dict(self) -> dict[str, Any]:
        """Return all of it in plain Python types."""
        return {
            **asdict(self),
            "losses": list(self.losses),
            "stop_reason": self.stop_reason.value,
        }

    def __str__(self) -> str:
        done = f"{len(self.losses):,} of {self.num_steps:,} steps"
        if not self.losses:
            return done
        few = max(1, min(_SHOWN, len(self.losses) // 3))
        first, last = (float(np.mean(part)) for part in (self.losses[:few], self.losses[-few:]))
        return (
            f"{done}, {format_count(self.num_tokens)} tokens in {format_duration(self.seconds)};"
            f" loss {first:.4g} at first, {last:.4g} in the end"
        )


def distill(
    student: PreTrainedModel,
    teacher: PreTrainedModel,
    calibration: Calibration,
    settings: DistillSettings | None = None,
    *,
    batch_size: int = BATCH_SIZE,
    layers: str | None = None,
    work: Path | None = None,
    stop: Stop | None = None,
) -> Distilled:
    """Train a model to predict what another one predicts, at every token of the samples.

    The loss is that of the paper's code: T^2 KL(teacher || student), the mean over all tokens that
    are no padding, prompts included, with no cross-entropy beside it. The teacher's logits are
    computed on the way. Dropout is off, so that the same call gives the same weights.

    Parameters
    ----------
    student : transformers.PreTrainedModel
        Is trained in place.
    teacher : transformers.PreTrainedModel
        Stays as it is; may be quantised.
    calibration : Calibration
        The samples.
    settings : DistillSettings, optional
        Table 10 of the paper.
    batch_size : int
        Samples that go through the models together. Those of a step are divided into so many that
        the result depends on it by rounding only.
    layers : str, optional
        Dotted path of the student's decoder layers; found if not given.
    work : Path, optional
        A folder for the state from which a stopped or killed call goes on, to the bit on a
        processor. Calls with other models, samples or settings have states of their own; they stay
        there in the end.
    stop : Stop, optional
        Ends it early, with the student as it is after the last whole step.

    Returns
    -------
    Distilled

    Raises
    ------
    InputError
        If samples or models do not fit together, memory runs out, or the loss is not finite.
    OutputError
        If the state cannot be written.

    Examples
    --------
    >>> import pytest
    >>> transformers = pytest.importorskip("transformers")
    >>> from qubo_prune.hessians.calibration.calibration import Calibration
    >>> config = transformers.GPT2Config(vocab_size=50, n_embd=16, n_layer=2, n_head=2)
    >>> models = [transformers.GPT2LMHeadModel(config) for _ in range(2)]
    >>> tokens = tuple(np.random.default_rng(0).integers(0, 50, (8, 12)))
    >>> targets = tuple(np.arange(12) > 0 for _ in tokens)
    >>> samples = Calibration(tokens, targets, np.arange(8), {})
    >>> settings = DistillSettings(step_samples=4, epochs=20, learning_rate=0.01)
    >>> distilled = distill(*models, samples, settings)
    >>> len(distilled.losses), distilled.losses[-1] < distilled.losses[0]
    (40, True)
    """
    settings = settings or DistillSettings()
    stop = stop or Stop()
    check_samples(student, calibration.tokens, calibration.targets)
    for model in (student, teacher):
        check_length(model, max(map(len, calibration.tokens)))
    require_same_vocabulary(student, teacher)
    identity = {
        **asdict(settings),
        "checkpoint_seconds": None,  # which changes nothing
        "batch_size": batch_size,
        "samples": checksum(calibration),
        "smaller_model": fingerprint(student),
        "original": fingerprint(teacher),
    }
    state = None if work is None else work / f"distillation-{_digest(identity)}.safetensors"
    precision = _precision(student, settings)
    with contextlib.ExitStack() as stack:
        stack.enter_context(frozen(teacher))
        stack.enter_context(frozen(student))
        pair = _Pair(_Forward(student, precision), _Forward(teacher, precision))
        stack.enter_context(checkpointed(student, settings.gradient_checkpointing))
        stack.enter_context(recomputing(find_layers(student, layers)[1]))
        weights = stack.enter_context(_trained(student, settings))
        training = _Training(pair, weights, calibration, settings, batch_size)
        if state is not None and state.exists():
            training.progress = load_state(state, weights, training.optimizer)
        try:
            reason = training.run(stop, lambda: _save(state, training))
        except (RuntimeError, MemoryError) as error:
            if not ran_out(error):
                raise
            raise InputError(
                f"memory ran out while distilling with {batch_size} samples at a time; use a"
                " smaller --batch-size, --gradient-checkpointing, --lora or shorter samples."
            ) from error
        return Distilled(
            losses=tuple(training.progress.losses),
            num_steps=len(training.steps),
            num_tokens=training.progress.tokens,
            num_trained=sum(each.numel() for each in weights.values()),
            seconds=training.progress.seconds,
            stop_reason=reason,
        )


class _Forward:
    """A model up to its final hidden states, and what makes logits of them."""

    def __init__(self, model: PreTrainedModel, precision: torch.dtype | None) -> None:
        self.model = model
        self._precision = precision
        with inference(model):
            tokens = random_tokens(model)
            self._head: Head | None = find_head(model, tokens, run(model, tokens))

    def computing(self) -> torch.autocast:
        """Return a context in which passes are computed in their dtype."""
        enabled = self._precision is not None
        return torch.autocast(input_device(self.model).type, self._precision, enabled=enabled)

    def predictions(self, tokens: Sequence[np.ndarray[Any, Any]]) -> Predictions:
        """Return what predicts the token after each token of samples."""
        lengths = torch.tensor([len(each) for each in tokens])
        ids = padded_ids(self.model, tokens)
        with self.computing():
            if self._head is None:
                states: Tensor = self.model(input_ids=ids, use_cache=False).logits
            else:
                states = base_hidden_states(self.model, ids)
        is_token = torch.arange(ids.shape[1]) < lengths[:, None]
        return Predictions(self._head, states[is_token.to(states.device)])


@dataclass(frozen=True)
class _Pair:
    student: _Forward
    teacher: _Forward


class _Training:
    """The steps, and how far they are."""

    def __init__(
        self,
        pair: _Pair,
        weights: dict[str, nn.Parameter],
        calibration: Calibration,
        settings: DistillSettings,
        batch_size: int,
    ) -> None:
        self.pair, self.weights, self.settings = pair, weights, settings
        self.progress = Progress()
        self.optimizer = _optimizer(weights, settings)
        self._tokens = calibration.tokens
        self._lengths = [len(each) for each in calibration.tokens]
        self._batch_size = batch_size
        self.steps = steps_of(self._lengths, settings)
        vocabulary = len(token_embedding(pair.student.model))
        self._chunk = max(1, chunk_size(vocabulary, None) // 4)

    def run(self, stop: Stop, save: Callable[[], None]) -> StopReason:
        """Make the steps that are left; save now and then, and in the end."""
        left = self.steps[len(self.progress.losses) :]
        amount = sum(self._lengths[sample] for step in left for sample in step)
        before, saved = self.progress.tokens, time.monotonic()
        reason = StopReason.COMPLETED
        for step in left:
            begun = time.monotonic()
            if not self._make(step, stop, before, amount):
                reason = stop.reason or StopReason.INTERRUPTED
                break
            self.progress.seconds += time.monotonic() - begun
            if time.monotonic() - saved >= self.settings.checkpoint_seconds:
                save()
                saved = time.monotonic()
        if left:
            save()
        return reason

    def _make(self, step: tuple[int, ...], stop: Stop, before: int, amount: int) -> bool:
        """Make a step, unless it is to be stopped; then nothing has changed."""
        number, progress = len(self.progress.losses), self.progress
        size = sum(self._lengths[sample] for sample in step)
        self.optimizer.zero_grad()
        nats, done = 0.0, 0
        for part in parts_of(step, self._lengths, self._batch_size):
            if stop.should_stop():
                return False
            tokens = progress.tokens - before + done
            loss = f", loss {np.mean(progress.losses[-_SHOWN:]):.4f}" if number else ""
            stop.report(
                tokens,
                tokens / amount,
                f"distilling: step {number + 1} of {len(self.steps)}{loss}",
                unit="token",
            )
            nats += self._add_slopes(part, size)
            done += sum(self._lengths[sample] for sample in part)
        loss_of_step = nats / size
        if not math.isfinite(loss_of_step):
            raise InputError(
                f"the loss is not finite at step {number + 1}; use a lower --learning-rate than"
                f" {self.settings.peak:g}, or --precision float32."
            )
        nn.utils.clip_grad_norm_(self.weights.values(), self.settings.clip)
        for group in self.optimizer.param_groups:
            group["lr"] = learning_rate(number, len(self.steps), self.settings)
        self.optimizer.step()
        progress.losses.append(loss_of_step)
        progress.tokens += size
        return True

    def _add_slopes(self, part: tuple[int, ...], size: int) -> float:
        """Add the slopes of some samples of a step of so many tokens; return their loss."""
        tokens = [self._tokens[sample] for sample in part]
        with torch.no_grad():
            wanted = self.pair.teacher.predictions(tokens)
        with torch.enable_grad():
            return propagate(
                self.pair.student.predictions(tokens),
                wanted,
                weight=1 / size,
                temperature=self.settings.temperature,
                step=self._chunk,
                computing=self.pair.student.computing,
            )


def _digest(identity: dict[str, Any]) -> str:
    text = json.dumps(identity, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def _save(state: Path | None, training: _Training) -> None:
    if state is not None:
        save_state(state, training.weights, training.optimizer, training.progress)


@contextlib.contextmanager
def _trained(
    student: PreTrainedModel, settings: DistillSettings
) -> Iterator[dict[str, nn.Parameter]]:
    """Have what is trained in float32 and needing slopes, and its names."""
    if settings.lora is not None:
        with adapted(student, settings.lora, settings.seed) as weights:
            yield weights
        return
    with in_float32(student):
        weights = dict(student.named_parameters())
        for each in weights.values():
            each.requires_grad_()
        try:
            yield weights
        finally:
            student.zero_grad()


def _optimizer(
    weights: dict[str, nn.Parameter], settings: DistillSettings
) -> torch.optim.Optimizer:
    """Return AdamW, with no decay of biases and norms."""
    matrices = [each for each in weights.values() if each.dim() > 1]
    others = [each for each in weights.values() if each.dim() <= 1]
    groups = [
        {"params": matrices, "weight_decay": settings.weight_decay},
        {"params": others, "weight_decay": 0.0},
    ]
    return torch.optim.AdamW([each for each in groups if each["params"]], lr=settings.peak)


def _precision(student: PreTrainedModel, settings: DistillSettings) -> torch.dtype | None:
    """Return what passes are computed in if that is narrower than the weights that are trained."""
    if settings.precision == "auto":
        return torch.bfloat16 if student.dtype == torch.bfloat16 else None
    return torch.bfloat16 if settings.precision == "bfloat16" else None
