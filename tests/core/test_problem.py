"""Problem: energies, the constraint as groups, the reduced form, and everything that is refused."""

from __future__ import annotations

import dataclasses
import hashlib
import itertools
import pickle
import struct
import time
from fractions import Fraction
from math import comb
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from qubo_prune.core.errors import InputError, QuboPruneError
from qubo_prune.core.problem.problem import Problem
from qubo_prune.core.validation import MAX_MAGNITUDE

KINDS = ("attention", "mlp", "mamba")


def random_symmetric(
    rng: np.random.Generator, num_blocks: int, scale: float = 1.0
) -> NDArray[np.float64]:
    half = rng.standard_normal((num_blocks, num_blocks)) * scale
    return half + half.T


def all_states(num_blocks: int) -> NDArray[np.bool_]:
    return np.array(list(itertools.product([False, True], repeat=num_blocks)), np.bool_)


@st.composite
def requests(draw: st.DrawFn) -> tuple[int, dict[str, Any], list[NDArray[np.bool_]]]:
    """Keyword arguments of a valid Problem of at most 8 blocks, and the states they allow."""
    num_blocks = draw(st.integers(1, 8))
    kinds = draw(
        st.none() | st.lists(st.sampled_from(KINDS), min_size=num_blocks, max_size=num_blocks)
    )
    fate = draw(
        st.lists(
            st.sampled_from(["free", "free", "free", "keep", "force"]),
            min_size=num_blocks,
            max_size=num_blocks,
        )
    )
    only = draw(st.none() | st.sampled_from(sorted(set(kinds)))) if kinds else None
    by_kind = bool(kinds) and draw(st.booleans())

    def candidate(i: int) -> bool:
        return only is None or kinds[i] == only

    force = [i for i in range(num_blocks) if fate[i] == "force" and candidate(i)]
    keep = [i for i in range(num_blocks) if fate[i] == "keep"]

    def count_for(members: Any) -> int:
        forced = sum(i in force for i in members)
        free = sum(candidate(i) and i not in keep and i not in force for i in members)
        return draw(st.integers(forced, forced + free))

    if by_kind:
        mentioned = draw(st.sets(st.sampled_from(sorted(set(kinds)))))
        mentioned |= {kinds[i] for i in force}
        remove = {
            kind: count_for([i for i in range(num_blocks) if kinds[i] == kind])
            for kind in sorted(mentioned)
        }
    else:
        remove = count_for(range(num_blocks))

    def allowed(state: NDArray[np.bool_]) -> bool:
        removed = {i for i in range(num_blocks) if state[i]}
        if not set(force) <= removed or removed & set(keep):
            return False
        if not all(candidate(i) for i in removed):
            return False
        if not by_kind:
            return len(removed) == remove
        counts = {kind: sum(kinds[i] == kind for i in removed) for kind in set(kinds)}
        return all(counts[kind] == remove.get(kind, 0) for kind in counts)

    arguments = {"remove": remove, "kinds": kinds, "keep": keep, "force": force, "only": only}
    return num_blocks, arguments, [s for s in all_states(num_blocks) if allowed(s)]


@given(st.data())
@settings(deadline=None)
def test_energies_of_integer_matrices_are_exact(data: Any) -> None:
    num_blocks = data.draw(st.integers(1, 7))
    entries = data.draw(
        st.lists(st.integers(-9, 9), min_size=num_blocks**2, max_size=num_blocks**2)
    )
    gradient = data.draw(st.lists(st.integers(-9, 9), min_size=num_blocks, max_size=num_blocks))
    beta = data.draw(st.sampled_from([0.0, 1.0, -1.0, 0.5]))
    matrix = np.array(entries).reshape(num_blocks, num_blocks)
    matrix = matrix + matrix.T
    problem = Problem(matrix, 0, gradient=gradient, beta=beta)
    states = all_states(num_blocks)
    expected = [
        sum(
            int(matrix[i, j]) for i in range(num_blocks) for j in range(num_blocks) if s[i] and s[j]
        )
        + 2 * Fraction(beta) * sum(gradient[i] for i in range(num_blocks) if s[i])
        for s in states
    ]
    assert [Fraction(energy) for energy in problem.energies(states)] == expected


