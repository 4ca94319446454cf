"""Removals in the files of others: read to be measured beside ours, and written for them."""

from __future__ import annotations

from qubo_prune.pruning.removal_lists.blocks import Blocks
from qubo_prune.pruning.removal_lists.registry import (
    FORMATS,
    RemovalFormat,
    names_branches,
    read_removals,
    write_removals,
)

__all__ = [
    "FORMATS",
    "Blocks",
    "RemovalFormat",
    "names_branches",
    "read_removals",
    "write_removals",
]
