"""Thousands of blocks: short limits, and all states where few are removed: ``python -m
benchmarks.thousands``.

Whole calls of `solve` on a random positive semidefinite matrix of low rank, kernels loaded before.
Limits and times are processor seconds of one thread, so that the load of the machine does not
matter.
"""

from __future__ import annotations

import argparse
import time
from typing import Any

import numpy as np

from benchmarks.clock import processor_clock
from benchmarks.record import markdown, save
from benchmarks.solves import solve
from qubo_prune import Problem, get_backend

RANK = 64
CASES = (
    (1000, 3, 100, None, "branch-and-bound"),
    (1000, 3, 100, None, "enumeration"),
    *((5000, 50, 100, limit, name) for name in ("tabu", "annealing") for limit in (1.0, 2.0, 5.0)),
)
"""Blocks, how many are removed, states, limit and backend."""


def make(side: int) -> np.ndarray[Any, np.dtype[np.float64]]:
    """Return a matrix of low rank."""
    factor = np.random.default_rng(0).normal(size=(side, RANK))
    matrix = factor @ factor.T / RANK
    return np.asarray((matrix + matrix.T) / 2.0)


def measure(problem: Problem, num_states: int, limit: float | None, backend: str) -> dict[str, Any]:
    """Time one call."""
    solver = get_backend(backend, threads=1)
    solver.prepare()
    problem.energies(problem.state(problem.fixed_removed))  # loads the kernel
    with processor_clock():
        begin = time.process_time()
        spectrum = solve(problem, num_states=num_states, backend=solver, time_limit=limit)
        seconds = time.process_time() - begin
    return {
        "N": problem.num_blocks,
        "M": problem.num_removed,
        "K": num_states,
        "backend": backend,
        "limit": limit,
        "seconds": seconds,
        "states": len(spectrum),
        "num_proven": spectrum.num_proven,
    }


def table(rows: list[dict[str, Any]]) -> str:
    """Return a line for each call."""
    header = ["backend", "N", "M", "K", "limit (CPU s)", "took (CPU s)", "states", "proven"]
    body = [
        [
            row["backend"],
            f"{row['N']:,}",
            str(row["M"]),
            str(row["K"]),
            "" if row["limit"] is None else f"{row['limit']:g}",
            f"{row['seconds']:.2f}",
            str(row["states"]),
            str(row["num_proven"]),
        ]
        for row in rows
    ]
    return markdown(header, body)


def main() -> None:
    """Measure all calls and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--smoke", action="store_true", help="a small one, nothing is written")
    arguments = parser.parse_args()
    if arguments.smoke:
        print(table([measure(Problem(make(40), 3), 5, None, "branch-and-bound")]))
        return
    rows: list[dict[str, Any]] = []
    problem = None
    for side, remove, num_states, limit, backend in CASES:
        if problem is None or problem.num_blocks != side:
            problem = Problem(make(side), remove)
        rows.append(measure(problem, num_states, limit, backend))
        print(rows[-1], flush=True)
    save("thousands", "python -m benchmarks.thousands", rows)
    print(table(rows))


if __name__ == "__main__":
    main()
