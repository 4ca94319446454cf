"""Measured removals beside plain forward passes.

    python -m benchmarks.measurement MODEL --data CHATS

A plain pass is what a script would do for each removal: a copy of the model whose layers are really
deleted, its logits for a batch, and their cross-entropy. All kinds of passes run on the same model
and samples, on one thread, in turn. On a machine that others use, the processor's time says more
than the clock, so the ratios are of that; both are recorded.
"""

from __future__ import annotations

import argparse
import copy
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
import transformers

from benchmarks.record import markdown, save
from benchmarks.solves import solve
from qubo_prune import Problem
from qubo_prune.bench import peak_memory
from qubo_prune.hessians.calibration import Calibration, load_calibration
from qubo_prune.hessians.extraction import gauss_newton
from qubo_prune.hessians.gates.gates import find_gates
from qubo_prune.hessians.gradients import sample_gradients
from qubo_prune.hessians.language_model import load_model, load_tokenizer
from qubo_prune.pruning.measurement import ModelObjective
from qubo_prune.pruning.measuring.speed import measure_speed
from qubo_prune.pruning.measuring.trie import Walk
from qubo_prune.pruning.objective import Measurement

NUM_STATES = 100
COUNTS = (3, 6, 9, 12)


def timed(run: Callable[[], object]) -> np.ndarray:
    """Return the seconds that a run takes, of the processor and of the clock."""
    begin = np.array([time.process_time(), time.perf_counter()])
    run()
    return np.array([time.process_time(), time.perf_counter()]) - begin


def without_layers(model: Any, removed: tuple[int, ...]) -> Any:
    """Return a llama model without some layers; the weights of the others are not copied."""
    smaller = copy.deepcopy(model, {id(p): p for p in model.parameters()})
    kept = [layer for i, layer in enumerate(smaller.model.layers) if i not in removed]
    smaller.model.layers = torch.nn.ModuleList(kept)
    smaller.config.num_hidden_layers = len(kept)
    return smaller


def plain(model: Any, ids: torch.Tensor, with_loss: bool) -> torch.Tensor:
    """Return the logits of a batch, or the mean cross-entropy of each of its samples."""
    with torch.inference_mode():
        logits = model(input_ids=ids, use_cache=False).logits
        if not with_loss:
            return logits
        nats = torch.nn.functional.cross_entropy(
            logits[:, :-1].flatten(0, 1).float(), ids[:, 1:].flatten(), reduction="none"
        )
        return nats.reshape(len(ids), -1).mean(1)


def low_states(hessian: np.ndarray, remove: int) -> list[tuple[int, ...]]:
    """Return the lowest states of a Hessian."""
    number = min(NUM_STATES, Problem(hessian, remove=remove).num_states)
    spectrum = solve(Problem(hessian, remove=remove), num_states=number)
    return [tuple(map(int, spectrum.removed(k))) for k in range(number)]


def hessian_of(model: Any, samples: Calibration) -> np.ndarray:
    """Return H of the first samples."""
    gates = find_gates(model)
    rows = [
        sample_gradients(gates, samples.tokens[s : s + 8], samples.targets[s : s + 8])[1]
        for s in range(0, len(samples), 8)
    ]
    return gauss_newton(np.concatenate(rows))


def one_by_one(
    objective: ModelObjective,
    model: Any,
    ids: torch.Tensor,
    removed: tuple[int, ...],
    *,
    backwards: bool,
) -> tuple[list[np.ndarray], Measurement, torch.Tensor]:
    """Time a removal measured alone, and plain passes with and without the loss."""
    smaller = without_layers(model, removed)
    measured: list[Measurement] = []
    losses: list[torch.Tensor] = []
    runs: list[Callable[[], object]] = [
        lambda: measured.extend(objective.measure([removed])),
        lambda: losses.append(plain(smaller, ids, with_loss=True)),
        lambda: plain(smaller, ids, with_loss=False),
    ]
    # Whoever comes later finds warmer caches: take turns.
    times = {i: timed(runs[i]) for i in ((2, 1, 0) if backwards else (0, 1, 2))}
    return [times[i] for i in range(3)], measured[0], losses[0]


