"""Perplexity of texts, in the two forms that people publish.

*Rolling*, as lm-eval's ``loglikelihood_rolling`` does it: each document on its own, after a prefix
token, in windows that follow one another; every token of it is scored once. *Chunks*, as llama.cpp
does it: all documents as one text, cut into chunks of `n_ctx` tokens, of each of which the second
half is scored, so that every scored token has at least half a chunk before it.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from qubo_prune.core.errors import InputError
from qubo_prune.core.text import format_count
from qubo_prune.hessians.calibration.calibration import Calibration
from qubo_prune.pruning.evaluation.metrics import Metric
from qubo_prune.pruning.evaluation.watch import UNWATCHED, Watch

__all__ = ["CHUNK", "WINDOW", "Text", "chunks", "measure_chunks", "measure_rolling", "rolling"]

WINDOW = 2048
"""Most tokens of a rolling window, prefix included; lm-eval takes all that a model allows."""

CHUNK = 512
"""Tokens of a chunk, the default of llama.cpp."""

_BLOCK = 256
"""Most tokens of what errors and tests take for one sample; neighbours hardly depend on each other
in how much two models differ.
"""

_JOINT = "\n\n"


@dataclass(frozen=True)
class Text:
    """Documents, and the tokenizer of them all.

    Attributes
    ----------
    documents : tuple of str
        At least one, none empty.
    tokenizer : transformers tokenizer
        The same for every model that is compared.
    max_tokens : int, optional
        Score no more than so many tokens, of the first documents; whole windows are left out.
    """

    documents: tuple[str, ...]
    tokenizer: Any
    max_tokens: int | None = None

    def tokens(self, text: str) -> NDArray[np.int64]:
        """Return the tokens of a text, with what the tokenizer puts before it, if anything."""
        return np.array(self.tokenizer(text)["input_ids"], np.int64)

    @property
    def prefix(self) -> int:
        """The token that a document follows: begin of sequence, or else end."""
        for token in (self.tokenizer.bos_token_id, self.tokenizer.eos_token_id):
            if token is not None:
                return int(token)
        raise InputError(
            "the tokenizer has no begin-of-sequence and no end-of-sequence token, one of which a"
            " text has to follow; set its bos_token."
        )


@dataclass(frozen=True)
class Windows:
    """Windows of a text, and what they are of the whole.

    Attributes
    ----------
    calibration : Calibration
        The windows as samples; what is scored counts.
    words : (n,) float64
        How many words the scored tokens of each are: its share of the words of its document.
    facts : dict
        How they were cut.
    """

    calibration: Calibration
    words: NDArray[np.float64]
    facts: Mapping[str, int]

    @property
    def counts(self) -> NDArray[np.float64]:
        """How many tokens of each window are scored, (n,)."""
        return np.array([each.sum() for each in self.calibration.targets], np.float64)


def rolling(text: Text, window: int = WINDOW) -> Windows:
    """Return the windows in which every token of every document is scored once.

    The first window of a document begins with the prefix token, every other one with the last token
    of the one before; a short last one is filled up in front with tokens that do not count again.

    Parameters
    ----------
    text : Text
        The documents.
    window : int
        Most tokens that a model sees at once, ``max_length`` of lm-eval, and most that are scored.
    """
    tokens: list[NDArray[np.int64]] = []
    targets: list[NDArray[np.bool_]] = []
    words: list[float] = []
    left = math.inf if text.max_tokens is None else text.max_tokens
    for document in text.documents:
        ids = text.tokens(document)
        rate = count_words(document) / max(1, len(ids))
        seen = np.concatenate([[text.prefix], ids])
        for start in range(0, len(ids), window):
            scored = min(window, len(ids) - start)
            left -= scored
            if left < 0:
                return _windows(tokens, targets, words, {"window": window})
            end = start + scored
            sample = seen[max(0, end - window) : end + 1]
            tokens.append(sample)
            targets.append(np.arange(len(sample)) >= len(sample) - scored)
            words.append(scored * rate)
    return _windows(tokens, targets, words, {"window": window})


def chunks(text: Text, size: int = CHUNK) -> Windows:
    """Return the chunks of which the second half is scored.

    What is left over at the end is not scored. Where the tokenizer puts a begin-of-sequence token
    before a text, it takes the place of the first token of each chunk.

    Parameters
    ----------
    text : Text
        The documents, joined by blank lines.
    size : int
        Tokens of a chunk, ``n_ctx``; at least 4.
    """
    whole = _JOINT.join(text.documents)
    ids = text.tokens(whole)
    begins = text.tokenizer.bos_token_id is not None and ids[0] == text.tokenizer.bos_token_id
    first = size // 2
    scored = size - first - 1
    count = len(ids) // size
    if text.max_tokens is not None:
        count = min(count, text.max_tokens // scored)
    if count < 2:
        raise InputError(
            f"the text must give at least 2 chunks of {size} tokens, not {format_count(count)} of"
            f" its {format_count(len(ids))} tokens; give a longer text or a smaller chunk."
        )
    rate = count_words(whole) / len(ids)
    tokens = [ids[start : start + size].copy() for start in range(0, count * size, size)]
    if begins:
        for each in tokens:
            each[0] = text.tokenizer.bos_token_id
    target = np.arange(size) > first
    return _windows(tokens, [target] * count, [scored * rate] * count, {"chunk": size})


def count_words(document: str) -> int:
    """Return how many words a document has, as lm-eval counts: an empty one counts at each end
    where there is space.

    Examples
    --------
    >>> count_words("two words"), count_words(" two words ")
    (2, 4)
    """
    return len(re.split(r"\s+", document))


def measure_rolling(
    model: Any, windows: Windows, *, batch_size: int, watch: Watch = UNWATCHED
) -> list[Metric]:
    """Return the perplexities per token and per word of `rolling` windows.

    Parameters
    ----------
    model : transformers.PreTrainedModel
        A causal language model.
    windows : Windows
        Of `rolling`.
    batch_size : int
        Most windows at a time; halved whenever memory runs out.
    watch : Watch
        Told before every batch, and may end it.
    """
    nats, counts, words = _scored(model, windows, batch_size, watch)
    return [
        Metric.perplexity("token perplexity", nats, counts, facts=windows.facts),
        Metric.perplexity("word perplexity", nats, words, facts=windows.facts),
    ]


def measure_chunks(
    model: Any, windows: Windows, *, batch_size: int, watch: Watch = UNWATCHED
) -> list[Metric]:
    """Return the perplexity of `chunks`; the arguments are those of `measure_rolling`."""
    nats, counts, _ = _scored(model, windows, batch_size, watch)
    return [Metric.perplexity("perplexity as llama.cpp", nats, counts, facts=windows.facts)]


def _scored(
    model: Any, windows: Windows, batch_size: int, watch: Watch
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Return nats, tokens and words of blocks of the windows, of which there are enough to say how
    sure a perplexity is.
    """
    from qubo_prune.pruning.evaluation.samples import block_losses

    nats, counts = block_losses(
        model, windows.calibration, _BLOCK, batch_size=batch_size, watch=watch
    )
    rates = np.repeat(windows.words / windows.counts, -(-windows.counts // _BLOCK).astype(int))
    return nats, counts, counts * rates


def _windows(
    tokens: Sequence[NDArray[np.int64]],
    targets: Sequence[NDArray[np.bool_]],
    words: list[float],
    facts: Mapping[str, int],
) -> Windows:
    if not tokens:
        raise InputError(
            "the text gives no window to score; give a longer one, or allow more tokens of it."
        )
    calibration = Calibration(tuple(tokens), tuple(targets), np.arange(len(tokens)), {})
    return Windows(calibration, np.array(words, np.float64), facts)
