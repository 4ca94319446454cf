"""Training on one core: AdamW, warm-up and linear decay, the same weights every time."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import math
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from torch.nn import functional

from benchmarks.reference_models.corpus import load_corpus, windows
from benchmarks.reference_models.models import Recipe, build

CHECKPOINT_SECONDS = 180.0
EVALUATION_WINDOWS = 1024


def decay_start(steps: int) -> int:
    """Return the step from which the learning rate falls: the last two fifths."""
    return steps - 2 * steps // 5


def learning_rate(step: int, recipe: Recipe) -> float:
    """Rise linearly, stay, and fall linearly to a twentieth at the end.

    Until it falls it does not depend on the number of steps, which can therefore be chosen late.
    """
    if step < recipe.warm_up:
        return recipe.learning_rate * (step + 1) / recipe.warm_up
    start = decay_start(recipe.steps)
    left = 1.0 - max(0, step - start) / (recipe.steps - start)
    return recipe.learning_rate * (0.05 + 0.95 * left)


def losses(model: Any, tokens: torch.Tensor) -> torch.Tensor:
    """Return the cross-entropy of every token but the first, ``(B, T - 1)``, in nats."""
    logits = model(input_ids=tokens, use_cache=False).logits[:, :-1]
    return functional.cross_entropy(logits.transpose(1, 2), tokens[:, 1:], reduction="none")


@torch.no_grad()
def bits_per_byte(model: Any, recipe: Recipe, count: int = EVALUATION_WINDOWS) -> float:
    """Return the mean cross-entropy on seeded windows of the held-out files, in bits."""
    model.eval()
    tokens = torch.from_numpy(windows(load_corpus().held_out, count, recipe.sequence, 1))
    total = sum(float(losses(model, batch).double().sum()) for batch in tokens.split(32))
    return total / (count * (recipe.sequence - 1)) / math.log(2)


def train(recipe: Recipe, folder: Path, *, save_every: float = CHECKPOINT_SECONDS) -> None:
    """Train a model into a folder, or go on from the checkpoint in it.

    One thread, float32, and batches that depend on the seed and the step alone: the same weights
    on the same processor and libraries, interrupted or not.
    """
    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True)
    folder.mkdir(parents=True, exist_ok=True)
    corpus = load_corpus()
    model = build(recipe)
    optimizer = _optimizer(model, recipe)
    state = folder / "checkpoint.pt"
    step, seconds, untrained = 0, 0.0, None
    if state.exists():
        saved = torch.load(state, weights_only=True)
        constant = saved["step"] <= min(decay_start(saved["steps"]), decay_start(recipe.steps))
        if saved["recipe"] != _identity(recipe) or (
            saved["steps"] != recipe.steps and not constant
        ):
            raise SystemExit(f"{state} is of another recipe; remove it or name another folder.")
        model.load_state_dict(saved["model"])
        optimizer.load_state_dict(saved["optimizer"])
        step, seconds, untrained = saved["step"], saved["seconds"], saved["untrained"]
    if untrained is None:
        untrained = bits_per_byte(model, recipe)
    print(
        f"{recipe.name}: {count_parameters(model)} parameters, untrained {untrained:.3f} bits per"
        " byte"
    )

    def checkpoint() -> None:
        saved = {
            "recipe": _identity(recipe),
            "steps": recipe.steps,
            "model": model.state_dict(),
            "optimizer": optimizer.state_dict(),
            "step": step,
            "seconds": seconds,
            "untrained": untrained,
        }
        unfinished = state.with_suffix(".new")
        torch.save(saved, unfinished)
        unfinished.replace(state)

    model.train()
    started = last_save = time.perf_counter()
    before = seconds
    recent: list[float] = []
    while step < recipe.steps:
        for group in optimizer.param_groups:
            group["lr"] = learning_rate(step, recipe)
        tokens = windows(corpus.train, recipe.batch, recipe.sequence, [recipe.seed, step])
        loss = losses(model, torch.from_numpy(tokens)).mean()
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        step += 1
        recent.append(loss.item() / math.log(2))
        now = time.perf_counter()
        seconds = before + now - started
        if step % 20 == 0:
            rate = step / seconds
            print(
                f"step {step}/{recipe.steps}  {np.mean(recent):.3f} bits  "
                f"{rate * recipe.batch * recipe.sequence:.0f} tokens/s  "
                f"{(recipe.steps - step) / rate / 60:.1f} min left",
                flush=True,
            )
            recent.clear()
        if now - last_save > save_every:
            checkpoint()
            last_save = now
    checkpoint()
    report = {
        "recipe": recipe.name,
        "parameters": count_parameters(model),
        "steps": step,
        "tokens": step * recipe.batch * recipe.sequence,
        "bits_per_byte": {"untrained": untrained, "trained": bits_per_byte(model, recipe)},
        "minutes": round(seconds / 60, 1),
        "corpus": corpus.description,
    }
    save_file(model.state_dict(), folder / "model.safetensors")
    (folder / "training.json").write_text(json.dumps(report, indent=1) + "\n")
    print(json.dumps(report["bits_per_byte"]))


def count_parameters(model: Any) -> int:
    """Return the number of parameters."""
    return sum(parameter.numel() for parameter in model.parameters())


def load_trained(recipe: Recipe, folder: Path) -> tuple[Any, dict[str, Any]]:
    """Return a trained model and what its training reported."""
    weights = folder / "model.safetensors"
    if not weights.exists():
        raise SystemExit(
            f"{weights} is not there; run python -m benchmarks.reference_models train {recipe.name}"
            " first."
        )
    model = build(recipe)
    model.load_state_dict(load_file(weights))
    model.eval()
    model.name_or_path = recipe.name
    report = json.loads((folder / "training.json").read_text())
    report["weights_sha256"] = hashlib.sha256(weights.read_bytes()).hexdigest()
    return model, report


def _identity(recipe: Recipe) -> str:
    """Return all that the constant part of a run depends on."""
    return repr(dataclasses.replace(recipe, steps=0))


def _optimizer(model: Any, recipe: Recipe) -> torch.optim.Optimizer:
    parameters = [p for p in model.parameters() if p.requires_grad]
    groups = [
        {"params": [p for p in parameters if p.ndim >= 2], "weight_decay": recipe.weight_decay},
        {"params": [p for p in parameters if p.ndim < 2], "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(groups, lr=recipe.learning_rate, betas=(0.9, 0.95), fused=True)
