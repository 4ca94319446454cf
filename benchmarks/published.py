"""Public instances whose lowest energy others published: met, proven, and in how long: ``python -m
benchmarks.published FOLDER...``.

A folder holds instances as in `benchmarks.nodes`, or k-cluster graphs as BiqBin keeps them: a JSON
file each, with the matrix `A` in coordinates, of which the most is wanted.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from benchmarks import nodes
from benchmarks.record import markdown, save
from qubo_prune import Problem

LIMIT = 120.0
"""Seconds for each."""


class Published(NamedTuple):
    """A problem, and the energy that others found lowest; None where there is no such number."""

    name: str
    problem: Problem
    energy: float | None


def instances(folder: Path) -> Iterator[Published]:
    """Yield the instances of a folder: in the order of values.json, or of their names."""
    values = folder / "values.json"
    if values.exists():
        facts = json.loads(values.read_text())
        for (_, path, remove), fact in zip(
            nodes.public_files(folder, tuple(facts)), facts.values(), strict=True
        ):
            value = fact["published"]
            energy = None if value is None else value * fact["sign"] * fact["scale"]
            yield Published(path.stem, Problem.load(path, remove=remove), energy)
        return
    for path in sorted(folder.glob("*.json"), key=lambda path: path.name.split("kcluster")[-1]):
        yield graph(path)


def graph(path: Path) -> Published:
    """Read a k-cluster graph: twice its edges inside the chosen vertices, less is better."""
    facts = json.loads(path.read_text())
    entries = facts["A"]
    matrix = np.zeros(entries["shape"])
    matrix[entries["row"], entries["col"]] = entries["data"]
    weights = -0.5 * (matrix + matrix.T)
    problem = Problem(weights, facts["target_cardinality"])
    return Published(facts["instance"], problem, -2.0 * facts["optimum"])


def measure(instance: Published, limit: float) -> dict[str, Any]:
    """Solve for the lowest state, with one thread; `limit` is in seconds by the clock."""
    return {
        "instance": instance.name,
        "N": instance.problem.num_blocks,
        "M": instance.problem.num_removed,
        "published": instance.energy,
        **nodes.measure(instance.problem, 1, time_limit=limit),
    }


def table(rows: list[dict[str, Any]]) -> str:
    """Return a line for each instance."""
    body = []
    for row in rows:
        seconds = f"{row['seconds']:.1f}" if row["proven"] else nodes.left_open(row)
        published = "-" if row["published"] is None else f"{row['published']:.9g}"
        cells = [row["instance"], str(row["N"]), str(row["M"]), published, f"{row['lowest']:.9g}"]
        body.append([*cells, seconds, f"{row['nodes']:,}", row["order"]])
    columns = ["instance", "N", "M", "published", "lowest", "processor s", "nodes", "order"]
    return markdown(columns, body)


def main() -> None:
    """Measure all instances, store the rows and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folders", nargs="*", type=Path, metavar="FOLDER")
    parser.add_argument("--smoke", action="store_true", help="a tiny one, nothing is stored")
    parser.add_argument("--only", nargs="+", default=[], help="instances whose names begin so")
    parser.add_argument("--limit", type=float, default=LIMIT, help="seconds for each")
    arguments = parser.parse_args()
    tiny = Published("tiny", Problem(np.eye(8)[::-1] + 0.0, 3), 0.0)
    first = measure(tiny, LIMIT)  # compiles
    if arguments.smoke:
        print(table([first]))
        return
    rows: dict[str, dict[str, Any]] = {}  # what is in two folders is solved once
    for folder in arguments.folders:
        for instance in instances(folder):
            is_asked = instance.name.startswith(tuple(arguments.only) or "")
            if is_asked and instance.name not in rows:
                rows[instance.name] = measure(instance, arguments.limit)
                print(rows[instance.name], flush=True)
    command = f"python -m benchmarks.published --limit {arguments.limit:g}"
    command += f" --only {' '.join(arguments.only)}" if arguments.only else ""
    save("published", f"{command} FOLDER...", [*rows.values()])
    print(table([*rows.values()]))


if __name__ == "__main__":
    main()
