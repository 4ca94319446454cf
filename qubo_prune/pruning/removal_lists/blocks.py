"""The blocks of a model as other programs count them: by layer, and by half of a layer.

A block is known by its name, ``layers.3`` or ``layers.3.attention``, as `extract` writes it into
the sidecar of a Hessian; blocks without such names are taken for whole layers.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from typing import NoReturn

from qubo_prune.core.errors import InputError
from qubo_prune.core.text import format_value

__all__ = ["HALVES", "Blocks", "Removal", "as_removal", "blocks_of_halves", "single"]

Removal = tuple[int, ...]
"""Ascending block indices."""

HALVES = ("attn", "mlp")
"""What others call the two halves of a layer; attn is whatever mixes tokens."""

_NAME = re.compile(r"layers\.(\d{1,9})(?:\.(\w+))?", re.ASCII)
_FEED_FORWARD = ("mlp", "moe")


class Blocks:
    """The blocks of a model, told apart by layer and by half of a layer.

    Parameters
    ----------
    names : sequence of str
        Distinct name of each block: ``layers.3``, ``layers.3.attention``; or anything else, where
        block i is then taken for layer i as a whole.

    Examples
    --------
    >>> blocks = Blocks(["layers.0.attention", "layers.0.mlp", "layers.1.mamba"])
    >>> blocks.num_layers, blocks.of(0, "mlp"), blocks.of(1, "attn")
    (2, [1], [2])
    """

    def __init__(self, names: Sequence[str]) -> None:
        self.names = tuple(names)
        self.positions = {name: index for index, name in enumerate(self.names)}
        matches = [_NAME.fullmatch(name) for name in self.names]
        self._places: list[tuple[int, str]] = [
            (index, "") if match is None else (int(match[1]), _half(match[2]))
            for index, match in enumerate(matches)
        ]
        if any(match is None for match in matches):
            self._places = [(index, "") for index in range(len(self.names))]
        self.num_layers = 1 + max((layer for layer, _ in self._places), default=-1)

    def of(self, layer: int, half: str = "") -> list[int]:
        """Return the blocks of a layer, or of one half of it; whole layers belong to no half."""
        return [
            index
            for index, (at, part) in enumerate(self._places)
            if at == layer and half in ("", part)
        ]

    def is_whole(self, layer: int) -> bool:
        """Whether a layer is one block."""
        return any(self._places[index][1] == "" for index in self.of(layer))

    def halves(self, removed: Iterable[int]) -> list[tuple[str, ...]]:
        """Return for each layer which halves a removal takes, of ``attn`` and ``mlp``.

        Raises
        ------
        InputError
            If only some of the branches of a half are removed.
        """
        gone = set(removed)
        halves: list[tuple[str, ...]] = []
        for layer in range(self.num_layers):
            if self.is_whole(layer):
                halves.append(HALVES if gone.issuperset(self.of(layer)) else ())
                continue
            taken = []
            for half in HALVES:
                blocks = self.of(layer, half)
                if blocks and gone.issuperset(blocks):
                    taken.append(half)
                elif gone.intersection(blocks):
                    raise InputError(
                        f"layer {layer} loses only some of the branches that make its {half}, "
                        "which no other program's file can say; write JSON or text."
                    )
            halves.append(tuple(taken))
        return halves

    def whole_layers(self, removed: Iterable[int]) -> list[int]:
        """Return the layers that a removal takes as a whole, ascending.

        Raises
        ------
        InputError
            If it takes a part of one.
        """
        gone = set(removed)
        layers = []
        for layer in range(self.num_layers):
            blocks = self.of(layer)
            if blocks and gone.issuperset(blocks):
                layers.append(layer)
            elif gone.intersection(blocks):
                names = ", ".join(self.names[index] for index in blocks if index in gone)
                raise InputError(
                    f"of layer {layer} only {names} is removed, and this format knows whole layers "
                    "only; use evopress, llm-drop, json or text."
                )
        return layers


def blocks_of_halves(
    blocks: Blocks, layer: int, halves: Sequence[str], fail: Callable[[str], NoReturn]
) -> list[int]:
    """Return the blocks of some halves of a layer."""
    if not halves:
        return []
    if blocks.is_whole(layer):
        if len(halves) < len(HALVES):
            fail(
                f"of layer {layer} only the {halves[0]} goes, but here a block is a whole layer, "
                "which takes granularity branch"
            )
        return blocks.of(layer)
    found = []
    for half in halves:
        here = blocks.of(layer, half)
        if not here and len(halves) < len(HALVES):
            fail(f"layer {layer} of the model has no {half}")
        found += here
    return found


def as_removal(
    entries: Sequence[object], blocks: Blocks, fail: Callable[[str], NoReturn]
) -> Removal:
    """Return the blocks of some indices and names."""
    removed: list[int] = []
    for entry in entries:
        if isinstance(entry, str):
            if entry not in blocks.positions:
                fail(f"there is no block {format_value(entry)} in the model")
            index = blocks.positions[entry]
        elif isinstance(entry, int) and not isinstance(entry, bool):
            index = entry
        else:
            fail(f"{format_value(entry)} is neither an index nor a name of a block")
        if not 0 <= index < len(blocks.names):
            fail(f"block {format_value(index)} is outside 0...{len(blocks.names) - 1}")
        if index in removed:
            fail(f"block {format_value(entry)} is there twice")
        removed.append(index)
    return tuple(sorted(removed))


def single(removals: Sequence[Removal], name: str) -> Removal:
    """Return the only removal, or refuse a format that holds one."""
    if len(removals) != 1:
        raise InputError(
            f"a file of the format {name} holds one removal, not {len(removals)}; write one file "
            "for each, or json."
        )
    return removals[0]


def _half(branch: str | None) -> str:
    if branch is None:
        return ""
    return "mlp" if branch.startswith(_FEED_FORWARD) else "attn"
