"""Statistics of the residual stream against hooks on the layers, one sample at a time."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")

from qubo_prune.core.errors import InputError  # noqa: E402
from qubo_prune.hessians.calibration import Calibration  # noqa: E402
from qubo_prune.hessians.gates.gates import find_gates  # noqa: E402
from qubo_prune.pruning import statistics as statistics_module  # noqa: E402
from qubo_prune.pruning.statistics import block_statistics  # noqa: E402
from tests.tiny_models import BY_TYPE, CASES, VOCABULARY, Case, build  # noqa: E402

MIDDLE = {
    "llama": "post_attention_layernorm", "mistral": "post_attention_layernorm",
    "mixtral": "post_attention_layernorm", "qwen3_moe": "post_attention_layernorm",
    "gemma2": "pre_feedforward_layernorm", "jamba": "pre_ff_layernorm", "gpt2": "ln_2",
    "opt": "final_layer_norm", "olmo2": "mlp",
}  # fmt: skip
"""What the stream between the two branches of a layer goes into, by hand from the sources."""


def calibration(count: int = 5) -> Calibration:
    rng = np.random.default_rng(0)
    tokens = tuple(rng.integers(VOCABULARY, size=n) for n in rng.integers(2, 12, count))
    counted = tuple(np.arange(len(each)) > 0 for each in tokens)
    return Calibration(tokens, counted, np.arange(count), {"source": "random tokens"})


def streams(model: Any, layers: Any, tokens: NDArray[np.int64], middle: str = "") -> Any:
    """The residual stream before every block and after the last, (places, tokens, size)."""
    seen: list[Any] = []

    def note(_: Any, args: Any, kwargs: Any) -> None:
        # OPT's feed-forward network works on (B * T, size).
        seen.append((args[0] if args else kwargs["hidden_states"]).reshape(len(tokens), -1))

    def leave(_: Any, __: Any, output: Any) -> None:
        seen.append(output[0][0] if isinstance(output, tuple) else output[0])

    handles = []
    for layer in layers:
        handles.append(layer.register_forward_pre_hook(note, with_kwargs=True))
        if middle:
            part = layer.get_submodule(middle)
            handles.append(part.register_forward_pre_hook(note, with_kwargs=True))
    handles.append(layers[-1].register_forward_hook(leave))
    with torch.no_grad():
        model(input_ids=torch.from_numpy(tokens)[None], use_cache=False)
    for handle in handles:
        handle.remove()
    return torch.stack(seen).double().numpy()


def assert_equal(found: Any, model: Any, layers: Any, middle: str = "") -> None:
    for sample, tokens in enumerate(calibration().tokens):
        states = streams(model, layers, tokens, middle)
        norms = np.linalg.norm(states, axis=-1)
        cosines = np.einsum("itd,jtd->tij", states, states)
        cosines /= np.einsum("it,jt->tij", norms, norms)
        angles = np.arccos(np.clip(cosines, -1, 1)) / np.pi
        added = np.diff(states, axis=0) / norms[:-1, :, np.newaxis]
        wanted = {
            "similarity": np.diagonal(cosines, 1, 1, 2),
            "norm_ratio": (norms[1:] / norms[:-1]).T,
            "magnitude": (np.linalg.norm(np.diff(states, axis=0), axis=-1) / norms[1:]).T,
            "angular": angles,
            "alignment": np.einsum("itd,jtd->tij", added, added),
        }
        for name, values in wanted.items():
            arrays = getattr(found, name)
            tolerance = {"rel": 1e-4, "abs": 1e-4}
            assert arrays["all"][sample] == pytest.approx(values.mean(0), **tolerance)
            assert arrays["last"][sample] == pytest.approx(values[-1], **tolerance)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.type)
def test_statistics_of_layers_equal_those_of_hooks(case: Case) -> None:
    model = build(case)
    gates = find_gates(model)
    found = block_statistics(model, gates, calibration(), batch_size=2)
    assert (found.num_samples, found.num_blocks) == (5, len(gates))
    assert_equal(found, model, gates.layers)


@pytest.mark.parametrize("name", MIDDLE)
def test_statistics_of_branches_equal_those_of_hooks(name: str) -> None:
    model = build(BY_TYPE[name])
    gates = find_gates(model, "branch")
    found = block_statistics(model, gates, calibration())
    assert_equal(found, model, gates.layers, MIDDLE[name])


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.type)
def test_blocks_left_out_hand_on_what_they_are_given(case: Case) -> None:
    model = build(case)
    for granularity in ("block", "branch"):
        gates = find_gates(model, granularity)  # type: ignore[arg-type]
        whole = block_statistics(model, gates, calibration())
        found = block_statistics(model, gates, calibration(), removed=(0,))
        assert found.removed == (0,)
        for tokens in ("all", "last"):
            assert found.similarity[tokens][:, 0] == pytest.approx(1)  # type: ignore[index]
            assert (found.norm_ratio[tokens][:, 0] == 1).all()  # type: ignore[index]
            assert (found.magnitude[tokens][:, 0] == 0).all()  # type: ignore[index]
        assert not np.allclose(found.magnitude["all"][:, 1], whole.magnitude["all"][:, 1])


def test_the_rest_of_a_model_is_that_of_a_model_without_the_layer() -> None:
    model = build(BY_TYPE["llama"], num_hidden_layers=4)
    gates = find_gates(model)
    found = block_statistics(model, gates, calibration(), removed=(1,))
    smaller = build(BY_TYPE["llama"], num_hidden_layers=4)
    del smaller.model.layers[1]
    smaller.config.num_hidden_layers = 3
    wanted = block_statistics(smaller, find_gates(smaller), calibration())
    for name in ("similarity", "norm_ratio", "magnitude"):
        values = np.delete(getattr(found, name)["all"], 1, axis=1)
        assert values == pytest.approx(getattr(wanted, name)["all"], abs=1e-6)


def test_the_model_is_left_as_it_was_and_memory_that_runs_out_halves_batches(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    model = build(BY_TYPE["gemma2"]).train()
    gates = find_gates(model, "branch")
    expected = block_statistics(model, gates, calibration())
    add, sizes = statistics_module._add, []

    def limited(found: Any, batch: Any, states: Any) -> None:
        sizes.append(len(batch.samples))
        if len(batch.samples) > 1:
            raise torch.OutOfMemoryError("CUDA out of memory.")
        add(found, batch, states)

    monkeypatch.setattr(statistics_module, "_add", limited)
    done: list[int] = []
    found = block_statistics(model, gates, calibration(), progress=done.append)
    assert sizes == [5, 2, 1, 1, 1, 1, 1]
    assert done == [1, 2, 3, 4, 5]
    assert found.angular["all"] == pytest.approx(expected.angular["all"], abs=1e-4)
    assert all(module.training for module in model.modules())
    assert not any(
        module._forward_hooks or module._forward_pre_hooks or "forward" in vars(module)
        for module in model.modules()
    )
    monkeypatch.setattr(statistics_module, "_add", lambda *_: limited(None, calibration_batch, ()))
    with pytest.raises(InputError, match="memory ran out with the hidden states of a single"):
        block_statistics(model, gates, calibration())


class calibration_batch:  # noqa: N801 - stands for a batch that never fits
    samples = (0, 1)


def test_bad_arguments_are_refused() -> None:
    model = build(BY_TYPE["llama"])
    gates = find_gates(model)
    with pytest.raises(InputError, match="gates must be those of the model"):
        block_statistics(build(BY_TYPE["llama"]), gates, calibration())
    with pytest.raises(InputError, match="from 0 to 1, not 2"):
        block_statistics(model, gates, calibration(), removed=(2,))
    with pytest.raises(InputError, match="batch_size must be at least 1, not 0"):
        block_statistics(model, gates, calibration(), batch_size=0)
    with pytest.raises(InputError, match="must hold the same samples, at least one"):
        block_statistics(model, gates, Calibration((), (), np.arange(0), {}))
