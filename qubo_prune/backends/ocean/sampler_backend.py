"""What all samplers have in common: encoding, calls, repair."""

from __future__ import annotations

import math
import time
from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import TYPE_CHECKING, Any, ClassVar, Protocol

import numpy as np
from numpy.typing import ArrayLike, NDArray

from qubo_prune.backends.base import Backend, Capability, RawResult
from qubo_prune.core.errors import BackendError, InputError
from qubo_prune.core.files.formats.dimod_files import make_bqm
from qubo_prune.core.files.formats.quadratic_model import Model
from qubo_prune.core.text import format_value
from qubo_prune.core.validation import at_least_one
from qubo_prune.encodings import decode, estimated_penalty, penalty_qubo
from qubo_prune.encodings.penalty import as_penalties, penalty_facts
from qubo_prune.search.repair import Harvest

if TYPE_CHECKING:
    import dimod

    from qubo_prune.core.problem.problem import Problem
    from qubo_prune.core.stopping import Stop

LIMITED = Capability.TIME_LIMIT | Capability.CANCEL | Capability.PROGRESS
"""What every sampler gets that is called again and again: limits are looked at between the calls.
"""

_RESERVED = ("seed", "num_reads")
"""Sampler parameters that `solve` and the options set."""


class Sampler(Protocol):
    """A `dimod.Sampler`, as far as it is used here."""

    @property
    def parameters(self) -> Mapping[str, Any]:
        """The parameters of `sample`."""

    def sample(self, bqm: dimod.BinaryQuadraticModel, **parameters: Any) -> Any:
        """Return a `dimod.SampleSet`."""


@dataclass(frozen=True, kw_only=True)
class SamplerBackend(Backend):
    """What all samplers have in common.

    Parameters
    ----------
    num_reads : int, optional
        Samples to draw in all, unless a limit ends the run before; the default depends on the
        sampler.
    reads_per_call : int, optional
        Samples per call of the sampler; limits are looked at in between. Other numbers give other
        samples.
    penalty : float or sequence of float, optional
        Penalty of the constraint, one for all groups or one for each; `estimated_penalty` by
        default.
    repair : bool
        Whether infeasible samples are repaired and all are improved; if not, feasible ones count as
        they are, and others are dropped.
    sampler_options : mapping
        Further parameters of the sampler.
    """

    num_reads: int | None = None
    reads_per_call: int | None = None
    penalty: ArrayLike | None = None
    repair: bool = True
    sampler_options: Mapping[str, Any] = field(default_factory=dict)

    default_reads: ClassVar[int] = 100
    default_reads_per_call: ClassVar[int] = 10
    default_options: ClassVar[Mapping[str, Any]] = {}
    max_variables: ClassVar[int | None] = None
    """Largest number of free blocks."""
    exhaustive: ClassVar[bool] = False
    """Whether one call returns every state there is."""

    def __post_init__(self) -> None:
        for what in ("num_reads", "reads_per_call"):
            if getattr(self, what) is not None:
                at_least_one(getattr(self, what), what)
        if not isinstance(self.repair, bool):
            raise InputError(f"repair must be true or false, not {format_value(self.repair)}.")
        if not isinstance(self.sampler_options, Mapping):
            raise InputError(
                "sampler_options must map names to values, not be"
                f" {format_value(self.sampler_options)}; give a dict."
            )
        for name in _RESERVED:
            if name in self.sampler_options:
                raise InputError(
                    f"{name} is not among sampler_options; give it as an argument of solve or an"
                    " option of its own."
                )

    def prepare(self) -> None:
        """Load the kernels of the repair, or compile them the first time."""
        _load_kernels()

    @abstractmethod
    def make_sampler(self) -> Sampler:
        """Return the sampler, importing its library."""

    @classmethod
    def parameters_of(cls, options: Mapping[str, Any]) -> frozenset[str]:
        """Return the names of the parameters that the sampler takes; `options` are those of the
        backend.
        """
        sampler = cls(**options).make_sampler()
        return frozenset(sampler.parameters or ())

    @classmethod
    def configured(cls, **options: Any) -> Backend:
        """Return the backend with these options; those that it does not know have to be parameters
        of the sampler.
        """
        own = {name: value for name, value in options.items() if name in cls.options()}
        others = {name: value for name, value in options.items() if name not in own}
        if others:
            parameters = cls.parameters_of(own) - {*_RESERVED, "interrupt_function"}
            unknown = sorted(set(others) - parameters)
            if unknown:
                raise InputError(
                    f"backend {cls.name!r} has no option {unknown[0]!r}; its options are:"
                    f" {', '.join(cls.options())}; its sampler takes:"
                    f" {', '.join(sorted(parameters)) or 'nothing'}"
                )
            own["sampler_options"] = {**own.get("sampler_options", {}), **others}
        return cls(**own)

    def run(
        self,
        problem: Problem,
        num_states: int,
        stop: Stop,
        seed: int,
        warm_start: (NDArray[np.bool_] | None) = None,  # noqa: ARG002 - samplers start where they like
    ) -> RawResult:
        """Draw samples until there are enough or `stop` says so; see `Backend.run`."""
        size = sum(len(group.indices) for group in problem.groups)
        if self.max_variables is not None and size > self.max_variables:
            raise InputError(
                f"backend {self.name!r} takes at most {self.max_variables} free blocks, not {size};"
                " keep or force more of them, use only, or choose another backend."
            )
        sampler = self.make_sampler()
        begin = time.perf_counter()
        penalties = self._penalties(problem, num_states, seed, stop)
        bqm = _encoded(problem, penalties)
        encoded = time.perf_counter()
        harvest = Harvest(problem, num_states + 1, repaired=self.repair and not self.exhaustive)
        calls = Calls(self, sampler, num_states, seed)
        sampling = 0.0
        complete = False
        while calls.reads < calls.total and not stop.should_stop(calls.reads):
            start = time.perf_counter()
            states, times = calls.draw(problem, bqm, stop)
            sampling += time.perf_counter() - start
            harvest.add(states, stop, times)
            if self.exhaustive:
                feasible = np.unique(states[problem.is_feasible(states)], axis=0)
                complete = len(feasible) == problem.num_states
            stop.report(calls.reads, calls.reads / calls.total, "sampling")
        found = harvest.states()
        return RawResult(
            states=found,
            num_complete=len(found) if complete else 0,
            num_evaluated=calls.reads,
            native_status=f"{harvest.num_samples} samples, {harvest.num_feasible} of them feasible",
            timings={
                "penalty": encoded - begin,
                "sampling": sampling,
                "repair": time.perf_counter() - encoded - sampling,
            },
            statistics={**harvest.statistics(num_states), **penalty_facts(penalties)},
        )

    def total_reads(self, num_states: int) -> int:  # noqa: ARG002 - solvers that list states need it
        """Return how many samples to draw by default."""
        return self.default_reads

    def call_options(self, stop: Stop) -> dict[str, Any]:  # noqa: ARG002
        """Return parameters for one call of the sampler that depend on the time left."""
        return {}

    def _penalties(
        self, problem: Problem, num_states: int, seed: int, stop: Stop
    ) -> NDArray[np.float64]:
        if self.penalty is not None:
            return as_penalties(problem, self.penalty)
        value = 0.0 if self.exhaustive else self.default_penalty(problem, num_states, seed, stop)
        return as_penalties(problem, value)

    def default_penalty(self, problem: Problem, num_states: int, seed: int, stop: Stop) -> float:
        """Return the penalty where none is given."""
        estimate = estimated_penalty(problem, num_states, seed=seed, stop=stop)
        # Where no penalty seems to be needed any will do, and samplers warn of models without
        # coefficients.
        return estimate or float(np.abs(problem.reduced().matrix).mean()) or 1.0


