"""QAOA with an XY mixer, simulated exactly among the feasible states."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from qubo_prune.backends.qaoa.angles import Angles
from qubo_prune.backends.qaoa.kernels.mixing import add_phases, expectation, mix, phase_slope
from qubo_prune.backends.qaoa.limits import MAX_AMPLITUDES
from qubo_prune.backends.qaoa.mixers import check_mixer
from qubo_prune.backends.qaoa.subspace import Subspace
from qubo_prune.core.problem.problem import Problem

_FLAT = 1e-12
"""Energies that differ by so little, relative to the largest one, are taken for equal."""

Vector = NDArray[np.float64]


class Simulator:
    """Runs a circuit with many angles; what does not depend on them is computed once.

    Inside, energies are counted from their mean and in units of their standard deviation, and
    angles are one vector (2p,): the gammas in units of 1 / deviation, then the betas. The mean only
    changes a global phase.

    Parameters
    ----------
    subspace : Subspace
        The feasible states.
    mixer : str
        One of `MIXERS`.
    """

    def __init__(self, subspace: Subspace, mixer: str) -> None:
        self.subspace = subspace
        self.energies = subspace.energies()
        # Dividing first keeps sums and squares of huge and of tiny energies in range.
        largest = float(np.abs(self.energies).max()) or 1.0
        self.scores = self.energies / largest
        self.scores -= self.scores.mean()
        spread = float(np.sqrt(np.mean(self.scores**2)))
        self.is_flat = spread < _FLAT or largest * spread < np.finfo(np.float64).tiny
        self.deviation = 1.0
        if not self.is_flat:
            self.scores /= spread
            self.deviation = largest * spread
        self._space = subspace.space(mixer)
        self._no_costate = np.empty((2, 0))

    def vector(self, angles: Angles) -> Vector:
        """Return angles in the units of this class."""
        return np.array([*(gamma * self.deviation for gamma in angles.gammas), *angles.betas])

    def angles(self, x: Vector) -> Angles:
        """Return a vector in the units of the problem."""
        gammas, betas = np.split(x, 2)
        return Angles((gammas / self.deviation).tolist(), betas.tolist())

    def evolve(self, x: Vector, poll: Callable[[], None] = lambda: None) -> NDArray[np.float64]:
        """Return the state after the circuit, (2, D): real and imaginary parts.

        `poll` is called before each layer and may raise.
        """
        psi = np.zeros((2, self.subspace.dimension))
        psi[0] = self.subspace.dimension**-0.5
        for gamma, beta in x.reshape(2, -1).T:
            poll()
            add_phases(psi, self.scores, gamma)
            mix(self._space, psi, self._no_costate, beta, False)
        return psi

    def gradient(self, x: Vector, poll: Callable[[], None] = lambda: None) -> tuple[float, Vector]:
        """Return the expected score and its derivatives by x, (2p,).

        The circuit is run backwards from its end, on the state and on the scores times the state,
        which gives all derivatives at the cost of some three evaluations (Jones and Gacon 2020).
        """
        psi = self.evolve(x, poll)
        value = float(expectation(psi, self.scores))
        costate = self.scores * psi
        gammas, betas = x.reshape(2, -1)
        slopes = np.empty((2, len(gammas)))
        for layer in range(len(gammas) - 1, -1, -1):
            poll()
            slopes[1, layer] = mix(self._space, psi, costate, betas[layer], True)
            slopes[0, layer] = phase_slope(psi, costate, self.scores)
            add_phases(psi, self.scores, -gammas[layer])
            add_phases(costate, self.scores, -gammas[layer])
        return value, slopes.ravel()

    def simulate(self, x: Vector) -> Simulation:
        """Return the state after the circuit, to look at and to sample from."""
        energies = self.energies + self.subspace.reduced.offset
        return Simulation(self.subspace, self.angles(x), energies, self.evolve(x))


@dataclass(frozen=True, eq=False, repr=False)
class Simulation:
    """The state that a circuit prepares: an amplitude for each feasible state.

    Attributes
    ----------
    subspace : Subspace
        Which state has which rank.
    angles : Angles
        Those of the circuit.
    energies : (D,) float64
        Energy of each state by rank, up to rounding that of `Problem.energies`.
    parts : (2, D) float64
        Real and imaginary part of each amplitude.
    """

    subspace: Subspace
    angles: Angles
    energies: NDArray[np.float64]
    parts: NDArray[np.float64]

    @property
    def amplitudes(self) -> NDArray[np.complex128]:
        """Amplitude of each state by rank, (D,)."""
        return np.asarray(self.parts[0] + 1j * self.parts[1])

    @cached_property
    def probabilities(self) -> NDArray[np.float64]:
        """Probability of each state by rank, (D,)."""
        return np.asarray(np.einsum("is,is->s", self.parts, self.parts))

    @property
    def expected_energy(self) -> float:
        """Mean energy of what is measured."""
        return float(np.sum(self.energies * self.probabilities))

    @property
    def ground_energy(self) -> float:
        """Lowest energy of all feasible states."""
        return float(self.energies.min())

    @property
    def approximation_ratio(self) -> float:
        """Return (highest - expected) / (highest - lowest energy): 1 at the ground state, and also
        if all energies are equal.
        """
        highest, lowest = float(self.energies.max()), self.ground_energy
        return (highest - self.expected_energy) / (highest - lowest) if highest > lowest else 1.0

    @property
    def ground_state_probability(self) -> float:
        """Probability to measure a state of the lowest energy."""
        tolerance = _FLAT * float(np.abs(self.energies).max())
        ground = self.energies <= self.ground_energy + tolerance
        return float(self.probabilities[ground].sum())

    def states(self, ranks: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Return the states (K, N) of ranks (K,), 1 = removed."""
        return self.subspace.states(ranks)

    def ranks(self, states: NDArray[np.bool_]) -> NDArray[np.int64]:
        """Return the ranks (K,) of feasible states (K, N)."""
        return self.subspace.ranks(states)

    def sample(
        self, shots: int, random: np.random.Generator
    ) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Measure `shots` times; return the distinct ranks found, ascending, and how often each
        was.
        """
        cumulated = np.cumsum(self.probabilities)
        drawn = np.searchsorted(cumulated, random.random(shots) * cumulated[-1], side="right")
        ranks, times = np.unique(drawn, return_counts=True)
        return ranks.astype(np.int64), times.astype(np.int64)


def simulate(
    problem: Problem,
    angles: Angles,
    *,
    mixer: str = "ring",
    max_amplitudes: int = MAX_AMPLITUDES,
) -> Simulation:
    """Return the state that the circuit of `to_circuit` prepares, exactly.

    Parameters
    ----------
    problem : Problem
        Of at most `max_amplitudes` feasible states.
    angles : Angles
        From `optimize_angles`, or any.
    mixer : str
        ``ring`` or ``complete``.
    max_amplitudes : int
        Limit on the number of feasible states; each takes 64 bytes.

    Returns
    -------
    Simulation
        Probabilities, energies and figures.

    Raises
    ------
    InputError
        If the mixer is unknown or there are too many states.

    Examples
    --------
    >>> from qubo_prune import Problem
    >>> problem = Problem([[2.0, 1.0, 0.0], [1.0, 3.0, -1.0], [0.0, -1.0, 2.5]], remove=2)
    >>> simulation = simulate(problem, Angles())
    >>> simulation.probabilities.round(3), simulation.expected_energy
    (array([0.333, 0.333, 0.333]), 5.0)
    >>> simulate(problem, Angles([0.4], [0.3])).expected_energy < 4.5
    True
    """
    simulator = Simulator(Subspace(problem, max_amplitudes), check_mixer(mixer))
    return simulator.simulate(simulator.vector(angles))
