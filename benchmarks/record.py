"""What the studies of this folder write and show."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from qubo_prune.bench import describe_machine

RESULTS = Path(__file__).parent / "results"


def save(name: str, command: str, rows: list[dict[str, Any]]) -> Path:
    """Write the rows of a benchmark, with the command and the machine, to ``results/NAME.json``."""
    RESULTS.mkdir(exist_ok=True)
    path = RESULTS / f"{name}.json"
    record = {"command": command, "machine": describe_machine(), "rows": rows}
    path.write_text(json.dumps(record, indent=1) + "\n")
    return path


def markdown(columns: list[str], rows: list[list[str]]) -> str:
    """Return a Markdown table."""
    lines = [columns, ["---"] * len(columns), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)
