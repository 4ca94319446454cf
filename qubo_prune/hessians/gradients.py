"""Per-sample gradients of the loss with respect to the gates (paper, section 3, equation 6)."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from qubo_prune.core.errors import InputError
from qubo_prune.core.text import format_value
from qubo_prune.core.validation import as_count
from qubo_prune.hessians.gates.gates import Gates, frozen
from qubo_prune.hessians.gates.head import base_hidden_states, input_device, token_embedding

CHUNK_LOGITS = 2**26
"""Logits held at a time unless told otherwise, 256 MB in float32."""


def sample_gradients(
    gates: Gates,
    tokens: Sequence[NDArray[np.int64]],
    targets: Sequence[NDArray[np.bool_]],
    *,
    removed: Sequence[int] = (),
    chunk_tokens: int | None = None,
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return each sample's loss and its gradient with respect to the gates, all gates at 1.

    The samples go through the model as one batch. Every sample has gates of its own, so that one
    backward pass of the sum of their losses gives all gradients; no weight gets a gradient. The
    weights' and the model's settings are restored afterwards; dropout is off, also where gradient
    checkpointing is on.

    Parameters
    ----------
    gates
        The gates of a model (`qubo_prune.hessians.gates.find_gates`).
    tokens
        B token sequences of two tokens or more; they may differ in length.
    targets
        For each token whether its prediction counts in the loss; the first of a sequence has none.
    removed
        Blocks whose gates are at 0 instead. What is not finite then is returned as it is.
    chunk_tokens
        Predictions whose logits are held in memory at a time; by default as many as take 256 MB.

    Returns
    -------
    losses : numpy.ndarray
        (B,) float64: cross-entropy in nats, the mean over a sample's counted tokens.
    gradients : numpy.ndarray
        (B, N) float64: rows of A in H = A'A/m. Sums over tokens are made in float64.

    Raises
    ------
    InputError
        If the sequences and targets do not fit together, or a loss or gradient is not finite.

    Notes
    -----
    Sequences are padded on the right. In a causal model nothing after a token can influence it, so
    no attention mask is needed to keep the padding out, and faster attention kernels apply.

    Examples
    --------
    >>> import pytest
    >>> transformers = pytest.importorskip("transformers")
    >>> from qubo_prune.hessians import find_gates
    >>> config = transformers.GPT2Config(vocab_size=50, n_embd=16, n_layer=3, n_head=2)
    >>> gates = find_gates(transformers.GPT2LMHeadModel(config))
    >>> tokens = [np.array([1, 2, 3]), np.array([4, 5, 6, 7, 8])]
    >>> targets = [np.arange(len(sample)) > 0 for sample in tokens]
    >>> losses, gradients = sample_gradients(gates, tokens, targets)
    >>> losses.shape, gradients.shape
    ((2,), (2, 3))
    """
    model = gates.model
    check_samples(model, tokens, targets)
    head = gates.head
    ids, rows, columns, labels = padded_batch(model, tokens, targets)
    losses = torch.zeros(len(tokens), dtype=torch.float64)
    with frozen(model), recomputing(gates.layers), torch.enable_grad():
        values = torch.ones(len(tokens), len(gates), dtype=torch.float64, device=ids.device)
        values[:, list(removed)] = 0
        values.requires_grad_()
        with gates.attached(values):
            if head is None:
                states = model(input_ids=ids, use_cache=False).logits
            else:
                states = base_hidden_states(model, ids)
            place = states.device
            rows, columns, labels = rows.to(place), columns.to(place), labels.to(place)
            slopes = torch.zeros_like(states)
            step = chunk_size(
                states.shape[-1] if head is None else len(token_embedding(model)), chunk_tokens
            )
            # The states are cut off here: the logits of a chunk and their graph go before the next.
            for start in range(0, len(rows), step):
                at = rows[start : start + step], columns[start : start + step]
                part = states[at].detach().requires_grad_()
                logits = part if head is None else head(part)
                nats = nn.functional.cross_entropy(
                    logits.to(torch.promote_types(logits.dtype, torch.float32)),
                    labels[start : start + step].to(logits.device),
                    reduction="none",
                )
                [slope] = torch.autograd.grad(nats.sum(), part)
                slopes[at] = slope
                losses.index_add_(0, at[0].cpu(), nats.detach().double().cpu())
            [gradient] = torch.autograd.grad(states, values, slopes)
    # Sums over tokens so far, which keeps small gradients of long float16 samples from vanishing.
    numbers = np.array([np.count_nonzero(each) for each in targets])
    means, gradients = losses.numpy() / numbers, gradient.cpu().numpy() / numbers[:, np.newaxis]
    if not removed:
        _check_finite(means, gradients, model)
    return means, gradients


