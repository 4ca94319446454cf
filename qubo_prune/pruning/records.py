"""Measurements in a file that only grows, from which a killed run goes on to the same end.

Each line is one JSON object: first what the run is, then one measurement per line, flushed to disk
as soon as it is known. A line that a crash cut off is dropped. A run that begins again takes what
it needs from the file, in whatever order, and measures the rest; since a value does not depend on
its company, it then decides everything as it did before.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from qubo_prune.core.errors import InputError
from qubo_prune.core.files.disk import (
    append_line,
    drop_cut_off_line,
    read_file,
    write_atomically,
)
from qubo_prune.core.files.strict_json import (
    Reader,
    as_any_float,
    as_any_floats,
    as_integers,
    as_string,
    from_any_float,
)
from qubo_prune.core.stopping import Stop
from qubo_prune.core.text import format_value
from qubo_prune.pruning.objective import Measurement, Objective

__all__ = ["Recorded", "Records"]

FORMAT_VERSION = 1


class Records:
    """The measurements of one run, by the samples they were made on and by removal.

    Parameters
    ----------
    path : path, optional
        The file; read where it exists. Without one, measurements are kept in memory only.
    run : mapping
        What must be the same for a file to be taken up: model, samples, problem, seed... as JSON.

    Raises
    ------
    InputError
        If the file is damaged (but for its last line), or of another run.
    """

    def __init__(self, path: str | os.PathLike[str] | None, run: Mapping[str, Any]) -> None:
        self.path = None if path is None else Path(path)
        self._run: dict[str, Any] = json.loads(json.dumps(run, allow_nan=False))
        self._known: dict[tuple[str, tuple[int, ...]], Measurement] = {}
        if self.path is not None and self.path.exists():
            self._load(self.path)
        elif self.path is not None:
            self._write_header(self.path)

    def __len__(self) -> int:
        """Return how many measurements there are."""
        return len(self._known)

    def get(self, samples: str, removed: tuple[int, ...]) -> Measurement | None:
        """Return what is known of a removal on these samples."""
        return self._known.get((samples, removed))

    def add(self, samples: str, measurement: Measurement) -> None:
        """Keep a measurement, on disk too, before anything is decided by it."""
        self._known[samples, measurement.removed] = measurement
        if self.path is None:
            return
        line = {
            "samples": samples,
            "removed": list(measurement.removed),
            "values": [from_any_float(value) for value in measurement.values.tolist()],
            "value": from_any_float(measurement.value),
            "standard_error": from_any_float(measurement.standard_error),
        }
        append_line(self.path, json.dumps(line, allow_nan=False))

    def _write_header(self, path: Path) -> None:
        header = json.dumps({"format_version": FORMAT_VERSION, "run": self._run}) + "\n"
        write_atomically({path: lambda stream: stream.write(header.encode())})

    def _load(self, path: Path) -> None:
        reader = Reader(path, "file of measurements", "delete it to start afresh")
        whole, _, cut_off = read_file(path).rpartition(b"\n")
        first, *lines = whole.split(b"\n")
        fields = reader.parse(first)
        reader.check_version(fields, FORMAT_VERSION)
        run = reader.as_object(fields.get("run"), "run")
        for key, value in self._run.items():
            if run.get(key) != value:
                raise InputError(
                    f"{path} is of another run, with {key}={format_value(run.get(key))} in place "
                    f"of {format_value(value)}; delete it to start afresh, or repeat that run as "
                    "it was."
                )
        for line in lines:
            samples, measurement = _read(reader, reader.parse(line))
            self._known[samples, measurement.removed] = measurement
        if cut_off:  # or else the next line would be appended to half of one
            drop_cut_off_line(path)


class Recorded:
    """An objective that measures nothing twice.

    Parameters
    ----------
    objective : Objective
        Measures what is not known.
    records : Records
        Where measurements are kept.
    samples : str
        Which of the run's sets of samples these are.

    Examples
    --------
    >>> from qubo_prune.pruning.objective import FunctionObjective
    >>> asked = []
    >>> objective = FunctionObjective(lambda removed: asked.append(removed) or 1.0, 3)
    >>> recorded = Recorded(objective, Records(None, {}), "choosing")
    >>> [each.value for _ in range(2) for each in recorded.measure([(0, 1), (1, 2)])]
    [1.0, 1.0, 1.0, 1.0]
    >>> asked
    [(0, 1), (1, 2)]
    """

    def __init__(self, objective: Objective, records: Records, samples: str = "choosing") -> None:
        self.num_blocks = objective.num_blocks
        self.num_measured = 0
        self._objective = objective
        self._records = records
        self._samples = samples

    def measure(
        self, removals: Sequence[tuple[int, ...]], stop: Stop | None = None
    ) -> Iterator[Measurement]:
        """Yield what is known at once, and then the rest as it is measured."""
        unknown = []
        for removed in removals:
            known = self._records.get(self._samples, removed)
            if known is None:
                unknown.append(removed)
            else:
                yield known
        if not unknown:
            return
        for measurement in self._objective.measure(unknown, stop):
            self.num_measured += 1
            self._records.add(self._samples, measurement)
            yield measurement


def _read(reader: Reader, fields: dict[str, Any]) -> tuple[str, Measurement]:
    removed = tuple(reader.get(fields, "removed", as_integers))
    values = reader.get(fields, "values", as_any_floats)
    return reader.get(fields, "samples", as_string), Measurement(
        removed,
        values,
        reader.get(fields, "value", as_any_float),
        reader.get(fields, "standard_error", as_any_float),
    )
