"""A tokenizer of single characters, and tiny models that know them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.tiny_models import BY_TYPE, build

CHARACTERS = "abcdefghijklmnopqrstuvwxyz0123456789 .\n:?#QA"
VOCABULARY_SIZE = 64


def make_tokenizer(begins: bool = False) -> Any:
    """Return a tokenizer of characters; with a begin-of-sequence token before texts if `begins`."""
    tokenizers = pytest.importorskip("tokenizers")
    transformers = pytest.importorskip("transformers")
    ids = {each: k for k, each in enumerate(["<unk>", "<s>", "</s>", *CHARACTERS])}
    inner = tokenizers.Tokenizer(tokenizers.models.WordLevel(ids, "<unk>"))
    inner.pre_tokenizer = tokenizers.pre_tokenizers.Split(
        tokenizers.Regex(r"[\s\S]"), behavior="isolated"
    )
    inner.decoder = tokenizers.decoders.Fuse()
    if begins:
        inner.post_processor = tokenizers.processors.TemplateProcessing(
            single="<s> $A", special_tokens=[("<s>", 1)]
        )
    ends: dict[str, str] = {}
    ends |= {
        f"{name}_token": text
        for name, text in zip(("bos", "eos", "unk"), ("<s>", "</s>", "<unk>"), strict=True)
    }
    return transformers.PreTrainedTokenizerFast(tokenizer_object=inner, **ends)


def tiny_llama(layers: int = 3, **more: Any) -> Any:
    """Return a model whose tokens these are."""
    settings = {"num_hidden_layers": layers, "vocab_size": VOCABULARY_SIZE, **more}
    return build(BY_TYPE["llama"], **settings)


def save_llama(folder: Path, layers: int = 3, **more: Any) -> Path:
    """Write such a model with its tokenizer, and return the folder."""
    tiny_llama(layers, **more).save_pretrained(folder)
    make_tokenizer().save_pretrained(folder)
    return folder
