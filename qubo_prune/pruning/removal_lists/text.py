"""Text: one removal per line, or one block per line."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from qubo_prune.core.errors import InputError
from qubo_prune.core.files.formats.lines import TextFile
from qubo_prune.core.text import format_blocks
from qubo_prune.pruning.removal_lists.blocks import Blocks, Removal, as_removal

_INDEX = re.compile(r"\d{1,18}", re.ASCII)
_RANGE = re.compile(r"(\d{1,9})-(\d{1,9})", re.ASCII)


def read_text(path: Path, data: bytes, blocks: Blocks) -> list[Removal]:
    """Read lines of blocks; lines of one block each are one removal together."""
    file = TextFile(
        path, data, "write indices, ranges or names of blocks, as 3, 7-9, and one removal per line"
    )
    rows: list[tuple[int, list[int | str]]] = []
    for number, text in file.lines():
        content = text.partition("#")[0]
        words = content.replace(",", " ").split()
        if words:
            rows.append((number, [block for word in words for block in _words(file, number, word)]))
    if not rows:
        file.fail(1, "it names no block")
    if len(rows) > 1 and all(len(row) == 1 for _, row in rows):
        rows = [(rows[0][0], [block for _, row in rows for block in row])]
    return [
        as_removal(row, blocks, lambda why, at=number: file.fail(at, why))  # type: ignore[misc]
        for number, row in rows
    ]


def _words(file: TextFile, line: int, word: str) -> list[int | str]:
    match = _RANGE.fullmatch(word)
    if match is None:
        return [int(word) if _INDEX.fullmatch(word) else word]
    first, last = int(match[1]), int(match[2])
    if not 0 <= last - first < 1_000_000:
        file.fail(line, f"the range {word} does not ascend, or names more than a million blocks")
    return list(range(first, last + 1))


def write_text(removals: Sequence[Removal], blocks: Blocks) -> str:
    """Return a line for each removal, runs shortened."""
    # Two removals or more of one block each would be read as one.
    if len(removals) > 1 and all(len(removed) == 1 for removed in removals):
        raise InputError(
            f"{len(removals)} removals of one block each would read as one removal; write json."
        )
    if not all(removals):
        raise InputError("a text cannot say that nothing is removed; write json.")
    heading = f"# blocks removed, of {len(blocks.names)}, one removal per line\n"
    return heading + "".join(f"{format_blocks(removed)}\n" for removed in removals)
