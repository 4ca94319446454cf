"""What is believed after measurements, and which of the lowest states is measured next."""

from __future__ import annotations

import itertools
import math
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from qubo_prune import Problem
from qubo_prune.core.errors import InputError
from qubo_prune.core.stopping import Stop
from qubo_prune.pruning.belief import believe
from qubo_prune.pruning.hints import Hint, hints_of_model
from qubo_prune.pruning.loop import search_removals
from qubo_prune.pruning.loop_settings import LoopSettings
from qubo_prune.pruning.objective import FunctionObjective, Measurement
from qubo_prune.pruning.proposals import lowest_states, propose

SIZE = 10
PROBLEM = Problem(np.zeros((SIZE, SIZE)), remove=3)
SINGLES = np.linspace(0.1, 1.0, SIZE)


def measured(pairs: float, count: int = 30) -> dict[tuple[int, ...], Measurement]:
    """Singles, and removals in which pairs deviate by so much from their sum."""
    rng = np.random.default_rng(0)
    together = np.triu(rng.normal(0, pairs, (SIZE, SIZE)), 1)
    removals = list(itertools.combinations(range(SIZE), 3))
    chosen = [removals[k] for k in rng.permutation(len(removals))[:count]]
    known = {(block,): Measurement.known((block,), SINGLES[block]) for block in range(SIZE)}
    for removed in chosen:
        rows = list(removed)
        value = SINGLES[rows].sum() + together[np.ix_(rows, rows)].sum()
        known[removed] = Measurement.known(removed, value)
    return known


def test_the_measurements_say_how_much_pairs_deviate() -> None:
    state = PROBLEM.state([0, 1, 2])[np.newaxis]
    sure, unsure = (
        believe(
            PROBLEM, {k: v for k, v in measured(pairs).items() if k != (0, 1, 2)}, LoopSettings()
        ).predict(state)[1][0]
        for pairs in (0.0, 0.5)
    )
    assert unsure > 1.3 * sure


def test_kin_pairs_tell_of_each_other() -> None:
    known = {(b,): Measurement.known((b,), 1.0) for b in range(SIZE)}
    known[2, 6, 9] = Measurement.known((2, 6, 9), 6.0)
    near, far = PROBLEM.state([3, 7, 8]), PROBLEM.state([0, 4, 5])
    for kinship, alike in ((0.9, True), (0.0, False)):
        settings = LoopSettings(kinship=kinship)
        [a, b], _ = believe(PROBLEM, known, settings).predict(np.array([near, far]))
        assert (a > b + 1e-3) == alike


def made_of_pairs(pairs: NDArray[np.float64]) -> tuple[Any, Any, Any]:
    """Some removals measured where pairs add so much, and the states and values of all."""
    removals = list(itertools.combinations(range(SIZE), 3))
    states = np.array([PROBLEM.state(removed) for removed in removals], np.bool_)
    values = states @ SINGLES + np.einsum("ki,ij,kj->k", states, pairs, states) / 2
    known = {(block,): Measurement.known((block,), SINGLES[block]) for block in range(SIZE)}
    for k in np.random.default_rng(1).permutation(len(removals))[:15]:
        known[removals[k]] = Measurement.known(removals[k], values[k])
    return known, states, values


@pytest.mark.parametrize("sign", [1.0, -1.0])
def test_a_hint_tells_what_pairs_do_together(sign: float) -> None:
    rng = np.random.default_rng(1)
    pairs = np.triu(rng.normal(0, 0.1, (SIZE, SIZE)), 1)
    pairs = pairs + pairs.T
    known, states, values = made_of_pairs(pairs)

    def error(*hints: Hint) -> float:
        means, _ = believe(PROBLEM, known, LoopSettings(), hints).predict(states)
        return float(np.abs(means - values).mean())

    nothing = rng.permutation(pairs.ravel()).reshape(SIZE, SIZE)
    assert error(Hint(sign * pairs, deviation=1.0)) < 0.6 * error()
    assert error(Hint(nothing)) < 1.2 * error()


def test_an_amount_is_expected_before_anything_is_measured() -> None:
    known = {(block,): Measurement.known((block,), SINGLES[block]) for block in range(SIZE)}
    pairs = np.zeros((SIZE, SIZE))
    pairs[0, 1] = pairs[1, 0] = 1.0
    states = np.array([PROBLEM.state([0, 1, 2]), PROBLEM.state([0, 2, 3])])
    plain, _ = believe(PROBLEM, known, LoopSettings()).predict(states)
    hinted, _ = believe(PROBLEM, known, LoopSettings(), [Hint(pairs, 0.5)]).predict(states)
    unit = SINGLES[:3].sum() * 1.3 / 3
    assert hinted - plain == pytest.approx([0.5 * unit, 0.0])


