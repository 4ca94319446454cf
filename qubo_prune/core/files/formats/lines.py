"""Reading lines of numbers; whatever is wrong with one is a sentence that names the file and the
line.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from pathlib import Path
from typing import NoReturn

import numpy as np
from numpy.typing import NDArray

from qubo_prune.core.errors import InputError
from qubo_prune.core.text import format_value

INTEGER = re.compile(r"\d{1,18}", re.ASCII)
NUMBER = re.compile(r"[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?", re.ASCII)


class TextFile:
    """The lines of a text file.

    Parameters
    ----------
    path : path
        The file, for messages.
    data : bytes
        Its contents.
    remedy : str
        What a line should look like, for messages.
    """

    def __init__(self, path: Path, data: bytes, remedy: str) -> None:
        self.path = path
        self.remedy = remedy
        try:
            self.text = data.decode("utf-8-sig")
        except UnicodeDecodeError as error:
            line = data.count(b"\n", 0, error.start) + 1
            self.fail(line, f"it holds the byte 0x{data[error.start]:02x}, which is no text")

    def fail(self, line: int, problem: str) -> NoReturn:
        """Refuse the file because of what is wrong with a line."""
        raise InputError(f"line {line} of {self.path} cannot be read: {problem}; {self.remedy}.")

    def lines(self) -> Iterator[tuple[int, str]]:
        """Yield the numbers, from 1, and texts of the lines that are not blank."""
        for number, line in enumerate(self.text.split("\n"), start=1):
            stripped = line.strip()
            if stripped:
                yield number, stripped

    def integer(self, line: int, word: str, what: str) -> int:
        """Return a nonnegative integer."""
        if not INTEGER.fullmatch(word):
            self.fail(line, f"{what} is {format_value(word)}, not a whole number")
        return int(word)

    def number(self, line: int, word: str, what: str) -> float:
        """Return a finite number."""
        value = float(word) if NUMBER.fullmatch(word) else math.nan
        if not math.isfinite(value):
            self.fail(line, f"{what} is {format_value(word)}, not a finite number")
        return value

    def entry(self, line: int, text: str) -> tuple[int, int, float]:
        """Return the two integers and the number of a line ``i j value``."""
        words = text.split()
        if len(words) != 3:
            self.fail(line, f"{len(words)} words stand where three belong")
        first = self.integer(line, words[0], "the first index")
        second = self.integer(line, words[1], "the second index")
        return first, second, self.number(line, words[2], "the value")


class Entries:
    """The entries ``i j value`` of a file, each pair once in any order."""

    def __init__(self, file: TextFile) -> None:
        self._file = file
        self._values: dict[tuple[int, int], float] = {}
        self._lines: dict[tuple[int, int], int] = {}

    def put(self, line: int, first: int, second: int, value: float) -> None:
        """Take the entry of a line."""
        key = min(first, second), max(first, second)
        if key in self._lines:
            self._file.fail(line, f"line {self._lines[key]} has the entry {first} {second} already")
        self._lines[key] = line
        self._values[key] = value

    def __len__(self) -> int:
        return len(self._values)

    def arrays(self) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float64]]:
        """Return rows, columns and values; row <= column."""
        pairs = np.array(list(self._values), np.int64).reshape(-1, 2)
        return pairs[:, 0], pairs[:, 1], np.array(list(self._values.values()), np.float64)

    def split(
        self, nodes: NDArray[np.int64]
    ) -> tuple[NDArray[np.float64], NDArray[np.int64], NDArray[np.int64], NDArray[np.float64]]:
        """Return the diagonal, (n,), and rows, columns and values of the other entries, by position
        among the ascending indices `nodes`, (n,).
        """
        rows, columns, values = self.arrays()
        rows, columns = np.searchsorted(nodes, rows), np.searchsorted(nodes, columns)
        on_diagonal = rows == columns
        diagonal = np.zeros(len(nodes))
        diagonal[rows[on_diagonal]] = values[on_diagonal]
        off = ~on_diagonal
        return diagonal, rows[off], columns[off], values[off]
