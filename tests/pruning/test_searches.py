"""The searches of others: what they choose and measure, and that they obey the constraint."""

from __future__ import annotations

import itertools
import math
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qubo_prune import Problem
from qubo_prune.core.errors import InputError
from qubo_prune.core.stopping import Stop, StopReason
from qubo_prune.pruning.objective import FunctionObjective, Measurement
from qubo_prune.pruning.searches import SEARCHES, EvoPress, Search, Sleb, SlidingWindow

KINDS = ["attention", "mlp"] * 5


def quadratic(seed: int, size: int = 10) -> Callable[[tuple[int, ...]], float]:
    rng = np.random.default_rng(seed)
    matrix = rng.standard_normal((size, size)) + np.diag(rng.uniform(1, 4, size))
    return lambda removed: float(matrix[np.ix_(removed, removed)].sum())


def blank(size: int = 10, remove: object = 3, **options: object) -> Problem:
    return Problem(np.zeros((size, size)), remove=remove, **options)  # type: ignore[arg-type]


PROBLEMS = {
    "plain": blank(),
    "kinds": blank(remove={"attention": 2, "mlp": 1}, kinds=KINDS),
    "kept and forced": blank(remove=4, keep=[0, 5], force=[7]),
    "kinds, kept and forced": blank(
        remove={"attention": 2, "mlp": 2}, kinds=KINDS, keep=[2, 3], force=[1]
    ),
    "one kind": blank(remove=2, kinds=KINDS, only="mlp"),
    "no choice": blank(remove=2, force=[3, 4]),
    "nothing": blank(remove=0),
}


def states(problem: Problem) -> list[tuple[int, ...]]:
    size, count = problem.num_blocks, problem.num_removed
    every = itertools.combinations(range(size), count)
    return [each for each in every if problem.is_feasible(problem.state(each))[0]]


def allowed(problem: Problem, removed: tuple[int, ...]) -> bool:
    return bool(problem.is_feasible(problem.state(removed))[0])


def naive_greedy(function: Callable[[tuple[int, ...]], float], problem: Problem) -> set[int]:
    """SLEB by brute force: a candidate is whatever some allowed state still holds."""
    every = [set(each) for each in states(problem)]
    removed = set(problem.fixed_removed.tolist())
    while len(removed) < problem.num_removed:
        reachable = set().union(*(each for each in every if each >= removed)) - removed
        removed.add(
            min(reachable, key=lambda block: (function(tuple(sorted({*removed, block}))), block))
        )
    return removed


@pytest.mark.parametrize("name", PROBLEMS)
@pytest.mark.parametrize("seed", range(4))
def test_sleb_is_greedy(name: str, seed: int) -> None:
    problem, function = PROBLEMS[name], quadratic(seed)
    result = Sleb().run(FunctionObjective(function, 10), problem)
    assert result.best is not None
    assert set(result.best.removed) == naive_greedy(function, problem)
    assert result.stop_reason is StopReason.COMPLETED


def test_sleb_measures_every_block_that_is_left() -> None:
    result = Sleb().run(FunctionObjective(quadratic(0), 10), blank(remove=4))
    assert result.num_measurements == 10 + 9 + 8 + 7
    assert [len(each.removed) for each in result.measurements] == [1] * 10 + [2] * 9 + [3] * 8 + [
        4
    ] * 7


def test_the_barriers_of_sleb_spare_the_ends() -> None:
    search = Sleb(early_barrier=2, late_barrier=1)
    result = search.run(
        FunctionObjective(lambda removed: -len({0, 1, 9} & {*removed}), 10), blank()
    )
    assert result.best is not None
    assert {0, 1, 9}.isdisjoint(result.best.removed)
    with pytest.raises(InputError, match="the barriers 8 and 8 leave none"):
        Sleb(8, 8).run(FunctionObjective(quadratic(0), 10), blank())


@pytest.mark.parametrize("budget", [1, 2, 5, 11, 12, 15, 19, 20, 26, 27])
@pytest.mark.parametrize("name", PROBLEMS)
def test_sleb_has_an_answer_whatever_the_budget(name: str, budget: int) -> None:
    problem = PROBLEMS[name]
    result = Sleb().run(FunctionObjective(quadratic(3), 10), problem, max_measurements=budget)
    assert result.num_measurements <= budget
    assert result.best is not None
    assert allowed(problem, result.best.removed)


