"""Time to proof of branch and bound, side by side with Gurobi's pool and with SCIP: ``python -m
benchmarks.proofs``.

Every instance is solved by one after the other in the same run, with the same K, threads and time
limit. A peer that is not installed is left out.
"""

from __future__ import annotations

import argparse
from statistics import median
from typing import Any

from benchmarks.record import markdown, save
from qubo_prune import Status, solve
from qubo_prune.backends import backend_class
from qubo_prune.bench import Case, Instance, shifted_geometric_mean

CASES = (
    *(Case("bytelm-40-branch", m, 100) for m in (8, 24, 40, 56)),
    Case("bytelm-40-block", 12, 100),
    Case("wishart-half-64", 16, 100),
    Case("wishart-64", 16, 100),
    Case("wishart-80", 16, 100),
    Case("wishart-80", 40, 100),
    Case("wishart-tenfold-64", 16, 100),
    Case("heterogeneous-half-80", 16, 100),
    Case("heterogeneous-100", 25, 100),
    Case("heterogeneous-160", 40, 100),
    Case("heterogeneous-tenfold-200", 50, 100),
    Case("autoregressive-80", 24, 100),
    Case("autoregressive-100", 25, 100),
    Case("low-rank-64", 16, 100),
    Case("low-rank-100", 25, 100),
    Case("k-cluster-64", 16, 100),
    Case("planted-64", 12, 100),
    Case("planted-200", 40, 100),
)
SMOKE = (Case("wishart-tenfold-24", 6, 5), Case("k-cluster-20", 5, 5))


def measure(case: Case, time_limit: float, threads: int, repeats: int) -> dict[str, Any]:
    """Solve one instance with everything that is there."""
    instance = Instance.load(case.instance)
    problem = instance.problem(case.remove)
    runs = []
    for _ in range(repeats):
        spectrum = solve(
            problem, num_states=case.num_states, time_limit=time_limit, options={"threads": threads}
        )
        runs.append(spectrum.timings["total"])
    row: dict[str, Any] = {
        "family": instance.label,
        "N": problem.num_blocks,
        "M": case.remove,
        "K": case.num_states,
        "seconds": median(runs),
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


def _seconds(row: dict[str, Any], who: str) -> str:
    if f"{who}seconds" not in row:
        return "-"
    text = f"{row[f'{who}seconds']:.2f}"
    return text if row[f"{who}proven"] else f"{text}, not proven"


def _mean(rows: list[dict[str, Any]], who: str) -> str:
    known = [row[f"{who}seconds"] for row in rows if f"{who}seconds" in row]
    return f"{shifted_geometric_mean(known):.2f}" if known else ""


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
                _seconds(row, "gurobi_"),
                ratio,
                _seconds(row, "one_"),
                _seconds(row, "scip_"),
            ]
        )
    times = [_mean(rows, who) for who in ("", "gurobi_", "one_", "scip_")]
    means = ["shifted geometric mean", "", times[0], "", times[1], "", *times[2:]]
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
