"""The loss of distillation and its slopes, with the logits of a few tokens in memory at a time."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager

import torch
from torch import Tensor

from qubo_prune.pruning.measuring.losses import Predictions, blocks, wide

__all__ = ["divergence_and_slopes", "propagate"]


def divergence_and_slopes(
    found: Tensor, wanted: Tensor, temperature: float
) -> tuple[float, Tensor]:
    """Return T^2 KL(wanted || found), summed over tokens, and its slope for each found logit.

    Parameters
    ----------
    found, wanted
        Logits of the smaller model and of the original, (tokens, vocabulary).
    temperature
        T, by which logits are divided.

    Returns
    -------
    float
        In nats.
    Tensor
        T (q - p), where q and p are the probabilities of the two, in the dtype of `found`.
    """
    slopes, nats = torch.empty_like(found), 0.0
    pairs = zip(blocks(found), blocks(wanted.to(found.device)), strict=True)
    for (at, rows), (_, others) in pairs:
        predicted = torch.log_softmax(wide(rows) / temperature, -1)
        reference = torch.log_softmax(wide(others) / temperature, -1)
        expected = reference.exp()
        terms = reference.sub_(predicted).mul_(expected)
        nats += float(terms.sum(dtype=torch.float64))
        slopes[at : at + len(rows)] = predicted.exp_().sub_(expected).mul_(temperature)
    return temperature**2 * nats, slopes


def propagate(
    found: Predictions,
    wanted: Predictions,
    *,
    weight: float,
    temperature: float,
    step: int,
    computing: Callable[[], AbstractContextManager[object]],
) -> float:
    """Add the slopes of the loss to those of all weights that are trained.

    The states are cut off from the logits: those of a few tokens and their graph go before the
    next. The graph of the states is gone through once, in the end.

    Parameters
    ----------
    found
        What makes the predictions of the smaller model; its states need slopes.
    wanted
        What makes those of the original.
    weight
        What the sum over tokens is multiplied by.
    temperature
        T in the loss.
    step
        Tokens whose logits are computed together.
    computing
        Sets the dtype of a pass.

    Returns
    -------
    float
        The sum over tokens, in nats, without the weight.
    """
    slopes, nats = torch.empty_like(found.states), 0.0
    for start in range(0, len(found.states), step):
        place = slice(start, start + step)
        with torch.no_grad(), computing():
            target = wanted.states[place]
            expected = target if wanted.head is None else wanted.head(target)
        part = found.states[place].detach()
        if found.head is None:
            loss, slope = divergence_and_slopes(part, expected, temperature)
            slopes[place] = slope.mul_(weight)
        else:
            part.requires_grad_()
            with computing():
                logits = found.head(part)
            loss, slope = divergence_and_slopes(logits.detach(), expected, temperature)
            torch.autograd.backward(logits, slope.mul_(weight))
            assert part.grad is not None  # noqa: S101  # of a leaf that needs one
            slopes[place] = part.grad
        nats += loss
    torch.autograd.backward(found.states, slopes)
    return nats
