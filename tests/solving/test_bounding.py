"""The certified bound: below every energy to the last bit, tight, monotone in what it is given, and
reachable from the command line.
"""

from __future__ import annotations

import json
import math
from fractions import Fraction
from itertools import combinations, product
from pathlib import Path
from unittest import mock

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qubo_prune import LowerBound, Problem, Stop, StopReason, lower_bound, solve
from qubo_prune.bench import Instance
from qubo_prune.cli.main import main
from qubo_prune.core.stopping import Progress
from qubo_prune.encodings.relaxation import products as seeking
from qubo_prune.encodings.relaxation.form import Form
from qubo_prune.encodings.relaxation.products import Products
from qubo_prune.encodings.relaxation.relaxed import relaxed_point
from qubo_prune.encodings.relaxation.shifts import Barrier
from qubo_prune.solving.bounding import bound as bounding
from qubo_prune.testing import brute_force
from tests.strategies import problems, random_problem


def exact_lowest(problem: Problem) -> Fraction:
    """Return the lowest energy, in rationals: nothing is rounded."""
    hessian = [[Fraction(value) for value in row] for row in problem.hessian.tolist()]
    linear = [Fraction(value) for value in problem.linear.tolist()]
    fixed = problem.fixed_removed.tolist()
    choices = [combinations(group.indices.tolist(), group.count) for group in problem.groups]
    lowest = None
    for picks in product(*choices):
        removed = [*fixed, *(block for pick in picks for block in pick)]
        energy = sum((hessian[i][j] for i in removed for j in removed), Fraction(0))
        energy += sum((linear[i] for i in removed), Fraction(0))
        lowest = energy if lowest is None else min(lowest, energy)
    assert lowest is not None
    return lowest


@settings(max_examples=15, deadline=None)
@given(problems(max_blocks=9))
def test_no_energy_lies_below_it(problem: Problem) -> None:
    value = lower_bound(problem).value
    assert value <= brute_force(problem)[0][0]
    if problem.groups:  # of one state it is the energy itself, as rounded as that
        assert Fraction(value) <= exact_lowest(problem)


@settings(max_examples=12, deadline=None)
@given(problems(max_blocks=8), st.integers(0, 2**32 - 1))
def test_any_point_and_any_certain_shifts_give_a_bound(problem: Problem, seed: int) -> None:
    """Also points outside the box that miss the counts: the inequality holds everywhere."""
    if not problem.groups:
        return
    form = Form.of(problem)
    random = np.random.default_rng(seed)
    shifts = form.certain_shifts(random.normal(size=form.size) - 4.0 * form.size)
    assert shifts is not None
    for spread in (0.1, 1.0, 30.0):
        point = form.uniform + spread * random.normal(size=form.size)
        assert Fraction(form.bound(shifts, point)) <= exact_lowest(problem)


@settings(max_examples=12, deadline=None)
@given(problems(max_blocks=8))
def test_certain_shifts_leave_a_positive_semidefinite_matrix(problem: Problem) -> None:
    """All leading minors of the matrix itself are positive, in rationals."""
    if not problem.groups:
        return
    form = Form.of(problem)
    barrier = Barrier(form.lifted(), form.sizes, form.typical)
    for _ in range(8):
        barrier.centre(lambda: False)
        barrier.mu *= 0.1
    shifts = form.certain_shifts(barrier.shifts)
    assert shifts is not None
    matrix = [[Fraction(value) for value in row] for row in form.matrix.tolist()]
    for i in range(form.size):
        matrix[i][i] -= Fraction(float(shifts[i]))
    for members in form.members:
        for i, j in product(members.tolist(), repeat=2):
            matrix[i][j] += Fraction(form.penalty)
    for k in range(form.size):  # elimination: pivots are ratios of leading minors
        assert matrix[k][k] > 0
        for i in range(k + 1, form.size):
            factor = matrix[i][k] / matrix[k][k]
            for j in range(k, form.size):
                matrix[i][j] -= factor * matrix[k][j]


