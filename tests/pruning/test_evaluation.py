"""Evaluations: what is measured of whom, kept, taken up again, told and written."""

from __future__ import annotations

import csv
import io
import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from rich.console import Console

pytest.importorskip("torch")
pytest.importorskip("transformers")

from qubo_prune.core.errors import InputError
from qubo_prune.core.files.kinds import Kind as FileKind
from qubo_prune.core.files.kinds import kind_of
from qubo_prune.core.stopping import Progress, Stop, StopReason
from qubo_prune.hessians.calibration import Calibration
from qubo_prune.pruning import Evaluation, evaluate
from qubo_prune.pruning.evaluation.metrics import Kind, Metric
from qubo_prune.pruning.evaluation.records import MeasureRecords
from tests.tiny_tokenizer import make_tokenizer, save_llama, tiny_llama

TEXT = "what is left is measured again and again until it is known how much of it is lost. " * 3
NAMES = [
    *("loss", "KL from the original", "top-1 agreement", "token perplexity", "word perplexity"),
    *("perplexity as llama.cpp", "parameters", "weights", "cache per token", "prefill"),
    *("decode per token", "peak memory"),
]


def calibration(seed: int = 0) -> Calibration:
    tokens = tuple(np.random.default_rng(seed).integers(0, 47, (5, 12)))
    return Calibration(tokens, (np.arange(12) > 0,) * 5, np.arange(5), {"source": "random"})


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    root = tmp_path_factory.mktemp("models")
    (root / "text.txt").write_text(TEXT)
    layers = {"original": 3, "smaller": 2, "tiny": 1}
    return {name: save_llama(root / name, count) for name, count in layers.items()}


def run(folders: dict[str, Path], **options: Any) -> Evaluation:
    settings: dict[str, Any] = {
        "text": next(iter(folders.values())).parent / "text.txt",
        "chunk": 16, "window": 32, "prompt_tokens": 8, "new_tokens": 2, "repeats": 2,
        "batch_size": 2, "device_map": "cpu",
    }  # fmt: skip
    return evaluate(dict(folders), calibration(), **(settings | options))


@pytest.fixture(scope="module")
def evaluation(folders: dict[str, Path]) -> Evaluation:
    return run(folders)


def test_everything_is_measured_of_everyone(evaluation: Evaluation) -> None:
    assert evaluation.names == ("original", "smaller", "tiny")
    assert evaluation.stop_reason is StopReason.COMPLETED
    for name in evaluation.names:
        expected = [each for each in NAMES if name != "original" or " the original" not in each]
        if name == "original":
            expected.remove("top-1 agreement")
        assert {each.name for each in evaluation[name]} == set(expected)
    assert list(dict.fromkeys(row.metric.name for row in evaluation.rows)) == NAMES
    for name in ("smaller", "tiny"):
        for what in ("loss", "token perplexity", "prefill", "weights"):
            found = evaluation.compare(name, what)
            assert found is not None
            assert found.change == pytest.approx(
                evaluation.metric(name, what).value / evaluation.metric("original", what).value
            ) or what in {"loss", "prefill"}
        assert evaluation.compare(name, "KL from the original") is None
    assert evaluation.compare("original", "loss") is None
    assert evaluation.models["tiny"]["model_class"] == "LlamaForCausalLM"
    # The original was timed beside both.
    assert len(evaluation.metric("original", "prefill").samples) == 4


def test_models_in_memory_and_in_folders_are_the_same(
    folders: dict[str, Path], evaluation: Evaluation
) -> None:
    models = {"original": tiny_llama(3), "smaller": tiny_llama(2)}
    found = evaluate(models, calibration(), latency=False, batch_size=2)
    for name in models:
        assert found.metric(name, "loss").value == evaluation.metric(name, "loss").value
        assert found.models[name]["dtype"] == evaluation.models[name]["dtype"] == "float32"


def test_one_model_is_compared_with_none(folders: dict[str, Path]) -> None:
    found = run({"smaller": folders["smaller"]})
    assert found.original is None
    assert all(row.comparison is None for row in found.rows)
    assert "against" not in found.to_markdown()
    assert {each.name for each in found["smaller"]} == set(NAMES) - set(NAMES[1:3])
    other = evaluate(
        {"one": folders["smaller"], "two": folders["tiny"]},
        calibration(),
        original="two",
        latency=False,
    )
    assert other.names == ("two", "one")
    assert other.compare("one", "loss") is not None


