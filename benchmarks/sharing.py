"""One proof shared among workers: ``python -m benchmarks.sharing``.

The same proof by threads of one process that share all they have, by tasks with a checkpoint, and
by the worker processes of a Dask cluster on this machine, each with one thread; then what a task
costs, from which follows how many workers one coordinator can feed.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from typing import Any
from unittest.mock import patch

import numpy as np

from benchmarks.record import markdown, save
from benchmarks.solves import solve
from qubo_prune import Problem
from qubo_prune.backends.branch_and_bound.coordinator import Coordinator
from qubo_prune.backends.branch_and_bound.subtrees import Explored, Subtrees
from qubo_prune.backends.common.dask_workers import DaskWorkers


def graph(n: int, count: int) -> Problem:
    """Return a random graph of density a half, whose densest subgraph is sought."""
    upper = np.triu(np.random.default_rng(1).integers(0, 2, (n, n)).astype(float), 1)
    return Problem(-(upper + upper.T), count)


class Account:
    """What the tasks of a run took, and what was sent."""

    def __init__(self) -> None:
        self.seconds: list[float] = []
        self.sent = self.returned = 0
        self.feeding = 0.0

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Count what goes through the coordinators of meanwhile."""
        put = DaskWorkers.put

        def counted_put(workers: Any, task: Subtrees) -> None:
            self.sent += sum(each.nbytes for each in task.nodes)
            put(workers, task)

        def timed(method: Callable[..., None]) -> Callable[..., None]:
            def run(own: Any, *arguments: Any) -> None:
                begin = time.perf_counter()
                method(own, *arguments)
                self.feeding += time.perf_counter() - begin

            return run

        def receive(own: Any, task: Subtrees, result: Explored | None) -> None:
            if result is not None:
                self.seconds.append(result.seconds)
                self.returned += sum(each.nbytes for each in result.nodes)
            kept(own, task, result)

        kept = timed(Coordinator._receive)
        with (
            patch.object(DaskWorkers, "put", counted_put),
            patch.object(Coordinator, "_receive", receive),
            patch.object(Coordinator, "_send", timed(Coordinator._send)),
        ):
            yield


def measure(problem: Problem, workers: int, states: int) -> dict[str, Any]:
    """Prove the same with everybody, and compare."""
    import distributed

    expected = solve(problem, num_states=states, options={"threads": 1})
    row: dict[str, Any] = {
        "N": problem.num_blocks,
        "M": problem.num_removed,
        "K": states,
        "workers": workers,
    }

    def run(name: str, **options: Any) -> None:
        begin = time.perf_counter()
        found = solve(problem, num_states=states, options=options)
        row[f"{name}_seconds"] = time.perf_counter() - begin
        row[f"{name}_nodes"] = found.num_evaluated
        if found.to_dict()["removed"] != expected.to_dict()["removed"]:
            raise SystemExit(f"{name} proves another list")

    run("threads", threads=workers)
    with tempfile.TemporaryDirectory() as folder:
        run("checkpoint", threads=workers, checkpoint=Path(folder) / "run.checkpoint")
    account = Account()
    with distributed.LocalCluster(
        n_workers=workers, threads_per_worker=1, processes=True, dashboard_address=None
    ) as cluster:
        options = {"executor": "dask", "scheduler": cluster.scheduler_address}
        solve(problem, num_states=states, max_evaluations=1, options=options)  # compiles
        with account.watching():
            run("dask", **options)
    count = len(account.seconds)
    return row | {
        "tasks": count,
        "task_seconds": median(account.seconds),
        "sent_per_task": account.sent / count,
        "returned_per_task": account.returned / count,
        "coordinator_seconds_per_task": account.feeding / count,
    }


def table(rows: list[dict[str, Any]]) -> str:
    """Return the rows as Markdown."""
    columns = ["workers", "threads, s", "checkpoint, s", "Dask, s", "tasks", "kB sent", "ms"]
    body = [
        [
            str(row["workers"]),
            *(f"{row[f'{name}_seconds']:.2f}" for name in ("threads", "checkpoint", "dask")),
            str(row["tasks"]),
            f"{row['sent_per_task'] / 1000:.0f}",
            f"{1000 * row['coordinator_seconds_per_task']:.1f}",
        ]
        for row in rows
    ]
    return markdown(columns, body)


def main() -> None:
    """Measure and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--size", type=int, default=80)
    parser.add_argument("--remove", type=int, default=24)
    parser.add_argument("--states", type=int, default=100)
    parser.add_argument("--workers", default="1,2", help="worker processes, of one run each")
    parser.add_argument("--smoke", action="store_true", help="a tiny graph, nothing is written")
    arguments = parser.parse_args()
    size, remove = (30, 8) if arguments.smoke else (arguments.size, arguments.remove)
    solve(graph(12, 4), num_states=2)  # compiles
    rows = [
        measure(graph(size, remove), int(workers), arguments.states)
        for workers in arguments.workers.split(",")
    ]
    if not arguments.smoke:
        save("sharing", f"python -m benchmarks.sharing --size {size} --remove {remove}", rows)
    print(table(rows))


if __name__ == "__main__":
    main()
