"""A backend that visits every state, by itertools: slow, exact, and it keeps budgets."""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import combinations, product
from typing import Any

import numpy as np
from numpy.typing import NDArray

from qubo_prune import Backend, Capability, Problem, RawResult, Stop
from qubo_prune.core.spectrum.order import lexicographic_order


@dataclass(frozen=True)
class Exhaustive(Backend):
    """Visit all."""

    name = "exhaustive"
    summary = "for tests"
    capabilities = Capability.EXACT | Capability.PROVES | Capability.BUDGET

    def run(
        self,
        problem: Problem,
        num_states: int,
        stop: Stop,
        seed: int,
        warm_start: NDArray[np.bool_] | None = None,
    ) -> RawResult:
        """Return the lowest, all of them proven; see `Backend.run`."""
        states = feasible_states(problem)
        if stop.should_stop(len(states)):
            return RawResult(states[:1], 0, -math.inf, 1)
        order = lexicographic_order(states, problem.energies(states))
        states = states[order]
        found, after = states[: num_states + 1], states[num_states + 1 : num_states + 2]
        bound = min([math.inf, *problem.energies(after).tolist()])
        return RawResult(found, len(found), bound, len(states))


def feasible_states(problem: Problem) -> NDArray[np.bool_]:
    """Every feasible state of a problem with a count."""
    choices = [combinations(group.indices.tolist(), group.count) for group in problem.groups]
    fixed = problem.fixed_removed.tolist()
    found = [problem.state([*fixed, *sum(picks, ())]) for picks in product(*choices)]
    states = np.array(found, np.bool_)
    return states[problem.is_feasible(states)]


def lowest_of_all_counts(
    problem: Problem, budget: float, weights: Any
) -> list[tuple[float, tuple[int, ...]]]:
    """Every subset of one block or more that weighs enough, by energy, of a problem's matrix."""
    allowed = set(range(problem.num_blocks)) - set(problem.keep)
    if problem.only is not None:
        assert problem.kinds is not None
        allowed = {block for block in allowed if problem.kinds[block] == problem.only}
    found = []
    for bits in product([False, True], repeat=problem.num_blocks):
        removed = tuple(block for block, bit in enumerate(bits) if bit)
        if not removed or not set(removed) <= allowed or not set(problem.force) <= set(removed):
            continue
        if sum(weights[block] for block in removed) >= budget:
            found.append((float(problem.energies(np.array(bits))[0]), removed))
    blocks = range(problem.num_blocks)
    return sorted(found, key=lambda each: (each[0], [block not in each[1] for block in blocks]))
