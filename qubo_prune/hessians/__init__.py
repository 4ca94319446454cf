"""Hessians: how they are computed, merged and diagnosed, their files with sidecars, and the reference Hessians that come bundled."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qubo_prune.hessians.calibration import Calibration, load_calibration
from qubo_prune.hessians.merge import merge_hessians
from qubo_prune.hessians.store import (
    BundledHessian,
    HessianFile,
    bundled,
    load_hessian,
    save_hessian,
)

if TYPE_CHECKING:
    from qubo_prune.hessians.diagnostics import Diagnosis as Diagnosis
    from qubo_prune.hessians.diagnostics import diagnose as diagnose

__all__ = [
    "BundledHessian",
    "Calibration",
    "Diagnosis",
    "HessianFile",
    "bundled",
    "diagnose",
    "load_calibration",
    "load_hessian",
    "merge_hessians",
    "save_hessian",
]


def __getattr__(name: str) -> object:
    if name not in ("Diagnosis", "diagnose"):
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    # These need a solver, which reading a file does not.
    from qubo_prune.hessians import diagnostics

    return getattr(diagnostics, name)
