"""Spectrum: what it checks, how it is cut, written, read and shown."""

from __future__ import annotations

import dataclasses
import io
import itertools
import json
import math
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import dimod
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from rich.console import Console

from qubo_prune.core.errors import InputError, QuboPruneError, SpectrumError
from qubo_prune.core.problem.problem import Problem
from qubo_prune.core.spectrum.order import lexicographic_order
from qubo_prune.core.spectrum.spectrum import Spectrum, State
from qubo_prune.core.spectrum.status import Status
from qubo_prune.core.stopping import StopReason
from qubo_prune.core.text import format_blocks, format_count

Damage = Callable[[dict[str, Any]], object]

NAMES = ("a", "b<b>", "c[red]", "d", "é", "f", "g")


def make_problem(remove: int | dict[str, int] = 3, **arguments: Any) -> Problem:
    half = np.random.default_rng(4).standard_normal((7, 7))
    return Problem(half + half.T, remove, names=NAMES, **arguments)


def solve_by_hand(problem: Problem, num_states: int = 10, **changes: Any) -> Spectrum:
    """The spectrum by sorting every subset with Python's own tuples and lists."""
    subsets = [
        subset
        for subset in itertools.combinations(range(problem.num_blocks), problem.num_removed)
        if problem.is_feasible(problem.state(subset))[0]
    ]
    energies = {subset: float(problem.energies(problem.state(subset))[0]) for subset in subsets}
    subsets.sort(key=lambda subset: (energies[subset], list(subset)))
    lowest = subsets[:num_states]
    fields = {
        "states": np.array([problem.state(subset) for subset in lowest]),
        "energies": np.array([energies[subset] for subset in lowest]),
        "num_proven": len(lowest),
        "lower_bound": energies[subsets[num_states]] if len(subsets) > num_states else math.inf,
        "status": Status.PROVEN,
        "stop_reason": StopReason.COMPLETED,
        "ties_truncated": False,
        "backend": "sorting",
        "num_states_total": len(subsets),
        "hessian_sha256": problem.hessian_sha256,
        "names": problem.block_names(),
        "remove": problem.remove,
        "seed": 3,
        "timings": {"search": 0.1, "check": 1 / 3},
        "num_evaluated": 35,
        "native_status": "done",
    }
    return Spectrum(**{**fields, **changes})


@pytest.fixture
def problem() -> Problem:
    return make_problem()


@pytest.fixture
def spectrum(problem: Problem) -> Spectrum:
    return solve_by_hand(problem)


def assert_same(one: Any, other: Any) -> None:
    for field in dataclasses.fields(Spectrum):
        a, b = getattr(one, field.name), getattr(other, field.name)
        if isinstance(a, np.ndarray):
            assert (a.dtype, a.shape, a.tobytes()) == (b.dtype, b.shape, b.tobytes())
        else:
            assert type(a) is type(b), field.name
            assert a == b, field.name


def test_states_by_index_and_iteration(spectrum: Spectrum, problem: Problem) -> None:
    assert len(spectrum) == 10
    states = list(spectrum)
    assert [state.index for state in states] == list(range(10))
    for k, state in enumerate(states):
        assert isinstance(state, State)
        assert (
            list(state.removed)
            == spectrum.removed(k)
            == np.flatnonzero(spectrum.states[k]).tolist()
        )
        assert list(state.names) == spectrum.removed_names(k) == [NAMES[i] for i in state.removed]
        assert state.energy == spectrum.energies[k]
        assert isinstance(state.energy, float)
        assert problem.state(state.names).tolist() == spectrum.states[k].tolist()
    assert spectrum[-1] == spectrum[np.int64(9)] == states[9]
    assert spectrum.num_blocks == 7
    for out_of_range in (10, -11):
        with pytest.raises(IndexError):
            spectrum[out_of_range]


def test_spectrum_cannot_be_changed(spectrum: Spectrum) -> None:
    for array in (spectrum.states, spectrum.energies):
        with pytest.raises(ValueError, match="read-only"):
            array[0] = 0
    with pytest.raises(dataclasses.FrozenInstanceError):
        spectrum.num_proven = 3