@pytest.mark.parametrize("scale", [1e-12, 1.0, 1e12])
def test_energies_of_real_matrices_agree_with_einsum(scale: float) -> None:
    rng = np.random.default_rng(7)
    hessian = random_symmetric(rng, 30, scale)
    gradient = rng.standard_normal(30) * scale
    problem = Problem(hessian, 5, gradient=gradient, beta=-1.0)
    states = rng.random((200, 30)) < 0.4
    x = states.astype(float)
    expected = np.einsum("ki,ij,kj->k", x, hessian, x) - 2.0 * x @ gradient
    np.testing.assert_allclose(problem.energies(states), expected, rtol=1e-12, atol=1e-11 * scale)


def test_energies_are_the_canonical_sum_to_the_last_bit() -> None:
    rng = np.random.default_rng(11)
    hessian = random_symmetric(rng, 40)
    gradient = rng.standard_normal(40)
    problem = Problem(hessian, 5, gradient=gradient, beta=0.3)
    states = rng.random((50, 40)) < 0.5
    for state, energy in zip(states, problem.energies(states).tolist(), strict=True):
        removed = np.flatnonzero(state)
        total = 0.0
        for a, i in enumerate(removed):
            coupling = 0.0
            for j in removed[:a]:
                coupling += float(hessian[i, j])
            total += (float(hessian[i, i]) + 2.0 * 0.3 * float(gradient[i])) + 2.0 * coupling
        assert energy == total


def test_energies_take_every_spelling_of_states() -> None:
    problem = Problem([[2.0, 1.0], [1.0, 3.0]], 1)
    assert problem.energies([True, True]).tolist() == [7.0]
    assert problem.energies(np.array([1, 0], np.uint8)).shape == (1,)
    for dtype in (bool, np.int8, np.uint64, np.float32):
        states = np.array([[0, 0], [1, 0], [1, 1]], dtype)
        assert problem.energies(states).tolist() == [0.0, 2.0, 7.0]
        assert problem.energies(np.asfortranarray(states)).tolist() == [0.0, 2.0, 7.0]
    assert problem.energies(np.zeros((0, 2), bool)).shape == (0,)


@pytest.mark.parametrize(
    ("states", "message"),
    [
        ([[0, 1, 1]], r"shape \(K, 2\) or \(2,\), not \(1, 3\)"),
        ([[[0, 1]]], r"not \(1, 1, 2\)"),
        ([[0, 2]], "only 0 and 1, not 2"),
        ([[0.5, 1.0]], r"only 0 and 1, not 0\.5"),
        ([[np.nan, 1.0]], "only 0 and 1, not nan"),
        ([["0", "1"]], "real numbers, not dtype <U1"),
        ([], r"not \(0,\)"),
    ],
)
def test_states_that_are_not_states_are_refused(states: Any, message: str) -> None:
    problem = Problem([[2.0, 1.0], [1.0, 3.0]], 1)
    with pytest.raises(InputError, match=message):
        problem.energies(states)
    with pytest.raises(InputError, match=message):
        problem.is_feasible(states)


def test_beta_weights_the_gradient_twice() -> None:
    problem = Problem(np.zeros((3, 3)), 1, gradient=[1.0, -2.0, 4.0], beta=-0.5)
    assert problem.linear.tolist() == [-1.0, 2.0, -4.0]
    assert problem.energies(np.eye(3, dtype=bool)).tolist() == [-1.0, 2.0, -4.0]
    ignored = Problem(np.zeros((3, 3)), 1, gradient=[1.0, -2.0, 4.0])
    assert ignored.linear.tolist() == [0.0, 0.0, 0.0]


@given(requests())
@settings(deadline=None, max_examples=200)
def test_constraint_allows_exactly_what_was_asked_for(request_: Any) -> None:
    num_blocks, arguments, feasible = request_
    problem = Problem(np.eye(num_blocks), **arguments)
    states = all_states(num_blocks)
    assert [s.tolist() for s in states[problem.is_feasible(states)]] == [
        s.tolist() for s in feasible
    ]
    assert problem.num_states == len(feasible)
    assert {int(s.sum()) for s in feasible} == {problem.num_removed}


