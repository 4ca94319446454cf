"""Documents for perplexities, from files."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from qubo_prune.core.errors import InputError
from qubo_prune.core.files.disk import read_file
from qubo_prune.core.text import format_value
from qubo_prune.hessians.calibration.sources import Window, open_source

__all__ = ["read_documents"]

_COLUMNS = ("text", "page")
"""Columns that hold a document, the first one that a row has; the second is wikitext's."""


def read_documents(
    files: str | os.PathLike[str] | Sequence[str | os.PathLike[str]],
) -> tuple[str, ...]:
    r"""Return the documents of files, without empty ones.

    Parameters
    ----------
    files : path or sequence of path
        A ``.txt`` is one document; in ``.jsonl``, ``.json`` and ``.parquet`` every row with
        ``text`` or ``page`` is one.

    Raises
    ------
    InputError
        If a file cannot be read, or holds no text.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     file = Path(folder, "pages.jsonl")
    ...     _ = file.write_text('{"page": "one"}\n{"page": " "}\n{"page": "two"}\n')
    ...     read_documents(file)
    ('one', 'two')
    """
    paths = [files] if isinstance(files, str | os.PathLike) else list(files)
    documents = [each for path in paths for each in _documents(Path(path)) if each.strip()]
    if not documents:
        raise InputError(
            f"there is no text in {', '.join(map(str, paths)) or 'no file at all'}; give others."
        )
    return tuple(documents)


def _documents(path: Path) -> list[str]:
    if path.suffix == ".txt":
        try:
            return [read_file(path).decode("utf-8-sig")]
        except UnicodeDecodeError as error:
            raise InputError(
                f"{path} is not UTF-8 text (byte {error.start}); convert it to UTF-8."
            ) from error
    if path.suffix == ".npy" or not path.is_file():
        read_file(path)  # says what is wrong with it, if anything
        raise InputError(f"{path} holds tokens, not text; give the text that they are of.")
    rows = open_source(path, _NO_WINDOWS, split="train", config=None, revision=None).rows
    return [_document(rows[index], rows.where(index)) for index in range(len(rows))]


_NO_WINDOWS = Window(0, None, lambda _text: np.empty(0, np.int64))
"""Texts are not cut here."""


def _document(row: object, where: str) -> str:
    for name in _COLUMNS:
        value = row.get(name) if isinstance(row, dict) else None
        if isinstance(value, str):
            return value
    raise InputError(
        f"{where} has no text in {' or '.join(_COLUMNS)}, only {format_value(row)}; name the column"
        " so."
    )
