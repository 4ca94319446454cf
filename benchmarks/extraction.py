"""Per-sample gradients of gates beside a plain forward and backward pass: ``python -m
benchmarks.extraction``.

The plain pass is the least that any gradient of a model costs: through frozen weights to the input
embeddings, with the mean cross-entropy of the batch that the model computes itself. Both run on the
same model and batch in turn, on one thread; the models have random weights, which take as long as
trained ones.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
import transformers

from benchmarks.record import markdown, save
from qubo_prune.hessians.gates.gates import find_gates, frozen
from qubo_prune.hessians.gradients import sample_gradients

MODELS: dict[str, dict[str, Any]] = {
    "llama": {},
    "gemma2": {"head_dim": 64},
    "mixtral": {"num_local_experts": 4, "num_experts_per_tok": 2},
}
SIZES = {
    "hidden_size": 384,
    "intermediate_size": 1024,
    "num_hidden_layers": 8,
    "num_attention_heads": 6,
    "num_key_value_heads": 2,
    "vocab_size": 8192,
    "tie_word_embeddings": False,
}
SMALL = {"hidden_size": 48, "intermediate_size": 64, "num_hidden_layers": 2, "vocab_size": 100}


def build(name: str, smoke: bool) -> Any:
    """Return a causal language model of the type `name` with random weights."""
    settings = SIZES | MODELS[name] | (SMALL if smoke else {})
    torch.manual_seed(0)
    config = transformers.AutoConfig.for_model(name, **settings)
    return transformers.AutoModelForCausalLM.from_config(config).eval()


def plain(model: Any, tokens: torch.Tensor) -> torch.Tensor:
    """Return the gradient of the batch's loss with respect to the input embeddings."""
    embeddings = model.get_input_embeddings()(tokens).detach().requires_grad_()
    loss = model(inputs_embeds=embeddings, labels=tokens, use_cache=False).loss
    [gradient] = torch.autograd.grad(loss, embeddings)
    return gradient


def seconds(run: Callable[[], object]) -> float:
    """Return the time that a run takes."""
    begin = time.perf_counter()
    run()
    return time.perf_counter() - begin


def measure(
    name: str, granularity: Any, samples: int, length: int, pairs: int, smoke: bool
) -> dict[str, Any]:
    """Return the medians of a model's samples per second, and of the ratios of pairs."""
    model = build(name, smoke)
    rng = np.random.default_rng(0)
    batch = rng.integers(model.config.vocab_size, size=(samples, length))
    tokens, targets = list(batch), [np.arange(length) > 0] * samples
    gates = find_gates(model, granularity)
    tensor = torch.from_numpy(batch)
    runs: list[Callable[[], object]] = [
        lambda: plain(model, tensor),
        lambda: sample_gradients(gates, tokens, targets),
    ]
    taken = []
    with frozen(model):
        for number in range(-1, pairs):
            # Whoever comes second finds warmer caches: take turns.
            order = (0, 1) if number % 2 else (1, 0)
            times = {i: seconds(runs[i]) for i in order}
            if number >= 0:  # the first pair warms up
                taken.append((times[0], times[1]))
    base, gated = (statistics.median(column) for column in zip(*taken, strict=True))
    return {
        "model": name,
        "granularity": granularity,
        "parameters": sum(parameter.numel() for parameter in model.parameters()),
        "gates": len(gates),
        "samples": samples,
        "tokens": length,
        "pairs": pairs,
        "plain_samples_per_second": samples / base,
        "samples_per_second": samples / gated,
        "median_ratio": statistics.median(a / b for a, b in taken),
    }


def table(rows: list[dict[str, Any]]) -> str:
    """Return a line for each model and granularity."""
    columns = ["model", "gates", "plain, samples/s", "gradients, samples/s", "ratio of pairs"]
    body = [
        [
            f"`{row['model']}`, {row['parameters'] / 1e6:.1f}M",
            f"{row['gates']}, one per {row['granularity']}",
            f"{row['plain_samples_per_second']:.2f}",
            f"{row['samples_per_second']:.2f}",
            f"{row['median_ratio']:.2f}",
        ]
        for row in rows
    ]
    return markdown(columns, body)


def main() -> None:
    """Measure all models and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--smoke", action="store_true", help="small models, nothing is written")
    parser.add_argument("--pairs", type=int, default=15)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    samples, length, pairs = (2, 16, 1) if arguments.smoke else (4, 256, arguments.pairs)
    rows = [
        measure(name, granularity, samples, length, pairs, arguments.smoke)
        for name in MODELS
        for granularity in ("block", "branch")
    ]
    if not arguments.smoke:
        save("extraction", "python -m benchmarks.extraction", rows)
    print(table(rows))


if __name__ == "__main__":
    main()