@settings(max_examples=12, deadline=None)
@given(problems(max_blocks=8), st.integers(0, 2**32 - 1), st.floats(-12.0, 3.0))
def test_products_are_not_negative_so_less_of_the_matrix_bounds_it(
    problem: Problem, seed: int, size: float
) -> None:
    """With any multipliers at all, sought or not, and in rationals."""
    if not problem.groups:
        return
    form = Form.of(problem)
    products = Products(form)
    products.run(20, lambda: False)
    drawn = 10.0**size * np.random.default_rng(seed).random((form.size, form.size))
    drawn += drawn.T
    np.fill_diagonal(drawn, 0.0)
    for multipliers in (products.multipliers, drawn):
        assert (multipliers >= 0.0).all()
        assert (multipliers == multipliers.T).all()
        assert not multipliers.diagonal().any()
        lowered = form.without(multipliers)
        assert (lowered.matrix <= form.matrix).all()
        assert (lowered.matrix == lowered.matrix.T).all()
        assert (lowered.matrix.diagonal() == form.matrix.diagonal()).all()
        assert np.abs(lowered.matrix).max() <= 1.0
        shifts = lowered.certain_shifts(np.full(form.size, -4.0 * form.size))
        assert shifts is not None
        assert Fraction(lowered.bound(shifts, form.uniform)) <= exact_lowest(problem)


def test_multipliers_approach_the_doubly_non_negative_bound() -> None:
    """A cycle of five, of which two are removed: the relaxation alone is below 0, with products it
    is exact (Lovasz's number against Schrijver's).
    """
    adjacency = np.zeros((5, 5))
    for i in range(5):
        adjacency[i, (i + 1) % 5] = adjacency[(i + 1) % 5, i] = 1.0
    form = Form.of(Problem(-adjacency, 2))
    products = Products(form)
    products.run(2000, lambda: False)
    assert products.converged
    assert lower_bound(Problem(-adjacency, 2)).value == pytest.approx(-2.0, rel=1e-3)


def test_a_group_of_one_choice_has_no_product_inside() -> None:
    """Entries between its members are of no account: multipliers take them away."""
    random = np.random.default_rng(3).random((12, 12))
    matrix = random + random.T
    kinds = ["a", "b", "c"] * 4
    counts = dict.fromkeys("abc", 1)
    bound = lower_bound(Problem(matrix, counts, kinds=kinds))
    same = np.array([[a == b for b in kinds] for a in kinds]) & ~np.eye(12, dtype=bool)
    for inside in (0.0, 100.0):
        changed = Problem(np.where(same, inside, matrix), counts, kinds=kinds)
        assert lower_bound(changed).value == pytest.approx(bound.value, rel=2e-2)


def test_it_is_tight_on_matrices_whose_blocks_differ() -> None:
    problem = Instance.load("heterogeneous-60").problem(15)
    bound = lower_bound(problem)
    lowest = solve(problem, num_states=1).energies[0]
    with mock.patch.object(bounding, "_seek_products"):
        plain = lower_bound(problem)
    assert bound.stages > plain.stages
    assert 0.0 < bound.gap(lowest) < 0.3 * plain.gap(lowest)


@pytest.mark.parametrize("single", [0, 300])
def test_large_problems_begin_with_products(single: int) -> None:
    """Above some size no barrier method comes first, and steps are in single precision."""
    problem = Instance.load("heterogeneous-60").problem(15)
    told: list[Progress] = []
    with (
        mock.patch.object(bounding, "_MOST_BARRIER", 59),
        mock.patch.object(bounding, "_MOST_STEPS", 80),
        mock.patch.object(seeking, "_SINGLE", single),
    ):
        bound = lower_bound(problem, progress=told.append, lowest=3.2620)
    assert 0.0 < bound.gap(solve(problem, num_states=1).energies[0]) < 0.03
    bounds = [each.standing.bound for each in told if each.standing is not None]
    assert bounds == sorted(bounds)
    assert bounds[-1] <= bound.value
    assert "best 3.262, bound" in told[-1].line()
    assert "gap" in told[-1].line()


def test_scaled_steps_need_few_where_blocks_differ() -> None:
    """Unscaled ones are at a gap of more than 100 % by then."""
    form = Form.of(Instance.load("heterogeneous-200").problem(50))
    sought = Products(form)
    sought.run(40, lambda: False)
    less = form.without(sought.multipliers)
    shifts = less.certain_shifts(sought.shifts(less))
    assert shifts is not None
    point = relaxed_point(
        less.matrix,
        shifts,
        less.members,
        less.counts,
        less.sizes,
        sought.point,
        300,
        lambda: False,
    )
    assert 5.9 < less.bound(shifts, point) < 6.4251  # which tabu finds