@given(requests())
@settings(deadline=None)
def test_groups_and_fixed_blocks_partition_the_blocks(request_: Any) -> None:
    num_blocks, arguments, _ = request_
    problem = Problem(np.eye(num_blocks), **arguments)
    for group in problem.groups:
        assert 0 < group.count < len(group.indices)
    parts = [problem.fixed_removed, problem.fixed_kept, *(g.indices for g in problem.groups)]
    for part in parts:
        assert part.dtype == np.int64
        assert (np.diff(part) > 0).all()
        with pytest.raises(ValueError, match="read-only"):
            part[:] = 0
    assert sorted(np.concatenate(parts).tolist()) == list(range(num_blocks))
    firsts = [int(group.indices[0]) for group in problem.groups]
    assert firsts == sorted(firsts)


@given(requests(), st.integers(0, 2**32 - 1))
@settings(deadline=None)
def test_reduced_problem_has_the_same_energies(request_: Any, seed: int) -> None:
    num_blocks, arguments, feasible = request_
    rng = np.random.default_rng(seed)
    hessian = random_symmetric(rng, num_blocks)
    problem = Problem(hessian, gradient=rng.standard_normal(num_blocks), beta=0.7, **arguments)
    reduced = problem.reduced()
    states = np.array(feasible)
    y = states[:, reduced.variables]
    assert (reduced.expand(y) == states).all()
    np.testing.assert_allclose(reduced.energy(y), problem.energies(states), rtol=0, atol=1e-11)
    assert (reduced.matrix == reduced.matrix.T).all()
    assert reduced.num_groups == len(problem.groups) == len(reduced.counts)
    for number, group in enumerate(problem.groups):
        assert reduced.counts[number] == group.count
        assert reduced.variables[reduced.group_of == number].tolist() == group.indices.tolist()


def test_reduced_diagonal_holds_every_linear_term() -> None:
    hessian = np.array(
        [[1.0, 2.0, 3.0, 4.0], [2.0, 5.0, 6.0, 7.0], [3.0, 6.0, 8.0, 9.0], [4, 7, 9, 10]]
    )
    problem = Problem(hessian, 2, force=[1], keep=[3], gradient=[1.0, 1.0, 2.0, 0.0], beta=10.0)
    reduced = problem.reduced()
    assert reduced.variables.tolist() == [0, 2]
    assert reduced.offset == 25.0
    assert reduced.matrix.tolist() == [[1.0 + 20.0 + 4.0, 3.0], [3.0, 8.0 + 40.0 + 12.0]]
    assert reduced.counts.tolist() == [1]
    assert reduced.energy([1, 0]).tolist() == [50.0]
    with pytest.raises(InputError, match=r"y must have shape \(K, 2\)"):
        reduced.expand([1, 0, 1])


@pytest.mark.parametrize("remove", [0, 5])
def test_nothing_and_everything_are_one_state(remove: int | dict[str, int]) -> None:
    hessian = random_symmetric(np.random.default_rng(3), 5)
    problem = Problem(hessian, remove)
    assert problem.num_states == 1
    assert problem.groups == ()
    reduced = problem.reduced()
    assert (reduced.num_groups, reduced.matrix.shape) == (0, (0, 0))
    state = reduced.expand(np.zeros((1, 0), bool))
    assert state.tolist() == [[remove == 5] * 5]
    assert reduced.energy(np.zeros((1, 0), bool)).tolist() == problem.energies(state).tolist()


def test_forced_blocks_count_and_names_work_like_indices() -> None:
    names = [f"layers.{i}" for i in range(6)]
    by_name = Problem(np.eye(6), 3, names=names, keep=["layers.5"], force=["layers.2", 0])
    by_index = Problem(np.eye(6), 3, keep=[5], force=np.array([0, 2]))
    for problem in (by_name, by_index):
        assert (problem.keep, problem.force) == ((5,), (0, 2))
        assert problem.groups[0].indices.tolist() == [1, 3, 4]
        assert (problem.groups[0].count, problem.num_states) == (1, 3)
    assert by_index.block_names() == ("0", "1", "2", "3", "4", "5")
    assert Problem(np.eye(6), 3, keep=["5"]).keep == (5,)


