"""The default beside tabu where proofs take too long: ``python -m benchmarks.floor``.

Both get the same processor seconds of one thread, so that the load of the machine does not matter.
Lists are compared place by place: the default is worse where any of its energies is higher than
that of tabu at the same place, or missing. ``--folder`` adds public instances as in
`benchmarks.branching`.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.clock import processor_clock
from benchmarks.nodes import public
from benchmarks.record import markdown, save
from benchmarks.solves import solve
from qubo_prune import Problem, get_backend
from qubo_prune.bench import Instance
from qubo_prune.core.spectrum.spectrum import Spectrum

DEFAULT, TABU = "branch-and-bound", "tabu"
LIMITS = (1.0, 2.0)
SEEDS = (0, 1)
COUNTS = (1, 100)
NUM_GROUPS, GROUP_SIZE = 16, 40


def groups(count: int, seed: int) -> Problem:
    """Return 640 blocks in 16 groups, `count` of each to be removed, with small integers as pairs:
    of the form of QPLIB_6324.
    """
    random = np.random.default_rng(seed)
    side = NUM_GROUPS * GROUP_SIZE
    upper = np.triu(random.integers(-9 if count > 1 else 0, 10, (side, side)), 1).astype(float)
    kinds = [f"group-{i % NUM_GROUPS}" for i in range(side)]
    return Problem(upper + upper.T, dict.fromkeys(kinds, count), kinds=kinds)


def _named(name: str, remove: int) -> Problem:
    return Instance.load(name).problem(remove)


CASES: dict[str, Callable[[], Problem]] = {
    "16 groups of 40 (1 each)": partial(groups, 1, 0),
    "16 groups of 40 (20 each)": partial(groups, 20, 0),
    "heterogeneous-640 (160)": partial(_named, "heterogeneous-640", 160),
    "wishart-200 (100)": partial(_named, "wishart-200", 100),
}
PUBLIC = ("kcluster120_050_60_1",)


def problems(folder: Path | None) -> Iterator[tuple[str, Problem]]:
    """Yield names and problems, the public ones last."""
    for name, make in CASES.items():
        yield name, make()
    if folder is not None:
        yield from public(folder, PUBLIC)


def solved(problem: Problem, backend: str, num_states: int, limit: float, seed: int) -> Spectrum:
    """Solve in so many processor seconds of one thread."""
    with processor_clock():
        return solve(
            problem,
            num_states=num_states,
            backend=backend,
            time_limit=limit,
            seed=seed,
            options={"threads": 1},
        )


def measure(
    name: str, problem: Problem, num_states: int, limit: float, seed: int
) -> dict[str, Any]:
    """Run both, and compare their lists place by place."""
    places = np.full((2, min(num_states, problem.num_states)), np.inf)
    row: dict[str, Any] = {"instance": name, "K": num_states, "limit": limit, "seed": seed}
    for at, (label, backend) in enumerate((("default", DEFAULT), ("tabu", TABU))):
        begin = time.process_time()
        spectrum = solved(problem, backend, num_states, limit, seed)
        places[at, : len(spectrum)] = spectrum.energies
        row[label] = {
            "lowest": float(spectrum.energies[0]),
            "sum": float(spectrum.energies.sum()),
            "states": len(spectrum),
            "num_proven": spectrum.num_proven,
            "seconds": time.process_time() - begin,
        }
    mine, other = places
    return row | {
        "worse": int(np.count_nonzero(mine > other)),
        "better": int(np.count_nonzero(mine < other)),
    }


def table(rows: list[dict[str, Any]]) -> str:
    """Return a line for each instance and number of states, over all limits and seeds."""
    body = []
    for name, count in dict.fromkeys((row["instance"], row["K"]) for row in rows):
        mine = [row for row in rows if (row["instance"], row["K"]) == (name, count)]
        worse = [row for row in mine if row["worse"]]
        better = [row for row in mine if row["better"] and not row["worse"]]
        proven = sum(row["default"]["num_proven"] >= row["default"]["states"] for row in mine)
        places = sum(row["worse"] for row in worse)
        body.append(
            [
                name,
                str(count),
                str(len(mine)),
                str(len(better)),
                str(len(mine) - len(better) - len(worse)),
                f"{len(worse)} ({places} of {sum(row['K'] for row in worse)} places)"
                if worse
                else "0",
                str(proven),
            ]
        )
    return markdown(
        ["instance (M)", "K", "runs", "better", "the same", "worse", "proven to the end"], body
    )


def main() -> None:
    """Measure all instances and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--smoke", action="store_true", help="a tiny one, nothing is written")
    parser.add_argument("--folder", type=Path, help="folder of public instances")
    arguments = parser.parse_args()
    for backend in (DEFAULT, TABU):
        get_backend(backend).prepare()
    if arguments.smoke:
        print(table([measure("wishart-24 (6)", _named("wishart-24", 6), 5, 0.5, 0)]))
        return
    rows = []
    for name, problem in problems(arguments.folder):
        for num_states in COUNTS:
            for limit in LIMITS:
                for seed in SEEDS:
                    rows.append(measure(name, problem, num_states, limit, seed))
                    print(rows[-1], flush=True)
    folder = " --folder FOLDER" if arguments.folder else ""
    save("floor", f"python -m benchmarks.floor{folder}", rows)
    print(table(rows))


if __name__ == "__main__":
    main()
