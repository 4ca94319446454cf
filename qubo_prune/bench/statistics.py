"""What the figures of many runs say in one number."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence, Sized
from typing import TYPE_CHECKING

from qubo_prune.core.errors import InputError
from qubo_prune.core.spectrum.spectrum import Spectrum

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

SHIFT = 1.0
"""Seconds added before geometric means, so that tiny times do not dominate them."""


def shifted_geometric_mean(
    seconds: Sequence[float | None], shift: float = SHIFT, *, limit: float | None = None
) -> float:
    """Return exp(mean(log(s + shift))) - shift.

    Parameters
    ----------
    seconds : sequence of float or None
        Times; None where a run did not get there.
    shift : float
        Seconds added to each.
    limit : float, optional
        What None counts as: the time limit of those runs, so that failing never pays.

    Raises
    ------
    InputError
        If there is no time, or None without a limit.

    Examples
    --------
    >>> round(shifted_geometric_mean([0.0, 3.0]), 6)
    1.0
    >>> round(shifted_geometric_mean([0.0, None], limit=3.0), 6)
    1.0
    """
    if not seconds:
        raise InputError("the mean of 0 times is not defined; give at least one.")
    if limit is None and None in seconds:
        raise InputError(
            f"{seconds.count(None)} of {len(seconds)} runs have no time; give the limit that they"
            " count as."
        )
    counted = [limit if s is None else s for s in seconds]
    return math.exp(sum(math.log(s + shift) for s in counted if s is not None) / len(counted)) - (
        shift
    )


def require_runs(runs: Mapping[str, Sized]) -> None:
    """Refuse runs by instance where there is no instance, or one without a run."""
    if not runs or not all(map(len, runs.values())):
        raise InputError("an instance without a run tells nothing; give at least one run of each.")


def recall(spectrum: Spectrum, reference: Spectrum, num_states: int) -> float:
    """Return which part of the reference's lowest states is in the spectrum.

    A state that ties with the last one counts as well as that one does.

    Examples
    --------
    >>> from qubo_prune import Problem, solve
    >>> reference = solve(Problem.load("bytelm-40-block", remove=4), num_states=20)
    >>> recall(reference[:5], reference, 20)
    0.25
    """
    return recall_of(spectrum.energies, reference.energies, num_states)


def recall_of(
    energies: NDArray[np.float64], reference: NDArray[np.float64], num_states: int
) -> float:
    """Return which part of the lowest states is there, by the energies of distinct states; those
    of the reference ascend.

    Examples
    --------
    >>> import numpy as np
    >>> recall_of(np.array([1.0, 2.0, 2.0]), np.array([1.0, 1.0, 2.0, 2.0]), 3)
    1.0
    """
    wanted = min(num_states, len(reference))
    return min(1.0, float((energies <= reference[wanted - 1]).sum()) / wanted)
