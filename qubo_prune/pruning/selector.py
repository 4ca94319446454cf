"""From a model or any objective to a `Selection`: the loop, its records and the final
comparison.
"""

from __future__ import annotations

import os
import time
import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from qubo_prune.core.errors import InputError
from qubo_prune.core.problem.problem import Problem
from qubo_prune.core.spectrum.spectrum import Spectrum
from qubo_prune.core.stopping import Progress, Stop, StopReason
from qubo_prune.core.validation import as_count, as_finite_float
from qubo_prune.hessians.calibration.calibration import Calibration
from qubo_prune.pruning.hints import Hint, hints_of_model
from qubo_prune.pruning.loop import LoopResult, LoopSettings, search_removals
from qubo_prune.pruning.objective import Measurement, Objective
from qubo_prune.pruning.records import Recorded, Records
from qubo_prune.pruning.selection import Candidate, Selection
from qubo_prune.pruning.selection_checks import require_blocks, require_spectrum
from qubo_prune.pruning.selection_outputs import identity_of, samples_of, save_surrogate
from qubo_prune.solving.solve import solve

if TYPE_CHECKING:
    from transformers import PreTrainedModel

    from qubo_prune.hessians.gates.gates import Gates
    from qubo_prune.pruning.criteria.base import Criterion
    from qubo_prune.pruning.criteria.evidence import Evidence
    from qubo_prune.pruning.measurement import ModelObjective

__all__ = ["CRITERIA", "select", "select_removals", "split"]

CRITERIA = ("block-influence",)
"""Criteria whose removals are measured unless others are named; the first orders the blocks."""

FINALISTS = 5
"""How many of the best removals are measured on the held-out samples."""

SPECTRUM_STATES = 100
"""How many of the lowest energies are looked up to say where a removal stands among them."""


@dataclass(frozen=True)
class _Energies:
    """What the Hessian, where there is one, says of removals."""

    problem: Problem
    ranks: dict[tuple[int, ...], int]

    @property
    def known(self) -> bool:
        return bool(self.problem.hessian.any() or self.problem.linear.any())

    def facts(self, removed: tuple[int, ...]) -> dict[str, Any]:
        energy = None
        if self.known:
            energy = float(self.problem.energies(self.problem.state(removed))[0])
        return {"energy": energy, "rank_in_spectrum": self.ranks.get(removed)}


def select(
    model: PreTrainedModel,
    calibration: Calibration,
    problem: Problem,
    *,
    objective: Literal["loss", "kl"] = "loss",
    evaluations: int = 100,
    held_out: float | Calibration = 0.5,
    granularity: Literal["block", "branch"] = "block",
    layers: str | None = None,
    gates: Gates | None = None,
    criteria: Sequence[str] = CRITERIA,
    spectrum: Spectrum | None = None,
    proposals: Mapping[str, Iterable[Sequence[int]]] | None = None,
    seed: int = 0,
    settings: LoopSettings | None = None,
    batch_size: int | None = None,
    state: str | os.PathLike[str] | None = None,
    hessian_out: str | os.PathLike[str] | None = None,
    weights_of: str | None = None,
    time_limit: float | None = None,
    progress: Callable[[Progress], None] | None = None,
    stop: Stop | None = None,
) -> Selection:
    """Find the blocks of a model that are missed least, by measuring removals.

    Ctrl-C ends the search and returns what was found; a second Ctrl-C raises KeyboardInterrupt.

    Parameters
    ----------
    model : transformers.PreTrainedModel
        A causal language model; it is left as it was.
    calibration : Calibration
        The samples.
    problem : Problem
        How many blocks go, of which kinds, and which stay; a matrix of zeros where there is no
        Hessian, whose energy is otherwise one more hint.
    objective : {"loss", "kl"}
        The increase of the loss, or the divergence from the whole model.
    evaluations : int
        How many removals may be measured to choose, single blocks included.
    held_out : float or Calibration
        The share of the samples, the last ones, that no choice looks at and the result is reported
        on, or samples of their own; 0 for none.
    granularity : {"block", "branch"}
        What the blocks of the problem are.
    layers : str, optional
        Where the decoder layers are in the model; found unless given.
    gates : Gates, optional
        The blocks of the model, where they are known already.
    criteria : sequence of str
        Whose removals are measured too; the first one's scores tell which blocks are worth
        measuring alone, where the evaluations do not suffice for all.
    spectrum : Spectrum, optional
        The lowest energies of the problem; found unless given.
    proposals : mapping, optional
        Removals to measure in any case, by who proposes them.
    seed : int
        Of the exploration.
    settings : LoopSettings, optional
        How the loop believes and explores.
    batch_size : int, optional
        Most samples that go through the model together.
    state : path, optional
        A file for the measurements. The same call goes on from it, whatever ended the last one, and
        comes to the same selection.
    hessian_out : path, optional
        A ``.npy`` file for the corrected quadratic, a Hessian like any other.
    weights_of : str, optional
        What the weights of the problem are, for who reads the result.
    time_limit, progress, stop : as for `qubo_prune.solve`
        A limit ends the search with what was found.

    Returns
    -------
    Selection

    Raises
    ------
    InputError
        If an argument is out of range, or the problem is of another model.
    """
    from qubo_prune.hessians.gates.gates import find_gates
    from qubo_prune.pruning.measurement import ModelObjective

    if gates is None:
        gates = find_gates(model, granularity, layers=layers)
    require_blocks(problem, gates)
    choosing, fresh = split(calibration, held_out)
    measured = ModelObjective(model, gates, choosing, objective=objective, batch_size=batch_size)
    reported = None
    if fresh is not None:
        reported = ModelObjective(model, gates, fresh, objective=objective, batch_size=batch_size)
    stop = stop or Stop(time_limit, progress=progress)
    described = measured.describe()
    energies = _Energies(problem, {})
    brought = dict(proposals or {})
    if energies.known and spectrum is None:
        spectrum = solve(problem, num_states=SPECTRUM_STATES, time_limit=60.0)
    if spectrum is not None:
        require_spectrum(spectrum, problem, has_hessian=energies.known)
        brought.setdefault("energy", [spectrum.removed(0)])
    chosen, ranking, hints = _of_criteria(
        criteria, problem, measured, choosing, measured.batch_size, objective
    )
    selection, result = _run(
        measured,
        problem,
        held_out=reported,
        evaluations=evaluations,
        spectrum=spectrum,
        proposals={**brought, **chosen},
        ranking=ranking,
        hints=hints,
        seed=seed,
        settings=settings,
        state=state,
        identity=identity_of(described, None if reported is None else reported.describe()),
        stop=stop,
    )
    selection = replace(
        selection,
        objective=objective,
        baseline=float(measured.baseline.mean()),
        held_out_baseline=None if reported is None else float(reported.baseline.mean()),
        names=tuple(described["names"]),
        samples=samples_of(measured, reported),
        model_fingerprint=described["model_fingerprint"],
        weights_of=weights_of,
    )
    if hessian_out is not None and result.surrogate is not None:
        save_surrogate(hessian_out, result, selection, problem, described)
    return selection


