"""Healing from folder to folder: what is written, measured, refused, and left whole."""

from __future__ import annotations

import contextlib
import json
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")

from qubo_prune.core.errors import InputError, OutputError  # noqa: E402
from qubo_prune.core.stopping import Stop, StopReason  # noqa: E402
from qubo_prune.pruning import Healed, heal, saving  # noqa: E402
from qubo_prune.pruning.evaluation.evaluation import Evaluation  # noqa: E402
from qubo_prune.pruning.healing import healer  # noqa: E402
from qubo_prune.pruning.healing.registry import METHODS, get_method, method_names  # noqa: E402
from qubo_prune.pruning.model_card import write_card  # noqa: E402
from qubo_prune.pruning.pruner import prune  # noqa: E402
from qubo_prune.pruning.repair.base import Patient, Step  # noqa: E402
from qubo_prune.pruning.repair.linear import Linear  # noqa: E402
from tests.pruning.test_prune import (  # noqa: E402
    KilledError,
    contents,
    deep,
    full,
    load,
    logits,
)
from tests.pruning.test_repair import calibration  # noqa: E402

HELD_OUT = calibration(6, seed=1)


@pytest.fixture(scope="module")
def llama() -> Any:
    return deep("llama")


@pytest.fixture
def smaller(llama: Any, tmp_path: Path) -> Path:
    prune(llama, [2], tmp_path / "smaller")
    return tmp_path / "smaller"


def test_what_is_written(llama: Any, smaller: Path, tmp_path: Path) -> None:
    before, out = contents(smaller), tmp_path / "out"
    healed = heal(
        smaller, llama, calibration(), out, held_out=HELD_OUT, methods=["rescale", Linear(0.01)],
        command="do it",
    )  # fmt: skip
    assert contents(smaller) == before
    assert sorted(contents(out)) == sorted([*before, "heal.json"])
    record = json.loads((out / "heal.json").read_text())
    assert record == json.loads(json.dumps(healed.to_dict()))
    assert [step["method"] for step in record["steps"]] == ["rescale", "linear"]
    assert record["steps"][1]["settings"] == {"ridge": 0.01}
    assert record["removed"] == [2]
    assert record["calibration"]["samples"] == 12
    pruned = json.loads((smaller / "prune.json").read_text())
    kept = json.loads((out / "prune.json").read_text())
    assert kept == {**pruned, "sha256": record["sha256"]}
    assert saving.checksums(out).items() >= record["sha256"].items()
    assert pruned["sha256"]["model.safetensors"] != kept["sha256"]["model.safetensors"]
    card = (out / "README.md").read_text()
    for text in (
        "Then it was healed.", "1. `rescale`: rescaled for a stream", "2. `linear`: linear map",
        "do it", "| rescale, linear |", "Healing changed, sample by sample: loss",
        kept["sha256"]["model.safetensors"], "The pruned model was loaded again",
    ):  # fmt: skip
        assert text in card
    assert "No weight was changed" not in card
    write_card(out, "| a | table |")
    assert "| a | table |" in (out / "README.md").read_text()
    assert "Then it was healed." in (out / "README.md").read_text()
    assert healed.max_difference == 0


def test_what_is_measured(llama: Any, smaller: Path, tmp_path: Path) -> None:
    healed = heal(
        smaller, llama, calibration(40), tmp_path / "out", held_out=HELD_OUT, methods=["linear"]
    )
    evaluation = healed.evaluation
    assert isinstance(evaluation, Evaluation)
    assert evaluation.names == ("original", "not healed", "linear")
    for name, model in (
        ("original", llama), ("not healed", load(smaller)), ("linear", load(tmp_path / "out")),
    ):  # fmt: skip
        losses, divergences, agreements = plain(model, llama)
        metrics = {metric.name: metric for metric in evaluation[name]}
        np.testing.assert_allclose(metrics["loss"].samples, losses, rtol=1e-4)
        if name == "original":
            continue
        np.testing.assert_allclose(metrics["KL"].samples, divergences, rtol=1e-3, atol=1e-6)
        np.testing.assert_allclose(metrics["top-1 agreement"].samples, agreements)
    change, error = healed.gain("KL") or (0, 0)
    after, before = (evaluation.metric(name, "KL") for name in ("linear", "not healed"))
    assert after is not None
    assert before is not None
    differences = after.samples - before.samples
    assert change == pytest.approx(differences.mean())
    assert error == pytest.approx(differences.std(ddof=1) / len(differences) ** 0.5)
    assert change < 0
    assert f"KL on held-out samples: {change:+.3f} ± {error:.3f}" in str(healed)
    assert healed.gain("KL", "rescale") is None
    assert Evaluation.load(saved(evaluation, tmp_path)).names == evaluation.names