def check_samples(
    model: nn.Module, tokens: Sequence[NDArray[np.int64]], targets: Sequence[NDArray[np.bool_]]
) -> None:
    """Refuse samples that do not fit together or the model."""
    if len(tokens) != len(targets) or len(tokens) == 0:
        raise InputError(
            f"tokens and targets must hold the same samples, at least one, not {len(tokens)} and "
            f"{len(targets)}; give one array of each for every sample."
        )
    vocabulary = len(token_embedding(model))
    for index, (sample, counted) in enumerate(zip(tokens, targets, strict=True)):
        if sample.ndim != 1 or len(sample) < 2 or sample.dtype.kind not in "iu":
            raise InputError(
                f"tokens[{index}] must be two or more integers in a row, not {sample.dtype} of "
                f"shape {sample.shape}; drop samples that are too short."
            )
        if counted.shape != sample.shape or counted.dtype != np.bool_:
            raise InputError(
                f"targets[{index}] must be booleans of shape {sample.shape} like its tokens, not "
                f"{counted.dtype} of shape {counted.shape}; give one for every token."
            )
        if counted[0] or not counted.any():
            raise InputError(
                f"targets[{index}] must count at least one token and not the first, which nothing "
                "predicts; drop samples without a target."
            )
        if sample.min() < 0 or sample.max() >= vocabulary:
            raise InputError(
                f"tokens[{index}] must be ids from 0 to {vocabulary - 1}, not "
                f"{format_value(int(sample.min() if sample.min() < 0 else sample.max()))}; "
                "use the model's own tokenizer."
            )


def padded_batch(
    model: nn.Module, tokens: Sequence[NDArray[np.int64]], targets: Sequence[NDArray[np.bool_]]
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Return padded ids, and of each counted prediction its row, its column and its label."""
    ids = _padded(tokens)
    counted = np.stack([np.pad(each, (0, ids.shape[1] - len(each))) for each in targets])
    rows, positions = np.nonzero(counted)
    return (
        torch.from_numpy(ids).to(input_device(model)),
        torch.from_numpy(rows),
        torch.from_numpy(positions - 1),
        torch.from_numpy(ids[rows, positions]),
    )


def padded_ids(model: nn.Module, tokens: Sequence[NDArray[np.int64]]) -> Tensor:
    """Return the tokens of samples, (B, T), padded on the right, where a model takes them."""
    return torch.from_numpy(_padded(tokens)).to(input_device(model))


def _padded(tokens: Sequence[NDArray[np.int64]]) -> NDArray[np.int64]:
    longest = max(map(len, tokens))
    # A sample's own last token is a valid id in every vocabulary.
    ids = np.stack([np.pad(each, (0, longest - len(each)), mode="edge") for each in tokens])
    return ids.astype(np.int64)


def chunk_size(vocabulary: int, chunk_tokens: int | None) -> int:
    """Return how many predictions to hold logits of at a time."""
    if chunk_tokens is None:
        return max(1, CHUNK_LOGITS // vocabulary)
    remedy = "leave it out to let the memory decide"
    return as_count(chunk_tokens, "chunk_tokens", least=1, remedy=remedy)


def _check_finite(
    losses: NDArray[np.float64], gradients: NDArray[np.float64], model: nn.Module
) -> None:
    wrong = ~(np.isfinite(losses) & np.isfinite(gradients).all(1))
    if wrong.any():
        raise InputError(
            f"losses and gradients must be finite, but sample {int(wrong.argmax())} and "
            f"{int(wrong.sum())} in all are not in {next(model.parameters()).dtype}; "
            "load the model in bfloat16 or float32."
        )


@contextlib.contextmanager
def recomputing(layers: Sequence[nn.Module]) -> Iterator[None]:
    """Let gradient checkpointing work, which needs training mode, and nothing else of that mode."""
    active = [layer for layer in layers if getattr(layer, "gradient_checkpointing", False)]
    places = {
        id(each): each for layer in active for each in (layer, getattr(layer, "config", None))
    }
    saved = [
        (vars(place), name, value)
        for place in places.values()
        if place is not None
        for name, value in vars(place).items()
        if isinstance(value, float) and "drop" in name
    ]
    try:
        for layer in active:
            options = getattr(layer._gradient_checkpointing_func, "keywords", {})
            if options.get("use_reentrant", False):
                raise InputError(
                    "gradient checkpointing must be non-reentrant, not use_reentrant=True, which "
                    "loses gradients of gates; enable it with "
                    "gradient_checkpointing_kwargs={'use_reentrant': False}."
                )
            # The layer alone: the modules in it, and with them their dropout, stay in evaluation.
            layer.training = True
        for attributes, name, _ in saved:
            attributes[name] = 0.0
        yield
    finally:
        for attributes, name, value in saved:
            attributes[name] = value
        for layer in active:
            layer.training = False
