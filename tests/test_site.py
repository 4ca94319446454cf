"""The site says what is there: the reference, the extras, the errors, the shape of the code."""

from __future__ import annotations

import ast
import importlib
import json
import re
import tomllib
from pathlib import Path
from types import SimpleNamespace

import pytest

from docs_hooks import repository, versions
from tests.public_api import FACES

ROOT = Path(__file__).resolve().parent.parent
DOCS = ROOT / "docs"

WITHOUT_A_PAGE = {"__version__"}


def test_every_public_name_has_an_entry_in_the_reference() -> None:
    pages = "\n".join(path.read_text("utf-8") for path in (DOCS / "reference").glob("*.md"))
    shown = {name.rpartition(".")[2] for name in re.findall(r"^::: (\S+)", pages, re.MULTILINE)}
    public = {name for face in FACES for name in importlib.import_module(face).__all__}
    assert public - shown == WITHOUT_A_PAGE


def test_no_entry_is_there_twice() -> None:
    entries = [
        name
        for path in (DOCS / "reference").glob("*.md")
        for name in re.findall(r"^::: (\S+)", path.read_text("utf-8"), re.MULTILINE)
    ]
    assert len(entries) == len(set(entries))


def test_every_page_can_be_reached() -> None:
    listed = re.findall(r": ([\w/-]+\.md)$", (ROOT / "mkdocs.yml").read_text("utf-8"), re.MULTILINE)
    pages = {path.relative_to(DOCS).as_posix() for path in DOCS.rglob("*.md")}
    notebooks = {f"examples/{path.stem}.md" for path in (ROOT / "examples").glob("*.ipynb")}
    assert sorted(listed) == sorted(pages | notebooks | set(repository.NOTES.values()))


def test_the_settings_say_everything_once() -> None:
    """A second `hooks:` would silently replace the first."""
    text = (ROOT / "mkdocs.yml").read_text("utf-8")
    keys = re.findall(r"^(\w+):", text, re.MULTILINE)
    assert len(keys) == len(set(keys))
    for hook in re.findall(r"[\w/]+\.py", text):
        assert (ROOT / hook).exists()
        assert hook in text[text.index("hooks:") :].splitlines()[0]


def test_the_table_of_extras_is_complete_and_right() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    rows = re.findall(
        r"^\| (`[^|]+`) \| [^|]* \|([^|]*)\|$",
        (DOCS / "install.md").read_text("utf-8"),
        re.MULTILINE,
    )
    table = {
        extra: brings.strip() for names, brings in rows for extra in re.findall(r"`([^`]+)`", names)
    }
    assert table.keys() == project["optional-dependencies"].keys()
    for extra, requirements in project["optional-dependencies"].items():
        if table[extra]:
            names = {re.match(r"[\w-]+", each)[0] for each in requirements}  # type: ignore[index]
            named = set(table[extra].split(", "))
            assert {re.sub(r"cupy-cuda\d+x", "cupy", name) for name in names} == named, extra
    assert f"Python {project['requires-python'].removeprefix('>=')} or later" in (
        DOCS / "install.md"
    ).read_text("utf-8")


def messages() -> list[str]:
    """Return all strings of the package, … for what is put in."""

    def text(node: ast.Constant | ast.JoinedStr) -> str:
        if isinstance(node, ast.Constant):
            return str(node.value)
        return "".join(
            str(part.value) if isinstance(part, ast.Constant) else "…" for part in node.values
        )

    return [
        text(node)
        for path in (ROOT / "qubo_prune").rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text("utf-8")))
        if isinstance(node, ast.Constant | ast.JoinedStr)
    ]


def test_troubleshooting_quotes_errors_that_exist() -> None:
    page = (DOCS / "troubleshooting.md").read_text("utf-8")
    quoted = re.findall(r"^### `(.+)`$", page, re.MULTILINE)
    assert len(quoted) > 15
    known = messages()
    missing = [
        quote
        for quote in quoted
        if not any(all(part in text for part in quote.split("…")) for text in known)
    ]
    assert missing == []


