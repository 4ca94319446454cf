"""Nodes of long proofs with and without entries left out between free blocks, because products are
not negative: ``python -m benchmarks.products``.

``--folder`` adds public instances, as in `benchmarks.branching`; ``--only`` takes some of all.
Nodes do not depend on the load of the machine; the processor seconds beside them do a little.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np

from benchmarks.branching import measure, public
from benchmarks.record import markdown, save
from qubo_prune import Problem
from qubo_prune.backends.branch_and_bound import refining
from qubo_prune.bench import Instance

CASES = (("wishart-80", 40), ("wishart-half-64", 16))
PUBLIC = ("kcluster80_075_20_1", "kcluster80_050_40_1", "kcluster100_025_25_1", "bqp100-1")
SMOKE = (("wishart-24", 6), ("k-cluster-20", 5))


def problems(
    cases: tuple[tuple[str, int], ...], folder: Path | None
) -> Iterator[tuple[str, Problem]]:
    """Yield names and problems, the public ones first."""
    if folder is not None:
        yield from public(folder, PUBLIC)
    for name, remove in cases:
        yield f"{name} ({remove})", Instance.load(name).problem(remove)


def measure_both(problem: Problem, num_states: int, max_nodes: int) -> dict[str, Any]:
    """Solve without and with them."""
    with mock.patch.object(refining, "_LARGEST", 0):
        without = measure(problem, num_states, max_nodes, before=False)
    return {"without": without, "with": measure(problem, num_states, max_nodes, before=False)}


def _cell(run: dict[str, Any]) -> str:
    if run["proven"]:
        return f"{run['nodes']:,}"
    lowest = run["lowest"]
    return f"open, gap {(lowest - run['lower_bound']) / abs(lowest):.1%}"


def table(rows: list[dict[str, Any]]) -> str:
    """Return the rows and the means of the ratios as Markdown."""
    body, ratios = [], []
    for row in rows:
        without, using = row["without"], row["with"]
        ratio = "-"
        if using["proven"]:
            ratios.append(using["nodes"] / without["nodes"])
            ratio = f"{'' if without['proven'] else '< '}{ratios[-1]:.2f}"
        seconds = f"{without['seconds']:.1f} / {using['seconds']:.1f}"
        cells = [row["instance"], str(row["K"]), _cell(without), _cell(using), ratio, seconds]
        body.append(cells)
    mean = math.exp(np.mean(np.log(ratios))) if ratios else math.nan
    body.append(["geometric mean", "", "", "", f"{mean:.2f}", ""])
    columns = ["instance (M)", "K", "without", "with", "ratio", "processor seconds"]
    return markdown(columns, body)


def main() -> None:
    """Measure all instances and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--smoke", action="store_true", help="tiny instances, nothing is written")
    parser.add_argument("--folder", type=Path, help="folder of public instances")
    parser.add_argument("--only", nargs="+", help="instances by their names")
    parser.add_argument("--max-nodes", type=int, default=1_000_000)
    parser.add_argument("--states", type=int, nargs="+", default=[1, 100])
    arguments = parser.parse_args()
    cases = SMOKE if arguments.smoke else CASES
    measure(Instance.load(SMOKE[0][0]).problem(SMOKE[0][1]), 5, 1000, before=False)  # compiles
    rows = []
    for name, problem in problems(cases, arguments.folder):
        if arguments.only and name.split()[0] not in arguments.only:
            continue
        for num_states in arguments.states:
            both = measure_both(problem, num_states, arguments.max_nodes)
            rows.append({"instance": name, "N": problem.num_blocks, "K": num_states, **both})
            print(rows[-1], flush=True)
    if not arguments.smoke:
        folder = " --folder FOLDER" if arguments.folder else ""
        states = " ".join(map(str, arguments.states))
        command = f"python -m benchmarks.products --max-nodes {arguments.max_nodes}"
        only = f" --only {' '.join(arguments.only)}" if arguments.only else ""
        save("products", f"{command} --states {states}{folder}{only}", rows)
    print(table(rows))


if __name__ == "__main__":
    main()
