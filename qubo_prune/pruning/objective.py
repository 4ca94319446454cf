"""What is measured of a removal: a value per sample, their mean, and how sure the mean is.

An `Objective` answers "how much worse is the model without these blocks?" for many removals.
Language models are measured by `ModelObjective`; any function is by `FunctionObjective`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np
from numpy.typing import ArrayLike, NDArray

from qubo_prune.core.errors import InputError
from qubo_prune.core.stopping import Stop
from qubo_prune.core.text import format_blocks, format_value
from qubo_prune.core.validation import as_count

__all__ = ["FunctionObjective", "Measurement", "Objective"]


@dataclass(frozen=True, eq=False)
class Measurement:
    """What one removal did to the model.

    Attributes
    ----------
    removed : tuple of int
        Ascending indices of the removed blocks.
    values : (m,) float64
        The increase of each sample, which may hold infinities and NaN; of shape (0,) where only
        the mean is known. Read-only.
    value : float
        Their mean; inf where any sample is not finite, which is called *diverged*.
    standard_error : float
        Of the mean, over the samples; inf where the removal diverged and where one sample says
        nothing about it.

    Examples
    --------
    >>> one = Measurement.of([3, 1], [0.25, 0.5, 0.75])
    >>> other = Measurement.of([1, 2], [0.0, 0.5, 0.25])
    >>> one.removed, one.value, round(one.standard_error, 3)
    ((1, 3), 0.5, 0.144)
    >>> mean, error = one.difference(other)
    >>> mean, round(error, 3)
    (0.25, 0.144)
    >>> Measurement.of([5], [0.25, float("nan")]).value
    inf
    """

    removed: tuple[int, ...]
    values: NDArray[np.float64]
    value: float
    standard_error: float

    @classmethod
    def of(cls, removed: Sequence[int], values: ArrayLike) -> Measurement:
        """Return the measurement with one value per sample.

        Parameters
        ----------
        removed : sequence of int
            Distinct block indices in any order.
        values : (m,) array_like of float
            The increase of each sample, at least one.
        """
        samples = np.array(values, np.float64)
        samples.setflags(write=False)
        value, error = _mean(samples)
        return cls(tuple(sorted(map(int, removed))), samples, value, error)

    @classmethod
    def known(
        cls, removed: Sequence[int], value: float, standard_error: float = 0.0
    ) -> Measurement:
        """Return the measurement of which only the mean, and its error, are known."""
        value, standard_error = float(value), float(standard_error)
        if not math.isfinite(value):
            value = standard_error = math.inf
        none = np.empty(0)
        none.setflags(write=False)
        return cls(tuple(sorted(map(int, removed))), none, value, standard_error)

    @property
    def diverged(self) -> bool:
        """Whether the model without these blocks gives no finite value for some sample."""
        return not math.isfinite(self.value)

    def difference(self, other: Measurement) -> tuple[float, float]:
        """Return how much larger this value is than another one, and the standard error of that.

        Values of the same samples are compared sample by sample, which is far sharper than two
        independent errors. Nothing is known (error inf) where either removal diverged.
        """
        if self.diverged or other.diverged:
            if self.diverged and other.diverged:
                return 0.0, math.inf
            return (math.inf if self.diverged else -math.inf), math.inf
        if len(self.values) and self.values.shape == other.values.shape:
            return _mean(self.values - other.values)
        return self.value - other.value, math.hypot(self.standard_error, other.standard_error)


@runtime_checkable
class Objective(Protocol):
    """Anything that can measure removals.

    Attributes
    ----------
    num_blocks : int
        How many blocks there are.
    """

    num_blocks: int

    def measure(
        self, removals: Sequence[tuple[int, ...]], stop: Stop | None = None
    ) -> Iterator[Measurement]:
        """Yield one measurement per removal, in any order, as soon as it is known.

        The value of a removal must not depend on which others are measured in the same call, to
        the last bit. Where `stop` says so, fewer are yielded.
        """
        ...


class FunctionObjective:
    """An objective from any function of a removal: a benchmark's score, a simulation, a toy.

    Parameters
    ----------
    function : callable
        Takes a tuple of ascending block indices and returns the value (lower is better), a pair
        (value, standard error), or an array with one value per sample. A value that is not finite
        means that the removal diverged.
    num_blocks : int
        How many blocks there are.

    Examples
    --------
    >>> objective = FunctionObjective(lambda removed: 0.5 * sum(removed), num_blocks=4)
    >>> [(each.removed, each.value) for each in objective.measure([(0, 3), (1, 2)])]
    [((0, 3), 1.5), ((1, 2), 1.5)]
    """

    def __init__(self, function: Callable[[tuple[int, ...]], object], num_blocks: int) -> None:
        if not callable(function):
            raise InputError(
                f"function must be callable, not {type(function).__name__}; "
                "pass a function of one removal."
            )
        self.function = function
        self.num_blocks = as_count(num_blocks, "num_blocks")
        if self.num_blocks < 1:
            raise InputError(
                f"num_blocks must be at least 1, not {self.num_blocks}; count the blocks."
            )

    def measure(
        self, removals: Sequence[tuple[int, ...]], stop: Stop | None = None
    ) -> Iterator[Measurement]:
        """Yield the function's answers one after the other."""
        for done, removed in enumerate(removals):
            if stop is not None and stop.should_stop(done):
                return
            yield self._measurement(removed, self.function(removed))

    def _measurement(self, removed: tuple[int, ...], answer: object) -> Measurement:
        try:
            if isinstance(answer, tuple):
                value, error = map(float, answer)
                if math.isfinite(value) and not error >= 0:
                    raise ValueError(error)  # told below
                return Measurement.known(removed, value, error)
            if answer is None:  # which NumPy takes for nan, and a function without return returns
                raise TypeError
            samples = np.array(answer, np.float64)
        except (TypeError, ValueError):
            samples = np.empty((0, 0))
        if samples.ndim == 0:
            return Measurement.known(removed, float(samples))
        if samples.ndim == 1 and len(samples):
            return Measurement.of(removed, samples)
        raise InputError(
            f"the function returned {format_value(answer)} for the removal of blocks "
            f"{format_blocks(removed)}; return a number, a pair (value, standard error) or one "
            "number per sample."
        )


def _mean(values: NDArray[np.float64]) -> tuple[float, float]:
    """Return the mean of samples and its standard error."""
    with np.errstate(over="ignore", invalid="ignore"):  # of huge values neither need be finite
        mean = float(values.mean())
        error = float(values.std(ddof=1)) / math.sqrt(len(values)) if len(values) > 1 else math.inf
    if not math.isfinite(mean):
        return math.inf, math.inf
    return mean, error if math.isfinite(error) else math.inf