def sharing(model: Any, samples: Calibration, hessian: np.ndarray, remove: int) -> dict[str, Any]:
    """Measure low states together, and some of them alone and plainly in between."""
    removals = low_states(hessian, remove)
    objective = ModelObjective(model, find_gates(model), samples)
    assert objective.baseline.shape == (len(samples),)  # noqa: S101
    ids = torch.from_numpy(np.stack(samples.tokens))
    every = max(1, len(removals) // 10)
    together, alone, passes, logits = np.zeros(2), [], [], []
    walk = objective.measure(removals)
    largest = 0.0
    for number in range(len(removals)):
        found: list[Measurement] = []
        together += timed(lambda found=found: found.append(next(walk)))
        if number % every:
            continue
        times, again, losses = one_by_one(
            objective, model, ids, found[0].removed, backwards=number // every % 2 == 1
        )
        alone.append(times[0])
        passes.append(times[1])
        logits.append(times[2])
        assert again.values.tobytes() == found[0].values.tobytes()  # noqa: S101
        difference = losses.double().numpy() - objective.baseline - found[0].values
        largest = max(largest, float(np.abs(difference).max()))
    rates = {
        "together": together / len(removals),
        "alone": np.median(alone, 0),
        "plain_with_loss": np.median(passes, 0),
        "plain_logits": np.median(logits, 0),
    }
    num_layers = len(objective.gates.layers)
    row: dict[str, Any] = {
        "what": "sharing",
        "remove": remove,
        "removals": len(removals),
        "samples": len(samples),
        "tokens": int(ids.numel()),
        "dtype": str(model.dtype).removeprefix("torch."),
        "layers_per_removal": Walk(range(num_layers)).layers_run(removals) / len(removals),
        "layers_alone": num_layers - remove,
        "largest_difference_from_plain": largest,
        "peak_memory_bytes": peak_memory(),
    }
    for name, (processor, clock) in rates.items():
        row |= {f"{name}_cpu_seconds": processor, f"{name}_seconds": clock}
    for name in ("alone", "plain_with_loss", "plain_logits"):
        row[f"times_{name}"] = float(rates[name][0] / rates["together"][0])
    for name, others in (("plain_with_loss", passes), ("plain_logits", logits)):
        pairs = [float(b[0] / a[0]) for a, b in zip(alone, others, strict=True)]
        row[f"alone_speed_of_{name}"] = statistics.median(pairs)
    return row


def counted(hessian: np.ndarray) -> list[dict[str, Any]]:
    """Return how many layers are run for low states of other M, and for every single removal."""
    number = len(hessian)
    walk = Walk(range(number))
    rows = []
    for remove in COUNTS:
        if remove < number:
            removals = low_states(hessian, remove)
            rows.append((f"lowest {len(removals)} of M = {remove}", removals, number - remove))
    rows.append(("every single block", [(i,) for i in range(number)], number - 1))
    return [
        {
            "what": "layers",
            "list": name,
            "layers_per_removal": walk.layers_run(removals) / len(removals),
            "layers_alone": alone,
        }
        for name, removals, alone in rows
    ]


def dtypes(model: Any, samples: Calibration, repeats: int) -> list[dict[str, Any]]:
    """Measure a single removal in each type, in turn."""
    gates = find_gates(model)
    removed = tuple(range(1, len(gates), 4))
    taken: dict[str, list[np.ndarray]] = {}
    for _ in range(repeats):
        for name in ("float32", "bfloat16", "float16"):
            other = copy.deepcopy(model).to(getattr(torch, name))
            objective = ModelObjective(other, find_gates(other), samples)
            assert objective.baseline.shape == (len(samples),)  # noqa: S101
            times = timed(lambda objective=objective: list(objective.measure([removed])))
            taken.setdefault(name, []).append(times)
    speed = measure_speed(str(model.dtype).removeprefix("torch."))
    rows = []
    for name, times in taken.items():
        processor, clock = np.min(times, 0)
        rows.append(
            {
                "what": "dtype",
                "dtype": name,
                "cpu_seconds": processor,
                "seconds": clock,
                "proxy_seconds": speed.seconds[name],
            }
        )
    return rows


def main() -> None:
    """Measure, write the results and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model", nargs="?", help="folder of a llama model")
    parser.add_argument("--data", help="chats")
    parser.add_argument("--hessian", help="of the model; by default from 64 of the chats")
    parser.add_argument("--remove", type=int, default=6)
    parser.add_argument("--smoke", action="store_true", help="a tiny model, nothing is written")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    if arguments.smoke:
        torch.manual_seed(0)
        config = transformers.LlamaConfig(
            vocab_size=100, hidden_size=32, intermediate_size=48, num_hidden_layers=6,
            num_attention_heads=2, num_key_value_heads=2,
        )  # fmt: skip
        model: Any = transformers.LlamaForCausalLM(config).eval()
        tokens = tuple(np.random.default_rng(0).integers(0, 100, (8, 16)))
        data = Calibration(tokens, (np.arange(16) > 0,) * 8, np.arange(8), {"source": "random"})
        remove, repeats = 2, 1
    else:
        model = load_model(arguments.model, device_map=None)
        tokenizer = load_tokenizer(arguments.model)
        data = load_calibration(arguments.data, tokenizer, num_samples=64, sequence_length=192)
        remove, repeats = arguments.remove, 3
    hessian = np.load(arguments.hessian) if arguments.hessian else hessian_of(model, data)
    # Samples that fill a batch to its end: the plain pass would otherwise spend time on padding.
    longest = max(map(len, data.tokens))
    full = [s for s, sample in enumerate(data.tokens) if len(sample) == longest][:8]
    data = Calibration(
        tuple(data.tokens[s] for s in full),
        tuple(data.targets[s] for s in full),
        data.indices[full],
        data.description,
    )
    rows = [sharing(model, data, hessian, remove), *counted(hessian), *dtypes(model, data, repeats)]
    if not arguments.smoke:
        name = Path(arguments.model).name
        command = f"python -m benchmarks.measurement {name} --data chat.jsonl --remove {remove}"
        save("measurement", command, rows)
    first = rows[0]
    table = [
        [kind, f"{first[f'{key}_cpu_seconds']:.3f}", f"{first[f'{key}_seconds']:.3f}", ratio]
        for kind, key, ratio in (
            ("together", "together", ""),
            ("alone", "alone", f"{first['times_alone']:.2f}"),
            ("plain pass, loss", "plain_with_loss", f"{first['times_plain_with_loss']:.2f}"),
            ("plain pass, logits", "plain_logits", f"{first['times_plain_logits']:.2f}"),
        )
    ]
    print(markdown(["pass", "CPU s a removal", "s a removal", "CPU, times together"], table))
    print({key: value for key, value in first.items() if "seconds" not in key})
    for row in rows[1:]:
        print(row)


if __name__ == "__main__":
    main()
