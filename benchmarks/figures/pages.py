"""Figures in Markdown: where they are, which are taken from stored results, and writing them."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from benchmarks.figures.stored import Values

ROOT = Path(__file__).resolve().parents[2]

_NO_FIGURES = ("python", "console", "output", "toml")
"""Blocks that tests/test_docs.py runs, what they print, and files."""

_FENCE = re.compile(r"^( *)```(\w+)([^\n]*)\n.*?^\1```$", re.MULTILINE | re.DOTALL)
_NOT_PROSE = re.compile(r"\]\([^)]*\)|<!--.*?-->|https?://\S+|arXiv:[\d.]+|`[^`\n]+`", re.DOTALL)

_SIGN = "[-\u2212+\u00d7x~<>]?"
_NUMBER = rf"(?<![\w.#/^\u207b-]){_SIGN}\d[\d,]*(?:\.\d+)?(?:e[+-]?\d+)?"
_UNITS = (
    *("s", "ms", "µs", "seconds?", "minutes?", "hours?", "days?"),
    *("GB", "MB", "kB", "GiB", "MiB", "TB", "bytes", "nats?", "bits"),
    *("states/s", "samples/s", "tokens/s", "nodes/s", "nodes", "times", "points"),
)
_BETWEEN = r"(?:\s+(?:processor|CPU|wall))?"
_FIGURE = re.compile(
    rf"{_NUMBER}\s*%|{_NUMBER}{_BETWEEN}\s+(?:{'|'.join(_UNITS)})\b(?!/)"
    rf"|{_NUMBER}(?=M\b)|{_NUMBER}/s\b"
    # Any number with decimals, but versions.
    rf"|(?<![\w.#/^\u207b-]){_SIGN}\d[\d,]*\.\d+(?:e[+-]?\d+)?(?![\d.]*\w)"
)


@dataclass(frozen=True)
class Claim:
    """A piece of a page with figures in it.

    Attributes
    ----------
    page : str
        The file, from the root.
    template : str
        The text, with ``{}`` for each figure; how its lines are broken does not matter.
    values : callable
        Returns the figures as texts.
    """

    page: str
    template: str
    values: Values

    @property
    def text(self) -> str:
        """The piece as it has to be."""
        return self.template.format(*self.values())

    def written_into(self, page: str) -> str:
        """Return a page with the figures of today.

        Raises
        ------
        LookupError
            If the page does not have this piece, whatever its figures are.
        """
        values = list(map(str, self.values()))
        count = len(values)
        first, *parts = self.template.split("{}")
        if len(parts) != count:
            raise LookupError(f"{self.page}: {count} figures for {self.template!r}")
        pattern = _loose(first) + "".join(
            # Where a figure ends, no figure goes on.
            rf"(?P<f{number}>\S+?(?: ± \S+?)?)(?![\d.,]*\d){_loose(part)}"
            for number, part in enumerate(parts)
        )
        found = list(re.finditer(pattern, page))
        if len(found) != 1:
            raise LookupError(f"{self.page}: {self.template!r} is there {len(found)} times")
        [match] = found
        for number in reversed(range(count)):
            start, end = match.span(f"f{number}")
            page = page[:start] + values[number] + page[end:]
        return page


@dataclass(frozen=True)
class MadeTable:
    """A table that is made of stored results; the page has one with its header and, if there are
    several, with its lines.

    Attributes
    ----------
    page : str
        The file, from the root.
    make : callable
        Returns it in Markdown.
    """

    page: str
    make: Callable[[], str]

    def written_into(self, page: str) -> str:
        """Return a page with the table of today.

        Raises
        ------
        LookupError
            If the page has no table with this header, or several.
        """
        made = self.make().split("\n")
        start, end = self.place(page)
        there = page[start:end].split("\n")
        indent = there[0][: len(there[0]) - len(there[0].lstrip())]
        # How columns are aligned is up to the page.
        lines = [indent + made[0], there[1], *(indent + line for line in made[2:])]
        return page[:start] + "\n".join(lines) + page[end:]

    def place(self, page: str) -> tuple[int, int]:
        """Return where the table is on its page.

        Raises
        ------
        LookupError
            If there is none, or no one of several.
        """
        made = self.make().split("\n")
        names = {_cells(line)[0] for line in made[2:]}

        def common(span: tuple[int, int]) -> int:
            lines = page[slice(*span)].split("\n")[2:]
            return len(names & {_cells(line)[0] for line in lines})

        found = [span for span in tables_of(page) if _cells(page[slice(*span)]) == _cells(made[0])]
        most = max(map(common, found), default=0)
        if len(found) > 1:
            found = [span for span in found if common(span) == most]
        if len(found) != 1:
            raise LookupError(f"{self.page} has {len(found)} tables with the header {made[0]}")
        return found[0]


@dataclass(frozen=True)
class Other:
    """Figures that come from no stored result, and why.

    Attributes
    ----------
    page : str
        The file, from the root.
    text : str
        A piece of it; how its lines are broken does not matter, and ``...`` is anything.
    why : str
        A sentence.
    """

    page: str
    text: str
    why: str


def pages() -> list[str]:
    """Return the pages that may have figures."""
    docs = (path.relative_to(ROOT).as_posix() for path in (ROOT / "docs").rglob("*.md"))
    return ["README.md", *sorted(docs)]


def tables_of(page: str) -> list[tuple[int, int]]:
    """Return where tables begin and end."""
    lines = r"^ *\|[^\n]*\|$(?:\n *\|[^\n]*\|$)*"
    return [match.span() for match in re.finditer(lines, page, re.MULTILINE)]


def figures_of(page: str) -> Iterator[tuple[int, int]]:
    """Yield where the measured figures of a page are, but for those of blocks that tests run.

    >>> text = "It took 3.1 s, 40 % of all, for 100 states; `a = 3.5`."
    >>> [text[start:end] for start, end in figures_of(text)]
    ['3.1 s', '40 %']
    """
    page = _FENCE.sub(
        lambda match: _blank(match.group()) if _is_run(match) else match.group(), page
    )
    page = _NOT_PROSE.sub(lambda match: _blank(match.group()), page)
    for match in _FIGURE.finditer(page):
        yield match.span()


def uncovered(page: str, pieces: list[str], spans: list[tuple[int, int]]) -> list[str]:
    """Return the lines of a page with figures that no piece of text and no span covers."""
    covered = list(spans)
    for piece in pieces:
        covered += places_of(page, piece)
    left = []
    for start, end in figures_of(page):
        if not any(low <= start and end <= high for low, high in covered):
            number = page.count("\n", 0, start)
            left.append(f"line {number + 1}: {page[start:end]!r} in: {page.splitlines()[number]}")
    return left


def places_of(page: str, piece: str) -> list[tuple[int, int]]:
    """Return where a page has a piece of text, however its lines are broken."""
    return [match.span() for match in re.finditer(_loose(piece), page)]


def _loose(text: str) -> str:
    """Return a pattern of a text whose lines may be broken anywhere, also in a list; ``...`` stands
    for anything, up to a few lines.
    """
    words = [".{1,400}?" if word == "..." else re.escape(word) for word in text.split(" ")]
    return "(?s:" + r"\s+".join(words) + ")" if text else ""


def _is_run(match: re.Match[str]) -> bool:
    return match.group(2) in _NO_FIGURES or "title=" in match.group(3)


def _blank(text: str) -> str:
    return re.sub(r"[^\n]", " ", text)


def _cells(table: str) -> list[str]:
    header, _, _ = table.partition("\n")
    return [cell.strip() for cell in header.strip().strip("|").split("|")]
