"""Nodes of branch and bound before and after its last steps: ``python -m benchmarks.branching``.

*Before* decides the blocks by descending diagonal and goes for all K states at once; *after* is the
default, which may change the order and proves the lowest states first. Nodes do not depend on the
load of the machine, so they are compared, and the CPU seconds are beside them. ``--folder``
adds public instances: a matrix NAME.npy each, with kinds in NAME.json where there are any, and how
many blocks to remove in values.json.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np

from benchmarks.nodes import Problems, Study, public
from benchmarks.record import markdown
from qubo_prune.backends.branch_and_bound import arrays, race, search, search_at_once
from qubo_prune.backends.branch_and_bound.orders import DIAGONAL
from qubo_prune.bench import Instance

CASES = (
    *(("llama-80-branch", m) for m in (8, 40, 80)),
    *(("bytelm-40-branch", m) for m in (24, 40)),
    ("bytelm-40-block", 12),
    ("wishart-half-64", 16),
    ("wishart-64", 16),
    ("wishart-80", 40),
    ("heterogeneous-half-80", 16),
    ("heterogeneous-160", 40),
    ("autoregressive-80", 24),
    ("low-rank-64", 16),
    ("k-cluster-64", 16),
    ("planted-64", 12),
)
PUBLIC = (
    *("kcluster80_075_20_1", "kcluster80_050_40_1", "kcluster100_025_25_1"),
    *("QPLIB_0633", "QPLIB_3714", "bqp100-1"),
)
SMOKE = (("wishart-24", 6), ("k-cluster-20", 5))


def problems(smoke: bool, folder: Path | None) -> Problems:
    """Yield names and problems, the public ones last."""
    for name, remove in SMOKE if smoke else CASES:
        yield f"{name} ({remove})", Instance.load(name).problem(remove)
    if folder is not None:
        yield from public(folder, PUBLIC)


@contextmanager
def before() -> Iterator[None]:
    """Let a solve have none of the last steps."""
    with ExitStack() as stack:
        for module, name in ((race, "RACE_AFTER"), (search_at_once, "_WALK_AFTER")):
            stack.enter_context(mock.patch.object(module, name, math.inf))
        for user in (arrays, race):
            stack.enter_context(mock.patch.object(user, "first_order", return_value=DIAGONAL))
        never = mock.patch.object(search.Frontier, "_next_level", return_value=math.inf)
        stack.enter_context(never)
        yield


def _cell(run: dict[str, Any]) -> str:
    return f"{run['nodes']:,}" if run["proven"] else f"open, {run['num_proven']} proven"


def table(rows: list[dict[str, Any]]) -> str:
    """Return the rows and the means of the ratios as Markdown."""
    body, ratios = [], []
    for row in rows:
        before, after = row["before"], row["after"]
        ratio = "-"
        if before["proven"] or after["proven"]:
            sign = "" if before["proven"] else "< "
            ratios.append(after["nodes"] / before["nodes"])
            ratio = f"{sign}{ratios[-1]:.2f}" if after["proven"] else "lost"
        body.append(
            [
                row["instance"],
                str(row["K"]),
                _cell(before),
                _cell(after),
                ratio,
                after["order"],
            ]
        )
    mean = math.exp(np.mean(np.log(ratios))) if ratios else math.nan
    body.append(["geometric mean", "", "", "", f"{mean:.2f}", ""])
    return markdown(["instance (M)", "K", "before", "after", "ratio", "order"], body)


STUDY = Study("branching", __doc__ or "", problems, ("before", "after"), before, 300_000, table)

if __name__ == "__main__":
    STUDY.main()