def saved(evaluation: Evaluation, folder: Path) -> Path:
    evaluation.save(folder / "evaluation.json")
    return folder / "evaluation.json"


def plain(model: Any, original: Any) -> tuple[list[float], list[float], list[float]]:
    found: tuple[list[float], list[float], list[float]] = ([], [], [])
    for tokens in HELD_OUT.tokens:
        ids = torch.tensor(tokens)[None]
        with torch.no_grad():
            ours, theirs = (
                torch.log_softmax(each(input_ids=ids).logits[0, :-1].double(), -1)
                for each in (model, original)
            )
        found[0].append(float(-ours.gather(1, ids[0, 1:, None]).mean()))
        found[1].append(float((theirs.exp() * (theirs - ours)).sum(-1).mean()))
        found[2].append(float((ours.argmax(-1) == theirs.argmax(-1)).double().mean()))
    return found


def test_without_held_out_samples_nothing_is_measured(
    llama: Any, smaller: Path, tmp_path: Path
) -> None:
    healed = heal(str(smaller), llama, calibration(), tmp_path / "out")
    assert (healed.evaluation, healed.gain("loss")) == (None, None)
    assert "What it brought was not measured." in (tmp_path / "out" / "README.md").read_text()
    assert str(healed) == healed.steps[0].summary


def test_from_folders_with_a_tokenizer(llama: Any, tmp_path: Path) -> None:
    from tests.tiny_tokenizer import make_tokenizer

    llama.save_pretrained(tmp_path / "original")
    tokenizer = make_tokenizer()
    tokenizer.save_pretrained(tmp_path / "original")
    prune(load(tmp_path / "original"), [1], tmp_path / "smaller", tokenizer=tokenizer)
    heal(tmp_path / "smaller", tmp_path / "original", calibration(), tmp_path / "out")
    assert (tmp_path / "out" / "tokenizer.json").exists()
    transformers.AutoTokenizer.from_pretrained(tmp_path / "out")
    # The same weights elsewhere are the same original.
    llama.save_pretrained(tmp_path / "copy")
    heal(tmp_path / "smaller", tmp_path / "copy", calibration(), tmp_path / "out")


@pytest.mark.parametrize("name", ["nemotron_h", "qwen3_moe", "gpt2", "gemma2"])
def test_hybrids_experts_and_others(name: str, tmp_path: Path) -> None:
    model = deep(name)
    prune(model, [2 if name == "nemotron_h" else 1], tmp_path / "smaller")
    before = json.loads((tmp_path / "smaller" / "config.json").read_text())
    healed = heal(tmp_path / "smaller", model, calibration(), tmp_path / "out", methods=["rescale"])
    assert healed.max_difference == 0
    assert json.loads((tmp_path / "out" / "config.json").read_text()) == before
    assert not torch.equal(logits(load(tmp_path / "out")), logits(load(tmp_path / "smaller")))


def test_bfloat16_stays(tmp_path: Path) -> None:
    deep("llama").to(torch.bfloat16).save_pretrained(tmp_path / "original")
    prune(load(tmp_path / "original"), [1], tmp_path / "smaller")
    heal(tmp_path / "smaller", tmp_path / "original", calibration(), tmp_path / "out")
    assert load(tmp_path / "out").dtype == torch.bfloat16


