"""Which lines of the package the tests reach, room by room: what `make coverage` says at the end.

    python -m benchmarks.coverage coverage.json [--save ROOM ...]

reads what ``coverage json`` wrote. ``--save`` stores these rooms, each measured by all tests or by
those of its own folder, for docs/maintaining/coverage.md.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.record import markdown, save

Rows = list[dict[str, Any]]
FEW = 5
"""So many lines of a file that no test reaches are no hole."""


def rooms_of(document: dict[str, Any]) -> Rows:
    """Return for each room how many lines it has and how many of them no test reaches, and the
    files with more than a few.

    Examples
    --------
    >>> summary = {"num_statements": 10, "missing_lines": 6}
    >>> files = {"qubo_prune/core/text.py": {"summary": summary, "missing_lines": [4, 5, 6, 8]}}
    >>> rooms_of({"files": files})
    [{'room': 'core', 'lines': 10, 'missed': 6, 'holes': {'core/text.py': '4-6, 8'}}]
    """
    rooms: dict[str, dict[str, Any]] = {}
    for name, found in sorted(document["files"].items()):
        inside = Path(name).relative_to("qubo_prune")
        room = inside.parts[0] if len(inside.parts) > 1 else "the package itself"
        row = rooms.setdefault(room, {"room": room, "lines": 0, "missed": 0, "holes": {}})
        row["lines"] += found["summary"]["num_statements"]
        row["missed"] += found["summary"]["missing_lines"]
        if found["summary"]["missing_lines"] > FEW:
            row["holes"][inside.as_posix()] = runs_of(found["missing_lines"])
    return list(rooms.values())


def runs_of(lines: Sequence[int]) -> str:
    """Return ascending numbers of lines with runs shortened.

    >>> runs_of([3, 4, 7])
    '3-4, 7'
    """
    runs: list[list[int]] = []
    for line in lines:
        if runs and line == runs[-1][1] + 1:
            runs[-1][1] = line
        else:
            runs.append([line, line])
    return ", ".join(f"{a}-{b}" if a < b else f"{a}" for a, b in runs)


def table(rows: Rows) -> str:
    """Return the rooms as a table."""
    body = [
        [
            f"`{row['room']}`",
            f"{row['lines']:,}",
            f"{row['missed']:,}",
            f"{100 * (1 - row['missed'] / row['lines']):.1f}",
        ]
        for row in rows
        if row["lines"]
    ]
    return markdown(["room", "lines", "not reached", "% reached"], body)


def main(argv: Sequence[str] | None = None) -> None:
    """Print the table and the holes, and store what is asked."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("file", type=Path, help="what `coverage json` wrote")
    parser.add_argument("--save", nargs="+", default=[], metavar="ROOM", help="rooms to store")
    given = parser.parse_args(argv)
    rows = rooms_of(json.loads(given.file.read_text("utf-8")))
    print(table(rows))
    for row in rows:
        for name, lines in row["holes"].items():
            print(f"{name}: {lines}")
    if given.save:
        command = "make coverage, or `coverage run -m pytest` of the folder of a room"
        print("wrote", save("coverage", command, [r for r in rows if r["room"] in given.save]))


if __name__ == "__main__":
    main()
