"""What tells good removals from bad ones before they are measured: ``python -m benchmarks.priors
MODEL --data FILE --folder FOLDER``.

Of all removals that the study of `benchmarks.selection` measured on the samples of a seed, kept in
FOLDER, the rank correlation between what they cost and what each score says, by number of layers:

- the measured singles, losses and divergences from the original, added up;
- the energy of H = A'A/m whose rows are gradients of the loss on labels drawn from the model itself
  (the Fisher matrix of the gates), and its diagonal;
- singles with pair terms from finite differences of the logits, G_ij = mean over the tokens of
  Cov_p(log p_i - log p, log p_j - log p), where p is the original and p_i the model without layer
  i: to second order, twice the divergence of a removal is the sum of G over it. The diagonal of G
  is replaced by the measured singles.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.stats import spearmanr

from benchmarks.record import markdown, save
from benchmarks.selection import CHOOSING, EVALUATIONS, Bench
from qubo_prune.hessians.extraction import gauss_newton
from qubo_prune.hessians.gates.gates import Gates, frozen
from qubo_prune.hessians.language_model import load_model, load_tokenizer
from qubo_prune.pruning.measurement import ModelObjective
from qubo_prune.pruning.measuring.skipping import Skipper

DRAWS = 8
"""Labels drawn for each token, one after the other."""
SHARES = (0.1, 0.2, 1.0)
"""Of the pair terms."""


def pools(file: Path) -> dict[int, dict[tuple[int, ...], float]]:
    """Return what removals of each size cost on the samples to choose by, from kept records."""
    found: dict[int, dict[tuple[int, ...], float]] = {}
    for line in file.read_text().splitlines()[1:]:
        record = json.loads(line)
        values = np.array(record["values"], np.float64)
        if record["samples"] == "choosing" and np.isfinite(values).all():
            removed = tuple(record["removed"])
            found.setdefault(len(removed), {})[removed] = float(values.mean())
    return found


def drawn_gradients(
    gates: Gates, tokens: Sequence[NDArray[np.int64]], seed: int
) -> NDArray[np.float64]:
    """Return a row per sample and draw: the gradient of the mean loss on labels drawn from the
    model, with respect to the gates.
    """
    generator = torch.Generator().manual_seed(seed)
    rows = []
    for sample in tokens:
        ids = torch.from_numpy(sample)[None]
        values = torch.ones(1, len(gates), dtype=torch.float64, requires_grad=True)
        with frozen(gates.model), torch.enable_grad(), gates.attached(values):
            logits = gates.model(input_ids=ids, use_cache=False).logits[0, :-1].float()
            for draw in range(DRAWS):
                labels = torch.multinomial(logits.detach().softmax(-1), 1, generator=generator)
                loss = torch.nn.functional.cross_entropy(logits, labels[:, 0])
                [slope] = torch.autograd.grad(loss, values, retain_graph=draw < DRAWS - 1)
                rows.append(slope[0].numpy())
    return np.array(rows)


def logit_differences(gates: Gates, tokens: Sequence[NDArray[np.int64]]) -> NDArray[np.float64]:
    """Return G of finite differences of the logits, the mean over all tokens of all samples."""
    total = torch.zeros(len(gates), len(gates), dtype=torch.float64)
    count = 0
    with torch.no_grad(), frozen(gates.model):
        for sample in tokens:
            ids = torch.from_numpy(sample)[None]
            skipper = Skipper(gates, ids)
            original = _log_probabilities(gates.model, ids)
            weights = original.exp()
            differences = []
            for block in range(len(gates)):
                with skipper.without([block]):
                    change = _log_probabilities(gates.model, ids) - original
                change -= (weights * change).sum(-1, keepdim=True)
                differences.append((change * weights.sqrt()).flatten())
            stacked = torch.stack(differences)
            total += (stacked @ stacked.T).double()
            count += len(original)
    matrix: NDArray[np.float64] = (total / count).numpy()
    return matrix


def _log_probabilities(model: Any, ids: torch.Tensor) -> torch.Tensor:
    logits: torch.Tensor = model(input_ids=ids, use_cache=False).logits[0, :-1]
    return logits.float().log_softmax(-1)


def scores(bench: Bench, model: Any, single_losses: NDArray[np.float64]) -> dict[str, Any]:
    """Return a quadratic for each score; the lower its energy, the better the removal."""
    alone = [(block,) for block in range(len(bench.gates))]
    divergence = ModelObjective(
        model, bench.gates, bench.choosing, objective="kl", batch_size=CHOOSING
    ).measure(alone)
    kl = np.zeros(len(alone))
    for each in divergence:
        kl[each.removed[0]] = each.value
    tokens = bench.choosing.tokens
    fisher = gauss_newton(drawn_gradients(bench.gates, tokens, bench.seed))
    pairs = logit_differences(bench.gates, tokens)
    # 2 KL is about x'Gx, so KL and its pairs are half of it.
    pairs = (pairs - np.diag(np.diag(pairs))) / 2
    found = {
        "sum of the single losses": np.diag(single_losses),
        "sum of the single divergences": np.diag(kl),
        "energy, H of labels drawn from the model": fisher,
        "diagonal of that H": np.diag(np.diag(fisher)),
    }
    for name, singles in (("losses", single_losses), ("divergences", kl)):
        for share in SHARES:
            found[f"single {name}, {share:g} of the pairs of logit differences"] = (
                np.diag(singles) + share * pairs
            )
    return found


def correlations(
    quadratics: dict[str, Any], pool: dict[tuple[int, ...], float], size: int
) -> dict[str, float]:
    """Return Spearman's rank correlation of each score with what removals cost."""
    removals = list(pool)
    picked = np.zeros((len(removals), size))
    for row, removed in zip(picked, removals, strict=True):
        row[list(removed)] = 1
    costs = [pool[each] for each in removals]
    return {
        name: float(spearmanr(np.einsum("ki,ij,kj->k", picked, matrix, picked), costs).statistic)
        for name, matrix in quadratics.items()
    }