def test_a_large_problem_has_a_bound_before_the_first_step() -> None:
    problem = Instance.load("heterogeneous-60").problem(15)
    stop = Stop()
    with (
        mock.patch.object(bounding, "_MOST_BARRIER", 0),
        mock.patch.object(Products, "run", side_effect=lambda *_: stop.cancel()),
    ):
        bound = lower_bound(problem, stop=stop)
    assert (bound.stages, bound.stop_reason) == (1, StopReason.INTERRUPTED)
    assert bound.value > bounding._cheap(problem)


def test_a_decomposition_that_fails_ends_the_steps_and_no_more() -> None:
    form = Form.of(random_problem(12, 5))
    sought = Products(form)
    sought.run(5, lambda: False)
    before = sought.multipliers
    with mock.patch("scipy.linalg.eigh", side_effect=np.linalg.LinAlgError):
        sought.run(5, lambda: False)
    assert sought.converged
    assert (sought.multipliers == before).all()


def test_a_limit_leaves_time_for_the_last_bound() -> None:
    """It ends before the limit rather than behind it, and says so."""
    problem = Instance.load("heterogeneous-200").problem(50)
    stop = Stop(0.5)
    with mock.patch.object(bounding, "_MOST_BARRIER", 0):
        bound = lower_bound(problem, stop=stop)
    assert bound.stop_reason is StopReason.TIME_LIMIT
    assert bound.stages >= 1


def test_shifts_too_large_are_not_certain() -> None:
    form = Form.of(random_problem(6, 3))
    assert form.certain_shifts(np.full(6, 10.0)) is None


@pytest.mark.parametrize("scale", [1e-300, 1e-8, 1.0, 1e8, 1e290])
def test_it_scales_with_the_matrix(scale: float) -> None:
    problem = random_problem(12, 5)
    value = lower_bound(problem).value
    scaled = lower_bound(Problem(scale * problem.hessian, 5)).value
    assert scaled == pytest.approx(scale * value, rel=1e-3)
    assert scaled <= solve(Problem(scale * problem.hessian, 5), num_states=1).energies[0]


def test_where_the_relaxation_is_exact_so_is_the_bound() -> None:
    """A diagonal matrix is linear on states; a multiple of 11' is constant."""
    diagonal = np.diag([3.0, 1.0, 4.0, 1.5, 5.0, 9.0, 2.0, 6.0])
    bound = lower_bound(Problem(diagonal + 0.25, 3))
    assert bound.value == pytest.approx(1.0 + 1.5 + 2.0 + 9 * 0.25, rel=1e-4)
    assert lower_bound(Problem(np.ones((6, 6)), 2)).value == pytest.approx(4.0, rel=1e-4)


@pytest.mark.parametrize(("name", "remove", "most"), [("bytelm-40-block", 12, 0.008)])
def test_it_is_tight_on_hessians_of_models(name: str, remove: int, most: float) -> None:
    """The relaxation alone has 3.47 % there; that of branch and bound has 7.3 %."""
    problem = Problem.load(name, remove=remove)
    bound = lower_bound(problem)
    assert bound.stop_reason is StopReason.COMPLETED
    assert 0.0 < bound.gap(solve(problem, num_states=1).energies[0]) < most


def test_counts_per_kind_are_groups_of_the_bound() -> None:
    problem = Problem.load("nemotron-h-52", remove={"attention": 2, "moe": 3})
    bound = lower_bound(problem)
    assert 0.0 <= bound.gap(solve(problem, num_states=1).energies[0]) < 0.2


def test_more_time_makes_it_no_worse_and_any_time_a_bound() -> None:
    problem = random_problem(30, 10)
    lowest = solve(problem, num_states=1).energies[0]
    values = []
    for questions in (0, 3, 12, 10_000):
        stop = Asked(questions)
        bound = lower_bound(problem, stop=stop)
        values.append(bound.value)
        finished = questions == 10_000
        assert (bound.stop_reason is StopReason.COMPLETED) == finished
    assert values == sorted(values)
    assert values[-1] <= lowest


