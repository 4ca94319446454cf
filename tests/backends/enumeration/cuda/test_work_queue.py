"""The work queue hands out everything once."""

from __future__ import annotations

from typing import Any

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from qubo_prune import Problem
from qubo_prune.backends.enumeration.cuda.device_engine import DeviceEngine
from qubo_prune.backends.enumeration.cuda.tables import make_tables
from qubo_prune.backends.enumeration.cuda.work_list import SheetMaker
from qubo_prune.backends.enumeration.cuda.work_queue import Feed, Part
from qubo_prune.backends.enumeration.engine import Batch, Job
from tests.strategies import problems_of_kinds


class Memory:
    """A device that only keeps arrays."""

    def upload(self, array: NDArray[Any]) -> NDArray[Any]:
        return array


@settings(max_examples=60)
@given(
    problem=problems_of_kinds(max_blocks=20, max_states=10**6),
    task_states=st.sampled_from([100, 10**4]),
    launch=st.sampled_from([1, 1000, 10**5, 10**7]),
    seed=st.integers(0, 2**32 - 1),
)
def test_a_feed_hands_out_everything_once(
    problem: Problem, task_states: int, launch: int, seed: int
) -> None:
    engine = DeviceEngine(Job(problem, 1, task_states), None)
    tasks, rng = engine.partition, np.random.default_rng(seed)
    first = int(rng.integers(0, tasks.num_tasks))
    batch = Batch(first, min(first + 300, tasks.num_tasks), 1e9)
    sheets = SheetMaker(engine.layout, make_tables(engine.layout))
    feed = Feed(batch, tasks, sheets, Memory(), 4)  # type: ignore[arg-type]
    handed_out: dict[int, list[Part]] = {}
    waiting: list[Part] = []
    while (part := feed.next(launch)) or waiting:
        if part:
            waiting.append(part)
        if part is None or len(waiting) > rng.integers(3):
            # What is under way is done in any order, and some of it again in halves.
            part = waiting.pop(rng.integers(len(waiting)))
            if rng.random() < 0.2 and part.stop_key - part.first_key > 1:
                feed.split(part)
                continue
            parts = handed_out.setdefault(part.loaded.stop_task, [])
            parts.append(part)
            last = part.loaded.handed_out and part.loaded.open_parts == 1
            expected = part.loaded.sheet.num_states if last else 0
            before = feed.finished
            feed.finish(part, expected)
            assert before <= feed.finished
            assert feed.finished in {first, *handed_out}
    assert feed.finished == batch.stop == max(handed_out)
    for parts in handed_out.values():
        assert all(
            part.first == part.stop - 1 or part.stop_key - part.first_key == 4 for part in parts
        )
        keys = [
            (unit, key)
            for part in parts
            for unit in range(part.first, part.stop)
            for key in range(part.first_key, part.stop_key)
        ]
        assert sorted(keys) == [
            (u, k) for u in range(parts[0].loaded.sheet.num_units) for k in range(4)
        ]
