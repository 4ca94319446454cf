"""What the studies of the nodes of branch and bound share: two ways to solve each problem, with one
thread and up to some number of nodes, which do not depend on the load of the machine.
"""

from __future__ import annotations

import argparse
import json
import math
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.record import markdown, save
from benchmarks.solves import solve
from qubo_prune import Problem, Status

Problems = Iterator[tuple[str, Problem]]


@dataclass(frozen=True)
class Study:
    """A comparison of nodes.

    Attributes
    ----------
    name : str
        Of its module, and of the file of results.
    about : str
        What ``--help`` says.
    problems : callable
        Yields names and problems: of all, or the tiny ones of a smoke run; and those of a folder of
        public instances if there is one.
    ways : tuple of str
        What the two ways to solve are called.
    first_way : callable
        Returns what a solve has to run within to take the first way; the second is the default.
    max_nodes : int
        Nodes after which a search is stopped unless told otherwise.
    table : callable
        Makes a table of the rows.
    """

    name: str
    about: str
    problems: Callable[[bool, Path | None], Problems]
    ways: tuple[str, str]
    first_way: Callable[[], AbstractContextManager[Any]]
    max_nodes: int
    table: Callable[[list[dict[str, Any]]], str]

    def main(self) -> None:
        """Measure all instances, store the rows and print the table."""
        parser = argparse.ArgumentParser(description=self.about)
        parser.add_argument(
            "--smoke", action="store_true", help="tiny instances, nothing is stored"
        )
        parser.add_argument("--folder", type=Path, help="folder of public instances")
        parser.add_argument("--only", nargs="+", default=[], help="instances by their names")
        parser.add_argument("--max-nodes", type=int, default=self.max_nodes)
        parser.add_argument("--states", type=int, nargs="+", default=[1, 100])
        arguments = parser.parse_args()
        measure(next(self.problems(True, None))[1], 5, 1000)  # compiles
        rows = []
        for name, problem in self.problems(arguments.smoke, arguments.folder):
            if arguments.only and name.split()[0] not in arguments.only:
                continue
            for num_states in arguments.states:
                both = self.measure(problem, num_states, arguments.max_nodes)
                rows.append({"instance": name, "N": problem.num_blocks, "K": num_states, **both})
                print(rows[-1], flush=True)
        if not arguments.smoke:
            save(self.name, self._command(arguments), rows)
        print(self.table(rows))

    def measure(self, problem: Problem, num_states: int, max_nodes: int) -> dict[str, Any]:
        """Solve in both ways."""
        with self.first_way():
            first = measure(problem, num_states, max_nodes)
        second = measure(problem, num_states, max_nodes)
        return dict(zip(self.ways, (first, second), strict=True))

    def _command(self, arguments: argparse.Namespace) -> str:
        parts = [f"python -m benchmarks.{self.name} --max-nodes {arguments.max_nodes}"]
        parts += ["--states", *map(str, arguments.states)]
        parts += ["--folder FOLDER"] if arguments.folder else []
        parts += ["--only", *arguments.only] if arguments.only else []
        return " ".join(parts)


def public_files(folder: Path, names: tuple[str, ...]) -> Iterator[tuple[str, Path, Any]]:
    """Yield labels, matrices and how many blocks to remove of a folder of public instances: a
    matrix NAME.npy each, with kinds in NAME.json where there are any, and the numbers in
    values.json.
    """
    facts = json.loads((folder / "values.json").read_text())
    for name in names:
        remove = facts[name]["remove"]
        label = name if isinstance(remove, dict) else f"{name} ({remove})"
        yield label, folder / f"{name}.npy", remove


def public(folder: Path, names: tuple[str, ...]) -> Problems:
    """Yield names and problems of a folder of public instances."""
    for label, path, remove in public_files(folder, names):
        yield label, Problem.load(path, remove=remove)


def measure(
    problem: Problem,
    num_states: int,
    max_nodes: int | None = None,
    time_limit: float | None = None,
) -> dict[str, Any]:
    """Solve with one thread, up to about so many nodes, or seconds by the clock."""
    begin = time.process_time()
    spectrum = solve(
        problem,
        num_states=num_states,
        max_evaluations=max_nodes,
        time_limit=time_limit,
        options={"threads": 1},
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


def table(rows: list[dict[str, Any]]) -> str:
    """Return rows without and with something, and the mean of the ratios, as Markdown."""
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


def _cell(run: dict[str, Any]) -> str:
    return f"{run['nodes']:,}" if run["proven"] else left_open(run)


def left_open(run: dict[str, Any]) -> str:
    """Return what a table says of a search that was stopped."""
    lowest = run["lowest"]
    return f"open, gap {(lowest - run['lower_bound']) / abs(lowest):.1%}"
