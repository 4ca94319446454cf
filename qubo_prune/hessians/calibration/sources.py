"""Rows of calibration data: local files, datasets on disk and datasets of the Hugging Face hub
behind one interface.

A row maps column names to values. Arrays of tokens and plain ``.txt`` files have no rows of their
own: they are cut into windows, each of which is a row with the column ``input_ids``.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from qubo_prune.core.errors import InputError
from qubo_prune.core.files.disk import read_array
from qubo_prune.core.text import format_value
from qubo_prune.hessians.calibration.rows import UnusableRowError

SUFFIXES = (".jsonl", ".ndjson", ".json", ".txt", ".parquet", ".npy")
"""What the names of files that can be read end in."""

_COMMIT = re.compile(r"[0-9a-f]{40}")


class Window(NamedTuple):
    """How texts and arrays of tokens without rows are cut.

    Attributes
    ----------
    length : int
        Tokens of a window.
    encode : callable or None
        Turns a text into token ids without special tokens; None without a tokenizer.
    prefix : callable
        Returns what the tokenizer puts before a text, such as the begin-of-sequence token; part of
        each window of it.
    """

    length: int
    encode: Callable[[str], NDArray[np.int64]] | None
    prefix: Callable[[str], NDArray[np.int64]]


class NoTokenizerError(InputError):
    """Texts were given, and no tokenizer.

    Parameters
    ----------
    what : str
        Where the text is, as ``line 3 of a.jsonl is text``.
    """

    def __init__(self, what: str) -> None:
        super().__init__(
            f"{what}, which only a tokenizer turns into tokens; pass tokenizer=, or token ids as"
            " input_ids."
        )
        self.what = what


class Rows(Protocol):
    """Rows that can be read in any order."""

    def __len__(self) -> int:
        """Return the number of rows."""
        ...

    def __getitem__(self, index: int, /) -> Mapping[str, Any]:
        """Return a row."""
        ...

    def where(self, index: int) -> str:
        """Return what to call a row in an error."""
        ...


class Source(NamedTuple):
    """Rows and where they come from, JSON-able and the same on every machine."""

    rows: Rows
    description: dict[str, Any]


def open_source(
    source: str | os.PathLike[str] | Sequence[str | os.PathLike[str]],
    window: Window,
    *,
    split: str,
    config: str | None,
    revision: str | None,
) -> Source:
    """Open files, a dataset on disk or one of the hub; the arguments are those of
    `load_calibration`.
    """
    given: list[Any] = list(source) if isinstance(source, list | tuple) else [source]
    for each in given:
        if not isinstance(each, str | os.PathLike):
            raise InputError(
                "calibration data is given by names of files or of a dataset, not as"
                f" {type(each).__name__}; save it to a file first."
            )
    if not given:
        raise InputError("no calibration data is given; name a dataset or files.")
    paths = [Path(each) for each in given]
    if len(paths) == 1 and paths[0].is_dir():
        return _open_saved(paths[0], split)
    if len(paths) == 1 and not paths[0].exists() and paths[0].suffix not in SUFFIXES:
        return _open_hub(os.fspath(given[0]), split, config, revision)
    parts = [_open_file(path, window) for path in paths]
    description = {
        "source": [path.name for path in paths],
        "sha256": [_sha256(path) for path in paths],
    }
    return Source(parts[0] if len(parts) == 1 else _Joined(parts), description)


class _Joined:
    """The rows of several files, one after the other."""

    def __init__(self, parts: Sequence[Rows]) -> None:
        self._parts = parts
        self._ends = np.cumsum([len(part) for part in parts])

    def __len__(self) -> int:
        return int(self._ends[-1])

    def __getitem__(self, index: int) -> Mapping[str, Any]:
        part, position = self._find(index)
        return part[position]

    def where(self, index: int) -> str:
        part, position = self._find(index)
        return part.where(position)

    def _find(self, index: int) -> tuple[Rows, int]:
        number = int(np.searchsorted(self._ends, index, side="right"))
        return self._parts[number], index - int(self._ends[number - 1] if number else 0)


class _Listed:
    """Rows that can be asked for by number: a list, a table of pyarrow, a dataset."""

    def __init__(self, path: Path, rows: Any, name: str = "row") -> None:
        self._path = path
        self._rows = rows
        self._name = name

    def __len__(self) -> int:
        return len(self._rows)

    def __getitem__(self, index: int) -> Mapping[str, Any]:
        return _as_row(self._rows[index], self.where(index))

    def where(self, index: int) -> str:
        return f"{self._name} {index} of {self._path}"


class _Parquet(_Listed):
    def __getitem__(self, index: int) -> Mapping[str, Any]:
        row: dict[str, Any] = self._rows.slice(index, 1).to_pylist()[0]
        return row


class _JsonLines:
    """A file with one JSON value in each line; only the lines that are asked for are parsed."""

    def __init__(self, path: Path) -> None:
        self._path = path
        # Three integers a line, for files of millions of lines.
        self._lines = np.fromiter(_lines(path), np.dtype((np.int64, 3)))

    def __len__(self) -> int:
        return len(self._lines)

    def __getitem__(self, index: int) -> Mapping[str, Any]:
        _, start, size = self._lines[index].tolist()
        with self._path.open("rb") as stream:
            stream.seek(start)
            text = stream.read(size)
        value = _from_json(text, self.where(index), "put one JSON value into each line")
        return _as_row(value, self.where(index))

    def where(self, index: int) -> str:
        return f"line {self._lines[index][0]} of {self._path}"


class _Windows:
    """Consecutive windows of one sequence of tokens."""

    def __init__(
        self, path: Path, tokens: NDArray[np.int64], prefix: NDArray[np.int64], length: int
    ) -> None:
        self._path = path
        self._tokens = tokens
        self._prefix = prefix
        self._step = length - len(prefix)
        if self._step < 1:
            raise InputError(
                f"sequence_length is {length}, but the tokenizer puts {len(prefix)} tokens before"
                " every text; make it longer."
            )

    def __len__(self) -> int:
        return (len(self._tokens) + self._step - 1) // self._step

    def __getitem__(self, index: int) -> Mapping[str, Any]:
        first = index * self._step
        return {
            "input_ids": np.concatenate([self._prefix, self._tokens[first : first + self._step]])
        }

    def where(self, index: int) -> str:
        return f"window {index} of {self._path}"


def _open_file(path: Path, window: Window) -> Rows:
    if path.suffix not in SUFFIXES:
        raise InputError(
            f"{path} is in no format that calibration data is read from; "
            f"give a file that ends in {', '.join(SUFFIXES)}."
        )
    if not path.is_file():
        what = "is not a file" if path.exists() else "does not exist"
        raise InputError(f"the calibration file {path} {what}; check the path.")
    try:
        if opener := _OPENERS.get(path.suffix):
            rows = opener(path)
        else:
            rows = _CUTTERS[path.suffix](path, window)
    except OSError as error:
        raise InputError(
            f"{path} cannot be read ({error.strerror or error}); check the path and its"
            " permissions."
        ) from error
    if not len(rows):
        raise InputError(f"the calibration file {path} is empty; write at least one sample to it.")
    return rows


def _open_json(path: Path) -> Rows:
    with path.open("rb") as stream:
        first = next((line.strip() for line in stream if line.strip()), b"")
    if not first.removeprefix(b"\xef\xbb\xbf").startswith(b"["):
        return _JsonLines(path)
    return _Listed(path, _from_json(path.read_bytes(), str(path), "write it again"), "entry")


def _open_text(path: Path, window: Window) -> Rows:
    if window.encode is None:
        raise NoTokenizerError(f"{path} holds text")
    try:
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise InputError(
            f"{path} is not UTF-8 text (byte {error.start}); convert it to UTF-8."
        ) from error
    return _Windows(path, window.encode(text), window.prefix(text), window.length)


def _open_tokens(path: Path, window: Window) -> Rows:
    with path.open("rb") as stream:
        tokens = read_array(stream, path.stat().st_size, str(path))
    if tokens.ndim not in (1, 2) or tokens.dtype.kind not in "iu":
        raise InputError(
            f"{path} must hold token ids, integers in one or two dimensions, not {tokens.dtype} of"
            f" shape {tokens.shape}; save one row per sample, or one long row."
        )
    if tokens.ndim == 1:
        return _Windows(path, tokens.astype(np.int64), np.empty(0, np.int64), window.length)
    return _Listed(path, tokens)


def _open_parquet(path: Path) -> Rows:
    _library("pyarrow", "parquet files")
    parquet = import_module("pyarrow.parquet")
    try:
        return _Parquet(path, parquet.read_table(path))
    except ValueError as error:  # what pyarrow raises for every damaged file derives from it
        raise InputError(
            f"{path} is not a parquet file ({_one_line(error)}); write it again."
        ) from error


_OPENERS: dict[str, Callable[[Path], Rows]] = {
    ".jsonl": _JsonLines,
    ".ndjson": _JsonLines,
    ".json": _open_json,
    ".parquet": _open_parquet,
}
_CUTTERS: dict[str, Callable[[Path, Window], Rows]] = {".txt": _open_text, ".npy": _open_tokens}


def _open_saved(path: Path, split: str) -> Source:
    datasets = _library("datasets", "datasets")
    try:
        saved = datasets.load_from_disk(str(path))
    except (OSError, ValueError) as error:
        raise InputError(
            f"the folder {path} is not a dataset saved by save_to_disk ({_one_line(error)}); "
            "name the files in it one by one."
        ) from error
    described: dict[str, Any] = {"source": path.name}
    if isinstance(saved, datasets.DatasetDict):
        if split not in saved:
            raise InputError(
                f"the dataset {path} has no split {split!r}; use one of"
                f" {', '.join(map(repr, saved))}."
            )
        saved = saved[split]
        described["split"] = split
    described["fingerprint"] = saved._fingerprint
    return _dataset_source(path, saved, described)


def _open_hub(name: str, split: str, config: str | None, revision: str | None) -> Source:
    datasets = _library("datasets", "datasets of the hub")
    try:
        # What datasets.load_dataset does, in three steps, because only the builder knows the
        # commit.
        builder = datasets.load_dataset_builder(name, config, revision=revision)
        builder.download_and_prepare()
        dataset = builder.as_dataset(split=split)
    except (OSError, ValueError, datasets.exceptions.DatasetsError) as error:
        raise InputError(
            f"there is no file {name!r}, and the hub's dataset {name!r} cannot be loaded"
            f" ({_one_line(error)}); check the name, config, split and revision, and that the hub"
            " can be reached, or give local files."
        ) from error
    commit = builder.hash
    if revision and _COMMIT.fullmatch(revision) and commit != revision:
        raise InputError(
            f"revision {revision} of {name!r} was asked for, but without the hub only {commit} is"
            " at hand; go online or ask for that one."
        )
    described = {
        "source": name,
        "config": builder.config.name,
        "split": split,
        "revision": commit,
    }
    return _dataset_source(Path(name), dataset, described)


def _dataset_source(name: Path, dataset: Any, described: dict[str, Any]) -> Source:
    if not len(dataset):
        raise InputError(f"the dataset {name} is empty; use another dataset or split.")
    # Whatever format the dataset was saved with, rows are plain Python.
    return Source(_Listed(name, dataset.with_format(None)), described)


def _library(name: str, what: str) -> ModuleType:
    try:
        return import_module(name)
    except ImportError as error:
        raise InputError(
            f"{what} are read by the library {name}, which is not installed; "
            "pip install 'qubo-prune[torch]'."
        ) from error


def _as_row(value: Any, where: str) -> Mapping[str, Any]:
    """Return a row of any of the kinds that a file may hold: an object, a text, a list of
    tokens.
    """
    if isinstance(value, Mapping):
        return value
    if isinstance(value, str):
        return {"text": value}
    if isinstance(value, list | np.ndarray):
        is_chat = len(value) > 0 and isinstance(value[0], Mapping)
        return {"messages" if is_chat else "input_ids": value}
    raise UnusableRowError(
        "neither an object nor a text nor token ids",
        f"{where} must be a JSON object, a string or a list of token ids, not"
        f" {format_value(value)}; correct it.",
    )


def _from_json(text: bytes, where: str, remedy: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise InputError(f"{where} is not JSON ({_one_line(error)}); {remedy}.") from error


def _lines(path: Path) -> Iterator[tuple[int, int, int]]:
    """Yield number, start and size of each line that is not blank."""
    start = 0
    with path.open("rb") as stream:
        for number, line in enumerate(stream, 1):
            if line.strip():
                yield number, start, len(line)
            start += len(line)


def _sha256(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _one_line(error: BaseException) -> str:
    return " ".join((str(error) or type(error).__name__).split()).rstrip(".")
