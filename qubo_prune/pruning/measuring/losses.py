"""Losses and divergences of predictions, with the logits of a few of them in memory at a time."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import torch
from torch import Tensor, nn

from qubo_prune.hessians.gates.head import Head

_BLOCK = 2**21
"""Logits turned into float32 at a time on a processor, so that they stay in its caches."""


class Predictions(NamedTuple):
    """What makes predictions.

    Parameters
    ----------
    head
        Turns hidden states into logits; None if `states` are logits.
    states
        Hidden states or logits, (tokens, size).
    """

    head: Head | None
    states: Tensor


class Comparison(NamedTuple):
    """Predictions held against those of the original, each (tokens,) float64 on the CPU.

    Parameters
    ----------
    losses
        Cross-entropy.
    divergences
        KL(original || predictions).
    agreements
        1 where both find the same token most likely, else 0.
    """

    losses: Tensor
    divergences: Tensor
    agreements: Tensor


def token_comparisons(
    found: Predictions, original: Predictions, labels: Tensor, step: int
) -> Comparison:
    """Return losses, divergences and agreements of predictions, each logit computed once.

    Parameters
    ----------
    found, original
        Of the model and of the original, which may have heads of their own.
    labels
        The tokens to predict, (tokens,).
    step
        Predictions whose logits are computed together.
    """
    results = Comparison(*torch.empty(3, len(labels), dtype=torch.float64))
    pairs = zip(_logits(*original, step), _logits(*found, step), strict=True)
    for (start, expected), (_, logits) in pairs:
        wanted = labels[start : start + len(logits)].to(logits.device)
        for (at, rows), (_, others) in zip(blocks(logits), blocks(expected), strict=True):
            predicted = torch.log_softmax(wide(rows), -1)
            reference = torch.log_softmax(wide(others.to(rows.device)), -1)
            place = slice(start + at, start + at + len(rows))
            results.losses[place] = nn.functional.nll_loss(
                predicted, wanted[at : at + len(rows)], reduction="none"
            )
            results.agreements[place] = (
                (predicted.argmax(-1) == reference.argmax(-1)).double().cpu()
            )
            results.divergences[place] = _divergence(reference, predicted).cpu()
    return results


def token_losses(head: Head | None, states: Tensor, labels: Tensor, step: int) -> Tensor:
    """Return the cross-entropy of each prediction, (tokens,) float64 on the CPU.

    Parameters
    ----------
    head
        Turns hidden states into logits; None if `states` are logits.
    states
        Hidden states or logits, (tokens, size).
    labels
        The tokens to predict, (tokens,).
    step
        Predictions whose logits are computed together.
    """
    nats = torch.empty(len(labels), dtype=torch.float64)
    for start, logits in _logits(head, states, step):
        wanted = labels[start : start + len(logits)].to(logits.device)
        for at, rows in blocks(logits):
            loss = nn.functional.cross_entropy(
                wide(rows), wanted[at : at + len(rows)], reduction="none"
            )
            nats[start + at : start + at + len(rows)] = loss.double().cpu()
    return nats


def token_divergences(head: Head | None, original: Tensor, states: Tensor, step: int) -> Tensor:
    """Return KL(original || states) of each prediction, (tokens,) float64 on the CPU.

    The arguments are those of `token_losses`, with the original's hidden states or logits.
    """
    nats = torch.empty(len(states), dtype=torch.float64)
    pairs = zip(_logits(head, original, step), _logits(head, states, step), strict=True)
    for (start, expected), (_, logits) in pairs:
        for (at, rows), (_, others) in zip(blocks(expected), blocks(logits), strict=True):
            wanted = torch.log_softmax(wide(rows), -1)
            found = torch.log_softmax(wide(others.to(rows.device)), -1)
            nats[start + at : start + at + len(rows)] = _divergence(wanted, found).cpu()
    return nats


def _divergence(wanted: Tensor, found: Tensor) -> Tensor:
    """Return KL(wanted || found) of rows of log-probabilities, (tokens,), which are spent."""
    divergence = found.neg_().add_(wanted).mul_(wanted.exp_()).sum(-1, dtype=torch.float64)
    return divergence.clamp_(min=0)  # never negative but for rounding; NaN stays


def _logits(head: Head | None, states: Tensor, step: int) -> Iterator[tuple[int, Tensor]]:
    for start in range(0, len(states), step):
        part = states[start : start + step]
        yield start, part if head is None else head(part)


def blocks(logits: Tensor) -> Iterator[tuple[int, Tensor]]:
    """Yield rows of logits, and the number of their first, as many as suit the processor."""
    size = len(logits) if logits.device.type != "cpu" else max(1, _BLOCK // logits.shape[-1])
    for start in range(0, len(logits), size):
        yield start, logits[start : start + size]


def wide(logits: Tensor) -> Tensor:
    """Return logits in float32, or in a wider type that they are in."""
    return logits.to(torch.promote_types(logits.dtype, torch.float32))