def test_a_hint_may_have_any_size_and_no_entry_rules() -> None:
    products = np.ones((4, 4))
    products[0, 1] = products[1, 0] = 1e6
    assert np.allclose(Hint(products).products, Hint(1e-3 * products).products)
    assert Hint(products).products.max() == 6
    assert not Hint(np.eye(3)).products.any()


def test_hints_of_branches_count_layers_not_blocks() -> None:
    aligned, same, *_ = hints_of_model(np.ones((6, 6)), ["attention", "mlp"] * 3)
    assert aligned.amount > 0
    assert np.argwhere(same.products).tolist() == [[0, 1], [1, 0], [2, 3], [3, 2], [4, 5], [5, 4]]


@pytest.mark.parametrize(
    ("products", "options", "words"),
    [
        (np.ones((2, 3)), {}, r"not shape \(2, 3\)"),
        (np.full((2, 2), math.nan), {}, "must be finite"),
        (np.ones((2, 2)), {"deviation": -1.0}, "at least 0, not -1"),
        (np.ones((2, 2)), {"amount": math.inf}, "amount of a hint"),
    ],
)
def test_a_hint_that_cannot_be_is_refused(products: Any, options: Any, words: str) -> None:
    with pytest.raises(InputError, match=words):
        Hint(products, **options)


def test_what_is_expected_to_gain_most_is_proposed_not_what_is_lowest() -> None:
    values = {(block,): 1 + block / 1000 for block in range(SIZE)} | {(0, 1, 2): 3.9}
    known = {removed: Measurement.known(removed, value) for removed, value in values.items()}
    believed = believe(PROBLEM, known, LoopSettings())
    [lowest] = lowest_states(PROBLEM, believed.matrix, known, 1, Stop())
    best = 3.0
    options = {"random": np.random.default_rng(0), "stop": Stop()}

    def first(candidates: int) -> tuple[tuple[int, ...], float]:
        settings = LoopSettings(candidates=candidates, draws=0.0)
        [each] = propose(PROBLEM, believed, best, known, 1, settings=settings, **options)  # type: ignore[arg-type]
        return each.removed, each.gain

    assert first(1)[0] == lowest
    assert first(100)[0] != lowest
    assert first(100)[1] > first(1)[1]


def test_lowest_states_are_those_that_are_not_taken() -> None:
    every = lowest_states(PROBLEM, np.diag(SINGLES), (), 200, Stop())
    assert len(every) == math.comb(SIZE, 3)
    assert lowest_states(PROBLEM, np.diag(SINGLES), every[:90], 5, Stop()) == every[90:95]
    assert lowest_states(PROBLEM, np.diag(SINGLES), every, 5, Stop()) == []


@pytest.mark.parametrize(("remove", "alone"), [(3, 7), (6, 9), (9, 10)])
def test_a_ranking_says_which_blocks_are_measured_alone(remove: int, alone: int) -> None:
    objective = FunctionObjective(lambda removed: float(SINGLES[list(removed)].sum()), SIZE)
    problem = Problem(np.zeros((SIZE, SIZE)), remove=remove)
    found = search_removals(objective, problem, evaluations=60, ranking=-SINGLES)
    singles = [t.removed[0] for t in found.trials if t.proposed_by == "single"]
    assert singles == list(range(SIZE - alone, SIZE))


def test_where_few_blocks_go_few_are_measured_alone() -> None:
    objective = FunctionObjective(lambda removed: float(len(removed)), 40)
    for remove, alone in ((2, 10), (3, 15), (6, 27)):
        problem = Problem(np.zeros((40, 40)), remove=remove)
        found = search_removals(objective, problem, evaluations=60, ranking=np.arange(40.0))
        assert sum(trial.proposed_by == "single" for trial in found.trials) == alone


def test_the_quadratic_that_is_handed_out_follows_the_measurements() -> None:
    known = measured(0.3, count=120)
    objective = FunctionObjective(lambda removed: known[removed].value, SIZE)
    found = search_removals(objective, PROBLEM, evaluations=40)
    assert found.surrogate is not None
    for trial in found.ranked[:5]:
        state = PROBLEM.state(trial.removed)
        assert state @ found.surrogate @ state == pytest.approx(trial.measurement.value, abs=0.03)


@pytest.mark.parametrize(
    "options",
    [{"candidates": 0}, {"kinship": 1.5}, {"reach": 0.0}, {"shortlist": -0.1}, {"singles_each": 0}],
)
def test_settings_are_checked(options: dict[str, float]) -> None:
    with pytest.raises(InputError):
        LoopSettings(**options)  # type: ignore[arg-type]
