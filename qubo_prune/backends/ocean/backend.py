"""Any dimod sampler as a backend: penalty encoding on the way in, repair on the way out.

Samplers know no constraint. They get the problem with a penalty in its place; their samples are
decoded, swapped to the nearest feasible states where needed, and improved by swap descent with all
the neighbours met (`qubo_prune.encodings.Harvest`). What the samples were before that is reported
in `Spectrum.statistics`, and ``repair=False`` shows the sampler bare.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from importlib import import_module
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, ClassVar

from qubo_prune.backends.base import Availability, Backend, Capability
from qubo_prune.backends.common.by_name import load, split_name
from qubo_prune.backends.ocean.sampler import Sampler
from qubo_prune.backends.ocean.sampler_backend import SamplerBackend
from qubo_prune.core.errors import InputError
from qubo_prune.core.text import format_value

if TYPE_CHECKING:
    from qubo_prune.core.stopping import Stop

__all__ = [
    "OceanAnnealing",
    "OceanBackend",
    "OceanDescent",
    "OceanExact",
    "OceanTabu",
    "OceanTree",
    "is_sampler",
    "named_backend",
    "sampler_backend",
]

PREFIX = "ocean:"
"""What the name of a backend starts with whose rest names a sampler class, as
``ocean:package.module:Class``.
"""


@dataclass(frozen=True)
class OceanBackend(SamplerBackend):
    """A backend for any dimod sampler.

    Parameters
    ----------
    sampler : dimod.Sampler
        An instance: one of dwave-samplers, an annealer behind an embedding, or your own.
    num_reads : int, optional
        Samples to draw in all, unless a limit ends the run before; 100 by default.
    reads_per_call : int, optional
        Samples per call, 10 by default; limits are looked at in between. Other numbers give other
        samples.
    penalty : float or sequence of float, optional
        Penalty of the constraint, one for all groups or one for each; `estimated_penalty` by
        default.
    repair : bool
        Whether infeasible samples are repaired and all are improved.
    sampler_options : mapping
        Further parameters of the sampler.

    Examples
    --------
    >>> import dimod
    >>> from qubo_prune import Problem, solve
    >>> problem = Problem.load("bytelm-40-block", remove=4, keep=range(12))
    >>> backend = OceanBackend(dimod.RandomSampler(), num_reads=20)
    >>> spectrum = solve(problem, num_states=5, backend=backend)
    >>> spectrum.backend, spectrum.status.value, spectrum.statistics["samples"]
    ('ocean:RandomSampler', 'heuristic', 20)
    """

    sampler: Any

    name: ClassVar[str] = "ocean"
    summary: ClassVar[str] = "any dimod sampler"
    capabilities: ClassVar[Capability] = Capability.LIMITED

    def __post_init__(self) -> None:
        _check_sampler(self.sampler, format_value(self.sampler))
        super().__post_init__()
        # What is known of this very sampler, for the spectrum; the class can only say what holds
        # for all.
        self.__dict__["name"] = PREFIX + type(self.sampler).__name__
        self.__dict__["capabilities"] = Capability.LIMITED | _seeded(self.sampler)

    def make_sampler(self) -> Sampler:
        """Return the sampler."""
        sampler: Sampler = self.sampler
        return sampler


@dataclass(frozen=True, kw_only=True)
class _Ready(SamplerBackend):
    """A sampler class of an installed package."""

    library: ClassVar[str] = "dwave.samplers"
    distribution: ClassVar[str] = "dwave-samplers"
    sampler_class: ClassVar[str]

    @classmethod
    def availability(cls) -> Availability:
        """Say whether the library is installed."""
        top = cls.library.partition(".")[0]
        # The parent first: looking for a submodule of a package that is not there is an error.
        if find_spec(top) is not None and find_spec(cls.library) is not None:
            return Availability()
        return Availability(
            installed=False,
            detail=f"{cls.distribution} is not installed",
            install=f"pip install {cls.distribution}",
        )

    def prepare(self) -> None:
        """Import the library and load the kernels."""
        self.make_sampler()
        super().prepare()

    def make_sampler(self) -> Sampler:
        """Return an instance of the class."""
        sampler: Sampler = getattr(import_module(self.library), self.sampler_class)()
        return sampler


@dataclass(frozen=True, kw_only=True)
class OceanTabu(_Ready):
    """D-Wave's multistart tabu search on the penalty form.

    Its clock would make seeds useless, so each read is a fixed number of restarts
    (``num_restarts``, 1 by default); a time limit cuts the last one short. The other options are
    those of `OceanBackend`.
    """

    name: ClassVar[str] = "ocean-tabu"
    summary: ClassVar[str] = "D-Wave's tabu search on the penalty form, with repair"
    capabilities: ClassVar[Capability] = Capability.LIMITED | Capability.SEEDED
    sampler_class: ClassVar[str] = "TabuSampler"
    default_reads_per_call: ClassVar[int] = 1
    default_options: ClassVar[Mapping[str, Any]] = {"num_restarts": 1, "timeout": None}

    def call_options(self, stop: Stop, num_states: int) -> dict[str, Any]:  # noqa: ARG002
        """Return the time left."""
        if math.isinf(stop.remaining) or "timeout" in self.sampler_options:
            return {}
        return {"timeout": math.ceil(1000 * stop.remaining)}


@dataclass(frozen=True, kw_only=True)
class OceanAnnealing(_Ready):
    """D-Wave's simulated annealing on the penalty form, the class that dwave-neal re-exports;
    options are those of `OceanBackend`.
    """

    name: ClassVar[str] = "ocean-annealing"
    summary: ClassVar[str] = "D-Wave's simulated annealing (neal) on the penalty form, with repair"
    capabilities: ClassVar[Capability] = Capability.LIMITED | Capability.SEEDED
    sampler_class: ClassVar[str] = "SimulatedAnnealingSampler"


@dataclass(frozen=True, kw_only=True)
class OceanDescent(_Ready):
    """D-Wave's steepest descent on the penalty form from random states; options are those of
    `OceanBackend`.
    """

    name: ClassVar[str] = "ocean-descent"
    summary: ClassVar[str] = "D-Wave's steepest descent on the penalty form, with repair"
    capabilities: ClassVar[Capability] = Capability.LIMITED | Capability.SEEDED
    sampler_class: ClassVar[str] = "SteepestDescentSampler"
    default_reads: ClassVar[int] = 1000
    default_reads_per_call: ClassVar[int] = 100


@dataclass(frozen=True, kw_only=True)
class OceanTree(_Ready):
    """D-Wave's tree decomposition on the penalty form: lists its lowest states, for up to 22 free
    blocks.

    The penalty is `safe_penalty` by default, so that the lowest states are the spectrum, up to the
    solver's own rounding of ties.
    """

    name: ClassVar[str] = "ocean-tree"
    summary: ClassVar[str] = "D-Wave's tree decomposition on the penalty form, up to 22 free blocks"
    capabilities: ClassVar[Capability] = Capability.SEEDED
    sampler_class: ClassVar[str] = "TreeDecompositionSolver"
    max_variables: ClassVar[int | None] = 22
    lists_lowest: ClassVar[bool] = True

    def total_reads(self, num_states: int) -> int:
        """Return one state more than is wanted."""
        return num_states + 1


@dataclass(frozen=True, kw_only=True)
class OceanExact(_Ready):
    """dimod's ExactSolver, which lists all 2^n states, for up to 18 free blocks.

    The feasible ones among them are all there are, which is counted; no penalty is needed.
    """

    name: ClassVar[str] = "ocean-exact"
    summary: ClassVar[str] = "dimod's ExactSolver, all states of up to 18 free blocks"
    capabilities: ClassVar[Capability] = Capability.EXACT | Capability.PROVES | Capability.SEEDED
    library: ClassVar[str] = "dimod"
    distribution: ClassVar[str] = "dimod"
    sampler_class: ClassVar[str] = "ExactSolver"
    max_variables: ClassVar[int | None] = 18
    exhaustive: ClassVar[bool] = True


class _Named(SamplerBackend):
    """A sampler that the name of the backend names."""

    capabilities: ClassVar[Capability] = Capability.LIMITED
    maker: ClassVar[Callable[[], Sampler]]

    def make_sampler(self) -> Sampler:
        """Return the sampler."""
        return type(self).maker()


@lru_cache(maxsize=64)
def named_backend(name: str) -> type[Backend]:
    """Return the backend class of ``ocean:package.module:Class`` or ``ocean:path.py:Class``.

    Raises
    ------
    InputError
        If the name is malformed, there is no such class, or it is not a sampler that can be made
        without arguments.
    """
    where, attribute = split_name(name, PREFIX)
    if not where:
        raise InputError(
            f"backend {name!r} names no sampler; write {PREFIX}package.module:Class, as"
            f" {PREFIX}dwave.samplers:TabuSampler."
        )
    _, found = load(name, PREFIX)
    return sampler_backend(name, found, attribute)


def is_sampler(value: object) -> bool:
    """Whether something is a dimod sampler, or a class of them."""
    if not callable(getattr(value, "sample", None)):
        return False
    return isinstance(value, type) or isinstance(getattr(value, "parameters", None), Mapping)


def sampler_backend(name: str, found: Any, attribute: str) -> type[Backend]:
    """Return the backend class of a sampler, or of a class of them that is made without arguments.

    Parameters
    ----------
    name : str
        Name of the backend.
    found : dimod.Sampler or class
        The sampler.
    attribute : str
        What it is called.
    """
    sampler = found
    if isinstance(found, type):
        try:
            sampler = found()
        except Exception as error:
            raise InputError(
                f"backend {name!r}: {attribute}() fails ({type(error).__name__}: {error}); make a"
                " sampler in Python and pass OceanBackend(sampler), or name an instance."
            ) from error
    _check_sampler(sampler, attribute)
    declared = {
        "name": name,
        "summary": f"{attribute} on the penalty form, with repair",
        "maker": staticmethod(found if isinstance(found, type) else lambda: found),
        "capabilities": Capability.LIMITED | _seeded(sampler),
        "__doc__": _Named.__doc__,
        "__module__": __name__,
    }
    return type("Named", (_Named,), declared)


def _check_sampler(sampler: object, what: str) -> None:
    if not callable(getattr(sampler, "sample", None)) or not isinstance(
        getattr(sampler, "parameters", None), Mapping
    ):
        raise InputError(
            f"{what} is not a dimod sampler, which has a method sample and a mapping parameters;"
            " see dimod.Sampler."
        )


def _seeded(sampler: Any) -> Capability:
    """Return SEEDED for a sampler that takes a seed and no clock, which would make the seed
    useless.
    """
    parameters = sampler.parameters
    clocks = {"timeout", "time_limit"} & set(parameters)
    return Capability.SEEDED if "seed" in parameters and not clocks else Capability.NONE
