"""What a page says, read back from its HTML."""

from __future__ import annotations

import csv
import io
from html.parser import HTMLParser
from urllib.parse import unquote


class Parsed(HTMLParser):
    """Tags, texts of the cells of tables by figure, and the CSV that each figure offers."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.figure = ""
        self.cells: dict[str, list[list[str]]] = {}
        self.files: dict[str, list[list[str]]] = {}
        self.inside = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given_attributes = dict(attrs)
        self.tags.append((tag, given_attributes))
        if tag == "figure":
            self.figure = given_attributes["id"] or ""
            assert self.figure not in self.files, "two figures of one name"
        elif tag == "tr":
            self.cells.setdefault(self.figure, []).append([])
        elif tag in {"td", "th"}:
            self.cells[self.figure][-1].append("")
        elif tag == "a" and given_attributes.get("class") == "csv":
            address = given_attributes["href"] or ""
            text = unquote(address.removeprefix("data:text/csv;charset=utf-8,"))
            self.files[self.figure] = list(csv.reader(io.StringIO(text)))
        self.inside = tag if tag in {"td", "th", "button"} else ""

    def handle_endtag(self, tag: str) -> None:
        self.inside = ""

    def handle_data(self, data: str) -> None:
        if self.inside in {"td", "th", "button"} and self.cells.get(self.figure):
            self.cells[self.figure][-1][-1] += data
