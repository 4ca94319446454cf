"""Who finds good removals, with how many measurements: ``python -m benchmarks.selection MODEL
--data FILE``.

On a real model, for several numbers of blocks and seeds: the loop of `qubo-prune select`, EvoPress
with twice its measurements, SLEB with as many as it takes (more than twice as many), every
criterion, and the lowest energies of a Hessian. Every measurement counts, singles too. Winners are
reported on held-out samples, and if the files are given by perplexity on a text and by accuracy on
HellaSwag. A seed chooses the samples and is that of every method. Measurements are kept in FOLDER
as they come: killed, the same command goes on.
"""

from __future__ import annotations

import argparse
import json
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from benchmarks.record import markdown, save
from benchmarks.solves import solve
from qubo_prune import Problem, load_hessian
from qubo_prune.hessians.calibration import Calibration, load_calibration
from qubo_prune.hessians.gates.gates import find_gates
from qubo_prune.hessians.language_model import load_model, load_tokenizer
from qubo_prune.pruning.criteria import CRITERIA, Need
from qubo_prune.pruning.criteria.model_evidence import model_evidence
from qubo_prune.pruning.hints import hints_of_model
from qubo_prune.pruning.loop import LoopSettings, search_removals
from qubo_prune.pruning.measurement import ModelObjective
from qubo_prune.pruning.objective import Measurement
from qubo_prune.pruning.records import Recorded, Records
from qubo_prune.pruning.searches import EvoPress, Search, Sleb
from qubo_prune.pruning.selector import split

EVALUATIONS = {3: 40, 6: 40, 9: 60, 12: 60}
"""Measurements of the loop by number of blocks; EvoPress gets twice as many, SLEB all it takes."""

CHOOSING, HELD_OUT = 16, 48
CHOOSING_TOKENS, HELD_OUT_TOKENS = 192, 256
LOWEST = 10
"""How many of the lowest states of the Hessian are measured."""

ENDLESS = LoopSettings(patience=0.0)

STARTED = "EvoPress from block influence"
METHODS = ("loop", "EvoPress", "SLEB", STARTED, "lowest energies")
"""Beside the criteria, which go by their own names."""


@dataclass(frozen=True)
class Found:
    """What a method measured, in order, and the best of it."""

    method: str
    best: Measurement
    curve: list[float | None]
    measurements: float


