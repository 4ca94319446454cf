"""LLM-Drop's two lists of layers, as they stand in its ``config.json``."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from qubo_prune.core.files.strict_json import Reader, as_integer, as_list
from qubo_prune.core.text import format_value
from qubo_prune.pruning.removal_lists.blocks import (
    HALVES,
    Blocks,
    Removal,
    blocks_of_halves,
    single,
)


def read_llm_drop(path: Path, data: bytes, blocks: Blocks) -> list[Removal]:
    """Read the lists; other keys of the configuration do not matter."""
    reader = Reader(
        path, "LLM-Drop configuration", "give drop_attn_list and drop_mlp_list as lists of layers"
    )
    fields = reader.parse(data)
    halves: dict[int, list[str]] = {}
    for half in HALVES:
        key = f"drop_{half}_list"
        for layer in _layers(reader, key, fields.get(key), blocks.num_layers):
            halves.setdefault(layer, []).append(half)
    removed: list[int] = []
    for layer in sorted(halves):
        removed += blocks_of_halves(blocks, layer, halves[layer], reader.fail)
    return [tuple(sorted(removed))]


def _layers(reader: Reader, key: str, value: Any, num_layers: int) -> list[int]:
    """Return the layers of a list of indices, or of one yes or no for each layer."""
    if value is None:
        return []
    entries = reader.get({key: value}, key, as_list)
    if entries and all(isinstance(entry, bool) for entry in entries):
        if len(entries) != num_layers:
            reader.fail(
                f"{key} says yes or no to {len(entries)} layers, and the model has {num_layers}"
            )
        return [layer for layer, dropped in enumerate(entries) if dropped]
    layers = []
    for entry in entries:
        layer = reader.get({f"an entry of {key}": entry}, f"an entry of {key}", as_integer)
        if not 0 <= layer < num_layers:
            reader.fail(f"{key} holds layer {format_value(layer)}, outside 0...{num_layers - 1}")
        if layer in layers:
            reader.fail(f"{key} holds layer {layer} twice")
        layers.append(layer)
    return layers


def write_llm_drop(removals: Sequence[Removal], blocks: Blocks) -> str:
    """Return an object of the two lists, to be put into a configuration."""
    halves = blocks.halves(single(removals, "llm-drop"))
    lists = {
        f"drop_{half}_list": [layer for layer, taken in enumerate(halves) if half in taken]
        for half in reversed(HALVES)
    }
    return json.dumps(lists, indent=2) + "\n"
