"""How large a penalty has to be: the smallest that works, by solving for other counts, and a safe
one without.

A state y with counts k, one for each group, has the energy ``E(y) + sum_g P_g (k_g - r_g)^2``. All
K states of a spectrum lie below every infeasible one if and only if for each k other than r ::

    E_0(k) + sum_g P_g (k_g - r_g)^2 > E_last(r)

where E_0(k) is the lowest energy among states with counts k and E_last(r) the energy of the K-th
feasible one. The proofs, and what follows for one group and for several, are in
``docs/explanation/encodings.md``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from qubo_prune.core.errors import InputError
from qubo_prune.core.problem.problem import Problem
from qubo_prune.core.spectrum.spectrum import Spectrum
from qubo_prune.core.stopping import Stop
from qubo_prune.core.text import format_count
from qubo_prune.core.validation import as_count
from qubo_prune.encodings.bounds import (
    MAX_COUNTS,
    lower_bounds,
    lowest_of_all,
    num_counts,
    other_counts,
    rounding,
)
from qubo_prune.encodings.refusals import refuse_budget
from qubo_prune.search.repair import repair
from qubo_prune.search.starting_states import starting_states

_MARGIN = 1e-6
"""A safe penalty exceeds its bound by this part, for solvers round too."""

_STARTS = 10
"""States from which an estimate descends to states with other counts."""

_ROOM = 1.01
"""An estimate exceeds what was found by this factor, so that no tie decides."""


def smallest_penalty(
    problem: Problem,
    num_states: int = 100,
    *,
    solve: Callable[..., Spectrum],
    spectra: Iterable[Spectrum] = (),
    per_group: bool = True,
    **arguments: Any,
) -> NDArray[np.float64]:
    """Return the smallest penalties that keep the `num_states` lowest states below every infeasible
    one.

    Any larger penalties do; these themselves need not, for there a feasible and an infeasible state
    may tie. For one group it is ``max over k != M of (E_last(M) - E_0(k)) / (M - k)^2``, or 0 if
    that is negative. Only those counts are solved whose bound could raise the maximum.

    Parameters
    ----------
    problem : Problem
        What is to be encoded.
    num_states : int
        K; all states if the problem has fewer.
    solve : callable
        Called as ``solve(problem, num_states=K, **arguments)``; `qubo_prune.solve` is one.
    spectra : iterable of Spectrum
        What has been solved already, such as the values of a `sweep`; the rest is solved here.
    per_group : bool
        With several groups, lower the penalties one after the other, in the order of
        `Problem.groups`, as far as the others allow; otherwise all are equal.
    **arguments
        Further arguments of `solve`, such as a backend that proves or a time limit.

    Returns
    -------
    (num_groups,) float64
        No vector that is smaller somewhere and larger nowhere will do. If a spectrum is only partly
        proven, its bound takes the place of its lowest energy: the penalties are then valid but may
        be larger than necessary.

    Raises
    ------
    InputError
        If a solve proves nothing, or there are more vectors of counts than can be looked at.

    Examples
    --------
    >>> problem = Problem([[2.0, 1.0, 0.0], [1.0, 3.0, -2.0], [0.0, -2.0, 4.0]], remove=1)
    >>> from qubo_prune import solve
    >>> smallest_penalty(problem, num_states=1, solve=solve)
    array([2.])
    """
    refuse_budget(problem, "a penalty")
    num_states = as_count(num_states, "num_states", least=1, remedy="ask for one state or more")
    num_states = min(num_states, problem.num_states)
    if not problem.groups:
        return np.zeros(0)
    floors = _Floors(problem, spectra, partial(solve, **arguments))
    top = floors.last_energy(num_states)
    penalties = np.full(len(problem.groups), floors.need(top, np.ones(len(problem.groups))))
    if per_group and len(problem.groups) > 1:
        for group in range(len(penalties)):
            penalties[group] = 0.0
            direction = np.zeros(len(penalties))
            direction[group] = 1.0
            penalties[group] = floors.need(top, direction, penalties)
    return penalties


def safe_penalty(
    problem: Problem, num_states: int = 100, *, spectrum: Spectrum | None = None
) -> float:
    """Return one penalty, the same for all groups, that keeps the `num_states` lowest states below
    every infeasible one.

    It comes from bounds in place of solves, so it is larger than necessary: a few times on trained
    Hessians with few blocks removed, some thirty times with half of them.

    Parameters
    ----------
    problem : Problem
        What is to be encoded.
    num_states : int
        K; all states if the problem has fewer.
    spectrum : Spectrum, optional
        K or more states of the problem, proven or not, the lower the better; by default some are
        looked for by swaps.

    Returns
    -------
    float
        At least 0; larger ones are safe as well.

    Raises
    ------
    InputError
        If the spectrum has fewer states.
    SpectrumError
        If it is of another problem.

    Examples
    --------
    >>> problem = Problem.load("bytelm-40-block", remove=4)
    >>> from qubo_prune import solve
    >>> bool(safe_penalty(problem) > smallest_penalty(problem, solve=solve)[0])
    True
    """
    refuse_budget(problem, "a penalty")
    num_states = as_count(num_states, "num_states", least=1, remedy="ask for one state or more")
    num_states = min(num_states, problem.num_states)
    if not problem.groups:
        return 0.0
    reduced = problem.reduced()
    error = rounding(problem)
    if spectrum is not None:
        top = _last_of(problem, spectrum, num_states)
    else:
        top = _upper_bound(problem, num_states)
    if num_counts(reduced) > MAX_COUNTS:
        need = top - reduced.offset - lowest_of_all(reduced)
    else:
        counts = other_counts(reduced)
        distances = ((counts - reduced.counts) ** 2).sum(axis=1)
        need = float(
            ((top - reduced.offset - lower_bounds(reduced, counts) + error) / distances).max()
        )
    # Where there is nothing to make up for but a tie with the last state, any positive number will
    # do.
    return max(0.0, (need + error) * (1.0 + _MARGIN)) if need != 0.0 or error else 1.0


def estimated_penalty(
    problem: Problem, num_states: int = 100, *, seed: int = 0, stop: Stop | None = None
) -> float:
    """Return a guess at the smallest common penalty, from states found by swaps with one variable
    more or less.

    Nothing is proven: it is too small where the swaps miss a lower state of another count, or a
    count further away matters. It is usually within some per cent of `smallest_penalty`, and
    annealers do best there.

    Parameters
    ----------
    problem : Problem
        What is to be encoded.
    num_states : int
        K; all states if the problem has fewer.
    seed : int
        Seed of the search for states.
    stop : Stop, optional
        Cuts the search for states short.

    Returns
    -------
    float
        At least 0.

    Examples
    --------
    >>> from qubo_prune import solve
    >>> problem = Problem.load("bytelm-40-block", remove=4)
    >>> round(float(estimated_penalty(problem) / smallest_penalty(problem, solve=solve)[0]), 2)
    1.01
    """
    refuse_budget(problem, "a penalty")
    num_states = as_count(num_states, "num_states", least=1, remedy="ask for one state or more")
    num_states = min(num_states, problem.num_states)
    states = _lowest_found(problem, num_states, seed, stop or Stop())
    top = float(problem.energies(states[-1])[0])
    sizes = np.bincount(problem.reduced().group_of, minlength=len(problem.groups))
    counts = np.array([group.count for group in problem.groups])
    need = 0.0
    for change in _small_changes(len(problem.groups)):
        if (counts + change < 0).any() or (counts + change > sizes).any():
            continue
        other = _with_counts(problem, change)
        # From the same states: independent searches may differ by more than the energies do.
        lowest = repair(other, states[:_STARTS], num_states=1)
        energy = float(other.energies(lowest)[0])
        need = max(need, (top - energy) / float((change**2).sum()))
    return need * _ROOM


class _Floors:
    """The lowest energy for each vector of counts: bounds from below, exact where they were asked
    to be.
    """

    def __init__(
        self, problem: Problem, spectra: Iterable[Spectrum], solve: Callable[..., Spectrum]
    ) -> None:
        self._problem = problem
        self._solve = solve
        self._reduced = problem.reduced()
        total = num_counts(self._reduced)
        if total > MAX_COUNTS:
            raise InputError(
                f"the groups allow {format_count(total)} vectors of counts, but at most"
                f" {format_count(MAX_COUNTS)} are looked at for the smallest penalties; use"
                " safe_penalty."
            )
        self._counts = other_counts(self._reduced)
        self._squares = (self._counts - self._reduced.counts) ** 2
        bounds = self._reduced.offset + lower_bounds(self._reduced, self._counts)
        self._lower = bounds - rounding(problem)
        self._settled = np.zeros(len(self._counts), np.bool_)
        self._known = {self._counts_of(spectrum): spectrum for spectrum in spectra}

    def last_energy(self, num_states: int) -> float:
        """Return the energy of the K-th feasible state, or of the K-th one found."""
        key = tuple(self._reduced.counts.tolist())
        spectrum = self._known.get(key)
        if spectrum is None or len(spectrum) < num_states:
            spectrum = self._solve(self._problem, num_states=num_states)
        return _last_of(self._problem, spectrum, num_states)

    def need(
        self,
        top: float,
        direction: NDArray[np.float64],
        others: NDArray[np.float64] | None = None,
    ) -> float:
        """Return the smallest p >= 0 for which the penalties ``p * direction + others`` are large
        enough.
        """
        gain = self._squares @ direction
        paid = 0.0 if others is None else self._squares @ others
        reached = gain > 0
        while True:
            needed = np.full(len(gain), -np.inf)
            np.divide(top - self._lower - paid, gain, out=needed, where=reached)
            worst = int(needed.argmax())
            if self._settled[worst] or needed[worst] <= 0.0:
                return max(0.0, float(needed[worst]))
            self._settle(worst)

    def _settle(self, number: int) -> None:
        counts = self._counts[number]
        spectrum = self._known.get(tuple(counts.tolist()))
        if spectrum is None:
            other = _with_counts(self._problem, counts - self._reduced.counts)
            spectrum = self._solve(other, num_states=1)
        lowest = min([spectrum.lower_bound, *spectrum.energies[:1].tolist()])
        if not np.isfinite(lowest):
            raise InputError(
                f"nothing is proven about the states with {counts.tolist()} variables of each"
                " group; use a backend that proves, more time, or safe_penalty."
            )
        self._lower[number] = lowest
        self._settled[number] = True

    def _counts_of(self, spectrum: Spectrum) -> tuple[int, ...]:
        """Return the counts of the groups in a spectrum of the same blocks."""
        if spectrum.hessian_sha256 != self._problem.hessian_sha256:
            raise InputError(
                "spectra holds the spectrum of another Hessian; pass those of the problem alone."
            )
        asked, found = self._problem.remove, spectrum.remove
        if isinstance(asked, int) and isinstance(found, int):
            changes = [found - asked]
        elif not (isinstance(asked, dict) and isinstance(found, dict) and set(asked) == set(found)):
            raise InputError(
                f"spectra holds one that removes {found!r}, but the problem counts {asked!r}; pass"
                " those of the same kinds."
            )
        else:
            changes = [found[kind] - asked[kind] for kind in self._problem.group_labels()]
        return tuple((self._reduced.counts + changes).tolist())


def _with_counts(problem: Problem, change: NDArray[np.int64]) -> Problem:
    """Return the problem with other counts of its groups."""
    if isinstance(problem.remove, int):
        return problem.with_remove(problem.remove + int(change.sum()))
    changes = dict(zip(problem.group_labels(), change.tolist(), strict=True))
    assert isinstance(problem.remove, dict)  # noqa: S101 - a reduced problem has counts
    return problem.with_remove(
        {kind: count + changes.get(kind, 0) for kind, count in problem.remove.items()}
    )


def _last_of(problem: Problem, spectrum: Spectrum, num_states: int) -> float:
    spectrum.check(problem)
    if len(spectrum) < num_states:
        raise InputError(
            f"the spectrum has {len(spectrum)} states, but {num_states} are to be kept; solve for"
            " more or ask for fewer."
        )
    return float(spectrum.energies[num_states - 1])


def _upper_bound(problem: Problem, num_states: int) -> float:
    """Return an energy that at least `num_states` feasible states do not exceed."""
    states = _lowest_found(problem, num_states, 0, Stop())
    if len(states) == num_states:
        return float(problem.energies(states[-1])[0])
    reduced = problem.reduced()
    highest = -lower_bounds(reduced, reduced.counts[None], sign=-1.0)[0]
    return float(reduced.offset + highest) + rounding(problem)


def _lowest_found(problem: Problem, num_states: int, seed: int, stop: Stop) -> NDArray[np.bool_]:
    """Return low states, lowest first, shape (K', N), found by swaps."""
    if not problem.groups:
        return problem.state(problem.fixed_removed)[None]
    return starting_states(problem, num_states, seed, stop)


def _small_changes(num_groups: int) -> Iterator[NDArray[np.int64]]:
    """Yield changes of the counts by one in one group, or in two groups."""
    unit = np.eye(num_groups, dtype=np.int64)
    for first in range(num_groups):
        for sign in (1, -1):
            yield sign * unit[first]
            for second in range(first + 1, num_groups):
                yield sign * unit[first] + unit[second]
                yield sign * unit[first] - unit[second]