class Calls:
    """Calls of a sampler, each with its share of the reads and a seed of its own."""

    def __init__(
        self, backend: SamplerBackend, sampler: Sampler, num_states: int, seed: int
    ) -> None:
        self._backend = backend
        self._sampler = sampler
        self._parameters = frozenset(sampler.parameters or ())
        self._random = np.random.default_rng(seed)
        self.reads = 0
        several = "num_reads" in self._parameters
        default = backend.total_reads(num_states) if several else 1
        self.total = backend.num_reads or default
        per_call = backend.reads_per_call or backend.default_reads_per_call
        if Capability.TIME_LIMIT not in backend.capabilities:
            per_call = self.total
        self._per_call = per_call if several else 1

    def draw(
        self, problem: Problem, bqm: dimod.BinaryQuadraticModel, stop: Stop
    ) -> tuple[NDArray[np.bool_], NDArray[np.int64]]:
        """Return the states of one call, and how often each was drawn."""
        count = min(self._per_call, self.total - self.reads)
        own: dict[str, Any] = {
            "num_reads": count,
            "seed": int(self._random.integers(2**31)),
            "interrupt_function": lambda: stop.should_stop(self.reads),
        }
        options = {
            **self._backend.default_options,
            **self._backend.sampler_options,
            **self._backend.call_options(stop),
            **{name: value for name, value in own.items() if name in self._parameters},
        }
        samples = self._sampler.sample(bqm, **options)
        try:
            states = decode(problem, samples)
            times = _times(samples, len(states))
        except (InputError, TypeError, ValueError) as error:
            raise BackendError(
                f"backend {self._backend.name!r} returned no samples of the problem: {error}"
            ) from error
        self.reads += max(count, int(times.sum()))
        return states, times


def _times(samples: object, num_rows: int) -> NDArray[np.int64]:
    """Return how many samples each row stands for: histograms, as quantum annealers return them,
    have a row for each distinct one.
    """
    occurrences = getattr(getattr(samples, "record", None), "num_occurrences", None)
    if occurrences is None:
        return np.ones(num_rows, np.int64)
    times = np.asarray(occurrences)
    if times.shape != (num_rows,) or times.dtype.kind not in "iu" or (times < 0).any():
        raise InputError(f"num_occurrences is {format_value(times.tolist())}; count the samples.")
    return times.astype(np.int64)


def _encoded(problem: Problem, penalties: NDArray[np.float64]) -> dimod.BinaryQuadraticModel:
    """Return the penalty form, scaled so that its largest coefficient is 1/2 to 1: some samplers
    have absolute tolerances.

    The scale is a power of two and rounds nothing.
    """
    qubo = penalty_qubo(problem, penalties)
    largest = float(np.abs(qubo.matrix).max())
    scale = math.ldexp(1.0, min(1000, -math.frexp(largest)[1] - 1)) if largest else 1.0
    return make_bqm(Model(scale * qubo.matrix), qubo.variables.tolist())


@cache
def _load_kernels() -> None:
    from qubo_prune.core.problem.problem import Problem
    from qubo_prune.core.stopping import Stop

    problem = Problem(np.eye(4), 2)
    estimated_penalty(problem, 1)
    Harvest(problem, 1).add(problem.state([0])[None], Stop())
