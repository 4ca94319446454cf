"""What the oracle rests on: the tasks cover the space once, every state is counted, and screening
in float32 loses none.
"""

from __future__ import annotations

from unittest import mock

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from qubo_prune import Problem, Status, solve
from qubo_prune.backends.enumeration.arrays import make_tables, make_workspace
from qubo_prune.backends.enumeration.kernels.walk import Shared, Tables, Workspace, walk
from qubo_prune.backends.enumeration.space import layout as layout_module
from qubo_prune.backends.enumeration.space.layout import Layout, make_layout
from qubo_prune.backends.enumeration.space.tasks import Partition, Task
from qubo_prune.core.spectrum.order import lexicographic_order
from qubo_prune.search.kernels.pool import pack, unpack
from tests.strategies import all_states, problems_of_kinds

TILES = st.sampled_from([None, 0, 2, 4, 6, 8, 10])


def lay_out(problem: Problem, tile_size: int | None, triples: bool = True) -> Layout:
    fixed = pack(problem.state(problem.fixed_removed)[None])[0]
    limit = layout_module.MAX_PAIR_FLOATS if triples else 0
    with mock.patch.object(layout_module, "MAX_PAIR_FLOATS", limit):
        return make_layout(problem.reduced(), fixed, tile_size)


def run(tables: Tables, work: Workspace, shared: Shared, task: Task) -> int:
    """Run one task; return how many states it visited."""
    before = int(work.visited[0])
    prefix = np.array(task.prefix, np.int64)
    assert walk(tables, work, shared, prefix, task.first, task.stop, task.with_node)
    return int(work.visited[0]) - before


def pool_of(problem: Problem, work: Workspace) -> tuple[NDArray[np.bool_], NDArray[np.float64]]:
    """Return what a workspace kept, in the order of a spectrum."""
    size = int(work.pool_size[0])
    states = unpack(work.pool_words[:size], problem.num_blocks)
    energies = work.pool_energies[:size]
    order = lexicographic_order(states, energies)
    return states[order], energies[order]


@settings(max_examples=120)
@given(
    problem=problems_of_kinds(max_blocks=16, max_states=4000),
    target=st.sampled_from([1, 2, 7, 60, 500, 10**6]),
    tile_size=TILES,
    triples=st.booleans(),
    capacity=st.sampled_from([1, 5, 10**6]),
    seed=st.integers(0, 2**32 - 1),
)
def test_tasks_cover_every_state_once_in_any_order(
    problem: Problem, target: int, tile_size: int | None, triples: bool, capacity: int, seed: int
) -> None:
    layout = lay_out(problem, tile_size, triples)
    tasks = list(Partition(layout, target))
    assert tasks == list(Partition(layout, target))
    assert sum(task.num_states for task in tasks) == problem.num_states
    capacity = min(capacity, problem.num_states)
    work = make_workspace(layout, capacity, problem.num_blocks)
    shared = Shared(np.full(1, np.inf), np.zeros(1, np.bool_))
    tables = make_tables(layout, problem)
    for t in np.random.default_rng(seed).permutation(len(tasks)):
        task = tasks[t]
        assert run(tables, work, shared, task) == task.num_states
        if task.num_states > target:  # only where one node's own rows hold that many
            children = task.stop - task.first
            assert children == (0 if task.with_node else 1)
    states = all_states(problem)
    energies = problem.energies(states)
    order = lexicographic_order(states, energies)[:capacity]
    found, found_energies = pool_of(problem, work)
    np.testing.assert_array_equal(found, states[order])
    np.testing.assert_array_equal(found_energies, energies[order])