def test_arrays_are_copied(problem: Problem) -> None:
    states = np.eye(7, dtype=bool)[:1]
    one = make_problem(1)
    energies = one.energies(states)
    spectrum = solve_by_hand(one, 1, states=states, energies=energies)
    states[:] = True
    energies[:] = 5.0
    assert spectrum.removed(0) == [0]
    assert spectrum.energies[0] != 5.0


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"energies": np.zeros(3)}, r"shape \(10, 7\) and energies of shape \(3,\) do not fit"),
        ({"states": np.zeros(7, bool)}, r"states of shape \(7,\)"),
        ({"states": np.full((10, 7), 2)}, r"only 0 and 1, not 2"),
        ({"states": np.full((10, 7), "x")}, r"states must hold real numbers"),
        ({"energies": np.full(10, np.nan)}, r"energies must be finite"),
        ({"energies": np.full(10, 1j)}, r"energies must hold real numbers"),
        ({"num_proven": 11}, r"num_proven must be at most the number of states, 10, not 11"),
        ({"num_proven": -1}, r"num_proven must be at least 0, not -1"),
        ({"num_proven": 1.0}, r"num_proven must be an integer, not 1\.0"),
        ({"lower_bound": math.nan}, r"lower_bound must not be NaN"),
        ({"names": ("a",)}, r"names must have one entry per block, 7, not 1"),
        ({"remove": 1.5}, r"remove must be an integer"),
        ({"seed": "x"}, r"seed must be an integer, not 'x'"),
        ({"num_evaluated": -1}, r"num_evaluated must be at least 0"),
        ({"num_states_total": -1}, r"num_states_total must be at least 0"),
    ],
)
def test_fields_that_do_not_fit_are_refused(problem: Problem, changes: Any, message: str) -> None:
    with pytest.raises(InputError, match=message):
        solve_by_hand(problem, **changes)


def test_first_states_keep_their_proof(spectrum: Spectrum, problem: Problem) -> None:
    for count in range(11):
        first = spectrum[:count]
        assert len(first) == first.num_proven == count
        assert first.status is Status.PROVEN
        assert first.lower_bound == (
            spectrum.energies[count] if count < 10 else spectrum.lower_bound
        )
        first.check(problem)
    assert_same(spectrum[:], spectrum)
    assert_same(spectrum[:4:1], spectrum[0:4])


def test_first_proven_states_of_a_partial_spectrum_are_proven(problem: Problem) -> None:
    energies = solve_by_hand(problem).energies
    partial = solve_by_hand(
        problem, num_proven=4, status=Status.PARTIAL, lower_bound=float(energies[4])
    )
    partial.check(problem)
    assert (partial[:3].num_proven, partial[:3].status) == (3, Status.PROVEN)
    assert (partial[:4].num_proven, partial[:4].status) == (4, Status.PROVEN)
    assert (partial[:6].num_proven, partial[:6].status) == (4, Status.PARTIAL)
    for count in range(11):
        partial[:count].check(problem)


@pytest.mark.parametrize("cut", [slice(1, None), slice(2, 5), slice(0, 10, 2), slice(5, 5)])
def test_other_selections_prove_nothing(spectrum: Spectrum, problem: Problem, cut: Any) -> None:
    part = spectrum[cut]
    assert part.energies.tolist() == spectrum.energies.tolist()[cut]
    assert part.states.tolist() == spectrum.states.tolist()[cut]
    assert part.num_proven == 0
    left_out = sorted(set(spectrum.energies.tolist()) - set(part.energies.tolist()))
    assert part.lower_bound == left_out[0]
    part.check(problem)


def test_slices_of_a_heuristic_spectrum_stay_heuristic(problem: Problem) -> None:
    found = solve_by_hand(problem, num_proven=0, status=Status.HEURISTIC, lower_bound=-math.inf)
    for cut in (slice(0, 3), slice(3, 6)):
        assert found[cut].status is Status.HEURISTIC
        assert found[cut].lower_bound == -math.inf
        found[cut].check(problem)


def test_descending_slices_are_refused(spectrum: Spectrum) -> None:
    with pytest.raises(InputError, match="must ascend, not step by -1"):
        spectrum[::-1]


def test_slices_know_whether_they_cut_through_ties() -> None:
    problem = Problem(np.diag([1.0, 1.0, 1.0, 2.0]), 1)
    spectrum = solve_by_hand(problem, 4)
    assert [spectrum[:k].ties_truncated for k in (1, 2, 3, 4)] == [True, True, False, False]
    truncated = solve_by_hand(problem, 2, ties_truncated=True, lower_bound=1.0)
    assert truncated[:2].ties_truncated
    assert truncated[:1].ties_truncated