def test_counts_by_kind_keep_the_kinds_not_mentioned() -> None:
    kinds = ["attention", "mlp", "moe"] * 4
    problem = Problem(np.eye(12), {"moe": 2, "attention": 4}, kinds=kinds, force=[2])
    assert problem.fixed_removed.tolist() == [0, 2, 3, 6, 9]
    assert [(g.indices.tolist(), g.count) for g in problem.groups] == [([5, 8, 11], 1)]
    assert problem.fixed_kept.tolist() == [1, 4, 7, 10]
    assert problem.num_removed == 6


def test_groups_come_in_the_order_of_their_first_block() -> None:
    kinds = ["moe", "mlp", "mlp", "moe"]
    for remove in ({"mlp": 1, "moe": 1}, {"moe": 1, "mlp": 1}):
        groups = Problem(np.eye(4), remove, kinds=kinds).groups
        assert [group.indices.tolist() for group in groups] == [[0, 3], [1, 2]]


def test_number_of_states_is_exact_and_without_limit() -> None:
    assert Problem(np.eye(80), 40).num_states == comb(80, 40)
    problem = Problem(np.eye(700), 350)
    assert problem.num_states == comb(700, 350)
    assert "e209" in repr(problem)


def test_state_takes_indices_and_names() -> None:
    problem = Problem(np.eye(4), 1, names=["a", "b", "c", "d"])
    assert problem.state(["d", 1]).tolist() == [False, True, False, True]
    assert problem.state([]).tolist() == [False] * 4
    with pytest.raises(InputError, match="removed holds block 4, outside 0\\.\\.\\.3"):
        problem.state([4])
    with pytest.raises(InputError, match="removed holds block 'b' twice"):
        problem.state([1, "b"])


def test_hessian_is_a_read_only_copy() -> None:
    source = np.asfortranarray([[2.0, 1.0], [1.0, 3.0]])
    problem = Problem(source, 1)
    source[0, 0] = 99.0
    assert problem.hessian.tolist() == [[2.0, 1.0], [1.0, 3.0]]
    assert problem.hessian.flags.c_contiguous
    for array in (problem.hessian, problem.linear, problem.reduced().matrix):
        with pytest.raises(ValueError, match="read-only"):
            array[...] = 0.0
    with pytest.raises(dataclasses.FrozenInstanceError):
        problem.remove = 2  # type: ignore[misc]


@pytest.mark.parametrize(
    "dtype", ["bool", "int8", "uint64", "float16", "float32", ">f8", "<f8", "longdouble"]
)
def test_every_real_dtype_is_taken(dtype: str) -> None:
    problem = Problem(np.array([[1, 1], [1, 0]]).astype(dtype), 1)
    assert problem.hessian.dtype == np.dtype("float64")
    assert problem.hessian.dtype.isnative
    assert problem.hessian.tolist() == [[1.0, 1.0], [1.0, 0.0]]


def test_rounding_asymmetry_is_averaged_away() -> None:
    hessian = random_symmetric(np.random.default_rng(5), 300)
    noisy = hessian * (1 + 1e-12 * np.random.default_rng(6).standard_normal(hessian.shape))
    problem = Problem(noisy, 3)
    assert (problem.hessian == problem.hessian.T).all()
    assert (problem.hessian == (noisy + noisy.T) / 2).all()


def test_symmetric_matrices_are_not_touched() -> None:
    # Halving would lose the last bit of the smallest numbers.
    smallest = np.full((2, 2), 5e-324)
    assert (Problem(smallest, 1).hessian == smallest).all()
    smallest[0, 1] = 0.0
    assert (Problem(smallest, 1, symmetrize=True).hessian[[0, 1], [0, 1]] == 5e-324).all()


def test_asymmetry_is_refused_with_its_size_and_accepted_on_request() -> None:
    hessian = random_symmetric(np.random.default_rng(5), 600)
    hessian[550, 300] += 0.25
    with pytest.raises(
        InputError,
        match=r"\|H\[300, 550\] - H\[550, 300\]\| = 0\.25,.*1e-08 of max.*symmetrize=True",
    ):
        Problem(hessian, 3)
    problem = Problem(hessian, 3, symmetrize=True)
    assert (problem.hessian == problem.hessian.T).all()
    x = np.zeros(600, bool)
    x[[300, 550, 17]] = True
    assert problem.energies(x)[0] == pytest.approx(x.astype(float) @ hessian @ x, abs=1e-12)


