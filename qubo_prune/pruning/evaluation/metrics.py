"""One number of one model, with what is needed to say how sure it is and to compare it."""

from __future__ import annotations

import enum
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

__all__ = ["Kind", "Metric"]


class Kind(enum.Enum):
    """What a number is, which decides how two of them are compared."""

    MEAN = "mean"
    PROPORTION = "proportion"
    PERPLEXITY = "perplexity"
    SIZE = "size"
    TIME = "time"


@dataclass(frozen=True, eq=False)
class Metric:
    """One number of one model.

    Attributes
    ----------
    name : str
        Such as ``loss``, ``token perplexity`` or ``hellaswag acc_norm``.
    kind : Kind
        A mean over samples, a share of items, a perplexity, an exact size, or a median time.
    value : float
        The number; inf where the model diverged.
    standard_error : float, optional
        Of the value; None where nothing is known of it, or nothing is left to chance.
    samples : (n,) float64
        What the value is made of: a number per sample or item, nats of each block of a text,
        seconds of each repetition. Read-only, perhaps empty.
    weights : (n,) float64
        Of a perplexity, how many tokens or words each block has; else empty.
    reference : (n,) float64
        Of a time, what the original took in the same pairs of repetitions; else empty.
    unit : str
        Such as ``s`` or ``bytes``.
    higher_is_better : bool, optional
        None where that cannot be said.
    facts : dict
        How it was measured: few-shot examples, windows... as JSON.

    Examples
    --------
    >>> metric = Metric.mean("loss", [1.0, 2.0, 3.0])
    >>> metric.value, round(metric.standard_error, 3)
    (2.0, 0.577)
    >>> Metric.perplexity("token perplexity", nats=[2.0, 4.0], weights=[1, 2]).value == math.exp(2)
    True
    """

    name: str
    kind: Kind
    value: float
    standard_error: float | None = None
    samples: NDArray[np.float64] = field(default_factory=lambda: np.empty(0), repr=False)
    weights: NDArray[np.float64] = field(default_factory=lambda: np.empty(0), repr=False)
    reference: NDArray[np.float64] = field(default_factory=lambda: np.empty(0), repr=False)
    unit: str = ""
    higher_is_better: bool | None = False
    facts: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        values = self.__dict__  # a frozen dataclass refuses plain assignment
        values["kind"] = Kind(self.kind)
        for name in ("samples", "weights", "reference"):
            array = np.array(values[name], np.float64)
            array.setflags(write=False)
            values[name] = array

    @classmethod
    def mean(cls, name: str, samples: ArrayLike, *, kind: Kind = Kind.MEAN, **more: Any) -> Metric:
        """Return the mean of samples, with its standard error."""
        values = np.array(samples, np.float64)
        mean = float(values.mean())
        if not math.isfinite(mean):
            return cls(name, kind, math.inf, None, values, **more)
        return cls(name, kind, mean, mean_error(values), values, **more)

    @classmethod
    def perplexity(cls, name: str, nats: ArrayLike, weights: ArrayLike, **more: Any) -> Metric:
        """Return the exponential of all nats over all weights.

        The standard error is that of a ratio of sums over the blocks: of its logarithm, times the
        value.
        """
        sums, counts = np.array(nats, np.float64), np.array(weights, np.float64)
        rate = float(sums.sum() / counts.sum())
        try:
            value = math.exp(rate)
        except OverflowError:
            value = math.inf
        error = None
        if math.isfinite(value):
            of_rate = ratio_error(sums, counts)
            error = None if of_rate is None else value * of_rate
        else:
            value = math.inf
        return cls(name, Kind.PERPLEXITY, value, error, sums, counts, **more)

    @classmethod
    def time(cls, name: str, seconds: ArrayLike, reference: ArrayLike = (), **more: Any) -> Metric:
        """Return the median of times, beside those of the original in the same pairs."""
        return cls(
            name,
            Kind.TIME,
            float(np.median(np.array(seconds, np.float64))),
            samples=np.array(seconds),
            reference=np.array(reference),
            unit="s",
            **more,
        )

    @classmethod
    def size(cls, name: str, value: float, unit: str = "", **more: Any) -> Metric:
        """Return a number that is exact."""
        return cls(name, Kind.SIZE, float(value), unit=unit, **more)


def mean_error(values: NDArray[np.float64]) -> float | None:
    """Return the standard error of a mean; None of fewer than two values, which say nothing."""
    if len(values) < 2:
        return None
    return float(values.std(ddof=1)) / math.sqrt(len(values))


def ratio_error(sums: NDArray[np.float64], weights: NDArray[np.float64]) -> float | None:
    """Return the standard error of ``sums.sum() / weights.sum()`` over blocks, linearised.

    Examples
    --------
    >>> values = np.array([1.0, 2.0, 4.0])
    >>> bool(np.isclose(ratio_error(values * 2, np.full(3, 2.0)), mean_error(values)))
    True
    """
    if len(sums) < 2:
        return None
    residuals = (sums - sums.sum() / weights.sum() * weights) / weights.mean()
    return float(residuals.std(ddof=1)) / math.sqrt(len(sums))
