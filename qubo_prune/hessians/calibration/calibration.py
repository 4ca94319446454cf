"""Calibration data: which samples, as which tokens, and where the loss counts.

The paper draws 2,048 samples at random from OpenHermes-2.5 (section 4; appendix D compares data
sets). It does not say how long they are; 1,024 tokens is its maximum in retraining (appendix G,
table 10) and the default here.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from qubo_prune.core.errors import InputError
from qubo_prune.core.text import format_value
from qubo_prune.core.validation import as_count
from qubo_prune.hessians.calibration import chat
from qubo_prune.hessians.calibration.rows import UnusableRowError, require_characters
from qubo_prune.hessians.calibration.sources import NoTokenizerError, Window, open_source

__all__ = ["Calibration", "load_calibration"]

_COLUMNS = ("input_ids", "messages", "conversations", "text")
"""Columns that are taken for the sample, the first one that a row has."""

_NOT_COUNTED = -100
"""What a label is where the loss ignores a token, as everywhere in transformers and torch."""

_CHATS = ("messages", "conversations")
_PROBE = 1000
"""Characters of a text that are enough to see what the tokenizer puts before it."""

_TOO_SHORT = "fewer than 2 tokens"
_NOTHING_COUNTED = "no token counted"
_REFUSED = "refused by the chat template"


@dataclass(frozen=True, eq=False)
class Calibration:
    """Samples ready for a model.

    Attributes
    ----------
    tokens : tuple of (T,) int64
        Token ids of each sample, not padded, at least two.
    targets : tuple of (T,) bool
        Whether the prediction *of* each token counts in the loss of its sample. The first never
        does, nothing precedes it; at least one does.
    indices : (m,) int64
        Row of each sample in its source, counted from 0; of files in the order in which they were
        given.
    description : dict
        Where the samples come from and how they were made, JSON-able and the same on every machine:
        ``source`` with what identifies it (``sha256`` of files, ``revision`` of a dataset of the
        hub, ``fingerprint`` of one saved on disk), ``rows``, ``samples``, ``requested_samples``,
        ``seed``, ``formats``, ``skipped``, ``truncated``, ``sequence_length``, ``mask_prompt``,
        ``chat_template``, ``tokens``, ``counted_tokens`` and ``tokens_sha256``, the checksum of all
        tokens and targets. A shard keeps the description of the whole.
    """

    tokens: tuple[NDArray[np.int64], ...]
    targets: tuple[NDArray[np.bool_], ...]
    indices: NDArray[np.int64]
    description: dict[str, Any]

    def __len__(self) -> int:
        """Return the number of samples."""
        return len(self.tokens)

    def shard(self, i: int, n: int) -> Calibration:
        """Return the i-th of n contiguous shards, whose sizes differ by at most one.

        Parameters
        ----------
        i : int
            Which shard, counted from 1.
        n : int
            How many there are, at most one per sample.

        Raises
        ------
        InputError
            If there is no such shard.
        """
        number, of = as_count(i, "the number of a shard"), as_count(n, "the number of shards")
        if not 1 <= of <= len(self):
            raise InputError(
                f"there must be between 1 and {len(self)} shards, one sample each, not"
                f" {format_value(of)}; ask for fewer."
            )
        if not 1 <= number <= of:
            raise InputError(
                f"shards are counted from 1 to {of}, there is no shard {format_value(number)};"
                " correct it."
            )
        return self.part((len(self) * (number - 1)) // of, (len(self) * number) // of)

    def part(self, first: int, last: int) -> Calibration:
        """Return the samples from `first` up to `last`, which is none of them.

        Parameters
        ----------
        first, last : int
            As in a slice.
        """
        return replace(
            self,
            tokens=self.tokens[first:last],
            targets=self.targets[first:last],
            indices=self.indices[first:last],
        )


def load_calibration(
    source: str | os.PathLike[str] | Sequence[str | os.PathLike[str]],
    tokenizer: Any = None,
    *,
    num_samples: int = 2048,
    sequence_length: int = 1024,
    seed: int = 0,
    split: str = "train",
    config: str | None = None,
    revision: str | None = None,
    text_field: str | None = None,
    mask_prompt: bool = False,
) -> Calibration:
    r"""Draw calibration samples, without replacement, and turn them into tokens.

    A row is a chat (``messages`` with ``role`` and ``content``, or ``conversations`` with ``from``
    and ``value``; also as JSON in a string), a text (``text``) or token ids (``input_ids``, with an
    optional ``attention_mask``); the first of these columns that it has decides. A file ``.txt``,
    and a ``.npy`` of one dimension, is cut into consecutive windows of `sequence_length` tokens,
    and windows are drawn. Everything else is one sample per row, cut off at `sequence_length`
    tokens.

    Rows with fewer than two tokens, with no token that counts, that the chat template refuses, or
    that are not what they should be (no text, half a character, a message of an unknown role or in
    parts...) are passed over; others take their place, and the description counts them by reason.
    Where fewer usable rows are there than asked for, all are taken.

    Parameters
    ----------
    source : str, path or sequence of them
        Files (``.jsonl``, ``.json``, ``.txt``, ``.parquet``, ``.npy``), the folder of a dataset
        saved by the library datasets, or the name of a dataset of the hub.
    tokenizer : transformers tokenizer, optional
        Not needed for token ids. Without a chat template, turns are written as ``Role: content``
        with blank lines between them and the end-of-sequence token after each answer.
    num_samples : int
        How many samples.
    sequence_length : int
        Most tokens of a sample.
    seed : int
        The same seed draws the same rows on every machine; fewer samples are the first of more.
    split, config, revision : str, optional
        Which split, configuration and revision of a dataset.
    text_field : str, optional
        The column to take instead, of any of the three kinds.
    mask_prompt : bool
        Whether only the assistant's turns of chats count, and of token ids those whose ``labels``
        are not -100. Turns are found by the template's ``{% generation %}`` marks, or else by
        comparing the chat up to a turn with the chat through it.

    Returns
    -------
    Calibration

    Raises
    ------
    InputError
        If the source cannot be read, a row is of no known kind, no row is usable, or an argument is
        out of range.

    Examples
    --------
    >>> import tempfile, pathlib
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     file = pathlib.Path(folder, "tokens.jsonl")
    ...     _ = file.write_text("[5, 6, 7]\n[8]\n[9, 10]\n")
    ...     calibration = load_calibration(file, num_samples=2, sequence_length=2)
    >>> sorted(tokens.tolist() for tokens in calibration.tokens), calibration.description["skipped"]
    ([[5, 6], [9, 10]], {'fewer than 2 tokens': 1})
    """
    wanted = as_count(num_samples, "num_samples", least=1)
    length = as_count(sequence_length, "sequence_length", least=2)
    if isinstance(tokenizer, str | os.PathLike):
        raise InputError(
            f"tokenizer must be a tokenizer, not the name {format_value(tokenizer)}; pass"
            " AutoTokenizer.from_pretrained of that name."
        )
    reader = _Reader(tokenizer, length, text_field, mask_prompt)
    rows, described = open_source(
        source, reader.window(), split=split, config=config, revision=revision
    )
    samples: list[_Sample] = []
    indices: list[int] = []
    skipped: Counter[str] = Counter()
    sentence = ""
    for index in _order(len(rows), as_count(seed, "seed", least=0)):
        if len(samples) == wanted:
            break
        try:
            sample = reader.read(rows[index], rows.where(index))
        except UnusableRowError as error:
            skipped[error.reason] += 1
            sentence = sentence or str(error)
        else:
            samples.append(sample)
            indices.append(index)
    if not samples:
        remedy = f"give other data{' or leave the prompt unmasked' if mask_prompt else ''}."
        raise InputError(
            f"of the {len(rows)} rows none gives a sample ({_reasons(skipped)}); "
            f"{sentence or remedy}"
        )
    described |= {
        "rows": len(rows),
        "samples": len(samples),
        "requested_samples": wanted,
        "seed": int(seed),
        "formats": dict(sorted(Counter(sample.format for sample in samples).items())),
        "skipped": dict(sorted(skipped.items())),
        "truncated": sum(sample.truncated for sample in samples),
        "sequence_length": length,
        "mask_prompt": mask_prompt,
        "chat_template": (
            chat.describe_template(tokenizer)
            if any(sample.format == "chat" for sample in samples)
            else None
        ),
        "unlocated_turns": sum(sample.lost for sample in samples),
        "tokens": sum(len(sample.tokens) for sample in samples),
        "counted_tokens": int(sum(sample.targets.sum() for sample in samples)),
        "tokens_sha256": _checksum(samples),
    }
    return Calibration(
        tokens=tuple(sample.tokens for sample in samples),
        targets=tuple(sample.targets for sample in samples),
        indices=np.array(indices, np.int64),
        description=described,
    )


class _Sample(NamedTuple):
    tokens: NDArray[np.int64]
    targets: NDArray[np.bool_]
    format: str
    truncated: bool
    lost: int


@dataclass(frozen=True)
class _Reader:
    """Turns a row into a sample."""

    tokenizer: Any
    length: int
    text_field: str | None
    mask_prompt: bool

    def window(self) -> Window:
        """Return how texts without rows are cut."""
        if self.tokenizer is None:
            return Window(self.length, None, lambda _text: np.empty(0, np.int64))
        return Window(self.length, self._encode, self._prefix)

    def read(self, row: Mapping[str, Any], where: str) -> _Sample:
        """Return the sample of a row.

        Raises
        ------
        UnusableRowError
            If it has none.
        """
        column = self._column(row, where)
        kind, value = self._kind(column, row[column], where)
        lost = 0
        if kind == "text":
            tokens, targets = self._read_text(value, where)
        elif kind == "chat":
            try:
                tokens, targets, lost = self._read_chat(chat.as_messages(value, where), where)
            except chat.TemplateRefusedError as error:
                raise UnusableRowError(_REFUSED, "") from error
        else:
            tokens, targets = self._read_tokens(value, row, where)
        truncated = len(tokens) > self.length
        tokens, targets = tokens[: self.length], targets[: self.length].copy()
        if len(tokens) < 2:
            raise UnusableRowError(_TOO_SHORT, "")
        targets[0] = False
        if not targets.any():
            raise UnusableRowError(_NOTHING_COUNTED, "")
        return _Sample(tokens, targets, kind, truncated, lost)

    def _column(self, row: Mapping[str, Any], where: str) -> str:
        candidates = _COLUMNS if self.text_field is None else (self.text_field,)
        for name in candidates:
            if row.get(name) is not None:
                return name
        empty = [name for name in candidates if name in row]
        if empty:
            raise UnusableRowError(
                f"no {empty[0]}", f"{where} has nothing in {empty[0]}; give other data."
            )
        raise UnusableRowError(
            f"no {' or '.join(candidates)}",
            f"{where} has no {' or '.join(candidates)}, only"
            f" {', '.join(map(str, row)) or 'nothing'}; name the column with text_field.",
        )

    def _kind(self, column: str, value: Any, where: str) -> tuple[str, Any]:
        """Return what a column holds: what its name says, or for another one what it looks like."""
        if column in _CHATS:
            return "chat", _parsed(value, column, where) if isinstance(value, str) else value
        if column == "input_ids":
            return "tokens", value
        if column == "text" or isinstance(value, str):
            if not isinstance(value, str):
                raise UnusableRowError(
                    f"{column} is no text",
                    f"{where} must hold a text in {column}, not {format_value(value)}; name"
                    " another column with text_field.",
                )
            return "text", value
        return ("chat" if _is_chat(value) else "tokens"), value

    def _prefix(self, text: str) -> NDArray[np.int64]:
        """Return the special tokens before a text, found on its own beginning: another text may
        hold characters that the tokenizer does not know.
        """
        probe = self.tokenizer(text.strip()[:_PROBE], return_special_tokens_mask=True)
        special = np.array(probe["special_tokens_mask"], np.bool_)
        before = 0 if special.all() else int(special.argmin())
        return np.array(probe["input_ids"][:before], np.int64)

    def _encode(self, text: str) -> NDArray[np.int64]:
        encoded = self.tokenizer(text, add_special_tokens=False, verbose=False)
        return np.array(encoded["input_ids"], np.int64)

    def _read_text(self, text: str, where: str) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
        if self.mask_prompt:
            raise InputError(
                f"mask_prompt needs chats, or token ids with labels, but {where} is plain text;"
                " leave it off."
            )
        self._require_tokenizer("text", where)
        text = require_characters(text, where)
        tokens = np.array(self.tokenizer(text, verbose=False)["input_ids"], np.int64)
        return tokens, np.ones(len(tokens), np.bool_)

    def _read_chat(
        self, messages: list[dict[str, str]], where: str
    ) -> tuple[NDArray[np.int64], NDArray[np.bool_], int]:
        self._require_tokenizer("a chat", where)
        if not messages:
            return np.empty(0, np.int64), np.empty(0, np.bool_), 0
        if self.mask_prompt and not getattr(self.tokenizer, "is_fast", False):
            raise InputError(
                "mask_prompt needs a tokenizer that knows the characters of its tokens, and"
                f" {type(self.tokenizer).__name__} does not; use a fast tokenizer or leave it off."
            )
        if self.mask_prompt and chat.marks_answers(self.tokenizer):
            marked, mask = chat.tokens_with_mask(self.tokenizer, messages)
            return np.array(marked, np.int64), np.array(mask, np.bool_), 0
        rendered = chat.render(self.tokenizer, messages, locate=self.mask_prompt)
        if not self.mask_prompt:
            tokens = self._encode(rendered.text)
            return tokens, np.ones(len(tokens), np.bool_), 0
        encoded = self.tokenizer(
            rendered.text, add_special_tokens=False, return_offsets_mapping=True, verbose=False
        )
        tokens = np.array(encoded["input_ids"], np.int64)
        starts, ends = np.array(encoded["offset_mapping"], np.int64).reshape(-1, 2).T
        targets = np.zeros(len(tokens), np.bool_)
        for first, last in rendered.answers:
            targets |= (starts < last) & (ends > first)
        return tokens, targets, rendered.lost

    def _read_tokens(
        self, value: Any, row: Mapping[str, Any], where: str
    ) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
        tokens = _as_integers(value, "token ids", where)
        if tokens.min(initial=0) < 0:
            raise UnusableRowError(
                "a negative token id",
                f"{where} holds the negative token id {tokens.min()}; correct it.",
            )
        targets = np.ones(len(tokens), np.bool_)
        if self.mask_prompt:
            if row.get("labels") is None:
                raise InputError(
                    f"mask_prompt needs chats, or token ids with labels, but {where} has no labels;"
                    " leave it off."
                )
            targets = _as_integers(row["labels"], "labels", where, len(tokens)) != _NOT_COUNTED
        if row.get("attention_mask") is not None:
            present = _as_integers(row["attention_mask"], "attention_mask", where, len(tokens)) != 0
            tokens, targets = tokens[present], targets[present]
        return tokens, targets

    def _require_tokenizer(self, what: str, where: str) -> None:
        if self.tokenizer is None:
            raise NoTokenizerError(f"{where} is {what}")


def _is_chat(value: Any) -> bool:
    """Say whether a value is a list of messages; an empty list counts as no tokens."""
    return isinstance(value, Sequence) and len(value) > 0 and isinstance(value[0], Mapping)


def _parsed(text: str, column: str, where: str) -> Any:
    """Return the chat that a column holds as JSON."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise UnusableRowError(
            f"{column} is a text that is not JSON",
            f"{where} holds a text in {column} that is not JSON ({error}); put a list of messages"
            " there, or prose into a column text.",
        ) from error