def test_true_spectra_pass(spectrum: Spectrum, problem: Problem) -> None:
    spectrum.check(problem)
    complete = solve_by_hand(problem, 1000)
    assert len(complete) == math.comb(7, 3)
    complete.check(problem)
    for remove in (0, 7):
        single = make_problem(remove)
        solve_by_hand(single).check(single)
    kinds = ["mlp", "moe"] * 3 + ["mlp"]
    grouped = Problem(np.eye(7), {"mlp": 2, "moe": 1}, kinds=kinds, force=[1])
    solve_by_hand(grouped).check(grouped)


def swap(array: NDArray[Any], i: int, j: int) -> NDArray[Any]:
    array = np.array(array)
    array[[i, j]] = array[[j, i]]
    return array


def test_every_contradiction_is_found(spectrum: Spectrum, problem: Problem) -> None:
    states, energies = spectrum.states, spectrum.energies
    worst = solve_by_hand(problem, 35).states[-1]
    missing = states.copy()
    missing[2, np.flatnonzero(missing[2])[0]] = False
    last_bit = energies.copy()
    last_bit[4] = np.nextafter(last_bit[4], np.inf)
    repeated = [0, 1, 1, *range(2, 9)]
    heuristic = {"status": Status.HEURISTIC, "num_proven": 0, "lower_bound": -math.inf}
    cases = {
        "hessian_sha256 of the spectrum": {"hessian_sha256": "0" * 64},
        "remove of the spectrum": {"remove": 4},
        "num_states_total of the": {"num_states_total": 36},
        r"state 2 does not satisfy the constraint: it removes blocks \[": {"states": missing},
        "the energy of state 4 is ": {"energies": last_bit},
        "energy of state 9 is": {"states": np.vstack([states[:9], worst])},
        "state 1 belongs to position 0": {
            "states": swap(states, 0, 1),
            "energies": swap(energies, 0, 1),
        },
        "a state is listed twice": {"states": states[repeated], "energies": energies[repeated]},
        "proven, but only 9 of 10": {"num_proven": 9},
        "heuristic, but 10 states": {"status": Status.HEURISTIC},
        "may reach down to -inf": {"lower_bound": -math.inf},
        "said to be proven, but states outside": {"lower_bound": float(energies[8])},
    }
    for message, changes in cases.items():
        wrong = dataclasses.replace(spectrum, **changes)
        with pytest.raises(SpectrumError, match=message) as caught:
            wrong.check(problem)
        assert isinstance(caught.value, QuboPruneError)
    dataclasses.replace(spectrum, **heuristic).check(problem)


def test_ties_cannot_be_cut_off_a_complete_list(problem: Problem) -> None:
    wrong = solve_by_hand(problem, 35, ties_truncated=True)
    with pytest.raises(SpectrumError, match="no state is left to tie with"):
        wrong.check(problem)


def test_more_states_than_there_are_is_a_contradiction(spectrum: Spectrum) -> None:
    wrong = dataclasses.replace(spectrum, num_states_total=9)
    with pytest.raises(SpectrumError, match="10 states are listed, but only 9 exist"):
        wrong.check_consistency()


def test_spectrum_of_another_size_is_refused(spectrum: Spectrum) -> None:
    with pytest.raises(SpectrumError, match="of 7 blocks, the problem of 3"):
        spectrum.check(Problem(np.eye(3), 3))


def test_wrong_order_of_ties_is_found() -> None:
    problem = Problem(np.eye(4), 2)
    right = solve_by_hand(problem, 6)
    right.check(problem)
    assert [right.removed(k) for k in range(3)] == [[0, 1], [0, 2], [0, 3]]
    wrong = dataclasses.replace(right, states=swap(right.states, 1, 2))
    with pytest.raises(SpectrumError, match="state 2 belongs to position 1"):
        wrong.check(problem)


def test_spectrum_without_states_is_legal(problem: Problem) -> None:
    empty = solve_by_hand(
        problem,
        states=np.zeros((0, 7), bool),
        energies=np.zeros(0),
        num_proven=0,
        status=Status.PARTIAL,
        stop_reason=StopReason.INTERRUPTED,
        lower_bound=-math.inf,
    )
    empty.check(problem)
    assert list(empty) == []
    assert len(empty.to_sampleset()) == 0
    assert "0 states" in str(empty)
    assert empty.to_table().row_count == 0