def main() -> None:
    """Correlate, print the table and write the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model", metavar="MODEL", help="a folder, or a name on the hub")
    parser.add_argument("--data", type=Path, required=True, metavar="FILE")
    parser.add_argument("--folder", type=Path, required=True, metavar="FOLDER")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--dtype", default="bfloat16")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    tokenizer = load_tokenizer(arguments.model)
    model = load_model(arguments.model, dtype=arguments.dtype, device_map="cpu")
    results: list[dict[str, Any]] = []
    for seed in range(arguments.seeds):
        known = pools(arguments.folder / f"seed-{seed}.jsonl")
        bench = Bench(model, tokenizer, arguments.data, seed, arguments.folder)
        size = len(bench.gates)
        losses = np.array([known[1][block,] for block in range(size)])
        quadratics = scores(bench, model, losses)
        for remove in EVALUATIONS:
            found = correlations(quadratics, known[remove], size)
            results.append(
                {"seed": seed, "remove": remove, "removals": len(known[remove]), "scores": found}
            )
            print(f"seed {seed} M={remove}: {len(known[remove])} removals", flush=True)
        save(
            "priors",
            "python -m benchmarks.priors MODEL --data FILE --folder FOLDER",
            [
                {"settings": {"model": Path(arguments.model).name, "draws": DRAWS}, **each}
                for each in results
            ],
        )
    print(table(results))


def table(results: Sequence[dict[str, Any]]) -> str:
    """Return the means over the seeds, and their range, as Markdown."""
    sizes = list(dict.fromkeys(each["remove"] for each in results))
    lines = []
    for name in results[0]["scores"]:
        cells = []
        for size in sizes:
            values = [each["scores"][name] for each in results if each["remove"] == size]
            cells.append(f"{np.mean(values):.2f} ({min(values):.2f} to {max(values):.2f})")
        lines.append([name, *cells])
    return markdown(["score", *(f"M = {size}" for size in sizes)], lines)


if __name__ == "__main__":
    main()
