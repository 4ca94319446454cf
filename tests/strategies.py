"""Problems that several tests draw, and matrices that they are made of."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations, product
from typing import Any

import numpy as np
from hypothesis import assume
from hypothesis import strategies as st
from numpy.typing import NDArray

from qubo_prune import Problem
from qubo_prune.testing.problems import Case

SEEDS = st.integers(0, 2**32 - 1)


def symmetric(lower: NDArray[Any]) -> NDArray[np.float64]:
    """The matrix with this lower triangle."""
    return np.tril(lower) + np.tril(lower, -1).T


def near_ties(n: int, spread: float, seed: int) -> NDArray[np.float64]:
    """Integers with masses of ties, drawn apart by `spread`."""
    rng = np.random.default_rng(seed)
    integers = rng.integers(-1, 2, size=(n, n)).astype(float)
    noise = rng.normal(size=(n, n))
    return symmetric(integers) + spread * (noise + noise.T)


def random_problem(n: int, remove: int | dict[str, int], **arguments: Any) -> Problem:
    """Indefinite, the same for the same n."""
    matrix = np.random.default_rng(n).normal(size=(n, n))
    return Problem(matrix + matrix.T, remove, **arguments)


def all_states(problem: Problem, *, of_any_weight: bool = False) -> NDArray[np.bool_]:
    """Every feasible state, by itertools; `of_any_weight` those too that miss the budget."""
    choices = [combinations(group.indices.tolist(), group.count) for group in problem.groups]
    fixed = problem.fixed_removed.tolist()
    states = np.array([problem.state([*fixed, *sum(picks, ())]) for picks in product(*choices)])
    return states if of_any_weight else states[problem.is_feasible(states)]


_MATRIX = [[2.0, -1.0, 0.5], [-1.0, 0.0, 3.0], [0.5, 3.0, -4.0]]

NO_CHOICE = (
    Case("one block, kept", Problem([[1.5]], 0)),
    Case("one block, removed", Problem([[-1.5]], 1)),
    Case("nothing removed", Problem(_MATRIX, 0)),
    Case("everything removed", Problem(_MATRIX, 3)),
    Case("everything kept or forced", Problem(_MATRIX, 1, keep=[0, 2], force=[1])),
    Case("all of one kind", Problem(_MATRIX, {"mlp": 2}, kinds=["attention", "mlp", "mlp"])),
)
"""Problems of one state, which no backend gets from `solve`."""

FAMILIES = (
    "wishart",
    "low-rank",
    "indefinite",
    "ties",
    "non-dyadic ties",
    "negative",
    "duplicate blocks",
    "constant",
)


def random_hessian(family: str, n: int, rng: np.random.Generator) -> NDArray[np.float64]:
    """A matrix of one of `FAMILIES`."""
    if family == "wishart":
        a = rng.normal(size=(2 * n, n))
        return a.T @ a / (2 * n)
    if family == "low-rank":
        a = rng.normal(size=(max(1, n // 3), n))
        return a.T @ a
    if family == "indefinite":
        a = rng.normal(size=(n, n))
        return a + a.T
    if family == "ties":
        return symmetric(rng.integers(-1, 2, size=(n, n)).astype(float))
    if family == "non-dyadic ties":
        return 0.1 * random_hessian("ties", n, rng)
    if family == "negative":
        return -random_hessian("wishart", n, rng)
    if family == "duplicate blocks":
        half = random_hessian("wishart", (n + 1) // 2, rng)
        return np.tile(half, (2, 2))[:n, :n].copy()
    if family == "constant":
        return np.full((n, n), rng.choice([0.0, 1.0, -0.3]))
    raise AssertionError(family)


def draw_request(draw: st.DrawFn, n: int, rng: np.random.Generator) -> dict[str, Any]:
    """Draw what to remove of n blocks, as one count or counts per kind, and what to keep and
    force.
    """
    marks = rng.permutation(n)
    num_force, num_keep = draw(st.integers(0, n // 4)), draw(st.integers(0, n // 4))
    force = sorted(marks[:num_force].tolist())
    keep = sorted(marks[num_force : num_force + num_keep].tolist())
    if draw(st.booleans()):
        remove = draw(st.integers(num_force, n - num_keep))
        return {"remove": remove, "keep": keep, "force": force}
    kinds = [draw(st.sampled_from(["attention", "mlp", "moe"])) for _ in range(n)]
    counts = {}
    for kind in sorted(set(kinds)):
        members = {i for i in range(n) if kinds[i] == kind}
        low, high = len(members & set(force)), len(members - set(keep))
        if low or draw(st.booleans()):
            counts[kind] = draw(st.integers(low, high))
    if not counts:
        counts[kinds[0]] = 0
    return {"remove": counts, "keep": keep, "force": force, "kinds": kinds}


@st.composite
def problems(draw: st.DrawFn, max_blocks: int = 11) -> Problem:
    """Anything that is a problem: every family at every scale, linear terms, kinds, fixed blocks,
    also where no choice is left.
    """
    n = draw(st.integers(1, max_blocks))
    rng = np.random.default_rng(draw(SEEDS))
    scale = draw(st.sampled_from([1.0, 1.0, 1e-12, 1e12, 3.7e-150]))
    hessian = random_hessian(draw(st.sampled_from(FAMILIES)), n, rng) * scale
    slope: dict[str, Any] = {}
    if draw(st.booleans()):
        beta = draw(st.sampled_from([1, -1, 0.25]))
        slope = {"gradient": rng.normal(size=n) * scale, "beta": beta}
    return Problem((hessian + hessian.T) / 2, **draw_request(draw, n, rng), **slope)


@st.composite
def problems_with_budgets(draw: st.DrawFn, max_blocks: int = 11) -> Problem:
    """Anything with at least one choice, and a budget that anything from all states to one reaches;
    weights are small with ties, spread over decades, or large ones that differ by a unit.
    """
    plain = draw(problems(max_blocks))
    assume(plain.groups)
    n = plain.num_blocks
    rng = np.random.default_rng(draw(SEEDS))
    family = draw(st.sampled_from(["small", "decades", "units"]))
    if family == "small":
        weights = rng.integers(0, 5, n)
    elif family == "decades":
        weights = np.rint(10.0 ** rng.uniform(0.0, 14.0, n)).astype(np.int64)
    else:
        weights = 2**48 + rng.integers(0, 2, n)
    sums = np.sort(all_states(plain) @ weights)
    place = draw(st.sampled_from([0, len(sums) // 2, len(sums) * 9 // 10, len(sums) - 1]))
    at_least = int(sums[place]) + draw(st.integers(0, 1))
    return Problem(
        plain.hessian,
        plain.remove,
        kinds=plain.kinds,
        keep=plain.keep,
        force=plain.force,
        gradient=plain.gradient,
        beta=plain.beta,
        weights=weights.tolist(),
        at_least=min(at_least, int(sums[-1])),
    )


@st.composite
def problems_for_encodings(draw: st.DrawFn, integers: bool = False, min_blocks: int = 1) -> Problem:
    """Of at most 8 blocks and any sign, whole numbers if asked for."""
    n = draw(st.integers(min_blocks, 8))
    rng = np.random.default_rng(draw(SEEDS))
    factors = rng.integers(-4, 5, size=(n, n)).astype(float)
    if not integers:
        factors += rng.normal(size=(n, n))
    both = factors + factors.T
    families = {
        "wishart": factors.T @ factors,
        "negative": -factors.T @ factors,
        "indefinite": both,
        "sparse": both * (np.abs(both) > 3),
    }
    hessian = families[draw(st.sampled_from(sorted(families)))]
    slope: dict[str, Any] = {}
    if draw(st.booleans()):
        beta = draw(st.sampled_from([1.0, -1.0]))
        slope = {"gradient": rng.integers(-6, 7, size=n) / 2.0, "beta": beta}
    return Problem((hessian + hessian.T) / 2, **draw_request(draw, n, rng), **slope)


@st.composite
def problems_of_kinds(draw: st.DrawFn, max_blocks: int, max_states: int) -> Problem:
    """One to four groups of any sizes and counts, some blocks kept or forced, linear terms, entries
    of any scale and range, with ties or without.
    """
    n = draw(st.integers(2, max_blocks))
    rng = np.random.default_rng(draw(SEEDS))
    scale = draw(st.sampled_from([1.0, 1e-12, 1e12, 3e-150, 1e150]))
    family = draw(st.sampled_from(["normal", "normal", "integers", "constant"]))
    if family == "integers":
        entries = rng.integers(-2, 3, (n, n)).astype(float)
    elif family == "constant":
        entries = np.full((n, n), rng.choice([0.0, 1.0, -0.3]))
    else:
        decades = draw(st.sampled_from([0.0, 2.0, 8.0, 20.0]))
        entries = rng.normal(size=(n, n)) * 10.0 ** (-decades * rng.random((n, n)))
        # One energy scale may lie far above the differences.
        entries += draw(st.sampled_from([0.0, 0.0, 1.0, -100.0]))
    num_kinds = draw(st.integers(1, 4))
    kinds = rng.integers(0, num_kinds, n).astype(str).tolist()
    remove = {kind: draw(st.integers(0, kinds.count(kind))) for kind in sorted(set(kinds))}
    force: list[int] = []
    keep: list[int] = []
    if draw(st.booleans()):
        for i in rng.permutation(n)[: n // 4].tolist():
            if count_of(kinds[i], force, kinds) < remove[kinds[i]]:
                force.append(i)
            elif count_of(kinds[i], keep, kinds) < kinds.count(kinds[i]) - remove[kinds[i]]:
                keep.append(i)
    slope: dict[str, Any] = {}
    if draw(st.booleans()):
        slope = {"gradient": rng.normal(size=n) * scale, "beta": 0.5}
    hessian = symmetric(entries * scale)
    problem = Problem(hessian, remove, kinds=kinds, force=force, keep=keep, **slope)
    assume(problem.groups)
    assume(problem.num_states <= max_states)
    return problem


def count_of(kind: str, blocks: Sequence[int], kinds: Sequence[str]) -> int:
    """How many of these blocks are of a kind."""
    return sum(kinds[block] == kind for block in blocks)


@st.composite
def problems_in_group_order(draw: st.DrawFn) -> Problem:
    """With variables in group order, so that states of the kernels are those of the problem."""
    rng = np.random.default_rng(draw(SEEDS))
    sizes = draw(st.lists(st.integers(2, 9), min_size=1, max_size=3))
    n = sum(sizes)
    kinds = [str(g) for g, size in enumerate(sizes) for _ in range(size)]
    counts = {str(g): draw(st.integers(1, size - 1)) for g, size in enumerate(sizes)}
    scale = draw(st.sampled_from([1.0, 1e-9, 1e9]))
    matrix = rng.normal(size=(n, n)) * scale
    if draw(st.booleans()):
        matrix = np.rint(2.0 * matrix / scale)
    if draw(st.booleans()):
        # As blocks of trained models: some couple a thousand times more than others.
        factors = 10.0 ** rng.uniform(-3.0, 0.0, n)
        matrix *= np.outer(factors, factors)
    return Problem(matrix + matrix.T, counts, kinds=kinds)
