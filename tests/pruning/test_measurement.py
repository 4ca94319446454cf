"""Measured removals against models whose layers are really deleted, sample by sample."""

from __future__ import annotations

import copy
import itertools
import weakref
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")

from qubo_prune.core.errors import InputError  # noqa: E402
from qubo_prune.core.stopping import Stop  # noqa: E402
from qubo_prune.hessians.calibration import Calibration  # noqa: E402
from qubo_prune.hessians.gates.gates import Gates, find_gates  # noqa: E402
from qubo_prune.hessians.gradients import sample_gradients  # noqa: E402
from qubo_prune.pruning.measurement import ModelObjective  # noqa: E402
from qubo_prune.pruning.measuring.files import (  # noqa: E402
    load_measurements,
    merge_measurements,
    save_measurements,
)
from qubo_prune.pruning.measuring.passes import Passes  # noqa: E402
from qubo_prune.pruning.measuring.trie import Walk  # noqa: E402
from qubo_prune.pruning.objective import Measurement, Objective  # noqa: E402
from tests.tiny_models import (  # noqa: E402
    BY_TYPE,
    CASES,
    VOCABULARY,
    Case,
    build,
    ends_by_hand,
    multiplied,
    one_loss,
    samples,
)

DEEPER: dict[str, dict[str, Any]] = {
    "llama": {}, "gemma2": {}, "gemma3_text": {}, "gpt2": {"n_layer": 4}, "gpt_neox": {}, "opt": {},
    "falcon": {}, "olmo2": {}, "mixtral": {}, "qwen3_moe": {}, "deepseek_v3": {}, "gpt_oss": {},
    "nemotron_h": {},
    "bamba": {"attn_layer_indices": [1, 3]}, "jamba": {},
    "granitemoehybrid": {"layer_types": ["mamba", "attention"] * 2}, "falcon_h1": {},
    "qwen3_next": {"layer_types": ["linear_attention", "full_attention"] * 2}, "mamba2": {},
    "lfm2": {"layer_types": ["conv", "full_attention"] * 2},
}  # fmt: skip
"""What models of four layers need beside the settings of those of two."""

REMOVALS = [(), (0,), (2,), (1, 3), (0, 1, 3), (0, 1, 2, 3)]


def deep(name: str, **more: Any) -> Any:
    """A model of four layers."""
    return build(BY_TYPE[name], **{"num_hidden_layers": 4} | DEEPER[name] | more)


def calibration_of(
    tokens: list[NDArray[np.int64]], targets: list[NDArray[np.bool_]]
) -> Calibration:
    return Calibration(
        tuple(tokens), tuple(targets), np.arange(len(tokens)) * 3, {"source": "random tokens"}
    )


def calibration(count: int = 5, seed: int = 0) -> Calibration:
    rng = np.random.default_rng(seed)
    tokens = [rng.integers(VOCABULARY, size=length) for length in rng.integers(2, 12, count)]
    return calibration_of(tokens, [np.arange(len(each)) > 0 for each in tokens])


def objective(model: Any, granularity: Any = "block", **options: Any) -> ModelObjective:
    data = options.pop("data", None) or calibration_of(*samples())
    return ModelObjective(model, find_gates(model, granularity), data, **options)


def measured(subject: Objective, removals: Any) -> dict[tuple[int, ...], Measurement]:
    return {each.removed: each for each in subject.measure(removals)}


def deleted(model: Any, path: str, removed: tuple[int, ...]) -> Any:
    """A copy of a model without some layers; its configuration and the layers' numbers follow."""
    smaller = copy.deepcopy(model)
    layers = smaller.get_submodule(path)
    number = len(layers)
    kept = [i for i in range(number) if i not in removed]
    parent = smaller.get_submodule(path.rpartition(".")[0])
    setattr(parent, path.rpartition(".")[2], torch.nn.ModuleList([layers[i] for i in kept]))
    for index, layer in enumerate(parent.get_submodule(path.rpartition(".")[2])):
        for module in layer.modules():
            if hasattr(module, "layer_idx"):
                module.layer_idx = index
    for config in {
        id(m.config): m.config for m in smaller.modules() if hasattr(m, "config")
    }.values():
        for key, value in list(vars(config).items()):
            if isinstance(value, list) and len(value) == number:
                vars(config)[key] = [value[i] for i in kept]
        config.num_hidden_layers = len(kept)
    return smaller


