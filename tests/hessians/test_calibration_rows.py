"""One bad row ends no run, a column is what its name says, and no tokenizer is asked about a text
that is not in the data.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from qubo_prune import InputError
from qubo_prune.hessians import load_calibration

tokenizers = pytest.importorskip("tokenizers")
transformers = pytest.importorskip("transformers")

CHAT = [{"role": "user", "content": "hi"}, {"role": "assistant", "content": "hello"}]


def byte_tokenizer(**options: Any) -> Any:
    pre = tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False)
    alphabet = ["<s>", "</s>", *sorted(pre.alphabet())]
    inner = tokenizers.Tokenizer(
        tokenizers.models.BPE(vocab={c: i for i, c in enumerate(alphabet)}, merges=[])
    )
    inner.pre_tokenizer = pre
    inner.post_processor = tokenizers.processors.TemplateProcessing(
        single="<s> $A", special_tokens=[("<s>", 0)]
    )
    ends = {"bos_token": "<s>", "eos_token": "</s>"}
    return transformers.PreTrainedTokenizerFast(tokenizer_object=inner, **ends, **options)


def nucleotides(*, bos: bool = True) -> Any:
    """A tokenizer that knows no a and has no token for what it does not know."""
    alphabet = ["<s>", "</s>", *"ACGTN"]
    inner = tokenizers.Tokenizer(
        tokenizers.models.BPE(vocab={c: i for i, c in enumerate(alphabet)}, merges=[])
    )
    if bos:
        inner.post_processor = tokenizers.processors.TemplateProcessing(
            single="<s> $A </s>", special_tokens=[("<s>", 0), ("</s>", 1)]
        )
    ends = {"bos_token": "<s>", "eos_token": "</s>"}
    return transformers.PreTrainedTokenizerFast(tokenizer_object=inner, **ends)


def written(folder: Path, rows: list[Any], name: str = "rows.jsonl") -> Path:
    path = folder / name
    path.write_text("\n".join(json.dumps(row) for row in rows) + "\n")
    return path


BAD_ROWS = [
    ({"text": None}, "no text"),
    ({"text": "half an emoji \ud83d"}, "half a character"),
    ({"text": "\udfff"}, "half a character"),
    ({"text": 5}, "text is no text"),
    ({"text": ["a", "b"]}, "text is no text"),
    ({"other": 1}, "no input_ids or messages or conversations or text"),
    ({"messages": None}, "no messages"),
    ({"messages": [{"role": "user", "content": None}]}, "a message without a text and its role"),
    ({"messages": [{"role": "user", "content": [{"type": "text"}]}]}, "a message in parts"),
    ({"messages": [{"role": "bard", "content": "x"}]}, "a message of an unknown role"),
    ({"messages": [{"role": "user", "content": "\ud800"}]}, "half a character"),
    ({"conversations": [{"from": "narrator", "value": "x"}]}, "a message of an unknown role"),
    ({"messages": "just prose"}, "messages is a text that is not JSON"),
    ({"messages": json.dumps({"role": "user"})}, "not a list of messages"),
    ({"input_ids": [[1, 2, 3]]}, "nested token ids"),
    ({"input_ids": [-1, 2]}, "a negative token id"),
    ({"input_ids": "1 2 3"}, "token ids that are no list of integers"),
    ({"input_ids": [1, 2], "attention_mask": [1]}, "attention_mask of another length"),
    (7, "neither an object nor a text nor token ids"),
]


@pytest.mark.parametrize(("row", "reason"), BAD_ROWS, ids=str)
def test_a_bad_row_is_passed_over_and_counted(tmp_path: Path, row: Any, reason: str) -> None:
    good = [{"text": f"sample number {i}"} for i in range(3)]
    path = written(tmp_path, [good[0], row, *good[1:], row])
    calibration = load_calibration(path, byte_tokenizer(), num_samples=10)
    assert len(calibration) == 3
    assert calibration.description["skipped"] == {reason: 2}
    alone = written(tmp_path, [row], "alone.jsonl")
    with pytest.raises(InputError, match=r"of the 1 rows none gives a sample") as caught:
        load_calibration(alone, byte_tokenizer(), num_samples=10)
    assert f"(1 {reason}); line 1 of" in str(caught.value)


def test_a_chat_as_json_is_a_chat(tmp_path: Path) -> None:
    as_text = written(tmp_path, [{"messages": json.dumps(CHAT)}], "text.jsonl")
    as_list = written(tmp_path, [{"messages": CHAT}], "list.jsonl")
    bare = written(tmp_path, [CHAT], "bare.jsonl")
    found = [load_calibration(path, byte_tokenizer()) for path in (as_text, as_list, bare)]
    assert [each.description["formats"] for each in found] == [{"chat": 1}] * 3
    assert len({each.tokens[0].tobytes() for each in found}) == 1


def test_nested_token_ids_have_a_sentence_of_their_own(tmp_path: Path) -> None:
    path = written(tmp_path, [{"input_ids": [[1, 2, 3]]}])
    with pytest.raises(InputError, match=r"lists in its list of token ids, .* one flat list"):
        load_calibration(path)


@pytest.mark.parametrize("make", [nucleotides, byte_tokenizer])
def test_token_ids_ask_no_tokenizer(tmp_path: Path, make: Any) -> None:
    tokenizer = make()

    class Silent:
        """Fails if it is asked for anything."""

        def __getattr__(self, name: str) -> Any:
            raise AssertionError(name)

    path = written(tmp_path, [[1, 2, 3], [2, 3]])
    np.save(tmp_path / "tokens.npy", np.arange(2, 7).repeat(10))
    for each in (tokenizer, Silent()):
        assert len(load_calibration(path, each)) == 2
        found = load_calibration(tmp_path / "tokens.npy", each, sequence_length=8, num_samples=2)
        assert len(found) == 2


def test_windows_begin_as_texts_do(tmp_path: Path) -> None:
    path = tmp_path / "genome.txt"
    path.write_text("ACGT" * 50)
    found = load_calibration(path, nucleotides(), sequence_length=16, num_samples=4)
    for tokens in found.tokens:
        assert tokens[0] == 0
        assert 1 not in tokens
        assert 0 not in tokens[1:]
    bare = load_calibration(path, nucleotides(bos=False), sequence_length=16, num_samples=4)
    assert all(0 not in tokens for tokens in bare.tokens)
    text = written(tmp_path, [{"text": "ACGT" * 3}])
    assert load_calibration(text, nucleotides()).tokens[0][0] == 0
