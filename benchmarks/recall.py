"""What each backend finds of an exact spectrum, and how soon: ``python -m benchmarks.recall``.

The reference is the proven spectrum of branch and bound. Every backend gets the same problem, K and
time limits, one after the other in the same run; samplers that would stop by themselves are told to
go on until the limit. A backend that is not usable here is left out.

With ``--hard``, the heuristics alone on instances that are harder than the bundled Hessians, up to
10 s. With ``--every-m``, instead: what tabu finds of the lowest 100 and of the lowest 1,000 states
in half a second, at every M of the bundled Hessians.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Iterable
from statistics import median
from typing import Any

from benchmarks.machine import markdown, save
from benchmarks.proofs import Case
from qubo_prune import Problem, QuboPruneError, Spectrum, Status, solve
from qubo_prune.backends import backend_class, backend_names

NUM_STATES = 1000
PROBLEMS = (
    *(Case("bytelm-40-block", 40, m, NUM_STATES) for m in (4, 12, 20)),
    *(Case("bytelm-40-branch", 80, m, NUM_STATES) for m in (8, 24, 40)),
)
SMOKE = (Case("bytelm-40-block", 40, 2, NUM_STATES),)
HARD = (
    Case("wishart N/2", 64, 16, NUM_STATES),
    Case("wishart 2N", 80, 16, NUM_STATES),
    Case("low rank + diagonal", 100, 25, NUM_STATES),
    Case("heterogeneous 2N", 200, 50, NUM_STATES),
    Case("planted", 200, 40, NUM_STATES),
)
HEURISTICS = ("tabu", "annealing", "ocean-descent", "ocean-annealing", "ocean-tabu")
RECALLED = (20, 100, 1000)
LIMITS = (0.1, 0.3, 1.0, 3.0, 10.0, 60.0)
SHOWN = (1.0, 10.0, 60.0)
"""Those that the table has columns for; the others tell when all of the lowest 100 are there."""
HARD_LIMIT = 10.0
ENDLESS: dict[str, dict[str, Any]] = {
    "ocean-annealing": {"num_reads": 10**7},
    "ocean-descent": {"num_reads": 10**7},
    "ocean-tabu": {"num_reads": 10**7},
}
"""Options that keep a backend busy until the time limit."""
HESSIANS = ("bytelm-40-block", "bytelm-40-branch")
EVERY_M_STATES = (100, 1000)
EVERY_M_LIMIT = 0.5
EVERY_M_THREADS = 2


def recall(spectrum: Spectrum, reference: Spectrum, num_states: int) -> float:
    """Return which part of the reference's lowest states is in the spectrum.

    A state that ties with the last one counts as well as that one does.
    """
    wanted = min(num_states, len(reference))
    last = reference.energies[wanted - 1]
    return min(1.0, float((spectrum.energies <= last).sum()) / wanted)


def measure(
    problem: Problem, reference: Spectrum, name: str, limit: float, num_states: int
) -> dict[str, Any] | None:
    """Run one backend once; None if it cannot take the problem."""
    try:
        spectrum = solve(
            problem,
            num_states=num_states,
            backend=name,
            time_limit=limit,
            options=ENDLESS.get(name, {}),
        )
    except QuboPruneError as error:
        print(f"{name}: {error}", flush=True)
        return None
    row = {
        "backend": name,
        "M": problem.num_removed,
        "N": problem.num_blocks,
        "limit": limit,
        "seconds": spectrum.timings["total"],
        "ground_state": spectrum.energies[:1].tolist() == reference.energies[:1].tolist(),
        "status": spectrum.status.name,
        "statistics": dict(spectrum.statistics),
    }
    row |= {f"recall_{k}": recall(spectrum, reference, k) for k in RECALLED}
    return row


def table(rows: list[dict[str, Any]]) -> str:
    """Return one line per problem and backend: what it has after each limit shown, and when it had
    all of the lowest 100.
    """
    limits = sorted({row["limit"] for row in rows} & set(SHOWN)) or [rows[0]["limit"]]
    body = []
    for key in dict.fromkeys((row["hessian"], row["N"], row["M"], row["backend"]) for row in rows):
        mine = [row for row in rows if (row["hessian"], row["N"], row["M"], row["backend"]) == key]
        complete = [row["seconds"] for row in mine if row["recall_100"] == 1.0]
        line = [f"{key[0]} ({key[1]}, {key[2]})", key[3]]
        for limit in limits:
            # A backend that had found all is not run for longer.
            row = [row for row in mine if row["limit"] <= limit][-1]
            line.append(
                " / ".join(
                    ["yes" if row["ground_state"] else "no"]
                    + [f"{100 * row[f'recall_{k}']:.0f}" for k in RECALLED]
                )
            )
        line.append(f"{min(complete):.2f}" if complete else "never")
        said = mine[-1]["statistics"]
        line.append(
            f"{100 * said['feasible_fraction']:.0f} %" if "feasible_fraction" in said else ""
        )
        line.append(str(said.get("bare_listed", "")))
        body.append(line)
    columns = ["instance", "backend"]
    columns += [f"{s:g} s" for s in limits]
    return markdown([*columns, "seconds to recall@100", "feasible", "unrepaired in list"], body)


def prove(problem: Problem, num_states: int) -> Spectrum:
    """Return the spectrum to compare with."""
    reference = solve(problem, num_states=num_states)
    if reference.status is not Status.PROVEN:
        raise SystemExit(f"{problem!r} is not proven; nothing to compare.")
    return reference


def measure_every_m(hessian: str, removes: Iterable[int]) -> list[dict[str, Any]]:
    """Run tabu at each M, once for each number of states."""
    rows = []
    for remove in removes:
        problem = Problem.load(hessian, remove=remove)
        sizes = [min(size, problem.num_states) for size in EVERY_M_STATES]
        reference = prove(problem, max(sizes))
        for wanted, size in zip(EVERY_M_STATES, sizes, strict=True):
            spectrum = solve(
                problem,
                num_states=size,
                backend="tabu",
                time_limit=EVERY_M_LIMIT,
                options={"threads": EVERY_M_THREADS},
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


def table_of_every_m(rows: list[dict[str, Any]]) -> str:
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
    """Measure all backends and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--smoke", action="store_true", help="a tiny problem, nothing is written")
    parser.add_argument(
        "--limits", type=float, nargs="+", default=LIMITS, metavar="SECONDS", help="time limits"
    )
    parser.add_argument("--hard", action="store_true", help="heuristics, on harder instances")
    parser.add_argument("--every-m", action="store_true", help="tabu, at every M")
    arguments = parser.parse_args()
    if arguments.every_m:
        rows = []
        for hessian in HESSIANS:
            count = Problem.load(hessian, remove=1).num_blocks
            rows += measure_every_m(hessian, range(1, 3 if arguments.smoke else count))
        if not arguments.smoke:
            save("recall_every_m", "python -m benchmarks.recall --every-m", rows)
        print(table_of_every_m(rows))
        return
    cases = SMOKE if arguments.smoke else HARD if arguments.hard else PROBLEMS
    names = HEURISTICS if arguments.hard else backend_names()
    usable = [name for name in names if backend_class(name).availability().usable]
    limits = LIMITS[:1] if arguments.smoke else sorted(arguments.limits)
    if arguments.hard:
        limits = [limit for limit in limits if limit <= HARD_LIMIT]
    rows = []
    for case in cases:
        problem = case.problem()
        num_states = min(case.num_states, problem.num_states)
        reference = prove(problem, num_states)
        for name in usable:
            for limit in limits:
                row = measure(problem, reference, name, limit, num_states)
                if row is None:
                    break
                rows.append({"hessian": case.family, **row})
                print(rows[-1], flush=True)
                if row["recall_1000"] == 1.0:  # more time cannot bring more
                    break
    if not arguments.smoke:
        words = "--hard " if arguments.hard else ""
        options = " ".join(f"{limit:g}" for limit in limits)
        save(
            "recall_hard" if arguments.hard else "recall",
            f"python -m benchmarks.recall {words}--limits {options}",
            rows,
        )
    print(table(rows))


if __name__ == "__main__":
    main()
