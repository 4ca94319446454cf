"""Repairs in closed form: against NumPy, against models that they can make whole, and on every
architecture.
"""

from __future__ import annotations

import copy
import itertools
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")

from qubo_prune.core.errors import InputError  # noqa: E402
from qubo_prune.core.stopping import Stop, StopReason  # noqa: E402
from qubo_prune.hessians.calibration.calibration import Calibration  # noqa: E402
from qubo_prune.hessians.gates.layers import find_layers  # noqa: E402
from qubo_prune.hessians.gates.probes import random_tokens  # noqa: E402
from qubo_prune.pruning.measuring.work import StoppedError  # noqa: E402
from qubo_prune.pruning.repair import outputs  # noqa: E402
from qubo_prune.pruning.repair.base import Patient, Step, runs_of  # noqa: E402
from qubo_prune.pruning.repair.least_squares import (  # noqa: E402
    RIDGES,
    NormalEquations,
    choose_ridge,
)
from qubo_prune.pruning.repair.linear import Linear  # noqa: E402
from qubo_prune.pruning.repair.rescale import Rescale  # noqa: E402
from qubo_prune.pruning.repair.streams import seen_by  # noqa: E402
from qubo_prune.pruning.repair.writers import CannotRepairError, find_writer  # noqa: E402
from tests.pruning.test_measurement import deleted  # noqa: E402
from tests.pruning.test_prune import deep, logits  # noqa: E402
from tests.tiny_models import BY_TYPE, CASES, VOCABULARY, build  # noqa: E402

NO_WRITER = {
    "gemma2", "gemma3_text", "olmo2",  # a norm comes after
    "mixtral", "gpt_oss", "qwen3_next", "jamba", "qwen3_moe",  # experts, in layer 1
}  # fmt: skip
READS_THE_SIZE = {"olmo2"}


def calibration(count: int = 12, length: int = 14, seed: int = 0) -> Calibration:
    """Samples of unequal lengths."""
    rng = np.random.default_rng(seed)
    tokens = tuple(rng.integers(VOCABULARY, size=length - i % 3) for i in range(count))
    targets = tuple(np.arange(len(each)) > 0 for each in tokens)
    return Calibration(tokens, targets, np.arange(count), {"source": "random"})


def patient_of(
    model: Any, original: Any, removed: tuple[int, ...], samples: Calibration | None = None
) -> Patient:
    number = len(find_layers(model)[1])
    return Patient(
        model=model, original=original, calibration=samples or calibration(), removed=removed,
        work=Path("nowhere"), batch_size=5, scale=[1.0] * (number + 1),
    )  # fmt: skip


def pruned(original: Any, removed: tuple[int, ...]) -> Any:
    return deleted(original, find_layers(original)[0], removed)


def rows(count: int = 50, inputs: int = 4, outputs: int = 3, seed: int = 0) -> Any:
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((count, inputs)) + 1
    y = rng.standard_normal((count, outputs)) + x[:, :1]
    return torch.tensor(x), torch.tensor(y), torch.tensor(rng.random(count) + 0.1)


@pytest.mark.parametrize("intercept", [False, True])
@pytest.mark.parametrize("ridge", [0.0, 0.3])
def test_least_squares_in_pieces_is_that_of_numpy(intercept: bool, ridge: float) -> None:
    x, y, weights = rows()
    equations = NormalEquations.empty(4, 3, intercept=intercept)
    for piece in (slice(7), slice(7, 30), slice(30, None)):
        equations.add(x[piece], y[piece], weights[piece])
    fit = equations.solve(ridge)
    root = weights.numpy()[:, None] ** 0.5
    a, b = root * x.numpy(), root * y.numpy()
    if intercept:
        a = np.hstack([a, root])
    centred = a[:, :4]
    if intercept:
        centred = root * (x.numpy() - np.average(x.numpy(), axis=0, weights=weights.numpy()))
    scale = np.trace(centred.T @ centred) / 4
    damping = np.hstack([(ridge * scale) ** 0.5 * np.eye(4), np.zeros((4, a.shape[1] - 4))])
    wanted = np.linalg.lstsq(np.vstack([a, damping]), np.vstack([b, np.zeros((4, 3))]))[0]
    np.testing.assert_allclose(fit.matrix.numpy(), wanted[:4], atol=1e-12)
    np.testing.assert_allclose(fit.offset.numpy(), wanted[4] if intercept else 0, atol=1e-12)
    left = b - a[:, :4] @ fit.matrix.numpy() - root * fit.offset.numpy()
    assert equations.error(fit) == pytest.approx(float((left**2).sum()))


