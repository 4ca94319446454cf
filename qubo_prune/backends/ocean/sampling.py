"""A run of a sampler: the penalty form on the way in, calls, repair on the way out."""

from __future__ import annotations

import math
from collections.abc import Mapping
from functools import cache
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import ArrayLike, NDArray

from qubo_prune.backends.base import Capability, RawResult
from qubo_prune.backends.common.phases import Phases
from qubo_prune.backends.ocean.sampler import Sampler
from qubo_prune.core.errors import BackendError, InputError
from qubo_prune.core.files.formats.dimod_files import make_bqm
from qubo_prune.core.files.formats.quadratic_model import Model
from qubo_prune.core.problem.problem import Problem
from qubo_prune.core.stopping import Stop
from qubo_prune.core.text import format_value
from qubo_prune.encodings.objects import decode
from qubo_prune.encodings.penalty import as_penalties, penalty_facts, penalty_qubo
from qubo_prune.encodings.weights import estimated_penalty, safe_penalty
from qubo_prune.search.repair import Harvest

if TYPE_CHECKING:
    import dimod


class Options(Protocol):
    """What a run asks of a `SamplerBackend`, which documents it."""

    @property
    def name(self) -> str: ...  # noqa: D102
    @property
    def capabilities(self) -> Capability: ...  # noqa: D102
    @property
    def num_reads(self) -> int | None: ...  # noqa: D102
    @property
    def reads_per_call(self) -> int | None: ...  # noqa: D102
    @property
    def penalty(self) -> ArrayLike | None: ...  # noqa: D102
    @property
    def repair(self) -> bool: ...  # noqa: D102
    @property
    def sampler_options(self) -> Mapping[str, Any]: ...  # noqa: D102
    @property
    def default_reads_per_call(self) -> int: ...  # noqa: D102
    @property
    def default_options(self) -> Mapping[str, Any]: ...  # noqa: D102
    @property
    def exhaustive(self) -> bool: ...  # noqa: D102
    @property
    def lists_lowest(self) -> bool: ...  # noqa: D102
    def total_reads(self, num_states: int) -> int: ...  # noqa: D102
    def call_options(self, stop: Stop, num_states: int) -> dict[str, Any]: ...  # noqa: D102
    def penalty_by_default(self, problem: Problem) -> bool: ...  # noqa: D102
    def encoded(self, problem: Problem, penalties: NDArray[np.float64]) -> Any: ...  # noqa: D102


def draw_samples(
    options: Options, sampler: Sampler, problem: Problem, num_states: int, stop: Stop, seed: int
) -> RawResult:
    """Draw samples until there are enough or `stop` says so."""
    clock = Phases("penalty", "sampling", "repair")
    penalties = _penalties(options, problem, num_states, seed, stop)
    model = options.encoded(problem, penalties)
    clock.begin("repair")
    harvest = Harvest(problem, num_states + 1, repaired=options.repair and not options.exhaustive)
    calls = Calls(options, sampler, num_states, seed)
    complete = False
    while calls.reads < calls.total and not stop.should_stop(calls.reads):
        clock.begin("sampling")
        states, times = calls.draw(problem, model, stop)
        clock.begin("repair")
        harvest.add(states, stop, times)
        if options.exhaustive:
            feasible = np.unique(states[problem.is_feasible(states)], axis=0)
            complete = len(feasible) == problem.num_states
        stop.offer(calls.reads, harvest.bare)
        stop.report(calls.reads, calls.reads / calls.total, "sampling")
    found = harvest.states()
    return RawResult(
        states=found,
        num_complete=len(found) if complete else 0,
        num_evaluated=calls.reads,
        native_status=f"{harvest.num_samples} samples, {harvest.num_feasible} of them feasible",
        timings=clock.timings(),
        statistics={**harvest.statistics(num_states), **penalty_facts(penalties)},
        bare=harvest.bare(),
    )


def _penalties(
    options: Options, problem: Problem, num_states: int, seed: int, stop: Stop
) -> NDArray[np.float64]:
    if options.penalty is not None:
        return as_penalties(problem, options.penalty)
    if not options.penalty_by_default(problem):
        return as_penalties(problem, 0.0)
    if options.lists_lowest:
        return as_penalties(problem, safe_penalty(problem, num_states + 1))
    estimate = estimated_penalty(problem, num_states, seed=seed, stop=stop)
    # Where no penalty seems to be needed any will do, and samplers warn of models without
    # coefficients.
    estimate = estimate or float(np.abs(problem.reduced().matrix).mean()) or 1.0
    return as_penalties(problem, estimate)


class Calls:
    """Calls of a sampler, each with its share of the reads and a seed of its own."""

    def __init__(self, options: Options, sampler: Sampler, num_states: int, seed: int) -> None:
        self._options = options
        self._sampler = sampler
        self._parameters = frozenset(sampler.parameters or ())
        self._num_states = num_states
        self._random = np.random.default_rng(seed)
        self.reads = 0
        several = "num_reads" in self._parameters
        default = options.total_reads(num_states) if several else 1
        self.total = options.num_reads or default
        per_call = options.reads_per_call or options.default_reads_per_call
        if Capability.TIME_LIMIT not in options.capabilities:
            per_call = self.total
        self._per_call = per_call if several else 1

    def draw(
        self, problem: Problem, model: Any, stop: Stop
    ) -> tuple[NDArray[np.bool_], NDArray[np.int64]]:
        """Return the states of one call, and how often each was drawn."""
        count = min(self._per_call, self.total - self.reads)
        own: dict[str, Any] = {
            "num_reads": count,
            "seed": int(self._random.integers(2**31)),
            "interrupt_function": lambda: stop.should_stop(self.reads),
        }
        parameters = {
            **self._options.default_options,
            **self._options.sampler_options,
            **self._options.call_options(stop, self._num_states),
            **{name: value for name, value in own.items() if name in self._parameters},
        }
        samples = self._sampler.sample(model, **parameters)
        try:
            states = decode(problem, samples)
            times = _times(samples, len(states))
        except (InputError, TypeError, ValueError) as error:
            raise BackendError(
                f"backend {self._options.name!r} returned no samples of the problem: {error}"
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


def scaled_bqm(problem: Problem, penalties: NDArray[np.float64]) -> dimod.BinaryQuadraticModel:
    """Return the penalty form, scaled so that its largest coefficient is 1/2 to 1: some samplers
    have absolute tolerances.

    The scale is a power of two and rounds nothing.
    """
    qubo = penalty_qubo(problem, penalties)
    largest = float(np.abs(qubo.matrix).max())
    scale = math.ldexp(1.0, min(1000, -math.frexp(largest)[1] - 1)) if largest else 1.0
    return make_bqm(Model(scale * qubo.matrix), qubo.variables.tolist())


@cache
def load_kernels() -> None:
    """Load the kernels of the estimate and of the repair, once per process."""
    problem = Problem(np.eye(4), 2)
    estimated_penalty(problem, 1)
    Harvest(problem, 1).add(problem.state([0])[None], Stop())
