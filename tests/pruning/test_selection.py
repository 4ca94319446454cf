"""Selections: records that survive a kill, comparisons, files, tables and the figure."""

from __future__ import annotations

import io
import json
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from qubo_prune import Problem, load_hessian, solve
from qubo_prune.core.errors import InputError
from qubo_prune.core.stopping import Stop, StopReason
from qubo_prune.pruning.hints import ALIGNED, Hint
from qubo_prune.pruning.loop import LoopSettings
from qubo_prune.pruning.objective import FunctionObjective, Measurement
from qubo_prune.pruning.records import Recorded, Records
from qubo_prune.pruning.selection import Candidate, Selection
from qubo_prune.pruning.selector import select_removals
from qubo_prune.report.selection import plot_selection

SIZE = 10


def samples(seed: int, count: int = 12) -> Callable[[tuple[int, ...]], np.ndarray[Any, Any]]:
    rng = np.random.default_rng(seed)
    single = np.exp(rng.normal(-1, 1, SIZE))
    pair = np.triu(rng.normal(0, 0.2, (SIZE, SIZE)), 1)
    noise = rng.normal(0, 0.3, (count, SIZE))

    def loss(removed: tuple[int, ...]) -> np.ndarray[Any, Any]:
        rows = list(removed)
        return single[rows].sum() + pair[np.ix_(rows, rows)].sum() + noise[:, rows].sum(axis=1)

    return loss


PROBLEM = Problem(np.zeros((SIZE, SIZE)), 3, names=[f"layers.{i}" for i in range(SIZE)])


def chosen(state: Path | None = None, stop: Stop | None = None, **options: Any) -> Selection:
    return select_removals(
        FunctionObjective(samples(0), SIZE),
        options.pop("problem", PROBLEM),
        held_out=FunctionObjective(samples(0, 20), SIZE),
        evaluations=24,
        settings=LoopSettings(draws=0.5, patience=0.0),
        state=state,
        stop=stop,
        **options,
    )


def told(selection: Selection) -> dict[str, Any]:
    """Everything but the time that it took."""
    return replace(selection, seconds=0.0).to_dict()


# The file of measurements


def test_a_run_killed_anywhere_goes_on_to_the_same_selection(tmp_path: Path) -> None:
    whole = tmp_path / "whole.jsonl"
    expected = told(chosen(whole))
    lines = whole.read_bytes().splitlines(keepends=True)
    assert len(lines) == 1 + 24 + 5
    for kept in (1, 2, 11, 17, 25, 27, len(lines)):
        for half in (b"", lines[kept][:20] if kept < len(lines) else b'{"sam'):
            cut = tmp_path / "cut.jsonl"
            cut.write_bytes(b"".join(lines[:kept]) + half)
            assert told(chosen(cut)) == expected
            assert sorted(cut.read_bytes().splitlines()) == sorted(whole.read_bytes().splitlines())


def test_what_is_in_the_file_is_not_measured_again(tmp_path: Path) -> None:
    state = tmp_path / "state.jsonl"
    expected = told(chosen(state))

    def never(removed: tuple[int, ...]) -> float:
        raise AssertionError(removed)

    again = select_removals(
        FunctionObjective(never, SIZE),
        PROBLEM,
        held_out=FunctionObjective(never, SIZE),
        evaluations=24,
        settings=LoopSettings(draws=0.5, patience=0.0),
        state=state,
    )
    assert told(again) == expected


def test_an_interrupted_run_keeps_what_it_found_and_goes_on(tmp_path: Path) -> None:
    stop, asked = Stop(), []

    def interrupted(removed: tuple[int, ...]) -> np.ndarray[Any, Any]:
        asked.append(removed)
        if len(asked) == 15:
            stop.cancel()
        return samples(0)(removed)

    state = tmp_path / "state.jsonl"
    first = select_removals(
        FunctionObjective(interrupted, SIZE),
        PROBLEM,
        evaluations=24,
        settings=LoopSettings(draws=0.5, patience=0.0),
        state=state,
        stop=stop,
    )
    assert first.stop_reason is StopReason.INTERRUPTED
    assert len(first) == 5
    assert told(chosen(state)) == told(chosen())


