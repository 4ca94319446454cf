"""Proofs along the number of removed blocks of the largest bundled Hessian, and with a count for
every kind of block: ``python -m benchmarks.counts``.

Nodes do not depend on the load of the machine; the processor seconds beside them, warm start and
preparation included, do a little.
"""

from __future__ import annotations

import argparse
from collections import Counter
from collections.abc import Iterator
from typing import Any

from benchmarks.nodes import measure
from benchmarks.record import markdown, save
from qubo_prune.bench import Instance

LARGE = "llama-80-branch", range(8, 153, 8)
OF_KINDS = (
    ("nemotron-h-52", (5, 13, 26, 39)),
    ("bytelm-40-branch", (24, 40)),
    ("qwen3-40-branch", (24, 40)),
    ("llama-32-branch", (16, 32)),
)
SMOKE = "llama-32-branch", (4,)
STATES = 1, 100


def shared_out(kinds: tuple[str, ...], remove: int) -> dict[str, int]:
    """Return how many blocks of each kind make `remove`, in proportion to all of them; what is left
    goes to the largest remainders.

    >>> shared_out(("attention",) * 5 + ("mlp",) * 3, 4)
    {'attention': 3, 'mlp': 1}
    """
    sizes = Counter(kinds)
    counts = {kind: remove * size // len(kinds) for kind, size in sizes.items()}
    by_remainder = sorted(sizes, key=lambda kind: -(remove * sizes[kind] % len(kinds)))
    for kind in by_remainder[: remove - sum(counts.values())]:
        counts[kind] += 1
    return counts


def cases(smoke: bool) -> Iterator[tuple[str, int, bool]]:
    """Yield instances, counts and whether each kind has one of its own."""
    name, counts = SMOKE if smoke else LARGE
    for remove in counts:
        yield name, remove, False
    for name, few in (SMOKE,) if smoke else OF_KINDS:
        for remove in few:
            yield name, remove, False
            yield name, remove, True


def run(name: str, remove: int, of_kinds: bool, num_states: int, max_nodes: int) -> dict[str, Any]:
    """Solve one problem with one thread."""
    instance = Instance.load(name)
    counts: int | dict[str, int] = remove
    if of_kinds and instance.kinds is not None:
        counts = shared_out(instance.kinds, remove)
    found = measure(instance.problem(counts), num_states, max_nodes)
    return {"instance": name, "M": remove, "counts": counts, "K": num_states, **found}


def table(rows: list[dict[str, Any]]) -> str:
    """Return the rows as Markdown, all K of a problem in one line."""
    lines: dict[tuple[str, str], list[dict[str, Any]]] = {}
    for row in rows:
        counts = row["counts"]
        told = str(row["M"])
        if isinstance(counts, dict):
            told += ": " + ", ".join(f"{count} {kind}" for kind, count in counts.items())
        lines.setdefault((row["instance"], told), []).append(row)
    body = [
        [*problem, *(cell for row in group for cell in (_nodes(row), f"{row['seconds']:.1f}"))]
        for problem, group in lines.items()
    ]
    columns = [f"{what}, K = {k}" for k in STATES for what in ("nodes", "s")]
    return markdown(["instance", "M", *columns], body)


def _nodes(row: dict[str, Any]) -> str:
    if row["proven"]:
        return f"{row['nodes']:,}"
    gap = (row["lowest"] - row["lower_bound"]) / abs(row["lowest"])
    return f"open at {row['nodes']:,}, gap {gap:.1%}"


def main() -> None:
    """Measure all problems and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--smoke", action="store_true", help="tiny instances, nothing is written")
    parser.add_argument("--max-nodes", type=int, default=40_000_000)
    arguments = parser.parse_args()
    run(*SMOKE[:1], SMOKE[1][0], False, 1, 1000)  # compiles
    rows = []
    for case in cases(arguments.smoke):
        for num_states in STATES:
            rows.append(run(*case, num_states, arguments.max_nodes))
            print(rows[-1], flush=True)
    if not arguments.smoke:
        save("counts", f"python -m benchmarks.counts --max-nodes {arguments.max_nodes}", rows)
    print(table(rows))


if __name__ == "__main__":
    main()