@given(st.integers(1, 200), st.integers(1, 30), st.integers(0, 2**32 - 1))
@settings(deadline=None)
def test_order_is_that_of_pythons_lists(num_blocks: int, num_states: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    num_removed = int(rng.integers(0, num_blocks + 1))
    states = np.zeros((num_states, num_blocks), bool)
    for row in states:
        row[rng.choice(num_blocks, num_removed, replace=False)] = True
    energies = rng.choice([-1.5, -0.0, 0.0, 2.0], num_states)
    order = lexicographic_order(states, energies)
    keys = [(energies[k], np.flatnonzero(states[k]).tolist()) for k in range(num_states)]
    assert order.tolist() == sorted(range(num_states), key=lambda k: keys[k])


@pytest.mark.parametrize("suffix", [".json", ".npz", ".JSON"])
@pytest.mark.parametrize("bound", [math.inf, -math.inf, 0.1 + 0.2, -5e-324])
def test_files_keep_everything_to_the_last_bit(
    tmp_path: Path, spectrum: Spectrum, suffix: str, bound: Any
) -> None:
    rng = np.random.default_rng(9)
    changed = dataclasses.replace(
        spectrum,
        energies=np.sort(rng.standard_normal(10) * 10.0 ** rng.integers(-300, 300, 10)),
        status=Status.PARTIAL,
        num_proven=0,
        lower_bound=bound,
        num_states_total=10 if bound == math.inf else 35,
        stop_reason=StopReason.TIME_LIMIT,
        ties_truncated=bound != math.inf,
        seed=None,
        native_status='odd "text"\n\u2028',
    )
    changed.save(tmp_path / f"s{suffix}")
    loaded = Spectrum.load(str(tmp_path / f"s{suffix}"))
    assert_same(loaded, changed)
    assert [entry.name for entry in tmp_path.iterdir()] == [f"s{suffix}"]


@given(st.lists(st.floats(allow_nan=False, allow_infinity=False), min_size=1, max_size=7))
@settings(deadline=None, max_examples=30)
def test_any_energies_survive_both_formats(
    tmp_path_factory: pytest.TempPathFactory, energies: Any
) -> None:
    folder = tmp_path_factory.mktemp("floats")
    problem = make_problem(1)
    count = len(energies)
    states = np.eye(7, dtype=bool)[:count]
    order = lexicographic_order(states, energies)
    spectrum = solve_by_hand(
        problem,
        states=states[order],
        energies=np.array(energies)[order],
        num_proven=0,
        status=Status.HEURISTIC,
        lower_bound=-math.inf,
    )
    for suffix in (".json", ".npz"):
        spectrum.save(folder / f"s{suffix}")
        assert_same(Spectrum.load(folder / f"s{suffix}"), spectrum)


@pytest.mark.parametrize("suffix", [".json", ".npz"])
@pytest.mark.parametrize("num_blocks", [1, 8, 9, 64, 65])
def test_files_of_every_width(tmp_path: Path, suffix: str, num_blocks: int) -> None:
    problem = Problem(np.diag(np.arange(num_blocks, dtype=float)), num_blocks - 1)
    spectrum = solve_by_hand(problem)
    spectrum.save(tmp_path / f"s{suffix}")
    loaded = Spectrum.load(tmp_path / f"s{suffix}")
    assert_same(loaded, spectrum)
    loaded.check(problem)


@pytest.mark.parametrize("suffix", [".json", ".npz"])
def test_counts_by_kind_and_huge_numbers_of_states_survive(tmp_path: Path, suffix: str) -> None:
    kinds = ["mlp"] * 3 + ["moe"] * 4
    problem = Problem(np.eye(7), {"mlp": 1, "moe": 2}, kinds=kinds)
    total = math.comb(40_000, 20_000)  # 12,039 digits, more than Python converts
    spectrum = solve_by_hand(problem, num_states_total=total)
    spectrum.save(tmp_path / f"s{suffix}")
    loaded = Spectrum.load(tmp_path / f"s{suffix}")
    assert_same(loaded, spectrum)
    assert loaded.remove == {"mlp": 1, "moe": 2}
    assert "e12038" in str(loaded)
    with pytest.raises(SpectrumError, match="num_states_total of the spectrum"):
        loaded.check(problem)


def test_json_is_the_documented_object(tmp_path: Path, spectrum: Spectrum) -> None:
    spectrum.save(tmp_path / "s.json")

    def refuse(constant: Any) -> None:
        raise AssertionError(f"not strict JSON: {constant}")

    fields = json.loads((tmp_path / "s.json").read_text(), parse_constant=refuse)
    assert fields == spectrum.to_dict()
    assert set(fields) == {
        "format_version",
        "backend",
        "status",
        "stop_reason",
        "native_status",
        "num_proven",
        "lower_bound",
        "ties_truncated",
        "num_blocks",
        "remove",
        "num_states_total",
        "energies",
        "removed",
        "names",
        "num_evaluated",
        "timings",
        "seed",
        "hessian_sha256",
    }
    assert fields["removed"] == [spectrum.removed(k) for k in range(10)]
    assert fields["energies"] == spectrum.energies.tolist()
    assert fields["names"] == list(NAMES)
    assert (fields["status"], fields["stop_reason"]) == ("proven", "completed")
    unbounded = dataclasses.replace(spectrum, lower_bound=math.inf).to_dict()
    assert unbounded["lower_bound"] == "Infinity"


def test_an_unknown_bound_is_null_and_the_former_word_for_it_is_read(tmp_path: Path) -> None:
    problem = Problem(np.eye(7), remove=3, names=NAMES)
    found = solve_by_hand(problem, num_proven=0, status=Status.HEURISTIC, lower_bound=-math.inf)
    fields = found.to_dict()
    assert fields["lower_bound"] is None
    path = tmp_path / "s.json"
    for written in (None, "-Infinity"):
        path.write_text(json.dumps({**fields, "lower_bound": written}))
        assert Spectrum.load(path).to_dict() == fields


def drop(key: str) -> Damage:
    return lambda fields: fields.pop(key)


def put(key: str, value: Any) -> Damage:
    return lambda fields: fields.__setitem__(key, value)


def put_in(key: str, position: int, value: Any) -> Damage:
    return lambda fields: fields[key].__setitem__(position, value)


HOSTILE = [
    *(
        (drop(key), f"the key '{key}' is missing")
        for key in solve_by_hand(make_problem()).to_dict()
    ),
    (put("format_version", 2), "format_version is 2, and only 1 is known"),
    (put("format_version", "1"), "format_version has a wrong value, '1'"),
    (put("backend", None), "backend has a wrong value, None"),
    (put("status", "certain"), "status has a wrong value, 'certain'"),
    (put("status", ["proven"]), "status has a wrong value"),
    (put("stop_reason", 3), "stop_reason has a wrong value, 3"),
    (put("native_status", 0), "native_status has a wrong value"),
    (put("num_proven", 10.0), "num_proven has a wrong value, 10.0"),
    (put("num_proven", True), "num_proven has a wrong value, True"),
    (put("num_proven", 11), "num_proven must be at most the number of states"),
    (put("num_proven", -1), "num_proven must be at least 0"),
    (put("num_proven", 3), "the status is proven, but only 3 of 10 states are"),
    (put("lower_bound", None), "said to be proven"),
    (put("lower_bound", "inf"), "lower_bound has a wrong value, 'inf'"),
    (put("lower_bound", "-Infinity"), "said to be proven"),
    (put("lower_bound", 10**400), "lower_bound has a wrong value, 1.00e400"),
    (put("lower_bound", [1.0]), "lower_bound has a wrong value"),
    (put("ties_truncated", 1), "ties_truncated has a wrong value, 1"),
    (put("num_blocks", 10**18), "num_blocks is .*, but there are 7 names"),
    (put("num_blocks", "7"), "num_blocks has a wrong value"),
    (put("remove", 2), "state 0 removes 3 blocks, not 2"),
    (put("remove", {"a": 1, "b": 1}), "state 0 removes 3 blocks, not 2"),
    (put("remove", {"a": "3"}), "remove has a wrong value"),
    (put("remove", [3]), "remove has a wrong value"),
    (put("num_states_total", 9), "10 states are listed, but only 9 exist"),
    (put("num_states_total", -5), "num_states_total has a wrong value, -5"),
    (put("num_states_total", "0xzz"), "num_states_total has a wrong value"),
    (put("num_states_total", "-0x" + "f" * 9000), "num_states_total has a wrong value"),
    (put("num_states_total", 1e3), "num_states_total has a wrong value"),
    (put("energies", 3), "energies has a wrong value, 3"),
    (put("energies", []), r"shape \(10, 7\) and energies of shape \(0,\) do not fit"),
    (put_in("energies", 3, None), "energies has a wrong value"),
    (put_in("energies", 3, "NaN"), "energies has a wrong value"),
    (put_in("energies", 3, [1.0]), "energies has a wrong value"),
    (put_in("energies", 3, True), "energies has a wrong value"),
    (put_in("energies", 3, 10**400), "energies has a wrong value"),
    (put_in("energies", 0, 1e300), "states are not in the order"),
    (put("removed", []), r"shape \(0, 7\) and energies of shape \(10,\) do not fit"),
    (put("removed", {"0": [1]}), "removed has a wrong value"),
    (put_in("removed", 2, 5), "removed has a wrong value"),
    (put_in("removed", 2, [1, 2, 7]), r"state 2 removes a block outside 0\.\.\.6"),
    (put_in("removed", 2, [-1, 2, 3]), "state 2 removes a block outside"),
    (put_in("removed", 2, [1, 2, 10**30]), "state 2 removes a block outside"),
    (put_in("removed", 2, [1, 3, 2]), "the removed blocks of state 2 do not ascend"),
    (put_in("removed", 2, [1, 1, 2]), "the removed blocks of state 2 do not ascend"),
    (put_in("removed", 2, [1.0, 2.0, 3.0]), "removed has a wrong value"),
    (put_in("removed", 2, [False, True, 3]), "removed has a wrong value"),
    (put_in("removed", 2, [1, 2]), "state 2 removes 2 blocks, not 3"),
    (put("names", "abcdefg"), "names has a wrong value"),
    (put("names", list("abcdef")), "num_blocks is 7, but there are 6 names|outside"),
    (put("names", list("abcdefa")), "names must be distinct"),
    (put_in("names", 1, 7), "names has a wrong value"),
    (put_in("names", 1, ""), r"names\[1\] must be a non-empty string"),
    (put("num_evaluated", -1), "num_evaluated must be at least 0"),
    (put("timings", []), "timings has a wrong value"),
    (put("timings", {"search": "1"}), "timings has a wrong value"),
    (put("seed", 1.5), "seed has a wrong value, 1.5"),
    (put("hessian_sha256", None), "hessian_sha256 has a wrong value"),
]


@pytest.mark.parametrize(("damage", "message"), HOSTILE)
def test_damaged_json_is_refused(
    tmp_path: Path, spectrum: Spectrum, damage: Any, message: str
) -> None:
    fields = spectrum.to_dict()
    damage(fields)
    path = tmp_path / "s.json"
    path.write_text(json.dumps(fields))
    with pytest.raises(InputError, match=message) as caught:
        Spectrum.load(path)
    assert "s.json is not a valid spectrum file" in str(caught.value)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 500


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is empty"),
        (b"{", "is not JSON"),
        (b"[]", "it holds a list, not an object"),
        (b"null", "it holds a NoneType, not an object"),
        (b"\xff\xfe", "is not JSON"),
        (b'{"energies": [NaN]}', "it holds the number NaN"),
        (b'{"lower_bound": -Infinity}', "it holds the number -Infinity"),
        (b"[" * 100_000, "is not JSON"),
        (b'{"num_proven": ' + b"9" * 5000 + b"}", "is not JSON"),
    ],
)
def test_files_that_are_no_json_objects_are_refused(
    tmp_path: Path, content: Any, message: str
) -> None:
    path = tmp_path / "s.json"
    path.write_bytes(content)
    with pytest.raises(InputError, match=message):
        Spectrum.load(path)


