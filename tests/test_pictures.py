"""The pictures of the README and of the docs are those that the commands draw."""

from __future__ import annotations

import base64
import io
import re
from pathlib import Path

import matplotlib as mpl
import numpy as np
import pytest

from docs_hooks import pictures

ROOT = Path(__file__).resolve().parent.parent
IMAGE = re.compile(r"data:image/png;base64,\s*([^\"]+)")
VERSION = re.compile(r"Matplotlib v([\d.]+)")


def pixels(svg: str) -> list[list[list[int]]]:
    """The images in a picture; how they are packed depends on the library that did it."""
    packed = [base64.b64decode(each) for each in IMAGE.findall(svg)]
    return [np.asarray(mpl.image.imread(io.BytesIO(each))).tolist() for each in packed]


def test_the_readme_shows_what_its_command_draws(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert f"({pictures.README.relative_to(ROOT)})" in (ROOT / "README.md").read_text()
    kept = pictures.README.read_text()
    assert len(kept) < 60_000
    found = VERSION.search(kept)
    assert found is not None
    if found[1] != mpl.__version__:
        pytest.skip(f"it was drawn by Matplotlib {found[1]}, and others place texts elsewhere")
    monkeypatch.chdir(tmp_path)
    drawn = pictures.draw("spectrum").decode()
    remedy = "it is stale; run python -m docs_hooks.pictures"
    assert IMAGE.sub("", drawn) == IMAGE.sub("", kept), remedy
    assert pixels(drawn) == pixels(kept), remedy


def test_pages_show_the_pictures_with_their_commands() -> None:
    page = (ROOT / "docs" / "how-to" / "look-at-a-result.md").read_text()
    shown = re.findall(r"\(\.\./pictures/([\w-]+)\.svg#only-(light|dark)\)", page)
    assert shown == [
        (name + suffix, scheme)
        for name in pictures.COMMANDS
        for suffix, scheme in (("", "light"), ("-dark", "dark"))
    ]
    for name, command in pictures.COMMANDS.items():
        said = command if name == "selection" else f"qubo-prune {command}"
        assert f"{said} " in page
    assert f"qubo-prune {pictures.BENCHMARK}" in page
    assert "pictures/spectrum.svg#only-light" in (ROOT / "docs" / "index.md").read_text()


def test_a_command_that_fails_stops_the_build(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(
        RuntimeError, match=r"`qubo-prune show selection.json .* exited with 2: qubo"
    ):
        pictures.draw("selection")


def test_the_selection_is_made_of_what_it_says(tmp_path: Path) -> None:
    from qubo_prune.pruning.selection import Selection

    pictures.save_selection(tmp_path / "selection.json")
    selection = Selection.load(tmp_path / "selection.json")
    assert {len(each.removed) for each in selection} == {6}
    assert selection.best.held_out is not None
