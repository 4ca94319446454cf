"""Packed states and the pool of the K best: order, capacity and round trips."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from qubo_prune.core.kernels.energy import canonical_energy
from qubo_prune.core.spectrum.order import lexicographic_order
from qubo_prune.search.kernels.pool import (
    new_pool,
    num_words,
    pack,
    packed_energy,
    precedes,
    push,
    removed_blocks,
    unpack,
)

# Few values, so that ties are common; infinities and both zeros are ordered as numbers are.
ENERGIES = st.sampled_from([-np.inf, -1e300, -1.5, -1e-300, -0.0, 0.0, 5e-324, 1.0, 1e12, np.inf])


@st.composite
def entries(
    draw: st.DrawFn, min_size: int = 1, max_size: int = 60
) -> tuple[int, list[tuple[float, tuple[int, ...]]]]:
    """Draw N and distinct states of N blocks, equally many removed, with energies."""
    num_blocks = draw(st.integers(1, 200))
    count = draw(st.integers(0, num_blocks))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    # Candidates from few blocks differ late and in few bits, which is where an order goes wrong.
    pool = np.sort(rng.permutation(num_blocks)[: draw(st.integers(count, num_blocks))])
    size = draw(st.integers(min_size, max_size))
    removed = {tuple(sorted(rng.permutation(pool)[:count].tolist())) for _ in range(size)}
    return num_blocks, [(draw(ENERGIES), each) for each in sorted(removed, key=hash)]


def states_of(num_blocks: int, removed: list[tuple[int, ...]]) -> NDArray[np.bool_]:
    states = np.zeros((len(removed), num_blocks), np.bool_)
    for state, blocks in zip(states, removed, strict=True):
        state[list(blocks)] = True
    return states


@given(
    num_blocks=st.integers(1, 200),
    count=st.integers(0, 20),
    density=st.sampled_from([0.0, 0.02, 0.5, 1.0]),
    seed=st.integers(0, 2**32 - 1),
)
def test_packing_round_trips(num_blocks: int, count: int, density: float, seed: int) -> None:
    states = np.random.default_rng(seed).random((count, num_blocks)) < density
    words = pack(states)
    assert words.dtype == np.uint64
    assert words.shape == (count, num_words(num_blocks))
    unpacked = unpack(words, num_blocks)
    assert unpacked.dtype == np.bool_
    np.testing.assert_array_equal(unpacked, states)
    removed = np.empty(num_blocks, np.int64)
    for state, word in zip(states, words, strict=True):
        blocks = [i for i in range(num_blocks) if int(word[i // 64]) >> (i % 64) & 1]
        assert blocks == np.flatnonzero(state).tolist()
        assert removed[: removed_blocks(word, removed)].tolist() == blocks


@given(drawn=entries())
def test_precedes_is_the_order_of_energy_and_removed_blocks(
    drawn: tuple[int, list[tuple[float, tuple[int, ...]]]],
) -> None:
    num_blocks, states = drawn
    words = pack(states_of(num_blocks, [removed for _, removed in states]))
    size = min(len(states), 12)
    table = np.array(
        [
            [precedes(states[a][0], words[a], states[b][0], words[b]) for b in range(size)]
            for a in range(size)
        ],
        np.bool_,
    )
    expected = np.array(
        [[states[a] < states[b] for b in range(size)] for a in range(size)], np.bool_
    )
    np.testing.assert_array_equal(table, expected)
    # A strict total order: irreflexive, exactly one way round, transitive.
    assert not table.diagonal().any()
    assert ((table ^ table.T) | np.eye(size, dtype=np.bool_)).all()
    paths = table.astype(np.int64) @ table.astype(np.int64) > 0
    assert not (paths & ~table).any()


@given(drawn=entries(max_size=200), capacity=st.integers(1, 80), seed=st.integers(0, 2**32 - 1))
def test_push_keeps_the_smallest(
    drawn: tuple[int, list[tuple[float, tuple[int, ...]]]], capacity: int, seed: int
) -> None:
    num_blocks, states = drawn
    words = pack(states_of(num_blocks, [removed for _, removed in states]))
    energies, kept, size = new_pool(capacity, num_blocks)
    seen: list[tuple[float, tuple[int, ...]]] = []
    for k in np.random.default_rng(seed).permutation(len(states)):
        entered = push(energies, kept, size, states[k][0], words[k])
        before, seen = seen, sorted([*seen, states[k]])[:capacity]
        assert entered == (states[k] in seen)
        assert entered == (before != seen)
        assert size[0] == len(seen)
        assert energies[0] == seen[-1][0]
        np.testing.assert_array_equal(
            kept[0], pack(states_of(num_blocks, [seen[-1][1]]))[0], "the root is the worst kept"
        )
    found = unpack(kept[: size[0]], num_blocks)
    order = lexicographic_order(found, energies[: size[0]])
    assert [
        (float(energies[k]), tuple(np.flatnonzero(found[k]).tolist())) for k in order
    ] == sorted(states)[:capacity]


@given(num_blocks=st.integers(1, 130), seed=st.integers(0, 2**32 - 1))
def test_the_energy_of_a_packed_state_is_the_canonical_one(num_blocks: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    hessian = rng.normal(size=(num_blocks, num_blocks)) * 10.0 ** rng.uniform(-6, 6)
    linear = rng.normal(size=num_blocks)
    state = rng.random(num_blocks) < rng.random()
    blocks = np.flatnonzero(state)
    scratch = np.empty(num_blocks, np.int64)
    packed = packed_energy(hessian, linear, pack(state[None])[0], scratch, 0.0)
    assert packed == canonical_energy(hessian, linear, blocks, len(blocks), 0.0)
