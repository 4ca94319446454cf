"""Who finds the best removal of a model whose every removal is known:
``python -m benchmarks.selection_tables``.

The 12-layer reference model, and what `benchmarks.energy_truth` measured of every removal of up to
four layers. Measurements are looked up, so that many seeds cost nothing: the loop of `qubo-prune
select`, with and without what the residual stream says of pairs, EvoPress with twice the
measurements, SLEB, block influence, and the lowest energies.
"""

from __future__ import annotations

import argparse
import itertools
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from benchmarks.energy_truth import FULL, gate_gradients
from benchmarks.record import RESULTS, markdown, save
from benchmarks.reference_models.__main__ import WEIGHTS
from benchmarks.reference_models.extraction import calibration
from benchmarks.reference_models.training import load_trained, train
from benchmarks.solves import solve
from qubo_prune import Problem
from qubo_prune.hessians.extraction import gauss_newton
from qubo_prune.hessians.gates.gates import find_gates
from qubo_prune.pruning.hints import Hint, hints_of_model
from qubo_prune.pruning.loop import LoopSettings, search_removals
from qubo_prune.pruning.objective import FunctionObjective
from qubo_prune.pruning.searches import EvoPress, Sleb
from qubo_prune.pruning.statistics import block_statistics

SEEDS = 20
COUNTS = (20, 30, 40, 60)
"""Measurements of the loop; EvoPress is looked at after twice as many."""

SAMPLES = 128
"""Of the calibration text, for the residual stream."""


class Table:
    """All removals of some number of layers, and the loss without them."""

    def __init__(self, changes: dict[str, list[float]], size: int, remove: int) -> None:
        self.problem = Problem(np.zeros((size, size)), remove)
        self._known = {
            removed: value
            for count, values in changes.items()
            for removed, value in zip(
                itertools.combinations(range(size), int(count)), values, strict=True
            )
        }
        self._ranked = np.sort(changes[str(remove)])
        self.objective = FunctionObjective(lambda removed: self._known[removed], size)

    def ranks(self, removals: Sequence[tuple[int, ...]], counts: Sequence[int]) -> list[int]:
        """Return the rank, from 1, of the best of the first so many removals."""
        values = [
            self._known[each] if len(each) == self.problem.num_removed else np.inf
            for each in removals
        ]
        best = np.minimum.accumulate(values)
        last = [best[min(count, len(best)) - 1] for count in counts]
        return (np.searchsorted(self._ranked, last) + 1).tolist()


def searches(
    table: Table, hints: list[Hint], influence: NDArray[np.float64], hessian: NDArray[np.float64]
) -> Iterator[tuple[str, list[list[int]]]]:
    """Yield who searched, and for each seed the ranks of the best after so many measurements."""
    problem, objective = table.problem, table.objective
    liked = tuple(sorted(np.argsort(influence, kind="stable")[: problem.num_removed].tolist()))
    for name, told in (("loop", hints), ("loop without hints", [])):
        ranks = []
        for seed in range(SEEDS):
            found = search_removals(
                objective,
                problem,
                evaluations=max(COUNTS),
                seed=seed,
                proposals={"block-influence": [liked]},
                ranking=influence,
                hints=told,
                settings=LoopSettings(patience=0.0),
            )
            ranks.append(table.ranks([trial.removed for trial in found.trials], COUNTS))
        yield name, ranks
    twice = [2 * count for count in COUNTS]
    ranks = []
    for seed in range(SEEDS):
        run = EvoPress.small().run(objective, problem, seed=seed, max_measurements=max(twice))
        ranks.append(table.ranks([each.removed for each in run.measurements], twice))
    yield "EvoPress, twice as many", ranks
    greedy = Sleb().run(objective, problem)
    assert greedy.best is not None  # noqa: S101 - it has no budget
    rank = table.ranks([greedy.best.removed], [1])
    yield f"SLEB, {greedy.num_measurements}", [rank * len(COUNTS)]
    yield "block influence, 1", [table.ranks([liked], [1]) * len(COUNTS)]
    spectrum = solve(Problem(hessian, problem.remove), num_states=max(COUNTS))
    lowest = [tuple(spectrum.removed(k)) for k in range(len(spectrum))]
    yield "lowest energies", [table.ranks(lowest, COUNTS)]


def told(rows: Sequence[dict[str, Any]]) -> str:
    """Return the ranks as Markdown: the median over the seeds, and how many found the best."""
    lines = []
    for row in rows:
        ranks = np.array(row["ranks"])
        cells = [
            f"{np.median(column):g}" + (f" ({(column == 1).sum()})" if len(column) > 1 else "")
            for column in ranks.T
        ]
        lines.append([str(row["remove"]), row["method"], *cells])
    return markdown(["M", "search", *map(str, COUNTS)], lines)


def main() -> None:
    """Train the model if it is not there, search, print the table and write the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--weights", type=Path, default=WEIGHTS, metavar="FOLDER")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    recipe = FULL.recipe
    folder = arguments.weights / recipe.name
    if not (folder / "model.safetensors").exists():
        train(recipe, folder)
    model, _ = load_trained(recipe, folder)
    [truth] = json.loads((RESULTS / "energy_truth.json").read_text())["rows"]
    changes, influence = truth["loss_changes"], np.array(truth["block_influence"])
    statistics = block_statistics(
        model, find_gates(model, "block"), calibration(recipe.sequence, SAMPLES)
    )
    hints = hints_of_model(statistics.alignment["all"].mean(axis=0))
    hessian = gauss_newton(gate_gradients(model, FULL))
    rows = []
    for remove in (3, 4):
        table = Table(changes, len(influence), remove)
        for method, ranks in searches(table, hints, influence, hessian):
            rows.append({"remove": remove, "method": method, "counts": COUNTS, "ranks": ranks})
    print(told(rows))
    path = save("selection_tables", "python -m benchmarks.selection_tables", rows)
    print(f"written to {path}")


if __name__ == "__main__":
    main()