class Asked(Stop):
    """Cancels itself at a question."""

    def __init__(self, questions: int) -> None:
        super().__init__()
        self.left = questions

    def should_stop(self, num_evaluated: int = 0) -> bool:
        self.left -= 1
        if self.left < 0:
            self.cancel()
        return super().should_stop(num_evaluated)


def test_the_relaxed_point_is_that_of_the_box() -> None:
    """Against the conditions of an optimum: whoever could rise has no smaller slope than who could
    fall.
    """
    form = Form.of(random_problem(15, 6))
    shifts = form.certain_shifts(np.full(15, float(np.linalg.eigvalsh(form.matrix)[0]) - 0.01))
    assert shifts is not None
    point = relaxed_point(
        form.matrix,
        shifts,
        form.members,
        form.counts,
        form.sizes,
        form.uniform,
        5000,
        lambda: False,
    )
    assert point.sum() == pytest.approx(6)
    assert ((point >= 0) & (point <= 1)).all()
    slope = 2 * (form.matrix @ point - shifts * point) + shifts
    assert slope[point > 1e-6].max() <= slope[point < 1 - 1e-6].min() + 1e-4


def test_the_gap() -> None:
    bound = LowerBound(-2.0, 1, 0.1, StopReason.COMPLETED)
    assert bound.gap(-1.0) == 1.0
    assert bound.gap(-2.0) == bound.gap(-3.0) == 0.0
    assert bound.gap(0.0) == math.inf
    assert LowerBound(0.0, 1, 0.1, StopReason.COMPLETED).gap(0.0) == 0.0


def test_the_command_looks_for_a_state_and_says_the_gap(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["bound", "bytelm-40-block", "--remove", "12"]) == 0
    text = capsys.readouterr().out
    assert "No state has an energy below 0.0013" in text
    assert "any other is at most 0.6" in " ".join(text.split())
    assert main(["bound", "bytelm-40-block", "--remove", "12", "--json", "-q"]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert facts["lower_bound"] <= facts["lowest_energy"] == pytest.approx(0.00131088, rel=1e-5)
    assert facts["gap"] == pytest.approx(1 - facts["lower_bound"] / facts["lowest_energy"])
    assert facts["stop_reason"] == "completed"
    assert (len(facts["removed"]), facts["backend"]) == (12, "tabu")


def test_the_command_takes_a_spectrum_and_refuses_that_of_another_problem(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = str(tmp_path / "found.json")
    assert main(["solve", "bytelm-40-block", "--remove", "6", "--out", file, "-q"]) == 0
    assert main(["bound", "bytelm-40-block", "--remove", "6", "--spectrum", file]) == 0
    assert "by branch-and-bound" in " ".join(capsys.readouterr().out.split())
    assert main(["bound", "bytelm-40-block", "--remove", "7", "--spectrum", file]) == 2
    assert main(["bound", "bytelm-40-block", "--remove", "7", "--spectrum", file + "x"]) == 2


def test_the_gap_to_an_energy_of_zero(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "sums.npy"
    np.save(file, np.kron(np.eye(4), np.array([[1.0, -1.0], [-1.0, 1.0]])))
    assert main(["bound", str(file), "--remove", "2", "--json"]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert facts["lowest_energy"] == 0.0 >= facts["lower_bound"]
    assert facts["gap"] is None
    assert main(["bound", str(file), "--remove", "2"]) == 0
    assert "lower." in capsys.readouterr().out


def test_the_command_stopped_by_its_limit(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["bound", "llama-80-branch", "--remove", "80", "--time-limit", "0.01"]) == 3
    assert "No state has an energy below" in capsys.readouterr().out
    assert main(["bound", "llama-80-branch", "--remove", "80", "--time-limit", "0"]) == 2


def test_where_there_is_one_state_the_bound_is_its_energy(
    capsys: pytest.CaptureFixture[str],
) -> None:
    problem = random_problem(5, 5)
    assert lower_bound(problem).value == problem.energies(problem.state(range(5)))[0]
    assert main(["bound", "bytelm-40-block", "--remove", "40"]) == 0
    assert "at most 0 % lower" in capsys.readouterr().out.replace("\n", " ")