def log_probabilities(model: Any, tokens: NDArray[np.int64], targets: NDArray[np.bool_]) -> Any:
    with torch.no_grad():
        logits = model(input_ids=torch.from_numpy(tokens)[None], use_cache=False).logits[0]
    return torch.log_softmax(logits.double(), -1)[:-1][torch.from_numpy(targets[1:])]


def expected(model: Any, smaller: Any, kind: str) -> list[float]:
    """The increase of the loss, or the divergence, of each sample on its own and not padded."""
    values = []
    for tokens, targets in zip(*samples(), strict=True):
        if kind == "loss":
            with torch.no_grad():
                without = one_loss(smaller, tokens, targets)
                values.append(float(without - one_loss(model, tokens, targets)))
        else:
            p = log_probabilities(model, tokens, targets)
            q = log_probabilities(smaller, tokens, targets)
            values.append(float((p.exp() * (p - q)).sum(-1).mean()))
    return values


@pytest.mark.parametrize("kind", ["loss", "kl"])
@pytest.mark.parametrize("name", DEEPER)
def test_values_equal_a_loop_over_a_model_without_the_layers(name: str, kind: Any) -> None:
    model = deep(name)
    subject = objective(model, objective=kind)
    assert subject.shares_layers
    found = measured(subject, REMOVALS)
    for removed in REMOVALS[:-1]:
        smaller = deleted(model, subject.gates.layers_path, removed)
        assert found[removed].values == pytest.approx(expected(model, smaller, kind), abs=1e-5)
    assert np.abs(found[1, 3].values).max() > 1e-3
    assert (found[()].values == 0).all()
    if kind == "kl":
        assert all((each.values >= 0).all() for each in found.values())
    with torch.no_grad():
        direct = [float(one_loss(model, *each)) for each in zip(*samples(), strict=True)]
    assert subject.baseline == pytest.approx(direct, rel=1e-6)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.type)
def test_branches_equal_a_loop_over_outputs_set_to_zero(case: Case) -> None:
    model = build(case)
    subject = objective(model, "branch")
    ends = [ends for layer in subject.gates.layers for ends in ends_by_hand(case, layer)]
    removals = [c for size in (1, 2, 3) for c in itertools.combinations(range(len(ends)), size)]
    for removed, found in measured(subject, removals).items():
        zeros = [(end, 0.0) for block in removed for end in ends[block]]
        with multiplied(zeros), torch.no_grad():
            zeroed = [float(one_loss(model, *each)) for each in zip(*samples(), strict=True)]
        assert found.values == pytest.approx(zeroed - subject.baseline, abs=1e-5)


@pytest.mark.parametrize("granularity", ["block", "branch"])
def test_layers_gated_as_a_whole_are_skipped_too(granularity: str) -> None:
    settings = {"num_hidden_layers": 2, "head_dim": 8, "num_local_experts": 4}
    case = Case(
        "minimax", [["?"]] * 2, settings | {"layer_types": ["linear_attention", "full_attention"]}
    )
    model = build(case)
    subject = objective(model, granularity)
    assert len(subject.gates.fallbacks) == 2
    smaller = deleted(model, subject.gates.layers_path, (0,))
    [found] = subject.measure([(0,)])
    assert found.values == pytest.approx(expected(model, smaller, "loss"), abs=1e-5)


@pytest.mark.parametrize("kind", ["loss", "kl"])
def test_a_model_without_a_head_that_is_known_makes_its_own_logits(kind: Any) -> None:
    model = deep("llama")
    subject = objective(model, objective=kind)
    plain = measured(subject, REMOVALS)
    gates = find_gates(model)
    gates.head = None
    other = ModelObjective(model, gates, calibration_of(*samples()), objective=kind)
    for removed, each in measured(other, REMOVALS).items():
        assert each.values == pytest.approx(plain[removed].values, abs=1e-6)


