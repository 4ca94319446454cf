"""JSON: lists of blocks, spectra and selections."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from qubo_prune.core.errors import InputError
from qubo_prune.core.files.strict_json import Reader
from qubo_prune.core.spectrum.spectrum import Spectrum
from qubo_prune.core.text import format_value
from qubo_prune.pruning.removal_lists.blocks import Blocks, Removal, as_removal


def read_json(path: Path, data: bytes, blocks: Blocks) -> list[Removal]:
    """Read removals wherever they stand in a JSON file; names in it must be the model's."""
    reader = Reader(
        path,
        "list of removals",
        "give a list of block indices or names, a list of such lists, a spectrum or a selection",
    )
    # `parse` takes objects only, and keeps what it refuses within them.
    stripped = data.lstrip(b"\xef\xbb\xbf \t\r\n")
    fields = (
        reader.parse(b'{"removed": ' + stripped + b"}")
        if stripped.startswith(b"[")
        else reader.parse(stripped)
    )
    if "names" in fields and fields["names"] != list(blocks.names):
        reader.fail(
            f"it is about other blocks than the {len(blocks.names)} of this model, by their names"
        )
    entries = fields["removals"] if "removals" in fields else fields.get("removed")
    if not isinstance(entries, list):
        reader.fail("it has neither removals nor removed, as a list")
    if not all(isinstance(entry, list | dict) for entry in entries):
        entries = [entries]
    removals = []
    for number, entry in enumerate(entries):
        listed = entry.get("removed") if isinstance(entry, dict) else entry
        if not isinstance(listed, list):
            reader.fail(f"removal {number} is {format_value(entry)}, not a list of blocks")
        fail = lambda why, at=number: reader.fail(f"removal {at}: {why}")  # noqa: E731
        removals.append(as_removal(listed, blocks, fail))
    return removals


def write_json(removals: Sequence[Removal], blocks: Blocks) -> str:
    """Return an object with the names of the blocks and all removals."""
    document = {"names": list(blocks.names), "removed": [list(removed) for removed in removals]}
    return json.dumps(document) + "\n"


def read_spectrum(path: Path, _: bytes, blocks: Blocks) -> list[Removal]:
    """Read a spectrum, with all checks, and return its states."""
    spectrum = Spectrum.load(path)
    if spectrum.names != blocks.names:
        raise InputError(
            f"{path} is a spectrum of other blocks than the {len(blocks.names)} of this model, by "
            "their names; solve the Hessian of this model."
        )
    return [tuple(spectrum.removed(k)) for k in range(len(spectrum))]
