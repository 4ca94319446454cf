"""Hessians: files with their sidecars, and the reference Hessians that come bundled."""

from __future__ import annotations

from qubo_prune.hessians.store import (
    BundledHessian,
    HessianFile,
    bundled,
    load_hessian,
    save_hessian,
)

__all__ = ["BundledHessian", "HessianFile", "bundled", "load_hessian", "save_hessian"]
