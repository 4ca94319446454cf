"""Certified bounds without a search, alone and with products: ``python -m benchmarks.bounds``.

The gap is to the lowest energy that tabu finds.
"""

from __future__ import annotations

import argparse
import contextlib
import time
from typing import Any
from unittest import mock

from benchmarks.record import markdown, save
from benchmarks.solves import solve
from qubo_prune import Problem, lower_bound
from qubo_prune.bench import Instance
from qubo_prune.solving.bounding import bound as bounding

CASES: tuple[tuple[str, int | dict[str, int]], ...] = (
    ("bytelm-40-block", 12),
    ("nemotron-h-52", {"attention": 2, "moe": 3}),
    ("bytelm-40-branch", 40),
    ("llama-80-branch", 80),
    ("heterogeneous-200", 50),
    ("heterogeneous-half-200", 50),
    ("wishart-200", 100),
    ("k-cluster-160", 40),
)
SMOKE: tuple[tuple[str, int | dict[str, int]], ...] = (("bytelm-40-block", 12),)


def measure(name: str, problem: Problem) -> dict[str, Any]:
    """Bound a problem twice, and look for its lowest state."""
    row: dict[str, Any] = {"instance": name, "N": problem.num_blocks, "M": problem.num_removed}
    row["lowest"] = float(
        solve(problem, num_states=1, backend="tabu", options={"threads": 1}).energies[0]
    )
    for label in ("alone", "with_products"):
        begin = time.process_time()
        with (
            mock.patch.object(bounding, "_seek_products")
            if label == "alone"
            else contextlib.nullcontext()
        ):
            bound = lower_bound(problem)
        row[label] = {
            "lower_bound": bound.value,
            "gap": float(bound.gap(row["lowest"])),
            "seconds": time.process_time() - begin,
        }
    return row


def table(rows: list[dict[str, Any]]) -> str:
    """Return a line for each problem."""
    header = ["instance", "N", "M", "gap, alone", "CPU s", "gap, with products", "CPU s"]
    body = [
        [
            *(str(row[key]) for key in ("instance", "N", "M")),
            *(
                text
                for label in ("alone", "with_products")
                for text in (f"{100 * row[label]['gap']:.2f} %", f"{row[label]['seconds']:.1f}")
            ),
        ]
        for row in rows
    ]
    return markdown(header, body)


def main() -> None:
    """Measure all problems and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--smoke", action="store_true", help="a small one, nothing is written")
    arguments = parser.parse_args()
    rows = []
    for name, remove in SMOKE if arguments.smoke else CASES:
        rows.append(measure(name, Instance.load(name).problem(remove)))
        print(rows[-1], flush=True)
    if not arguments.smoke:
        save("bounds", "python -m benchmarks.bounds", rows)
    print(table(rows))


if __name__ == "__main__":
    main()
