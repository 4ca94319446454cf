"""States per second of the exhaustive engine, side by side with a plain walker: ``python -m
benchmarks.enumeration``.

Both run pair by pair on the leading blocks of a bundled Hessian; the plain walker has one thread
and is given a slice of the same space (the states whose smallest removed block is one fixed block),
because all of it would take it minutes. Memory is measured in a process of its own.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import time
from math import comb
from typing import Any

import numpy as np

from benchmarks.plain_walker import walk
from benchmarks.record import markdown, save
from benchmarks.solves import solve
from qubo_prune import Problem
from qubo_prune.bench import peak_memory

SHAPES = ((40, 12), (60, 8), (80, 7), (80, 8), (32, 16))
SMOKE = ((20, 5),)


def measure(n: int, count: int, repeats: int, threads: int) -> dict[str, Any]:
    """Time both on one shape; medians of the pairs."""
    problem = leading(n, count)
    # A first block whose states take the plain walker about a second.
    first = min(range(n - count + 1), key=lambda i: abs(comb(n - 1 - i, count - 1) - 1e9))
    single = problem.hessian.astype(np.float32)
    ours, plain = [], []
    for _ in range(repeats):
        begin = time.perf_counter()
        spectrum = solve(problem, backend="enumeration", options={"threads": threads})
        ours.append(problem.num_states / (time.perf_counter() - begin))
        if spectrum.num_evaluated != problem.num_states:
            raise RuntimeError(f"visited {spectrum.num_evaluated} of {problem.num_states} states")
        begin = time.perf_counter()
        _, visited = walk(single, count, first, first + 1)
        plain.append(visited / (time.perf_counter() - begin))
    ratios = np.array(ours) / np.array(plain)
    return {
        "shape": f"C({n},{count})",
        "states": problem.num_states,
        "threads": threads,
        "states_per_second": float(np.median(ours)),
        "plain_states_per_second": float(np.median(plain)),
        "ratio": float(np.median(ratios)),
        "seconds": problem.num_states / float(np.median(ours)),
        "peak_bytes": peak_of(n, count, threads),
    }


def leading(n: int, count: int) -> Problem:
    """Return the problem of the first `n` blocks."""
    return Problem(Problem.load("bytelm-40-branch", remove=1).hessian[:n, :n], remove=count)


def peak_of(n: int, count: int, threads: int) -> int:
    """Return the most bytes of memory that a process needs which does nothing else; the libraries
    alone are some 100 MB.
    """
    command = (
        f"from benchmarks.enumeration import solve_alone; solve_alone({n}, {count}, {threads})"
    )
    done = subprocess.run([sys.executable, "-c", command], check=True, capture_output=True)
    return int(done.stdout)


def solve_alone(n: int, count: int, threads: int) -> None:
    """Solve one shape and print the peak of this process."""
    solve(leading(n, count), backend="enumeration", options={"threads": threads})
    print(peak_memory())


def table(rows: list[dict[str, Any]]) -> str:
    """Return a line for each shape and number of threads."""
    columns = ["shape", "threads", "states", "states/s", "seconds", "plain walker, 1 thread"]
    body = [
        [
            row["shape"],
            str(row["threads"]),
            f"{row['states']:.3g}",
            f"{row['states_per_second']:.2e}",
            f"{row['seconds']:.2f}",
            f"{row['plain_states_per_second']:.2e}",
            f"{row['ratio']:.1f}",
            f"{row['peak_bytes'] / 1e6:.0f} MB",
        ]
        for row in rows
    ]
    return markdown([*columns, "ratio", "peak memory"], body)


def main() -> None:
    """Measure all shapes and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--smoke", action="store_true", help="one tiny shape, nothing is written")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    arguments = parser.parse_args()
    shapes = SMOKE if arguments.smoke else SHAPES
    for shape in SMOKE:
        measure(*shape, 1, 1)  # compiles
    rows = [measure(*s, arguments.repeats, t) for t in arguments.threads for s in shapes]
    if not arguments.smoke:
        save("enumeration", "python -m benchmarks.enumeration", rows)
    print(table(rows))


if __name__ == "__main__":
    main()
