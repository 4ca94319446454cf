"""The tables of the docs that are made of suites: ``python -m benchmarks.tables NAME``.

A suite of ``benchmarks/suites`` or of the package is run by ``qubo-prune bench run SUITE --out
NAME.jsonl``; ``qubo-prune bench export NAME.jsonl --csv benchmarks/results/NAME.csv`` writes what
is kept here.
"""

from __future__ import annotations

import argparse
import csv
import json
import math
from collections.abc import Callable
from statistics import median

from benchmarks.record import RESULTS, markdown
from qubo_prune.bench import shifted_geometric_mean

Row = dict[str, str]


def rows_of(name: str) -> list[Row]:
    """Return the runs of a study."""
    with (RESULTS / f"{name}.csv").open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def found(rows: list[Row]) -> str:
    """Return one line per task and backend: what it found by itself, and after repair."""
    body = []
    for row in rows:
        if row["outcome"] == "refused":
            continue
        lists = [f"recall_{k}" for k in (20, 100, 1000)]
        repaired = " / ".join(_percent(row[f"{each}_repaired"]) for each in lists)
        bare = " / ".join(_percent(row[each]) for each in lists)
        body.append(
            [
                _task(row),
                row["backend"] + _options(row),
                "yes" if row["ground_state"] == "1.0" else "no",
                bare,
                repaired if repaired != bare else "",
                _seconds(row["seconds_to_ground_state"]),
                _seconds(row["seconds_to_recall_100"]),
                _seconds(row["wall_seconds"]),
            ]
        )
    columns = ["instance", "backend", "ground state", "recall@20 / 100 / 1,000, bare, %"]
    columns += ["repaired", "s to ground state", "s to recall@100", "s in all"]
    return markdown(columns, body)


def beside_exact(rows: list[Row]) -> str:
    """Return one line per task of the paper: the proof, and what heuristics find of it."""
    backends = [name for name in dict.fromkeys(row["backend"] for row in rows) if name != _EXACT]
    body = []
    for task in dict.fromkeys((_task(row), row["num_states"]) for row in rows):
        mine = {row["backend"]: row for row in rows if (_task(row), row["num_states"]) == task}
        exact = mine[_EXACT]
        line = [task[0], f"{int(task[1]):,}", _proof(exact), _seconds(exact["cpu_seconds"])]
        for name in backends:
            row = mine[name]
            recall = _percent(row[f"recall_{task[1]}"])
            state = "" if row["ground_state"] == "1.0" else ", no ground state"
            line.append(f"{recall}{state} / {_seconds(row['cpu_seconds'])}")
        body.append(line)
    columns = ["instance", "K", "proven", "CPU s"]
    return markdown([*columns, *(f"`{name}`" for name in backends)], body)


def every_hessian(rows: list[Row]) -> str:
    """Return a line per Hessian: nodes and processor seconds to the proof at three counts."""
    body = []
    for name in dict.fromkeys(row["instance"] for row in rows):
        mine = sorted(
            (row for row in rows if row["instance"] == name), key=lambda row: int(row["remove"])
        )
        line = [f"`{name}`", mine[0]["num_blocks"]]
        for row in mine:
            nodes = f"{int(float(row['num_evaluated'])):,}"
            line.append(f"{row['remove']}: {_proven_in(row)} s, {nodes} nodes")
        body.append(line)
    return markdown(["Hessian", "N", "a quarter", "half", "three quarters"], body)


def at_once(rows: list[Row]) -> str:
    """Return what proofs at every M take together, and at most."""
    seconds = [float(row["cpu_seconds"]) for row in rows]
    open_ones = sum(not row["seconds_to_proof"] for row in rows)
    body = [[str(len(rows)), str(open_ones), f"{sum(seconds):.1f}", f"{max(seconds):.2f}"]]
    return markdown(["values of M", "open", "CPU s together", "CPU s at most"], body)


def by_count(rows: list[Row]) -> str:
    """Return a line per M, a column per K: processor seconds to the proof."""
    sizes = sorted({int(row["num_states"]) for row in rows})
    body = []
    for removed in sorted({int(row["remove"]) for row in rows}):
        mine = {int(row["num_states"]): row for row in rows if int(row["remove"]) == removed}
        line = [_seconds(mine[k]["cpu_seconds"]) + _unproven(mine[k]) for k in sizes]
        body.append([str(removed), *line])
    return markdown(["M", *(f"K = {k:,}" for k in sizes)], body)