@pytest.mark.parametrize("kind", ["loss", "kl"])
def test_a_model_whose_states_are_not_all_that_counts_runs_from_the_first_layer(kind: Any) -> None:
    model = deep("llama")
    expected = measured(objective(model, objective=kind), REMOVALS)
    # The last layer also looks at whether the first one ran.
    ran = []
    first, last = model.model.layers[0].self_attn, model.model.layers[3]
    first.register_forward_hook(lambda *_: ran.append(1))
    last.register_forward_hook(lambda _, __, output: output if ran.pop() else output * 2)
    subject = objective(model, objective=kind)
    assert not subject.shares_layers
    for removed, each in measured(subject, REMOVALS).items():
        assert each.values == pytest.approx(expected[removed].values, abs=1e-5)


def all_removals(num_blocks: int) -> list[tuple[int, ...]]:
    return [c for size in (1, 2, 3) for c in itertools.combinations(range(num_blocks), size)]


@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "float16"])
@pytest.mark.parametrize("name", ["llama", "mixtral", "nemotron_h", "bamba"])
def test_a_value_does_not_depend_on_its_company_in_any_bit(name: str, dtype: str) -> None:
    model = deep(name).to(getattr(torch, dtype))
    subject = objective(model, "branch", data=calibration(), batch_size=2)
    every = all_removals(subject.num_blocks)[::4]
    together = measured(subject, every)
    assert len(together) == len(every)
    backwards = measured(objective(model, "branch", data=calibration(), batch_size=2), every[::-1])
    for removed in every:
        [alone] = subject.measure([removed])
        assert alone.values.tobytes() == together[removed].values.tobytes()
        assert alone.values.tobytes() == backwards[removed].values.tobytes()
        assert alone.value == together[removed].value


def test_removals_come_in_any_order_and_more_than_once() -> None:
    subject = objective(deep("llama"))
    found = list(subject.measure([(2, 0), (1,), (0, 2)]))
    assert sorted(each.removed for each in found) == [(0, 2), (0, 2), (1,)]
    assert list(subject.measure([])) == []


def test_batches_and_chunks_change_rounding_only() -> None:
    model = deep("gemma2")
    expected = measured(objective(model, data=calibration()), REMOVALS)
    for options in ({"batch_size": 1}, {"batch_size": 3}, {"chunk_tokens": 1}):
        for removed, each in measured(
            objective(model, data=calibration(), **options), REMOVALS
        ).items():
            assert each.values == pytest.approx(expected[removed].values, abs=1e-5)


def test_what_is_removed_is_not_run() -> None:
    model = deep("gemma2")
    subject = objective(model, "branch")
    assert subject.baseline.shape == (3,)
    calls: list[str] = []
    for name, module in model.named_modules():
        if name.endswith(("q_proj", "down_proj")):
            module.register_forward_hook(lambda *_, name=name: calls.append(name))
    list(subject.measure([(0, 1, 4, 7)]))
    ran = {f"{name.split('.')[2]} {name.split('.')[3]}" for name in calls}
    assert ran == {"1 self_attn", "1 mlp", "2 mlp", "3 self_attn"}
    assert len(calls) == len(ran)


def test_layers_that_are_shared_run_once() -> None:
    model = deep("llama")
    subject = objective(model, batch_size=3)
    assert subject.baseline.shape == (3,)
    calls: list[int] = []
    for index, layer in enumerate(subject.gates.layers):
        layer.mlp.register_forward_hook(lambda *_, index=index: calls.append(index))
    removals = [(3,), (2,), (2, 3)]
    list(subject.measure(removals))
    assert sorted(calls) == [0, 1, 2, 3]
    walk = Walk(range(4))
    assert walk.layers_run(removals) == len(calls)
    # A wholly skipped layer costs nothing; one that keeps a branch counts.
    assert Walk([0, 0, 1, 1]).layers_run([(0, 1), (0,), (0, 1, 2)]) == 1 + 2 + 1


class Ledger:
    """Work that counts the states that are alive, and remembers which layers each has seen."""

    class State:
        def __init__(self, seen: tuple[int, ...]) -> None:
            self.seen = seen

    def __init__(self, walk: Walk, num_layers: int) -> None:
        self.alive: weakref.WeakSet[Any] = weakref.WeakSet()
        self.most = self.layers = 0
        self._walk, self._num_layers = walk, num_layers

    def start(self) -> list[Any]:
        return [self._new(())]

    def _new(self, seen: tuple[int, ...]) -> Any:
        state = Ledger.State(seen)
        self.alive.add(state)
        self.most = max(self.most, len(self.alive))
        return state

    def advance(self, state: list[Any], first: int, last: int, removed: tuple[int, ...]) -> None:
        layers = self._walk.runs(removed, first, last)
        self.layers += len(layers)
        state[0] = self._new(state[0].seen + tuple(layers))

    def finish(self, state: list[Any], first: int, removed: tuple[int, ...]) -> tuple[int, ...]:
        self.advance(state, first, self._num_layers, removed)
        [end] = state
        state[0] = None
        return end.seen


