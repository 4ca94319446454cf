"""How large a tree is, from a sample of its nodes."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from qubo_prune.backends.branch_and_bound.kernels.cut import highest_wanted
from qubo_prune.backends.branch_and_bound.kernels.explore import OPEN, branch, evaluate
from qubo_prune.backends.branch_and_bound.kernels.points import anchor, begin_node
from qubo_prune.backends.branch_and_bound.kernels.tables import OpenNodes, Shared, Tables, Workspace
from qubo_prune.core.kernels.borrow import borrowed
from qubo_prune.core.kernels.jit import kernel
from qubo_prune.search.kernels.landscape import uniform

_SHARE, _MOST = 0.5, 30.0
"""Trees are expected to double where the distance to the limit grows by what bounds rise from a
node to its children, over this share; and the largest such exponent.
"""


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

    All nodes of a generation are kept up to `width`, beyond that a sample of so many, each of which
    stands for more (Chen 1992). A node is kept with a probability in proportion to what it stands
    for and to the tree that its bound lets expect below.
    """
    tables = borrowed(tables)
    work = borrowed(work)
    shared = borrowed(shared)
    now = borrowed(now)
    after = borrowed(after)
    room = after.bound.shape[0]
    weights, child_weights, sizes = np.ones(room), np.ones(room), np.empty(room)
    limit = highest_wanted(tables, shared)
    count, total = 1, 1.0
    while count > 0 and total <= most and not shared.stop[0]:
        children, rise = 0, 0.0
        for i in range(count):
            work.fixed[0, :] = now.fixed[i]
            work.x[0, :] = now.x[i]
            work.first[0] = 0
            work.bound[0] = now.bound[i]
            anchor(tables, work, 0)
            if not begin_node(tables, work, 0):
                continue
            nodes = work.nodes[0]
            for value in range(2):
                branch(work, 0, value)
                if begin_node(tables, work, 1) and evaluate(tables, work, shared, 1) == OPEN:
                    after.fixed[children] = work.fixed[1]
                    after.x[children] = work.x[1]
                    after.bound[children] = work.bound[1]
                    child_weights[children] = weights[i]
                    rise += 0.0 if now.bound[i] == -np.inf else work.bound[1] - now.bound[i]
                    children += 1
            total += weights[i] * (work.nodes[0] - nodes)
        # How large trees below are expected to be, by the bounds and how they rise.
        rate = _SHARE * np.log(2.0) * children / rise if rise > 0.0 and limit < np.inf else 0.0
        whole = 0.0
        for i in range(children):
            exponent = rate * (limit - after.bound[i]) if rate > 0.0 else 0.0
            sizes[i] = child_weights[i] * np.exp(min(exponent, _MOST))
            whole += sizes[i]
        step = whole / width
        mark, passed, count = step * uniform(random), 0.0, 0
        for i in np.argsort(after.bound[:children]):
            passed += sizes[i]
            if children > width and (passed <= mark or count == width):
                continue
            now.fixed[count] = after.fixed[i]
            now.x[count] = after.x[i]
            now.bound[count] = after.bound[i]
            alone = children <= width or sizes[i] >= step
            weights[count] = child_weights[i] * (1.0 if alone else step / sizes[i])
            count += 1
            while mark < passed:
                mark += step
    return total
