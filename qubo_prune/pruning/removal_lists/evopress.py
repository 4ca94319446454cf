"""EvoPress's ``layer_drop_config.txt``: what each layer loses, one line each."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from qubo_prune.core.files.formats.lines import TextFile
from qubo_prune.core.text import format_value
from qubo_prune.pruning.removal_lists.blocks import Blocks, Removal, blocks_of_halves, single

LINES = {"none": (), "attn": ("attn",), "mlp": ("mlp",), "attn+mlp": ("attn", "mlp")}
"""What a line says, and the halves of the layer that go."""


def read_evopress(path: Path, data: bytes, blocks: Blocks) -> list[Removal]:
    """Read a line for each layer."""
    file = TextFile(path, data, f"write one of {', '.join(LINES)} for each layer")
    removed: list[int] = []
    lines = list(file.lines())
    for layer, (number, text) in enumerate(lines):
        if text not in LINES:
            file.fail(number, f"it says {format_value(text)}")
        if layer >= blocks.num_layers:
            file.fail(number, f"the model has {blocks.num_layers} layers, and this is one more")
        removed += blocks_of_halves(
            blocks,
            layer,
            LINES[text],
            lambda why, at=number: file.fail(at, why),  # type: ignore[misc]
        )
    if len(lines) != blocks.num_layers:
        last = lines[-1][0] if lines else 1
        file.fail(last, f"it ends after {len(lines)} of the model's {blocks.num_layers} layers")
    return [tuple(sorted(removed))]


def write_evopress(removals: Sequence[Removal], blocks: Blocks) -> str:
    """Return a line for each layer."""
    halves = blocks.halves(single(removals, "evopress"))
    return "".join(f"{'+'.join(taken) or 'none'}\n" for taken in halves)
