"""Gates and gradients of every supported architecture, against loops and differences of
their own.
"""

from __future__ import annotations

import functools
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")

from qubo_prune.core.errors import InputError  # noqa: E402
from qubo_prune.hessians.gates.gates import Gates, find_gates  # noqa: E402
from qubo_prune.hessians.gradients import sample_gradients  # noqa: E402
from tests.tiny_models import (  # noqa: E402
    BY_TYPE,
    CASES,
    SIZES,
    Case,
    build,
    ends_by_hand,
    losses_of,
    multiplied,
    one_loss,
    samples,
)

EACH = pytest.mark.parametrize("case", CASES, ids=lambda case: case.type)


def by_loop(case: Case, model: Any, layers: Any, granularity: str) -> NDArray[np.float64]:
    """A, one sample and one backward pass at a time, without padding, with hooks of its own."""
    branches = [ends for layer in layers for ends in ends_by_hand(case, layer)]
    owners = [i for i, layer in enumerate(layers) for _ in ends_by_hand(case, layer)]
    columns = owners if granularity == "block" else list(range(len(branches)))
    rows = []
    for tokens, targets in zip(*samples(), strict=True):
        values = torch.ones(max(columns) + 1, dtype=model.dtype, requires_grad=True)
        factors = [
            (end, values[c]) for ends, c in zip(branches, columns, strict=True) for end in ends
        ]
        with multiplied(factors):
            [row] = torch.autograd.grad(one_loss(model, tokens, targets), values)
        rows.append(row.numpy().astype(np.float64))
    return np.stack(rows)


def find(case: Case, granularity: str = "branch", dtype: Any = None, **more: Any) -> Gates:
    model = build(case, **more)
    return find_gates(model if dtype is None else model.to(dtype), granularity)


@functools.cache
def ready(name: str, granularity: str) -> Gates:
    """Gates of the model as the table has it, for tests that leave it as it is."""
    return find(BY_TYPE[name], granularity)


@EACH
def test_branches_are_found_in_the_order_in_which_they_run(case: Case) -> None:
    gates = ready(case.type, "branch")
    assert gates.fallbacks == {}
    assert [
        [gate.kind for gate in gates.gates if gate.layer == i] for i in range(len(case.kinds))
    ] == case.kinds
    assert [gate.name for gate in gates.gates] == [
        f"layers.{i}.{kind}" for i, kinds in enumerate(case.kinds) for kind in kinds
    ]
    blocks = ready(case.type, "block").gates
    assert [gate.kind for gate in blocks] == [
        kinds[0] if len(kinds) == 1 else "layer" for kinds in case.kinds
    ]
    for gate, layer in zip(blocks, gates.layers, strict=True):
        size = sum(parameter.numel() for parameter in layer.parameters())
        assert gate.num_parameters == size
        assert size >= sum(each.num_parameters for each in gates.gates if each.layer == gate.layer)


@pytest.mark.parametrize("granularity", ["block", "branch"])
@EACH
def test_gradients_equal_a_loop_over_single_samples(case: Case, granularity: str) -> None:
    gates = ready(case.type, granularity)
    losses, gradients = sample_gradients(gates, *samples(), chunk_tokens=5)
    expected = by_loop(case, gates.model, gates.layers, granularity)
    assert np.abs(expected).max() > 1e-3
    assert gradients == pytest.approx(expected, abs=2e-5 * np.abs(expected).max())
    with torch.no_grad():
        direct = [float(one_loss(gates.model, *each)) for each in zip(*samples(), strict=True)]
    assert losses == pytest.approx(direct, rel=1e-6)


