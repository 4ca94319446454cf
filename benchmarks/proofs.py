"""Time to proof of branch and bound, side by side with Gurobi's pool and with SCIP: ``python -m
benchmarks.proofs``.

Every instance is solved by one after the other in the same run, with the same K, threads and time
limit. A peer that is not installed is left out.
"""

from __future__ import annotations

import argparse
import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from benchmarks.instances import make_instance
from benchmarks.machine import markdown, save
from qubo_prune import Problem, Status, solve
from qubo_prune.backends import backend_class

SHIFT = 1.0
"""Seconds added before geometric means, so that tiny times do not dominate them."""


@dataclass(frozen=True)
class Case:
    """An instance: a family (or a bundled Hessian), N, M and K."""

    family: str
    n: int
    remove: int
    num_states: int

    def problem(self) -> Problem:
        """Make the problem."""
        if self.family.startswith("bytelm"):
            return Problem.load(self.family, remove=self.remove)
        return Problem(make_instance(self.family, self.n), self.remove)


CASES = (
    *(Case("bytelm-40-branch", 80, m, 100) for m in (8, 24, 40, 56)),
    Case("bytelm-40-block", 40, 12, 100),
    Case("wishart N/2", 64, 16, 100),
    Case("wishart 2N", 64, 16, 100),
    Case("wishart 2N", 80, 16, 100),
    Case("wishart 2N", 80, 40, 100),
    Case("wishart 10N", 64, 16, 100),
    Case("heterogeneous N/2", 80, 16, 100),
    Case("heterogeneous 2N", 100, 25, 100),
    Case("heterogeneous 2N", 160, 40, 100),
    Case("heterogeneous 10N", 200, 50, 100),
    Case("AR(1)", 80, 24, 100),
    Case("AR(1)", 100, 25, 100),
    Case("low rank + diagonal", 64, 16, 100),
    Case("low rank + diagonal", 100, 25, 100),
    Case("k-cluster", 64, 16, 100),
    Case("planted", 64, 12, 100),
    Case("planted", 200, 40, 100),
)
SMOKE = (Case("wishart 10N", 24, 6, 5), Case("k-cluster", 20, 5, 5))


def measure(case: Case, time_limit: float, threads: int, repeats: int) -> dict[str, Any]:
    """Solve one instance with everything that is there."""
    problem = case.problem()
    runs = []
    for _ in range(repeats):
        spectrum = solve(
            problem, num_states=case.num_states, time_limit=time_limit, options={"threads": threads}
        )
        runs.append(spectrum.timings["total"])
    row: dict[str, Any] = {
        "family": case.family,
        "N": case.n,
        "M": case.remove,
        "K": case.num_states,
        "seconds": float(np.median(runs)),
        "proven": spectrum.status is Status.PROVEN,
        "num_proven": spectrum.num_proven,
        "nodes": spectrum.num_evaluated,
        "lowest": float(spectrum.energies[0]),
        "lower_bound": spectrum.lower_bound,
    }
    if backend_class("gurobi").availability().usable:
        peer = solve(
            problem,
            num_states=case.num_states,
            backend="gurobi",
            time_limit=time_limit,
            options={"threads": threads},
        )
        row |= {
            "gurobi_seconds": peer.timings["total"],
            "gurobi_proven": peer.status is Status.PROVEN,
        }
        if row["gurobi_proven"] and row["proven"]:
            row["gurobi_agrees"] = bool((peer.states == spectrum.states).all())
    if backend_class("scip").availability().usable:
        single = solve(problem, num_states=1, time_limit=time_limit, options={"threads": 1})
        peer = solve(problem, num_states=1, backend="scip", time_limit=time_limit)
        row |= {
            "one_seconds": single.timings["total"],
            "one_proven": single.status is Status.PROVEN,
            "scip_seconds": peer.timings["total"],
            "scip_proven": peer.status is Status.PROVEN,
        }
    return row


def shifted_geometric_mean(seconds: list[float]) -> float:
    """Return exp(mean(log(s + shift))) - shift."""
    return math.exp(sum(math.log(s + SHIFT) for s in seconds) / len(seconds)) - SHIFT


def _seconds(row: dict[str, Any], who: str) -> str:
    key = f"{who}_" if who else ""
    if f"{key}seconds" not in row:
        return "-"
    text = f"{row[f'{key}seconds']:.2f}"
    return text if row[f"{key}proven"] else f"{text}, not proven"


def table(rows: list[dict[str, Any]]) -> str:
    """Return the rows and their means as Markdown."""
    body = []
    for row in rows:
        ratio = "-"
        if "gurobi_seconds" in row and row["proven"]:
            sign = "" if row["gurobi_proven"] else "> "
            ratio = f"{sign}{row['gurobi_seconds'] / row['seconds']:.0f}"
        instance = f"{row['family']} ({row['N']}, {row['M']})"
        body.append(
            [
                instance,
                str(row["K"]),
                _seconds(row, ""),
                f"{row['nodes']:,}",
                _seconds(row, "gurobi"),
                ratio,
                _seconds(row, "one"),
                _seconds(row, "scip"),
            ]
        )
    means = ["shifted geometric mean", ""]
    for who in ("", "nodes", "gurobi", "ratio", "one", "scip"):
        key = f"{who}_seconds" if who else "seconds"
        known = [row[key] for row in rows if key in row]
        means.append(f"{shifted_geometric_mean(known):.2f}" if known else "")
    columns = ["instance", "K", "seconds", "nodes", "Gurobi pool", "ratio", "K = 1", "SCIP, K = 1"]
    return markdown(columns, [*body, means])


def main() -> None:
    """Measure all instances and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--smoke", action="store_true", help="tiny instances, nothing is written")
    parser.add_argument("--time-limit", type=float, default=100.0)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--repeats", type=int, default=3)
    arguments = parser.parse_args()
    measure(SMOKE[0], 10.0, arguments.threads, 1)  # compiles
    cases = SMOKE if arguments.smoke else CASES
    rows = []
    for case in cases:
        rows.append(measure(case, arguments.time_limit, arguments.threads, arguments.repeats))
        print(rows[-1], flush=True)
    if not arguments.smoke:
        command = (
            f"python -m benchmarks.proofs --time-limit {arguments.time_limit:g} --threads"
            f" {arguments.threads}"
        )
        save("proofs", command, rows)
    print(table(rows))


if __name__ == "__main__":
    main()
