"""Work lists hold the states of their tasks, in units that can be handed out."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from qubo_prune import Problem
from qubo_prune.backends.enumeration.cuda.tables import WARP, make_tables
from qubo_prune.backends.enumeration.cuda.work_list import SheetMaker
from qubo_prune.backends.enumeration.engine import Engine, Job
from tests.backends.enumeration.cuda.common import TILES, needs_compiler
from tests.strategies import problems_of_kinds


@needs_compiler
@settings(max_examples=60)
@given(
    problem=problems_of_kinds(max_blocks=24, max_states=10**12),
    task_states=st.sampled_from([1000, 10**6, 1 << 36]),
    tile_size=TILES,
    seed=st.integers(0, 2**32 - 1),
    launch=st.sampled_from([1, 10**4, 10**9]),
)
def test_sheets_hold_the_states_of_their_tasks(
    problem: Problem, task_states: int, tile_size: int | None, seed: int, launch: int
) -> None:
    engine = Engine(Job(problem, 1, task_states, tile_size))
    tasks, layout = engine.partition, engine.layout
    sheets = SheetMaker(layout, make_tables(layout))
    first = int(np.random.default_rng(seed).integers(0, tasks.num_tasks))
    stop = min(first + 7, tasks.num_tasks)
    sheet = sheets.make(list(tasks.tasks(first, stop)))
    assert sheet.num_states == tasks.states_before(stop) - tasks.states_before(first)
    ends = [section[1] for section in sheet.sections[:-1].tolist()]
    starts = np.append(sheet.strips[1:, 0], ends[-1])
    nodes = np.minimum.reduce(
        [starts, np.repeat(ends, np.diff([*sheet.sections[:-1, 2], len(sheet.strips)]))]
    )
    assert ((nodes - sheet.strips[:, 0]) * sheet.strips[:, 4]).sum() == sheet.num_states
    assert sheet.sections[:-1, 0].tolist() == [0, *(-(-end // WARP) for end in ends[:-1])]
    units = [0]
    while units[-1] < sheet.num_units:
        units.append(sheet.unit_after(units[-1], launch))
        assert units[-1] > units[-2]
    assert units[-1] == sheet.num_units
    most = WARP * max(sheet.strips[:, 4])
    assert len(units) <= 2 + (sheet.num_states + len(sheet.sections) * most) // launch