def test_energies_too_large_for_a_float_are_refused(tmp_path: Path, spectrum: Spectrum) -> None:
    text = json.dumps(spectrum.to_dict())
    path = tmp_path / "s.json"
    path.write_text(text.replace(repr(spectrum.energies[9].item()), "1e999"))
    with pytest.raises(InputError, match="energies has a wrong value"):
        Spectrum.load(path)


def rewrite_npz(path: Path, **changes: Any) -> None:
    with np.load(path) as archive:
        arrays = {**dict(archive), **changes}
    with path.open("wb") as stream:
        np.savez(stream, **{key: value for key, value in arrays.items() if value is not None})


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"header": None}, r"not a valid spectrum file: .*header\.npy"),
        ({"states": None}, r"states\.npy"),
        ({"energies": None}, r"energies\.npy"),
        ({"header": np.frombuffer(b"{}", np.uint8)}, "'format_version' is missing"),
        ({"header": np.array(["x"])}, r"header\.npy has dtype <U1, not uint8"),
        (
            {"energies": np.zeros(10, np.float32)},
            r"energies\.npy has dtype float32, not float64",
        ),
        ({"energies": np.full(10, np.nan)}, "energies must be finite"),
        ({"energies": np.zeros((10, 1))}, r"energies of shape \(10, 1\)"),
        ({"energies": np.array([None] * 10)}, "holds pickled Python objects"),
        ({"states": np.zeros((10, 2), np.uint8)}, r"states of shape \(10, 2\) do not fit 7 blocks"),
        ({"states": np.zeros(10, np.uint8)}, r"states of shape \(10,\)"),
        ({"states": np.full((10, 1), 1, np.uint8)}, "blocks beyond the last of 7"),
        ({"states": np.zeros((9, 1), np.uint8)}, r"do not fit each other"),
        ({"states": np.zeros((10, 1), bool)}, "has dtype bool, not uint8"),
    ],
)
def test_damaged_npz_is_refused(
    tmp_path: Path, spectrum: Spectrum, changes: Any, message: str
) -> None:
    path = tmp_path / "s.npz"
    spectrum.save(path)
    rewrite_npz(path, **changes)
    with pytest.raises(InputError, match=message) as caught:
        Spectrum.load(path)
    assert "s.npz" in str(caught.value)