class Double(torch.overrides.TorchFunctionMode):
    """Double precision throughout: norms, softmax and state spaces ask for float32 by name."""

    def __torch_function__(
        self, function: Any, types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        wider = {torch.float32: torch.float64}
        function = torch.Tensor.double if function is torch.Tensor.float else function
        args = [wider.get(each, each) if isinstance(each, torch.dtype) else each for each in args]
        kwargs = kwargs or {}
        if "dtype" in kwargs:
            kwargs = kwargs | {"dtype": wider.get(kwargs["dtype"], kwargs["dtype"])}
        return function(*args, **kwargs)


@pytest.mark.parametrize(
    "case", [case for case in CASES if case.differences], ids=lambda case: case.type
)
def test_gradients_equal_finite_differences_in_double_precision(case: Case) -> None:
    gates = find(case, "branch", torch.float64, experts_implementation="eager")
    with Double():
        _, gradients = sample_gradients(gates, *samples())
    # Every row of a batch is the same sample with another gate moved up or down.
    step = 1e-5
    moved = step * torch.eye(len(gates), dtype=torch.float64)
    values = 1 + torch.cat([moved, -moved])
    expected = np.empty_like(gradients)
    for row, each in zip(expected, zip(*samples(), strict=True), strict=True):
        with torch.no_grad(), gates.attached(values), Double():
            up, down = losses_of(gates.model, *each, copies=len(values)).numpy().reshape(2, -1)
        row[:] = (up - down) / (2 * step)
    assert gradients == pytest.approx(expected, abs=1e-7 * np.abs(expected).max())


@pytest.mark.parametrize(
    ("dtype", "tolerance"), [("bfloat16", 0.1), ("float16", 0.02)], ids=["bfloat16", "float16"]
)
@pytest.mark.parametrize("name", ["llama", "gemma2"])
def test_models_of_half_precision_give_nearly_the_same(
    name: str, dtype: str, tolerance: float
) -> None:
    case = BY_TYPE[name]
    gates = find(case, "branch", getattr(torch, dtype))
    losses, gradients = sample_gradients(gates, *samples())
    exact_losses, exact = sample_gradients(ready(name, "branch"), *samples())
    assert losses == pytest.approx(exact_losses, rel=0.02)
    assert np.linalg.norm(gradients - exact) < tolerance * np.linalg.norm(exact)


@EACH
def test_a_gate_at_zero_leaves_the_hidden_states_of_its_sample_alone(case: Case) -> None:
    gates = ready(case.type, "block")
    tokens = torch.tensor([[3, 1, 4, 1, 5], [9, 2, 6, 5, 3]])
    states: dict[tuple[int, str], Any] = {}
    values = torch.ones(2, len(gates))
    values[1] = 0
    with torch.no_grad(), gates.attached(values):
        handles = [
            layer.register_forward_hook(
                lambda _, args, kwargs, output, i=i: states.update(
                    {
                        (i, "in"): args[0] if args else kwargs["hidden_states"],
                        (i, "out"): output[0] if isinstance(output, tuple) else output,
                    }
                ),
                with_kwargs=True,
            )
            for i, layer in enumerate(gates.layers)
        ]
        gates.model(input_ids=tokens, use_cache=False)
    for handle in handles:
        handle.remove()
    for i in range(len(gates.layers)):
        assert torch.equal(states[i, "in"][1], states[i, "out"][1])
        assert not torch.equal(states[i, "in"][0], states[i, "out"][0])
    with torch.no_grad():
        plain = gates.model(input_ids=tokens, use_cache=False).logits
        with gates.attached(torch.ones(2, len(gates))):
            assert torch.equal(gates.model(input_ids=tokens, use_cache=False).logits, plain)


@pytest.mark.parametrize("name", ["llama", "gemma2", "granitemoehybrid", "falcon_h1"])
def test_the_size_of_the_chunks_changes_nothing(name: str) -> None:
    gates = find(BY_TYPE[name])
    assert gates.head is not None
    whole = sample_gradients(gates, *samples())
    gates.head = None  # the model's own logits
    own = sample_gradients(gates, *samples())
    for size in (1, 4):
        for part, expected, other in zip(
            sample_gradients(gates, *samples(), chunk_tokens=size), whole, own, strict=True
        ):
            assert part == pytest.approx(expected, abs=1e-5 * np.abs(expected).max())
            assert other == pytest.approx(expected, abs=1e-5 * np.abs(expected).max())


DROPOUTS = {
    "opt": {"dropout": 0.5, "attention_dropout": 0.5, "layerdrop": 0.5},
    "falcon": {"hidden_dropout": 0.5, "attention_dropout": 0.5},
    "gpt2": {"resid_pdrop": 0.5, "embd_pdrop": 0.5, "attn_pdrop": 0.5},
    "llama": {"attention_dropout": 0.5},
    "jamba": {"attention_dropout": 0.5},
}


def checkpoint(model: Any, options: dict[str, Any] | None = None) -> None:
    old = getattr(model, "gradient_checkpointing_enable", None)  # its name before transformers 5.23
    getattr(model, "activation_checkpointing_enable", old)(options)


@pytest.mark.parametrize("name", DROPOUTS)
def test_gradient_checkpointing_changes_nothing_and_drops_nothing(name: str) -> None:
    case = BY_TYPE[name]
    gates = find(case, **DROPOUTS[name])
    expected = sample_gradients(gates, *samples())
    calls = []
    checkpoint(gates.model)
    gates.model.train()
    parts = [module for module in gates.layers[0].modules() if module is not gates.layers[0]]
    handle = parts[0].register_forward_hook(lambda *_: calls.append(1))
    found = sample_gradients(gates, *samples())
    handle.remove()
    assert len(calls) == 2 * 1  # computed again for the backward pass
    for part, same in zip(found, expected, strict=True):
        assert part == pytest.approx(same, rel=1e-6, abs=1e-9)
    assert all(module.training for module in gates.model.modules())
    config = gates.model.config
    assert {key: getattr(config, key) for key in DROPOUTS[name]} == DROPOUTS[name]


def test_the_model_is_left_as_it_was() -> None:
    model = build(BY_TYPE["llama"]).train()
    model.lm_head.weight.requires_grad_(False)
    model.model.layers[0].mlp.eval()
    model.config.output_router_logits = True
    before = {name: parameter.clone() for name, parameter in model.named_parameters()}
    modes = [module.training for module in model.modules()]
    gates = find_gates(model)
    sample_gradients(gates, *samples())
    assert [module.training for module in model.modules()] == modes
    for name, parameter in model.named_parameters():
        assert parameter.requires_grad == (name != "lm_head.weight")
        assert parameter.grad is None
        assert torch.equal(parameter, before[name])
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in model.modules())


