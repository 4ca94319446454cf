"""Each number of an evaluation, against a plain way to compute it."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")

from qubo_prune.core.errors import InputError  # noqa: E402
from qubo_prune.hessians.calibration import Calibration  # noqa: E402
from qubo_prune.hessians.gates.gates import find_gates  # noqa: E402
from qubo_prune.pruning import ModelObjective, prune  # noqa: E402
from qubo_prune.pruning.evaluation import latency, samples  # noqa: E402
from qubo_prune.pruning.evaluation.latency import (  # noqa: E402
    Load,
    measure_latency,
    measure_memory,
)
from qubo_prune.pruning.evaluation.perplexity import (  # noqa: E402
    Text,
    chunks,
    measure_chunks,
    measure_rolling,
    rolling,
)
from qubo_prune.pruning.evaluation.samples import Original, measure_samples  # noqa: E402
from qubo_prune.pruning.evaluation.size import cache_bytes, measure_size  # noqa: E402
from tests.tiny_models import BY_TYPE, CASES, Case, build  # noqa: E402
from tests.tiny_models import samples as tiny_samples  # noqa: E402
from tests.tiny_tokenizer import make_tokenizer, tiny_llama  # noqa: E402

TEXT = (
    "the layers of a model are not all needed. some of them can go. which of them is a question "
    "of 2 or 3 numbers.\nwhat is left is measured again and again until it is known how much is "
    "lost. the rest is said in a table of 10 rows. "
)


def calibration() -> Calibration:
    tokens, targets = tiny_samples()
    return Calibration(tuple(tokens), tuple(targets), np.arange(3), {"source": "random"})


def plainly(model: Any, other: Any) -> dict[str, float]:
    """Loss, KL and agreement sample by sample, from full logits in float64."""
    found: dict[str, list[float]] = {"loss": [], "KL from the original": [], "top-1 agreement": []}
    given = calibration()
    for tokens, targets in zip(given.tokens, given.targets, strict=True):
        ids = torch.from_numpy(tokens)[None]
        counted = torch.from_numpy(targets[1:])
        with torch.no_grad():
            here = torch.log_softmax(model(input_ids=ids, use_cache=False).logits[0].double(), -1)
            there = torch.log_softmax(other(input_ids=ids, use_cache=False).logits[0].double(), -1)
        nats = -here[:-1].gather(1, ids[0, 1:, None])[:, 0]
        found["loss"].append(float(nats[counted].mean()))
        divergence = (there.exp() * (there - here)).sum(1)[:-1]
        found["KL from the original"].append(float(divergence[counted].mean()))
        same = (here.argmax(1) == there.argmax(1))[:-1].double()
        found["top-1 agreement"].append(float(same[counted].mean()))
    return {name: float(np.mean(values)) for name, values in found.items()}


@pytest.mark.parametrize("kind", ["llama", "gemma2", "gpt2", "nemotron_h", "mamba2", "falcon_h1"])
@pytest.mark.parametrize("batch_size", [1, 3])
def test_samples_are_measured_as_plain_logits_say(kind: str, batch_size: int) -> None:
    model, other = build(BY_TYPE[kind]), build(BY_TYPE[kind])
    with torch.no_grad():
        other.get_output_embeddings().weight += 0.1  # a head of its own, as after healing
        for parameter in other.base_model.parameters():
            parameter.mul_(1.1)
    expected = plainly(model, other)
    original = Original(other)
    for _ in range(2):  # the second time from what is kept
        found = measure_samples(model, calibration(), original, batch_size=batch_size)
        for metric in found:
            assert metric.value == pytest.approx(expected[metric.name], rel=1e-4, abs=1e-6)
            assert len(metric.samples) == 3
    [alone] = measure_samples(model, calibration(), None, batch_size=batch_size)
    assert alone.value == pytest.approx(expected["loss"], rel=1e-4)


def test_a_model_is_what_the_search_measured(tmp_path: Any) -> None:
    model = tiny_llama(4)
    tokens = tuple(np.random.default_rng(0).integers(0, 64, (6, 12)))
    given = Calibration(tokens, (np.arange(12) > 0,) * 6, np.arange(6), {"source": "random"})
    gates = find_gates(model)
    objectives = [ModelObjective(model, gates, given, objective=what) for what in ("loss", "kl")]
    values = [next(iter(each.measure([(1, 3)]))).values for each in objectives]
    prune(model, [1, 3], tmp_path / "cut")
    cut = transformers.AutoModelForCausalLM.from_pretrained(tmp_path / "cut")
    loss, divergence, _ = measure_samples(cut, given, Original(model), batch_size=2)
    np.testing.assert_allclose(loss.samples - objectives[0].baseline, values[0], atol=1e-6)
    np.testing.assert_allclose(divergence.samples, values[1], atol=1e-6)


def test_logits_of_all_tokens_are_never_in_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(samples, "chunk_size", lambda *_: 12)  # a quarter of that: 3 at a time
    model, other = tiny_llama(), tiny_llama(2)
    rows = []
    for each in (model, other):
        each.lm_head.register_forward_hook(
            lambda _, __, output: rows.append(output.numel() // output.shape[-1])
        )
    original = Original(other)
    rows.clear()
    measure_samples(model, calibration(), original, batch_size=3)
    assert rows[:2] == [16, 16]  # 16 random tokens on which the other head is tested
    assert max(rows[2:]) <= 3
    assert sum(rows[2:]) == 2 * sum(each.sum() for each in calibration().targets)


def test_models_are_as_they_were() -> None:
    model = tiny_llama().train()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    measure_samples(model, calibration(), Original(model), batch_size=2)
    measure_size(model)
    measure_latency(model, model, Load(4, 2, 1))
    assert model.training
    assert all(parameter.requires_grad for parameter in model.parameters())
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


def test_smaller_batches_are_taken_when_memory_runs_out(monkeypatch: pytest.MonkeyPatch) -> None:
    model, original = tiny_llama(), Original(tiny_llama(2))
    expected = measure_samples(model, calibration(), original, batch_size=1)
    real = samples.base_hidden_states

    def narrow(model: Any, ids: Any) -> Any:
        if len(ids) > 1:
            raise MemoryError
        return real(model, ids)

    monkeypatch.setattr(samples, "base_hidden_states", narrow)
    found = measure_samples(model, calibration(), original, batch_size=3)
    assert [each.value for each in found] == [each.value for each in expected]
    monkeypatch.setattr(samples, "base_hidden_states", lambda *_: narrow(model, [1, 2]))
    with pytest.raises(InputError, match="memory ran out with a single sample"):
        measure_samples(model, calibration(), None, batch_size=1)


def test_other_vocabularies_are_refused() -> None:
    with pytest.raises(InputError, match="predict the 40 tokens of the original, not 64 others"):
        measure_samples(
            tiny_llama(), calibration(), Original(build(BY_TYPE["llama"])), batch_size=1
        )


def log_likelihood(model: Any, context: list[int], token: int) -> float:
    with torch.no_grad():
        logits = model(input_ids=torch.tensor([context])).logits[0, -1].double()
    return float(torch.log_softmax(logits, -1)[token])


@pytest.mark.parametrize("window", [5, 16, 500])
@pytest.mark.parametrize("begins", [False, True])
def test_rolling_perplexity_is_that_of_a_plain_loop(window: int, begins: bool) -> None:
    model, tokenizer = tiny_llama(max_position_embeddings=512), make_tokenizer(begins)
    documents = (TEXT[:57], "short", TEXT[57:90])
    total, count, words = 0.0, 0, 0
    for document in documents:
        ids = tokenizer(document)["input_ids"]
        seen = [1, *ids]
        for position in range(len(ids)):
            # The window that it is in ends at the next multiple of the size, or with the text.
            end = min(len(ids), (position // window + 1) * window)
            first = max(0, end - window)
            if position < len(ids) // window * window:
                first = position // window * window
            total += log_likelihood(model, seen[first : position + 1], ids[position])
        count += len(ids)
        words += len(re.split(r"\s+", document))
    windows = rolling(Text(documents, tokenizer), window)
    per_token, per_word = measure_rolling(model, windows, batch_size=2)
    assert per_token.value == pytest.approx(math.exp(-total / count), rel=1e-5)
    assert per_word.value == pytest.approx(math.exp(-total / words), rel=1e-5)
    assert windows.counts.sum() == count
    assert per_token.weights.sum() == count


@pytest.mark.parametrize("begins", [False, True])
@pytest.mark.parametrize("size", [16, 17])
def test_chunks_are_scored_as_llama_cpp_scores_them(size: int, begins: bool) -> None:
    model, tokenizer = tiny_llama(max_position_embeddings=512), make_tokenizer(begins)
    ids = tokenizer(TEXT)["input_ids"]
    total, count = 0.0, 0
    for start in range(0, len(ids) // size * size, size):
        chunk = ids[start : start + size]
        if begins:
            chunk[0] = 1
        # The logits from the middle on, each of which predicts the token after it.
        for position in range(size // 2, size - 1):
            total += log_likelihood(model, chunk[: position + 1], chunk[position + 1])
            count += 1
    [found] = measure_chunks(model, chunks(Text((TEXT,), tokenizer), size), batch_size=4)
    assert found.value == pytest.approx(math.exp(-total / count), rel=1e-5)
    assert found.weights.sum() == count


def test_errors_of_perplexities_are_those_of_blocks_of_256_tokens() -> None:
    model, tokenizer = tiny_llama(max_position_embeddings=2048), make_tokenizer()
    text = Text((TEXT * 4,), tokenizer)
    found, _ = measure_rolling(model, rolling(text, 600), batch_size=2)
    count = len(tokenizer(TEXT * 4)["input_ids"])
    first, rest = divmod(count, 600)
    assert first == 1
    assert found.weights.tolist() == [256, 256, 88, 256, rest - 256]
    one = measure_rolling(model, rolling(text, 600), batch_size=1)[0]
    np.testing.assert_allclose(found.samples, one.samples, rtol=1e-6)


def test_only_so_many_tokens_are_scored() -> None:
    tokenizer = make_tokenizer()
    text = Text((TEXT, TEXT), tokenizer, max_tokens=100)
    assert rolling(text, 32).counts.tolist() == [32, 32, 32]
    assert len(chunks(text, 32).counts) == 100 // 15


def test_texts_that_are_too_short_are_refused() -> None:
    tokenizer = make_tokenizer()
    with pytest.raises(InputError, match="at least 2 chunks of 512 tokens, not 0 of its 4 tokens"):
        chunks(Text(("abcd",), tokenizer))
    with pytest.raises(InputError, match="gives no window to score"):
        rolling(Text(("abcd",), tokenizer, max_tokens=3), 8)
    tokenizer.bos_token = tokenizer.eos_token = None
    with pytest.raises(InputError, match="no begin-of-sequence and no end-of-sequence token"):
        rolling(Text(("abcd",), tokenizer))


def generated_cache(model: Any, length: int) -> int:
    """Bytes of keys, values and states after `length` tokens, generated one by one."""
    output = model.generate(
        torch.ones(1, 2, dtype=torch.long),
        max_new_tokens=length - 1,  # the last one is not read
        min_new_tokens=length - 1,
        do_sample=False,
        pad_token_id=0,
        return_dict_in_generate=True,
    )
    layers = output.past_key_values.layers
    return sum(
        value.nbytes
        for layer in layers
        for value in {id(each): each for each in vars(layer).values()}.values()
        if isinstance(value, torch.Tensor) and value.ndim
    ) + sum(
        each.nbytes
        for layer in layers
        for value in vars(layer).values()
        if isinstance(value, dict | list)
        for each in (value.values() if isinstance(value, dict) else value)
        if isinstance(each, torch.Tensor) and each.ndim
    )


def attention_layers(case: Case) -> int:
    return sum("attention" in kinds for kinds in case.kinds)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.type)
def test_the_cache_grows_as_a_generated_one_does(case: Case) -> None:
    model = build(case)
    per_token, fixed = cache_bytes(model) or (0, 0)
    window = 4 if "sliding_window" in case.settings else 100
    for length in (3, 9):
        if length < window:
            assert generated_cache(model, length) == fixed + length * per_token
    config = model.config.get_text_config(decoder=True)
    if case.type in {"deepseek_v3", "falcon"}:  # latent states; one head for all
        return
    heads = config.num_attention_heads
    if case.type not in {"gpt2", "gpt_neox", "opt"}:  # which ignore it
        heads = config.num_key_value_heads
    size = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
    assert per_token == attention_layers(case) * 2 * heads * size * 4


def test_sizes_are_counted_once_where_they_are_shared() -> None:
    model = tiny_llama(tie_word_embeddings=True)
    found = {each.name: each.value for each in measure_size(model)}
    assert found["parameters"] == sum(each.numel() for each in model.parameters())
    buffers = sum(each.nbytes for each in model.buffers())
    assert found["weights"] == 4 * found["parameters"] + buffers
    half = {each.name: each.value for each in measure_size(model.bfloat16())}
    assert half["cache per token"] == found["cache per token"] / 2


def test_times_are_taken_in_pairs() -> None:
    found = measure_latency(tiny_llama(), tiny_llama(2), Load(8, 3, 4))
    assert [each.name for each in found] == ["prefill", "decode per token"]
    for each in found:
        assert len(each.samples) == len(each.reference) == 4
        assert each.value == np.median(each.samples) > 0
        assert each.facts == {"prompt_tokens": 8, "new_tokens": 3}
    alone = measure_latency(tiny_llama(), None, Load(8, 3, 2))
    assert not len(alone[0].reference)


def test_who_begins_a_pair_alternates(monkeypatch: pytest.MonkeyPatch) -> None:
    model, original = tiny_llama(), tiny_llama(2)
    turns: list[str] = []

    def run(which: Any, *_: object) -> tuple[float, float]:
        turns.append("model" if which is model else "original")
        return 1.0, 1.0

    monkeypatch.setattr(latency, "_run", run)
    measure_latency(model, original, Load(8, 3, 3))
    assert turns == ["original", "model", "model", "original"] * 2


def test_prompts_fit_the_positions() -> None:
    model = build(BY_TYPE["gpt2"])  # learned positions
    limit = model.config.max_position_embeddings
    [prefill, _] = measure_latency(model, None, Load(10**6, 4, 1))
    assert prefill.facts["prompt_tokens"] == limit - 4


@pytest.mark.parametrize(
    ("run", "peak"),
    [
        (lambda: torch.ones(1000), 4000),
        (lambda: (torch.empty(1000), torch.empty(500)), 6000),
        (lambda: [torch.empty(1000) for _ in range(3)][:0], 12000),
        (lambda: (torch.empty(1000).sum(0, keepdim=True).fill_(0), None), 4004),
    ],
)
def test_the_peak_of_memory_is_exact(run: Callable[[], object], peak: int) -> None:
    def forget() -> None:
        run()

    assert latency._peak_on_processor(forget) == pytest.approx(peak, abs=16)


def test_longer_prompts_take_more_memory() -> None:
    model = tiny_llama(max_position_embeddings=512)
    weights = next(each.value for each in measure_size(model) if each.name == "weights")
    few, many = (measure_memory(model, Load(size, 2, 1))[0].value for size in (8, 256))
    assert weights < few < many


def test_what_cannot_generate_is_said() -> None:
    model = tiny_llama()
    model.generate = lambda *_, **__: (_ for _ in ()).throw(ValueError("no cache"))
    with pytest.raises(InputError, match=r"LlamaForCausalLM cannot generate \(no cache\)"):
        measure_latency(model, None, Load(4, 2, 1))
