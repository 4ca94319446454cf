"""The result: the lowest states found, in order, and what is proven about them."""

from __future__ import annotations

import operator
import os
from collections.abc import Iterator
from dataclasses import dataclass, field, fields, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, SupportsIndex, overload

import numpy as np
from numpy.typing import NDArray

from qubo_prune.core.defaults import BACKEND, OUT_OF_REACH
from qubo_prune.core.errors import InputError
from qubo_prune.core.problem.budget import Budget, as_asked, make_budget
from qubo_prune.core.spectrum.status import REASONS, Status
from qubo_prune.core.stopping import StopReason
from qubo_prune.core.validation import (
    as_count,
    as_names,
    as_parameter_counts,
    as_real_array,
    as_states,
)

if TYPE_CHECKING:
    import dimod
    import pandas as pd
    from rich.table import Table

    from qubo_prune.core.problem.problem import Problem


@dataclass(frozen=True)
class State:
    """One state of a spectrum.

    Attributes
    ----------
    index : int
        Position in the spectrum; 0 is the ground state.
    energy : float
        Its energy.
    removed : tuple of int
        Ascending indices of the removed blocks.
    names : tuple of str
        Their names.
    """

    index: int
    energy: float
    removed: tuple[int, ...]
    names: tuple[str, ...]


