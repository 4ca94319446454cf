"""Nodes of branch and bound before and after its last steps: ``python -m benchmarks.branching``.

*Before* decides the blocks by descending diagonal and goes for all K states at once; *after* is the
default, which may change the order and proves the lowest states first. Nodes do not depend on the
load of the machine, so they are compared, and the CPU seconds are beside them. ``--folder``
adds public instances: a matrix NAME.npy each, with kinds in NAME.json where there are any, and how
many blocks to remove in values.json.
"""

from __future__ import annotations

import argparse
import json
import math
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np

from benchmarks.record import markdown, save
from qubo_prune import Problem, Status, solve
from qubo_prune.backends.branch_and_bound import race, search, search_at_once
from qubo_prune.bench import Instance

CASES = (
    *(("llama-80-branch", m) for m in (8, 40, 80)),
    *(("bytelm-40-branch", m) for m in (24, 40)),
    ("bytelm-40-block", 12),
    ("wishart-half-64", 16),
    ("wishart-64", 16),
    ("wishart-80", 40),
    ("heterogeneous-half-80", 16),
    ("heterogeneous-160", 40),
    ("autoregressive-80", 24),
    ("low-rank-64", 16),
    ("k-cluster-64", 16),
    ("planted-64", 12),
)
PUBLIC = (
    *("kcluster80_075_20_1", "kcluster80_050_40_1", "kcluster100_025_25_1"),
    *("QPLIB_0633", "QPLIB_3714", "bqp100-1"),
)
SMOKE = (("wishart-24", 6), ("k-cluster-20", 5))


def problems(
    cases: tuple[tuple[str, int], ...], folder: Path | None
) -> Iterator[tuple[str, Problem]]:
    """Yield names and problems, the public ones last."""
    for name, remove in cases:
        yield f"{name} ({remove})", Instance.load(name).problem(remove)
    if folder is None:
        return
    yield from public(folder, PUBLIC)


def public(folder: Path, names: tuple[str, ...]) -> Iterator[tuple[str, Problem]]:
    """Yield names and problems of a folder of public instances."""
    facts = json.loads((folder / "values.json").read_text())
    for name in names:
        remove = facts[name]["remove"]
        label = name if isinstance(remove, dict) else f"{name} ({remove})"
        yield label, Problem.load(folder / f"{name}.npy", remove=remove)


def measure(problem: Problem, num_states: int, max_nodes: int, *, before: bool) -> dict[str, Any]:
    """Solve with one thread, up to about so many nodes."""
    begin = time.process_time()
    with ExitStack() as stack:
        if before:
            for module, name in ((race, "RACE_AFTER"), (search_at_once, "_WALK_AFTER")):
                stack.enter_context(mock.patch.object(module, name, math.inf))
            never = mock.patch.object(search.Frontier, "_next_level", return_value=math.inf)
            stack.enter_context(never)
        spectrum = solve(
            problem, num_states=num_states, max_evaluations=max_nodes, options={"threads": 1}
        )
    proof = spectrum.proof or {}
    return {
        "nodes": spectrum.num_evaluated,
        "proven": spectrum.status is Status.PROVEN,
        "num_proven": spectrum.num_proven,
        "seconds": time.process_time() - begin,
        "order": proof.get("order", ""),
        "lowest": float(spectrum.energies[0]),
        "lower_bound": spectrum.lower_bound,
    }


def _cell(run: dict[str, Any]) -> str:
    return f"{run['nodes']:,}" if run["proven"] else f"open, {run['num_proven']} proven"


def table(rows: list[dict[str, Any]]) -> str:
    """Return the rows and the means of the ratios as Markdown."""
    body, ratios = [], []
    for row in rows:
        before, after = row["before"], row["after"]
        ratio = "-"
        if before["proven"] or after["proven"]:
            sign = "" if before["proven"] else "< "
            ratios.append(after["nodes"] / before["nodes"])
            ratio = f"{sign}{ratios[-1]:.2f}" if after["proven"] else "lost"
        body.append(
            [
                row["instance"],
                str(row["K"]),
                _cell(before),
                _cell(after),
                ratio,
                after["order"],
            ]
        )
    mean = math.exp(np.mean(np.log(ratios))) if ratios else math.nan
    body.append(["geometric mean", "", "", "", f"{mean:.2f}", ""])
    return markdown(["instance (M)", "K", "before", "after", "ratio", "order"], body)


def main() -> None:
    """Measure all instances and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--smoke", action="store_true", help="tiny instances, nothing is written")
    parser.add_argument("--folder", type=Path, help="folder of public instances")
    parser.add_argument("--max-nodes", type=int, default=300_000)
    arguments = parser.parse_args()
    cases = SMOKE if arguments.smoke else CASES
    measure(Instance.load(SMOKE[0][0]).problem(SMOKE[0][1]), 5, 1000, before=False)  # compiles
    rows = []
    for name, problem in problems(cases, arguments.folder):
        for num_states in (1, 100):
            row: dict[str, Any] = {"instance": name, "N": problem.num_blocks, "K": num_states}
            for when in ("before", "after"):
                row[when] = measure(
                    problem, num_states, arguments.max_nodes, before=when == "before"
                )
            rows.append(row)
            print(row, flush=True)
    if not arguments.smoke:
        folder = " --folder FOLDER" if arguments.folder else ""
        command = f"python -m benchmarks.branching --max-nodes {arguments.max_nodes}{folder}"
        save("branching", command, rows)
    print(table(rows))


if __name__ == "__main__":
    main()
