"""What was measured already, in a file that only grows, so that nothing is measured twice.

Each line is one JSON object, flushed to disk as soon as it is known: what one measure says of one
model. What it depends on is its key: another set of samples, another window or another original is
another measure, so one file serves any number of commands.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from qubo_prune.core.files.disk import (
    append_line,
    drop_cut_off_line,
    read_file,
    write_atomically,
)
from qubo_prune.core.files.strict_json import Reader, as_list, as_string
from qubo_prune.pruning.evaluation.files import (
    FORMAT_VERSION,
    metric_from_json,
    metric_to_json,
)
from qubo_prune.pruning.evaluation.metrics import Metric

__all__ = ["MeasureRecords"]

_WHAT = "evaluation measures"


class MeasureRecords:
    """The measures of any number of models.

    Parameters
    ----------
    path : path, optional
        The file; read where it exists. Without one, measures are kept in memory only.

    Raises
    ------
    InputError
        If the file is damaged (but for its last line) or something else.
    """

    def __init__(self, path: str | os.PathLike[str] | None = None) -> None:
        self.path = None if path is None else Path(path)
        self._known: dict[str, tuple[Metric, ...]] = {}
        if self.path is not None and self.path.exists():
            self._load(self.path)
        elif self.path is not None:
            header = json.dumps({"format_version": FORMAT_VERSION, "holds": _WHAT}) + "\n"
            write_atomically({self.path: lambda stream: stream.write(header.encode())})

    def __len__(self) -> int:
        """Return how many measures there are."""
        return len(self._known)

    def get(
        self, fingerprint: str, measure: str, settings: Mapping[str, Any]
    ) -> tuple[Metric, ...] | None:
        """Return what a measure says of a model, if that is known."""
        return self._known.get(_key(fingerprint, measure, settings))

    def add(
        self,
        fingerprint: str,
        measure: str,
        settings: Mapping[str, Any],
        metrics: Sequence[Metric],
    ) -> None:
        """Keep what a measure says of a model, on disk too."""
        self._known[_key(fingerprint, measure, settings)] = tuple(metrics)
        if self.path is None:
            return
        line = {
            "model_fingerprint": fingerprint,
            "measure": measure,
            "settings": dict(settings),
            "metrics": [metric_to_json(each) for each in metrics],
        }
        append_line(self.path, json.dumps(line, allow_nan=False))

    def _load(self, path: Path) -> None:
        reader = Reader(path, f"file of {_WHAT}", "delete it to start afresh")
        whole, _, cut_off = read_file(path).rpartition(b"\n")
        first, *lines = whole.split(b"\n")
        fields = reader.parse(first)
        reader.check_version(fields, FORMAT_VERSION)
        if fields.get("holds") != _WHAT:
            reader.fail("it holds something else")
        for line in lines:
            fields = reader.parse(line)
            key = _key(
                reader.get(fields, "model_fingerprint", as_string),
                reader.get(fields, "measure", as_string),
                reader.as_object(fields.get("settings"), "settings"),
            )
            self._known[key] = tuple(
                metric_from_json(reader, each) for each in reader.get(fields, "metrics", as_list)
            )
        if cut_off:  # or else the next line would be appended to half of one
            drop_cut_off_line(path)


def _key(fingerprint: str, measure: str, settings: Mapping[str, Any]) -> str:
    return json.dumps([fingerprint, measure, settings], sort_keys=True, allow_nan=False)
