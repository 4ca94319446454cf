"""The angles of a QAOA circuit."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from qubo_prune.core.errors import InputError
from qubo_prune.core.text import format_value
from qubo_prune.core.validation import as_finite_float

if TYPE_CHECKING:
    from qubo_prune.core.spectrum.spectrum import Spectrum


@dataclass(frozen=True)
class Angles:
    """The angles of a circuit of p layers: ``exp(-i beta_p M) exp(-i gamma_p E) ... exp(-i beta_1
    M) exp(-i gamma_1 E)``.

    E is the energy, and M = -sum (XX + YY) / 2 the mixer, so that small positive angles anneal
    towards low energies.

    Parameters
    ----------
    gammas : sequence of float
        Angle of each phase separator, in units of 1 / energy.
    betas : sequence of float
        Angle of each mixer, in radians.

    Raises
    ------
    InputError
        If there are not equally many, or one is no finite number.

    Examples
    --------
    >>> Angles([0.5, 1.0], [0.4, 0.1]).p
    2
    """

    gammas: Sequence[float] = ()
    betas: Sequence[float] = ()

    def __post_init__(self) -> None:
        for what in ("gammas", "betas"):
            value = getattr(self, what)
            try:
                numbers = tuple(as_finite_float(angle, f"an angle of {what}") for angle in value)
            except TypeError:
                raise InputError(
                    f"{what} must be a list of numbers, one per layer, not {format_value(value)}."
                ) from None
            self.__dict__[what] = numbers  # a frozen dataclass refuses plain assignment
        if len(self.gammas) != len(self.betas):
            raise InputError(
                "gammas and betas must be equally many, one of each per layer, not"
                f" {len(self.gammas)} and {len(self.betas)}."
            )

    @property
    def p(self) -> int:
        """Number of layers."""
        return len(self.gammas)

    def as_facts(self) -> dict[str, float]:
        """Return the angles as statistics of a run: gamma_1, ..., beta_1, ..."""
        return {
            f"{letter}_{layer}": angle
            for letter, angles in (("gamma", self.gammas), ("beta", self.betas))
            for layer, angle in enumerate(angles, start=1)
        }

    @classmethod
    def of(cls, spectrum: Spectrum) -> Angles:
        """Return the angles that the backend ``qaoa`` found.

        Parameters
        ----------
        spectrum : Spectrum
            Found by that backend.

        Raises
        ------
        InputError
            If it was found by another one.

        Examples
        --------
        >>> from qubo_prune import Problem, solve
        >>> problem = Problem([[2.0, 1.0, 0.0], [1.0, 3.0, -1.0], [0.0, -1.0, 2.5]], remove=2)
        >>> Angles.of(solve(problem, backend="qaoa", options={"p": 2})).p
        2
        """
        facts = spectrum.statistics
        if "p" not in facts:
            raise InputError(
                f"the spectrum of the backend {spectrum.backend!r} has no angles; solve with"
                " backend='qaoa'."
            )
        layers = range(1, int(facts["p"]) + 1)
        gammas, betas = (
            [float(facts[f"{letter}_{layer}"]) for layer in layers] for letter in ("gamma", "beta")
        )
        return cls(gammas, betas)
