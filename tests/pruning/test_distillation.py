"""Distillation: its loss, its schedule, and that it goes on as if it had never been stopped."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from qubo_prune.core.errors import InputError, OutputError
from qubo_prune.core.stopping import Progress, Stop, StopReason
from qubo_prune.hessians.calibration.calibration import Calibration
from qubo_prune.pruning.healing.distillation.schedule import learning_rate, parts_of, steps_of
from qubo_prune.pruning.healing.distillation.settings import DistillSettings

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")

from qubo_prune.pruning.healing.distillation.divergence import (  # noqa: E402
    divergence_and_slopes,
    propagate,
)
from qubo_prune.pruning.healing.distillation.training import distill  # noqa: E402
from qubo_prune.pruning.measuring.losses import Predictions  # noqa: E402
from tests.tiny_models import BY_TYPE, CASES, Case, build  # noqa: E402

SETTINGS = DistillSettings(step_samples=8, epochs=4, learning_rate=3e-3)


def make_samples(number: int = 24, seed: int = 0) -> Calibration:
    random = np.random.default_rng(seed)
    tokens = tuple(random.integers(0, 40, random.integers(5, 14)) for _ in range(number))
    targets = tuple(np.arange(len(each)) > 0 for each in tokens)
    return Calibration(tokens, targets, np.arange(number), {})


SAMPLES = make_samples()


def make_pair(case: Case = BY_TYPE["llama"], **more: Any) -> tuple[Any, Any]:
    """A model and another one whose weights are those of the first, and noise."""
    teacher = build(case, **more)
    student = build(case, **more)
    student.load_state_dict(teacher.state_dict())
    with torch.no_grad():
        torch.manual_seed(1)
        for each in student.parameters():
            each.add_(0.1 * torch.randn_like(each))
    return student, teacher


def weights_of(model: Any) -> dict[str, Any]:
    return {name: each.detach().clone() for name, each in model.named_parameters()}


def same(first: dict[str, Any], second: dict[str, Any]) -> bool:
    return first.keys() == second.keys() and all(
        torch.equal(first[name], second[name]) for name in first
    )


def plain_loss(student: Any, teacher: Any, tokens: list[Any], temperature: float) -> Any:
    """T^2 KL(teacher || student), the mean over all tokens of unpadded samples, by torch alone."""
    total: Any = 0.0
    for each in tokens:
        ids = torch.from_numpy(each)[None]
        found = torch.log_softmax(student(input_ids=ids).logits[0].double() / temperature, -1)
        wanted = torch.log_softmax(teacher(input_ids=ids).logits[0].double() / temperature, -1)
        total = total + torch.nn.functional.kl_div(found, wanted, log_target=True, reduction="sum")
    return temperature**2 * total / sum(map(len, tokens))


@pytest.mark.parametrize("temperature", [1.0, 2.5])
def test_divergence_and_slopes_are_those_of_torch(temperature: float) -> None:
    torch.manual_seed(0)
    found = torch.randn(7, 30, requires_grad=True)
    wanted = torch.randn(7, 30)
    expected = temperature**2 * torch.nn.functional.kl_div(
        torch.log_softmax(found / temperature, -1),
        torch.log_softmax(wanted / temperature, -1),
        log_target=True,
        reduction="sum",
    )
    expected.backward()
    loss, slopes = divergence_and_slopes(found.detach(), wanted, temperature)
    assert loss == pytest.approx(expected.item(), rel=1e-6)
    torch.testing.assert_close(slopes, found.grad)


@pytest.mark.parametrize("step", [1, 3, 100])
def test_slopes_do_not_depend_on_chunks(step: int) -> None:
    torch.manual_seed(0)
    head, other = torch.nn.Linear(6, 20), torch.nn.Linear(6, 20)
    inputs, wanted = torch.randn(7, 6, requires_grad=True), torch.randn(7, 6)
    loss = torch.nn.functional.kl_div(
        torch.log_softmax(head(2 * inputs), -1),
        torch.log_softmax(other(wanted), -1),
        log_target=True,
        reduction="sum",
    )
    expected = torch.autograd.grad(0.25 * loss, [inputs, head.weight, head.bias])
    found = propagate(
        Predictions(head, 2 * inputs),  # type: ignore[arg-type]
        Predictions(other, wanted),  # type: ignore[arg-type]
        weight=0.25,
        temperature=1.0,
        step=step,
        computing=lambda: torch.autocast("cpu", enabled=False),
    )
    assert found == pytest.approx(loss.item(), rel=1e-6)
    for mine, theirs in zip((inputs, head.weight, head.bias), expected, strict=True):
        torch.testing.assert_close(mine.grad, theirs)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.type)
def test_first_loss_and_step_are_those_of_plain_torch(case: Case) -> None:
    """One step of plain AdamW on a loss that autograd goes through as a whole."""
    student, teacher = make_pair(case)
    student.train()  # which is not what it is trained in: dropout is off
    settings = replace(SETTINGS, step_samples=4, epochs=1, clip=0.5, weight_decay=0.1)
    samples = make_samples(4)
    other, _ = make_pair(case)
    loss = plain_loss(other.eval(), teacher.eval(), list(samples.tokens), 1.0)
    groups = [
        {"params": [p for p in other.parameters() if p.dim() > 1], "weight_decay": 0.1},
        {"params": [p for p in other.parameters() if p.dim() <= 1], "weight_decay": 0.0},
    ]
    optimizer = torch.optim.AdamW(groups, lr=3e-3)
    loss.backward()
    torch.nn.utils.clip_grad_norm_(other.parameters(), 0.5)
    moved = [
        (name, each.grad.abs() > 1e-5)
        for name, each in other.named_parameters()
        if each.grad is not None
    ]
    optimizer.step()
    distilled = distill(student, teacher, samples, settings, batch_size=3)
    assert distilled.losses == (pytest.approx(loss.item(), rel=1e-4),)
    found, wanted = weights_of(student), weights_of(other)
    for name, is_large in moved:  # the first step of Adam is lr * sign, whatever the slope
        torch.testing.assert_close(
            found[name][is_large], wanted[name][is_large], rtol=1e-3, atol=1e-4
        )
    assert student.training
    assert all(each.requires_grad for each in student.parameters())


def test_loss_falls_and_the_original_stays() -> None:
    student, teacher = make_pair()
    before = weights_of(teacher)
    distilled = distill(student, teacher, SAMPLES, SETTINGS)
    assert distilled.stop_reason is StopReason.COMPLETED
    assert len(distilled.losses) == distilled.num_steps == 12
    assert distilled.losses[-1] < 0.5 * distilled.losses[0]
    assert same(weights_of(teacher), before)
    assert distilled.num_tokens == 4 * sum(map(len, SAMPLES.tokens))


@pytest.mark.parametrize("lora", [None, 4])
def test_it_is_deterministic_by_seed(lora: int | None) -> None:
    settings = replace(SETTINGS, lora=lora, epochs=1)
    if lora:
        pytest.importorskip("peft")
    results = []
    for seed in (0, 0, 1):
        torch.manual_seed(seed + 100)  # the global state of torch is nothing that it depends on
        student, teacher = make_pair()
        torch.rand(seed + 1)
        distill(student, teacher, SAMPLES, replace(settings, seed=seed))
        results.append(weights_of(student))
    assert same(results[0], results[1])
    assert not same(results[0], results[2])


@pytest.mark.parametrize("lora", [None, 4])
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_stopped_anywhere_it_goes_on_to_the_same_weights(
    lora: int | None, dtype: str, tmp_path: Path
) -> None:
    if lora:
        pytest.importorskip("peft")
    settings = replace(SETTINGS, lora=lora)

    def one() -> tuple[Any, Any]:
        student, teacher = make_pair()
        return student.to(getattr(torch, dtype)), teacher.to(getattr(torch, dtype))

    student, teacher = one()
    whole = distill(student, teacher, SAMPLES, settings, batch_size=3)
    wanted = weights_of(student)
    work, calls = tmp_path / "work", 0
    while True:
        student, teacher = one()
        stop = _StopAfter(10)
        part = distill(student, teacher, SAMPLES, settings, batch_size=3, work=work, stop=stop)
        calls += 1
        if part.stop_reason is StopReason.COMPLETED:
            break
        assert part.stop_reason is StopReason.INTERRUPTED
        assert len(part.losses) < part.num_steps
        assert student.dtype == getattr(torch, dtype)
    assert calls > 2
    assert part.losses == whole.losses
    assert same(weights_of(student), wanted)
    assert [path.suffix for path in work.iterdir()] == [".safetensors"]
    student, teacher = one()  # and once more, when there is nothing left to do
    again = distill(student, teacher, SAMPLES, settings, batch_size=3, work=work)
    assert again.losses == whole.losses
    assert same(weights_of(student), wanted)


class _StopAfter(Stop):
    """Ends after so many questions whether to stop."""

    def __init__(self, questions: int) -> None:
        super().__init__()
        self._left = questions

    def should_stop(self, num_evaluated: int = 0) -> bool:
        self._left -= 1
        if self._left < 0:
            self.cancel()
        return super().should_stop(num_evaluated)


def test_a_stopped_student_is_as_after_its_last_whole_step(tmp_path: Path) -> None:
    student, teacher = make_pair()
    part = distill(student, teacher, SAMPLES, SETTINGS, batch_size=3, stop=_StopAfter(5))
    assert len(part.losses) == 1  # of a step of three parts, and two of the next
    other, teacher = make_pair()
    distill(other, teacher, SAMPLES, SETTINGS, batch_size=3, stop=_StopAfter(3))
    assert same(weights_of(student), weights_of(other))


class _OutOfTimeAfter(Stop):
    """Has no time left after so many questions whether to stop."""

    def __init__(self, questions: int) -> None:
        super().__init__(1e6)
        self._questions = questions

    @property
    def remaining(self) -> float:
        self._questions -= 1
        return 0.0 if self._questions < 0 else 1.0


def test_the_time_limit_ends_it(tmp_path: Path) -> None:
    work = tmp_path / "work"
    student, teacher = make_pair()
    part = distill(student, teacher, SAMPLES, SETTINGS, work=work, stop=_OutOfTimeAfter(5))
    assert part.stop_reason is StopReason.TIME_LIMIT
    assert len(part.losses) == 5
    assert str(part).startswith("5 of 12 steps, ")
    student, teacher = make_pair()
    more = distill(student, teacher, SAMPLES, SETTINGS, work=work, stop=_OutOfTimeAfter(4))
    assert more.losses[:5] == part.losses
    assert len(more.losses) == 9


KILLED = """
import sys
from pathlib import Path
from tests.pruning.test_distillation import SAMPLES, SETTINGS, make_pair
from dataclasses import replace
from qubo_prune.pruning.healing.distillation.training import distill
settings = replace(SETTINGS, checkpoint_seconds=1e-6, epochs=2000)
print("ready", flush=True)
distill(*make_pair(), SAMPLES, settings, work=Path(sys.argv[1]))
"""


def test_killed_it_leaves_a_state_to_go_on_from(tmp_path: Path) -> None:
    work = tmp_path / "work"
    child = subprocess.Popen(
        [sys.executable, "-c", KILLED, str(work)],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )
    with child:
        assert child.stdout is not None
        child.stdout.readline()
        while not list(work.glob("dist*")):
            assert child.poll() is None
        child.send_signal(signal.SIGKILL)
    settings = replace(SETTINGS, epochs=2000)
    student, teacher = make_pair()
    on = distill(student, teacher, SAMPLES, settings, work=work, stop=_StopAfter(4))
    assert len(on.losses) > 4
    other, teacher = make_pair()
    whole = distill(other, teacher, SAMPLES, settings, stop=_StopAfter(len(on.losses)))
    assert whole.losses == on.losses
    assert same(weights_of(other), weights_of(student))


def test_progress_tells_loss_rate_and_time_left(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("qubo_prune.core.stopping._REPORT_INTERVAL", 0.0)
    seen: list[Progress] = []
    student, teacher = make_pair()
    settings = replace(SETTINGS, epochs=20)
    distill(student, teacher, SAMPLES, settings, stop=Stop(progress=seen.append))
    last = seen[-1]
    assert "of 60, loss 0." in last.message
    assert last.rate > 0
    assert last.eta is not None
    assert [each.fraction or 0 for each in seen] == sorted(each.fraction or 0 for each in seen)


def test_adapters_are_added_to_the_weights(tmp_path: Path) -> None:
    """The result is a plain model: it is saved and loaded with nothing of peft."""
    pytest.importorskip("peft")
    student, teacher = make_pair()
    before, names = weights_of(student), [type(each) for each in student.modules()]
    settings = replace(SETTINGS, lora=4, learning_rate=1e-2)
    distilled = distill(student, teacher, SAMPLES, settings)
    assert distilled.losses[-1] < 0.8 * distilled.losses[0]
    assert [type(each) for each in student.modules()] == names
    changed = {
        name for name, each in weights_of(student).items() if not torch.equal(each, before[name])
    }
    assert changed == {name for name in before if "proj" in name}
    student.save_pretrained(tmp_path / "model")
    assert {path.name for path in (tmp_path / "model").iterdir()} == {
        "config.json", "generation_config.json", "model.safetensors",
    }  # fmt: skip
    loaded, report = transformers.AutoModelForCausalLM.from_pretrained(
        tmp_path / "model", output_loading_info=True
    )
    assert not any(report[key] for key in ("missing_keys", "unexpected_keys", "mismatched_keys"))
    ids = torch.arange(6)[None]
    assert torch.equal(loaded.eval()(ids).logits, student.eval()(ids).logits)


def test_a_failure_takes_adapters_off_again() -> None:
    pytest.importorskip("peft")
    student, teacher = make_pair()
    before, names = weights_of(student), [type(each) for each in student.modules()]
    with torch.no_grad():
        teacher.lm_head.weight.fill_(float("nan"))
    with pytest.raises(InputError, match=r"loss is not finite at step 1; use a lower --learning"):
        distill(student, teacher, SAMPLES, replace(SETTINGS, lora=4))
    assert [type(each) for each in student.modules()] == names
    assert same(weights_of(student), before)


def test_weights_in_bfloat16_are_trained_in_float32() -> None:
    """Steps that bfloat16 would round away add up."""
    student, teacher = make_pair()
    student, teacher = student.to(torch.bfloat16), teacher.to(torch.bfloat16)
    settings = replace(SETTINGS, learning_rate=2e-4, epochs=12)
    distilled = distill(student, teacher, SAMPLES, settings)
    assert student.dtype == torch.bfloat16
    assert distilled.losses[-1] < 0.95 * distilled.losses[0]


def test_gradient_checkpointing_changes_nothing() -> None:
    results = []
    for enabled in (False, True):
        student, teacher = make_pair()
        settings = replace(SETTINGS, epochs=1, gradient_checkpointing=enabled)
        distill(student, teacher, SAMPLES, settings)
        results.append(weights_of(student))
    assert same(*results)


def test_sizes_of_batches_change_rounding_only() -> None:
    losses = []
    for size in (1, 8):
        student, teacher = make_pair()
        losses.append(distill(student, teacher, SAMPLES, SETTINGS, batch_size=size).losses)
    np.testing.assert_allclose(losses[0], losses[1], rtol=2e-3)


def test_another_distillation_has_another_state(tmp_path: Path) -> None:
    student, teacher = make_pair()
    first = distill(student, teacher, SAMPLES, SETTINGS, work=tmp_path, stop=_StopAfter(3))
    kept = {path: path.read_bytes() for path in tmp_path.iterdir()}
    for samples, settings in (
        (SAMPLES, replace(SETTINGS, learning_rate=1e-3)),
        (make_samples(24, 1), SETTINGS),
    ):
        student, teacher = make_pair()
        other = distill(student, teacher, samples, settings, work=tmp_path, stop=_StopAfter(1))
        assert len(other.losses) == 1
    assert len(first.losses) == 3
    assert len(list(tmp_path.iterdir())) == 3
    assert all(path.read_bytes() == content for path, content in kept.items())
    student, teacher = make_pair()
    more = replace(SETTINGS, checkpoint_seconds=1.0)  # changes nothing
    on = distill(student, teacher, SAMPLES, more, work=tmp_path, stop=_StopAfter(1))
    assert on.losses[:3] == first.losses
    assert len(on.losses) == 4


@pytest.mark.parametrize("content", [b"", b"nothing", b"\x02\0\0\0\0\0\0\0{}"])
def test_a_damaged_state_is_refused(content: bytes, tmp_path: Path) -> None:
    student, teacher = make_pair()
    distill(student, teacher, SAMPLES, SETTINGS, work=tmp_path, stop=_StopAfter(1))
    [state] = tmp_path.iterdir()
    state.write_bytes(content)
    student, teacher = make_pair()
    before = weights_of(student)
    with pytest.raises(InputError, match=r"distillation-.*delete it to begin again"):
        distill(student, teacher, SAMPLES, SETTINGS, work=tmp_path)
    assert same(weights_of(student), before)


def test_a_state_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    student, teacher = make_pair()
    with pytest.raises(OutputError, match=r"the state of the distillation, .* cannot be written"):
        distill(
            student,
            teacher,
            SAMPLES,
            replace(SETTINGS, epochs=1),
            work=tmp_path / "file" / "work",
        )


def test_models_of_other_vocabularies_are_refused() -> None:
    student, _ = make_pair()
    with pytest.raises(InputError, match=r"must predict the 50 tokens of the original, not 40"):
        distill(student, build(BY_TYPE["llama"], vocab_size=50), SAMPLES, SETTINGS)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"learning_rate": 0}, "learning_rate must be more than 0, not 0"),
        ({"temperature": -1.0}, "temperature must be more than 0"),
        ({"clip": float("nan")}, "clip must be"),
        ({"weight_decay": -1}, "weight_decay must be at least 0"),
        ({"lora": 0}, "lora must be at least 1, not 0"),
        ({"max_tokens": 0}, "max_tokens must be at least 1"),
        ({"step_samples": 0}, "step_samples must be at least 1"),
        ({"precision": "int8"}, "precision must be one of auto, float32, bfloat16, not 'int8'"),
    ],
)
def test_settings_out_of_range_are_refused(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        DistillSettings(**settings)


def test_defaults_are_those_of_the_paper() -> None:
    """Appendix G, table 10; 16 samples on each of four devices (section 4: 64)."""
    settings = DistillSettings()
    assert (settings.peak, settings.weight_decay, settings.warmup_steps) == (2e-5, 1e-4, 100)
    assert (settings.clip, settings.step_samples, settings.epochs, settings.seed) == (1, 64, 1, 42)


def test_every_epoch_goes_through_all_samples_in_another_order() -> None:
    steps = steps_of([5] * 11, DistillSettings(step_samples=4, epochs=3))
    epochs = [sum((steps[k] for k in range(at, at + 3)), ()) for at in (0, 3, 6)]
    assert all(sorted(epoch) == list(range(11)) for epoch in epochs)
    assert len(set(epochs)) == 3


@pytest.mark.parametrize("most", [1, 50, 99, 100, 10_000])
def test_tokens_are_bounded(most: int) -> None:
    lengths = [10] * 20
    steps = steps_of(lengths, DistillSettings(step_samples=5, max_tokens=most))
    used = sum(lengths[sample] for step in steps for sample in step)
    assert len(steps) == 1 or used <= most
    assert len(steps) == max(1, min(4, most // 50))


def test_parts_are_a_division_of_a_step() -> None:
    lengths = np.random.default_rng(0).integers(2, 9, 30).tolist()
    parts = parts_of(range(5, 25), lengths, 6)
    assert sorted(sum(parts, ())) == list(range(5, 25))
    assert [len(part) for part in parts] == [6, 6, 6, 2]


def test_the_schedule_is_that_of_transformers() -> None:
    """Theirs begins with a step of nothing; ours with the first that is something."""
    weight = torch.nn.Parameter(torch.zeros(1))
    optimizer = torch.optim.SGD([weight], lr=2e-5)
    theirs = transformers.get_cosine_schedule_with_warmup(optimizer, 100, 1500)
    expected = []
    for _ in range(1500):
        expected.append(theirs.get_last_lr()[0])
        optimizer.step()
        theirs.step()
    ours = [learning_rate(k, 1500, DistillSettings()) for k in range(1500)]
    np.testing.assert_allclose(ours[:100], expected[1:101])
    np.testing.assert_allclose(ours[100:], expected[100:])


def test_results_are_told_in_plain_types() -> None:
    student, teacher = make_pair()
    distilled = distill(student, teacher, SAMPLES, SETTINGS)
    told = json.loads(json.dumps(distilled.to_dict()))
    assert told["stop_reason"] == "completed"
    assert told["losses"] == list(distilled.losses)
    assert str(distilled).startswith("12 of 12 steps, ")