def test_an_early_end_of_sleb_takes_what_the_last_round_liked() -> None:
    values = [5.0, 1.0, 4.0, 0.5, 3.0, 2.0, 9.0, 9.0, 9.0, 9.0]
    objective = FunctionObjective(lambda removed: sum(values[i] for i in removed), 10)
    result = Sleb().run(objective, blank(), max_measurements=15)
    assert result.best is not None
    assert result.best.removed == (1, 3, 5)
    assert result.num_measurements == 11
    assert result.stop_reason is StopReason.EVALUATION_LIMIT


SMALL = {"offspring": 6, "initial": 4, "stages": ((1.0, 1),)}


@pytest.mark.parametrize("name", PROBLEMS)
@given(st.integers(0, 2**32), st.integers(1, 60))
@settings(max_examples=25)
def test_evopress_obeys_and_keeps_the_best(name: str, seed: int, budget: int) -> None:
    problem = PROBLEMS[name]
    search = EvoPress(**SMALL)  # type: ignore[arg-type]
    result = search.run(
        FunctionObjective(quadratic(1), 10), problem, seed=seed, max_measurements=budget
    )
    removals = [each.removed for each in result.measurements]
    assert all(allowed(problem, removed) for removed in removals)
    assert len(set(removals)) == len(removals) <= budget
    assert result.best is not None
    assert result.best.value == min(each.value for each in result.measurements)
    curve = result.best_after(problem)
    assert curve.shape == (len(removals),)
    assert (np.diff(curve) <= 0).all()
    assert curve[-1] == result.best.value


@pytest.mark.parametrize("search", [Sleb(), EvoPress.small(), EvoPress(offspring=5)], ids=repr)
def test_the_same_seed_measures_the_same(search: Search) -> None:
    runs = [
        search.run(FunctionObjective(quadratic(2), 10), blank(), seed=5, max_measurements=40)
        for _ in range(2)
    ]
    first, second = ([each.removed for each in run.measurements] for run in runs)
    assert first == second


def test_another_seed_measures_other_removals() -> None:
    first, second = (
        EvoPress.small().run(
            FunctionObjective(quadratic(2), 10), blank(), seed=seed, max_measurements=20
        )
        for seed in (0, 1)
    )
    assert [each.removed for each in first.measurements] != [
        each.removed for each in second.measurements
    ]


def test_evopress_finds_what_brute_force_finds() -> None:
    function = quadratic(4)
    best = min(states(blank()), key=function)
    search = EvoPress(generations=60, offspring=8, initial=1, stages=((1.0, 1),))
    found = [
        search.run(FunctionObjective(function, 10), blank(), seed=seed).best for seed in range(5)
    ]
    assert [each is not None and each.removed for each in found] == [best] * 5


def test_children_differ_by_at_most_three_swaps_within_a_kind() -> None:
    problem = PROBLEMS["kinds, kept and forced"]
    start = (1, 3, 4, 6)
    with pytest.raises(InputError, match="start removes the blocks 1, 3, 4, 6, which the problem"):
        EvoPress.small(start=start).run(FunctionObjective(quadratic(0), 10), problem)
    start = (1, 4, 6, 9)
    search = EvoPress(offspring=40, generations=1, start=start, stages=((1.0, 1),))
    result = search.run(FunctionObjective(quadratic(0), 10), problem)
    assert result.measurements[0].removed == start
    distances = {len(set(start) - {*each.removed}) for each in result.measurements[1:]}
    assert distances <= {1, 2, 3}
    assert len(result.measurements) > 5


@pytest.mark.parametrize(
    ("count", "size", "generations"), [(4, 32, 74), (8, 32, 128), (12, 32, 160), (16, 32, 170)]
)
def test_the_generations_are_those_of_the_paper(count: int, size: int, generations: int) -> None:
    problem = blank(size, count)
    assert EvoPress()._num_generations(problem) == generations
    pairs = Problem(
        np.zeros((2 * size, 2 * size)),
        remove={"attention": count, "mlp": count},
        kinds=["attention", "mlp"] * size,
    )
    assert EvoPress()._num_generations(pairs) == generations