def test_text_instead_of_npz_is_refused(tmp_path: Path) -> None:
    (tmp_path / "s.npz").write_text("{}")
    with pytest.raises(InputError, match="not a valid spectrum file: File is not a zip file"):
        Spectrum.load(tmp_path / "s.npz")


@pytest.mark.parametrize("suffix", [".json", ".npz"])
def test_random_damage_never_escapes_as_another_error(
    tmp_path: Path, spectrum: Spectrum, suffix: str
) -> None:
    path = tmp_path / f"s{suffix}"
    spectrum.save(path)
    original = path.read_bytes()
    rng = np.random.default_rng(0)
    refused = 0
    for _ in range(300):
        data = bytearray(original)
        for _ in range(int(rng.integers(1, 4))):
            data[int(rng.integers(len(data)))] = int(rng.integers(256))
        if rng.random() < 0.3:
            data = data[: int(rng.integers(len(data)))]
        path.write_bytes(data)
        try:
            loaded = Spectrum.load(path)
        except InputError:
            refused += 1
        else:
            loaded.check_consistency()
    assert refused > 100


@pytest.mark.parametrize("name", ["s.txt", "s", "s.npy", ".json"])
def test_other_suffixes_are_refused(tmp_path: Path, spectrum: Spectrum, name: str) -> None:
    with pytest.raises(InputError, match=r"must end in \.json or \.npz, not '.*'; rename"):
        spectrum.save(tmp_path / name)
    with pytest.raises(InputError, match=r"must end in \.json or \.npz"):
        Spectrum.load(tmp_path / name)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("suffix", [".json", ".npz"])