@pytest.mark.parametrize("count", [1, 2, 30, 300, 3000])
def test_states_that_are_kept_do_not_grow_with_the_removals(count: int) -> None:
    rng = np.random.default_rng(count)
    layers = 24
    removals = {tuple(sorted(rng.choice(layers, 6, replace=False).tolist())) for _ in range(count)}
    walk = Walk(range(layers))
    ledger = Ledger(walk, layers)
    for removed, kept in walk.through(list(removals), ledger):
        assert kept == tuple(layer for layer in range(layers) if layer not in removed)
    assert walk.kept_states == 0
    assert walk.most_kept_states <= np.log2(len(removals))
    assert ledger.most <= walk.most_kept_states + 2  # what is made and what it is made from
    prefixes = {
        tuple(kept[:length])
        for removed in removals
        for kept in [[layer for layer in range(layers) if layer not in removed]]
        for length in range(1, len(kept) + 1)
    }
    assert ledger.layers >= len(prefixes)
    assert ledger.layers == walk.layers_run(list(removals))
    # Nothing is run twice but what follows the last parting of ways.
    assert ledger.layers <= len(removals) * (layers - 6)


def test_all_removals_of_a_small_model_run_every_kept_prefix_once() -> None:
    walk = Walk(range(6))
    every = [c for size in range(7) for c in itertools.combinations(range(6), size)]
    # Every set of kept layers is a prefix of itself, and ends in a layer of its own but one.
    assert walk.layers_run(every) == len(every) - 1


def snapshot(model: Any) -> dict[str, Any]:
    return {
        "training": [module.training for module in model.modules()],
        "gradients": [parameter.requires_grad for parameter in model.parameters()],
        "weights": [parameter.detach().clone() for parameter in model.parameters()],
        "hooks": [len(m._forward_hooks) + len(m._forward_pre_hooks) for m in model.modules()],
        "forwards": [sorted(set(vars(m)) & {"forward"}) for m in model.modules()],
        "config": model.config.to_json_string(),
        "inference": torch.is_inference_mode_enabled(),
    }


def assert_same(model: Any, before: dict[str, Any]) -> None:
    after = snapshot(model)
    for one, other in zip(before.pop("weights"), after.pop("weights"), strict=True):
        assert torch.equal(one, other)
    assert after == before


def test_the_model_is_as_it_was_between_values_and_after_them() -> None:
    model = deep("qwen3_moe", attention_dropout=0.5).train()
    model.model.layers[1].mlp.eval()
    model.lm_head.weight.requires_grad_(False)
    before = snapshot(model)
    gates = find_gates(model, "branch")
    subject = ModelObjective(model, gates, calibration(), objective="kl")
    values = subject.measure([(0, 1), (0, 3), (2,), (2, 5)])
    next(values)
    assert_same(model, dict(before))
    subject.slopes((1,))
    assert_same(model, dict(before))
    assert len(list(values)) == 3
    assert_same(model, dict(before))


@pytest.mark.parametrize("error", [KeyboardInterrupt, ZeroDivisionError])
def test_the_model_is_as_it_was_after_an_exception(error: type[BaseException]) -> None:
    model = deep("llama")
    subject = objective(model, "branch", data=calibration(), batch_size=2)
    expected = measured(subject, [(0,), (1, 6)])
    calls = []

    def fail(*_: Any) -> None:
        calls.append(1)
        if len(calls) == 4:
            raise error

    handle = model.model.layers[2].mlp.register_forward_hook(fail)
    before = snapshot(model)
    with pytest.raises(error):
        list(subject.measure([(0,), (1, 6)]))
    assert_same(model, before)
    handle.remove()
    for removed, each in measured(subject, [(0,), (1, 6)]).items():
        assert each.values.tobytes() == expected[removed].values.tobytes()


