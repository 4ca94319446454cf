"""Hessians of the trained models, from the extractor that users have."""

from __future__ import annotations

import tempfile
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.reference_models.corpus import load_corpus, starts
from benchmarks.reference_models.models import Recipe
from benchmarks.reference_models.training import load_trained
from qubo_prune.hessians import load_hessian, save_hessian
from qubo_prune.hessians.calibration import Calibration
from qubo_prune.hessians.extraction import extract
from qubo_prune.hessians.gates.gates import find_gates

DATA = Path(__file__).parents[2] / "qubo_prune" / "core" / "files" / "data"
SAMPLES = 2048
SEED = 2


def calibration(sequence: int, samples: int = SAMPLES) -> Calibration:
    """Return seeded windows of the files set apart for calibration; ``indices`` says where they
    start.
    """
    corpus = load_corpus()
    places = starts(corpus.calibration, samples, sequence, SEED)
    counted = np.arange(sequence) > 0
    return Calibration(
        tokens=tuple(
            corpus.calibration[start : start + sequence].astype(np.int64) for start in places
        ),
        targets=(counted,) * samples,
        indices=places,
        description={
            **corpus.description,
            "part": "calibration",
            "samples": samples,
            "sequence_length": sequence,
            "seed": SEED,
            "tokens": samples * sequence,
            "counted_tokens": samples * (sequence - 1),
        },
    )


def extract_all(recipe: Recipe, folder: Path, data: Path = DATA, *, samples: int = SAMPLES) -> None:
    """Write the Hessians of a trained model, with what is known about it in their sidecars.

    The gate of a layer scales all its branches alike (paper, equations 1-2), so the derivative with
    respect to it is the sum of theirs: the branches are differentiated, and the Hessian of the
    layers is that of the branches with their rows and columns added up.
    """
    model, training = load_trained(recipe, folder)
    layers, branches = find_gates(model, "block").gates, find_gates(model, "branch").gates
    with tempfile.TemporaryDirectory() as temporary:
        raw = Path(temporary) / "raw.npy"
        done = extract(model, calibration(recipe.sequence, samples), raw, granularity="branch")
        file = load_hessian(raw)
    print(f"{recipe.name}: {done.samples_per_second:.1f} samples/s")
    # The seed in the description says which samples.
    left_out = ("format_version", "sha256", "sample_indices")
    said = {key: value for key, value in file.metadata.items() if key not in left_out}
    together = np.array([[float(b.layer == a.layer) for b in branches] for a in layers])
    by_layer = said | {
        "names": [gate.name for gate in layers],
        "kinds": [gate.kind for gate in layers],
        "parameter_counts": [gate.num_parameters for gate in layers],
        "granularity": "block",
        "mean_gradient": together @ np.asarray(file.metadata["mean_gradient"]),
    }
    hessian = together @ file.hessian @ together.T
    hessian = (hessian + hessian.T) / 2
    if len(layers) == len(branches):
        written = [(recipe.name, hessian, by_layer)]
    else:
        written = [
            (f"{recipe.name}-block", hessian, by_layer),
            (f"{recipe.name}-branch", file.hessian, said),
        ]
    for name, matrix, sidecar in written:
        save_hessian(
            data / f"{name}.npy",
            matrix,
            **sidecar | describe(recipe, training, sidecar, len(layers)),
        )


def describe(
    recipe: Recipe, training: dict[str, Any], sidecar: dict[str, Any], layers: int
) -> dict[str, Any]:
    """Return what a sidecar says about a reference model beside what the extractor knows."""
    kinds = Counter(sidecar["kinds"])
    counts = ", ".join(f"{count} {kind}" for kind, count in kinds.items())
    counts = f" ({counts})" if len(kinds) > 1 else ""
    gated = "decoder layers" if sidecar["granularity"] == "block" else "residual branches"
    size = f"{training['parameters'] / 1e6:.1f}M parameters"
    bits = training["bits_per_byte"]
    return {
        "description": (
            f"The {kinds.total()} {gated}{counts} of a {recipe.model_type} byte language model "
            f"with {size}."
        ),
        "model": (
            f"{recipe.model_type}, {layers} pre-norm decoder layers, "
            f"d={recipe.config['hidden_size']}, {size}, byte vocabulary"
        ),
        "training": {
            "command": f"python -m benchmarks.reference_models train {recipe.name}",
            "parameters": training["parameters"],
            "tokens": training["tokens"],
            "steps": training["steps"],
            "corpus_sha256": training["corpus"]["sha256"],
            "weights_sha256": training["weights_sha256"],
            "held_out_bits_per_byte": {key: round(value, 4) for key, value in bits.items()},
        },
    }
