"""Any dimod sampler as a backend."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qubo_prune.core.lazy import lazy_names

if TYPE_CHECKING:
    from qubo_prune.backends.ocean.backend import OceanBackend as OceanBackend

_HOMES = {"OceanBackend": "qubo_prune.backends.ocean.backend"}

__all__ = [*_HOMES]  # noqa: PLE0604 - every key is a string

__getattr__, __dir__ = lazy_names(__name__, _HOMES)