def test_hash_is_of_the_values_not_of_their_layout() -> None:
    hessian = random_symmetric(np.random.default_rng(1), 6)
    problems = [Problem(h, 2) for h in (hessian, np.asfortranarray(hessian), hessian.astype(">f8"))]
    assert len({problem.hessian_sha256 for problem in problems}) == 1
    changed = hessian.copy()
    changed[2, 2] = np.nextafter(changed[2, 2], 9.0)
    assert Problem(changed, 2).hessian_sha256 != problems[0].hessian_sha256
    little_endian = struct.pack("<4d", 1.0, 2.0, 2.0, -3.0)
    by_hand = hashlib.sha256(little_endian).hexdigest()
    assert Problem([[1.0, 2.0], [2.0, -3.0]], 1).hessian_sha256 == by_hand


def test_with_remove_shares_the_matrix_and_the_hash() -> None:
    problem = Problem(np.eye(9), 2, keep=[0], force=[3], names=list("abcdefghi"), beta=0.0)
    other = problem.with_remove(5)
    assert other.hessian is problem.hessian
    assert other.hessian_sha256 == problem.hessian_sha256
    assert (other.remove, other.num_states) == (5, comb(7, 4))
    assert (problem.remove, problem.num_states) == (2, 7)
    assert (other.keep, other.force, other.names) == (problem.keep, problem.force, problem.names)
    with pytest.raises(InputError, match="not 9;"):
        problem.with_remove(9)


def test_problems_can_be_pickled_and_replaced() -> None:
    problem = Problem(random_symmetric(np.random.default_rng(1), 6), 2, keep=[0])
    copy = pickle.loads(pickle.dumps(problem))  # noqa: S301 - our own bytes
    assert copy.energies(np.eye(6)).tolist() == problem.energies(np.eye(6)).tolist()
    assert copy.num_states == problem.num_states
    replaced = dataclasses.replace(problem, remove=3)
    assert (replaced.num_states, replaced.keep) == (comb(5, 3), (0,))


def test_five_thousand_blocks_load_and_evaluate_quickly(tmp_path: Path) -> None:
    num_blocks = 5000
    rng = np.random.default_rng(0)
    factor = rng.standard_normal((num_blocks, 4))
    path = tmp_path / "large.npy"
    np.save(path, factor @ factor.T)
    start = time.perf_counter()
    problem = Problem.load(path, 2500, keep=range(10), force=range(10, 20))
    path.unlink()  # pytest keeps the folder, and this is 200 MB
    states = np.zeros((3, num_blocks), bool)
    states[:, 10:2510] = True
    energies = problem.energies(states)
    assert problem.is_feasible(states).all()
    assert problem.num_states == comb(4980, 2490)
    assert time.perf_counter() - start < 15
    total = factor[10:2510].sum(axis=0)
    assert energies[0] == pytest.approx(total @ total, rel=1e-9)