def test_nothing_is_measured_twice(
    folders: dict[str, Path],
    evaluation: Evaluation,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    state = tmp_path / "state.jsonl"
    run({"original": folders["original"], "smaller": folders["smaller"]}, state=state)
    before = state.read_text().count("\n")
    run(folders, state=state)  # of "tiny" only
    after = state.read_text().count("\n")
    assert after - before == 6
    from qubo_prune.pruning.evaluation import measures

    for name in ("measure_samples", "measure_rolling", "measure_chunks", "measure_size",
                 "measure_latency", "measure_memory"):  # fmt: skip
        monkeypatch.setattr(measures, name, lambda *_, **__: pytest.fail("measured again"))
    again = run(folders, state=state)
    assert state.read_text().count("\n") == after
    for row in again.rows:
        if row.metric.kind is not Kind.TIME and row.metric.name != "peak memory":
            expected = evaluation.metric(row.model, row.metric.name)
            assert row.metric.value == expected.value
            np.testing.assert_array_equal(row.metric.samples, expected.samples)


def test_other_samples_are_another_measure(folders: dict[str, Path], tmp_path: Path) -> None:
    state = tmp_path / "state.jsonl"
    models = {"original": folders["original"], "smaller": folders["smaller"]}
    one = evaluate(models, calibration(0), latency=False, state=state)
    two = evaluate(models, calibration(1), latency=False, state=state)
    assert one.metric("smaller", "loss").value != two.metric("smaller", "loss").value
    # And so is another original.
    other = {"original": folders["tiny"], "smaller": folders["smaller"]}
    three = evaluate(other, calibration(0), latency=False, state=state)
    kl = "KL from the original"
    assert one.metric("smaller", kl).value != three.metric("smaller", kl).value


@pytest.mark.parametrize("after", [1, 4, 9, 14])
def test_what_is_stopped_goes_on_to_the_same_end(
    folders: dict[str, Path], evaluation: Evaluation, tmp_path: Path, after: int
) -> None:
    state = tmp_path / "state.jsonl"
    asked = 0

    class Ending(Stop):
        def should_stop(self, num_evaluated: int = 0) -> bool:
            nonlocal asked
            asked += 1
            if asked > 3 * after:
                self.cancel()
            return super().should_stop(num_evaluated)

    first = run(folders, state=state, stop=Ending())
    assert first.stop_reason is StopReason.INTERRUPTED
    assert len(first.rows) < len(evaluation.rows)
    for row in first.rows:
        if row.metric.kind is not Kind.TIME and row.metric.name != "peak memory":
            assert row.metric.value == evaluation.metric(row.model, row.metric.name).value
    str(first), first.to_markdown(), first.to_csv()
    with state.open("ab") as stream:
        stream.write(b'{"model_fingerprint": "cut o')  # killed while it wrote
    second = run(folders, state=state)
    assert second.stop_reason is StopReason.COMPLETED
    assert [row.metric.name for row in second.rows] == [row.metric.name for row in evaluation.rows]
    for row in second.rows:
        if row.metric.kind is not Kind.TIME and row.metric.name != "peak memory":
            assert row.metric.value == evaluation.metric(row.model, row.metric.name).value


def test_progress_is_told(folders: dict[str, Path]) -> None:
    told: list[Progress] = []
    run(folders, stop=Stop(progress=told.append))
    assert told[0].message == "loading original"
    with pytest.raises(ZeroDivisionError):
        run(folders, stop=Stop(progress=lambda _: 1 / 0))  # type: ignore[arg-type,return-value]


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (b'{"format_version": 1}\n', "it holds something else"),
        (b"[]\n", "a list, not an object"),
        (b'{"format_version": 2, "holds": "evaluation measures"}\n', "format_version is 2"),
        (b'{"format_version": 1, "holds": "evaluation measures"}\nx\n', "it is not JSON"),
    ],
)
def test_other_files_are_not_taken_up(damage: bytes, message: str, tmp_path: Path) -> None:
    path = tmp_path / "state.jsonl"
    path.write_bytes(damage)
    with pytest.raises(InputError, match=message):
        MeasureRecords(path)
    assert path.read_bytes() == damage


def test_a_full_disk_is_said(tmp_path: Path) -> None:
    records = MeasureRecords(tmp_path / "state.jsonl")
    records.path = tmp_path  # nothing can be appended to a folder
    with pytest.raises(InputError, match="make space and repeat the command"):
        records.add("f", "size", {}, [Metric.size("parameters", 1)])


def test_json_holds_everything(evaluation: Evaluation, tmp_path: Path) -> None:
    path = tmp_path / "evaluation.json"
    evaluation.save(path)
    assert kind_of(path) is FileKind.EVALUATION
    loaded = Evaluation.load(path)
    assert loaded.to_dict() == evaluation.to_dict()
    assert loaded.to_markdown() == evaluation.to_markdown()
    assert json.loads(path.read_text())["original"] == "original"