@given(
    st.lists(st.floats(allow_nan=True, width=64), min_size=1, max_size=4),
    st.sets(st.integers(0, 5), max_size=4),
)
def test_measurements_come_back_to_the_last_bit(values: list[float], blocks: set[int]) -> None:
    import tempfile

    measured = Measurement.of(sorted(blocks), values)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "state.jsonl")
        Records(path, {"a": 1}).add("choosing", measured)
        read = Records(path, {"a": 1}).get("choosing", measured.removed)
    assert read is not None
    np.testing.assert_array_equal(read.values, measured.values)
    assert (read.value, read.standard_error) == (measured.value, measured.standard_error)


def test_the_file_of_another_run_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "state.jsonl"
    Records(path, {"model_fingerprint": "a"})
    with pytest.raises(InputError, match="of another run, with model_fingerprint='a' in place of"):
        Records(path, {"model_fingerprint": "b"})


@pytest.mark.parametrize(
    ("line", "words"),
    [
        (b"{}\n", "the key 'removed' is missing"),
        (b"nonsense\n", "it is not JSON"),
        (
            b'{"samples": 3, "removed": [1], "values": [], "value": 1, "standard_error": 0}\n',
            "samples has a wrong value",
        ),
        (
            b'{"samples": "a", "removed": [1], "values": ["x"], "value": 1, "standard_error": 0}\n',
            "values has a wrong value",
        ),
    ],
)
def test_a_damaged_file_is_refused(tmp_path: Path, line: bytes, words: str) -> None:
    path = tmp_path / "state.jsonl"
    Records(path, {})
    path.write_bytes(path.read_bytes() + line)
    with pytest.raises(InputError, match=words):
        Records(path, {})


def test_recorded_asks_only_for_what_is_new() -> None:
    asked: list[tuple[int, ...]] = []

    class Inner:
        num_blocks = 4

        def measure(
            self, removals: Sequence[tuple[int, ...]], stop: Stop | None = None
        ) -> Iterator[Measurement]:
            for each in removals:
                asked.append(each)
                yield Measurement.known(each, 1.0)

    records = Records(None, {})
    recorded = Recorded(Inner(), records)
    list(recorded.measure([(0,), (1,)]))
    assert len(list(recorded.measure([(1,), (2,)]))) == 2
    assert asked == [(0,), (1,), (2,)]
    assert recorded.num_measured == len(records) == 3


# Comparisons


def test_differences_are_paired_on_the_held_out_samples() -> None:
    selection = chosen()
    fresh = samples(0, 20)
    best = fresh(selection.best.removed)
    assert selection.num_held_out == 5
    for each in selection.removals[:5]:
        difference = fresh(each.removed) - best
        assert each.held_out == pytest.approx(fresh(each.removed).mean())
        assert each.above_best == pytest.approx(difference.mean())
        assert each.above_best_error == pytest.approx(difference.std(ddof=1) / math.sqrt(20))
    assert selection.best.tied_with_best
    assert all(each.held_out is None for each in selection.removals[5:])


def test_those_that_cannot_be_told_apart_are_tied() -> None:
    best = Measurement.of([0], [1.0, 2.0, 3.0, 4.0])
    near = Measurement.of([1], [1.2, 1.9, 3.1, 4.0])
    far = Measurement.of([2], [1.5, 2.5, 3.6, 4.5])
    lost = Measurement.of([3], [1.0, math.nan, 1.0, 1.0])
    ties = [
        Candidate.compared(each, best, proposed_by="x").tied_with_best
        for each in (best, near, far, lost)
    ]
    assert ties == [True, True, False, False]


def test_without_errors_nothing_but_the_same_value_is_tied() -> None:
    best, worse = Measurement.known([0], 1.0), Measurement.known([1], 1.1)
    assert not Candidate.compared(worse, best, proposed_by="x").tied_with_best