@pytest.mark.parametrize(
    ("hessian", "message"),
    [
        (np.zeros((2, 3)), r"square, not of shape \(2, 3\); give an \(N, N\)"),
        (np.zeros(4), r"2-D, not 1-D with shape \(4,\); give one"),
        (np.zeros((2, 2, 2)), r"2-D, not 3-D with shape \(2, 2, 2\)"),
        (3.0, r"2-D, not 0-D"),
        (np.zeros((0, 0)), r"empty, of shape \(0, 0\), but at least one block"),
        ([], r"2-D, not 1-D with shape \(0,\)"),
        (np.eye(2) * 1j, r"real numbers, not dtype complex128; convert"),
        (np.eye(2).astype(str), r"real numbers, not dtype <U"),
        ("hessian.npy", r"not dtype <U11; use Problem\.load"),
        (np.array([[1, None], [None, 1]]), r"real numbers, not dtype object"),
        ([[10**400, 0], [0, 1]], r"real numbers, not dtype object"),
        (np.zeros((2, 2), "M8[s]"), r"real numbers, not dtype datetime64"),
        (np.zeros((2, 2), [("a", "f8")]), r"real numbers, not dtype \[\('a'"),
        ([[1.0, 2.0], [3.0]], r"cannot be read as an array.*rows of equal length"),
        (None, r"real numbers, not dtype object"),
        (np.ma.masked_equal(np.eye(2), 0.0), r"2 masked entries.*fill them"),
        ([[1.0, np.nan], [np.nan, 1.0]], r"hessian\[0, 1\] is nan, and 2 of 4 entries"),
        ([[1.0, 0.0], [0.0, np.inf]], r"hessian\[1, 1\] is inf.*correct or drop those blocks"),
        ([[1.0, 0.0], [0.0, -np.inf]], r"hessian\[1, 1\] is -inf"),
        (np.full((2, 2), 1.7e308), r"add up to inf, more than the 1\.12e\+307.*divide the Hessian"),
        (np.full((2, 2), MAX_MAGNITUDE / 3), r"add up to 1\.5e\+307"),
        ([[1.0, 0.5], [0.4, 1.0]], r"H\[0, 1\] - H\[1, 0\]\| = 0\.1,.*symmetrize=True"),
        ([[0.0, 1e-300], [0.0, 0.0]], r"= 1e-300"),
    ],
)
def test_matrices_that_are_no_hessians_are_refused(hessian: Any, message: str) -> None:
    with pytest.raises(InputError, match=message) as caught:
        Problem(hessian, 1)
    assert isinstance(caught.value, QuboPruneError)
    assert "\n" not in str(caught.value)


@pytest.mark.skipif(
    np.finfo(np.longdouble).max == np.finfo(np.float64).max, reason="long double is float64 here"
)
def test_numbers_beyond_float64_are_refused() -> None:
    with pytest.raises(InputError, match=r"hessian\[0, 0\] is 1e\+4000.*finite float64"):
        Problem(np.array([[np.longdouble("1e4000")]]), 0)


def test_largest_allowed_magnitude_is_safe() -> None:
    hessian = np.full((2, 2), MAX_MAGNITUDE / 4)
    assert Problem(hessian, 2).energies([True, True])[0] == MAX_MAGNITUDE


