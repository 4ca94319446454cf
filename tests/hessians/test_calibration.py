"""Calibration data: which rows are drawn, which tokens they become, which of these count, and every
source that is refused.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qubo_prune.core.errors import InputError
from qubo_prune.hessians import Calibration
from qubo_prune.hessians.calibration import load_calibration

MakeTokenizer = Callable[..., Any]

CHATML = (
    "{% for m in messages %}<|im_start|>{{ m['role'] }}\n{{ m['content'] }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
MARKED = (
    "{% for m in messages %}<|im_start|>{{ m['role'] }}\n{% if m['role'] == 'assistant' %}{%"
    " generation %}{{ m['content'] }}<|im_end|>{% endgeneration %}{% else %}{{ m['content']"
    " }}<|im_end|>{% endif %}\n{% endfor %}"
)
# Writes an answer differently once others follow, as templates of reasoning models do.
REASONING = CHATML.replace(
    "{{ m['content'] }}",
    "{% if loop.last and m['role'] == 'assistant' %}<think></think>{% endif %}{{ m['content'] }}",
)
STRICT = (
    "{% for m in messages %}{% if m['role'] == 'system' %}{{ raise_exception('no system') }}{%"
    " endif %}{{ m['content'] }}{% endfor %}"
)
DATED = "{{ strftime_now('%Y-%m-%d') }}" + CHATML

QUESTIONS = [
    {"role": "user", "content": "hello"},
    {"role": "assistant", "content": "how are you"},
    {"role": "user", "content": "the fox"},
    {"role": "assistant", "content": "quick brown"},
]
WITH_SYSTEM = [{"role": "system", "content": "world"}, *QUESTIONS[:2]]


def write_lines(path: Path, rows: Any) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


@pytest.fixture(scope="module")
def make_tokenizer() -> MakeTokenizer:
    """A byte-level BPE, so that every text comes back from its tokens."""
    transformers = pytest.importorskip("transformers")
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers

    bare = Tokenizer(models.BPE())
    bare.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    bare.decoder = decoders.ByteLevel()
    special = ["<s>", "</s>", "<|im_start|>", "<|im_end|>"]
    trainer = trainers.BpeTrainer(
        vocab_size=320,
        special_tokens=special,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    bare.train_from_iterator(["hello world, how are you", "the quick brown fox"] * 3, trainer)
    bare.post_processor = processors.TemplateProcessing(
        single="<s> $A", special_tokens=[("<s>", 0)]
    )

    def make(template: Any = None) -> Any:
        ends = {"bos_token": "<s>", "eos_token": "</s>"}
        return transformers.PreTrainedTokenizerFast(
            tokenizer_object=bare, chat_template=template, **ends
        )

    return make


@pytest.fixture
def chats(tmp_path: Path) -> Path:
    return write_lines(tmp_path / "chats.jsonl", [{"messages": QUESTIONS}])


def counted(tokenizer: Any, calibration: Calibration, sample: int = 0) -> str:
    return tokenizer.decode(calibration.tokens[sample][calibration.targets[sample]])


ORDER_OF_SEED_0 = [11, 3, 20, 13, 2]


def numbered(tmp_path_factory: pytest.TempPathFactory, count: int) -> Path:
    folder = tmp_path_factory.mktemp("numbered")
    return write_lines(folder / "n.jsonl", [[k, k + 1, k + 2] for k in range(count)])


@pytest.fixture(scope="module")
def fifty(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return numbered(tmp_path_factory, 50)


@settings(max_examples=40)
@given(num_samples=st.integers(1, 60), seed=st.integers(0, 2**63))
def test_a_draw_is_without_replacement_and_fewer_are_the_first_of_more(
    fifty: Path, num_samples: int, seed: int
) -> None:
    drawn = load_calibration(fifty, num_samples=num_samples, seed=seed)
    assert len(drawn) == min(num_samples, 50) == len(set(drawn.indices.tolist()))
    assert [each[0] for each in drawn.tokens] == drawn.indices.tolist()
    everything = load_calibration(fifty, num_samples=50, seed=seed)
    assert everything.indices[: len(drawn)].tolist() == drawn.indices.tolist()
    assert (drawn.description["samples"], drawn.description["rows"]) == (len(drawn), 50)
    assert drawn.description["requested_samples"] == num_samples


def test_the_draw_is_the_same_on_every_machine(fifty: Path) -> None:
    # By the raw 64-bit outputs of PCG64, which NumPy promises to keep: written down once.
    assert load_calibration(fifty, num_samples=5, seed=0).indices.tolist() == ORDER_OF_SEED_0
    assert load_calibration(fifty, num_samples=5, seed=1).indices.tolist() != ORDER_OF_SEED_0


def test_every_row_is_drawn_about_equally_often(fifty: Path) -> None:
    seeds = 400
    seen = np.concatenate(
        [load_calibration(fifty, num_samples=5, seed=seed).indices for seed in range(seeds)]
    )
    counts = np.bincount(seen, minlength=50)
    # Chi-squared with 49 degrees of freedom, less than 100 but for one in 40,000.
    assert ((counts - 40) ** 2 / 40).sum() < 100


@settings(max_examples=40)
@given(num_samples=st.integers(1, 50), data=st.data())
def test_shards_are_contiguous_even_and_together_the_whole(
    fifty: Path, num_samples: int, data: Any
) -> None:
    whole = load_calibration(fifty, num_samples=num_samples)
    n = data.draw(st.integers(1, num_samples))
    shards = [whole.shard(i, n) for i in range(1, n + 1)]
    assert np.concatenate([shard.indices for shard in shards]).tolist() == whole.indices.tolist()
    assert max(map(len, shards)) - min(map(len, shards)) <= 1
    assert all(shard.description == whole.description for shard in shards)
    assert [len(shard.targets) for shard in shards] == [len(shard.indices) for shard in shards]


@pytest.mark.parametrize(
    ("i", "n", "message"), [(1, 51, "between 1 and 50"), (0, 2, "1 to 2"), (3, 2, "1 to 2")]
)
def test_shards_that_are_not_there(fifty: Path, i: int, n: Any, message: str) -> None:
    with pytest.raises(InputError, match=message):
        load_calibration(fifty).shard(i, n)


def test_samples_too_short_are_passed_over_and_counted(tmp_path: Path) -> None:
    rows = [[1], [], [2, 3], {"input_ids": [4, 5], "attention_mask": [1, 0]}, [6, 7, 8, 9]]
    drawn = load_calibration(write_lines(tmp_path / "t.jsonl", rows), sequence_length=3)
    assert sorted(each.tolist() for each in drawn.tokens) == [[2, 3], [6, 7, 8]]
    assert drawn.description["skipped"] == {"fewer than 2 tokens": 3}
    assert drawn.description["truncated"] == 1
    assert drawn.description["tokens"] == 5
    assert drawn.description["counted_tokens"] == 3
    assert all(not each[0] and each[1:].all() for each in drawn.targets)
    assert sorted(drawn.indices.tolist()) == [2, 4]
    # What is passed over is replaced, as long as there are others.
    assert len(load_calibration(tmp_path / "t.jsonl", num_samples=2)) == 2


def test_the_same_rows_from_every_kind_of_file_are_the_same_samples(tmp_path: Path) -> None:
    rows = [[k, 2 * k, 7] for k in range(20)]
    objects = [{"input_ids": row, "other": "x"} for row in rows]
    sources = [write_lines(tmp_path / name, rows) for name in ("a.jsonl", "b.ndjson")]
    sources += [write_lines(tmp_path / name, objects) for name in ("c.jsonl", "d.json")]
    (tmp_path / "list.json").write_text("\n " + json.dumps(objects, indent=2))
    (tmp_path / "bom.json").write_text(json.dumps(rows), encoding="utf-8-sig")
    np.save(tmp_path / "rows.npy", np.array(rows, np.uint16))
    np.save(tmp_path / "flat.npy", np.array(rows, ">i4").ravel())
    sources += [tmp_path / name for name in ("list.json", "bom.json", "rows.npy", "flat.npy")]
    sources.append([write_lines(tmp_path / f"{k}.jsonl", rows[k::4]) for k in range(4)])
    drawn = [load_calibration(source, num_samples=20, sequence_length=3) for source in sources]
    first = sorted(each.tolist() for each in drawn[0].tokens)
    assert first == sorted(rows)
    for other in drawn[1:]:
        assert sorted(each.tolist() for each in other.tokens) == first
    assert all(a.indices.tolist() == b.indices.tolist() for a, b in pairwise(drawn))
    assert len({each.description["tokens_sha256"] for each in drawn[:-1]}) == 1


def test_several_files_are_one_source(tmp_path: Path) -> None:
    files = [write_lines(tmp_path / f"{k}.jsonl", [[k, k], [k, k]]) for k in range(3)]
    drawn = load_calibration([files[2], files[0]])
    assert {int(i): int(t[0]) for i, t in zip(drawn.indices, drawn.tokens, strict=True)} == {
        0: 2,
        1: 2,
        2: 0,
        3: 0,
    }
    assert drawn.description["source"] == ["2.jsonl", "0.jsonl"]
    digest = hashlib.sha256(files[2].read_bytes()).hexdigest()
    assert drawn.description["sha256"][0] == digest


def test_descriptions_do_not_depend_on_the_folder_and_are_json(tmp_path: Path) -> None:
    described = []
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        file = write_lines(tmp_path / name / "t.jsonl", [[1, 2, 3], [4, 5]])
        described.append(json.dumps(load_calibration(file).description))
    assert described[0] == described[1]


def test_parquet_and_datasets_on_disk(tmp_path: Path) -> None:
    datasets = pytest.importorskip("datasets")
    rows = [{"input_ids": [k, k + 1], "text": None} for k in range(9)]
    dataset = datasets.Dataset.from_list(rows)
    dataset.to_parquet(tmp_path / "t.parquet")
    dataset.with_format("numpy").save_to_disk(tmp_path / "plain")
    both = datasets.DatasetDict({"train": dataset, "test": dataset.select(range(2))})
    both.save_to_disk(tmp_path / "both")
    expected = load_calibration(
        write_lines(tmp_path / "t.jsonl", [row["input_ids"] for row in rows])
    )
    for name in ("t.parquet", "plain", "both"):
        drawn = load_calibration(tmp_path / name)
        assert drawn.description["tokens_sha256"] == expected.description["tokens_sha256"]
    assert len(load_calibration(tmp_path / "both", split="test")) == 2
    assert (
        drawn.description["fingerprint"]
        == datasets.load_from_disk(tmp_path / "both")["train"]._fingerprint
    )
    with pytest.raises(InputError, match=r"no split 'dev'; use one of 'train', 'test'"):
        load_calibration(tmp_path / "both", split="dev")
    with pytest.raises(InputError, match=r"not a dataset saved by save_to_disk"):
        load_calibration(tmp_path)


def test_a_dataset_of_the_hub_that_was_loaded_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = pytest.importorskip("datasets.config")
    from datasets.packaged_modules.json.json import Json

    commit = "0123456789abcdef0123456789abcdef01234567"
    write_lines(tmp_path / "t.jsonl", [{"input_ids": [k, k + 1]} for k in range(4)])
    # The cache as the library fills it: one of its builders, under the name of a dataset and a
    # commit.
    Json(
        cache_dir=str(tmp_path / "cache"),
        dataset_name="tokens",
        config_id="default",
        hash=commit,
        data_files={"train": [str(tmp_path / "t.jsonl")]},
    ).download_and_prepare()
    monkeypatch.setattr(config, "HF_DATASETS_CACHE", tmp_path / "cache")
    monkeypatch.setattr(config, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    described = load_calibration("tokens").description
    assert (described["source"], described["split"]) == ("tokens", "train")
    assert (described["revision"], described["rows"]) == (commit, 4)
    assert load_calibration("tokens", revision=commit).description == described
    with pytest.raises(InputError, match=f"only {commit} is at hand"):
        load_calibration("tokens", revision="f" * 40)
    with pytest.raises(InputError, match=r"hub's dataset 'some/other' cannot be loaded"):
        load_calibration("some/other")
    with pytest.raises(InputError, match=r"cannot be loaded .*dev"):
        load_calibration("tokens", split="dev")


def test_texts_get_the_special_tokens_of_the_tokenizer(
    tmp_path: Path, make_tokenizer: MakeTokenizer
) -> None:
    tokenizer = make_tokenizer()
    rows = [{"text": "hello world"}, {"text": "the quick brown fox"}, "how"]
    drawn = load_calibration(
        write_lines(tmp_path / "t.jsonl", rows), tokenizer, sequence_length=4, num_samples=3
    )
    expected = [tokenizer(t)["input_ids"][:4] for t in ("hello world", "the quick brown fox")]
    found = {int(i): t.tolist() for i, t in zip(drawn.indices, drawn.tokens, strict=True)}
    assert [found[0], found[1]] == expected
    assert drawn.description["formats"] == {"text": 3}
    other = write_lines(tmp_path / "o.jsonl", [{"body": "hello world"}])
    named = load_calibration(other, tokenizer, text_field="body")
    assert named.tokens[0].tolist() == tokenizer("hello world")["input_ids"]


def test_a_text_file_is_cut_into_windows_that_lose_nothing(
    tmp_path: Path, make_tokenizer: MakeTokenizer
) -> None:
    tokenizer = make_tokenizer()
    text = "the quick brown fox, hello world — how are you?\n" * 7
    (tmp_path / "t.txt").write_text(text, encoding="utf-8")
    drawn = load_calibration(tmp_path / "t.txt", tokenizer, sequence_length=10)
    order = np.argsort(drawn.indices)
    windows = [drawn.tokens[k] for k in order]
    assert all(window[0] == tokenizer.bos_token_id for window in windows)
    assert {len(window) for window in windows[:-1]} == {10}
    assert tokenizer.decode(np.concatenate([window[1:] for window in windows])) == text
    with pytest.raises(InputError, match="make it longer"):
        load_calibration(
            tmp_path / "t.txt", _with_prefix(make_tokenizer, "<s> <s> $A"), sequence_length=2
        )


def _with_prefix(make_tokenizer: MakeTokenizer, single: Any) -> Any:
    from tokenizers import processors

    tokenizer = make_tokenizer()
    tokenizer._tokenizer.post_processor = processors.TemplateProcessing(
        single=single, special_tokens=[("<s>", 0)]
    )
    return tokenizer


@pytest.mark.parametrize("template", [CHATML, MARKED, None], ids=["prefix", "marked", "plain"])
def test_only_the_answers_count_when_the_prompt_is_masked(
    chats: Path, make_tokenizer: MakeTokenizer, template: Any
) -> None:
    tokenizer = make_tokenizer(template)
    whole = load_calibration(chats, tokenizer)
    masked = load_calibration(chats, tokenizer, mask_prompt=True)
    assert whole.tokens[0].tolist() == masked.tokens[0].tolist()
    assert whole.targets[0][1:].all()
    end = "</s>" if template is None else "<|im_end|>"
    answers = counted(tokenizer, masked).replace("\n", "").replace(" quick", "quick").strip()
    assert answers == f"how are you{end}quick brown{end}"
    assert masked.description["unlocated_turns"] == 0
    assert masked.description["counted_tokens"] == masked.targets[0].sum()


def test_the_tokens_of_a_chat_are_those_of_the_template(
    chats: Path, make_tokenizer: MakeTokenizer
) -> None:
    tokenizer = make_tokenizer(CHATML)
    drawn = load_calibration(chats, tokenizer)
    assert drawn.tokens[0].tolist() == tokenizer.apply_chat_template(QUESTIONS)["input_ids"]
    digest = hashlib.sha256(CHATML.encode()).hexdigest()
    assert drawn.description["chat_template"] == f"sha256:{digest}"


def test_both_spellings_of_a_chat_are_one(
    tmp_path: Path, chats: Path, make_tokenizer: MakeTokenizer
) -> None:
    roles = {"user": "human", "assistant": "gpt"}
    hermes = [{"from": roles[m["role"]], "value": m["content"]} for m in QUESTIONS]
    other = write_lines(tmp_path / "hermes.jsonl", [{"conversations": hermes, "id": 3}])
    tokenizer = make_tokenizer(CHATML)
    first, second = load_calibration(chats, tokenizer), load_calibration(other, tokenizer)
    assert first.description["tokens_sha256"] == second.description["tokens_sha256"]
    assert second.description["formats"] == {"chat": 1}


def test_a_tokenizer_without_template_gets_plain_turns(
    tmp_path: Path, make_tokenizer: MakeTokenizer
) -> None:
    tokenizer = make_tokenizer()
    drawn = load_calibration(
        write_lines(tmp_path / "t.jsonl", [{"messages": WITH_SYSTEM}]), tokenizer
    )
    assert (
        tokenizer.decode(drawn.tokens[0])
        == "<s>System: world\n\nUser: hello\n\nAssistant: how are you</s>"
    )
    assert drawn.description["chat_template"] == "plain"


def test_turns_that_a_template_rewrites_are_not_guessed(
    chats: Path, make_tokenizer: MakeTokenizer
) -> None:
    tokenizer = make_tokenizer(REASONING)
    drawn = load_calibration(chats, tokenizer, mask_prompt=True)
    assert counted(tokenizer, drawn).strip() == "<think></think>quick brown<|im_end|>"
    assert drawn.description["unlocated_turns"] == 1


def test_chats_that_a_template_refuses_are_passed_over(
    tmp_path: Path, make_tokenizer: MakeTokenizer
) -> None:
    rows = [{"messages": WITH_SYSTEM}, {"messages": QUESTIONS}, {"messages": []}]
    file = write_lines(tmp_path / "t.jsonl", rows)
    drawn = load_calibration(file, make_tokenizer(STRICT))
    assert drawn.indices.tolist() == [1]
    assert drawn.description["skipped"] == {
        "fewer than 2 tokens": 1,
        "refused by the chat template": 1,
    }
    write_lines(file, rows[:1])
    with pytest.raises(InputError, match=r"none gives a sample \(1 refused by the chat template\)"):
        load_calibration(file, make_tokenizer(STRICT))


def test_templates_that_print_the_day_print_the_same_one(
    chats: Path, make_tokenizer: MakeTokenizer
) -> None:
    tokenizer = make_tokenizer(DATED)
    text = tokenizer.decode(load_calibration(chats, tokenizer).tokens[0])
    assert text.startswith("2024-07-26<|im_start|>")


def test_samples_without_a_counted_token_are_passed_over(
    tmp_path: Path, make_tokenizer: MakeTokenizer
) -> None:
    tokenizer = make_tokenizer(CHATML)
    file = write_lines(tmp_path / "t.jsonl", [{"messages": QUESTIONS}, {"messages": QUESTIONS[:1]}])
    drawn = load_calibration(file, tokenizer, mask_prompt=True)
    assert drawn.description["skipped"] == {"no token counted": 1}
    with pytest.raises(InputError, match=r"2 no token counted.*leave the prompt unmasked"):
        load_calibration(file, tokenizer, mask_prompt=True, sequence_length=3)


def test_labels_mask_token_ids(tmp_path: Path) -> None:
    row = {"input_ids": [0, 5, 6, 7], "labels": [-100, -100, 6, 7], "attention_mask": [0, 1, 1, 1]}
    file = write_lines(tmp_path / "t.jsonl", [row])
    assert load_calibration(file).targets[0].tolist() == [False, True, True]
    masked = load_calibration(file, mask_prompt=True)
    assert (masked.tokens[0].tolist(), masked.targets[0].tolist()) == (
        [5, 6, 7],
        [False, True, True],
    )
    row["labels"] = [-100, -100, -100, 7]
    write_lines(file, [row])
    assert load_calibration(file, mask_prompt=True).targets[0].tolist() == [False, False, True]


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("t.jsonl", "", "is empty; write at least one sample"),
        ("t.jsonl", "\n \n", "is empty"),
        ("t.json", "[]", "is empty"),
        ("t.json", "[1, 2", "is not JSON"),
        ("t.jsonl", "\n[1, 2\n", r"line 2 of \S+t.jsonl is not JSON \(.*\); put one JSON value into each line"),
        ("t.jsonl", "3\n", "line 1 of .* must be a JSON object, a string or a list"),
        ("t.jsonl", '{"a": 1, "b": 2}', "has no input_ids or messages or .*, only a, b; name the column"),
        ("t.jsonl", '{"text": "x"}', r"is text, which only a tokenizer .* pass tokenizer="),
        ("t.jsonl", '{"messages": [{"role": "user", "content": "x"}]}', "is a chat, which only"),
        ("t.jsonl", '{"messages": [{"role": "bard", "content": "x"}]}', "unknown role 'bard'; use one of system, user"),
        ("t.jsonl", '{"messages": [{"role": "user", "content": [1]}]}', "without a text and its role"),
        ("t.jsonl", '{"messages": ["x"]}', "without a text and its role"),
        ("t.jsonl", '{"messages": {"a": 1}}', "must hold a list of messages, not {'a': 1}"),
        ("t.jsonl", '{"input_ids": [1, 2.5]}', "must hold token ids as a list of integers"),
        ("t.jsonl", '{"input_ids": [1, -2]}', "negative token id -2"),
        ("t.jsonl", '{"input_ids": [1, 2], "attention_mask": [1]}', "1 attention_mask for 2 token ids"),
        ("t.jsonl", "[1]", r"none gives a sample \(1 fewer than 2 tokens\)"),
        ("t.txt", "words", "only a tokenizer"),
        ("t.npy", "words", "damaged .npy header"),
        ("t.csv", "a,b", "in no format"),
    ],
)  # fmt: skip
def test_files_that_are_refused(tmp_path: Path, name: str, text: str, message: str) -> None:
    (tmp_path / name).write_text(text)
    source = [tmp_path / name] if name != "t.csv" else [tmp_path / name, tmp_path / name]
    with pytest.raises(InputError, match=message) as caught:
        load_calibration(source)
    assert "\n" not in str(caught.value)


def test_arrays_that_are_no_tokens(tmp_path: Path) -> None:
    np.save(tmp_path / "f.npy", np.zeros((2, 2)))
    with pytest.raises(InputError, match="integers in one or two dimensions, not float64"):
        load_calibration(tmp_path / "f.npy")
    np.save(tmp_path / "e.npy", np.zeros(0, np.int64))
    with pytest.raises(InputError, match="is empty"):
        load_calibration(tmp_path / "e.npy")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"num_samples": 0}, "num_samples must be at least 1, not 0"),
        ({"sequence_length": 1}, "sequence_length must be at least 2, not 1"),
        ({"seed": -1}, "seed must be at least 0"),
        ({"num_samples": 1.5}, "num_samples must be an integer"),
        ({"mask_prompt": True}, "has no labels; leave it off"),
        ({"text_field": "body"}, "has no body, only input_ids; name the column"),
    ],
)
def test_arguments_that_are_refused(fifty: Path, options: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        load_calibration(fifty, **options)


def test_sources_that_are_not_there(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"no.jsonl does not exist; check the path"):
        load_calibration(tmp_path / "no.jsonl")
    with pytest.raises(InputError, match="no calibration data is given"):
        load_calibration([])
    with pytest.raises(InputError, match="not as NoneType; save it to a file"):
        load_calibration(None)
    with pytest.raises(InputError, match="not the name 'gpt2'; pass AutoTokenizer"):
        load_calibration(tmp_path / "no.jsonl", "gpt2")
    (tmp_path / "latin.txt").write_bytes("caf\xe9".encode("latin-1"))
    with pytest.raises(InputError, match=r"only a tokenizer"):
        load_calibration(tmp_path / "latin.txt")


def test_texts_that_are_refused(tmp_path: Path, make_tokenizer: MakeTokenizer) -> None:
    tokenizer = make_tokenizer()
    (tmp_path / "latin.txt").write_bytes("caf\xe9".encode("latin-1"))
    with pytest.raises(InputError, match=r"is not UTF-8 text \(byte 3\)"):
        load_calibration(tmp_path / "latin.txt", tokenizer)
    file = write_lines(tmp_path / "t.jsonl", ["hello world"])
    with pytest.raises(InputError, match=r"line 1 of \S+ is plain text; leave it off"):
        load_calibration(file, tokenizer, mask_prompt=True)
    pytest.importorskip("pyarrow")
    (tmp_path / "bad.parquet").write_text("PAR1")
    with pytest.raises(InputError, match="is not a parquet file"):
        load_calibration(tmp_path / "bad.parquet")
