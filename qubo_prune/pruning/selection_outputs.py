"""What a selection and its corrected quadratic say of where they come from."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from qubo_prune.core.files.hessian import save_hessian
from qubo_prune.core.problem.problem import Problem
from qubo_prune.pruning.loop import LoopResult
from qubo_prune.pruning.selection import Selection

if TYPE_CHECKING:
    from qubo_prune.pruning.measurement import ModelObjective

__all__ = ["identity_of", "samples_of", "save_surrogate"]

_IDENTITY = ("model_fingerprint", "dtype", "objective", "granularity", "names", "sample_indices")


def identity_of(described: Mapping[str, Any], fresh: Mapping[str, Any] | None) -> dict[str, Any]:
    """Return what a value depends on; where a model lies and who else is measured is not."""
    identity = {key: described[key] for key in _IDENTITY}
    identity["tokens_sha256"] = described["calibration"]["tokens_sha256"]
    if fresh is not None:
        identity["held_out_indices"] = fresh["sample_indices"]
        identity["held_out_tokens_sha256"] = fresh["calibration"]["tokens_sha256"]
    return identity


def samples_of(choosing: ModelObjective, held_out: ModelObjective | None) -> dict[str, Any]:
    """Return what a selection says about its samples."""
    described = choosing.describe()
    samples = {
        "choosing": described["samples"],
        "held_out": 0 if held_out is None else held_out.num_samples,
        "sequence_length": described["sequence_length"],
        "calibration": described["calibration"],
    }
    if held_out is not None:
        samples["held_out_calibration"] = held_out.describe()["calibration"]
    return samples


def save_surrogate(
    path: str | os.PathLike[str],
    result: LoopResult,
    selection: Selection,
    problem: Problem,
    described: Mapping[str, Any],
) -> None:
    """Write the corrected quadratic as a Hessian file that says where it comes from."""
    assert result.surrogate is not None  # noqa: S101 - the caller asks
    save_hessian(
        Path(path),
        result.surrogate,
        description="Quadratic learned from measured removals: energies predict the objective.",
        source={
            "kind": "measured removals",
            "objective": selection.objective,
            "measurements": selection.num_evaluations,
            "remove": problem.remove,
            "hessian_sha256": selection.hessian_sha256,
            "seed": selection.seed,
        },
        names=described["names"],
        kinds=described["kinds"],
        **({} if problem.remove is None else {"remove": problem.remove}),
        **({} if selection.baseline is None else {"loss": selection.baseline}),
        **{
            key: described[key]
            for key in (
                "model",
                "model_class",
                "model_fingerprint",
                "dtype",
                "granularity",
                "calibration",
                "samples",
                "sequence_length",
                "versions",
            )
        },
    )
