"""What each backend finds of an exact spectrum, and how soon: ``python -m benchmarks.recall``.

The reference is the proven spectrum of branch and bound. Every backend gets the same problem, K and
time limits, one after the other in the same run; samplers that would stop by themselves are told to
go on until the limit. A backend that is not usable here is left out.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass, replace
from typing import Any

from benchmarks.record import markdown, save
from qubo_prune import Problem, QuboPruneError, Spectrum, Status, solve
from qubo_prune.backends import backend_class, backend_names
from qubo_prune.bench import Case, Instance, recall

NUM_STATES = 1000
RECALLED = (20, 100, 1000)
SHOWN = (1.0, 10.0, 60.0)
"""Limits that the table has columns for; the others tell when all of the lowest 100 are there."""
ENDLESS: dict[str, dict[str, Any]] = {
    "ocean-annealing": {"num_reads": 10**7},
    "ocean-descent": {"num_reads": 10**7},
    "ocean-tabu": {"num_reads": 10**7},
}
"""Options that keep a backend busy until the time limit."""


@dataclass(frozen=True)
class Study:
    """Who is asked what; `words` is what the command line says to get it."""

    name: str
    words: str
    cases: tuple[Case, ...]
    backends: tuple[str, ...]
    limits: tuple[float, ...]


EVERYONE = Study(
    "recall",
    "",
    (
        *(Case("bytelm-40-block", m, NUM_STATES) for m in (4, 12, 20)),
        *(Case("bytelm-40-branch", m, NUM_STATES) for m in (8, 24, 40)),
    ),
    tuple(backend_names()),
    (0.1, 0.3, 1.0, 3.0, 10.0, 60.0),
)
SMOKE = (Case("bytelm-40-block", 2, NUM_STATES),)


def prove(problem: Problem, num_states: int) -> Spectrum:
    """Return the spectrum to compare with."""
    reference = solve(problem, num_states=num_states)
    if reference.status is not Status.PROVEN:
        raise SystemExit(f"{problem!r} is not proven; nothing to compare.")
    return reference


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


def measure_all(study: Study) -> list[dict[str, Any]]:
    """Run every backend that is usable here on every case, until it has found all."""
    usable = [name for name in study.backends if backend_class(name).availability().usable]
    rows = []
    for case in study.cases:
        instance = Instance.load(case.instance)
        problem = instance.problem(case.remove)
        num_states = min(case.num_states, problem.num_states)
        reference = prove(problem, num_states)
        for name in usable:
            for limit in study.limits:
                row = measure(problem, reference, name, limit, num_states)
                if row is None:
                    break
                rows.append({"hessian": instance.label, **row})
                print(rows[-1], flush=True)
                if row["recall_1000"] == 1.0:  # more time cannot bring more
                    break
    return rows


def main() -> None:
    """Measure all backends and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--smoke", action="store_true", help="a tiny problem, nothing is written")
    parser.add_argument(
        "--limits", type=float, nargs="+", metavar="SECONDS", help="time limits of your own"
    )
    arguments = parser.parse_args()
    study = EVERYONE
    if arguments.limits:
        study = replace(study, limits=tuple(sorted(arguments.limits)))
    if arguments.smoke:
        study = replace(study, cases=SMOKE, limits=study.limits[:1])
    rows = measure_all(study)
    if not arguments.smoke:
        options = " ".join(f"{limit:g}" for limit in study.limits)
        save(study.name, f"python -m benchmarks.recall {study.words}--limits {options}", rows)
    print(table(rows))


if __name__ == "__main__":
    main()