class Bench:
    """The model with the samples of one seed."""

    def __init__(self, model: Any, tokenizer: Any, data: Path, seed: int, folder: Path) -> None:
        self.seed = seed
        self.gates = find_gates(model, "block")
        everything = load_calibration(
            data,
            tokenizer,
            num_samples=CHOOSING + HELD_OUT,
            sequence_length=HELD_OUT_TOKENS,
            seed=seed,
        )
        choosing, held_out = split(everything, HELD_OUT / (CHOOSING + HELD_OUT))
        self.choosing = _cut(choosing, CHOOSING_TOKENS)
        self.objective = ModelObjective(model, self.gates, self.choosing, batch_size=CHOOSING)
        self.fresh = ModelObjective(model, self.gates, held_out, batch_size=CHOOSING)
        described = self.objective.describe()
        run = {key: described[key] for key in ("model_fingerprint", "dtype", "sample_indices")}
        records = Records(folder / f"seed-{seed}.jsonl", {**run, "tokens": CHOOSING_TOKENS})
        self.measured = Recorded(self.objective, records)
        self.held_out = Recorded(self.fresh, records, "held-out")
        self.evidence = model_evidence(model, self.gates, self.choosing, batch_size=CHOOSING)
        self._of_loop: dict[int, Measurement] = {}

    def problem(self, remove: int, hessian: NDArray[np.float64] | None = None) -> Problem:
        """Return the problem of so many blocks."""
        matrix = np.zeros((len(self.gates), len(self.gates))) if hessian is None else hessian
        return Problem(matrix, remove)

    def loop(self, remove: int) -> Found:
        """Run the loop, with block influence as its only proposal."""
        influence = CRITERIA[0]()
        problem = self.problem(remove)
        found = search_removals(
            self.measured,
            problem,
            evaluations=EVALUATIONS[remove],
            seed=self.seed,
            proposals={influence.name: [influence.removal(problem, self.evidence)]},
            ranking=influence.scores(self.evidence),
            hints=hints_of_model(self.evidence.statistics().alignment["all"].mean(axis=0)),
            settings=ENDLESS,
        )
        values = [
            trial.measurement.value if len(trial.removed) == remove else math.inf
            for trial in found.trials
        ]
        return Found("loop", found.ranked[0].measurement, _curve(values), len(values))

    def criteria(self, remove: int) -> Iterator[Found]:
        """Measure what each criterion would remove; singles are as many measurements."""
        problem = self.problem(remove)
        for criterion in CRITERIA:
            if Need.KL in criterion.needs:
                continue
            cost = 1
            if Need.LOSS in criterion.needs:
                alone = [(block,) for block in range(problem.num_blocks)]
                singles = {each.removed[0]: each.value for each in self.measured.measure(alone)}
                order = sorted(singles, key=lambda block: (singles[block], block))
                removed, cost = tuple(sorted(order[:remove])), len(alone) + 1
            else:
                removed = criterion().removal(problem, self.evidence)
            [best] = self.measured.measure([removed])
            yield Found(criterion.name, best, [best.value], cost)

    def search(self, search: Search, remove: int, name: str, budget: int | None) -> Found:
        """Run a search of others."""
        problem = self.problem(remove)
        result = search.run(self.measured, problem, seed=self.seed, max_measurements=budget)
        if result.best is None:
            raise RuntimeError(f"{name} measured no removal of {remove} blocks")
        curve = _curve(result.best_after(problem).tolist())
        return Found(name, result.best, curve, result.cost)

    def energies(self, remove: int, hessian: NDArray[np.float64]) -> Found:
        """Measure the lowest states of a Hessian, in order."""
        spectrum = solve(self.problem(remove, hessian), num_states=LOWEST)
        states = [tuple(spectrum.removed(k)) for k in range(len(spectrum))]
        known = {each.removed: each for each in self.measured.measure(states)}
        best = min(known.values(), key=lambda each: each.value)
        return Found(
            "lowest energies", best, _curve([known[each].value for each in states]), len(states)
        )

    def row(self, found: Found, remove: int, *, reported: bool = True) -> dict[str, Any]:
        """Return what is published of a method, its winner measured on held-out samples."""
        fresh, above, error = None, None, None
        if reported:
            [fresh] = self.held_out.measure([found.best.removed])
            above, error = fresh.difference(self._of_loop.setdefault(remove, fresh))
        return {
            "seed": self.seed,
            "remove": remove,
            "method": found.method,
            "measurements": found.measurements,
            "removed": list(found.best.removed),
            "chosen": found.best.value,
            "chosen_error": found.best.standard_error,
            "held_out": None if fresh is None else fresh.value,
            "held_out_error": None if fresh is None else fresh.standard_error,
            "above_loop": above,
            "above_loop_error": error,
            "curve": found.curve,
        }


def perplexity(model: Any, tokenizer: Any, text: Path, removals: Sequence[tuple[int, ...]]) -> Any:
    """Return the perplexity on windows of a text, without blocks and (first) with all."""
    windows = load_calibration(text, tokenizer, num_samples=64, sequence_length=HELD_OUT_TOKENS)
    objective = ModelObjective(model, find_gates(model, "block"), windows, batch_size=CHOOSING)
    measured = {each.removed: each.value for each in objective.measure([(), *removals])}
    base = float(objective.baseline.mean())
    return {removed: math.exp(base + value) for removed, value in measured.items()}