def test_another_original_is_refused(llama: Any, smaller: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    other = deep("llama")
    other.model.layers[3].mlp.down_proj.weight.data += 0.1
    for original, message in (
        (deep("mistral"), "original is a MistralForCausalLM, but the pruned model a LlamaFor"),
        (deep("llama", num_hidden_layers=5), "has 5 layers, but the pruned model has 3 and lacks"),
        (load(smaller), r"has 3 layers, but the pruned model has 3 and lacks 2"),
        (other, r"a layer's mlp\.down_proj\.weight of the original differs"),
        (deep("llama", vocab_size=50), r"is of shape \(50, 32\), but in the pruned model of"),
    ):
        with pytest.raises(InputError, match=message):
            heal(smaller, original, calibration(), out)
    assert not out.exists()
    heal(smaller, llama, calibration(), out)
    with pytest.raises(InputError, match="another fingerprint"):
        heal(out, other, calibration(), tmp_path / "again")


def test_without_a_record_the_blocks_are_named(llama: Any, smaller: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"says that layers 2 were removed, not 1"):
        heal(smaller, llama, calibration(), tmp_path / "out", removed=[1])
    heal(smaller, llama, calibration(), tmp_path / "out", removed=["layers.2"])
    (smaller / "prune.json").unlink()
    with pytest.raises(InputError, match=r"has no prune\.json, so which layers .* by --blocks"):
        heal(smaller, llama, calibration(), tmp_path / "other")
    with pytest.raises(InputError, match="differs from that of the pruned model"):
        heal(smaller, llama, calibration(), tmp_path / "other", removed=[1])
    with pytest.raises(InputError, match=r"must be an index or a name as layers\.3, not 'mlp'"):
        heal(smaller, llama, calibration(), tmp_path / "other", removed=["mlp"])
    healed = heal(smaller, llama, calibration(), tmp_path / "other", removed=[2])
    assert healed.removed == (2,)
    assert "prune.json" not in contents(tmp_path / "other")
    assert "without 1 layers, healed" in (tmp_path / "other" / "README.md").read_text()
    heal(smaller, llama, calibration(), tmp_path / "other", removed=[2])  # is replaced
    (smaller / "prune.json").write_text("{")
    with pytest.raises(InputError, match="cannot be read"):
        heal(smaller, llama, calibration(), tmp_path / "other")
    (smaller / "prune.json").write_text("{}")
    with pytest.raises(InputError, match="does not say which blocks were removed"):
        heal(smaller, llama, calibration(), tmp_path / "other")


def test_bad_arguments(llama: Any, smaller: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    with pytest.raises(InputError, match="there must be at least one method of healing, not 0"):
        heal(smaller, llama, calibration(), out, methods=[])
    with pytest.raises(InputError, match="no method of healing 'magic'; choose from rescale, li"):
        heal(smaller, llama, calibration(), out, methods=["magic"])
    with pytest.raises(InputError, match="6 of the 6 held-out samples are also healed with"):
        heal(smaller, llama, HELD_OUT, out, held_out=HELD_OUT)
    with pytest.raises(InputError, match="which would be replaced; name another folder"):
        heal(smaller, llama, calibration(), smaller)
    with pytest.raises(InputError, match=r"config\.json"):
        heal(tmp_path, llama, calibration(), out, removed=[2])
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "notes.txt").write_text("mine")
    with pytest.raises(InputError, match=r"holds notes\.txt"):
        heal(smaller, llama, calibration(), tmp_path / "mine")
    with pytest.raises(InputError, match="has no switch 'rigde'; it has ridge"):
        get_method("linear", rigde=1.0)
    assert not out.exists()


def test_methods_describe_themselves() -> None:
    assert len(set(method_names())) == len(METHODS)
    for each in METHODS:
        assert each.summary
        assert len(each.summary) < 80


def test_a_healed_model_can_be_healed_again(llama: Any, smaller: Path, tmp_path: Path) -> None:
    first = heal(smaller, llama, calibration(), tmp_path / "a", methods=["rescale"])
    second = heal(tmp_path / "a", llama, calibration(), tmp_path / "b", methods=["linear"])
    both = heal(smaller, llama, calibration(), tmp_path / "c", methods=["rescale", "linear"])
    assert second.scale == both.scale == first.scale != (1.0,) * 4
    assert [step["method"] for step in second.earlier] == ["rescale"]
    assert torch.equal(logits(load(tmp_path / "b")), logits(load(tmp_path / "c")))
    card = (tmp_path / "b" / "README.md").read_text()
    assert card.index("1. `rescale`") < card.index("2. `linear`")


class Nudge:
    """A method that is stopped after its work, or before."""

    name: ClassVar[str] = "nudge"
    summary: ClassVar[str] = "changes a weight"

    def __init__(self, reason: StopReason, ends: bool = False) -> None:
        self.reason = reason
        self.ends = ends

    def check(self) -> None:
        """Nothing."""

    def run(self, patient: Patient) -> Step:
        patient.work.mkdir(exist_ok=True)
        (patient.work / "state").write_text("half")
        if self.ends:
            raise healer.StoppedError
        patient.model.get_input_embeddings().weight.data[0] += 1
        return Step(method="nudge", summary="nudged", stop_reason=self.reason)


def test_what_was_done_before_a_stop_is_written(llama: Any, smaller: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    methods: list[Any] = ["rescale", Nudge(StopReason.TIME_LIMIT), "linear"]
    healed = heal(smaller, llama, calibration(), out, held_out=HELD_OUT, methods=methods)
    assert healed.stop_reason is StopReason.TIME_LIMIT
    assert [step.method for step in healed.steps] == ["rescale", "nudge"]
    assert "It was ended early (time limit)." in (out / "README.md").read_text()
    assert (tmp_path / ".out.healing" / "state").exists()  # to go on from
    healed = heal(smaller, llama, calibration(), out, methods=[Nudge(StopReason.COMPLETED)])
    assert healed.stop_reason is StopReason.COMPLETED
    assert not (tmp_path / ".out.healing").exists()
    old = contents(out)
    stop = Stop()
    stop.cancel()
    healed = heal(smaller, llama, calibration(), out, stop=stop)
    assert (healed.is_written, healed.stop_reason) == (False, StopReason.INTERRUPTED)
    assert str(healed) == "nothing was healed"
    methods = ["linear", Nudge(StopReason.COMPLETED, ends=True)]
    assert contents(out) == old
    healed = heal(smaller, llama, calibration(), out, methods=methods)
    assert [step.method for step in healed.steps] == ["linear"]


PLACES = [
    (healer, "_save"), (healer, "checksums"), (healer, "healed_card"), (saving, "_flush"),
    (saving, "_move"), (saving.Path, "rename"),
]  # fmt: skip


@pytest.mark.parametrize(("owner", "name"), PLACES)
@pytest.mark.parametrize("after", [False, True])
def test_killed_while_saving(
    owner: Any, name: str, after: bool, llama: Any, smaller: Path, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    """Nothing runs after a kill, so what tidies up is made to do nothing."""
    out = tmp_path / "out"
    heal(smaller, llama, calibration(), out, methods=["rescale"])
    old, original = contents(out), getattr(owner, name)

    def dies(*args: Any, **kwargs: Any) -> Any:
        if after:
            original(*args, **kwargs)
        raise KilledError

    with monkeypatch.context() as patch:
        patch.setattr(owner, name, dies)
        patch.setattr(saving.shutil, "rmtree", lambda *_, **__: None)
        with contextlib.suppress(KilledError):
            heal(smaller, llama, calibration(), out, methods=["linear"])
    if out.exists():
        methods = [step["method"] for step in json.loads((out / "heal.json").read_text())["steps"]]
        assert contents(out) == old or methods == ["linear"]
    else:
        assert contents(tmp_path / ".out.old") == old
    healed = heal(smaller, llama, calibration(), out, methods=["linear"])
    assert isinstance(healed, Healed)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out", "smaller"]


def test_a_full_disk_is_one_line(
    llama: Any, smaller: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(transformers.PreTrainedModel, "save_pretrained", full)
    with pytest.raises(OutputError, match=r"out cannot be written \(No space left on device\)"):
        heal(smaller, llama, calibration(), tmp_path / "out")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["smaller"]


def test_a_model_that_reloads_otherwise_gets_no_name(
    llama: Any, smaller: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    save = healer._save

    def spoil(patient: Patient, source: str, folder: Path, target: Path) -> None:
        save(patient, source, folder, target)
        patient.model.save_pretrained(folder)
        spoilt = load(folder)
        spoilt.lm_head.weight.data += 0.1
        spoilt.save_pretrained(folder)

    monkeypatch.setattr(healer, "_save", spoil)
    with pytest.raises(InputError, match="its logits differ"):
        heal(smaller, llama, calibration(), tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_pruned_model_may_replace_a_healed_one(llama: Any, smaller: Path, tmp_path: Path) -> None:
    heal(smaller, llama, calibration(), tmp_path / "out")
    prune(llama, [1], tmp_path / "out")
    assert "heal.json" not in contents(tmp_path / "out")
