"""Branch and bound on what users have: ``python -m benchmarks.everyday``.

Whole calls of `solve` on the bundled 80-variable Hessian, with warm start and preparation, for
several K; and one sweep over all M.
"""

from __future__ import annotations

import argparse
import time
from statistics import median
from typing import Any

from benchmarks.record import markdown, save
from qubo_prune import Problem, Status, solve, sweep

HESSIAN = "bytelm-40-branch"
REMOVED = (8, 16, 24, 32, 40, 56, 72)
NUM_STATES = (100, 1_000, 10_000)


def measure(remove: int, num_states: int, repeats: int) -> dict[str, Any]:
    """Time whole calls of one problem."""
    problem = Problem.load(HESSIAN, remove=remove)
    seconds = []
    for _ in range(repeats):
        begin = time.perf_counter()
        spectrum = solve(problem, num_states=num_states)
        seconds.append(time.perf_counter() - begin)
    return {
        "M": remove,
        "K": num_states,
        "seconds": median(seconds),
        "slowest": max(seconds),
        "nodes": spectrum.num_evaluated,
        "proven": spectrum.status is Status.PROVEN,
    }


def measure_sweep(removed: range) -> dict[str, Any]:
    """Time a sweep, K = 100."""
    begin = time.perf_counter()
    spectra = sweep(Problem.load(HESSIAN, remove=removed[0]), removed).values()
    return {
        "M": f"{removed[0]}...{removed[-1]}",
        "K": 100,
        "seconds": time.perf_counter() - begin,
        "nodes": sum(spectrum.num_evaluated for spectrum in spectra),
        "proven": all(spectrum.status is Status.PROVEN for spectrum in spectra),
    }


def table(rows: list[dict[str, Any]]) -> str:
    """Return a line for each number of removed blocks."""
    body = []
    for removed in dict.fromkeys(row["M"] for row in rows):
        mine = {row["K"]: row for row in rows if row["M"] == removed}
        line = [str(removed)]
        for k in NUM_STATES:
            row = mine.get(k)
            line.append(
                "" if row is None else f"{row['seconds']:.2f}{'' if row['proven'] else ', open'}"
            )
        body.append(line)
    return markdown(["M", *(f"K = {k:,}" for k in NUM_STATES)], body)


def main() -> None:
    """Measure and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--smoke", action="store_true", help="little of it, nothing is written")
    parser.add_argument("--repeats", type=int, default=5)
    arguments = parser.parse_args()
    measure(8, 100, 1)  # compiles
    if arguments.smoke:
        rows = [measure(4, 100, 1), measure_sweep(range(1, 3))]
    else:
        rows = [measure(m, k, arguments.repeats) for m in REMOVED for k in NUM_STATES]
        rows.append(measure_sweep(range(1, 80)))
        save("everyday", f"python -m benchmarks.everyday --repeats {arguments.repeats}", rows)
    print(table(rows))


if __name__ == "__main__":
    main()