def hellaswag(
    model: Any, tokenizer: Any, file: Path, removals: Sequence[tuple[int, ...]], items: int
) -> dict[tuple[int, ...], tuple[float, float]]:
    """Return the accuracy, normalised by bytes, and its standard error, with all blocks too."""
    tokens, targets, sizes, labels = [], [], [], []
    for line in file.read_text().splitlines()[:items]:
        item = json.loads(line)
        context = item["ctx"] if "ctx" in item else item["context"]
        labels.append(int(item["label"]))
        first = len(tokenizer(context, add_special_tokens=False)["input_ids"])
        for ending in item["endings"]:
            row = tokenizer(f"{context} {ending}", add_special_tokens=False)["input_ids"]
            tokens.append(np.array(row, np.int64))
            targets.append(np.arange(len(row)) >= min(first, len(row) - 1))
            sizes.append(len(ending.encode()))
    samples = Calibration(
        tuple(tokens), tuple(targets), np.arange(len(tokens)), {"tokens_sha256": file.name}
    )
    objective = ModelObjective(model, find_gates(model, "block"), samples, batch_size=2 * CHOOSING)
    lengths = np.array([each.sum() for each in targets]) / np.array(sizes)
    found = {}
    for each in objective.measure([(), *removals]):
        losses = (objective.baseline + each.values) * lengths
        right = losses.reshape(-1, 4).argmin(axis=1) == np.array(labels)
        error = float(right.std(ddof=1) / math.sqrt(len(right)))
        found[each.removed] = (float(right.mean()), error)
    return found


def table(rows: Sequence[dict[str, Any]]) -> str:
    """Return means over the seeds as Markdown, and how far each method is above the loop."""
    lines = []
    for remove in sorted({row["remove"] for row in rows}):
        for each in compared([row for row in rows if row["remove"] == remove]):
            low, high = each["range"]
            above = "" if each["method"] == "loop" else f"{each['above']:+.3f}"
            if above and math.isfinite(each["error"]):
                above += f" ± {each['error']:.3f}"
            lines.append(
                [
                    str(remove),
                    each["method"],
                    f"{each['measurements']:.0f}",
                    f"{each['chosen']:.3f}",
                    f"{each['held_out']:.3f}",
                    f"{low:.3f} to {high:.3f}",
                    above,
                    str(each["seeds"]),
                ]
            )
    columns = ["M", "method", "measurements", "chosen", "held out", "range", "above", "seeds"]
    return markdown(columns, lines)