def test_missing_files_and_directories_are_refused(
    tmp_path: Path, spectrum: Spectrum, suffix: str
) -> None:
    with pytest.raises(InputError, match="there is no file"):
        Spectrum.load(tmp_path / f"s{suffix}")
    with pytest.raises(InputError, match=r"cannot be written \(No such file"):
        spectrum.save(tmp_path / "nowhere" / f"s{suffix}")
    folder = tmp_path / f"s{suffix}"
    folder.mkdir()
    with pytest.raises(InputError, match="is a directory"):
        Spectrum.load(folder)
    with pytest.raises(InputError, match="is a directory"):
        spectrum.save(folder)


@pytest.mark.parametrize(
    ("suffix", "failing"),
    [
        (".npz", "write"),
        *itertools.product([".json", ".npz"], ["fsync", "replace", "interrupt"]),
    ],
)
def test_failure_in_the_middle_leaves_the_old_file(
    tmp_path: Path, spectrum: Spectrum, suffix: str, failing: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / f"s{suffix}"
    spectrum.save(path)
    before = path.read_bytes()

    def disk_full(*arguments: Any, **keywords: Any) -> None:
        raise OSError(28, "No space left on device")

    def interrupt(*arguments: Any) -> None:
        raise KeyboardInterrupt

    def write_half(stream: Any, **arrays: Any) -> None:
        stream.write(b"half")
        disk_full()

    if failing == "fsync":
        monkeypatch.setattr(os, "fsync", disk_full)
    elif failing == "replace":
        monkeypatch.setattr(Path, "replace", disk_full)
    elif failing == "interrupt":
        monkeypatch.setattr(os, "fsync", interrupt)
    else:
        monkeypatch.setattr(np, "savez", write_half)
    with pytest.raises(KeyboardInterrupt if failing == "interrupt" else InputError):
        spectrum[:2].save(path)
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


def test_sampleset_has_the_energies_of_dimods_own_model(
    problem: Problem, spectrum: Spectrum
) -> None:
    sampleset = spectrum.to_sampleset()
    model = dimod.BinaryQuadraticModel(np.triu(problem.hessian, 1) * 2, "BINARY")
    for i in range(7):
        model.add_linear(i, problem.hessian[i, i])
    assert sampleset.vartype is dimod.BINARY
    assert list(sampleset.variables) == list(range(7))
    np.testing.assert_allclose(model.energies(sampleset), spectrum.energies, rtol=0, atol=1e-12)
    assert sampleset.record.energy.tolist() == spectrum.energies.tolist()
    assert sampleset.record.sample.astype(bool).tolist() == spectrum.states.tolist()
    assert sampleset.info["status"] == "proven"
    assert sampleset.info["hessian_sha256"] == problem.hessian_sha256
    assert len(sampleset) == 10


def render(table: Any, width: int = 100) -> str:
    console = Console(file=io.StringIO(), width=width, color_system=None)
    console.print(table)
    return console.file.getvalue()


def test_terminal_table_shows_the_first_states(spectrum: Spectrum) -> None:
    table = spectrum.to_table(max_rows=4)
    assert table.row_count == 4
    text = render(table)
    assert "6 more states are not shown." in " ".join(text.split())
    assert format_blocks(spectrum.removed(3)) in text
    assert f"{spectrum.energies[2]:.9g}" in text
    assert spectrum.to_table().row_count == 10
    assert "not shown" not in render(spectrum.to_table())


def test_terminal_table_takes_names_literally(problem: Problem) -> None:
    spectrum = solve_by_hand(make_problem(force=["c[red]"]))
    assert "c[red]" in " ".join(render(spectrum.to_table()).split())


def test_notebook_table_escapes_names_and_backend(problem: Problem) -> None:
    spectrum = solve_by_hand(make_problem(force=["b<b>"]), backend="<script>")
    html = spectrum._repr_html_()
    assert "<script>" not in html
    assert "&lt;script&gt;" in html
    assert "<b>" not in html
    assert "b&lt;b&gt;" in html
    assert html.count("<tr") == 11


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({}, ["proven to be among the lowest", "run completed", "an energy below"]),
        ({"lower_bound": math.inf}, ["No feasible state is missing"]),
        (
            {
                "status": Status.PARTIAL,
                "num_proven": 4,
                "stop_reason": StopReason.TIME_LIMIT,
                "ties_truncated": True,
            },
            ["4 of the 10 listed states are proven", "at its time limit", "share the last energy"],
        ),
        (
            {
                "status": Status.HEURISTIC,
                "num_proven": 0,
                "lower_bound": -math.inf,
                "stop_reason": StopReason.INTERRUPTED,
            },
            ["lower ones may exist", "was interrupted", "Nothing is known"],
        ),
        ({"stop_reason": StopReason.EVALUATION_LIMIT}, ["limit of evaluated states"]),
    ],
)
def test_advice_says_what_is_proven_and_why_it_ended(
    problem: Problem, changes: Any, words: Any
) -> None:
    spectrum = solve_by_hand(problem, **changes)
    for word in words:
        assert word in spectrum.advice
        assert word in " ".join(render(spectrum.to_table(), 500).split())


