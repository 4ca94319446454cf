"""Objectives from functions: what they may return, and what is refused in one sentence."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest

from qubo_prune import InputError, Problem
from qubo_prune.core.stopping import Stop
from qubo_prune.pruning.objective import FunctionObjective, Measurement
from qubo_prune.pruning.removal.choice import choose
from qubo_prune.pruning.removal_lists import write_removals
from qubo_prune.pruning.selection_checks import require_spectrum
from qubo_prune.solving.solve import solve


def measured(answer: object) -> Measurement:
    return next(FunctionObjective(lambda removed: answer, 4).measure([(0, 2)]))


@pytest.mark.parametrize(
    ("answer", "value", "error", "count"),
    [
        (2, 2.0, 0.0, 0),
        (np.float32(0.5), 0.5, 0.0, 0),
        ((1.5, 0.25), 1.5, 0.25, 0),
        ((1.5, math.inf), 1.5, math.inf, 0),
        ([1.0, 3.0], 2.0, 1.0, 2),
        (math.nan, math.inf, math.inf, 0),
        ((math.inf, math.nan), math.inf, math.inf, 0),
    ],
)
def test_what_a_function_may_return(answer: object, value: float, error: float, count: int) -> None:
    found = measured(answer)
    assert (found.removed, found.value, len(found.values)) == ((0, 2), value, count)
    assert found.standard_error == pytest.approx(error)
    assert found.diverged == math.isinf(value)


@pytest.mark.parametrize(
    "answer",
    [
        *("much", None, [], [[1.0]], (1.0,), (1.0, 2.0, 3.0), ("a", 1.0), {}),
        *((1.0, math.nan), (1.0, -0.5)),
    ],
    ids=repr,
)
def test_anything_else_is_refused(answer: object) -> None:
    with pytest.raises(InputError, match=r"for the removal of blocks 0, 2; return a number, a pai"):
        measured(answer)


def test_what_is_no_function() -> None:
    with pytest.raises(InputError, match="function must be callable, not int"):
        FunctionObjective(3, 4)  # type: ignore[arg-type]
    with pytest.raises(InputError, match="num_blocks must be at least 1, not 0"):
        FunctionObjective(len, 0)


def test_no_more_is_measured_than_a_stop_allows() -> None:
    objective = FunctionObjective(sum, 4)
    stop = Stop(max_evaluations=2)
    assert [each.value for each in objective.measure([(0, 1), (1, 2), (2, 3)], stop)] == [1.0, 3.0]


def test_a_difference_of_what_diverged_is_unknown() -> None:
    fine, broken = Measurement.known((0,), 1.0, 0.3), Measurement.known((1,), math.nan)
    assert broken.difference(broken) == (0.0, math.inf)
    assert broken.difference(fine) == (math.inf, math.inf)
    assert fine.difference(broken) == (-math.inf, math.inf)
    assert fine.difference(Measurement.known((2,), 0.5, 0.4)) == (0.5, 0.5)


def test_a_removal_of_a_file_is_chosen_by_its_number(tmp_path: Path) -> None:
    names = [f"layers.{i}" for i in range(6)]
    path = tmp_path / "removals.json"
    write_removals(path, [[1, 4], [2, 3]], names, format="json")
    chosen = choose(path, names, 1)
    assert (chosen.removed, chosen.facts["state"]) == ((2, 3), 1)
    with pytest.raises(
        InputError, match=r"state must be below the 2 removals of .*, not 2; choose"
    ):
        choose(path, names, 2)


def test_a_spectrum_of_something_else_is_refused() -> None:
    problem = Problem(np.diag([1.0, 2.0, 3.0, 4.0]), 2)
    spectrum = solve(problem, num_states=2)
    require_spectrum(spectrum, problem, has_hessian=True)
    with pytest.raises(InputError, match="the spectrum is of another Hessian"):
        require_spectrum(spectrum, Problem(np.eye(4), 2), has_hessian=True)
    with pytest.raises(
        InputError, match=r"removes 2 of 4 blocks, which is not .* 3 of 4; solve ag"
    ):
        require_spectrum(spectrum, Problem(np.eye(4), 3), has_hessian=False)
    with pytest.raises(InputError, match="which is not what is asked for here"):
        require_spectrum(spectrum, Problem(np.eye(4), 2, keep=[0, 1]), has_hessian=False)
