"""Certified bounds of hundreds to thousands of blocks along the time: ``python -m
benchmarks.large_bounds``.

Times are processor seconds of one thread. The gap is to the lowest energy that tabu finds.
"""

from __future__ import annotations

import argparse
import time
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.clock import processor_clock
from benchmarks.record import markdown, save
from benchmarks.solves import solve
from qubo_prune import Problem, lower_bound
from qubo_prune.core.stopping import Progress

AT = (10.0, 30.0)
"""Seconds after which the gap is looked at."""
LIMIT = 60.0
SEARCH = 10.0
"""Seconds of tabu."""


def _covariance(gradients: NDArray[np.float64]) -> NDArray[np.float64]:
    matrix = gradients.T @ gradients / len(gradients)
    return np.asarray((matrix + matrix.T) / 2.0)


def heterogeneous(n: int, seed: int) -> NDArray[np.float64]:
    """Return the Hessian of the family of that name, by a product of matrices, which is faster."""
    rng = np.random.default_rng(seed)
    return _covariance(rng.normal(size=(2 * n, n)) * np.exp(0.8 * rng.normal(size=n)))


def wishart(n: int, seed: int) -> NDArray[np.float64]:
    """Return that of the family `wishart`, whose blocks are all alike."""
    return _covariance(np.random.default_rng(seed).normal(size=(2 * n, n)))


def decaying(n: int, seed: int) -> NDArray[np.float64]:
    """Return a Hessian whose blocks differ and matter less with depth, and whose gradients share
    directions of falling weight, as those of trained models do.
    """
    rng = np.random.default_rng(seed)
    scales = np.exp(0.8 * rng.normal(size=n)) * np.linspace(2.0, 0.5, n)
    weights = np.arange(1, 2 * n + 1) ** -0.75
    weights /= np.linalg.norm(weights)
    shared = (rng.normal(size=(2 * n, 2 * n)) * weights) @ rng.normal(size=(2 * n, n))
    return _covariance((shared + rng.normal(size=(2 * n, n))) * scales)


CASES = (
    (heterogeneous, 640, 160),
    (heterogeneous, 2000, 500),
    (wishart, 2000, 1000),
    (decaying, 2000, 500),
)


def measure(name: str, problem: Problem, limit: float, search: float) -> dict[str, Any]:
    """Bound a problem, and look for its lowest state."""
    told: list[tuple[float, float]] = []

    def note(each: Progress) -> None:
        if each.standing is not None:
            told.append((each.elapsed, each.standing.bound))

    with processor_clock():
        lowest = float(
            solve(
                problem,
                num_states=1,
                backend="tabu",
                time_limit=search,
                options={"threads": 1},
            ).energies[0]
        )
        begin = time.process_time()
        bound = lower_bound(problem, time_limit=limit, progress=note)
        seconds = time.process_time() - begin
    gaps = {}
    for at in AT:
        known = [value for when, value in told if when <= at]
        if known:
            gaps[f"{at:g}"] = (lowest - known[-1]) / abs(lowest)
    return {
        "instance": name,
        "N": problem.num_blocks,
        "M": problem.num_removed,
        "lowest": lowest,
        "lower_bound": bound.value,
        "gap": float(bound.gap(lowest)),
        "gaps": gaps,
        "seconds": seconds,
        "stop_reason": bound.stop_reason.value,
    }


def table(rows: list[dict[str, Any]]) -> str:
    """Return a line for each problem."""
    early = [f"{at:g}" for at in AT]
    header = ["instance", "N", "M", *(f"gap, {at} s" for at in early), "at the end", "after"]
    body = [
        [
            *(f"{row[key]:,}" if key == "N" else str(row[key]) for key in ("instance", "N", "M")),
            *(f"{100 * row['gaps'][at]:.1f} %" if at in row["gaps"] else "" for at in early),
            f"{100 * row['gap']:.1f} %",
            f"{row['seconds']:.0f} s",
        ]
        for row in rows
    ]
    return markdown(header, body)


def main() -> None:
    """Measure all problems and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--smoke", action="store_true", help="a small one, nothing is written")
    arguments = parser.parse_args()
    if arguments.smoke:
        print(table([measure("decaying", Problem(decaying(60, 0), 15), 5.0, 0.5)]))
        return
    rows = []
    for make, n, remove in CASES:
        rows.append(measure(make.__name__, Problem(make(n, 0), remove), LIMIT, SEARCH))
        print(rows[-1], flush=True)
        save("large_bounds", "python -m benchmarks.large_bounds", rows)
    print(table(rows))


if __name__ == "__main__":
    main()
