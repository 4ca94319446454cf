"""What a budget costs a proof: ``python -m benchmarks.budgets``.

Each problem is proven with its count alone, and then with budgets of rising tightness beside it:
0 is what the lowest state weighs without a budget, 1 the most that the count allows. Weights are
those of two kinds of blocks, one three times the other, or spread at random between 10 and 1,000.
The runs take turns, with one thread, and what is compared is CPU seconds, warm start and
preparation included.
"""

from __future__ import annotations

import argparse
import time
from statistics import median
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.record import markdown, save
from benchmarks.solves import solve
from qubo_prune import Problem, Status
from qubo_prune.bench import Instance

CASES = (
    *(("bytelm-40-branch", 24), ("bytelm-40-branch", 40), ("qwen3-40-branch", 32)),
    *(("heterogeneous-half-80", 16), ("llama-80-branch", 40)),
)
SMOKE = (("wishart-24", 6),)
TIGHTNESS = (0.1, 0.5, 0.9)
ROUNDS = 3


def weightings(num_blocks: int) -> dict[str, NDArray[np.float64]]:
    """Return what blocks may weigh."""
    return {
        "two sizes": np.where(np.arange(num_blocks) % 2, 3.0, 1.0),
        "spread": np.random.default_rng(1).integers(10, 1000, num_blocks).astype(float),
    }


def with_budget(problem: Problem, weights: NDArray[np.float64], tightness: float) -> Problem:
    """Return the problem with a budget between what its lowest state weighs and the most."""
    lowest = solve(problem, num_states=1).states[0]
    light = float(weights[lowest].sum())
    heavy = float(np.sort(weights)[-problem.num_removed :].sum())
    at_least = float(np.ceil(light + tightness * (heavy - light)))
    return Problem(
        problem.hessian, problem.num_removed, weights=weights.tolist(), at_least=at_least
    )


def measure(problem: Problem, num_states: int, time_limit: float) -> dict[str, Any]:
    """Solve with one thread."""
    begin = time.process_time()
    spectrum = solve(problem, num_states=num_states, time_limit=time_limit, options={"threads": 1})
    return {
        "seconds": time.process_time() - begin,
        "nodes": spectrum.num_evaluated,
        "proven": spectrum.status is Status.PROVEN,
        "lowest": float(spectrum.energies[0]),
    }


def compare(
    instance: str, problem: Problem, num_states: int, rounds: int, time_limit: float
) -> list[dict[str, Any]]:
    """Measure all budgets beside the count alone, so many times in turn; keep the medians."""
    budgets = {
        (name, tightness): with_budget(problem, weights, tightness)
        for name, weights in weightings(problem.num_blocks).items()
        for tightness in TIGHTNESS
    }
    bare: list[dict[str, Any]] = []
    runs: dict[tuple[str, float], list[dict[str, Any]]] = {key: [] for key in budgets}
    for _ in range(rounds):
        bare.append(measure(problem, num_states, time_limit))
        for key, budget in budgets.items():
            runs[key].append(measure(budget, num_states, time_limit))
    count = bare[0] | {"seconds": median(run["seconds"] for run in bare)}
    rows = []
    for (name, tightness), found in runs.items():
        pairs = zip(found, bare, strict=True)
        rows.append(
            {
                "instance": instance,
                "N": problem.num_blocks,
                "K": num_states,
                "weights": name,
                "tightness": tightness,
                "count": count,
                "budget": found[0] | {"seconds": median(run["seconds"] for run in found)},
                "ratio": median(own["seconds"] / other["seconds"] for own, other in pairs),
            }
        )
    return rows


def table(rows: list[dict[str, Any]]) -> str:
    """Return the rows as Markdown, one per problem, kind of weights and K."""
    body = []
    for row in rows:
        if row["tightness"] != TIGHTNESS[0]:
            continue
        key = [row[name] for name in ("instance", "K", "weights")]
        mine = [each for each in rows if [each[n] for n in ("instance", "K", "weights")] == key]
        cells = [f"{each['ratio']:.1f}" if each["budget"]["proven"] else "open" for each in mine]
        nodes = " / ".join(f"{each['budget']['nodes']:,}" for each in mine)
        body.append(
            [
                row["instance"],
                str(row["N"]),
                str(row["K"]),
                row["weights"],
                f"{row['count']['seconds']:.2f}",
                *cells,
                f"{row['count']['nodes']:,}",
                nodes,
            ]
        )
    columns = [
        *("instance (M)", "N", "K", "weights", "count, s"),
        *(f"times at {tightness}" for tightness in TIGHTNESS),
        *("nodes", "nodes with budgets"),
    ]
    return markdown(columns, body)


def main() -> None:
    """Measure all instances and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--smoke", action="store_true", help="tiny instances, nothing is written")
    parser.add_argument("--time-limit", type=float, default=30.0)
    arguments = parser.parse_args()
    cases, rounds = (SMOKE, 1) if arguments.smoke else (CASES, ROUNDS)
    first = Instance.load(SMOKE[0][0]).problem(SMOKE[0][1])
    compare("first", first, 5, 1, 10.0)  # compiles
    rows = []
    for name, remove in cases:
        problem = Instance.load(name).problem(remove)
        for num_states in (1, 100):
            label = f"{name} ({remove})"
            found = compare(label, problem, num_states, rounds, arguments.time_limit)
            print(table(found), flush=True)
            rows += found
    if not arguments.smoke:
        save("budgets", "python -m benchmarks.budgets", rows)
    print(table(rows))


if __name__ == "__main__":
    main()