def test_inputs_that_are_never_seen_are_left_alone() -> None:
    x, y, weights = rows()
    x[:, 1] = 0
    equations = NormalEquations.empty(4, 3)
    equations.add(x, y, weights)
    fit = equations.solve(0.0)
    assert torch.allclose(fit.matrix[1], torch.zeros(3, dtype=torch.float64), atol=1e-12)
    wanted = np.linalg.lstsq(
        (x * weights[:, None].sqrt()).numpy(), (y * weights[:, None].sqrt()).numpy()
    )[0]
    np.testing.assert_allclose(fit.matrix.numpy(), wanted, atol=1e-10)


def test_the_ridge_that_leaves_least_of_other_rows_is_chosen() -> None:
    folds, parts = [], []
    for seed in range(2):
        x, y, weights = rows(9, seed=seed)
        folds.append(NormalEquations.empty(4, 3))
        folds[-1].add(x, y, weights)
        parts.append((x, y, weights))
    errors = []
    for ridge in RIDGES:
        total = 0.0
        for fold, (x, y, weights) in zip(reversed(folds), parts, strict=True):
            left = y - x @ fold.solve(ridge).matrix
            total += float((weights * (left**2).sum(1)).sum())
        errors.append(total)
    ridge, explained = choose_ridge(folds)
    assert ridge == RIDGES[int(np.argmin(errors))]
    assert explained == pytest.approx(1 - min(errors) / sum(float(each.yy) for each in folds))


def test_runs_are_found() -> None:
    runs = runs_of([7, 3, 4, 0])
    assert [(run.first, run.last, run.place) for run in runs] == [(0, 0, 0), (3, 4, 2), (7, 7, 4)]


def without_effect(name: str, layer: int, **more: Any) -> Any:
    """A model of which one layer adds nothing."""
    model = deep(name, **more)
    for parameter in outputs.scalings(outputs_gates(model), layer):
        parameter.parameter.data.zero_()
    return model


def outputs_gates(model: Any) -> Any:
    from qubo_prune.hessians.gates.gates import find_gates

    return find_gates(model, "branch")


@pytest.mark.parametrize("name", ["llama", "gpt2", "opt", "falcon", "bamba", "mamba2", "lfm2"])
def test_what_a_linear_map_can_do_is_made_whole(name: str) -> None:
    """The map of a layer is spoilt by a random matrix; the repair has to find its inverse."""
    original = without_effect(name, 2)
    model = pruned(original, (2,))
    writer = find_writer(model, find_layers(model)[1][1], random_tokens(model))
    generator = torch.Generator().manual_seed(5)
    noise = torch.randn(32, 32, generator=generator, dtype=torch.float64) / 20
    writer.merge(noise, torch.ones(32))
    before = (logits(model) - logits(original)).abs().max()
    step = Linear(ridge=0.0).run(patient_of(model, original, (2,), calibration(40)))
    after = (logits(model) - logits(original)).abs().max()
    assert step.facts["runs"][0]["explained"] == pytest.approx(1, abs=1e-6)
    assert after < 1e-4
    assert before > 1e-1


@pytest.mark.parametrize("name", [case.type for case in CASES])
def test_a_linear_map_on_every_architecture(name: str) -> None:
    """It is refused with the reason, or leaves less of what it was fitted to."""
    original = deep(name)
    model = pruned(original, (2,))
    patient = patient_of(model, original, (2,))
    before = error_at(patient)
    if name in NO_WRITER:
        with pytest.raises(InputError, match="2: no linear map writes to the residual stream last"):
            Linear(ridge=0.0).run(patient)
        assert error_at(patient) == before
        return
    step = Linear(ridge=0.0).run(patient)
    assert error_at(patient) < before
    assert step.facts["runs"][0]["explained"] == pytest.approx(
        1 - error_at(patient) / before, abs=1e-4
    )
    assert 0 < step.facts["runs"][0]["explained"] <= 1


