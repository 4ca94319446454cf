"""The loop on functions: what it finds, that it obeys, and that it survives what is not finite."""

from __future__ import annotations

import itertools
import json
import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from qubo_prune import Problem
from qubo_prune.core.errors import InputError
from qubo_prune.core.stopping import Stop, StopReason
from qubo_prune.pruning.hints import Hint
from qubo_prune.pruning.loop import LoopSettings, search_removals
from qubo_prune.pruning.objective import FunctionObjective
from qubo_prune.pruning.proposals import expected_gain

Function = Callable[[tuple[int, ...]], float]
TRUTH = Path(__file__).parents[2] / "benchmarks" / "results" / "energy_truth.json"


def blank(size: int, remove: object, **options: object) -> Problem:
    return Problem(np.zeros((size, size)), remove, **options)  # type: ignore[arg-type]


def best_of(function: Function, problem: Problem) -> tuple[int, ...]:
    every = itertools.combinations(range(problem.num_blocks), problem.num_removed)
    return min((r for r in every if problem.is_feasible(problem.state(r))[0]), key=function)


def damages(seed: int, size: int = 12, triples: float = 0.0) -> Function:
    """A loss like those of models: very different blocks, neighbours that act together, triples."""
    rng = np.random.default_rng(seed)
    single = np.exp(rng.normal(-2, 1, size))
    apart = np.abs(np.subtract.outer(np.arange(size), np.arange(size)))
    pair = rng.normal(0.1, 0.35, (size, size)) * np.sqrt(np.outer(single, single))
    pair = np.triu(pair * np.exp(-(apart - 1) / 3), 1)
    triple = {
        each: rng.normal(0, triples) * float(np.prod(single[list(each)])) ** (1 / 3)
        for each in itertools.combinations(range(size), 3)
    }

    def loss(removed: tuple[int, ...]) -> float:
        rows = list(removed)
        total = single[rows].sum() + pair[np.ix_(rows, rows)].sum()
        return float(total + sum(triple[each] for each in itertools.combinations(removed, 3)))

    return loss


def test_finds_the_best_of_495_removals_of_a_real_model_whose_truth_is_known() -> None:
    [row] = json.loads(TRUTH.read_text())["rows"]
    truth = {
        removed: value
        for count in (1, 4)
        for removed, value in zip(
            itertools.combinations(range(12), count), row["loss_changes"][str(count)], strict=True
        )
    }
    problem = blank(12, 4)
    best = best_of(truth.__getitem__, problem)
    objective = FunctionObjective(truth.__getitem__, 12)
    hits = 0
    for seed in range(10):
        found = search_removals(objective, problem, evaluations=60, seed=seed)
        assert len(found.trials) <= 60
        hits += found.ranked[0].removed == best
    assert hits >= 9


@pytest.mark.parametrize("triples", [0.0, 0.5])
def test_finds_the_best_of_495_removals_of_made_up_models(triples: float) -> None:
    hits = 0
    problem = blank(12, 4)
    for seed in range(10):
        loss = damages(seed, triples=triples)
        found = search_removals(FunctionObjective(loss, 12), problem, evaluations=60, seed=seed)
        hits += found.ranked[0].removed == best_of(loss, problem)
    assert hits >= (10 if triples == 0 else 9)


PROBLEMS = {
    "keep and force": blank(12, 4, keep=[0, 5], force=[7]),
    "counts per kind": blank(12, {"attention": 2, "mlp": 1}, kinds=["attention", "mlp"] * 6),
    "only one kind": blank(12, 2, kinds=["attention", "mlp"] * 6, only="mlp"),
    "one block": blank(12, 1),
    "most blocks": blank(12, 10),
    "no choice": blank(12, 2, force=[3, 4]),
    "all blocks": blank(12, 12),
    "nothing": blank(12, 0),
}


@pytest.mark.parametrize("name", PROBLEMS)
def test_obeys_the_constraint_and_finds_the_best(name: str) -> None:
    problem, loss = PROBLEMS[name], damages(3)
    found = search_removals(FunctionObjective(loss, 12), problem, evaluations=80)
    assert all(problem.is_feasible(problem.state(each.removed))[0] for each in found.ranked)
    assert found.ranked[0].removed == best_of(loss, problem)
    values = [each.measurement.value for each in found.ranked]
    assert values == sorted(values)
    assert len({each.removed for each in found.trials}) == len(found.trials) <= 80


def test_an_energy_that_is_right_helps() -> None:
    rng = np.random.default_rng(0)
    factor = rng.standard_normal((20, 14))
    hessian = factor.T @ factor / 20
    problem = Problem(hessian, remove=5)
    objective = FunctionObjective(
        lambda removed: float(problem.energies(problem.state(removed))[0]), 14
    )

    def needed(each: Problem) -> int:
        found = search_removals(objective, each, evaluations=60, settings=LoopSettings(patience=0))
        best = best_of(lambda r: float(problem.energies(problem.state(r))[0]), problem)
        return next(k for k, trial in enumerate(found.trials) if trial.removed == best)

    assert needed(problem) < needed(blank(14, 5))


@pytest.mark.parametrize("batch_size", [1, 4])
def test_every_trial_says_who_proposed_it(batch_size: int) -> None:
    found = search_removals(
        FunctionObjective(damages(1), 12),
        blank(12, 3),
        evaluations=31,
        proposals={"a friend": [(9, 10, 11), (11, 10, 9)], "another": [(0, 1, 2)]},
        settings=LoopSettings(batch_size=batch_size, patience=0.0),
    )
    by = [each.proposed_by for each in found.trials]
    assert by[:14] == ["a friend", "another"] + ["single"] * 12
    assert set(by[14:]) == {"surrogate", "draw"}
    assert len(by) == 31
    assert all((each.predicted is None) == (k < 14) for k, each in enumerate(found.trials))


