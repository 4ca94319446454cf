"""Nodes of long proofs with and without entries left out between free blocks, because products are
not negative: ``python -m benchmarks.products``.

``--folder`` adds public instances, as in `benchmarks.nodes`; ``--only`` takes some of all. Nodes do
not depend on the load of the machine; the processor seconds beside them do a little.
"""

from __future__ import annotations

from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any
from unittest import mock

from benchmarks.nodes import Problems, Study, public, table
from qubo_prune.backends.branch_and_bound import refining
from qubo_prune.bench import Instance

CASES = (("wishart-80", 40), ("wishart-half-64", 16))
PUBLIC = ("kcluster80_075_20_1", "kcluster80_050_40_1", "kcluster100_025_25_1", "bqp100-1")
SMOKE = (("wishart-24", 6), ("k-cluster-20", 5))


def problems(smoke: bool, folder: Path | None) -> Problems:
    """Yield names and problems, the public ones first."""
    if folder is not None:
        yield from public(folder, PUBLIC)
    for name, remove in SMOKE if smoke else CASES:
        yield f"{name} ({remove})", Instance.load(name).problem(remove)


def without() -> AbstractContextManager[Any]:
    """Return what a solve has to run within to leave nothing out."""
    return mock.patch.object(refining, "_LARGEST", 0)


STUDY = Study("products", __doc__ or "", problems, ("without", "with"), without, 1_000_000, table)

if __name__ == "__main__":
    STUDY.main()