def test_the_staircase_is_drawn_from_the_imports_and_goes_down() -> None:
    floors, imports = repository.floors(), repository.imports()
    assert sorted(floors) == sorted(
        path.parent.name for path in (ROOT / "qubo_prune").glob("*/__init__.py")
    )
    height = {room: number for number, room in enumerate(floors)}
    assert all(height[upper] >= height[lower] for upper, lower in imports)
    assert imports["search", "core"] > 0
    rows = re.findall(r"<tr><th>(\w+)</th>(.*)</tr>", repository.staircase())
    assert [name for name, _ in rows] == floors[::-1]
    for name, cells in rows:
        numbers = re.findall(r"<td>(\d*)</td>", cells)
        assert numbers == [str(imports[name, target] or "") for target in floors]
    page = (DOCS / "maintaining" / "architecture.md").read_text("utf-8")
    assert repository.STAIRCASE in page
    described = re.findall(r"^\| `(\w+)` \|", page, re.MULTILINE)
    assert described == floors


def test_notes_become_pages_with_links_that_lead_somewhere() -> None:
    for name in repository.NOTES:
        text = repository.as_page((ROOT / name).read_text("utf-8"))
        for target in re.findall(r"\]\(([^)#:]+\.md)", text):
            assert target in repository.NOTES.values() or (DOCS / target).exists(), (name, target)
    assert repository.as_page("[a](SECURITY.md#b) [c](LICENSE) [d](https://e.f) [g](#h)") == (
        "[a](security.md#b) c [d](https://e.f) [g](#h)"
    )


def test_formulas_are_typeset_without_a_script() -> None:
    pytest.importorskip("latex2mathml")
    html = (
        r'<p><span class="arithmatex">\(x_i &lt; 2\)</span></p><div class="arithmatex">\[H\]</div>'
    )
    shown = repository.typeset(html)
    assert "arithmatex" not in shown
    assert shown.count("<math") == 2
    assert 'display="block"' in shown
    assert "<mo>&#x0003C;</mo>" in shown


def test_each_page_says_its_version(monkeypatch: pytest.MonkeyPatch) -> None:
    from qubo_prune import __version__

    monkeypatch.delenv(versions.SEVERAL, raising=False)
    config = versions.on_config(SimpleNamespace(copyright=None, extra={}))  # type: ignore[arg-type]
    assert config.copyright.endswith(f" {__version__}")
    assert config.extra == {}, "no menu where nothing lies beside the site"
    monkeypatch.setenv(versions.SEVERAL, "1")
    assert versions.on_config(config).extra["version"] == {"provider": "mike"}


def test_a_version_is_released_or_not() -> None:
    log = "# Changelog\n\n## [Unreleased]\n{}\n## [0.2.0] - 2026-11-28\n\n- Much.\n\n## [0.1.0]\n- All.\n"
    assert versions.described("0.2.0", log.format("")) == "0.2.0"
    assert versions.described("0.2.0", log.format("\n- A bug less.\n")) == "after 0.2.0"
    assert versions.described("0.3.0", log.format("")) == "before 0.3.0"


def test_the_menu_leads_to_all_versions(tmp_path: Path) -> None:
    for name in ("0.9.0", "0.10.0", "0.2.1", "assets"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "index.html").touch()
    (tmp_path / "0.11.0").mkdir()  # was never built
    versions.write_menu(tmp_path)
    menu = json.loads((tmp_path / "versions.json").read_text())
    assert [each["version"] for each in menu] == ["0.10.0", "0.9.0", "0.2.1"]
    assert 'url=0.10.0/"' in (tmp_path / "index.html").read_text()
    with pytest.raises(SystemExit, match="there is no version"):
        versions.write_menu(tmp_path / "assets")