def test_diverged_models_survive_files(tmp_path: Path) -> None:
    metrics = (Metric.mean("loss", [1.0, np.nan]), Metric.perplexity("p", [1e9], [1]))
    Evaluation(models={"m": {}}, metrics={"m": metrics}).save(tmp_path / "e.json")
    loaded = Evaluation.load(tmp_path / "e.json")
    assert [each.value for each in loaded["m"]] == [np.inf, np.inf]
    assert np.isnan(loaded["m"][0].samples[1])
    assert loaded.to_markdown().count("diverged") == 2


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"original": "nobody"}, "its original 'nobody' is none of its models"),
        ({"models": {}}, "of different models"),
        ({"seconds": "long"}, "seconds has a wrong value"),
        ({"metrics": {"original": [{"name": 3}], "smaller": [], "tiny": []}}, "name has a wrong"),
        ({"stop_reason": "bored"}, "stop_reason has a wrong value"),
    ],
)
def test_damaged_files_are_refused(
    evaluation: Evaluation, change: dict[str, Any], message: str, tmp_path: Path
) -> None:
    path = tmp_path / "evaluation.json"
    path.write_text(json.dumps(evaluation.to_dict() | change))
    with pytest.raises(InputError, match=message):
        Evaluation.load(path)


def test_tables(evaluation: Evaluation, tmp_path: Path) -> None:
    path = tmp_path / "evaluation.md"
    evaluation.save(path)
    assert kind_of(path) is FileKind.EVALUATION
    lines = [line for line in path.read_text().splitlines() if line.startswith("|")]
    assert len(lines) == 2 + len(evaluation.rows)
    assert len({line.count("|") for line in lines}) == 1
    assert "paired t test" in path.read_text()
    path = tmp_path / "evaluation.csv"
    evaluation.save(path)
    assert kind_of(path) is FileKind.EVALUATION
    rows = list(csv.DictReader(io.StringIO(path.read_text())))
    assert len(rows) == len(evaluation.rows)
    for line, row in zip(rows, evaluation.rows, strict=True):
        assert float(line["value"]) == row.metric.value
        assert (line["model"], line["measure"]) == (row.model, row.metric.name)
        assert bool(line["change"]) == (row.comparison is not None)
    with pytest.raises(InputError, match=r"must end in .json, .md or .csv, not 'a.txt'"):
        evaluation.save(tmp_path / "a.txt")
    with pytest.raises(InputError, match=r"must end in .json"):
        Evaluation.load(path)


def test_the_table_fits_into_80_columns(evaluation: Evaluation) -> None:
    console = Console(width=80, file=io.StringIO(), force_terminal=False)
    console.print(evaluation.to_table())
    text = console.file.getvalue()  # type: ignore[attr-defined]
    assert max(map(len, text.splitlines())) <= 80
    words = " ".join(text.split())
    for row in evaluation.rows:
        assert row.model in words
    assert "…" not in text
    assert re.search(r"x0\.\d{3}", words)


def test_names_with_bars_do_not_break_markdown() -> None:
    named = Evaluation(models={"a|b": {}}, metrics={"a|b": (Metric.mean("x|y", [1.0, 2.0]),)})
    assert r"| x\|y | a\|b |" in named.to_markdown()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"original": "none"}, "original must be one of original, smaller, tiny, not 'none'"),
        ({"chunk": 3}, "chunk must be at least 4, not 3"),
        ({"chunk": 512}, "chunk must be at most 64, the positions of LlamaForCausalLM, not 512"),
        ({"repeats": 0}, "repeats must be at least 1"),
        ({"text": "none.txt"}, "there is no file none.txt"),
        ({"text": []}, "there is no text in no file at all"),
        ({"dtype": "int3"}, "dtype must be one of"),
    ],
)
def test_what_is_refused(folders: dict[str, Path], options: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        run(folders, **options)


def test_a_tokenizer_is_needed_for_text(folders: dict[str, Path], tmp_path: Path) -> None:
    model = tiny_llama()
    text = folders["original"].parent / "text.txt"
    with pytest.raises(InputError, match=r"need the tokenizer of 'm', .* pass tokenizer=\."):
        evaluate({"m": model}, text=text)
    model.save_pretrained(tmp_path / "bare")
    with pytest.raises(InputError, match=r"with which none comes .* add its tokenizer.json"):
        evaluate({"m": tmp_path / "bare"}, text=text)
    found = evaluate({"m": model}, text=text, chunk=16, tokenizer=make_tokenizer(), latency=False)
    assert found.metric("m", "token perplexity") is not None
    with pytest.raises(InputError, match="at least one model, not 0"):
        evaluate({})


def test_a_suite_says_what_models_are_loaded_as(folders: dict[str, Path]) -> None:
    pytest.importorskip("lm_eval")
    seen = {}

    def remember(self: Any, *_: object, **__: object) -> list[Metric]:
        return []

    from qubo_prune.pruning.evaluation import harness

    class Tasks(harness.Tasks):
        def __init__(self, names: Any, **_: Any) -> None:
            seen["names"] = names

        def settings(self, task: str, shots: int | None) -> dict[str, Any]:
            return {}

        run = remember

    from qubo_prune.pruning.evaluation import measures

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(measures, "Tasks", Tasks)
        found = evaluate({"m": folders["tiny"]}, tasks=["paper"], latency=False)
    assert found.models["m"]["dtype"] == "bfloat16"
    assert len(seen["names"]) == 6
    assert found.settings["tasks"]["leaderboard_bbh"] == 3
