"""What repairs and distillation bring: ``python -m benchmarks.healing MODEL --data CHATS``.

Some layers are removed, and the smaller model is healed in each way and measured on chats that it
was not healed with: loss, KL from the original, and how often both find the same token most likely.
Every change is paired sample by sample.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import torch

from benchmarks.record import RESULTS, markdown, save
from qubo_prune.core.text import format_blocks
from qubo_prune.hessians.calibration.calibration import Calibration
from qubo_prune.hessians.language_model import load_model
from qubo_prune.hessians.samples_for_model import samples_for_model
from qubo_prune.pruning import Healed, heal, prune
from qubo_prune.pruning.healing.distillation.method import Distill
from qubo_prune.pruning.healing.healed import NOT_HEALED, ORIGINAL
from qubo_prune.pruning.repair.base import HealingMethod

CUTS = ((3, 4, 5, 16, 17, 18), (4, 5, 6, 7, 16, 17, 18, 25, 26))
"""Layers of SmolLM2-135M-Instruct, which has 30."""

DISTILLED = 400
"""Most samples to distil with, beside those of the repairs."""

MEASURES = ("loss", "KL", "top-1 agreement")


def rows_of(healed: Healed, seconds: Sequence[float]) -> list[dict[str, Any]]:
    """Return what was measured of the original, of the model before, and after each method."""
    evaluation = healed.evaluation
    assert evaluation is not None  # noqa: S101  # held-out samples are given
    rows = []
    for name in evaluation.names:
        row: dict[str, Any] = {"removed": list(healed.removed), "model": name}
        for measure in MEASURES:
            metric = evaluation.metric(name, measure)
            if metric is None:
                continue
            row[measure] = [metric.value, metric.standard_error]
            against = evaluation.compare(name, measure)
            if against is not None:
                row[f"{measure}, above the original"] = [against.change, against.low, against.high]
            gained = healed.gain(measure, name)
            if gained is not None and name != NOT_HEALED:
                row[f"{measure}, changed by healing"] = list(gained)
        steps = [] if name in (ORIGINAL, NOT_HEALED) else name.split(", ")
        row["seconds"] = round(sum(seconds[: len(steps)]), 1)
        rows.append(row)
    return rows


def study(arguments: argparse.Namespace) -> Iterator[list[dict[str, Any]]]:
    """Cut, heal and measure; yield what is known after each way."""
    number = arguments.samples + arguments.held_out
    drawn = samples_for_model(
        arguments.model,
        arguments.data,
        num_samples=number + (DISTILLED if arguments.distill_tokens else 0),
        sequence_length=512,
    )
    samples = drawn.part(0, arguments.samples)
    held_out = drawn.part(arguments.samples, number)
    others = drawn.part(number, len(drawn))
    original = load_model(arguments.model, dtype=arguments.dtype, device_map="cpu")
    tokens = [int(sum(map(len, each.tokens))) for each in (samples, held_out)]
    rows: list[dict[str, Any]] = [
        {
            "samples": [len(samples), len(held_out)],
            "samples_to_distil": len(others),
            "tokens": tokens,
            "dtype": str(original.dtype),
        }
    ]
    known: set[tuple[Any, ...]] = set()
    for removed in CUTS:
        name = "-".join(map(str, removed))
        smaller = arguments.out / name
        prune(original, removed, smaller)
        for methods in ways(arguments):
            used = others if any(isinstance(each, Distill) for each in methods) else samples
            found = one_way(arguments, original, (used, held_out), smaller, methods)
            for row in found:
                key = (*row["removed"], row["model"])
                rows += [] if key in known else [row]
                known.add(key)
            yield rows


def ways(arguments: argparse.Namespace) -> list[tuple[str | HealingMethod, ...]]:
    """Return which methods are run one after the other."""
    repairs: list[tuple[str | HealingMethod, ...]] = [("rescale", "linear"), ("linear",)]
    if not arguments.distill_tokens:
        return repairs
    distill = Distill(
        step_samples=8, learning_rate=2e-4, max_tokens=arguments.distill_tokens
    )  # the paper's 64 and 2e-5 would be a few steps that change next to nothing
    return [*repairs, (distill,)]


def one_way(
    arguments: argparse.Namespace,
    original: Any,
    samples: tuple[Calibration, Calibration],
    smaller: Path,
    methods: tuple[str | HealingMethod, ...],
) -> list[dict[str, Any]]:
    """Return the rows of some methods."""
    names = [each if isinstance(each, str) else each.name for each in methods]
    healed = heal(
        smaller,
        original,
        samples[0],
        arguments.out / f"{smaller.name}-{'-'.join(names)}",
        held_out=samples[1],
        methods=methods,
        dtype=arguments.dtype,
        device_map="cpu",
    )
    print(healed)
    rows = rows_of(healed, [step.seconds for step in healed.steps])
    for row, step in zip(rows[2:], healed.steps, strict=False):
        row["facts"] = {key: value for key, value in step.facts.items() if key != "losses"}
    return rows


def table(rows: Sequence[dict[str, Any]]) -> str:
    """Return the table of the docs: increase over the original, with 95 % intervals."""
    lines = []
    for row in rows:
        if row["model"] == ORIGINAL:
            continue
        change, low, high = row["loss, above the original"]
        (kl, kl_error), (top, top_error) = row["KL"], row["top-1 agreement"]
        gained = row.get("loss, changed by healing")
        lines.append(
            [
                format_blocks(row["removed"]),
                row["model"],
                f"+{change:.3f} ({low:+.3f}, {high:+.3f})",
                "" if gained is None else f"{gained[0]:+.3f} ± {gained[1]:.3f}",
                f"{kl:.3f} ± {kl_error:.3f}",
                f"{top:.3f} ± {top_error:.3f}",
                f"{row['seconds']:.0f} s" if row["seconds"] else "",
            ]
        )
    columns = ["removed", "healed by", "loss above the original (95 %)", "healing changed the loss"]
    return markdown([*columns, "KL", "top-1 agreement", "time"], lines)


def main() -> None:
    """Run the study and write it, or show what is stored."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model", nargs="?", metavar="MODEL", help="SmolLM2-135M-Instruct")
    parser.add_argument("--data", nargs="+", metavar="FILE", help="chats")
    parser.add_argument("--samples", type=int, default=64, help="to heal with")
    parser.add_argument("--held-out", type=int, default=64, help="to measure on")
    parser.add_argument("--distill-tokens", type=int, default=0, help="0: no distillation")
    parser.add_argument("--dtype", default="bfloat16")
    parser.add_argument("--out", type=Path, default=Path("healing"), metavar="FOLDER")
    arguments = parser.parse_args()
    if arguments.model is None:
        print(table(json.loads((RESULTS / "healing.json").read_text())["rows"][1:]))
        return
    torch.set_num_threads(1)
    arguments.out.mkdir(parents=True, exist_ok=True)
    tokens = arguments.distill_tokens
    command = (
        f"python -m benchmarks.healing MODEL --data CHATS --samples {arguments.samples}"
        f" --held-out {arguments.held_out} --dtype {arguments.dtype}"
        + (f" --distill-tokens {tokens}" if tokens else "")
    )
    for rows in study(arguments):
        print(table(rows[1:]))
        print(save("healing", command, rows))


if __name__ == "__main__":
    main()
