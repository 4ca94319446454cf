"""The notebooks of `examples/` run from top to bottom, and are kept without outputs."""

from __future__ import annotations

import contextlib
import io
import json
from pathlib import Path

import pytest

from docs_hooks import repository

ROOT = Path(__file__).resolve().parent.parent
NOTEBOOKS = sorted((ROOT / "examples").glob("*.ipynb"))


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_notebook_runs(path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cells = json.loads(path.read_text("utf-8"))["cells"]
    code = ["".join(cell["source"]) for cell in cells if cell["cell_type"] == "code"]
    if any("torch" in each for each in code):
        pytest.importorskip("transformers")
    monkeypatch.chdir(tmp_path)
    namespace: dict[str, object] = {"__name__": "notebook"}
    with contextlib.redirect_stdout(io.StringIO()) as stdout:
        for number, each in enumerate(code, 1):
            name = f"{path.name}, code cell {number}"
            exec(compile(each, name, "exec", dont_inherit=True), namespace)  # noqa: S102
    assert stdout.getvalue().count("\n") >= 3


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
        page = repository.notebook_page(path)
        assert page.startswith("# ")
        assert f"]({path.name})" in page
        assert page.count("```python\n") == path.read_text("utf-8").count('"cell_type": "code"')
