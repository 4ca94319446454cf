"""Pages for people: one file that works without a network, with figures, tables and their data.

A page asks nothing of any server: styles, script, figures and data are in it, and its content
security policy forbids the rest. Whatever comes from a file is escaped.
"""

from __future__ import annotations

import base64
import hashlib
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from importlib import resources
from pathlib import Path
from typing import IO

from qubo_prune.core.files.disk import check_suffix, write_atomically
from qubo_prune.core.files.kinds import Kind, require_replaceable
from qubo_prune.core.version import __version__
from qubo_prune.report.svg import looks
from qubo_prune.report.tables import Table, link_to_csv

__all__ = [
    "Choice",
    "Figure",
    "Page",
    "Section",
    "choose",
    "description_list",
    "figure_grid",
    "plain_name",
    "require_page",
    "save_page",
]


@dataclass(frozen=True)
class Figure:
    """A plot or table with a caption and the data that it shows.

    Attributes
    ----------
    name : str
        Of its file of data, without the suffix; of letters, digits and hyphens.
    title : str
        Plain text, nothing where the section says it.
    body : str
        HTML.
    caption : str
        Plain text: what is seen, and how it is defined.
    data : Table
        All that it shows.
    """

    name: str
    title: str
    body: str
    caption: str
    data: Table

    def to_html(self) -> str:
        """Return it as an element of a page."""
        title = f"<h3>{escape(self.title)}</h3>" if self.title else ""
        return (
            f'<figure id="{escape(self.name, quote=True)}">{title}{self.body}'
            f"<figcaption>{escape(self.caption)} {link_to_csv(self.data, self.name)}"
            "</figcaption></figure>"
        )


@dataclass(frozen=True)
class Section:
    """A part of a page.

    Attributes
    ----------
    identifier : str
        What its address ends in.
    title : str
        Plain text.
    body : str
        HTML.
    """

    identifier: str
    title: str
    body: str


@dataclass(frozen=True)
class Choice:
    """One of several things that the reader chooses from.

    Attributes
    ----------
    label : str
        Plain text.
    body : str
        HTML.
    """

    label: str
    body: str


def choose(identifier: str, label: str, choices: Sequence[Choice]) -> str:
    """Return HTML that shows one of several things; all of them where no script runs.

    The same identifier can be used more than once: what has the same place is shown together.
    """
    if len(choices) == 1:
        return choices[0].body
    options = "".join(
        f'<option value="{index}">{escape(choice.label)}' for index, choice in enumerate(choices)
    )
    bodies = "".join(
        f'<div data-choice="{index}"><p class="chosen">{escape(label)}: {escape(choice.label)}</p>'
        f"{choice.body}</div>"
        for index, choice in enumerate(choices)
    )
    return (
        f'<div data-choices="{escape(identifier, quote=True)}"><label class="choose">'
        f"{escape(label)} <select>{options}</select></label>{bodies}</div>"
    )


@dataclass(frozen=True)
class Page:
    """A page.

    Attributes
    ----------
    title, summary : str
        Plain text.
    sections : tuple of Section
        Its parts, in order.
    series : tuple of str
        Names of what figures draw; what each is called by number. The reader can hide any.
    """

    title: str
    summary: str
    sections: tuple[Section, ...]
    series: tuple[str, ...] = ()

    def to_html(self) -> str:
        """Return the whole file.

        Examples
        --------
        >>> page = Page("<b>", "A page.", (Section("a", "First", "<p>Text.</p>"),))
        >>> "<h1>&lt;b&gt;</h1>" in page.to_html()
        True
        """
        script = _asset("page.js")
        digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
        policy = (
            f"default-src 'none'; style-src 'unsafe-inline'; script-src 'sha256-{digest}';"
            " img-src data:; base-uri 'none'; form-action 'none'"
        )
        contents = "".join(
            f'<a href="#{escape(each.identifier)}">{escape(each.title)}</a>'
            for each in self.sections
        )
        parts = "".join(
            f'<section id="{escape(each.identifier)}"><h2>{escape(each.title)}</h2>{each.body}'
            "</section>"
            for each in self.sections
        )
        return (
            '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
            f'<meta http-equiv="Content-Security-Policy" content="{policy}">\n'
            '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
            '<meta name="color-scheme" content="light dark">\n'
            f'<meta name="generator" content="qubo-prune {__version__}">\n'
            f'<link rel="icon" href="data:,">\n<title>{escape(self.title)}</title>\n'
            f"<style>{_asset('page.css')}</style>\n</head>\n<body>\n<header>"
            f"<h1>{escape(self.title)}</h1><p>{escape(self.summary)}</p>"
            '<button type="button" id="theme" hidden>Dark</button></header>\n'
            f'<nav aria-label="Contents">{contents}</nav>\n{self._legend()}\n'
            f"<main>{parts}</main>\n"
            f"<footer>Made by qubo-prune {__version__}; this file needs no network. Its address"
            " keeps what you sort, filter, choose and hide.</footer>\n"
            f"<script>{script}</script>\n</body>\n</html>\n"
        )

    def _legend(self) -> str:
        if not self.series:
            return ""
        buttons = "".join(
            f'<button type="button" aria-pressed="true" data-series="{number}"'
            f' data-backend="{escape(name, quote=True)}">'
            f'<svg viewBox="0 0 28 10" aria-hidden="true"><path class="line'
            f' {looks(number)}" d="M0,5H28"/></svg>'
            f"{escape(name)}</button>"
            for number, name in enumerate(self.series)
        )
        return f'<div id="legend" role="group" aria-label="Show or hide">{buttons}</div>'


def _asset(name: str) -> str:
    return resources.files("qubo_prune.report").joinpath("assets", name).read_text("utf-8")


def require_page(path: Path) -> None:
    """Refuse a name that no page can be written to."""
    check_suffix(path, (".html", ".htm"), "a page")


def save_page(page: Page, path: str | os.PathLike[str]) -> None:
    """Write a page, completely or not at all.

    Parameters
    ----------
    page : Page
        What to write.
    path : str or path
        Ends in ``.html``. A page of this package that is there is replaced, another file is not.

    Raises
    ------
    InputError
        If the file is not a page's, or cannot be written.
    """
    path = Path(path)
    require_page(path)
    require_replaceable(path, Kind.PAGE)
    data = page.to_html().encode()

    def write(stream: IO[bytes]) -> None:
        stream.write(data)

    write_atomically({path: write})


def description_list(facts: Mapping[str, str]) -> str:
    """Return names and values as HTML.

    Examples
    --------
    >>> description_list({"cores": "2"})
    '<dl><dt>cores<dd>2</dl>'
    """
    return "<dl>" + "".join(f"<dt>{escape(k)}<dd>{escape(v)}" for k, v in facts.items()) + "</dl>"


def figure_grid(figures: Iterable[Figure | None]) -> str:
    """Return figures side by side where there is room; nothing if there is none."""
    shown = "".join(figure.to_html() for figure in figures if figure)
    return f'<div class="grid-of-figures">{shown}</div>' if shown else ""


def plain_name(text: str) -> str:
    """Return a text in the letters that file names have everywhere.

    >>> plain_name("a task, M = 8")
    'a-task-M-8'
    """
    kept = "".join(each if each.isascii() and each.isalnum() else "-" for each in text)
    return "-".join(part for part in kept.split("-") if part)