def error_at(patient: Patient) -> float:
    """What is left behind the first run, relative to each token's state: direct sums."""
    run = patient.runs[0]
    layers, of_original = (find_layers(m)[1] for m in (patient.model, patient.original))
    total = 0.0
    for tokens in patient.calibration.tokens:
        ids = torch.tensor(tokens)[None]
        here, _ = seen_by(patient.model, layers, ids, run.place)
        there, _ = seen_by(patient.original, of_original, ids, run.last + 1)
        left = (there.double() - here.double()).square().sum(-1)
        total += float((left / there.double().square().sum(-1)).sum())
    return total


@pytest.mark.parametrize("bias", [False, True])
def test_the_map_is_that_of_numpy(bias: bool) -> None:
    original = deep("llama", mlp_bias=bias)
    model = pruned(original, (1, 2))
    layers, of_original = (find_layers(m)[1] for m in (model, original))
    down = layers[0].mlp.down_proj
    samples = calibration(60)
    x, y, root = [], [], []
    for tokens in samples.tokens:
        ids = torch.tensor(tokens)[None]
        here, written = seen_by(model, layers, ids, 1, down)
        there, _ = seen_by(original, of_original, ids, 3)
        assert written is not None
        x.append(written[0].double().numpy())
        y.append((there[0].double() - here[0].double()).numpy())
        root.append(1 / there[0].double().norm(dim=-1, keepdim=True).numpy())
    weights = np.concatenate(root)
    a = np.concatenate(x)
    a = np.hstack([a, np.ones((len(a), 1))]) if bias else a
    found = np.linalg.lstsq(weights * a, weights * np.concatenate(y))[0]
    wanted = (np.eye(32) + found[:32].T) @ down.weight.detach().double().numpy()
    former_bias = down.bias.detach().double().numpy() if bias else None
    Linear(ridge=0.0).run(patient_of(model, original, (1, 2), samples))
    np.testing.assert_allclose(down.weight.detach().numpy(), wanted, atol=1e-4)
    if bias:
        offset = (np.eye(32) + found[:32].T) @ former_bias + found[32]
        np.testing.assert_allclose(down.bias.detach().numpy(), offset, atol=1e-4)
    assert len(list(down.parameters())) == 1 + bias  # nothing is added that a loader would miss


def test_two_runs_one_after_the_other_and_one_at_the_start() -> None:
    original = build(BY_TYPE["llama"], num_hidden_layers=7)
    model = pruned(original, (0, 2, 4, 5))
    embedding = model.get_input_embeddings().weight.clone()
    step = Linear().run(patient_of(model, original, (0, 2, 4, 5), calibration(30)))
    first, second, third = step.facts["runs"]
    assert first == {
        "removed": "0", "left": "it began the model, and no layer comes before it",
    }  # fmt: skip
    assert second["module"] == "model.layers.0.mlp.down_proj"
    assert third["module"] == "model.layers.1.mlp.down_proj"
    assert second["ridge"] in RIDGES
    assert third["explained_held_out"] <= third["explained"]
    assert "0 left as it is" in step.summary
    assert torch.equal(model.get_input_embeddings().weight, embedding)
    with pytest.raises(InputError, match="0-1: it began the model"):
        Linear().run(patient_of(pruned(original, (0, 1)), original, (0, 1)))


def test_where_nothing_helps_nothing_is_changed() -> None:
    """Independent models have nothing to learn from each other that holds for other samples."""
    original = deep("llama")
    model = pruned(original, (2,))
    before = copy.deepcopy(model.state_dict())
    samples = calibration(2, length=4)
    step = Linear().run(patient_of(model, original, (2,), samples))
    if step.facts["runs"][0]["ridge"] == "none helps":
        assert all(torch.equal(before[key], each) for key, each in model.state_dict().items())
    strong = Linear(ridge=1e12)
    model.load_state_dict(before)
    strong.run(patient_of(model, original, (2,), samples))
    assert torch.allclose(
        model.model.layers[1].mlp.down_proj.weight, before["model.layers.1.mlp.down_proj.weight"]
    )