class SampledObjective:
    """Noise per sample that averages out over all of them; remembers what was asked of which."""

    def __init__(
        self,
        function: Callable[[tuple[int, ...]], float],
        samples: Sequence[int] = range(32),
        asked: list[tuple[int, ...]] | None = None,
    ) -> None:
        self.num_blocks = 10
        self.num_samples = len(samples)
        self.asked: list[tuple[int, ...]] = [] if asked is None else asked
        self._function = function
        self._samples = samples

    def measure(
        self, removals: Sequence[tuple[int, ...]], stop: Stop | None = None
    ) -> Iterator[Measurement]:
        for removed in removals:
            self.asked.append(tuple(self._samples))
            noise = [((s * 7919 + sum(removed) * 104729) % 97 - 48) / 400 for s in self._samples]
            yield Measurement.of(removed, self._function(removed) + np.array(noise))

    def subset(self, samples: Sequence[int]) -> SampledObjective:
        return SampledObjective(self._function, [self._samples[s] for s in samples], self.asked)


def test_evopress_screens_on_few_samples_drawn_afresh() -> None:
    objective, problem = SampledObjective(quadratic(6)), blank()
    search = EvoPress(generations=4, offspring=8, initial=8, stages=((1 / 16, 2), (1 / 4, 1)))
    result = search.run(objective, problem, seed=1)
    # The first parent; then in each generation 8 on 2 samples and 2 and the parent on 8 of 32.
    sizes = [len(each) for each in objective.asked]
    starts = sizes.index(8) - 8
    assert sizes[:starts] == [2] * starts
    assert sizes[starts:] == ([2] * 8 + [8] * 3) * 4 + [32]
    assert len({each for each in objective.asked if len(each) == 8}) == 4
    assert result.cost == pytest.approx(sum(sizes) / 32)
    assert result.best is not None
    assert result.best is result.measurements[-1]
    assert result.best_after(problem).tolist() == [math.inf] * (len(sizes) - 1) + [
        result.best.value
    ]


@pytest.mark.parametrize("budget", [1, 2, 5])
def test_a_budget_keeps_one_measurement_on_all_samples(budget: int) -> None:
    objective = SampledObjective(quadratic(6))
    search = EvoPress(offspring=8, initial=4)
    result = search.run(objective, blank(), seed=1, max_measurements=budget)
    assert result.cost <= budget
    if budget > 1:
        assert result.best is not None
        assert len(objective.asked[-1]) == 32


def test_removals_that_diverge_do_not_win() -> None:
    function = quadratic(0)
    objective = FunctionObjective(
        lambda removed: math.nan if 4 in removed else function(removed), 10
    )
    for search in (Sleb(), EvoPress.small()):
        result = search.run(objective, blank(), max_measurements=60)
        assert result.best is not None
        assert 4 not in result.best.removed


@pytest.mark.parametrize("search", [Sleb(), EvoPress.small(), EvoPress()], ids=repr)
def test_a_cancelled_search_keeps_what_it_measured(search: Search) -> None:
    stop = Stop()
    seen: list[Measurement] = []

    def watch(measurement: Measurement) -> None:
        seen.append(measurement)
        if len(seen) == 7:
            stop.cancel()

    result = search.run(
        FunctionObjective(quadratic(0), 10), blank(), stop=stop, on_measurement=watch
    )
    assert result.stop_reason is StopReason.INTERRUPTED
    assert [each.removed for each in result.measurements] == [each.removed for each in seen]
    assert result.num_measurements == 7


def test_the_limit_of_a_stop_is_a_budget() -> None:
    result = EvoPress.small().run(
        FunctionObjective(quadratic(0), 10), blank(), stop=Stop(max_evaluations=13)
    )
    assert result.num_measurements == 13
    assert result.stop_reason is StopReason.EVALUATION_LIMIT


def test_nothing_here_loads_torch() -> None:
    code = (
        "import sys, qubo_prune.pruning.criteria, qubo_prune.pruning.searches, "
        "qubo_prune.pruning.removal_lists; sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def naive_walk(
    similarity: Callable[[tuple[int, ...]], float], size: int, limit: float, stays: str
) -> set[int]:
    """The paper's loop as printed: grow [low, high] while alike, else begin again at low."""
    gone: set[int] = set()
    high = size - 2
    low = high - 1
    while low >= 0:
        window = set(range(low, high + 1))
        merged = gone | window - {high if stays == "highest" else low}
        if similarity(tuple(sorted(merged))) > limit:
            gone = merged
        else:
            high = low
        low -= 1
    return gone


