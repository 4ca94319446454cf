"""What the docs show of the repository itself: its notes as pages, and the staircase as it is.

mkdocs calls `on_config`, `on_files`, `on_page_markdown` and `on_page_content`.
"""

from __future__ import annotations

import ast
import re
from collections import Counter
from html import unescape
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mkdocs.config.defaults import MkDocsConfig
    from mkdocs.structure.files import Files

ROOT = Path(__file__).resolve().parent.parent

NOTES = {
    "CHANGELOG.md": "changelog.md",
    "CONTRIBUTING.md": "contributing.md",
    "RELEASING.md": "releasing.md",
    "SECURITY.md": "security.md",
}
"""Files beside the README that are pages as well."""

STAIRCASE = "<!-- staircase -->"
"""Where a page wants the table of imports."""

_LINK = re.compile(r"\[([^\]]+)\]\(([^)\s]+)\)")
_MATH = re.compile(r'<(span|div) class="arithmatex">\\([(\[])(.*?)\\[)\]]</\1>', re.DOTALL)


def as_page(text: str) -> str:
    """Return a note with its links as they are from the folder of the docs.

    What the docs do not have keeps its name and loses its link.
    """

    def link(match: re.Match[str]) -> str:
        words, target = match.groups()
        path, mark, anchor = target.partition("#")
        if "://" in path or not path:
            return match[0]
        here = NOTES.get(path) or (path.removeprefix("docs/") if path.startswith("docs/") else "")
        return f"[{words}]({here}{mark}{anchor})" if here else words

    return _LINK.sub(link, text)


def floors() -> list[str]:
    """Return the rooms of the package from the ground up, as CONTRIBUTING.md draws them."""
    text = (ROOT / "CONTRIBUTING.md").read_text("utf-8")
    picture = next(line for line in text.splitlines() if line.startswith("    core < "))
    return re.findall(r"\w+", picture)


def imports() -> Counter[tuple[str, str]]:
    """Count for each two rooms the modules of the first that import from the second."""
    package = ROOT / "qubo_prune"
    found: Counter[tuple[str, str]] = Counter()
    for path in package.glob("*/**/*.py"):
        room = path.relative_to(package).parts[0]
        nodes = ast.walk(ast.parse(path.read_text("utf-8")))
        names = {str(node.module) for node in nodes if isinstance(node, ast.ImportFrom)}
        rooms = {name.split(".")[1] for name in names if name.startswith("qubo_prune.")}
        found.update((room, target) for target in rooms)
    return found


def staircase() -> str:
    """Return a table of who imports from whom: one triangle, since imports only go down."""
    rooms, counts = floors(), imports()
    heads = "".join(f"<th>{room}</th>" for room in rooms)
    rows = [f"<tr><th></th>{heads}</tr>"]
    for room in reversed(rooms):
        cells = "".join(f"<td>{counts[room, target] or ''}</td>" for target in rooms)
        rows.append(f"<tr><th>{room}</th>{cells}</tr>")
    table = "\n".join(rows)
    return f'<div class="staircase"><table>\n{table}\n</table></div>'


def typeset(html: str) -> str:
    """Return HTML with its formulas as MathML, which browsers show without a script."""
    from latex2mathml.converter import convert

    def formula(match: re.Match[str]) -> str:
        display = "block" if match[2] == "[" else "inline"
        mathml = convert(unescape(match[3]).strip(), display=display)
        return f'<div class="formula">{mathml}</div>' if display == "block" else mathml

    return _MATH.sub(formula, html)


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """Offer to edit pages only where it is known where they are."""
    if not config.repo_url:
        config.edit_uri = None
    return config


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the notes to the pages."""
    from mkdocs.structure.files import File

    for name, page in NOTES.items():
        text = as_page((ROOT / name).read_text("utf-8"))
        files.append(File.generated(config, page, content=text))
    return files


def on_page_markdown(markdown: str, **_: object) -> str:
    """Put the table of imports where a page wants it."""
    return markdown.replace(STAIRCASE, staircase())


def on_page_content(html: str, **_: object) -> str:
    """Typeset formulas."""
    return typeset(html)
