"""The contract between `solve` and a solver: what a backend says of itself, what it gets and what
it returns.
"""

from __future__ import annotations

import enum
from abc import ABC, abstractmethod
from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from qubo_prune.core.errors import InputError
from qubo_prune.core.text import did_you_mean

if TYPE_CHECKING:
    from qubo_prune.core.problem.problem import Problem
    from qubo_prune.core.stopping import Stop


class Capability(enum.Flag):
    """What a backend can do; the CLI, the docs and the tests read these flags."""

    NONE = 0
    EXACT = enum.auto()
    """Returns the true spectrum if it is given the time."""
    PROVES = enum.auto()
    """Says how much of its spectrum is proven, also when stopped early."""
    WARM_START = enum.auto()
    """Uses the states passed as `warm_start`."""
    GPU = enum.auto()
    """Can run on a GPU; `Availability.device` is None where it need not."""
    SEEDED = enum.auto()
    """The same seed gives the same spectrum, on any number of threads."""
    NATIVE_CONSTRAINT = enum.auto()
    """Handles the exact counts itself; no penalty term is involved."""
    BUDGET = enum.auto()
    """Takes problems with a budget, `Problem.budget`, and returns states that reach it."""
    TIME_LIMIT = enum.auto()
    """Stops near the time limit with what it found."""
    CANCEL = enum.auto()
    """Stops soon after it is cancelled with what it found."""
    PROGRESS = enum.auto()
    """Reports progress while it runs."""
    LIMITED = TIME_LIMIT | CANCEL | PROGRESS
    """The last three: what a backend has that asks its `Stop` again and again."""


@dataclass(frozen=True)
class Availability:
    """Whether a backend can run here: three separate questions.

    Attributes
    ----------
    installed : bool
        The library can be imported.
    licensed : bool or None
        A licence is there; None if none is needed.
    device : bool or None
        The device is there; None if none is needed.
    detail : str
        One line for people: a version, a limit, a reason.
    install : str
        The command that installs what is missing; empty if nothing is.
    """

    installed: bool = True
    licensed: bool | None = None
    device: bool | None = None
    detail: str = ""
    install: str = ""

    @property
    def usable(self) -> bool:
        """Whether nothing is missing."""
        return self.installed and self.licensed is not False and self.device is not False


@dataclass(frozen=True, eq=False)
class RawResult:
    """What a backend hands to `solve`, which recomputes and checks it before anybody sees it.

    Attributes
    ----------
    states : ndarray of bool, shape (K', N)
        Distinct feasible states in any order, 1 = removed. More than were asked for is welcome.
    num_complete : int
        `states` is proven to hold that many lowest states of the problem (ties by list of removed
        blocks). One more than was asked for settles whether a tie is cut off.
    lower_bound : float
        No state outside `states` has an energy below it; -inf if nothing is known beyond
        `num_complete`.
    num_evaluated : int
        Number of states or nodes looked at, in the backend's own unit.
    native_status : str
        The solver's own word on how it ended.
    timings : dict of str to float
        Seconds per phase.
    proof : dict of str to float, int or str
        What a reader of a certificate should know of the proof, such as a root bound, the number of
        nodes and the version of the solver's library; finite numbers and strings.
    statistics : dict of str to float, int or str
        Figures of the run that say how good the solver itself was, such as the fraction of its
        samples that were feasible before repair; finite numbers and strings.
    energies : ndarray of float, shape (K',), optional
        What the solver itself says that the energies of `states` are. `solve` refuses what is
        wrong, and a benchmark names it.
    bare : ndarray of bool, shape (B, N), optional
        Where `states` were repaired or improved by others than the solver: its own feasible ones,
        distinct, in any order.
    """

    states: NDArray[np.bool_]
    num_complete: int = 0
    lower_bound: float = -np.inf
    num_evaluated: int = 0
    native_status: str = ""
    timings: dict[str, float] = field(default_factory=dict)
    proof: dict[str, float | int | str] = field(default_factory=dict)
    statistics: dict[str, float | int | str] = field(default_factory=dict)
    energies: NDArray[np.float64] | None = None
    bare: NDArray[np.bool_] | None = None


class Backend(ABC):
    """A solver behind the common interface.

    Subclass it as a frozen dataclass whose fields are the solver's options; keep mutable state
    inside `run`.
    """

    name: ClassVar[str]
    summary: ClassVar[str]
    """One line for `qubo-prune backends`."""
    capabilities: ClassVar[Capability]
    """With default options; an instance whose options rule out some of it holds its own."""

    @classmethod
    def availability(cls) -> Availability:
        """Say whether the backend can run here, without side effects; the default needs nothing."""
        return Availability()

    def prepare(self) -> None:  # noqa: B027 - optional
        """Load or compile what any problem needs; `solve` calls it before the clock starts. The
        default needs nothing.
        """

    @abstractmethod
    def run(
        self,
        problem: Problem,
        num_states: int,
        stop: Stop,
        seed: int,
        warm_start: NDArray[np.bool_] | None = None,
    ) -> RawResult:
        """Search for the `num_states` lowest states of `problem`.

        Parameters
        ----------
        problem : Problem
            Validated, with at least one group (`solve` answers for the others);
            `problem.reduced()` is the form that most solvers want.
        num_states : int
            K >= 1, at most ``problem.num_states``.
        stop : Stop
            Ask ``stop.should_stop(num_evaluated)`` often and return what was found when it says so;
            ``stop.report(num_evaluated, fraction)`` shows progress.
        seed : int
            Seed of every random choice.
        warm_start : ndarray of bool, shape (W, N), optional
            Feasible states known to be good.
        """

    @classmethod
    def options(cls) -> tuple[str, ...]:
        """Names of the options that this backend takes."""
        return tuple(f.name for f in fields(cls) if f.init)  # type: ignore[arg-type]

    @classmethod
    def configured(cls, **options: Any) -> Backend:
        """Return the backend with these options; an unknown one is an error."""
        unknown = sorted(set(options) - set(cls.options()))
        if unknown:
            raise InputError(
                f"backend {cls.name!r} has no option {unknown[0]!r}; its options are: "
                f"{', '.join(cls.options()) or 'none'}{did_you_mean(unknown[0], cls.options())}"
            )
        return cls(**options)
