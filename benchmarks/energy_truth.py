"""Energy against truth: the loss of every removal of up to four blocks, by really removing them:
``python -m benchmarks.energy_truth``.

The Hessian, block influence and the choice among the ten lowest states are made on the calibration
text; the loss that they are judged by is that of the held-out text.
"""

from __future__ import annotations

import argparse
import dataclasses
import itertools
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.stats import spearmanr

from benchmarks.record import markdown, save
from benchmarks.reference_models.__main__ import WEIGHTS
from benchmarks.reference_models.corpus import load_corpus, windows
from benchmarks.reference_models.extraction import calibration
from benchmarks.reference_models.models import RECIPES, Recipe
from benchmarks.reference_models.training import load_trained, losses, train
from qubo_prune import Problem
from qubo_prune.hessians.extraction import gauss_newton
from qubo_prune.hessians.gates.gates import find_gates
from qubo_prune.hessians.gradients import sample_gradients

BETAS = (0.0, 1.0, -1.0)
VALIDATED = 10
BATCH = 32


@dataclasses.dataclass(frozen=True)
class Setting:
    """How much is computed."""

    recipe: Recipe
    largest: int = 4
    samples: int = 2048
    windows: int = 64


LLAMA_12 = RECIPES["llama-12"]
FULL = Setting(LLAMA_12)
SMOKE = Setting(
    dataclasses.replace(
        LLAMA_12,
        name="llama-4-smoke",
        config=LLAMA_12.config
        | {
            "num_hidden_layers": 4,
            "hidden_size": 32,
            "intermediate_size": 32,
            "num_attention_heads": 2,
        },
        steps=4,
        sequence=32,
    ),
    largest=2,
    samples=16,
    windows=8,
)


def loss_without(model: Any, removed: tuple[int, ...], tokens: NDArray[np.int64]) -> float:
    """Return the mean cross-entropy, in nats, of the model from which the layers are deleted."""
    layers = model.model.layers
    kept = [layer for i, layer in enumerate(layers) if i not in removed]
    count = model.config.num_hidden_layers
    model.model.layers, model.config.num_hidden_layers = torch.nn.ModuleList(kept), len(kept)
    try:
        with torch.no_grad():
            batches = torch.from_numpy(tokens).split(BATCH)
            total = sum(float(losses(model, batch).double().sum()) for batch in batches)
    finally:
        model.model.layers, model.config.num_hidden_layers = layers, count
    return total / (tokens.shape[0] * (tokens.shape[1] - 1))


