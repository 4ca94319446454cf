"""The notebooks of `examples/` run from top to bottom, are kept without outputs, and are pages with
what they show.
"""

from __future__ import annotations

import json
import re
from html import escape
from pathlib import Path

import pytest

from docs_hooks import notebooks
from docs_hooks.notebooks import Output

ROOT = Path(__file__).resolve().parent.parent
NOTEBOOKS = sorted((ROOT / "examples").glob("*.ipynb"))


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_notebook_runs_and_its_page_shows_what_it_shows(
    path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if "torch" in path.read_text("utf-8"):
        pytest.importorskip("transformers")
    monkeypatch.chdir(tmp_path)
    outputs = list(notebooks.run(path))
    assert sum(each.printed.count("\n") for each in outputs) >= 3
    assert any(each.html for each in outputs)
    page = notebooks.page(path, outputs)
    pictures = notebooks.pictures_of(path, outputs)
    links = re.findall(r"!\[[^\]]+\]\(([\w-]+\.svg)#only-(?:light|dark)\)", page)
    assert links == list(pictures)
    assert all(picture.startswith(b"<?xml") for picture in pictures.values())
    assert len(set(pictures.values())) == len(pictures), "light and dark differ"
    for each in outputs:
        assert each.html in page
        assert all(escape(line) in page for line in each.printed.splitlines())
    assert f"]({path.name}); below is what it shows." in page


def test_a_cell_shows_its_last_expression(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "mine.ipynb"
    cells = ["print('<a>')\n2 + 3", "x = 1", "x == 1\nNone", "print(x)"]
    document = {"cells": [{"cell_type": "code", "source": [each]} for each in cells]}
    path.write_text(json.dumps(document))
    outputs = list(notebooks.run(path))
    assert outputs == [Output("<a>\n5\n"), Output(), Output(), Output("1\n")]
    assert '<pre class="notebook-output">&lt;a&gt;\n5</pre>' in notebooks.page(path, outputs)
    path.write_text(json.dumps({"cells": [{"cell_type": "code", "source": ["1 / 0"]}]}))
    with pytest.raises(ZeroDivisionError):
        notebooks.built(path, "")


def test_where_a_library_is_missing_the_page_shows_the_code(tmp_path: Path) -> None:
    path = tmp_path / "mine.ipynb"
    cells = [("markdown", "# Mine"), ("code", "import not_installed_anywhere")]
    document = {"cells": [{"cell_type": kind, "source": [text]} for kind, text in cells]}
    path.write_text(json.dumps(document))
    page, pictures = notebooks.built(path, "")
    assert pictures == {}
    assert "[mine.ipynb](mine.ipynb): run it to see what it shows." in page


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_notebook_is_kept_without_outputs(path: Path) -> None:
    text = path.read_text("utf-8")
    notebook = json.loads(text)
    assert (notebook["nbformat"], notebook["nbformat_minor"]) == (4, 5)
    assert set(notebook["metadata"]) == {"kernelspec", "language_info"}
    ids = [cell["id"] for cell in notebook["cells"]]
    assert len(ids) == len(set(ids))
    for cell in notebook["cells"]:
        assert cell["metadata"] == {}
        if cell["cell_type"] == "code":
            assert (cell["outputs"], cell["execution_count"]) == ([], None)
    assert json.dumps(notebook, indent=1, ensure_ascii=False) + "\n" == text


def test_the_docs_show_all_of_them() -> None:
    settings = (ROOT / "mkdocs.yml").read_text("utf-8")
    for path in NOTEBOOKS:
        assert f": examples/{path.stem}.md\n" in settings
        page = notebooks.page(path, None)
        assert page.startswith("# ")
        assert page.count("```python\n") == path.read_text("utf-8").count('"cell_type": "code"')