def test_energies_and_ranks_are_told_where_there_is_a_hessian() -> None:
    rng = np.random.default_rng(0)
    factor = rng.standard_normal((30, SIZE))
    problem = Problem(factor.T @ factor / 30, 3)
    spectrum = solve(problem, num_states=20)
    selection = chosen(
        problem=problem, spectrum=spectrum, proposals={"energy": [spectrum.removed(0)]}
    )
    assert selection.hessian_sha256 == problem.hessian_sha256
    by_hand = next(each for each in selection if each.proposed_by == "energy")
    assert by_hand.rank_in_spectrum == 0
    for each in selection:
        assert each.energy == problem.energies(problem.state(each.removed))[0]


def test_the_spectrum_of_another_hessian_is_refused() -> None:
    other = solve(Problem(np.eye(SIZE), 3), num_states=2)
    with pytest.raises(InputError, match="the spectrum is of another Hessian"):
        chosen(problem=Problem(2 * np.eye(SIZE), 3), spectrum=other)
    with pytest.raises(InputError, match="which is not what is asked for here, 3 of 10"):
        chosen(spectrum=solve(Problem(np.eye(SIZE), 4), num_states=2))


# Files, tables, figures


def test_a_selection_comes_back_to_the_last_bit(tmp_path: Path) -> None:
    selection = chosen()
    path = tmp_path / "selection.json"
    selection.save(path)
    assert Selection.load(path).to_dict() == selection.to_dict()
    json.loads(path.read_text(), parse_constant=lambda _: pytest.fail("not strict JSON"))


def test_the_object_has_the_keys_that_were_promised() -> None:
    document = chosen().to_dict()
    assert {
        "objective", "baseline", "num_evaluations", "remove", "samples", "removals",
        "hessian_sha256", "model_fingerprint", "seconds",
    } <= set(document)  # fmt: skip
    assert {
        "removed", "objective", "standard_error", "proposed_by", "energy", "rank_in_spectrum",
        "predicted", "tied_with_best",
    } <= set(document["removals"][0])  # fmt: skip


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda d: d.pop("removals"), "the key 'removals' is missing"),
        (lambda d: d["removals"][0].update(removed=[3, 1]), "do not ascend"),
        (lambda d: d["removals"][0].update(removed=[99]), "outside 0...9"),
        (lambda d: d["removals"][0].update(objective="low"), "objective has a wrong value"),
        (lambda d: d["removals"].reverse(), "best first"),
        (lambda d: d.update(num_blocks=3), "num_blocks is 3, but there are 10 names"),
        (lambda d: d.update(format_version=9), "format_version is 9"),
        (lambda d: d.update(num_evaluations=-1), "must not be negative"),
        (lambda d: d.update(singles=[[77, 0.5]]), "singles name a block outside"),
        (lambda d: d.update(singles=[[1]]), "singles has a wrong value"),
    ],
)
def test_a_damaged_selection_is_refused(
    tmp_path: Path, change: Callable[[dict[str, Any]], object], words: str
) -> None:
    document = chosen().to_dict()
    change(document)
    path = tmp_path / "selection.json"
    path.write_text(json.dumps(document))
    with pytest.raises(InputError, match=words) as caught:
        Selection.load(path)
    assert str(path) in str(caught.value)


def test_tables_say_what_matters_and_escape_names() -> None:
    from rich.console import Console

    names = [f"<b>{i}</b>[red]" for i in range(SIZE)]
    selection = replace(chosen(), names=names, objective="loss")
    console = Console(width=200, record=True, file=io.StringIO())
    console.print(selection.to_table())
    text = console.export_text()
    assert all(word in text for word in ("held out", "proposed by", "[red]"))
    page = selection._repr_html_()
    assert "<b>" not in page
    assert "&lt;b&gt;" in page
    assert "on held-out samples" in str(selection)
    assert repr(selection).startswith("<Selection: remove ")