def test_stopping_keeps_what_is_finished() -> None:
    model = deep("llama")
    subject = objective(model, data=calibration(), batch_size=2)
    every = all_removals(4)
    expected = measured(subject, every)
    stop = Stop()
    found = []
    for each in subject.measure(every, stop):
        found.append(each)
        if len(found) == 5:
            stop.cancel()
    assert len(found) == 5
    rest = measured(
        subject, [removed for removed in every if removed not in {f.removed for f in found}]
    )
    for each in (*found, *rest.values()):
        assert each.values.tobytes() == expected[each.removed].values.tobytes()
    assert len(found) + len(rest) == len(every)
    cancelled = Stop()
    cancelled.cancel()
    assert list(objective(model).measure(every, cancelled)) == []


def diverging(kind: Any = "loss") -> ModelObjective:
    """Of a model whose norms fail where the first layer has not made the stream large."""
    model = deep("llama")
    with torch.no_grad():
        model.model.layers[0].mlp.down_proj.weight *= 1e4
    gates = find_gates(model)
    for layer in model.model.layers[1:]:
        layer.input_layernorm.variance_epsilon = -100.0
    return ModelObjective(model, gates, calibration(), objective=kind)


def test_a_removal_that_diverges_is_recorded_as_such() -> None:
    subject = diverging()
    assert subject.shares_layers
    found = measured(subject, [(0,), (1,), (0, 2), (2, 3), (0, 1, 2, 3)])
    for removed in ((0,), (0, 2)):
        assert found[removed].diverged
        assert found[removed].value == np.inf
        assert not np.isfinite(found[removed].values).any()
    for removed in ((1,), (2, 3), (0, 1, 2, 3)):
        assert np.isfinite(found[removed].values).all()
    assert measured(diverging("kl"), [(0,)])[0,].diverged
    assert not np.isfinite(subject.slopes((0,))).all()
    assert np.isfinite(subject.slopes((1,))).all()


def test_an_original_whose_loss_is_not_finite_is_refused() -> None:
    model = deep("llama")
    subject = objective(model)
    with torch.no_grad():
        model.lm_head.weight[3] = torch.nan
    message = r"must be finite, but those of 3 of 3 samples are not in float32, first of sample 0"
    with pytest.raises(InputError, match=message):
        list(subject.measure([(0,)]))
    with pytest.raises(InputError, match=r"not finite in torch\.float32 on random tokens"):
        objective(model)


def limited(monkeypatch: pytest.MonkeyPatch, fits: Callable[[int, bool], bool]) -> None:
    """Have memory run out for batches, of so many samples, that do not fit."""
    run = Passes._run

    def running(self: Passes, ids: Any, state: Any, *arguments: Any) -> Any:
        if not fits(len(ids), state is not None):
            raise torch.OutOfMemoryError("CUDA out of memory.")
        return run(self, ids, state, *arguments)

    monkeypatch.setattr(Passes, "_run", running)


@pytest.mark.parametrize("kind", ["loss", "kl"])
def test_batches_are_halved_when_memory_runs_out(
    monkeypatch: pytest.MonkeyPatch, kind: Any
) -> None:
    model = deep("llama")
    expected = measured(objective(model, data=calibration(), objective=kind), REMOVALS)
    subject = objective(model, data=calibration(), objective=kind)
    calls = itertools.count()
    # Later states take the memory: the first passes still fit.
    limited(monkeypatch, lambda size, _: size <= 1 or next(calls) < 4)
    found = list(subject.measure(REMOVALS))
    assert subject.batch_size == 1
    assert subject.shares_layers
    assert sorted(each.removed for each in found) == sorted(REMOVALS)
    for each in found:
        assert each.values == pytest.approx(expected[each.removed].values, abs=1e-5)
    assert found[0].values.shape == (5,)