def compared(rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return one row per method of some number of blocks; of the criteria the best of each seed.

    The error of a difference is that of the mean over the seeds, each seed paired.
    """
    found: dict[str, list[dict[str, Any]]] = {}
    for row in rows:
        if row["held_out"] is not None:
            name = row["method"] if row["method"] in METHODS else "best criterion"
            found.setdefault(name, []).append(row)
    summaries = []
    for name, these in found.items():
        above = np.array([row["above_loop"] for row in these])
        fresh = [row["held_out"] for row in these]
        spread = float(above.std(ddof=1)) if len(above) > 1 else math.inf
        summaries.append(
            {
                "method": name,
                "seeds": len(these),
                "measurements": float(np.mean([row["measurements"] for row in these])),
                "chosen": float(np.mean([row["chosen"] for row in these])),
                "held_out": float(np.mean(fresh)),
                "range": (min(fresh), max(fresh)),
                "above": float(above.mean()),
                "error": spread / math.sqrt(len(above)),
            }
        )
    return summaries


def _told(row: dict[str, Any]) -> str:
    """Return a row in a line."""
    fresh = ""
    if row["held_out"] is not None:
        fresh = f", held out {row['held_out']:.3f} ± {row['held_out_error']:.3f}"
    return (
        f"seed {row['seed']} M={row['remove']} {row['method']}: {row['measurements']:.0f} "
        f"measurements, {row['chosen']:.3f}{fresh}: {row['removed']}"
    )


def _curve(values: Sequence[float]) -> list[float | None]:
    """Return the best value after each measurement, rounded; None before there is any."""
    best = np.minimum.accumulate(np.array(values, np.float64))
    return [round(value, 4) if math.isfinite(value) else None for value in best.tolist()]


def _cut(calibration: Calibration, length: int) -> Calibration:
    """Return samples of at most so many tokens."""
    from dataclasses import replace

    return replace(
        calibration,
        tokens=tuple(each[:length] for each in calibration.tokens),
        targets=tuple(each[:length] for each in calibration.targets),
    )


def _stages(bench: Bench, remove: int, hessian: NDArray[np.float64] | None) -> Iterator[list[Any]]:
    """Yield steps of the study, the most telling ones first."""
    twice = 2 * EVALUATIONS[remove]
    yield [lambda: bench.loop(remove)]
    yield [lambda: bench.criteria(remove)]
    yield [lambda: bench.search(EvoPress.small(), remove, "EvoPress", twice)]
    yield [lambda: bench.search(Sleb(), remove, "SLEB", None)]
    if hessian is not None:
        yield [lambda: bench.energies(remove, hessian)]
    influence = CRITERIA[0]().removal(bench.problem(remove), bench.evidence)
    yield [lambda: bench.search(EvoPress.small(start=influence), remove, STARTED, twice)]


def main() -> None:
    """Run what is missing, print the table and write the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model", metavar="MODEL", help="a folder, or a name on the hub")
    parser.add_argument("--data", type=Path, required=True, metavar="FILE")
    parser.add_argument("--folder", type=Path, default=Path("selection-study"), metavar="FOLDER")
    parser.add_argument("--remove", type=int, nargs="+", default=[9, 6, 3, 12], metavar="M")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--dtype", default="bfloat16")
    parser.add_argument("--hessian", type=Path, metavar="FILE")
    parser.add_argument("--text", type=Path, metavar="FILE", help="for the perplexity")
    parser.add_argument("--hellaswag", type=Path, metavar="FILE")
    parser.add_argument("--items", type=int, default=200, help="of HellaSwag")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    arguments.folder.mkdir(exist_ok=True)
    tokenizer = load_tokenizer(arguments.model)
    model = load_model(arguments.model, dtype=arguments.dtype, device_map="cpu")
    hessian = None if arguments.hessian is None else load_hessian(arguments.hessian).hessian
    benches = [
        Bench(model, tokenizer, arguments.data, seed, arguments.folder)
        for seed in range(arguments.seeds)
    ]
    rows: list[dict[str, Any]] = []
    plans = [
        (bench, remove, _stages(bench, remove, hessian))
        for bench in benches
        for remove in arguments.remove
    ]
    waiting = True
    while waiting:  # one stage of every seed and M after the other
        waiting = False
        for bench, remove, stages in plans:
            for step in next(stages, []):
                waiting = True
                found = step()
                several = [found] if isinstance(found, Found) else list(found)
                best = min(several, key=lambda each: each.best.value)
                for each in several:  # of the criteria, the best one is held against the others
                    rows.append(bench.row(each, remove, reported=each is best))
                    print(_told(rows[-1]), flush=True)
                _write(arguments, rows, {})
    others: dict[str, Any] = {}
    reported = [row for row in rows if row["seed"] == 0 and row["held_out"] is not None]
    winners = list(dict.fromkeys(tuple(row["removed"]) for row in reported))
    if arguments.text is not None:
        found = perplexity(model, tokenizer, arguments.text, winners)
        others["perplexity"] = {",".join(map(str, key)): value for key, value in found.items()}
        _write(arguments, rows, others)
    if arguments.hellaswag is not None:
        accuracies = hellaswag(model, tokenizer, arguments.hellaswag, winners, arguments.items)
        others["hellaswag"] = {",".join(map(str, key)): value for key, value in accuracies.items()}
    path = _write(arguments, rows, {**others, "complete": True})
    print(table(rows))
    print(f"written to {path}")


def _write(
    arguments: argparse.Namespace, rows: list[dict[str, Any]], others: dict[str, Any]
) -> Path:
    command = "python -m benchmarks.selection MODEL --data FILE"
    settings = {
        "model": Path(arguments.model).name,
        "dtype": arguments.dtype,
        "data": "545 chats answered by an OpenHermes-2.5 model",
        "choosing": {"samples": CHOOSING, "tokens": CHOOSING_TOKENS},
        "held_out": {"samples": HELD_OUT, "tokens": HELD_OUT_TOKENS},
        "hellaswag_items": arguments.items,
    }
    record = {"complete": False, "settings": settings, "results": rows, **others}
    return save("selection", command, [record])


if __name__ == "__main__":
    main()