def test_a_selection_without_removals_says_so() -> None:
    empty = replace(chosen(), removals=())
    assert str(empty) == "no removal was measured; 24 measurements"
    with pytest.raises(InputError, match="holds no removal"):
        _ = empty.best


@pytest.mark.parametrize("suffix", [".png", ".svg"])
def test_the_same_selection_is_the_same_figure(tmp_path: Path, suffix: str) -> None:
    selection = chosen()
    lost = replace(selection.removals[-1], objective=math.inf, standard_error=math.inf)
    selection = replace(selection, removals=(*selection.removals, lost))
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        plot_selection(selection, tmp_path / name / f"figure{suffix}")
    first, second = ((tmp_path / name / f"figure{suffix}").read_bytes() for name in "ab")
    assert first == second
    assert len(first) > 1000


def test_a_figure_of_nothing_is_no_trouble(tmp_path: Path) -> None:
    plot_selection(replace(chosen(), removals=()), tmp_path / "empty.png")
    with pytest.raises(InputError, match="a plot must end in"):
        plot_selection(chosen(), tmp_path / "figure.gif")


def test_importing_the_room_loads_no_torch() -> None:
    import subprocess
    import sys

    code = (
        "import sys, qubo_prune.pruning as p; p.Selection, p.search_removals, p.FunctionObjective; "
        "p.select; sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.parametrize(
    ("criteria", "amounts"),
    [
        (("block-influence",), [ALIGNED, 0.0, 0.0]),
        (("last", "norm-ratio"), [ALIGNED, 0.0, 0.0]),
        (("random",), []),
        ((), []),
    ],
)
def test_the_loop_is_told_what_the_stream_says_of_pairs(
    monkeypatch: pytest.MonkeyPatch, criteria: tuple[str, ...], amounts: list[float]
) -> None:
    transformers = pytest.importorskip("transformers")
    from qubo_prune.hessians.calibration.calibration import Calibration
    from qubo_prune.hessians.gates.gates import find_gates
    from qubo_prune.pruning import selector
    from qubo_prune.pruning.statistics import block_statistics

    config = transformers.GPT2Config(
        vocab_size=50, n_embd=16, n_layer=3, n_head=2, bos_token_id=0, eos_token_id=0
    )
    model = transformers.GPT2LMHeadModel(config).eval()
    tokens = tuple(np.random.default_rng(0).integers(0, 50, (4, 9)))
    data = Calibration(tokens, (np.arange(9) > 0,) * 4, np.arange(4), {"tokens_sha256": "0"})
    told: list[Hint] = []
    search = selector.search_removals

    def listening(*arguments: Any, hints: Sequence[Hint], **options: Any) -> Any:
        told.extend(hints)
        return search(*arguments, hints=hints, **options)

    monkeypatch.setattr(selector, "search_removals", listening)
    problem = Problem(np.zeros((3, 3)), remove=1)
    selector.select(model, data, problem, evaluations=3, held_out=0, criteria=criteria)
    assert [hint.amount for hint in told] == amounts
    if told:
        statistics = block_statistics(model, find_gates(model), data)
        wanted = Hint(statistics.alignment["all"].mean(axis=0)).products
        assert told[0].products == pytest.approx(wanted)


def test_load_hessian_is_what_the_exported_quadratic_needs(tmp_path: Path) -> None:
    from qubo_prune.core.files.hessian import save_hessian
    from qubo_prune.pruning.loop import search_removals

    found = search_removals(FunctionObjective(samples(0), SIZE), PROBLEM, evaluations=30)
    save_hessian(tmp_path / "q.npy", found.surrogate, source={"kind": "measured removals"})
    file = load_hessian(tmp_path / "q.npy")
    assert file.metadata["source"]["kind"] == "measured removals"
    lowest = solve(Problem.load(tmp_path / "q.npy", 3), num_states=1)
    best = found.ranked[0]
    assert lowest.removed(0) == list(best.removed)
    assert lowest.energies[0] == pytest.approx(best.measurement.value, rel=0.1)