def select_removals(
    objective: Objective,
    problem: Problem,
    *,
    held_out: Objective | None = None,
    evaluations: int = 100,
    spectrum: Spectrum | None = None,
    proposals: Mapping[str, Iterable[Sequence[int]]] | None = None,
    ranking: ArrayLike | None = None,
    hints: Iterable[Hint] = (),
    seed: int = 0,
    settings: LoopSettings | None = None,
    state: str | os.PathLike[str] | None = None,
    identity: Mapping[str, Any] | None = None,
    stop: Stop | None = None,
) -> Selection:
    """Select removals by any objective: a benchmark's score, a simulation, a function.

    Parameters
    ----------
    objective : Objective
        What is measured, lower is better; `FunctionObjective` makes one of any function.
    problem : Problem
        How many blocks go, of which kinds, and which stay.
    held_out : Objective, optional
        The same on other samples; the best few are compared on it.
    evaluations, spectrum, proposals, seed, settings, state, stop : as for `select`
    ranking : (N,) array_like of float, optional
        Scores per block, see `qubo_prune.pruning.loop.search_removals`.
    hints : iterable of Hint
        What pairs may do together (`qubo_prune.pruning.hints`).
    identity : mapping, optional
        What must be the same for the file of measurements to be taken up, as JSON.

    Returns
    -------
    Selection

    Examples
    --------
    >>> from qubo_prune.pruning.objective import FunctionObjective
    >>> damage = [5.0, 1.0, 2.0, 1.5, 3.0, 9.0]
    >>> score = FunctionObjective(lambda removed: sum(damage[i] for i in removed), num_blocks=6)
    >>> selection = select_removals(score, Problem(np.zeros((6, 6)), remove=2), evaluations=10)
    >>> selection.best.removed, selection.best.objective, selection.num_evaluations
    ((1, 3), 2.5, 10)
    """
    selection, _ = _run(
        objective,
        problem,
        held_out=held_out,
        evaluations=evaluations,
        spectrum=spectrum,
        proposals=proposals or {},
        ranking=ranking,
        hints=hints,
        seed=seed,
        settings=settings,
        state=state,
        identity=identity or {"num_blocks": problem.num_blocks},
        stop=stop or Stop(),
    )
    return selection


def split(
    calibration: Calibration, held_out: float | Calibration
) -> tuple[Calibration, Calibration | None]:
    """Return the samples to choose on and those to report on.

    Parameters
    ----------
    calibration : Calibration
        All samples.
    held_out : float or Calibration
        The share of the samples, the last ones, to report on, less than 1; or other samples.
    """
    if not len(calibration):
        raise InputError("there must be at least one sample, not 0; give other data.")
    if isinstance(held_out, Calibration):
        return calibration, held_out
    share = as_finite_float(held_out, "held_out")
    if not 0 <= share < 1:
        raise InputError(
            f"held_out must be at least 0 and less than 1, not {share:g}; "
            "some samples must be left to choose on."
        )
    first = len(calibration) - round(share * len(calibration))
    if first in (0, len(calibration)):
        return calibration, None
    return calibration.part(0, first), calibration.part(first, len(calibration))


