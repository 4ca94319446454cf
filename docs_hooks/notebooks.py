"""The notebooks of `examples/` as pages of the site: their words, their code, and what that prints
and draws, run anew by every build.

They are run without Jupyter: cell by cell in one namespace, in a folder of their own. mkdocs calls
`on_files`.
"""

from __future__ import annotations

import ast
import contextlib
import io
import json
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

from qubo_prune.report.figures import save_figure

if TYPE_CHECKING:
    from mkdocs.config.defaults import MkDocsConfig
    from mkdocs.structure.files import Files

ROOT = Path(__file__).resolve().parent.parent
NOTEBOOKS = sorted((ROOT / "examples").glob("*.ipynb"))


@dataclass(frozen=True)
class Output:
    """What a cell of code showed.

    Attributes
    ----------
    printed : str
        On stdout.
    html : str
        Its last value, if it is one for a page.
    pictures : tuple of bytes
        Its last value as SVG, light and dark, if it is a figure.
    """

    printed: str = ""
    html: str = ""
    pictures: tuple[bytes, ...] = ()


def cells_of(path: Path) -> list[tuple[str, str]]:
    """Return the cells of a notebook: "markdown" or "code", and the text."""
    cells = json.loads(path.read_text("utf-8"))["cells"]
    return [(cell["cell_type"], "".join(cell["source"])) for cell in cells]


def run(path: Path) -> Iterator[Output]:
    """Run a notebook in the current folder, and yield what each cell of code showed."""
    namespace: dict[str, Any] = {"__name__": "notebook"}
    code = [text for kind, text in cells_of(path) if kind == "code"]
    for number, text in enumerate(code, 1):
        yield _run_cell(text, f"{path.name}, code cell {number}", namespace)


def _run_cell(text: str, name: str, namespace: dict[str, Any]) -> Output:
    """Run a cell as a notebook does: its last expression is what it shows."""
    tree = ast.parse(text, name)
    last = tree.body.pop() if isinstance(tree.body[-1], ast.Expr) else None
    with contextlib.redirect_stdout(io.StringIO()) as stdout:
        exec(_compiled(tree, name), namespace)  # noqa: S102
        value = None
        if isinstance(last, ast.Expr):
            value = eval(_compiled(ast.Expression(last.value), name), namespace)  # noqa: S307
    shown = Output(stdout.getvalue())
    if value is None:
        return shown
    if hasattr(value, "savefig"):
        figures = [value]
        if isinstance(last, ast.Expr) and isinstance(last.value, ast.Call):
            last.value.keywords.append(ast.keyword("dark", ast.Constant(True)))
            again = ast.fix_missing_locations(ast.Expression(last.value))
            figures.append(eval(_compiled(again, name), namespace))  # noqa: S307
        return Output(shown.printed, pictures=tuple(map(_svg, figures)))
    if hasattr(value, "_repr_html_"):
        return Output(shown.printed, html=value._repr_html_())
    return Output(f"{shown.printed}{value!r}\n")


def _compiled(tree: ast.Module | ast.Expression, name: str) -> Any:
    return compile(tree, name, "exec" if isinstance(tree, ast.Module) else "eval")


def _svg(figure: Any) -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "figure.svg"
        save_figure(figure, path)
        return path.read_bytes()


def pictures_of(path: Path, outputs: list[Output]) -> dict[str, bytes]:
    """Return the pictures of a notebook by the names of their files beside its page."""
    return {
        f"{path.stem}-{number}{suffix}.svg": picture
        for number, output in enumerate(outputs, 1)
        for suffix, picture in zip(("", "-dark"), output.pictures, strict=False)
    }


def page(path: Path, outputs: list[Output] | None) -> str:
    """Return a notebook as a page, with a link to the file.

    Parameters
    ----------
    path : Path
        The notebook.
    outputs : list of Output or None
        What its cells of code showed; None where it could not be run.
    """
    parts: list[str] = []
    number = 0
    for kind, text in cells_of(path):
        if kind == "markdown":
            parts.append(text)
            continue
        parts.append(f"```python\n{text}\n```")
        if outputs is not None:
            parts += _parts(outputs[number], f"{path.stem}-{number + 1}")
        number += 1
    link = f"This page is a notebook, [{path.name}]({path.name})"
    link += ": run it to see what it shows." if outputs is None else "; below is what it shows."
    return "\n\n".join([parts[0], link, *parts[1:]]) + "\n"


def _parts(output: Output, name: str) -> list[str]:
    """Return what a cell showed as parts of a page."""
    parts = []
    if output.printed:
        parts.append(f'<pre class="notebook-output">{escape(output.printed.rstrip())}</pre>')
    if output.html:
        parts.append(f'<div class="notebook-output">{output.html}</div>')
    schemes = zip(("", "-dark"), ("light", "dark"), output.pictures, strict=False)
    both = len(output.pictures) == 2
    for suffix, scheme, _ in schemes:
        mark = f"#only-{scheme}" if both else ""
        parts.append(f"![What the cell above draws]({name}{suffix}.svg{mark})")
    return parts


@cache
def built(path: Path, _text: str) -> tuple[str, dict[str, bytes]]:
    """Return the page of a notebook and its pictures; run once for each text that it had."""
    try:
        with tempfile.TemporaryDirectory() as folder, contextlib.chdir(folder):
            outputs = list(run(path))
    except ModuleNotFoundError:  # an extra is not installed
        return page(path, None), {}
    return page(path, outputs), pictures_of(path, outputs)


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the notebooks to the site: pages, pictures, and the files themselves."""
    from mkdocs.structure.files import File

    for path in NOTEBOOKS:
        notebook = path.read_text("utf-8")
        text, pictures = built(path, notebook)
        contents: dict[str, str | bytes] = {
            f"{path.stem}.md": text,
            path.name: notebook,
            **pictures,
        }
        for name, content in contents.items():
            files.append(File.generated(config, f"examples/{name}", content=content))
    return files
