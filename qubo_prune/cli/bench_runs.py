"""What `qubo-prune bench run` tells of the runs that it did."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from qubo_prune.cli.output import print_table, print_text

if TYPE_CHECKING:
    from qubo_prune.bench.results import Run


def document_of(out: Path, ran: list[Run], asked: int) -> dict[str, object]:
    """Return what `--json` prints of the runs that were done, of so many that were asked for."""
    outcomes: dict[str, int] = {}
    for each in ran:
        outcomes[each.outcome.value] = outcomes.get(each.outcome.value, 0) + 1
    return {
        "out": str(out),
        "runs": len(ran),
        "missing": asked - len(ran),
        "outcomes": outcomes,
        "violations": [
            {"backend": each.backend, "instance": each.instance, "kind": lie.kind,
             "message": lie.message}
            for each in ran
            for lie in each.violations
        ],
    }  # fmt: skip


def show_runs(ran: list[Run]) -> None:
    """Print a line for each solver: what it found by itself, and after repair."""
    if not ran:
        return
    known = {name for each in ran for name, value in each.measures.items() if value is not None}
    names = ("recall_100", "recall_20", "recall_1000", "ground_state")
    headline = next((name for name in names if name in known), names[0])
    rows = []
    for backend in dict.fromkeys(each.backend for each in ran):
        mine = [each for each in ran if each.backend == backend]
        ended = (
            f"{sum(each.outcome is outcome for each in mine)} {outcome.value}"
            for outcome in dict.fromkeys(each.outcome for each in mine)
        )
        figures = (headline, f"{headline}_repaired", "wall_seconds")
        row = [backend, str(len(mine)), *(_mean(mine, name) for name in figures)]
        rows.append([*row, ", ".join(ended)])
    title = headline.replace("recall_", "recall@").replace("_", " ")
    print_table(["backend", "runs", title, "repaired", "seconds", "ended"], rows)
    for each in ran:
        for lie in each.violations:
            print_text(
                f"Not to be believed: {each.backend} on {each.instance} ({lie.kind}): {lie.message}"
            )
    for each in {(one.backend, one.message): one for one in ran}.values():
        if each.message and not each.violations:
            print_text(f"{each.backend} on {each.instance}: {each.message}", indent="  ")


def _mean(ran: list[Run], name: str) -> str:
    """Return the mean of what is known."""
    from statistics import fmean

    values = [value for value in (each.measure(name) for each in ran) if value is not None]
    return f"{fmean(values):.2f}" if values else ""