@dataclass(frozen=True, eq=False, kw_only=True, repr=False)
class Spectrum:
    """The K lowest states found, ascending and distinct, and what is proven about them.

    Ties are ordered by the removed indices, lexicographically.

    Parameters
    ----------
    states : (K, N) bool
        1 where a block is removed; kept read-only.
    energies : (K,) float64
        Their energies, from `Problem.energies`; kept read-only.
    num_proven : int
        The first so many states are proven to be the lowest of the problem.
    lower_bound : float
        No state outside the list lies below it; inf if there is none, -inf if nothing is known.
    status : Status
        What that amounts to.
    stop_reason : StopReason
        Why the run ended.
    ties_truncated : bool
        Whether more states share the last energy than fit.
    backend : str
        Who found them.
    num_states_total : int
        Exact number of feasible states of the problem.
    hessian_sha256 : str
        `Problem.hessian_sha256` of the problem.
    names : tuple of str
        Name of each of the N blocks.
    remove : int, dict or None
        What was asked for; None for any number of blocks that reaches the budget.
    seed : int, optional
        Seed of the run.
    timings : dict
        Seconds by phase.
    num_evaluated : int
        States evaluated.
    native_status : str
        The status in the backend's own words.
    proof : dict
        What the backend says of its proof, such as its root bound; `next_energy`, where known, is
        that of state K + 1.
    statistics : dict
        Figures of the run, such as the fraction of an outside solver's samples that were feasible
        before repair.
    parameter_counts : tuple of int, optional
        Number of parameters of each block.
    at_least, weights : optional
        Those of the problem where it has a budget; `weights` are its `parameter_counts` where it
        has none of its own.

    Raises
    ------
    InputError
        If shapes, types or counts do not fit each other.

    Examples
    --------
    >>> from qubo_prune.core.problem.problem import Problem
    >>> problem = Problem([[2.0, 1.0], [1.0, 3.0]], remove=1)
    >>> states = [[True, False], [False, True]]
    >>> spectrum = Spectrum(
    ...     states=states, energies=problem.energies(states), num_proven=2,
    ...     lower_bound=float("inf"), status=Status.PROVEN, stop_reason=StopReason.COMPLETED,
    ...     ties_truncated=False, backend="by hand", num_states_total=2,
    ...     hessian_sha256=problem.hessian_sha256, names=problem.block_names(), remove=1,
    ... )
    >>> spectrum.check(problem)
    >>> spectrum[0]
    State(index=0, energy=2.0, removed=(0,), names=('0',))
    >>> [state.removed for state in spectrum]
    [(0,), (1,)]
    """

    states: NDArray[np.bool_]
    energies: NDArray[np.float64]
    num_proven: int
    lower_bound: float
    status: Status
    stop_reason: StopReason
    ties_truncated: bool
    backend: str
    num_states_total: int
    hessian_sha256: str
    names: tuple[str, ...]
    remove: int | dict[str, int] | None
    seed: int | None = None
    timings: dict[str, float] = field(default_factory=dict)
    num_evaluated: int = 0
    native_status: str = ""
    proof: dict[str, float | int | str] = field(default_factory=dict)
    statistics: dict[str, float | int | str] = field(default_factory=dict)
    parameter_counts: tuple[int, ...] | None = None
    at_least: float | str | None = None
    weights: tuple[float, ...] | None = None

    def __post_init__(self) -> None:
        values = self.__dict__  # a frozen dataclass refuses plain assignment
        energies = np.array(as_real_array(self.energies, "energies"), np.float64)
        states = np.array(as_real_array(self.states, "states"))
        if energies.ndim != 1 or states.ndim != 2 or len(states) != len(energies):
            raise InputError(
                f"states of shape {states.shape} and energies of shape {energies.shape} do not fit "
                "each other; give (K, N) and (K,)."
            )
        states = as_states(states, states.shape[1])
        if not np.isfinite(energies).all():
            raise InputError("energies must be finite; compute them with Problem.energies.")
        for array in (states, energies):
            array.setflags(write=False)
        values.update(states=states, energies=energies)
        values["names"] = as_names(self.names, self.num_blocks)
        values["weights"] = None if self.weights is None else tuple(self.weights)
        values["remove"] = as_asked(self.remove, self.budget)
        if self.parameter_counts is not None:
            counts = as_parameter_counts(self.parameter_counts, self.num_blocks)
            values["parameter_counts"] = counts
        for what in ("num_proven", "num_evaluated", "num_states_total"):
            values[what] = as_count(values[what], what, least=0, remedy="count up")
        if self.num_proven > len(states):
            raise InputError(
                f"num_proven must be at most the number of states, {len(states)}, not "
                f"{self.num_proven}; count only states in the list."
            )
        values["lower_bound"] = float(self.lower_bound)
        if np.isnan(self.lower_bound):
            raise InputError("lower_bound must not be NaN; give -inf where nothing is known.")
        values["status"] = Status(self.status)
        values["stop_reason"] = StopReason(self.stop_reason)
        values["ties_truncated"] = bool(self.ties_truncated)
        if self.seed is not None:
            remedy = "give that of the run"
            values["seed"] = as_count(self.seed, "seed", least=0, remedy=remedy)
        values["timings"] = {str(phase): float(time) for phase, time in self.timings.items()}

    @property
    def num_blocks(self) -> int:
        """Number of blocks, N."""
        return int(self.states.shape[1])

    @cached_property
    def budget(self) -> Budget | None:
        """What a state has to remove besides the count, if anything."""
        return make_budget(self.at_least, self.weights, self.num_blocks)

    @property
    def advice(self) -> str:
        """What is proven, why the run ended and what to do next, in sentences."""
        if self.lower_bound == np.inf:
            bound = "No feasible state is missing from the list."
        elif self.lower_bound == -np.inf:
            bound = "Nothing is known about the states outside the list."
        else:
            bound = f"No state outside the list has an energy below {self.lower_bound:.9g}."
        proven = (
            f" {self.num_proven} of the {len(self)} listed states are proven."
            if self.status is Status.PARTIAL
            else ""
        )
        ties = (
            " More states share the last energy than fit; ask for more states to see them all."
            if self.ties_truncated
            else ""
        )
        word = self.proof.get("rests_on")
        rests = f" What is proven rests on {word}." if word is not None else ""
        advice = self.status.advice
        if self._cannot_be_enumerated:
            advice = (
                "The states listed are the best found so far, and there are too many to visit them"
                f" all in any time; solve with {BACKEND}, which proves the lowest without that."
            )
        return f"{advice}{proven} {REASONS[self.stop_reason]} {bound}{ties}{rests}"

    @property
    def _cannot_be_enumerated(self) -> bool:
        return (
            self.backend == "enumeration"
            and self.status is Status.PARTIAL
            and self.num_states_total > OUT_OF_REACH
        )

    def __len__(self) -> int:
        return len(self.states)

    def __iter__(self) -> Iterator[State]:
        return (self[index] for index in range(len(self)))

    @overload
    def __getitem__(self, index: SupportsIndex) -> State: ...

    @overload
    def __getitem__(self, index: slice) -> Spectrum: ...

    def __getitem__(self, index: SupportsIndex | slice) -> State | Spectrum:
        """Return state `index`, or for a slice the spectrum of those states.

        The first states keep their proof. Any other selection leaves out lower states, so none of
        it is proven; the bound accounts for that.
        """
        if isinstance(index, slice):
            return self._select(range(len(self))[index])
        position = range(len(self))[operator.index(index)]
        removed = tuple(self.removed(position))
        names = tuple(self.names[block] for block in removed)
        return State(position, float(self.energies[position]), removed, names)

    def removed(self, k: SupportsIndex) -> list[int]:
        """Return the ascending indices of the blocks that state k removes."""
        removed: list[int] = np.flatnonzero(self.states[operator.index(k)]).tolist()
        return removed

    def removed_names(self, k: SupportsIndex) -> list[str]:
        """Return the names of the blocks that state k removes, by ascending index."""
        return [self.names[block] for block in self.removed(k)]

    def check(self, problem: Problem) -> None:
        """Verify the spectrum against the problem: recompute everything that can be.

        Energies have to agree to the last bit, states have to be feasible, distinct and in order,
        and the claims about the proof must not contradict each other.

        Parameters
        ----------
        problem : Problem
            What the spectrum claims to solve.

        Raises
        ------
        SpectrumError
            At the first contradiction.
        """
        from qubo_prune.core.spectrum.checks import check

        check(self, problem)

    def check_consistency(self) -> None:
        """Verify order, distinctness and the claims about the proof, without the problem.

        Raises
        ------
        SpectrumError
            At the first contradiction.
        """
        from qubo_prune.core.spectrum.checks import check_consistency

        check_consistency(self)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the spectrum to a ``.json`` or ``.npz`` file, completely or not at all.

        Parameters
        ----------
        path : str or path
            A spectrum that is there is replaced, another file is not.

        Raises
        ------
        InputError
            If the suffix is another one or the file cannot be written.
        """
        from qubo_prune.core.spectrum.files import save

        save(self, path)

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Spectrum:
        """Read what `save` wrote, equal to the last bit; everything in the file is checked.

        Parameters
        ----------
        path : str or path
            A ``.json`` or ``.npz`` file; ``--json`` output of the command line is such JSON.

        Raises
        ------
        InputError
            If the file cannot be read, is damaged or contradicts itself.
        """
        from qubo_prune.core.spectrum.files import load

        return load(path, cls)

    def to_dict(self) -> dict[str, Any]:
        """Return the object that `save` writes as JSON, in plain Python types.

        A lower bound of which nothing is known is None; one of which no state is missing is the
        string "Infinity", which strict JSON has no number for. `removed` lists the block
        indices that each state removes; `parameters_removed` and `share_removed` are there where
        `parameter_counts` is, `weight_removed` and `weight_share` where `at_least` is.
        """
        from qubo_prune.core.spectrum.files import to_dict

        return to_dict(self)

    def to_sampleset(self) -> dimod.SampleSet:
        """Return a dimod SampleSet of BINARY variables 0...N-1, the rest in its ``info``."""
        import dimod

        from qubo_prune.core.spectrum.files import DERIVED

        info = self.to_dict()
        for key in ("energies", "removed", *DERIVED):
            info.pop(key, None)
        samples: dimod.SampleSet = dimod.SampleSet.from_samples(  # type: ignore[no-untyped-call]
            (self.states.astype(np.int8), range(self.num_blocks)),
            vartype=dimod.BINARY,
            energy=self.energies,
            info=info,
        )
        return samples

    def parameters_removed(self) -> tuple[list[int], list[float]] | None:
        """Return how many parameters each state removes, and which share of those of all blocks
        that is; None where `parameter_counts` is None.
        """
        from qubo_prune.core.spectrum.tables import parameters_removed

        return parameters_removed(self)

    def weight_removed(self) -> tuple[list[float], list[float]] | None:
        """Return what each state removes in the unit of `weights`, and which share of the sum of
        all weights that is; None without a budget.
        """
        from qubo_prune.core.spectrum.tables import weight_removed

        return weight_removed(self)

    def to_table(self, max_rows: int = 20, *, names: bool = False) -> Table:
        """Return a rich table of the first `max_rows` states, for the terminal.

        With `names`, removed blocks are shown by name instead of by index. Where the parameters of
        the blocks are known, it has their share that is removed, and that of other weights where
        there is a budget.
        """
        from qubo_prune.core.spectrum.tables import terminal_table

        return terminal_table(self, max_rows, names=names)

    def to_csv(self) -> str:
        """Return all states as comma-separated values, a line each, with all digits.

        The columns are ``state``, ``energy``, ``above_lowest``, ``proven``, ``removed`` and
        ``names``; lists in a cell are separated by spaces.
        """
        from qubo_prune.core.spectrum.tables import spectrum_csv

        return spectrum_csv(self)

    def to_pandas(self) -> pd.DataFrame:
        """Return a DataFrame with a row for each state, and the columns of `to_csv`; needs pandas.

        Raises
        ------
        InputError
            If pandas is not installed.
        """
        from qubo_prune.core.spectrum.tables import STATE_COLUMNS, data_frame, spectrum_rows

        return data_frame(spectrum_rows(self), STATE_COLUMNS)

    def summary(self) -> str:
        """Return one line: how many states of what, by whom, how much of it is proven."""
        from qubo_prune.core.spectrum.tables import summary

        return summary(self)

    def __eq__(self, other: object) -> bool:
        """Whether another spectrum holds the same to the last bit, as one that was saved and
        loaded does.
        """
        if not isinstance(other, Spectrum):
            return NotImplemented
        return all(
            np.array_equal(getattr(self, each.name), getattr(other, each.name))
            if each.name in ("states", "energies")
            else getattr(self, each.name) == getattr(other, each.name)
            for each in fields(self)
        )

    def __hash__(self) -> int:
        return hash((self.hessian_sha256, self.backend, self.energies.tobytes()))

    def _repr_html_(self) -> str:
        from qubo_prune.core.spectrum.tables import notebook_table

        return notebook_table(self, max_rows=20)

    def __str__(self) -> str:
        from qubo_prune.core.spectrum.tables import listing

        return listing(self, max_rows=10)

    def __repr__(self) -> str:
        return f"<Spectrum: {self.summary()}>"

    def _select(self, chosen: range) -> Spectrum:
        if chosen.step < 0:
            raise InputError(
                f"a slice of a spectrum must ascend, not step by {chosen.step}; "
                "reverse a list of its states instead."
            )
        count = len(chosen)
        left_out = np.ones(len(self), np.bool_)
        left_out[chosen.start : chosen.stop : chosen.step] = False
        lower_bound = min([self.lower_bound, *self.energies[left_out][:1].tolist()])
        if chosen == range(count):
            num_proven = min(self.num_proven, count)
            status = Status.PROVEN if self.num_proven >= count > 0 else self.status
            ties_truncated = self.ties_truncated
            if 0 < count < len(self):
                ties_truncated = bool(self.energies[count] == self.energies[count - 1])
        else:
            num_proven, ties_truncated = 0, False
            status = Status.PARTIAL if self.status is Status.PROVEN else self.status
        proof = dict(self.proof)
        if chosen != range(len(self)):
            proof.pop("next_energy", None)
        return replace(
            self,
            states=self.states[chosen.start : chosen.stop : chosen.step],
            energies=self.energies[chosen.start : chosen.stop : chosen.step],
            num_proven=num_proven,
            lower_bound=lower_bound,
            status=status,
            ties_truncated=ties_truncated,
            proof=proof,
        )