@pytest.mark.parametrize("name", ["llama", "nemotron_h"])
def test_weights_that_are_offloaded_give_the_same(name: str) -> None:
    accelerate = pytest.importorskip("accelerate")
    expected = sample_gradients(ready(name, "branch"), *samples())
    model = accelerate.cpu_offload(build(BY_TYPE[name]), execution_device=torch.device("cpu"))
    assert {parameter.device.type for parameter in model.parameters()} == {"meta"}
    found = sample_gradients(find_gates(model, "branch"), *samples())
    for part, same in zip(found, expected, strict=True):
        assert part == pytest.approx(same, rel=1e-6, abs=1e-9)


def test_reentrant_checkpointing_is_refused_and_the_model_left_as_it_was() -> None:
    gates = find(BY_TYPE["llama"])
    checkpoint(gates.model, {"use_reentrant": True})
    with pytest.raises(InputError, match=r"non-reentrant.*use_reentrant': False"):
        sample_gradients(gates, *samples())
    assert not any(module.training for module in gates.model.modules())


def test_layers_that_norm_their_sums_are_gated_as_a_whole() -> None:
    model = build(BY_TYPE["opt"], do_layer_norm_before=False)
    gates = find_gates(model, "branch")
    assert [(gate.name, gate.kind, gate.place) for gate in gates.gates] == [
        ("layers.0", "layer", "block"),
        ("layers.1", "layer", "block"),
    ]
    assert set(gates.fallbacks) == {0, 1}
    _, gradients = sample_gradients(gates, *samples())
    rows = []
    for each in zip(*samples(), strict=True):
        values = torch.ones(2, requires_grad=True)

        def blend(column: int) -> Any:
            def hook(_: Any, args: Any, kwargs: Any, output: Any) -> Any:
                hidden = args[0] if args else kwargs["hidden_states"]
                return hidden + values[column] * (output - hidden)  # noqa: B023

            return hook

        handles = [
            layer.register_forward_hook(blend(i), with_kwargs=True)
            for i, layer in enumerate(gates.layers)
        ]
        [row] = torch.autograd.grad(one_loss(model, *each), values)
        rows.append(row.numpy())
        for handle in handles:
            handle.remove()
    assert gradients == pytest.approx(np.stack(rows), abs=1e-5 * float(np.abs(rows).max()))


FOUR = SIZES | {"num_hidden_layers": 4, "layer_types": ["sliding_attention", "full_attention"] * 2}
REFUSED: dict[str, tuple[str, dict[str, Any], str]] = {
    "shared blocks": (
        "zamba2",
        SIZES
        | {
            "num_hidden_layers": 4, "layers_block_type": ["mamba", "hybrid"] * 2, "num_mem_blocks": 1,
            "mamba_ngroups": 1, "mamba_headdim": 8, "n_mamba_heads": 8, "mamba_d_state": 8, "chunk_size": 4,
            "tie_word_embeddings": True,
        },
        r"model.layers.1 and model.layers.3 share the weights shared_transformer\S*, so one cannot",
    ),
    "shared keys and values": (
        "gemma4_text",
        FOUR
        | {"head_dim": 8, "num_kv_shared_layers": 2, "vocab_size_per_layer_input": 40, "hidden_size_per_layer_input": 8},
        r"the last 2 layers of model.layers attend to keys and values of earlier ones",
    ),
    "several streams": (
        "gemma3n_text",
        FOUR
        | {
            "head_dim": 8, "num_kv_shared_layers": 0, "vocab_size_per_layer_input": 40,
            "hidden_size_per_layer_input": 8, "laurel_rank": 4, "activation_sparsity_pattern": [0.0] * 4,
        },
        r"hidden states of shape \(samples, tokens, size\) .* but layer 0 does not",
    ),
    "not causal": (
        "bert",
        SIZES | {"num_hidden_layers": 2, "is_decoder": False},
        r"must be causal, but changing the last token changes the logits before it",
    ),
    "layers of another kind": (
        "ctrl",
        {"vocab_size": 40, "n_embd": 32, "n_layer": 2, "n_head": 4, "dff": 48},
        r"exactly one list of 2 decoder layers .* \(transformer.h\); name the list with layers=",
    ),
}  # fmt: skip


