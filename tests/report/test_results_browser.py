"""The page of files in a browser: it fits, complains of nothing, sorts, filters, tells what a mark
is, and keeps the view in its address.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from qubo_prune import Spectrum
from qubo_prune.hessians.diagnostics import diagnose
from qubo_prune.report import read_saved, results_page, save_page
from tests import saved_files
from tests.report.chromium import Chromium, missing

pytestmark = pytest.mark.skipif(
    missing(), reason="needs Debian's packages chromium and chromium-driver"
)

NAME = "</script><script>window.hit=1</script><img src=x onerror=window.hit=1>.json"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("files")
    saved = [read_saved(each) for each in saved_files.write_everything(path)]
    save_page(results_page(saved), path / "page.html")
    return path


def column(browser: Chromium, table: str, heading: str) -> list[str]:
    """The cells below a heading of a table, as far as they are shown."""
    return browser.run(
        """const table = document.querySelector(`table[data-sort="${arguments[0]}"]`);
        const place = [...table.tHead.rows[0].cells].findIndex(cell => cell.textContent === arguments[1]);
        return [...table.tBodies[0].rows].filter(row => row.offsetParent)
            .map(row => row.cells[place].textContent);""",
        table,
        heading,
    )


def click(browser: Chromium, table: str, heading: str) -> None:
    browser.run(
        """[...document.querySelectorAll(`table[data-sort="${arguments[0]}"] th`)]
            .find(cell => cell.textContent === arguments[1]).querySelector('button').click()""",
        table,
        heading,
    )


def rest_on(browser: Chromium, selector: str, x: float, y: float) -> str:
    """Move the pointer onto a mark, to shares of its width and height; return what is told."""
    place = browser.run(
        """const mark = document.querySelector(arguments[0]);
        mark.scrollIntoView({ block: 'center' });
        const box = mark.getBoundingClientRect();
        return [box.left + arguments[1] * box.width, box.top + arguments[2] * box.height];""",
        selector,
        x,
        y,
    )
    browser.run("return new Promise(done => setTimeout(done, 100))")
    browser.devtools("Input.dispatchMouseEvent", type="mouseMoved", x=place[0], y=place[1])
    return browser.run(
        """const tip = document.getElementById('tip');
        return new Promise(done => setTimeout(() => done(tip.hidden ? '' : tip.textContent), 100));"""
    )


@pytest.mark.parametrize(("width", "dark"), [(1280, False), (390, True)])
def test_the_page_fits_and_complains_of_nothing(
    browser: Chromium, folder: Path, width: int, dark: bool
) -> None:
    browser.open(folder / "page.html", width=width, dark=dark)
    assert browser.console() == []
    found = browser.run(
        """const style = getComputedStyle(document.body);
        return [document.documentElement.scrollWidth,
            performance.getEntriesByType('resource').length, style.backgroundColor];"""
    )
    assert found[0] <= width
    assert found[1] == 0
    assert found[2] == ("rgb(13, 17, 23)" if dark else "rgb(255, 255, 255)")


def test_a_click_sorts_a_filter_filters_and_the_address_keeps_both(
    browser: Chromium, folder: Path
) -> None:
    browser.open(folder / "page.html")
    click(browser, "selection-removals", "energy")
    click(browser, "selection-removals", "energy")
    energies = column(browser, "selection-removals", "energy")
    assert energies == ["13", "6", "5", ""], "what is not known comes last"
    browser.run(
        """const figure = document.getElementById('selection-removals');
        const select = figure.querySelector('select[aria-label="proposed by"]');
        select.value = '=draw';
        select.dispatchEvent(new Event('change'));"""
    )
    assert column(browser, "selection-removals", "proposed by") == ["draw", "draw"]
    assert len(column(browser, "03-selection-removals", "proposed by")) == 4, "the other is alone"
    view = browser.run("return location.hash.slice(1)")
    browser.open(folder / "page.html")
    assert len(column(browser, "selection-removals", "energy")) == 4
    browser.open(folder / "page.html", view)
    assert column(browser, "selection-removals", "energy") == ["6", ""]
    assert browser.console() == []


def test_a_pointer_is_told_what_a_state_and_a_cell_are(browser: Chromium, folder: Path) -> None:
    browser.open(folder / "page.html")
    spectrum = Spectrum.load(folder / "spectrum.json")
    told = rest_on(browser, "#spectrum-2-removal-map .row:nth-of-type(2) .kept", 0.5, 0.5)
    lines = told.split("\n")
    assert lines[0] == (
        f"state 1: energy {spectrum.energies[1]:.9g},"
        f" {spectrum.energies[1] - spectrum.energies[0]:.3g} above the lowest, proven"
    )
    assert lines[1:] == [
        "removes 2 blocks: 1, 5",
        "in.mlp, out.mlp",
        "600 parameters, 50.0% of those of all blocks",
    ]
    told = rest_on(browser, "#h-correlations .over", 5.5 / 6, 1.5 / 6)
    value = diagnose(folder / "h.npy").correlations[1, 5]
    assert told == f"1 in.mlp and 5 out.mlp\n{value:.4g}"
    assert rest_on(browser, "h1", 0.1, 0.5) == ""
    assert browser.run("return document.querySelectorAll('svg title').length") == 0


def test_a_hostile_file_name_does_nothing(browser: Chromium, tmp_path: Path) -> None:
    path = saved_files.write_spectrum(tmp_path / NAME.replace("/", "\u2215"))
    saved = read_saved(path)
    page = tmp_path / "page.html"
    save_page(results_page([type(saved)(NAME, saved.what, saved.content)]), page)
    browser.open(page)
    assert browser.console() == []
    browser.run("for (const each of document.querySelectorAll('details')) each.open = true")
    assert browser.run("return window.hit === undefined")
    assert browser.run("return document.querySelectorAll('img, script').length") == 1
    title = browser.run("return document.querySelector('h2:nth-of-type(1)').textContent")
    assert title == "Summary"
    assert browser.console() == []