def at_every_m(rows: list[Row]) -> str:
    """Return one line per Hessian and length of list; where there are fewer states, of all."""
    body = []
    for name in dict.fromkeys(row["instance"] for row in rows):
        for k in (100, 1000):
            mine = [row for row in rows if row["instance"] == name and row[f"recall_{k}"]]
            recalls = {row["remove"]: float(row[f"recall_{k}"]) for row in mine}
            missed = [removed for removed, share in recalls.items() if share < 1.0]
            seconds = [float(row["wall_seconds"]) for row in mine]
            body.append(
                [
                    name,
                    f"{k:,}",
                    str(len(mine)),
                    f"{100 * min(recalls.values()):.1f}",
                    ", ".join(missed) or "none",
                    f"{median(seconds):.2f}",
                    f"{median(float(row['cpu_seconds']) for row in mine):.2f}",
                ]
            )
    columns = ["Hessian", "list", "values of M", "worst recall, %", "M with less than all"]
    return markdown([*columns, "median s", "median CPU s"], body)


def beside_peers(rows: list[Row]) -> str:
    """Return one line per task: processor seconds to the proof of 100 states, and of the lowest."""
    by_task: dict[tuple[str, str], dict[tuple[str, str], Row]] = {}
    for row in rows:
        task = by_task.setdefault((row["instance"], row["remove"]), {})
        task[row["num_states"], row["backend"]] = row
    asked = (("100", _EXACT), ("100", "gurobi"), ("1", _EXACT), ("1", "scip"))
    body = []
    for task in by_task.values():
        mine, pool, *lowest = (task[each] for each in asked)
        body.append(
            [
                f"{mine['family']} ({mine['num_blocks']}, {mine['remove']})",
                _proven_in(mine),
                f"{int(float(mine['num_evaluated'])):,}",
                f"{float(mine['peak_bytes']) / 1e6:.0f}",
                _proven_in(pool),
                _times(mine, pool),
                *map(_proven_in, lowest),
            ]
        )
    means = [_mean_to_proof([task[each] for task in by_task.values()]) for each in asked]
    body.append(["shifted geometric mean", means[0], "", "", means[1], "", *means[2:]])
    columns = ["instance", "K = 100", "nodes", "MB", "Gurobi's pool", "ratio", "K = 1"]
    return markdown([*columns, "SCIP, K = 1"], body)


STUDIES: dict[str, Callable[[list[Row]], str]] = {
    "proofs": beside_peers,
    "paper": beside_exact,
    "everyday": by_count,
    "sweep": at_once,
    "reference-hessians": every_hessian,
    "recall": found,
    "hard": found,
    "lqa": found,
    "every-m": at_every_m,
}
_EXACT = "branch-and-bound"
_NOT_SAID = ("num_reads", "threads")


def _task(row: Row) -> str:
    return f"{row['instance']} ({row['num_blocks']}, {row['remove']})"


def _options(row: Row) -> str:
    """Return the options of a solver but how often it samples, such as `` (levels=1)``."""
    options = json.loads(row["options"])
    others = [f"{name}={value}" for name, value in options.items() if name not in _NOT_SAID]
    return f" ({', '.join(others)})" if others else ""


def _percent(share: str) -> str:
    """Return a share in %, rounded down, so that 100 is all of them."""
    return f"{math.floor(100 * float(share) + 1e-9)}" if share else "-"


def _seconds(text: str) -> str:
    return f"{float(text):.2f}" if text else "never"


def _proof(row: Row) -> str:
    return f"{int(float(row['num_proven'])):,}" if _unproven(row) else "all"


def _unproven(row: Row) -> str:
    return "" if row["seconds_to_proof"] else ", open"


def _proven_in(row: Row) -> str:
    if row["seconds_to_proof"]:
        return _seconds(row["cpu_seconds"])
    proven = int(float(row["num_proven"] or 0))
    if proven:
        return f"open, {proven} proven"
    if not row["gap"]:
        return "open"
    gap = 100 * float(row["gap"]) / abs(float(row["energy"]))
    return f"open, gap {gap:,.{0 if gap >= 10 else 1}f} %"


def _times(mine: Row, other: Row) -> str:
    """Return how many times as long the other one took, or took at least."""
    if not mine["seconds_to_proof"]:
        return ""
    ratio = float(other["cpu_seconds"]) / float(mine["cpu_seconds"])
    return f"{_unproven(other) and '> '}{ratio:.0f}"


def _mean_to_proof(rows: list[Row]) -> str:
    """Return the mean of processor seconds to the proof; the limit where there is none."""
    seconds = [float(row["cpu_seconds"]) if row["seconds_to_proof"] else None for row in rows]
    return f"{shifted_geometric_mean(seconds, limit=float(rows[0]['time_limit'])):.2f}"


def main() -> None:
    """Print the table of a study."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("name", choices=STUDIES)
    name = parser.parse_args().name
    print(STUDIES[name](rows_of(name)))


if __name__ == "__main__":
    main()