@pytest.mark.parametrize("why", REFUSED)
def test_what_cannot_be_gated_is_refused_with_the_reason(why: str) -> None:
    name, settings, message = REFUSED[why]
    config = transformers.AutoConfig.for_model(name, **settings)
    model = transformers.AutoModelForCausalLM.from_config(config).eval()
    with pytest.raises(InputError, match=message):
        find_gates(model)


def test_an_encoder_with_a_decoder_is_refused() -> None:
    config = transformers.T5Config(vocab_size=40, d_model=32, num_layers=1, num_heads=4, d_ff=48)
    with pytest.raises(InputError, match="an encoder with a decoder"):
        find_gates(transformers.T5ForConditionalGeneration(config))


def test_the_path_of_the_layers_can_be_given() -> None:
    model = build(BY_TYPE["llama"])
    assert find_gates(model, layers="model.layers").layers_path == "model.layers"
    with pytest.raises(InputError, match=r"not 'model.blocks'; the lists .* are: model.layers\."):
        find_gates(model, layers="model.blocks")


def test_more_than_one_list_that_fits_is_refused() -> None:
    model = build(BY_TYPE["llama"])
    model.others = build(BY_TYPE["llama"]).model.layers
    with pytest.raises(InputError, match=r"has 2 \(model.layers, others\); name the list"):
        find_gates(model)


def test_a_model_that_is_none_and_a_granularity_that_is_none_are_refused() -> None:
    with pytest.raises(InputError, match=r"of the transformers library, not Linear"):
        find_gates(torch.nn.Linear(2, 2))
    with pytest.raises(InputError, match=r"'block' or 'branch', not 'head'"):
        find_gates(build(BY_TYPE["llama"]), "head")  # type: ignore[arg-type]


COUNTED = np.array([False, True, True])
BAD_SAMPLES: dict[str, tuple[list[Any], list[Any], dict[str, int], str]] = {
    "no sample": ([], [], {}, "at least one, not 0 and 0"),
    "targets missing": ([np.arange(3)], [], {}, "not 1 and 0"),
    "one token": ([np.arange(1)], [np.array([False])], {}, r"tokens\[0\] must be two or more"),
    "floats": ([np.ones(3)], [COUNTED], {}, r"not float64 of shape \(3,\)"),
    "another length": ([np.arange(4)], [COUNTED], {}, r"booleans of shape \(4,\)"),
    "first counted": ([np.arange(3)], [~COUNTED], {}, "not the first, which nothing predicts"),
    "none counted": ([np.arange(3)], [COUNTED & False], {}, "must count at least one token"),
    "negative": ([np.array([1, -5, 2])], [COUNTED], {}, "ids from 0 to 39, not -5"),
    "outside": ([np.array([1, 40, 2])], [COUNTED], {}, "ids from 0 to 39, not 40"),
    "no chunk": ([np.arange(3)], [COUNTED], {"chunk_tokens": 0}, "at least 1, not 0"),
}


@pytest.mark.parametrize("what", BAD_SAMPLES)
def test_bad_samples_are_refused(what: str) -> None:
    tokens, targets, options, message = BAD_SAMPLES[what]
    with pytest.raises(InputError, match=message):
        sample_gradients(ready("llama", "branch"), tokens, targets, **options)


def test_values_that_do_not_fit_are_refused() -> None:
    gates = ready("llama", "branch")
    wrong = pytest.raises(InputError, match=r"shape \(samples, 4\).*not torch.float32 of shape")
    with wrong, gates.attached(torch.ones(2, 3)):
        pass
    wrong = pytest.raises(InputError, match=r"values for 3 samples, but a block returns 2 rows")
    with wrong, gates.attached(torch.ones(3, 4)):
        gates.model(input_ids=torch.ones(2, 5, dtype=torch.long))
    assert not any(module._forward_hooks for module in gates.model.modules())


def test_gradients_that_are_not_finite_are_refused() -> None:
    gates = find(BY_TYPE["llama"])
    with torch.no_grad():
        gates.model.lm_head.weight[7] = torch.inf
    with pytest.raises(InputError, match=r"must be finite, but sample 0 and 3 in all are not"):
        sample_gradients(gates, *samples())