def test_switches_and_samples_that_do_not_do() -> None:
    with pytest.raises(InputError, match="ridge must be at least 0, not -1"):
        Linear(ridge=-1.0).check()
    original = deep("llama")
    one = calibration(1)
    with pytest.raises(InputError, match="needs at least 2 samples, not 1"):
        Linear().run(patient_of(pruned(original, (2,)), original, (2,), one))
    Linear(ridge=0.1).run(patient_of(pruned(original, (2,)), original, (2,), one))
    with pytest.raises(InputError, match="only branches"):
        Linear().run(patient_of(pruned(original, (2,)), original, ()))
    with pytest.raises(InputError, match="only branches"):
        Rescale().run(patient_of(pruned(original, (2,)), original, ()))


@pytest.mark.parametrize("name", [case.type for case in CASES])
def test_rescaling_on_every_architecture(name: str) -> None:
    """Weights do what a stream that is multiplied behind the removed layer does."""
    original = deep(name)
    model = pruned(original, (1,))
    plain = copy.deepcopy(model)
    patient = patient_of(model, original, (1,))
    if name in READS_THE_SIZE:
        with pytest.raises(InputError, match=r"layers\.1 cannot be rescaled: .* without a norm"):
            Rescale().run(patient)
        assert torch.equal(logits(model), logits(plain))
        return
    step = Rescale().run(patient)
    [found] = step.facts["runs"]
    factor = found["factor"]
    assert patient.scale == pytest.approx([1.0, factor, factor, factor])
    assert factor == pytest.approx(mean_ratio(plain, original, 1, 2), rel=1e-5)
    unscaled = logits(plain)

    def longer(_: Any, __: Any, output: Any) -> Any:
        return (output[0] * factor, *output[1:]) if isinstance(output, tuple) else output * factor

    find_layers(plain)[1][0].register_forward_hook(longer)
    effect = float((unscaled - logits(plain)).norm())
    # The constants in the norms are seen by the stream in one and not in the other.
    assert float((logits(model) - logits(plain)).norm()) < 0.02 * effect


def mean_ratio(model: Any, original: Any, place: int, behind: int) -> float:
    layers, of_original = (find_layers(m)[1] for m in (model, original))
    found = []
    for tokens in calibration().tokens:
        ids = torch.tensor(tokens)[None]
        here, _ = seen_by(model, layers, ids, place)
        there, _ = seen_by(original, of_original, ids, behind)
        found.append((there.double().norm(dim=-1) / here.double().norm(dim=-1)).flatten())
    return float(torch.cat(found).mean())


def test_a_lost_norm_is_made_good_exactly() -> None:
    """The stream of the pruned model is the original's divided by 1.5."""
    original = without_effect("llama", 2, rms_norm_eps=1e-12)
    model = pruned(original, (2,))
    model.model.embed_tokens.weight.data /= 1.5
    for layer in model.model.layers[:2]:
        layer.self_attn.o_proj.weight.data /= 1.5
        layer.mlp.down_proj.weight.data /= 1.5
    before = (logits(model) - logits(original)).abs().max()
    step = Rescale().run(patient_of(model, original, (2,)))
    after = (logits(model) - logits(original)).abs().max()
    assert step.facts["runs"][0]["factor"] == pytest.approx(1.5)
    assert after < 1e-4
    assert before > 1e-2


def test_two_lost_norms_add_up() -> None:
    original = build(BY_TYPE["llama"], num_hidden_layers=6, rms_norm_eps=1e-12)
    model = pruned(original, (1, 3))
    patient = patient_of(model, original, (1, 3))
    step = Rescale().run(patient)
    first, second = (each["factor"] for each in step.facts["runs"])
    assert patient.scale == pytest.approx(
        [1.0, first, first * second, first * second, first * second]
    )
    layers, of_original = (find_layers(m)[1] for m in (model, original))
    ids = torch.tensor(calibration().tokens[0])[None]
    here, _ = seen_by(model, layers, ids, 2)
    there, _ = seen_by(original, of_original, ids, 4)
    ratio = there.norm(dim=-1) / here.norm(dim=-1) / patient.scale[2]
    assert float(ratio.mean()) == pytest.approx(1, abs=0.2)
    # A linear map that comes after aims at the stream as it now is.
    linear = Linear(ridge=0.0).run(patient)
    assert all(0 < each["explained"] < 1 for each in linear.facts["runs"])
    assert not torch.isnan(logits(model)).any()