def test_layers_are_no_longer_shared_where_their_states_take_too_much(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    model = deep("llama")
    expected = measured(objective(model, data=calibration(), batch_size=1), REMOVALS)
    subject = objective(model, data=calibration())
    limited(monkeypatch, lambda size, kept: size == 1 and not kept)
    for removed, each in measured(subject, REMOVALS).items():
        assert each.values.tobytes() == expected[removed].values.tobytes()
    assert not subject.shares_layers


def test_memory_that_is_too_small_for_one_sample_is_an_error(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    subject = objective(deep("llama"))
    limited(monkeypatch, lambda *_: False)
    message = "memory ran out with a single sample of up to 11 tokens"
    with pytest.raises(InputError, match=message):
        list(subject.measure([(0,)]))
    with pytest.raises(InputError, match=message):
        subject.baseline  # noqa: B018 - computed when asked for


def test_other_errors_of_the_model_are_not_taken_for_memory(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    subject = objective(deep("llama"))

    def fail(*_: Any) -> None:
        raise RuntimeError("the device is on fire")

    monkeypatch.setattr(Passes, "_run", fail)
    with pytest.raises(RuntimeError, match="on fire"):
        list(subject.measure([(0,)]))


@pytest.mark.parametrize("removed", [(), (1,), (0, 3)])
def test_slopes_are_the_gradients_at_the_gates_of_a_removal(removed: tuple[int, ...]) -> None:
    model = deep("llama").double()
    data = calibration()
    subject = objective(model, "branch", data=data, batch_size=2)
    slopes = subject.slopes(removed)
    assert slopes.shape == (5, 8)
    if not removed:
        _, gradients = sample_gradients(subject.gates, list(data.tokens), list(data.targets))
        assert slopes == pytest.approx(gradients, abs=1e-6)
    step = 1e-3  # norms are in single precision
    for row, tokens, targets in zip(slopes, data.tokens, data.targets, strict=True):
        for block in range(8):
            ends = []
            for move in (step, -step):
                values = torch.ones(1, 8, dtype=torch.float64)
                values[:, list(removed)] = 0
                values[0, block] += move
                with torch.no_grad(), subject.gates.attached(values):
                    ends.append(float(one_loss(model, tokens, targets)))
            assert row[block] == pytest.approx((ends[0] - ends[1]) / (2 * step), abs=1e-3)


def test_shards_merge_to_the_values_of_the_whole(tmp_path: Path) -> None:
    model = deep("llama")
    gates = find_gates(model)
    data = calibration(7)
    removals = [(0,), (1, 2), (3,)]
    whole = ModelObjective(model, gates, data, batch_size=1)
    paths = []
    for number in (2, 3, 1):
        part = ModelObjective(model, gates, data, batch_size=1, shard=(number, 3))
        paths.append(tmp_path / f"{number}.npz")
        save_measurements(paths[-1], part.describe(), part.measure(removals))
    merged = merge_measurements(paths, tmp_path / "all.npz")
    expected = measured(whole, removals)
    for each in merged.measurements:
        assert each.values.tobytes() == expected[each.removed].values.tobytes()
        assert each.value == expected[each.removed].value
    assert merged.description["samples"] == 7
    assert merged.description["sample_indices"] == data.indices.tolist()
    assert "shard" not in merged.description
    with pytest.raises(InputError, match=r"all 3 shards are needed once each, not 2 of 3, 3 of 3"):
        merge_measurements(paths[:2], tmp_path / "no.npz")
    with pytest.raises(InputError, match="does not say which shard it is"):
        merge_measurements([tmp_path / "all.npz"], tmp_path / "no.npz")
    with pytest.raises(InputError, match="no shards are given"):
        merge_measurements([], tmp_path / "no.npz")
    part = ModelObjective(model, gates, data, shard=(2, 3))
    save_measurements(paths[0], part.describe(), part.measure(removals[1:]))
    with pytest.raises(InputError, match="only one of them has that of blocks 0"):
        merge_measurements(paths, tmp_path / "no.npz")
    part = ModelObjective(model, gates, data, objective="kl", shard=(2, 3))
    save_measurements(paths[0], part.describe(), part.measure(removals))
    with pytest.raises(InputError, match="objective is 'loss' in one and 'kl' in the other"):
        merge_measurements(paths[::-1], tmp_path / "no.npz")
    assert not (tmp_path / "no.npz").exists()


def test_files_keep_values_that_are_not_finite_and_refuse_damage(tmp_path: Path) -> None:
    subject = diverging()
    path = tmp_path / "some.npz"
    save_measurements(path, subject.describe(), subject.measure([(0,), (1,)]))
    file = load_measurements(path)
    assert {each.removed: each.diverged for each in file.measurements} == {(0,): True, (1,): False}
    with pytest.raises(InputError, match="has 1; measure it with this objective"):
        save_measurements(path, subject.describe(), [Measurement.of([1], [0.5])])
    data = path.read_bytes()
    path.write_bytes(data[: len(data) // 2])
    with pytest.raises(InputError, match="is not a valid file of measurements"):
        load_measurements(path)


def test_a_description_can_be_written_as_json() -> None:
    import json

    subject = objective(deep("llama"), "branch", batch_size=2, shard=(1, 2))
    said = json.loads(json.dumps(subject.describe()))
    assert said["objective"] == "loss"
    assert said["samples"] == 1
    assert said["batch_size"] == 1
    assert said["dtype"] == "float32"
    assert said["shard"] == {"index": 1, "of": 2}
    assert len(said["names"]) == 8
    assert isinstance(subject, Objective)


@pytest.mark.parametrize("name", ["llama", "nemotron_h"])
def test_weights_that_are_offloaded_give_the_same(name: str) -> None:
    accelerate = pytest.importorskip("accelerate")
    expected = measured(objective(deep(name), "branch"), [(0,), (1, 3), (2,)])
    model = accelerate.cpu_offload(deep(name), execution_device=torch.device("cpu"))
    subject = objective(model, "branch")
    assert subject.shares_layers
    forwards = [vars(module).get("forward") for module in model.modules()]
    for removed, each in measured(subject, [(0,), (1, 3), (2,)]).items():
        assert each.values == pytest.approx(expected[removed].values, abs=1e-6)
    assert [vars(module).get("forward") for module in model.modules()] == forwards
    assert {parameter.device.type for parameter in model.parameters()} == {"meta"}


@pytest.mark.parametrize(
    ("dtype", "tolerance"), [("bfloat16", 0.1), ("float16", 0.02)], ids=["bfloat16", "float16"]
)
@pytest.mark.parametrize("kind", ["loss", "kl"])
def test_half_precision_gives_nearly_the_same(dtype: str, tolerance: float, kind: Any) -> None:
    exact = measured(objective(deep("llama"), objective=kind), REMOVALS)
    found = measured(objective(deep("llama").to(getattr(torch, dtype)), objective=kind), REMOVALS)
    for removed, each in found.items():
        assert each.value == pytest.approx(exact[removed].value, abs=tolerance)


def gates_of_another(model: Any) -> Gates:
    return find_gates(deep("llama"))


BAD: dict[str, tuple[dict[str, Any], str]] = {
    "objective": ({"objective": "accuracy"}, "must be 'loss' or 'kl', not 'accuracy'"),
    "batch": ({"batch_size": 0}, "batch_size must be at least 1, not 0"),
    "shard": ({"shard": (4, 3)}, "there is no shard 4"),
    "samples": ({"data": calibration_of([], [])}, "at least one sample, not 0"),
}


@pytest.mark.parametrize("what", BAD)
def test_bad_arguments_are_refused(what: str) -> None:
    options, message = BAD[what]
    model = deep("llama")
    data = options.get("data", calibration(3))
    rest = {key: value for key, value in options.items() if key != "data"}
    with pytest.raises(InputError, match=message):
        ModelObjective(model, find_gates(model), data, **rest)


def test_samples_and_gates_of_another_model_are_refused() -> None:
    model = deep("llama")
    with pytest.raises(InputError, match="gates must be those of the model"):
        ModelObjective(model, find_gates(deep("llama")), calibration())
    strange = calibration_of([np.array([1, VOCABULARY])], [np.array([False, True])])
    with pytest.raises(InputError, match="use the model's own tokenizer"):
        list(objective(model, data=strange).measure([(0,)]))


@pytest.mark.parametrize(
    ("removed", "message"),
    [
        ((4,), "blocks from 0 to 3, not 4"),
        ((-1,), "blocks from 0 to 3, not -1"),
        ((1, 1), r"each block once, unlike \[1, 1\]"),
        ((1.0,), "must be an integer"),
    ],
)
def test_removals_that_are_none_are_refused(removed: Any, message: str) -> None:
    subject = objective(deep("llama"))
    with pytest.raises(InputError, match=message):
        list(subject.measure([(0,), removed]))
    with pytest.raises(InputError, match=message):
        subject.slopes(removed)


def test_advice_on_speed_is_a_sentence_or_nothing() -> None:
    advice = objective(deep("llama")).speed_advice()
    assert advice is None or advice.endswith((".", "busy."))
