"""What the steps of a folder did: with which options, from what, to what; in ``steps.json``."""

from __future__ import annotations

import enum
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from qubo_prune.core.errors import InputError
from qubo_prune.core.files.disk import read_file, write_atomically
from qubo_prune.core.files.strict_json import Reader, as_float, as_string
from qubo_prune.pruning.pipeline.digests import digest_of

__all__ = ["LEDGER", "Entry", "Ledger", "Standing"]

LEDGER = "steps.json"
FORMAT_VERSION = 1


class Standing(enum.Enum):
    """Where a step stands."""

    DONE = "done"
    GIVEN = "put there by hand"
    MISSING = "to do"
    CHANGED = "to do again"


@dataclass(frozen=True)
class Entry:
    """What is known of one step.

    Attributes
    ----------
    request : dict
        Its options and the checksums of what it reads.
    status : str
        ``started`` or ``finished``.
    output : str or None
        Checksum of what it wrote; of a step that only started, of what was there before.
    seconds : float
        How long it took.
    """

    request: dict[str, Any]
    status: str
    output: str | None
    seconds: float = 0.0


@dataclass
class Ledger:
    """The entries of a folder's steps, on disk before anything relies on them.

    A file that a step's entry does not account for was put there by somebody, and is never
    replaced. A step that was killed after its file was there is known by the file being another
    than when the step began.

    Parameters
    ----------
    folder : Path
        The folder.
    """

    folder: Path
    _entries: dict[str, Entry] = field(default_factory=dict)

    def __post_init__(self) -> None:
        path = self.folder / LEDGER
        if path.exists():
            self._load(path)

    @property
    def entries(self) -> dict[str, Entry]:
        """What is known of each step, in the order in which they were first begun."""
        return dict(self._entries)

    def entry(self, name: str) -> Entry | None:
        """Return what is known of a step."""
        return self._entries.get(name)

    def standing(self, name: str, path: Path, request: Mapping[str, Any]) -> Standing:
        """Return where a step stands that writes `path` and is now asked for `request`."""
        now, entry = digest_of(path), self._entries.get(name)
        if now is None:
            return Standing.MISSING
        if entry is None:
            return Standing.GIVEN
        same = entry.request == _plain(request)
        if entry.status == "started":
            return Standing.DONE if same and now != entry.output else Standing.CHANGED
        if now != entry.output:
            return Standing.GIVEN
        return Standing.DONE if same else Standing.CHANGED

    def changes(self, name: str, request: Mapping[str, Any]) -> list[str]:
        """Return in what a request differs from that of the step's entry, by name."""
        entry, new = self._entries.get(name), _plain(request)
        if entry is None:
            return []
        keys = {*entry.request, *new}
        return sorted(key for key in keys if entry.request.get(key) != new.get(key))

    def start(self, name: str, path: Path, request: Mapping[str, Any]) -> None:
        """Say that a step begins."""
        self._write(name, Entry(_plain(request), "started", digest_of(path)))

    def finish(self, name: str, path: Path, request: Mapping[str, Any], seconds: float) -> None:
        """Say that what a step writes is there."""
        self._write(name, Entry(_plain(request), "finished", digest_of(path), round(seconds, 3)))

    def _write(self, name: str, entry: Entry) -> None:
        self._entries[name] = entry
        steps = {key: asdict(each) for key, each in self._entries.items()}
        text = json.dumps({"format_version": FORMAT_VERSION, "steps": steps}, indent=1) + "\n"
        write_atomically({self.folder / LEDGER: lambda stream: stream.write(text.encode())})

    def _load(self, path: Path) -> None:
        reader = Reader(
            path, "record of steps", "delete it, and every file here counts as put by hand"
        )
        fields = reader.parse(read_file(path))
        reader.check_version(fields, FORMAT_VERSION)
        for name, value in reader.as_object(fields.get("steps"), "steps").items():
            entry = reader.as_object(value, name)
            output = entry.get("output")
            if output is not None and not isinstance(output, str):
                reader.fail(f"the output of {name} has a wrong value")
            self._entries[name] = Entry(
                reader.as_object(entry.get("request"), "request"),
                reader.get(entry, "status", as_string),
                output,
                reader.get(entry, "seconds", as_float),
            )


def require_folder(path: Path) -> None:
    """Refuse a place where no folder can be."""
    if path.exists() and not path.is_dir():
        raise InputError(f"{path} is a file, but a folder is to be written; name another one.")


def _plain(request: Mapping[str, Any]) -> dict[str, Any]:
    plain: dict[str, Any] = json.loads(json.dumps(request, allow_nan=False))
    return plain
