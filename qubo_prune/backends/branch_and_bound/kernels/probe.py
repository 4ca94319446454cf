"""How large a tree is, from a sample of its nodes."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from qubo_prune.backends.branch_and_bound.kernels.explore import (
    OPEN,
    OpenNodes,
    Shared,
    Tables,
    Workspace,
    anchor,
    begin_node,
    branch,
    evaluate,
)
from qubo_prune.core.kernels.borrow import borrowed
from qubo_prune.core.kernels.jit import kernel
from qubo_prune.search.kernels.landscape import uniform


@kernel
def estimate_nodes(
    tables: Tables,
    work: Workspace,
    shared: Shared,
    now: OpenNodes,
    after: OpenNodes,
    width: int,
    random: NDArray[np.uint64],
    most: float,
) -> float:
    """Return an unbiased estimate of the nodes below the root, which is the first of `now`, or some
    part of it above `most`; `now` and `after` have room for the children of `width` nodes.

    All nodes of a generation are kept up to `width`, beyond that one of each of so many stretches
    of their order by bounds, which stands for more (stratified sampling: Chen 1992).
    """
    tables = borrowed(tables)
    work = borrowed(work)
    shared = borrowed(shared)
    now = borrowed(now)
    after = borrowed(after)
    count, weight, total = 1, 1.0, 1.0
    while count > 0 and total <= most and not shared.stop[0]:
        children = 0
        nodes = work.nodes[0]
        for i in range(count):
            work.fixed[0, :] = now.fixed[i]
            work.x[0, :] = now.x[i]
            work.first[0] = 0
            work.bound[0] = now.bound[i]
            anchor(tables, work, 0)
            if not begin_node(tables, work, 0):
                continue
            for value in range(2):
                branch(work, 0, value)
                if begin_node(tables, work, 1) and evaluate(tables, work, shared, 1) == OPEN:
                    after.fixed[children] = work.fixed[1]
                    after.x[children] = work.x[1]
                    after.bound[children] = work.bound[1]
                    children += 1
        total += weight * (work.nodes[0] - nodes)
        kept = min(children, width)
        # One of each stretch of bounds: nodes of like bounds have like trees below.
        step = children / kept if kept > 0 else 1.0
        at = step * uniform(random)
        order = np.argsort(after.bound[:children])
        for i in range(kept):
            chosen = order[min(int(at + i * step), children - 1)]
            now.fixed[i] = after.fixed[chosen]
            now.x[i] = after.x[chosen]
            now.bound[i] = after.bound[chosen]
        if children > width:
            weight *= children / width
        count = kept
    return total