@settings(max_examples=60)
@given(
    problem=problems_of_kinds(max_blocks=30, max_states=20_000_000),
    tile_size=TILES,
    task_states=st.sampled_from([1000, 1 << 27]),
)
def test_every_state_is_counted(problem: Problem, tile_size: int | None, task_states: int) -> None:
    assume(problem.num_states // task_states < 2000)
    options = {"tile_size": tile_size, "task_states": task_states, "threads": 2}
    spectrum = solve(problem, num_states=3, backend="enumeration", options=options)
    assert spectrum.num_evaluated == problem.num_states
    assert spectrum.status is Status.PROVEN


@settings(max_examples=100)
@given(
    problem=problems_of_kinds(max_blocks=14, max_states=300),
    tile_size=TILES,
    triples=st.booleans(),
)
def test_screening_loses_no_state_at_the_threshold(
    problem: Problem, tile_size: int | None, triples: bool
) -> None:
    check_screening(problem, lay_out(problem, tile_size, triples), all_states(problem))


@pytest.mark.parametrize("decades", [0.0, 4.0, 12.0])
@pytest.mark.parametrize(
    ("n", "remove", "tile_size"),
    [(18, 7, 10), (17, 11, 0), (18, {"0": 4, "1": 5}, 6), (40, 3, None), (90, 88, None)],
)
def test_screening_loses_no_state_of_a_larger_problem(
    n: int, remove: int | dict[str, int], tile_size: int | None, decades: float
) -> None:
    rng = np.random.default_rng([n, int(decades)])
    entries = rng.normal(size=(n, n)) * 10.0 ** (-decades * rng.random((n, n)))
    problem = Problem(entries + entries.T, remove, kinds=[str(i % 2) for i in range(n)])
    states = all_states(problem)
    picked = rng.integers(0, len(states), 12)
    check_screening(problem, lay_out(problem, tile_size), states, picked)


def check_screening(
    problem: Problem,
    layout: Layout,
    states: NDArray[np.bool_],
    picked: NDArray[np.int64] | None = None,
) -> None:
    """Walk with the threshold at the energy of each (picked) state: all at or below it must be
    found.

    The float64 allowance is set to 0 where it is small against the float32 margin, so that the
    margin alone has to cover the screening error.
    """
    tables = make_tables(layout, problem)
    assert layout.margin > 0.0
    if tables.allowance * layout.scale < 1e-3 * layout.margin:
        tables = tables._replace(allowance=0.0)
    energies = problem.energies(states)
    (task,) = Partition(layout, 10**9)
    for k in range(len(states)) if picked is None else picked:
        # As the pool has room for all states, the threshold stays where it is.
        work = make_workspace(layout, len(states) + 1, problem.num_blocks)
        shared = Shared(energies[k : k + 1].copy(), np.zeros(1, np.bool_))
        assert run(tables, work, shared, task) == len(states)
        assert shared.threshold[0] == energies[k]
        _, found = pool_of(problem, work)
        expected = np.sort(energies[energies <= energies[k]])
        np.testing.assert_array_equal(found[: len(expected)], expected)


@settings(max_examples=100)
@given(
    problem=problems_of_kinds(max_blocks=24, max_states=10**12),
    tile_size=TILES,
    seed=st.integers(0, 2**32 - 1),
)
def test_the_margin_bounds_float32_sums(problem: Problem, tile_size: int | None, seed: int) -> None:
    """Sums of the layout's float32 tables, row by row as the kernels extend fields, stay within the
    margin of float64.
    """
    layout = lay_out(problem, tile_size)
    rng = np.random.default_rng(seed)
    position_of = {int(block): position for position, block in enumerate(layout.block_of)}
    base = unpack(layout.base_words[None], problem.num_blocks)[0]
    for _ in range(20):
        state = np.zeros(problem.num_blocks, np.bool_)
        state[problem.fixed_removed] = True
        for group in problem.groups:
            state[rng.permutation(group.indices)[: group.count]] = True
        picks = sorted((position_of[int(b)] for b in np.flatnonzero(state != base)), reverse=True)
        energy = np.float32(0.0)
        fields = layout.diagonal.copy()
        for i in picks:
            energy = np.float32(energy + fields[i])
            fields = fields + layout.couplings[i]
        exact = (problem.energies(state)[0] - layout.constant) * layout.scale
        slack = make_tables(layout, problem).allowance * layout.scale
        assert abs(float(energy) - exact) <= layout.margin + slack


SPECTRA = [
    ("wishart", 30, 1, (0, 4, 10)),
    ("wishart", 40, 2, (0, 16)),
    ("ties", 40, 3, (0, 10)),
    ("indefinite", 40, 4, (0, 4, 10, 16, 24)),
    ("wishart", 40, 6, (None, 10, 16)),
    ("ties", 28, 10, (None, 4, 16, 24)),
    ("wishart", 32, 8, (None, 0, 10, 24)),
    ("ties", 32, 22, (None, 24)),
    ("indefinite", 27, 14, (None, 16)),
    ("wishart", 40, 33, (None, 16)),
    ("ties", 36, 33, (0, 4, 10)),
    ("wishart", 24, 22, (0, 24)),
    ("indefinite", 40, 39, (0, 16)),
    ("wishart", 36, {"a": 3, "b": 14}, (None, 4, 10)),
    ("ties", 33, {"a": 2, "b": 9, "c": 3}, (None, 0, 10)),
]


@pytest.mark.parametrize(("family", "n", "remove", "tiles"), SPECTRA)
def test_spectra_equal_those_of_branch_and_bound(
    family: str, n: int, remove: int | dict[str, int], tiles: tuple[int | None, ...]
) -> None:
    rng = np.random.default_rng(n)
    hessian = rng.normal(size=(n, n))
    if family == "wishart":
        hessian = hessian.T @ (hessian * rng.uniform(0.1, 2.0, (n, 1)))
    elif family == "ties":
        hessian = np.tril(rng.integers(-1, 2, (n, n))).astype(float)
    hessian = hessian + hessian.T
    num_kinds = len(remove) if isinstance(remove, dict) else 1
    problem = Problem(hessian, remove, kinds=["abc"[i % num_kinds] for i in range(n)])
    assert problem.num_states <= 10**8
    expected = solve(problem, num_states=40)
    assert expected.status is Status.PROVEN
    for tile_size in tiles:
        options = {"tile_size": tile_size}
        spectrum = solve(problem, num_states=40, backend="enumeration", options=options)
        assert spectrum.num_evaluated == problem.num_states
        np.testing.assert_array_equal(spectrum.states, expected.states)
        np.testing.assert_array_equal(spectrum.energies, expected.energies)
        for what in ("status", "num_proven", "lower_bound", "ties_truncated"):
            assert getattr(spectrum, what) == getattr(expected, what)