def _run(
    objective: Objective,
    problem: Problem,
    *,
    held_out: Objective | None,
    evaluations: int,
    spectrum: Spectrum | None,
    proposals: Mapping[str, Iterable[Sequence[int]]],
    ranking: ArrayLike | None,
    hints: Iterable[Hint],
    seed: int,
    settings: LoopSettings | None,
    state: str | os.PathLike[str] | None,
    identity: Mapping[str, Any],
    stop: Stop,
) -> tuple[Selection, LoopResult]:
    """Search, compare the best on the held-out samples, and put it all into a selection."""
    if as_count(seed, "seed") < 0:
        raise InputError(f"seed must be at least 0, not {seed}; choose another one.")
    begin = time.perf_counter()
    energies = _Energies(
        problem,
        {} if spectrum is None else {tuple(spectrum.removed(k)): k for k in range(len(spectrum))},
    )
    if spectrum is not None:
        require_spectrum(spectrum, problem, has_hessian=energies.known)
    stop.start()
    with stop.interruptible():
        records = Records(state, identity)
        result = search_removals(
            Recorded(objective, records),
            problem,
            evaluations=evaluations,
            seed=seed,
            proposals=proposals,
            ranking=ranking,
            hints=hints,
            settings=settings,
            stop=stop,
        )
        fresh: dict[tuple[int, ...], Measurement] = {}
        if held_out is not None:
            fresh = _finals(result, Recorded(held_out, records, "held-out"), stop)
    stop.raise_failure()
    candidates = []
    for trial in result.ranked:
        best = result.ranked[0].measurement
        candidates.append(
            Candidate.compared(
                trial.measurement,
                best,
                held_out=fresh.get(trial.removed),
                best_held_out=fresh.get(best.removed),
                proposed_by=trial.proposed_by,
                predicted=trial.predicted,
                **energies.facts(trial.removed),
            )
        )
    singles = {
        trial.removed[0]: trial.measurement.value
        for trial in result.trials
        if len(trial.removed) == 1
    }
    selection = Selection(
        removals=tuple(candidates),
        objective="value",
        num_evaluations=len(result.trials),
        num_held_out=len(fresh),
        remove=problem.remove,
        names=problem.block_names(),
        singles=singles,
        hessian_sha256=problem.hessian_sha256 if energies.known else None,
        seed=int(seed),
        seconds=time.perf_counter() - begin,
        stop_reason=stop.reason or StopReason.COMPLETED,
        parameter_counts=problem.parameter_counts,
        at_least=problem.at_least,
        weights=None if problem.budget is None else problem.weights or problem.parameter_counts,
    )
    return selection, result


def _finals(
    result: LoopResult, held_out: Objective, stop: Stop
) -> dict[tuple[int, ...], Measurement]:
    """Measure the best few on samples that no choice looked at."""
    finite = [trial.removed for trial in result.ranked if not trial.measurement.diverged]
    message = "comparing the best on held-out samples"
    stop.report(len(result.trials), None, message, unit="removal")
    return {each.removed: each for each in held_out.measure(finite[:FINALISTS], stop)}


def _of_criteria(
    names: Sequence[str],
    problem: Problem,
    objective: ModelObjective,
    calibration: Calibration,
    batch_size: int,
    measured: str,
) -> tuple[dict[str, list[tuple[int, ...]]], NDArray[np.float64] | None, list[Hint]]:
    """Return what each criterion would remove, the scores of the first one, and hints at pairs."""
    from qubo_prune.pruning.criteria import Need, get_criterion
    from qubo_prune.pruning.criteria.model_evidence import model_evidence

    criteria = [get_criterion(name) for name in names]
    for each in criteria:
        if each.needs & {Need.LOSS, Need.KL}:
            raise InputError(
                f"the criterion {each.name!r} measures every single removal, which the loop does "
                f"itself by {measured!r}; leave it out."
            )
    if not criteria:
        return {}, None, []
    evidence = model_evidence(
        objective.gates.model,  # type: ignore[arg-type]
        objective.gates,
        calibration,
        batch_size=batch_size,
    )
    removals = _removals(criteria, problem, evidence)
    hints: list[Hint] = []
    if any(Need.STATISTICS in each.needs for each in criteria):  # so that they are there already
        alignment = evidence.statistics().alignment["all"].mean(axis=0)
        hints = hints_of_model(alignment, problem.kinds)
    return removals, criteria[0].scores(evidence), hints


def _removals(
    criteria: Sequence[Criterion], problem: Problem, evidence: Evidence
) -> dict[str, list[tuple[int, ...]]]:
    """Return what each criterion would remove; one that cannot reach a budget says so."""
    removals: dict[str, list[tuple[int, ...]]] = {}
    for each in criteria:
        try:
            removed = each.removal(problem, evidence)
        except InputError as error:
            if problem.budget is None:
                raise
            warnings.warn(f"{each.name} is left out: {error}", stacklevel=2)
            continue
        removals[each.name] = [removed]
    return removals