def _as_integers(value: Any, what: str, where: str, length: int | None = None) -> NDArray[np.int64]:
    try:
        array = np.asarray(value)
    except ValueError:  # rows of unequal lengths
        array = np.empty((0, 0))
    if array.size == 0 and array.ndim == 1:
        array = array.astype(np.int64)
    if isinstance(value, Sequence) and value and isinstance(value[0], list | np.ndarray):
        raise UnusableRowError(
            f"nested {what}",
            f"{where} holds lists in its list of {what}, {format_value(value)}; give one flat list"
            " for each row, without a dimension for the batch.",
        )
    if array.ndim != 1 or array.dtype.kind not in "biu":
        raise UnusableRowError(
            f"{what} that are no list of integers",
            f"{where} must hold {what} as a list of integers, not {format_value(value)};"
            " correct it.",
        )
    if length not in (None, len(array)):
        raise UnusableRowError(
            f"{what} of another length",
            f"{where} has {len(array)} {what} for {length} token ids; give one for each.",
        )
    return array.astype(np.int64)


def _order(count: int, seed: int) -> list[int]:
    """Return all rows in a random order.

    By the raw output of the bit generator, which NumPy promises never to change; the streams of
    `numpy.random.Generator` may, between versions.
    """
    keys = np.random.PCG64(seed).random_raw(count)
    order: list[int] = np.argsort(keys, kind="stable").tolist()
    return order


def _checksum(samples: Sequence[_Sample]) -> str:
    digest = hashlib.sha256()
    for sample in samples:
        digest.update(np.int64(len(sample.tokens)).astype("<i8").tobytes())
        digest.update(sample.tokens.astype("<i8").tobytes())
        digest.update(sample.targets.tobytes())
    return digest.hexdigest()


def _reasons(skipped: Mapping[str, int]) -> str:
    return ", ".join(f"{count} {reason}" for reason, count in sorted(skipped.items()))
