"""What tabu finds of the lowest states at every M of the bundled Hessians, in half a second:
``python -m benchmarks.recall_every_m``.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Iterable
from statistics import median
from typing import Any

from benchmarks.record import markdown, save
from qubo_prune import Problem, Spectrum, Status, solve
from qubo_prune.bench import recall

HESSIANS = ("bytelm-40-block", "bytelm-40-branch")
NUM_STATES = (100, 1000)
LIMIT = 0.5
THREADS = 2


def prove(problem: Problem, num_states: int) -> Spectrum:
    """Return the spectrum to compare with."""
    reference = solve(problem, num_states=num_states)
    if reference.status is not Status.PROVEN:
        raise SystemExit(f"{problem!r} is not proven; nothing to compare.")
    return reference


def measure(hessian: str, removes: Iterable[int]) -> list[dict[str, Any]]:
    """Run tabu at each M, once for each number of states."""
    rows = []
    for remove in removes:
        problem = Problem.load(hessian, remove=remove)
        sizes = [min(size, problem.num_states) for size in NUM_STATES]
        reference = prove(problem, max(sizes))
        for wanted, size in zip(NUM_STATES, sizes, strict=True):
            spectrum = solve(
                problem,
                num_states=size,
                backend="tabu",
                time_limit=LIMIT,
                options={"threads": THREADS},
            )
            row = {
                "hessian": hessian,
                "M": remove,
                "K": wanted,
                "recall": recall(spectrum, reference, size),
                "seconds": spectrum.timings["total"],
                "load": os.getloadavg()[0],
            }
            rows.append(row)
            print(row, flush=True)
    return rows


def table(rows: list[dict[str, Any]]) -> str:
    """Return one line per Hessian and number of states."""
    body = []
    for hessian, wanted in dict.fromkeys((row["hessian"], row["K"]) for row in rows):
        mine = [row for row in rows if (row["hessian"], row["K"]) == (hessian, wanted)]
        missed = [str(row["M"]) for row in mine if row["recall"] < 1.0]
        body.append(
            [
                hessian,
                str(wanted),
                str(len(mine)),
                f"{100 * min(row['recall'] for row in mine):.1f} %",
                ", ".join(missed) or "none",
                f"{median(row['seconds'] for row in mine):.2f}",
                f"{max(row['seconds'] for row in mine):.2f}",
                f"{median(row['load'] for row in mine):.1f}",
            ]
        )
    columns = ["Hessian", "K", "values of M", "worst recall", "M with less than all"]
    return markdown([*columns, "median seconds", "worst seconds", "median load"], body)


def main() -> None:
    """Measure both Hessians and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--smoke", action="store_true", help="two values of M, nothing is written")
    arguments = parser.parse_args()
    rows = []
    for hessian in HESSIANS:
        count = Problem.load(hessian, remove=1).num_blocks
        rows += measure(hessian, range(1, 3 if arguments.smoke else count))
    if not arguments.smoke:
        save("recall_every_m", "python -m benchmarks.recall_every_m", rows)
    print(table(rows))


if __name__ == "__main__":
    main()
