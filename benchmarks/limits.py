"""How exactly time limits are kept, and what memory is taken: ``python -m benchmarks.limits``.

Whole calls of `solve` in processes of their own, from preparation to the sorted spectrum, with many
states, with large matrices, and with little time; what loading takes is a column of its own.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.record import markdown, save
from benchmarks.solves import solve
from qubo_prune import Problem, get_backend
from qubo_prune.bench import peak_memory

BACKENDS = ("branch-and-bound", "tabu", "annealing", "enumeration", "greedy", "random")
CASES = (
    ("bytelm-40-branch", 40, 100, 2.0),
    ("bytelm-40-branch", 40, 100_000, 5.0),
    ("bytelm-40-branch", 40, 1_000_000, 10.0),
    (2000, 20, 100, 5.0),
    (5000, 50, 100, 10.0),
)
ALLOWED = 0.1, 0.5
"""Part of the limit, and seconds, by which a run may exceed it."""


def make(side: int, folder: Path) -> Path:
    """Write a random positive semidefinite matrix of low rank."""
    path = folder / f"{side}.npy"
    factor = np.random.default_rng(0).normal(size=(side, 64))
    matrix = factor @ factor.T / 64
    np.save(path, (matrix + matrix.T) / 2)
    return path


def measure(
    source: str, remove: int, num_states: int, limit: float, backend: str
) -> dict[str, Any]:
    """Time one call in this process, kernels loaded before."""
    solver = get_backend(backend)
    solver.prepare()
    before = peak_memory()
    begin = time.perf_counter()
    problem = Problem.load(source, remove=remove)
    loaded = time.perf_counter()
    spectrum = solve(problem, num_states=num_states, backend=solver, time_limit=limit)
    seconds = time.perf_counter() - loaded
    return {
        "N": problem.num_blocks,
        "M": remove,
        "K": num_states,
        "limit": limit,
        "backend": backend,
        "loading": loaded - begin,
        "seconds": seconds,
        "over": seconds - limit,
        "kept": seconds <= limit * (1 + ALLOWED[0]) + ALLOWED[1],
        "states": len(spectrum),
        "matrices": (peak_memory() - before) / problem.hessian.nbytes,
    }


def measure_apart(*arguments: object) -> dict[str, Any]:
    """Call `measure` in a process of its own, whose peak of memory is its own."""
    command = [sys.executable, "-m", "benchmarks.limits", "--one", *map(str, arguments)]
    ran = subprocess.run(command, capture_output=True, text=True, check=True)
    row: dict[str, Any] = json.loads(ran.stdout)
    return row


def table(rows: list[dict[str, Any]]) -> str:
    """Return a line for each call."""
    header = ["N", "M", "K", "backend", "limit (s)", "took (s)", "loading (s)", "states"]
    body = [
        [
            f"{row['N']:,}",
            str(row["M"]),
            f"{row['K']:,}",
            row["backend"],
            f"{row['limit']:g}",
            f"{row['seconds']:.2f}" + ("" if row["kept"] else ", over"),
            f"{row['loading']:.2f}",
            f"{row['states']:,}",
            # The matrix of a small problem is nothing beside the kernels.
            f"{row['matrices']:.1f}" if row["N"] >= 1000 else "",
        ]
        for row in rows
    ]
    return markdown([*header, "peak (matrices)"], body)


def main() -> None:
    """Measure and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--smoke", action="store_true", help="little of it, nothing is written")
    parser.add_argument("--one", nargs=5, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.one:
        source, remove, num_states, limit, backend = arguments.one
        print(json.dumps(measure(source, int(remove), int(num_states), float(limit), backend)))
        return
    if arguments.smoke:
        print(table([measure("bytelm-40-branch", 4, 10, 0.5, "tabu")]))
        return
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        for source, remove, num_states, limit in CASES:
            file = source if isinstance(source, str) else make(source, Path(folder))
            for backend in BACKENDS:
                rows.append(measure_apart(file, remove, num_states, limit, backend))
                print(rows[-1], file=sys.stderr)
    save("limits", "python -m benchmarks.limits", rows)
    print(table(rows))


if __name__ == "__main__":
    main()