def test_every_status_has_advice() -> None:
    assert len({status.advice for status in Status}) == len(Status) == 3


def test_summary_is_one_line(spectrum: Spectrum, problem: Problem) -> None:
    assert str(spectrum).startswith(
        "10 states by sorting, proven to be the lowest, of 35 that remove"
    )
    partial = dataclasses.replace(spectrum, status=Status.PARTIAL, num_proven=4)
    assert "the first 4 proven" in str(partial)
    assert "not proven" in str(dataclasses.replace(spectrum, status=Status.HEURISTIC, num_proven=0))
    assert "\n" not in repr(spectrum)


@pytest.mark.parametrize(
    ("count", "text"),
    [
        (0, "0"),
        (999_999, "999,999"),
        (1_000_000, "1.00e6"),
        (9_999_999, "1.00e7"),
        (math.comb(80, 8), "2.90e10"),
        (math.comb(80, 40), "1.08e23"),
    ],
)
def test_counts_are_shown_short(count: int, text: str) -> None:
    assert format_count(count) == text
    assert format_count(-count) == ("-" + text if count else text)


def test_counts_with_more_digits_than_python_prints_are_shown() -> None:
    assert format_count(10**9000) == "1.00e9000"
    assert format_count(-(10**9000)) == "-1.00e9000"


@pytest.mark.parametrize(
    ("blocks", "text"),
    [
        ([], ""),
        ([3], "3"),
        ([3, 4], "3, 4"),
        ([3, 4, 5], "3-5"),
        ([0, 2, 3, 4, 9, 11, 12], "0, 2-4, 9, 11, 12"),
    ],
)
def test_runs_of_blocks_are_shown_short(blocks: Any, text: str) -> None:
    assert format_blocks(blocks) == text
