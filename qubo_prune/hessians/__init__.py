"""Hessians: how they are computed, merged and diagnosed, and their files.

Importing this package loads neither torch nor transformers; the names that need them load them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from qubo_prune.core.lazy import lazy_names

if TYPE_CHECKING:
    from qubo_prune.core.files.bundled import BundledHessian as BundledHessian
    from qubo_prune.core.files.bundled import bundled as bundled
    from qubo_prune.core.files.gradients import gauss_newton as gauss_newton
    from qubo_prune.core.files.gradients import gradients_path as gradients_path
    from qubo_prune.core.files.gradients import load_gradients as load_gradients
    from qubo_prune.core.files.gradients import save_gradients as save_gradients
    from qubo_prune.core.files.hessian import HessianFile as HessianFile
    from qubo_prune.core.files.hessian import load_hessian as load_hessian
    from qubo_prune.core.files.hessian import save_hessian as save_hessian
    from qubo_prune.hessians.calibration.calibration import Calibration as Calibration
    from qubo_prune.hessians.calibration.calibration import load_calibration as load_calibration
    from qubo_prune.hessians.diagnostics import Diagnosis as Diagnosis
    from qubo_prune.hessians.diagnostics import diagnose as diagnose
    from qubo_prune.hessians.extraction import Extraction as Extraction
    from qubo_prune.hessians.extraction import extract as extract
    from qubo_prune.hessians.gates.gates import Gate as Gate
    from qubo_prune.hessians.gates.gates import Gates as Gates
    from qubo_prune.hessians.gates.gates import find_gates as find_gates
    from qubo_prune.hessians.gradients import sample_gradients as sample_gradients
    from qubo_prune.hessians.language_model import load_model as load_model
    from qubo_prune.hessians.language_model import load_tokenizer as load_tokenizer
    from qubo_prune.hessians.merge import merge_hessians as merge_hessians
    from qubo_prune.hessians.stability import Stability as Stability

_HOMES = {
    "BundledHessian": "qubo_prune.core.files.bundled",
    "Calibration": "qubo_prune.hessians.calibration.calibration",
    "Diagnosis": "qubo_prune.hessians.diagnostics",
    "Extraction": "qubo_prune.hessians.extraction",
    "Gate": "qubo_prune.hessians.gates.gates",
    "Gates": "qubo_prune.hessians.gates.gates",
    "HessianFile": "qubo_prune.core.files.hessian",
    "Stability": "qubo_prune.hessians.stability",
    "bundled": "qubo_prune.core.files.bundled",
    "diagnose": "qubo_prune.hessians.diagnostics",
    "extract": "qubo_prune.hessians.extraction",
    "find_gates": "qubo_prune.hessians.gates.gates",
    "gauss_newton": "qubo_prune.core.files.gradients",
    "gradients_path": "qubo_prune.core.files.gradients",
    "load_calibration": "qubo_prune.hessians.calibration.calibration",
    "load_gradients": "qubo_prune.core.files.gradients",
    "load_hessian": "qubo_prune.core.files.hessian",
    "load_model": "qubo_prune.hessians.language_model",
    "load_tokenizer": "qubo_prune.hessians.language_model",
    "merge_hessians": "qubo_prune.hessians.merge",
    "sample_gradients": "qubo_prune.hessians.gradients",
    "save_gradients": "qubo_prune.core.files.gradients",
    "save_hessian": "qubo_prune.core.files.hessian",
}

__all__ = [*_HOMES]  # noqa: PLE0604 - every key is a string

__getattr__, __dir__ = lazy_names(__name__, _HOMES)
