"""A small file of every kind that this package writes, and a folder of `compress`."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from qubo_prune import Problem, solve, sweep
from qubo_prune.bench import append_run
from qubo_prune.core.files.hessian import save_hessian
from qubo_prune.pruning import Measurement
from qubo_prune.pruning.evaluation.evaluation import Evaluation
from qubo_prune.pruning.evaluation.metrics import Metric
from qubo_prune.pruning.pipeline.folder import EVALUATION, HESSIAN, MODEL, SELECTION, SPECTRUM
from qubo_prune.pruning.pipeline.ledger import Ledger
from qubo_prune.pruning.saving import HEALING, RECORD
from qubo_prune.pruning.selection import Candidate, Selection
from qubo_prune.solving.proof.certificate import Certificate
from tests.benchmark_runs import runs

NAMES = ("in.attention", "in.mlp", "mid.attention", "mid.mlp", "out.attention", "out.mlp")
KINDS = ("attention", "mlp") * 3
COUNTS = (100, 300, 100, 300, 100, 300)
MATRIX = np.diag([6.0, 1.0, 5.0, 2.0, 4.0, 3.0]) + 0.5
PROBLEM = Problem(MATRIX, 2, names=NAMES, kinds=KINDS)


def write_hessian(path: Path) -> Path:
    save_hessian(path, MATRIX, names=NAMES, kinds=KINDS, parameter_counts=list(COUNTS), samples=3)
    return path


def write_spectrum(path: Path, names: tuple[str, ...] = NAMES) -> Path:
    solve(Problem(MATRIX, 2, names=names), num_states=9).save(path)
    return path


def write_certificate(path: Path) -> Path:
    Certificate.of(PROBLEM, solve(PROBLEM, num_states=4), hessian="h.npy").save(path)
    return path


def write_sweep(folder: Path) -> Path:
    folder.mkdir()
    for count, spectrum in sweep(PROBLEM, range(1, 5), num_states=3).items():
        spectrum.save(folder / f"remove-{count}.json")
    return folder


def write_checkpoint(path: Path) -> Path:
    solve(PROBLEM, num_states=3, backend="enumeration", options={"checkpoint": str(path)})
    return path


def selection(names: tuple[str, ...] = NAMES, proposer: str = "surrogate") -> Selection:
    measured = [
        Measurement.of([1, 3], [0.5, 0.7, 0.6]),
        Measurement.of([1, 5], [0.6, 0.7, 0.7]),
        Measurement.of([0, 2], [0.9, 1.0, 1.2]),
        Measurement.of([2, 4], [np.inf, 1.0, 1.2]),
    ]
    held = [Measurement.of([1, 3], [0.55, 0.65]), Measurement.of([1, 5], [0.5, 0.85])]
    told = [
        {"proposed_by": proposer, "predicted": 0.61, "energy": 5.0, "rank_in_spectrum": 0},
        {"proposed_by": "draw", "predicted": 0.7, "energy": 6.0, "rank_in_spectrum": 1},
        {"proposed_by": "block-influence", "energy": 13.0},
        {"proposed_by": "draw", "predicted": 0.9},
    ]
    return Selection(
        removals=tuple(
            Candidate.compared(
                each,
                measured[0],
                held_out=held[k] if k < len(held) else None,
                best_held_out=held[0] if k < len(held) else None,
                **told[k],
            )
            for k, each in enumerate(measured)
        ),
        objective="loss",
        baseline=2.5,
        num_evaluations=10,
        num_held_out=2,
        remove=2,
        names=names,
        singles={0: 0.9, 1: 0.2, 2: np.inf, 3: 0.3},
        samples={"choosing": 3, "held_out": 2, "calibration": {"source": ["chat.jsonl"]}},
    )


def evaluation() -> Evaluation:
    made = {"original": 0.0, MODEL: 0.4, "05-healed-linear": 0.1}
    return Evaluation(
        models={name: {"model": f"models/{name}", "dtype": "float32"} for name in made},
        metrics={
            name: (
                Metric.mean("loss", [2.0 + more, 3.1 + more, 4.0 + 1.5 * more]),
                Metric.size("weights", 269e6, "bytes"),
                Metric.time("prefill", [0.5, 0.51, 0.49]),
            )
            for name, more in made.items()
        },
        original="original",
        settings={"samples": 3},
        versions={"python": "3"},
    )


def write_results(path: Path) -> Path:
    for each in runs():
        append_run(path, each)
    return path


def write_compressed(folder: Path) -> Path:
    """Write what `compress` leaves, without a model."""
    folder.mkdir()
    write_hessian(folder / HESSIAN)
    write_spectrum(folder / SPECTRUM)
    selection().save(folder / SELECTION)
    evaluation().save(folder / EVALUATION)
    record = {
        "format_version": 1,
        "model": "models/original",
        "dtype": "float32",
        "removed": [1, 3],
        "removed_names": [NAMES[1], NAMES[3]],
        "num_blocks": 6,
        "num_parameters": 600,
        "num_parameters_before": 1200,
        "command": "qubo-prune compress models/original --remove 2 --out folder",
        "choice": {"source": "selection", "state": 0, "objective": "loss", "value": 0.6},
        "verification": {"max_difference": 0.0, "cache_difference": 0.0},
    }
    healing = {"earlier": [], "steps": [{"method": "linear", "summary": "maps for layers 1, 3"}]}
    for name in (MODEL, "05-healed-linear"):
        (folder / name).mkdir()
        (folder / name / RECORD).write_text(json.dumps(record))
    (folder / "05-healed-linear" / HEALING).write_text(json.dumps(healing))
    ledger = Ledger(folder)
    outputs = {
        "extract": (HESSIAN, 12.5),
        "solve": (SPECTRUM, 0.25),
        "evaluate": (EVALUATION, 7.25),
        "select": (SELECTION, 30.0),
        "prune": (MODEL, 4.0),
        "heal-linear": ("05-healed-linear", 8.0),
    }
    for name, (output, seconds) in outputs.items():
        ledger.finish(name, folder / output, {}, seconds)
    return folder


def write_everything(folder: Path) -> list[Path]:
    """Write a file of each kind into a folder."""
    selection().save(folder / "selection.json")
    evaluation().save(folder / "evaluation.json")
    return [
        write_compressed(folder / "compressed"),
        write_sweep(folder / "swept"),
        folder / "selection.json",
        folder / "evaluation.json",
        write_spectrum(folder / "spectrum.json"),
        write_certificate(folder / "certificate.json"),
        write_checkpoint(folder / "checkpoint.json"),
        write_hessian(folder / "h.npy"),
        write_results(folder / "results.jsonl"),
    ]