def alike(seed: int) -> Callable[[tuple[int, ...]], float]:
    weights = np.random.default_rng(seed).uniform(0.01, 0.3, 12)
    return lambda removed: float(np.exp(-weights[list(removed)].sum()))


STAYS = pytest.mark.parametrize("stays", ["highest", "lowest"])


@STAYS
@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("count", [1, 3, 5, 8])
def test_windows_are_bisected_to_the_count(seed: int, count: int, stays: Any) -> None:
    similarity = alike(seed)
    removed, threshold, _ = SlidingWindow(similarity, stays=stays).choose(blank(12, count))
    assert len(removed) == count
    walked = naive_walk(similarity, 12, threshold, stays)
    if len(walked) == count:
        assert set(removed) == walked
    else:  # no threshold gives exactly the count: its neighbours are just as far apart
        assert set(removed) < walked
        assert len(naive_walk(similarity, 12, threshold + 1e-6, stays)) < count


@STAYS
@pytest.mark.parametrize("threshold", [0.2, 0.5, 0.8])
def test_a_given_threshold_is_the_official_walk(threshold: float, stays: Any) -> None:
    similarity = alike(3)
    walked = naive_walk(similarity, 12, threshold, stays)
    search = SlidingWindow(similarity, threshold=threshold, stays=stays)
    removed, _, _ = search.choose(blank(12, len(walked)))
    assert set(removed) == walked
    with pytest.raises(InputError, match="lets windows remove only"):
        search.choose(blank(12, len(walked) + 1))


def test_windows_respect_kept_and_forced_blocks() -> None:
    problem = blank(12, 6, keep=[4, 8], force=[11])
    removed, _, _ = SlidingWindow(alike(1)).choose(problem)
    assert allowed(problem, removed)
    with pytest.raises(InputError, match="even any similarity lets windows remove only"):
        SlidingWindow(alike(1)).choose(blank(12, 11))
    kinds = blank(remove={"attention": 2, "mlp": 1}, kinds=KINDS)
    with pytest.raises(InputError, match="cannot keep 2 counts apart"):
        SlidingWindow(alike(1)).choose(kinds)


def test_windows_are_measured_once_and_their_passes_counted() -> None:
    calls: list[tuple[int, ...]] = []
    similarity = alike(0)

    def counted(removed: tuple[int, ...]) -> float:
        calls.append(removed)
        return similarity(removed)

    result = SlidingWindow(counted).run(FunctionObjective(quadratic(0, 12), 12), blank(12, 4))
    assert result.num_measurements == 1
    assert result.best is not None
    assert result.best.removed == SlidingWindow(similarity).choose(blank(12, 4))[0]
    assert result.other_passes == len(calls) == len(set(calls))
    assert max(map(len, calls)) <= 4 + 1  # a walk ends once too many go


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Sleb(early_barrier=-1), "early_barrier must be at least 0, not -1"),
        (lambda: EvoPress(offspring=0), "offspring must be at least 1, not 0"),
        (lambda: EvoPress(generations=0), "generations must be at least 1"),
        (lambda: EvoPress(stages=()), "stages must be pairs"),
        (lambda: EvoPress(stages=((0.5, 2),)), "a number of survivors that falls to 1"),
        (lambda: EvoPress(stages=((0.0, 1),)), "stages must be pairs"),
        (lambda: SlidingWindow(alike(0), spared=-1), "spared must be at least 0"),
        (lambda: SlidingWindow(alike(0), stays="first"), "stays must be 'highest' or 'lowest'"),  # type: ignore[arg-type]
    ],
)
def test_options_out_of_range_are_refused(make: Callable[[], Search], message: str) -> None:
    with pytest.raises(InputError, match=message):
        make()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"max_measurements": 0}, "max_measurements must be at least 1, not 0"),
        ({"seed": -1}, "seed must be at least 0"),
        ({"problem": blank(9)}, "the objective has 10 blocks and the problem 9"),
    ],
)
def test_arguments_out_of_range_are_refused(arguments: dict, message: str) -> None:
    given = {"problem": blank(), **arguments}
    with pytest.raises(InputError, match=message):
        Sleb().run(FunctionObjective(quadratic(0), 10), **given)


def test_every_search_says_what_it_is() -> None:
    assert len({each.name for each in SEARCHES}) == len(SEARCHES)
    for each in SEARCHES:
        assert each.summary.endswith(".")
        assert each.citation
