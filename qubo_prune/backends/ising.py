r"""A plain function of an Ising model as a backend.

The function gets fields h and couplings J, so that the energy of spins s is, up to a constant,

    E(s) = sum_i h_i s_i + sum_{i<j} J_ij s_i s_j,    s_i in {-1, 1}, 1 where block i is removed,

with J zero on and below its diagonal: ``h @ s + s @ J @ s``. From the problem's ``x'Qx`` this is
x = (1 + s) / 2, hence ``h_i = sum_j Q_ij / 2`` and ``J_ij = Q_ij / 2``
(`qubo_prune.encodings.to_ising`). What else it gets depends on its signature.
"""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

import numpy as np
from numpy.typing import NDArray

from qubo_prune.backends.base import Backend, Capability, RawResult
from qubo_prune.backends.ocean.sampler import Sampler
from qubo_prune.backends.ocean.sampler_backend import SamplerBackend
from qubo_prune.core.errors import BackendError, InputError
from qubo_prune.core.text import format_value
from qubo_prune.core.validation import as_real_array
from qubo_prune.encodings.penalty import Ising, to_ising

if TYPE_CHECKING:
    from qubo_prune.core.problem.problem import Problem
    from qubo_prune.core.stopping import Stop

__all__ = ["IsingBackend", "function_backend"]

PREFIX = "ising:"
_PER_RUN = ("num_states", "time_limit")
"""What a function may ask for besides the parameters that samplers have."""
_POSITIONAL = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
_NAMED = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)


@dataclass(frozen=True)
class Signature:
    """What a function asks for.

    Attributes
    ----------
    takes_count : bool
        Whether it is told M, so that the constraint is its own business.
    optional : tuple of str
        The names of everything else that it takes.
    """

    takes_count: bool
    optional: tuple[str, ...]

    @classmethod
    def of(cls, function: Callable[..., Any], what: str) -> Signature:
        """Return what a function asks for; one that is no function of (h, J) or (h, J, M) is an
        error.
        """
        try:
            signature = inspect.signature(function)
        except (TypeError, ValueError) as error:
            raise InputError(
                f"{what} does not say what it takes ({error}); wrap it in a function of (h, J, M)."
            ) from error
        parameters = list(signature.parameters.values())
        asked = (*_PER_RUN, "num_reads", "seed")
        needed = [
            each
            for each in parameters
            if each.default is each.empty
            and each.name not in asked
            and each.kind not in (each.VAR_POSITIONAL, each.VAR_KEYWORD)
        ]
        count = len(needed)
        if count == 2 and len(parameters) > 2 and parameters[2].name == "M":
            needed.append(parameters[2])
        by_position = all(each.kind in _POSITIONAL for each in needed)
        if len(needed) not in (2, 3) or needed != parameters[: len(needed)] or not by_position:
            bare = signature.replace(
                parameters=[each.replace(annotation=each.empty) for each in parameters],
                return_annotation=signature.empty,
            )
            raise InputError(
                f"{what} takes {bare}, not (h, J, M), or (h, J) to get M as a penalty; give"
                " whatever else it takes a default value."
            )
        others = parameters[len(needed) :]
        return cls(len(needed) == 3, tuple(each.name for each in others if each.kind in _NAMED))


class Model(NamedTuple):
    """What a function is called with: the model, and how many of its spins are to be 1."""

    ising: Ising
    num_up: int


class FunctionSampler:
    """A function in the place of a sampler: draws by calling it.

    Parameters
    ----------
    function : callable
        The function.
    signature : Signature
        What it asks for.
    name : str
        Of the backend.
    """

    def __init__(self, function: Callable[..., Any], signature: Signature, name: str) -> None:
        self._name = name
        self._function = function
        self._signature = signature
        self.energy_error = -math.inf

    @property
    def parameters(self) -> Mapping[str, Any]:
        """What may be passed to `sample`; one that takes no `num_reads` is called again."""
        own: dict[str, Any] = {
            name: [] for name in self._signature.optional if name not in _PER_RUN
        }
        return {**own, "num_reads": []}

    def sample(self, model: Model, /, **parameters: Any) -> NDArray[np.float64]:
        """Return spins of shape (K, n)."""
        reads = parameters.pop("num_reads", 1)
        if "num_reads" in self._signature.optional:
            parameters["num_reads"] = reads
        h, couplings = model.ising.h.copy(), model.ising.couplings.copy()
        count = (model.num_up,) if self._signature.takes_count else ()
        answer = self._function(h, couplings, *count, **parameters)
        energies = None
        if isinstance(answer, tuple) and len(answer) == 2:
            answer, energies = answer
        try:
            spins = _as_spins(answer, len(h))
            if energies is not None:
                self._compare(model.ising, spins, energies)
        except InputError as error:
            raise BackendError(f"backend {self._name!r}: {error}") from error
        return spins

    def _compare(self, ising: Ising, spins: NDArray[np.float64], energies: Any) -> None:
        given = np.atleast_1d(as_real_array(energies, "energies"))
        if given.shape != (len(spins),):
            raise InputError(
                f"energies must be one for each of {len(spins)} states, not of shape"
                f" {given.shape}; return spins, or (spins, energies)."
            )
        if len(spins):
            error = np.abs(given - (ising.energies(spins) - ising.offset)).max()
            self.energy_error = max(self.energy_error, float(error))


def _as_spins(answer: Any, num_spins: int) -> NDArray[np.float64]:
    values = as_real_array(answer, "spins")
    if values.shape == (0,):
        return np.zeros((0, num_spins))
    values = np.atleast_2d(values)
    if values.shape[1:] != (num_spins,):
        raise InputError(
            f"spins must have shape ({num_spins},) or (K, {num_spins}), not {np.shape(answer)};"
            " return one state, or an array of states."
        )
    wrong = values[(values != 1) & (values != -1)]
    if wrong.size:
        raise InputError(f"spins must be -1 and 1, not {wrong[0]}; return 2 x - 1 for bits x.")
    return values.astype(np.float64)


