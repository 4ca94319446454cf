"""Calibration data: which samples, as which tokens, and where the loss counts."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qubo_prune.core.lazy import lazy_names

if TYPE_CHECKING:
    from qubo_prune.hessians.calibration.calibration import Calibration as Calibration
    from qubo_prune.hessians.calibration.calibration import load_calibration as load_calibration

_HOMES = {
    "Calibration": "qubo_prune.hessians.calibration.calibration",
    "load_calibration": "qubo_prune.hessians.calibration.calibration",
}

__all__ = [*_HOMES]  # noqa: PLE0604 - every key is a string

__getattr__, __dir__ = lazy_names(__name__, _HOMES)