def test_the_end_of_a_model_needs_no_rescaling() -> None:
    original = deep("llama")
    with pytest.raises(InputError, match="whose final norm takes any rescaling back"):
        Rescale().run(patient_of(pruned(original, (3,)), original, (3,)))
    step = Linear(ridge=0.0).run(patient_of(pruned(original, (3,)), original, (3,)))
    assert step.facts["runs"][0]["module"] == "model.layers.2.mlp.down_proj"


def test_a_pass_that_is_stopped_leaves_the_model_as_it_was() -> None:
    original = deep("llama")
    for method in (Linear(), Rescale()):
        model = pruned(original, (2,))
        before = copy.deepcopy(model.state_dict())
        patient = patient_of(model, original, (2,))
        patient.stop = Stop()
        patient.stop.cancel()
        with pytest.raises(StoppedError):
            method.run(patient)
        assert all(torch.equal(before[key], each) for key, each in model.state_dict().items())


class Counting(Stop):
    """Says stop when it was asked so often."""

    def __init__(self, most: int) -> None:
        super().__init__()
        self.left = most

    def should_stop(self, num_evaluated: int = 0) -> bool:
        self.left -= 1
        if self.left < 0:
            self.cancel(StopReason.TIME_LIMIT)
        return super().should_stop(num_evaluated)


@pytest.mark.parametrize("method", [Linear(), Rescale()])
def test_runs_that_were_done_before_a_stop_are_said(method: Any) -> None:
    original = build(BY_TYPE["llama"], num_hidden_layers=6)
    model = pruned(original, (1, 3))
    patient = patient_of(model, original, (1, 3))
    patient.stop = Counting(3)  # batches of the first run
    step = method.run(patient)
    assert [run["removed"] for run in step.facts["runs"]] == ["1"]
    assert step.stop_reason is StopReason.TIME_LIMIT


@pytest.mark.parametrize("method", [Linear(ridge=0.0), Rescale()])
def test_smaller_batches_when_memory_runs_out(method: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    original = deep("llama")
    model = pruned(original, (2,))
    wanted = method.run(patient_of(copy.deepcopy(model), original, (2,))).facts["runs"][0]
    forward, sizes = type(original).forward, []

    def short(self: Any, input_ids: Any, **rest: Any) -> Any:
        sizes.append(len(input_ids))
        if len(input_ids) > 2:
            raise torch.OutOfMemoryError("CUDA out of memory.")
        return forward(self, input_ids=input_ids, **rest)

    monkeypatch.setattr(type(original), "forward", short)
    found = method.run(patient_of(model, original, (2,))).facts["runs"][0]
    assert max(sizes) == 5
    for key in ("factor", "explained"):
        assert found.get(key) == pytest.approx(wanted.get(key))


def test_narrow_types_are_fitted_in_wide_ones() -> None:
    original = deep("llama").to(torch.bfloat16)
    model = pruned(original, (2,))
    patient = patient_of(model, original, (2,))
    before = error_at(patient)
    Linear(ridge=0.0).run(patient)
    assert error_at(patient) < before
    assert model.dtype == torch.bfloat16


def test_the_models_are_left_as_they_were_but_for_what_is_merged() -> None:
    original = deep("llama").train()
    model = pruned(original, (2,))
    states = [copy.deepcopy(each.state_dict()) for each in (original, model)]
    steps: list[Step] = [Linear().run(patient_of(model, original, (2,)))]
    assert original.training
    assert model.training
    assert all(each.requires_grad for each in itertools.chain(model.parameters()))
    assert all(torch.equal(states[0][key], each) for key, each in original.state_dict().items())
    changed = [
        key for key, each in model.state_dict().items() if not torch.equal(states[1][key], each)
    ]
    assert changed == ["model.layers.1.mlp.down_proj.weight"]
    assert steps[0].to_dict()["stop_reason"] == "completed"


def test_a_layer_without_a_last_linear_map_says_so() -> None:
    model = deep("gemma2")
    with pytest.raises(CannotRepairError, match="a norm, a gate or experts come after"):
        find_writer(model, find_layers(model)[1][0], random_tokens(model))