def test_the_same_seed_takes_the_same_way() -> None:
    objective = FunctionObjective(damages(2, triples=0.5), 12)
    settings = LoopSettings(draws=1.0)
    ways = [
        [
            t.removed
            for t in search_removals(
                objective, blank(12, 4), evaluations=30, seed=seed, settings=settings
            ).trials
        ]
        for seed in (0, 0, 1)
    ]
    assert ways[0] == ways[1] != ways[2]


def test_removals_that_diverge_are_recorded_and_survived() -> None:
    loss = damages(4)
    worst = {0, 7}

    def sometimes(removed: tuple[int, ...]) -> list[float]:
        bad = math.nan if worst & set(removed) and len(removed) > 1 else 0.0
        alone = math.inf if removed == (3,) else 0.0
        return [loss(removed), loss(removed) + bad + alone]

    found = search_removals(FunctionObjective(sometimes, 12), blank(12, 3), evaluations=60)
    assert any(each.measurement.diverged for each in found.trials)
    assert all(math.isfinite(each.measurement.value) for each in found.ranked[:5])
    best = best_of(lambda r: math.inf if worst & set(r) else loss(r), blank(12, 3))
    assert found.ranked[0].removed == best
    assert found.surrogate is not None
    assert np.isfinite(found.surrogate).all()


def test_where_everything_diverges_the_loop_still_ends() -> None:
    found = search_removals(FunctionObjective(lambda _: math.nan, 6), blank(6, 3), evaluations=15)
    assert len(found.trials) == 15
    assert all(each.measurement.diverged for each in found.trials)


@pytest.mark.parametrize("value", [0.0, -2.0, 1e-12, 1e9])
def test_flat_functions_of_any_size_are_no_trouble(value: float) -> None:
    found = search_removals(FunctionObjective(lambda _: value, 8), blank(8, 4), evaluations=30)
    assert found.ranked[0].measurement.value == value


def test_ends_when_no_gain_beyond_the_noise_is_expected() -> None:
    rng = np.random.default_rng(0)
    noise = rng.normal(0, 1.0, 16)
    loss = damages(5)
    objective = FunctionObjective(lambda removed: loss(removed) + noise, 12)
    found = search_removals(objective, blank(12, 4), evaluations=400)
    assert 12 < len(found.trials) < 100
    assert found.stop_reason is StopReason.COMPLETED


def test_fewer_evaluations_than_blocks_measure_the_singles_that_a_ranking_likes() -> None:
    loss = damages(6, size=20)
    objective = FunctionObjective(loss, 20)
    ranking = [loss((block,)) for block in range(20)]
    found = search_removals(objective, blank(20, 4), evaluations=16, ranking=ranking)
    singles = {each.removed[0] for each in found.trials if each.proposed_by == "single"}
    assert singles == set(np.argsort(ranking)[:12].tolist())
    assert len(found.trials) == 16
    without = search_removals(objective, blank(20, 4), evaluations=16)
    assert {each.proposed_by for each in without.trials} <= {"surrogate", "draw"}


def test_a_stop_ends_it_with_what_is_known() -> None:
    stop = Stop()
    loss = damages(7)
    asked = []

    def function(removed: tuple[int, ...]) -> float:
        asked.append(removed)
        if len(asked) == 20:
            stop.cancel()
        return loss(removed)

    found = search_removals(
        FunctionObjective(function, 12), blank(12, 4), evaluations=100, stop=stop
    )
    assert found.stop_reason is StopReason.INTERRUPTED
    assert len(found.trials) == 20


def test_progress_tells_the_best_with_its_error_and_what_is_expected() -> None:
    messages: list[str] = []
    stop = Stop(progress=lambda progress: messages.append(progress.message))
    import time

    def slow(removed: tuple[int, ...]) -> list[float]:
        time.sleep(0.11)
        return [damages(8)(removed), damages(8)(removed) + 0.1]

    search_removals(FunctionObjective(slow, 6), blank(6, 2), evaluations=9, stop=stop)
    assert any(message == "measuring 6 single blocks" for message in messages)
    assert any(
        "best" in message and "±" in message and "expecting" in message for message in messages
    )


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"evaluations": 0}, "evaluations must be at least 1"),
        ({"proposals": {"x.json": [(0, 1)]}}, "x.json proposes to remove the 2 blocks 0, 1"),
        ({"proposals": {"x.json": [(0, 99)]}}, "99"),
        ({"ranking": [1.0]}, "ranking must have shape"),
        ({"hints": [Hint(np.eye(5))]}, "12 blocks, but a hint tells of 5"),
    ],
)
def test_what_cannot_be_is_refused_in_a_sentence(arguments: dict[str, object], words: str) -> None:
    with pytest.raises(InputError, match=words):
        search_removals(FunctionObjective(damages(0), 12), blank(12, 3), **arguments)  # type: ignore[arg-type]


def test_an_objective_of_other_blocks_is_refused() -> None:
    with pytest.raises(InputError, match="12 blocks, but the objective measures 5"):
        search_removals(FunctionObjective(lambda _: 0.0, 5), blank(12, 3))


@pytest.mark.parametrize(
    "options", [{"batch_size": 0}, {"draws": 1.5}, {"misfit": 0.0}, {"patience": math.nan}]
)
def test_settings_are_checked(options: dict[str, float]) -> None:
    with pytest.raises(InputError):
        LoopSettings(**options)  # type: ignore[arg-type]


def test_expected_gain_against_a_simulation() -> None:
    draws = np.random.default_rng(0).normal(0.3, 0.7, 400_000)
    assert expected_gain(0.3, 0.7) == pytest.approx(np.maximum(draws, 0).mean(), abs=5e-3)