class _FunctionBackend(SamplerBackend):
    """What backends of functions have in common."""

    def called(self) -> tuple[Callable[..., Any], Signature]:
        """Return the function, and what it asks for."""
        raise NotImplementedError

    def make_sampler(self) -> Sampler:
        """Return the function in the place of a sampler."""
        return FunctionSampler(*self.called(), self.name)

    def call_options(self, stop: Stop, num_states: int) -> dict[str, Any]:
        """Return what a function gets of the run if it asks for that."""
        left = None if math.isinf(stop.remaining) else stop.remaining
        of_run = {"num_states": num_states, "time_limit": left}
        _, signature = self.called()
        return {name: value for name, value in of_run.items() if name in signature.optional}

    def penalty_by_default(self, problem: Problem) -> bool:
        """Whether the counts are told by a penalty: to who takes no M, or where there are several,
        of which M is the sum.
        """
        _, signature = self.called()
        return not signature.takes_count or len(problem.groups) > 1

    def encoded(self, problem: Problem, penalties: NDArray[np.float64]) -> Model:
        """Return the Ising model, and how many of its spins are 1."""
        return Model(to_ising(problem, penalties), sum(group.count for group in problem.groups))

    def drawn(
        self, sampler: Sampler, problem: Problem, num_states: int, stop: Stop, seed: int
    ) -> RawResult:
        """Call the function, and tell how wrong its energies are, if it returns some."""
        raw = super().drawn(sampler, problem, num_states, stop, seed)
        error = getattr(sampler, "energy_error", -math.inf)
        if not math.isfinite(error):
            return raw
        return replace(raw, statistics={**raw.statistics, "energy_error": error})


@dataclass(frozen=True)
class IsingBackend(_FunctionBackend):
    """A backend for a plain function of an Ising model.

    Parameters
    ----------
    function : callable
        ``f(h, J, M)``, or ``f(h, J)`` to get the counts as a penalty in h and J. It returns spins
        of -1 and 1, 1 where a block is removed, one state (n,) or several (K, n), or a tuple of
        these and their energies ``h @ s + s @ J @ s``. Of ``num_reads``, ``num_states``, ``seed``,
        ``time_limit`` (seconds left, or None) and ``interrupt_function`` it gets what its signature
        names; everything else with a default value is an option.
    num_reads : int, optional
        States to draw in all, 100 by default: it is called until it has returned so many.
    reads_per_call : int, optional
        Samples per call of a function that takes ``num_reads``, 10 by default.
    penalty : float or sequence of float, optional
        Penalty of the constraint. By default 0 for one that takes M, unless there is a count for
        each kind, and `estimated_penalty` else.
    repair : bool
        Whether infeasible samples are repaired and all are improved.
    sampler_options : mapping
        Further arguments of the function.

    Examples
    --------
    >>> from qubo_prune import Problem, solve
    >>> def cheapest_fields(h, J, M):
    ...     spins = -np.ones(len(h))
    ...     spins[np.argsort(h)[:M]] = 1
    ...     return spins
    >>> problem = Problem.load("bytelm-40-block", remove=4)
    >>> spectrum = solve(problem, num_states=3, backend=IsingBackend(cheapest_fields))
    >>> spectrum.backend, spectrum.status.value, spectrum.statistics["feasible_samples"]
    ('ising:cheapest_fields', 'heuristic', 100)
    """

    function: Any

    name: ClassVar[str] = "ising"
    summary: ClassVar[str] = "any function of an Ising model"
    capabilities: ClassVar[Capability] = Capability.LIMITED

    def __post_init__(self) -> None:
        called = getattr(self.function, "__name__", type(self.function).__name__)
        if not callable(self.function):
            raise InputError(
                f"function must be a function of (h, J, M), not {format_value(self.function)}."
            )
        super().__post_init__()
        signature = Signature.of(self.function, called)
        self.__dict__.update(_facts(signature), name=PREFIX + called, _signature=signature)

    def called(self) -> tuple[Callable[..., Any], Signature]:
        """Return the function, and what it asks for."""
        return self.function, self.__dict__["_signature"]


@dataclass(frozen=True, kw_only=True)
class _NamedFunction(_FunctionBackend):
    """A function that the name of the backend names; see `IsingBackend`."""

    function_and_signature: ClassVar[tuple[Callable[..., Any], Signature]]

    def called(self) -> tuple[Callable[..., Any], Signature]:
        """Return the function, and what it asks for."""
        return type(self).function_and_signature


def function_backend(name: str, function: Callable[..., Any]) -> type[Backend]:
    """Return the backend class of a function.

    Raises
    ------
    InputError
        If it is no function of (h, J) or (h, J, M).
    """
    signature = Signature.of(function, f"backend {name!r}")
    declared = {
        **_facts(signature),
        "name": name,
        "summary": f"{name.rpartition(':')[2]}, a function of an Ising model, with repair",
        "function_and_signature": (function, signature),
        "__doc__": _NamedFunction.__doc__,
        "__module__": __name__,
    }
    return type("NamedFunction", (_NamedFunction,), declared)


def _facts(signature: Signature) -> dict[str, Any]:
    """Return what is known of a backend from the signature of its function."""
    capabilities = Capability.LIMITED
    if "seed" in signature.optional:
        capabilities |= Capability.SEEDED
    if signature.takes_count:
        capabilities |= Capability.NATIVE_CONSTRAINT
    per_call = 10 if "num_reads" in signature.optional else 1
    return {"capabilities": capabilities, "default_reads_per_call": per_call}
