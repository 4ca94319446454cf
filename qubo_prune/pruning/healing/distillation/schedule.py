"""Which samples make which step, and how far each step goes."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from qubo_prune.pruning.healing.distillation.settings import DistillSettings

__all__ = ["learning_rate", "parts_of", "steps_of"]


def steps_of(lengths: Sequence[int], settings: DistillSettings) -> list[tuple[int, ...]]:
    """Return the samples of each step.

    Every epoch goes through all samples once, in an order of its own; its last step may have fewer.

    Parameters
    ----------
    lengths : sequence of int
        Tokens of each sample.
    settings : DistillSettings
        Samples of a step, epochs, most tokens and the seed.

    Examples
    --------
    >>> steps = steps_of([5] * 10, DistillSettings(step_samples=4, epochs=2))
    >>> [len(step) for step in steps]
    [4, 4, 2, 4, 4, 2]
    >>> len(steps_of([5] * 10, DistillSettings(step_samples=4, epochs=2, max_tokens=40)))
    2
    """
    steps: list[tuple[int, ...]] = []
    left = math.inf if settings.max_tokens is None else settings.max_tokens
    for epoch in range(settings.epochs):
        order = np.random.default_rng([settings.seed, epoch]).permutation(len(lengths)).tolist()
        for start in range(0, len(order), settings.step_samples):
            step = tuple(order[start : start + settings.step_samples])
            left -= sum(lengths[sample] for sample in step)
            if left < 0 and steps:
                return steps
            steps.append(step)
    return steps


def parts_of(step: Sequence[int], lengths: Sequence[int], batch_size: int) -> list[tuple[int, ...]]:
    """Return the samples of a step in batches of similar length.

    Examples
    --------
    >>> parts_of((0, 1, 2, 3, 4), [9, 2, 8, 3, 7], 2)
    [(1, 3), (4, 2), (0,)]
    """
    order = sorted(step, key=lambda sample: (lengths[sample], sample))
    return [tuple(order[at : at + batch_size]) for at in range(0, len(order), batch_size)]


def learning_rate(step: int, num_steps: int, settings: DistillSettings) -> float:
    """Return the learning rate of a step: a linear rise, then half a cosine down to 0.

    Parameters
    ----------
    step : int
        Which one, from 0.
    num_steps : int
        Of how many.
    settings : DistillSettings
        The peak, and how many steps rise to it, at most a tenth of all.

    Examples
    --------
    >>> [round(1e6 * learning_rate(k, 40, DistillSettings()), 2) for k in (0, 3, 4, 22, 39)]
    [5.0, 20.0, 20.0, 10.0, 0.04]
    """
    rising = min(settings.warmup_steps, num_steps // 10)
    if step < rising:
        return settings.peak * (step + 1) / rising
    return settings.peak / 2 * (1 + math.cos(math.pi * (step - rising) / (num_steps - rising)))