def block_influence(model: Any, tokens: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return ``1 - E[cos(h_i, h_{i+1})]`` over the tokens, for each layer (ShortGPT)."""
    sums = np.zeros(model.config.num_hidden_layers)

    def watch(index: int) -> Any:
        def hook(_: Any, args: Any, output: Any) -> None:
            after = output[0] if isinstance(output, tuple) else output
            cosine = torch.nn.functional.cosine_similarity(args[0], after, dim=-1)
            sums[index] += float(cosine.double().sum())

        return hook

    handles = [layer.register_forward_hook(watch(i)) for i, layer in enumerate(model.model.layers)]
    with torch.no_grad():
        for batch in torch.from_numpy(tokens).split(BATCH):
            model(input_ids=batch, use_cache=False)
    for handle in handles:
        handle.remove()
    return 1 - sums / tokens.size


def gate_gradients(model: Any, setting: Setting) -> NDArray[np.float64]:
    """Return A, one row of gradients with respect to the gates of the layers for each sample."""
    gates = find_gates(model, "block")
    samples = calibration(setting.recipe.sequence, setting.samples)
    rows = [
        sample_gradients(gates, samples.tokens[i : i + BATCH], samples.targets[i : i + BATCH])[1]
        for i in range(0, setting.samples, BATCH)
    ]
    return np.concatenate(rows)


def compare(model: Any, setting: Setting) -> dict[str, Any]:
    """Compute the truth and what energy, block influence and chance make of it."""
    recipe, corpus = setting.recipe, load_corpus()
    gradients = gate_gradients(model, setting)
    hessian, gradient = gauss_newton(gradients), gradients.mean(axis=0)
    held_out = windows(corpus.held_out, setting.windows, recipe.sequence, 3)
    chosen_on = windows(corpus.calibration, setting.windows, recipe.sequence, 4)
    influence = block_influence(model, chosen_on)
    n = len(hessian)
    unpruned = loss_without(model, (), held_out)
    rows, changes = [], {}
    for count in range(1, setting.largest + 1):
        subsets = list(itertools.combinations(range(n), count))
        states = np.array([[i in each for i in range(n)] for each in subsets])
        truth = np.array([loss_without(model, each, held_out) for each in subsets]) - unpruned
        changes[count] = truth.tolist()
        ranks = truth.argsort(kind="stable").argsort() + 1
        scores = {
            f"energy, β = {beta:g}": (
                Problem(hessian, count, gradient=gradient, beta=beta).energies(states)
            )
            for beta in BETAS
        }
        scores["diagonal of H alone"] = states @ hessian.diagonal()
        scores["block influence"] = states @ influence
        for judge, score in scores.items():
            lowest = score.argsort(kind="stable")[:VALIDATED]
            losses_there = [loss_without(model, subsets[k], chosen_on) for k in lowest]
            choices = {
                "choice": lowest[0],
                "validated": lowest[int(np.argmin(losses_there))],
                "best_of_ten": lowest[int(ranks[lowest].argmin())],
            }
            rows.append(
                {
                    "remove": count,
                    "subsets": len(subsets),
                    "judge": judge,
                    "spearman": float(spearmanr(score, truth).statistic),
                    **{
                        name: {
                            "removed": subsets[k],
                            "rank": int(ranks[k]),
                            "change": float(truth[k]),
                        }
                        for name, k in choices.items()
                    },
                }
            )
        print(f"M = {count}: {len(subsets)} subsets", flush=True)
    return {
        "held_out_loss": unpruned,
        "block_influence": influence.tolist(),
        "diagonal": hessian.diagonal().tolist(),
        "mean_gradient": gradient.tolist(),
        "judged": rows,
        "loss_changes": changes,
    }


def table(result: dict[str, Any]) -> str:
    """Return the comparison as Markdown: ranks in the truth, from 1, with the change of the
    loss.
    """

    def cell(choice: dict[str, Any]) -> str:
        return f"{choice['rank']} ({choice['change']:+.3f})"

    columns = [
        "M",
        "judged by",
        "Spearman",
        "its choice",
        "of its ten, validated",
        "of its ten, best",
    ]
    lines = []
    for count, changes in result["loss_changes"].items():
        judged = [row for row in result["judged"] if row["remove"] == int(count)]
        lines += [
            [
                str(count),
                row["judge"],
                f"{row['spearman']:.2f}",
                *(cell(row[name]) for name in ("choice", "validated", "best_of_ten")),
            ]
            for row in judged
        ]
        mean = f"{(len(changes) + 1) / 2:g} ({np.mean(changes):+.3f})"
        lines.append([str(count), "chance, on average", "0", mean, "", ""])
        best = f"1 ({min(changes):+.3f})"
        lines.append([str(count), f"truth, of {len(changes)}", "1", best, "", ""])
    return markdown(columns, lines)


def main() -> None:
    """Train the model if it is not there, compare, print the table and write the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--smoke", action="store_true", help="a tiny model; nothing is written")
    parser.add_argument("--weights", type=Path, default=WEIGHTS, metavar="FOLDER")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    setting = SMOKE if arguments.smoke else FULL
    recipe = setting.recipe
    folder = arguments.weights / recipe.name
    if not (folder / "model.safetensors").exists():
        train(recipe, folder)
    model, training = load_trained(recipe, folder)
    result = compare(model, setting)
    print(table(result))
    if not arguments.smoke:
        training.pop("minutes")
        path = save("energy_truth", "python -m benchmarks.energy_truth", [training | result])
        print(f"written to {path}")


if __name__ == "__main__":
    main()
