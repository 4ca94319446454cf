"""What criteria look at: statistics of hidden states, gradients, and single blocks measured.

Each part is computed when a criterion first asks for it, and once.
"""

from __future__ import annotations

import enum
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike, NDArray

from qubo_prune.core.errors import InputError
from qubo_prune.core.text import format_value
from qubo_prune.core.validation import as_count

if TYPE_CHECKING:
    from qubo_prune.pruning.statistics import BlockStatistics

__all__ = ["Evidence", "Need", "StoppedError"]


class StoppedError(Exception):
    """Evidence was asked for that is not there, after the time was up or Ctrl-C."""


class Need(enum.Enum):
    """What a criterion looks at, and by its text what that takes; what takes least comes first."""

    STATISTICS = "one forward pass"
    GRADIENTS = "one forward and backward pass"
    LOSS = "one forward pass per block, the loss measured"
    KL = "one forward pass per block, the divergence measured"


class Evidence:
    """What is known of the blocks of a model.

    Parameters
    ----------
    num_blocks : int
        How many blocks there are.
    statistics : BlockStatistics or callable, optional
        Of the hidden states; or what computes them, given the blocks left out.
    gradients : (m, N) array_like or callable, optional
        Gradients of the loss with respect to the gates, one row per sample; or what computes them.
    singles : mapping, optional
        By objective, ``loss`` or ``kl``, the measured value of each block's removal, (N,), or what
        computes them. A value that is not finite means that the removal diverged.

    Examples
    --------
    >>> evidence = Evidence(3, singles={"loss": [0.5, 0.1, float("nan")]})
    >>> evidence.singles("loss")
    array([0.5, 0.1, inf])
    """

    def __init__(
        self,
        num_blocks: int,
        *,
        statistics: BlockStatistics | Callable[[tuple[int, ...]], BlockStatistics] | None = None,
        gradients: ArrayLike | Callable[[], ArrayLike] | None = None,
        singles: Mapping[str, ArrayLike | Callable[[], ArrayLike]] | None = None,
    ) -> None:
        self.num_blocks = as_count(num_blocks, "num_blocks")
        self._statistics = statistics
        self._gradients = gradients
        self._singles = dict(singles or {})
        self._known_statistics: dict[tuple[int, ...], BlockStatistics] = {}
        self._known_gradients: NDArray[np.float64] | None = None
        self._known_singles: dict[str, NDArray[np.float64]] = {}

    def statistics(self, removed: tuple[int, ...] = ()) -> BlockStatistics:
        """Return the statistics of the hidden states of the model without some blocks.

        Parameters
        ----------
        removed : tuple of int
            Ascending block indices.

        Raises
        ------
        InputError
            If they are not there and cannot be computed.
        """
        if self._statistics is None:
            raise _missing("statistics of hidden states", "statistics")
        if not callable(self._statistics):
            if removed:
                raise InputError(
                    "statistics without some blocks need the model, but only those of the whole "
                    "model are there; pass a function of the blocks left out as statistics."
                )
            return self._statistics
        if removed not in self._known_statistics:
            self._known_statistics[removed] = self._statistics(removed)
        return self._known_statistics[removed]

    def gradients(self) -> NDArray[np.float64]:
        """Return the gradients of the loss at the gates, (m, N).

        Raises
        ------
        InputError
            If they are not there, or of another shape.
        """
        if self._known_gradients is None:
            given = self._gradients
            if given is None:
                raise _missing("gradients at the gates", "gradients")
            array = np.asarray(given() if callable(given) else given, np.float64)
            if array.ndim != 2 or array.shape[1] != self.num_blocks or not len(array):
                raise InputError(
                    f"gradients must have shape (samples, {self.num_blocks}), one column per "
                    f"block, not {array.shape}; give one row per sample."
                )
            self._known_gradients = array
        return self._known_gradients

    def singles(self, objective: str) -> NDArray[np.float64]:
        """Return what the removal of each block alone does to an objective, (N,); inf if diverged.

        Parameters
        ----------
        objective : str
            ``loss`` or ``kl``.

        Raises
        ------
        InputError
            If they are not there, or of another shape.
        """
        if objective not in self._known_singles:
            if objective not in self._singles:
                raise _missing(f"the {objective} of every single removal", "singles")
            given = self._singles[objective]
            array = np.array(given() if callable(given) else given, np.float64)
            if array.shape != (self.num_blocks,):
                raise InputError(
                    f"singles[{format_value(objective)}] must have shape ({self.num_blocks},), one "
                    f"value per block, not {array.shape}; measure every block."
                )
            array[~np.isfinite(array)] = np.inf
            self._known_singles[objective] = array
        return self._known_singles[objective]


def _missing(what: str, parameter: str) -> InputError:
    return InputError(
        f"the criterion needs {what}, which this evidence has not; pass {parameter}=... or leave "
        "the criterion out."
    )