SIX = {"hessian": np.eye(6), "remove": 2, "kinds": ["attention", "mlp"] * 3}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"remove": 7}, r"between 0 \(blocks forced\) and 6 .*not 7; change"),
        ({"remove": -1}, r"between 0 .* not -1;"),
        ({"remove": 10**5000}, r"not 1\.00e5000;"),
        ({"remove": -(10**5000)}, r"not -1\.00e5000;"),
        ({"remove": 2.0}, r"remove must be an integer, not 2\.0 \(float\)"),
        ({"remove": "2"}, r"remove must be an integer, not '2' \(str\)"),
        ({"remove": True}, r"remove must be an integer, not True \(bool\)"),
        ({"remove": np.True_}, r"remove must be an integer, not np\.True_"),
        ({"remove": None}, r"remove must be an integer, not None"),
        ({"remove": [2]}, r"remove must be an integer, not \[2\]"),
        ({"remove": 5, "keep": [0, 1]}, r"between 0 .* and 4 .*not 5"),
        ({"remove": 1, "force": [0, 1]}, r"between 2 \(blocks forced\) and 6 .*not 1"),
        ({"remove": 4, "only": "mlp"}, r"and 3 .*not 4"),
        ({"remove": {"mlp": 4}}, r"remove\['mlp'\] must be between 0 .* and 3 .*not 4"),
        ({"remove": {"mlp": -1}}, r"remove\['mlp'\] .*not -1"),
        ({"remove": {"mlp": 1.5}}, r"remove\['mlp'\] must be an integer, not 1\.5"),
        ({"remove": {"mlp": True}}, r"remove\['mlp'\] must be an integer, not True"),
        ({"remove": {"mlp": 0}, "force": [1]}, r"remove\['mlp'\] must be between 1"),
        ({"remove": {"mlpp": 1}}, r"remove names an unknown kind 'mlpp'; did you mean 'mlp'"),
        ({"remove": {"x": 1}}, r"unknown kind 'x'; use one of 'attention', 'mlp'"),
        ({"remove": {3: 1}}, r"unknown kind 3"),
        ({"remove": {"mlp": 1}, "kinds": None}, r"has no kinds; pass kinds"),
        ({"remove": {"mlp": 1}, "force": [0]}, r"force holds block 0, whose kind .* keeps; add"),
        ({"remove": {"mlp": 1}, "only": "attention"}, r"remove\['mlp'\] must be .* and 0 "),
        ({"only": "mamba"}, r"only names an unknown kind 'mamba'"),
        ({"only": "mlp", "kinds": None}, r"only names the kind 'mlp', but the problem has no"),
        ({"only": "mlp", "force": [0]}, r"force holds block 0, which is not of the kind .*drop"),
        ({"keep": [1], "force": [1]}, r"block 1 is in keep and in force.*take it out"),
        ({"keep": [1, 1]}, r"keep holds block 1 twice; give every block once"),
        ({"force": ["1", 1]}, r"force holds block 1 twice"),
        ({"keep": [6]}, r"keep holds block 6, outside 0\.\.\.5; give indices counted from 0"),
        ({"keep": [-1]}, r"keep holds block -1, outside 0\.\.\.5"),
        ({"keep": [10**5000]}, r"keep holds block 1\.00e5000, outside"),
        ({"keep": [1.0]}, r"an entry of keep must be an integer, not 1\.0"),
        ({"keep": [True]}, r"an entry of keep must be an integer, not True"),
        ({"keep": "12"}, r"keep must be a list .* not '12'; give \['12'\]"),
        ({"keep": 1}, r"keep must be a list .* not 1; give \[1\]"),
        ({"keep": ["layer"]}, r"keep names an unknown block 'layer'; give an index or a name"),
        ({"names": list("abcde")}, r"names must have one entry per block, 6, not 5"),
        ({"names": list("abcdea")}, r"names must be distinct, but blocks 0 and 5 are .* 'a'"),
        ({"names": "abcdef"}, r"names must be a list .* not 'abcdef'"),
        ({"names": [1, 2, 3, 4, 5, 6]}, r"names\[0\] must be a non-empty string, not 1"),
        ({"names": ["a", "", "c", "d", "e", "f"]}, r"names\[1\] must be a non-empty string"),
        (
            {"names": [f"layers.{i}" for i in range(6)], "force": ["layer.3"]},
            r"force names an unknown block 'layer\.3'; did you mean 'layers\.3'\?",
        ),
        ({"kinds": ["mlp"]}, r"kinds must have one entry per block, 6, not 1"),
        ({"kinds": 6}, r"kinds must be a list"),
        ({"kinds": [None] * 6}, r"kinds\[0\] must be a non-empty string, not None"),
        ({"beta": 1.0}, r"beta=1\.0 weights the first-order term, which needs the gradient"),
        ({"beta": np.nan, "gradient": np.ones(6)}, r"beta must be a finite number, not nan"),
        ({"beta": -np.inf, "gradient": np.ones(6)}, r"beta must be a finite number, not -inf"),
        ({"beta": "1", "gradient": np.ones(6)}, r"beta must be a finite number, not '1' \(str\)"),
        ({"beta": True, "gradient": np.ones(6)}, r"beta must be a finite number, not True"),
        ({"beta": 10**400, "gradient": np.ones(6)}, r"finite number, not 1\.00e400"),
        ({"beta": 10**5000, "gradient": np.ones(6)}, r"finite number, not 1\.00e5000"),
        ({"remove": np.arange(500)}, r"remove must be an integer, not array"),
        ({"gradient": np.ones(5)}, r"shape \(6,\), one entry per block, not \(5,\)"),
        ({"gradient": np.ones((9, 6))}, r"not \(9, 6\); average per-sample gradients"),
        ({"gradient": [1, 2, 3, 4, 5, np.nan]}, r"gradient\[5\] is nan"),
        ({"gradient": np.full(6, np.inf), "beta": 0.0}, r"gradient\[0\] is inf"),
        ({"gradient": np.ones(6) * 1j}, r"gradient must hold real numbers"),
        ({"gradient": np.full(6, 1e300), "beta": 1e10}, r"add up to inf"),
        ({"gradient": np.zeros(6), "beta": 1.7e308}, r"add up to nan"),
    ],
)
def test_contradictory_requests_are_refused(arguments: Any, message: str) -> None:
    with pytest.raises(InputError, match=message) as caught:
        Problem(**{**SIX, **arguments})
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 400
