"""What a diagnosis found, for programs and people: the facts of a Hessian, by name."""

from __future__ import annotations

from collections import Counter
from math import isinf
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from qubo_prune.hessians.diagnostics import Diagnosis

__all__ = ["PAIRS_SHOWN", "diagnosis_to_dict", "facts_of", "format_fact", "format_kinds"]

PAIRS_SHOWN = 5
"""How many pairs of correlated blocks are named."""


def diagnosis_to_dict(diagnosis: Diagnosis) -> dict[str, object]:
    """Return what `hessians show --json` prints."""
    return {**facts_of(diagnosis), **_findings(diagnosis)}


def facts_of(diagnosis: Diagnosis) -> dict[str, object]:
    """Return the facts of a Hessian, by name."""
    import numpy as np

    file = diagnosis.file
    given = np.asarray(file.hessian, np.float64)
    described: dict[str, object] = {
        key: file.metadata[key]
        for key in ("model", "granularity", "samples", "sequence_length", "loss")
        if key in file.metadata
    }
    condition = diagnosis.condition_number
    sampled: dict[str, object] = {}
    if diagnosis.samples is not None:
        sampled = {
            "gradients_of_samples": diagnosis.samples,
            "effective_samples": diagnosis.effective_samples,
            "largest_share_of_a_sample": diagnosis.largest_share,
            "split_half_distance": diagnosis.split_half,
        }
    return {
        "path": str(file.path),
        "num_blocks": file.num_blocks,
        "kinds": dict(Counter(file.kinds or ())),
        **described,
        **({} if file.remove is None else {"remove": file.remove}),
        **({"offset": file.offset} if file.offset else {}),
        "mean_gradient": file.mean_gradient is not None,
        "largest_asymmetry": float(np.abs(given - given.T).max()),
        "smallest_eigenvalue": float(diagnosis.eigenvalues[0]),
        "largest_eigenvalue": float(diagnosis.eigenvalues[-1]),
        "condition_number": None if isinf(condition) else condition,
        "rank": diagnosis.rank,
        "effective_rank": diagnosis.effective_rank,
        **sampled,
        "file_sha256": file.sha256,
    }


def _findings(diagnosis: Diagnosis) -> dict[str, object]:
    """Return what is printed in tables of its own."""
    convergence = diagnosis.convergence
    stability = diagnosis.stability
    return {
        "correlated_pairs": [
            {"blocks": [i, j], "correlation": value}
            for i, j, value in diagnosis.correlated_pairs(PAIRS_SHOWN)
        ],
        "convergence": (
            None
            if convergence is None
            else [{"samples": count, "distance": distance} for count, distance in convergence]
        ),
        "states": (
            None
            if stability is None
            else [
                {
                    "removed": stability.states[k].nonzero()[0].tolist(),
                    "energy": float(stability.energies[k]),
                    "error": float(stability.errors[k]),
                    "gap": float(stability.gaps[k]),
                    "gap_error": float(stability.gap_errors[k]),
                    "ground_share": float(stability.ground_share[k]),
                    "lowest_share": float(stability.lowest_share[k]),
                    "proven": k < stability.num_proven,
                }
                for k in range(len(stability.states))
            ]
        ),
        "warnings": list(diagnosis.warnings),
    }


def format_kinds(kinds: dict[str, int]) -> str:
    """Return how many blocks of each kind there are, in words."""
    return ", ".join(f"{count} {kind}" for kind, count in kinds.items())


def format_fact(value: object) -> str:
    """Return a fact for people.

    >>> format_fact(True), format_fact({"mlp": 2}), format_fact(None), format_fact(0.123456)
    ('yes', '2 mlp', 'none', '0.1235')
    """
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, dict):
        return format_kinds(value) or "unknown"
    if value is None:
        return "none"
    return f"{value:.4g}" if isinstance(value, float) else str(value)
