"""Gates and gradients of every supported architecture, against loops and differences of
their own.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")

from qubo_prune.core.errors import InputError  # noqa: E402
from qubo_prune.hessians.gates.gates import Gates, find_gates  # noqa: E402
from qubo_prune.hessians.gradients import sample_gradients  # noqa: E402

VOCABULARY = 40
A, F, E, S, C, L = "attention", "mlp", "moe", "mamba", "conv", "linear_attention"


@dataclass(frozen=True)
class Case:
    """A tiny model: its type, its settings, the kinds of the branches of each layer."""

    type: str
    kinds: list[list[str]]
    settings: dict[str, Any] = field(default_factory=dict)
    differences: bool = False


MOE = {"num_experts_per_tok": 2, "moe_intermediate_size": 24}
MAMBA2 = {
    "mamba_n_heads": 8,
    "mamba_d_head": 8,
    "mamba_d_state": 8,
    "mamba_n_groups": 1,
    "mamba_chunk_size": 4,
}

CASES = [
    Case("llama", [[A, F]] * 2, differences=True),
    Case("qwen2", [[A, F]] * 2),
    Case("qwen3", [[A, F]] * 2, {"head_dim": 8}),
    Case("mistral", [[A, F]] * 2, {"sliding_window": 4}),
    Case("ministral3", [[A, F]] * 2, {"head_dim": 8}),
    Case("gemma2", [[A, F]] * 2, {"head_dim": 8, "sliding_window": 4}, True),
    Case("gemma3_text", [[A, F]] * 2, {"head_dim": 8, "sliding_window": 4}),
    Case("phi3", [[A, F]] * 2, {"pad_token_id": 0}),
    Case("gpt2", [[A, F]] * 2, {"n_embd": 32, "n_layer": 2, "n_head": 4}, True),
    Case("gpt_neox", [[A, F]] * 2, {"use_parallel_residual": True}, True),
    Case("opt", [[A, F]] * 2, {"ffn_dim": 48, "word_embed_proj_dim": 32}),
    Case("falcon", [[A, F]] * 2, {"new_decoder_architecture": False, "parallel_attn": True}),
    Case("olmo2", [[A, F]] * 2, {"pad_token_id": 0}, True),
    Case("mixtral", [[A, E]] * 2, {"num_local_experts": 4}, True),
    Case("qwen3_moe", [[A, F], [A, E]], {"num_experts": 4, "decoder_sparse_step": 2, "head_dim": 8, **MOE}),
    Case(
        "deepseek_v3",
        [[A, F], [A, E]],
        {
            "n_routed_experts": 4, "n_group": 2, "topk_group": 1, "first_k_dense_replace": 1, "q_lora_rank": 16,
            "kv_lora_rank": 16, "qk_rope_head_dim": 4, "qk_nope_head_dim": 4, "v_head_dim": 8, **MOE,
        },
    ),
    Case("gpt_oss", [[A, E]] * 2, {"num_local_experts": 4, "num_experts_per_tok": 2, "head_dim": 8}),
    Case("nemotron", [[A, F]] * 2),
    Case(
        "nemotron_h",
        [[S], [A], [E], [F]],
        {
            "layers_block_type": ["mamba", "attention", "moe", "mlp"], "n_routed_experts": 4,
            "moe_shared_expert_intermediate_size": 24, "n_group": 1, "topk_group": 1, "ssm_state_size": 8,
            "mamba_num_heads": 8, "mamba_head_dim": 8, "n_groups": 1, "chunk_size": 4, "head_dim": 8, **MOE,
        },
        True,
    ),
    Case("bamba", [[S, F], [A, F]], {"attn_layer_indices": [1], **MAMBA2}),
    Case(
        "jamba",
        [[S, F], [A, E]],
        {
            "attn_layer_period": 2, "attn_layer_offset": 1, "expert_layer_period": 2, "expert_layer_offset": 1,
            "num_experts": 4, "mamba_d_state": 4, "mamba_dt_rank": 4, "use_mamba_kernels": False,
        },
        True,
    ),
    Case(
        "granitemoehybrid",
        [[S, E], [A, E]],
        {
            "layer_types": ["mamba", "attention"], "num_local_experts": 4, "num_experts_per_tok": 2,
            "shared_intermediate_size": 24, "residual_multiplier": 0.5, "logits_scaling": 2.0, **MAMBA2,
        },
        True,
    ),
    Case("falcon_h1", [[S, A, F]] * 2, {"head_dim": 8, "mamba_d_ssm": 64, **MAMBA2}),
    Case(
        "qwen3_next",
        [[L, E], [A, E]],
        {
            "layer_types": ["linear_attention", "full_attention"], "num_experts": 4, "head_dim": 8,
            "shared_expert_intermediate_size": 24, "linear_key_head_dim": 8, "linear_value_head_dim": 8,
            "linear_num_key_heads": 2, "linear_num_value_heads": 4, **MOE,
        },
    ),
    Case(
        "mamba2",
        [[S]] * 2,
        {"num_heads": 8, "head_dim": 8, "state_size": 8, "n_groups": 1, "chunk_size": 4, "expand": 2},
        True,
    ),
    Case("lfm2", [[C, F], [A, F]], {"layer_types": ["conv", "full_attention"]}),
]  # fmt: skip
SIZES = {
    "vocab_size": VOCABULARY, "hidden_size": 32, "intermediate_size": 48, "num_attention_heads": 4,
    "num_key_value_heads": 2, "max_position_embeddings": 64, "bos_token_id": 1, "eos_token_id": 2,
    "tie_word_embeddings": False,
}  # fmt: skip


def build(case: Case, experts_implementation: str | None = None, **more: Any) -> Any:
    settings = SIZES | {"num_hidden_layers": len(case.kinds)} | case.settings | more
    if "n_embd" in settings:
        settings = {
            k: v
            for k, v in settings.items()
            if k not in {"hidden_size", "num_hidden_layers", "num_attention_heads"}
        }
    config = transformers.AutoConfig.for_model(case.type, **settings)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        model = transformers.AutoModelForCausalLM.from_config(
            config, experts_implementation=experts_implementation
        )
        for parameter in model.parameters():
            if parameter.ndim > 1:  # so large that every branch matters
                torch.nn.init.normal_(parameter, std=0.8 * parameter[0].numel() ** -0.5)
    return model.eval()


BY_TYPE = {case.type: case for case in CASES}
EACH = pytest.mark.parametrize("case", CASES, ids=lambda case: case.type)


def samples(seed: int = 0) -> tuple[list[NDArray[np.int64]], list[NDArray[np.bool_]]]:
    """Three samples of unequal lengths, and some of their tokens to predict."""
    rng = np.random.default_rng(seed)
    tokens = [rng.integers(VOCABULARY, size=length) for length in (6, 11, 3)]
    targets = [np.arange(len(each)) > 0 for each in tokens]
    targets[1][:4] = False
    return tokens, targets


def losses_of(
    model: Any, tokens: NDArray[np.int64], targets: NDArray[np.bool_], copies: int
) -> Any:
    """The mean negative log-likelihood of the counted tokens of a sample, for each of its
    copies.
    """
    ids = torch.from_numpy(tokens).expand(copies, -1)
    logits = model(input_ids=ids, use_cache=False).logits
    wide = logits.to(torch.promote_types(logits.dtype, torch.float32))
    log_likelihood = torch.log_softmax(wide, -1)[:, torch.arange(len(tokens) - 1), ids[0, 1:]]
    return -log_likelihood[:, torch.from_numpy(targets[1:])].mean(1)


def one_loss(model: Any, tokens: NDArray[np.int64], targets: NDArray[np.bool_]) -> Any:
    return losses_of(model, tokens, targets, copies=1)[0]


@contextmanager
def multiplied(modules: list[tuple[Any, Any]]) -> Iterator[None]:
    """Multiply the outputs of modules by a number each."""

    def hook(factor: Any) -> Any:
        def multiply(_: Any, __: Any, output: Any) -> Any:
            if isinstance(output, tuple):
                return (output[0] * factor, *output[1:])
            return output * factor

        return multiply

    handles = [module.register_forward_hook(hook(factor)) for module, factor in modules]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


ENDS = {
    "llama": ["self_attn", "mlp"], "qwen2": ["self_attn", "mlp"], "qwen3": ["self_attn", "mlp"],
    "mistral": ["self_attn", "mlp"], "ministral3": ["self_attn", "mlp"], "phi3": ["self_attn", "mlp"],
    "gemma2": ["post_attention_layernorm", "post_feedforward_layernorm"],
    "gemma3_text": ["post_attention_layernorm", "post_feedforward_layernorm"],
    "gpt2": ["attn", "mlp"], "gpt_neox": ["attention", "mlp"], "opt": ["self_attn", "fc2"],
    "falcon": ["self_attention", "mlp"], "olmo2": ["post_attention_layernorm", "post_feedforward_layernorm"],
    "mixtral": ["self_attn", "mlp"], "qwen3_moe": ["self_attn", "mlp"], "deepseek_v3": ["self_attn", "mlp"],
    "gpt_oss": ["self_attn", "mlp"], "nemotron": ["self_attn", "mlp"], "nemotron_h": ["mixer"],
    "bamba": ["mamba|self_attn", "feed_forward"], "jamba": ["mamba|self_attn", "feed_forward"],
    "granitemoehybrid": ["mamba|self_attn", "block_sparse_moe+shared_mlp"],
    "falcon_h1": ["mamba", "self_attn", "feed_forward"],
    "qwen3_next": ["linear_attn|self_attn", "mlp"], "mamba2": ["mixer"], "lfm2": ["conv|self_attn", "feed_forward"],
}  # fmt: skip
"""By hand from the sources of transformers: which modules' outputs each layer adds to its input."""


def ends_by_hand(case: Case, layer: Any) -> list[list[Any]]:
    """The modules to scale, branch by branch; ``a|b`` is whichever the layer has, ``a+b`` both."""
    return [
        [
            next(getattr(layer, name) for name in part.split("|") if getattr(layer, name, None))
            for part in names.split("+")
        ]
        for names in ENDS[case.type]
    ]


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
