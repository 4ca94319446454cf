"""Two versions of the program side by side: ``python -m benchmarks.versions OTHER_CHECKOUT``.

Each version runs in a process of its own, with the other checkout in its path, and both solve the
same problem in turn, with one thread. Processor seconds are compared, medians of some pairs. A
first run that is not counted loads the kernels. ``--folder`` adds public instances, as in
`benchmarks.branching`; ``--only`` takes some of all. Lists that differ stop the comparison.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from statistics import median
from typing import Any, Self

import numpy as np

from benchmarks.nodes import public_files
from benchmarks.record import markdown, save
from qubo_prune.bench import Instance

BRANCH_AND_BOUND, ENUMERATION = "branch-and-bound", "enumeration"
TABU, ANNEALING = "tabu", "annealing"
CASES = (
    *(("bytelm-40-branch", m, BRANCH_AND_BOUND) for m in (8, 24, 40, 72)),
    *(("llama-80-branch", m, BRANCH_AND_BOUND) for m in (8, 24, 120)),
    ("bytelm-40-block", 12, BRANCH_AND_BOUND),
    ("wishart-half-64", 16, BRANCH_AND_BOUND),
    ("wishart-64", 16, BRANCH_AND_BOUND),
    ("wishart-80", 16, BRANCH_AND_BOUND),
    ("heterogeneous-half-80", 16, BRANCH_AND_BOUND),
    ("heterogeneous-160", 40, BRANCH_AND_BOUND),
    ("autoregressive-80", 24, BRANCH_AND_BOUND),
    ("low-rank-64", 16, BRANCH_AND_BOUND),
    ("k-cluster-64", 16, BRANCH_AND_BOUND),
    ("planted-64", 12, BRANCH_AND_BOUND),
    ("bytelm-40-branch", 6, ENUMERATION),
    ("wishart-64", 6, ENUMERATION),
    ("wishart-24", 12, ENUMERATION),
    ("llama-80-branch", 80, TABU),
    ("wishart-80", 40, TABU),
    ("heterogeneous-160", 40, ANNEALING),
)
PUBLIC = (
    *("QPLIB_0633", "QPLIB_3834", "bqp100-1", "g05_80.0_maxbis"),
    *("kcluster80_075_20_1", "kcluster80_050_40_1"),
)
SMOKE = (("wishart-24", 6, BRANCH_AND_BOUND), ("wishart-24", 6, TABU))

# What the process of either version runs: only what every version since the first has.
_WORKER = """
import json, sys, time
from qubo_prune import Problem, solve
for line in sys.stdin:
    task = json.loads(line)
    problem = Problem.load(task["path"], remove=task["remove"])
    begin = time.process_time()
    spectrum = solve(
        problem, backend=task["backend"], num_states=task["num_states"],
        time_limit=task["limit"], options=task["options"],
    )
    seconds = time.process_time() - begin
    answer = {"seconds": seconds, "num_proven": int(spectrum.num_proven),
        "energies": [float(energy) for energy in spectrum.energies]}
    print(json.dumps(answer), flush=True)
"""


class Version:
    """A checkout, and a process that solves with it."""

    def __init__(self, checkout: Path) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-P", "-c", _WORKER],
            env={**os.environ, "PYTHONPATH": str(checkout.resolve()), "OMP_NUM_THREADS": "1"},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def solve(self, task: dict[str, Any]) -> dict[str, Any]:
        """Return seconds, energies and how many of them are proven."""
        stdin, stdout = self.process.stdin, self.process.stdout
        if stdin is None or stdout is None:
            raise RuntimeError("both are pipes")
        print(json.dumps(task), file=stdin, flush=True)
        line = stdout.readline()
        if not line:
            raise SystemExit(f"a version ended at {task}")
        answer: dict[str, Any] = json.loads(line)
        return answer

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.process.communicate()


def tasks(
    cases: tuple[tuple[str, int, str], ...], folder: Path | None, room: Path
) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield names and problems as files, which every version reads."""
    for name, remove, backend in cases:
        path = room / f"{name}.npy"
        np.save(path, Instance.load(name).hessian)
        yield f"{name} ({remove})", {"path": str(path), "remove": remove, "backend": backend}
    if folder is not None:
        for label, path, remove in public_files(folder, PUBLIC):
            task = {"path": str(path.resolve()), "remove": remove, "backend": BRANCH_AND_BOUND}
            yield label, task


def compare(other: Version, this: Version, task: dict[str, Any], pairs: int) -> dict[str, Any]:
    """Solve in turn with both versions."""
    for version in (other, this):
        version.solve({**task, "limit": min(task["limit"], 3)})
    runs = [(other.solve(task), this.solve(task)) for _ in range(pairs)]
    first, second = runs[0]
    exact = task["backend"] in (BRANCH_AND_BOUND, ENUMERATION)
    done = all(run["num_proven"] == task["num_states"] for run in (first, second))
    if exact and done and first["energies"] != second["energies"]:
        raise SystemExit(f"the versions disagree on {task}")
    return {
        "other": median(run["seconds"] for run, _ in runs),
        "this": median(run["seconds"] for _, run in runs),
        "other_proven": first["num_proven"],
        "this_proven": second["num_proven"],
        "other_lowest": first["energies"][0],
        "this_lowest": second["energies"][0],
    }


def table(rows: list[dict[str, Any]]) -> str:
    """Return the rows and the mean of the ratios as Markdown."""
    body, ratios = [], []
    for row in rows:
        ratios.append(row["this"] / row["other"])
        seconds = [f"{row[which]:.3f}" for which in ("other", "this")]
        proven = f"{row['other_proven']} / {row['this_proven']}"
        names = [row["instance"], row["backend"], str(row["K"])]
        body.append([*names, *seconds, f"{ratios[-1]:.2f}", proven])
    mean = math.exp(np.mean(np.log(ratios)))
    body.append(["geometric mean", "", "", "", "", f"{mean:.2f}", ""])
    columns = ["instance (M)", "backend", "K", "other", "this", "ratio", "proven"]
    return markdown(columns, body)


def main() -> None:
    """Compare on all instances and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("other", type=Path, help="a checkout of the other version")
    parser.add_argument("--smoke", action="store_true", help="tiny instances, nothing is written")
    parser.add_argument("--folder", type=Path, help="folder of public instances")
    parser.add_argument("--only", nargs="+", help="instances by their names")
    parser.add_argument("--pairs", type=int, default=5)
    parser.add_argument("--limit", type=float, default=60.0, help="seconds for a solve")
    arguments = parser.parse_args()
    rows = []
    with (
        tempfile.TemporaryDirectory() as room,
        Version(arguments.other) as other,
        Version(Path(__file__).parents[1]) as this,
    ):
        cases = SMOKE if arguments.smoke else CASES
        for name, task in tasks(cases, arguments.folder, Path(room)):
            if arguments.only and name.split()[0] not in arguments.only:
                continue
            exact = task["backend"] == BRANCH_AND_BOUND
            task |= {"limit": arguments.limit, "options": {"threads": 1} if exact else {}}
            for num_states in (1, 100):
                row = {"instance": name, "backend": task["backend"], "K": num_states}
                row |= compare(other, this, {**task, "num_states": num_states}, arguments.pairs)
                rows.append(row)
                print(row, flush=True)
    if not arguments.smoke and not arguments.only:
        folder = " --folder FOLDER" if arguments.folder else ""
        save("versions", f"python -m benchmarks.versions OTHER{folder}", rows)
    print(table(rows))


if __name__ == "__main__":
    main()
