"""Feasible states held against a list that is said to be complete."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from qubo_prune.core.errors import SpectrumError
from qubo_prune.core.problem.problem import Problem
from qubo_prune.core.spectrum.spectrum import Spectrum
from qubo_prune.core.stopping import Stop
from qubo_prune.core.text import format_count
from qubo_prune.search.sampling import random_states, swap_neighbours
from qubo_prune.search.starting_states import starting_states

_OPERATIONS = 2e9
"""Additions that the sampled states may cost, roughly."""
_FEWEST_SAMPLES = 1_000
_MOST_SAMPLES = 100_000


def likely_states(
    spectrum: Spectrum, problem: Problem, seed: int, stop: Stop, effort: float = 1.0
) -> Iterator[NDArray[np.bool_]]:
    """Yield batches of feasible states to hold against the list, the likeliest to refute it first.

    Parameters
    ----------
    spectrum : Spectrum
        The list.
    problem : Problem
        What it is of.
    seed : int
        Seed of the search and of the random states.
    stop : Stop
        Cuts the search short.
    effort : float
        Neighbours and random states relative to what takes about a second.
    """
    if not problem.groups:
        return
    work = problem.num_removed**2 + problem.num_blocks
    count = int(min(_MOST_SAMPLES, max(_FEWEST_SAMPLES, effort * _OPERATIONS / work)))
    rng = np.random.default_rng(seed)
    yield from swap_neighbours(problem, spectrum.states, count, rng)
    wanted = min(len(spectrum) + 1, problem.num_states)
    yield starting_states(problem, wanted, seed, stop)
    yield from random_states(problem, count // 10, rng)


class Refuter:
    """Holds feasible states against a list and what is claimed about it."""

    def __init__(self, spectrum: Spectrum, problem: Problem) -> None:
        self._problem = problem
        self._listed = {state.tobytes() for state in spectrum.states}
        self._bound = spectrum.lower_bound
        self._last_energy, self._last_state = -np.inf, b""
        if spectrum.num_proven:
            self._last_energy = float(spectrum.energies[spectrum.num_proven - 1])
            self._last_state = spectrum.states[spectrum.num_proven - 1].tobytes()
        self._count = 0

    def check(self, states: NDArray[np.bool_]) -> None:
        """Raise `SpectrumError` if one of these states (B, N), which have the right counts, should
        be in the list, or contradicts its bound; those that miss a budget are left out.
        """
        if self._problem.budget is not None:
            states = states[self._problem.budget.allows(states)]
        self._count += len(states)
        energies = self._problem.energies(states)
        for index in np.flatnonzero((energies <= self._last_energy) | (energies < self._bound)):
            state, energy = states[index].tobytes(), float(energies[index])
            if state in self._listed:
                continue
            found = (
                f"the state that removes {np.flatnonzero(states[index]).tolist()} has energy"
                f" {energy!r}"
            )
            # Of two tied states the one that removes the lowest differing block comes first: as
            # bytes it is the greater.
            if (-energy, state) > (-self._last_energy, self._last_state):
                raise SpectrumError(
                    f"{found} and is missing from the list, said to be complete up to"
                    f" {self._last_energy!r}."
                )
            if energy < self._bound:
                raise SpectrumError(
                    f"{found} and is not listed, but no such state is said to lie below"
                    f" {self._bound!r}."
                )

    def summary(self) -> str:
        """Say that nothing was refuted."""
        return (
            f"{format_count(self._count)} states, found by a fresh search, at random and next to"
            " the listed ones, contradict nothing"
        )
