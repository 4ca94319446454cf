"""What all samplers have in common: their options, and what a run makes of them."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from qubo_prune.backends.base import Backend, RawResult
from qubo_prune.backends.ocean.sampler import Sampler
from qubo_prune.core.errors import InputError
from qubo_prune.core.text import did_you_mean, format_value
from qubo_prune.core.validation import as_count

if TYPE_CHECKING:
    from qubo_prune.core.problem.problem import Problem
    from qubo_prune.core.stopping import Stop

_RESERVED = ("seed", "num_reads")
"""Sampler parameters that `solve` and the options set."""


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
    lists_lowest: ClassVar[bool] = False
    """Whether it lists the lowest states of the penalty form, whose penalty then has to be safe."""

    def __post_init__(self) -> None:
        for what in ("num_reads", "reads_per_call"):
            if getattr(self, what) is not None:
                as_count(getattr(self, what), what, least=1)
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
        from qubo_prune.backends.ocean.sampling import load_kernels

        load_kernels()

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
                    f"{did_you_mean(unknown[0], [*cls.options(), *sorted(parameters)])}"
                )
            own["sampler_options"] = {**own.get("sampler_options", {}), **others}
        return cls(**own)

    def run(
        self,
        problem: Problem,
        num_states: int,
        stop: Stop,
        seed: int,
        warm_start: NDArray[np.bool_] | None = None,  # noqa: ARG002 - samplers start anywhere
    ) -> RawResult:
        """Draw samples until there are enough or `stop` says so; see `Backend.run`."""
        size = sum(len(group.indices) for group in problem.groups)
        if self.max_variables is not None and size > self.max_variables:
            raise InputError(
                f"backend {self.name!r} takes at most {self.max_variables} free blocks, not {size};"
                " keep or force more of them, use only, or choose another backend."
            )
        return self.drawn(self.make_sampler(), problem, num_states, stop, seed)

    def drawn(
        self, sampler: Sampler, problem: Problem, num_states: int, stop: Stop, seed: int
    ) -> RawResult:
        """Draw samples of this very sampler."""
        from qubo_prune.backends.ocean.sampling import draw_samples

        return draw_samples(self, sampler, problem, num_states, stop, seed)

    def total_reads(self, num_states: int) -> int:  # noqa: ARG002 - some need it
        """Return how many samples to draw by default."""
        return self.default_reads

    def call_options(self, stop: Stop, num_states: int) -> dict[str, Any]:  # noqa: ARG002
        """Return parameters for one call of the sampler that depend on the run."""
        return {}

    def penalty_by_default(self, problem: Problem) -> bool:  # noqa: ARG002 - some need it
        """Whether the sampler has to be told the constraint by a penalty."""
        return not self.exhaustive

    def encoded(self, problem: Problem, penalties: NDArray[np.float64]) -> Any:
        """Return what the sampler gets: the penalty form as a `dimod.BinaryQuadraticModel`."""
        from qubo_prune.backends.ocean.sampling import scaled_bqm

        return scaled_bqm(problem, penalties)
