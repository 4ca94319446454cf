"""The page of a benchmark in a browser: sorting, filtering, hiding, and addresses that keep it."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from qubo_prune.bench.results import Results
from qubo_prune.report import benchmark_page, save_page
from tests.benchmark_runs import runs
from tests.report.chromium import Chromium, missing

pytestmark = pytest.mark.skipif(
    missing(), reason="needs Debian's packages chromium and chromium-driver"
)

HOSTILE = "\"'><script>window.hit=1</script><img src=x onerror=window.hit=1>"


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("page") / "page.html"
    save_page(benchmark_page(Results(tuple(runs(limits=(1.0, 10.0))), 0, ()), "Made up"), path)
    return path


def column(browser: Chromium, heading: str) -> list[str]:
    """The cells below a heading of the table of runs, as far as they are shown."""
    return browser.run(
        """const table = document.querySelector('table[data-sort=runs]');
        const place = [...table.tHead.rows[0].cells].findIndex(cell => cell.textContent === arguments[0]);
        return [...table.tBodies[0].rows].filter(row => row.offsetParent)
            .map(row => row.cells[place].textContent);""",
        heading,
    )


def click(browser: Chromium, heading: str) -> str:
    """Click a heading of the table of runs; return how the column is sorted then."""
    return browser.run(
        """const heading = [...document.querySelectorAll('table[data-sort=runs] th')]
            .find(cell => cell.textContent === arguments[0]);
        heading.querySelector('button').click();
        return heading.getAttribute('aria-sort');""",
        heading,
    )


def address(browser: Chromium) -> str:
    return browser.run("return location.hash.slice(1)")


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("width", [1280, 390])
def test_the_page_fits_and_complains_of_nothing(
    browser: Chromium, page: Path, width: int, dark: bool
) -> None:
    browser.open(page, width=width, dark=dark)
    assert browser.console() == []
    found = browser.run(
        """const style = getComputedStyle(document.body);
        return [document.documentElement.scrollWidth,
            performance.getEntriesByType('resource').length, style.backgroundColor];"""
    )
    assert found[0] <= width
    assert found[1] == 0
    assert found[2] == ("rgb(13, 17, 23)" if dark else "rgb(255, 255, 255)")
    assert browser.screenshot().startswith(b"\x89PNG")


def test_a_click_sorts_by_number_and_another_one_back(browser: Chromium, page: Path) -> None:
    browser.open(page)
    shown = column(browser, "wall s")
    assert click(browser, "wall s") == "ascending"
    up = [float(cell) for cell in column(browser, "wall s") if cell]
    assert up == sorted(up)
    assert len(set(up)) > 3
    assert click(browser, "wall s") == "descending"
    down = column(browser, "wall s")
    known = [float(cell) for cell in down if cell]
    assert known == up[::-1]
    assert down[len(known) :] == [""] * (len(shown) - len(known)), "what is not known comes last"
    click(browser, "backend")
    assert column(browser, "backend") == sorted(column(browser, "backend"))


def test_filters_and_words_leave_what_they_ask_for(browser: Chromium, page: Path) -> None:
    browser.open(page)
    everything = len(column(browser, "backend"))
    browser.run(
        """const bar = document.querySelector('#runs .bar');
        const select = bar.querySelector('select[aria-label=backend]');
        select.value = '=tabu';
        select.dispatchEvent(new Event('change'));
        const find = bar.querySelector('input');
        find.value = 'WISHART-48';
        find.dispatchEvent(new Event('input'));"""
    )
    assert set(column(browser, "backend")) == {"tabu"}
    assert set(column(browser, "instance")) == {"wishart-48"}
    count = browser.run("return document.querySelector('#runs output').textContent")
    assert count == f"{len(column(browser, 'backend'))} of {everything} rows"
    assert 0 < len(column(browser, "backend")) < everything


def test_an_address_keeps_the_view(browser: Chromium, page: Path) -> None:
    browser.open(page)
    click(browser, "N")
    click(browser, "N")
    browser.run(
        """document.querySelector('#legend [data-backend=naive]').click();
        const limit = document.querySelector('[data-choices=limit] select');
        limit.value = '1';
        limit.dispatchEvent(new Event('change'));
        document.getElementById('theme').click();"""
    )
    view = address(browser)
    looks = """return [
        [...document.querySelectorAll('[data-choices=limit] > [data-choice]')].map(e => e.hidden),
        [...document.querySelectorAll('main .series-3')].map(e => getComputedStyle(e).display),
        document.querySelector('#legend [data-backend=naive]').getAttribute('aria-pressed'),
        getComputedStyle(document.body).backgroundColor,
        document.querySelector('#leaders table:not([hidden] *) tbody tr td').textContent]"""
    before = browser.run(looks), column(browser, "N"), column(browser, "backend")
    browser.open(page)
    assert browser.run(looks) != before[0]
    browser.open(page, view)
    assert (browser.run(looks), column(browser, "N"), column(browser, "backend")) == before
    hidden, display, pressed, background, _ = before[0]
    assert hidden[:2] == [True, False]
    assert set(display) == {"none"}
    assert pressed == "false"
    assert background == "rgb(13, 17, 23)"
    assert "naive" not in before[2]
    assert [float(n) for n in before[1]] == sorted(map(float, before[1]), reverse=True)
    assert address(browser) == view


def test_another_address_in_the_same_window_is_another_view(browser: Chromium, page: Path) -> None:
    browser.open(page, "theme=dark&sort.runs=-2&hide=tabu&find.runs=wishart")
    everything = """const body = document.body;
        return new Promise(done => setTimeout(() => done([
            getComputedStyle(body).backgroundColor,
            document.querySelector('#runs output').textContent,
            document.querySelectorAll('[aria-sort=descending]').length]), 100));"""
    assert browser.run(everything) == ["rgb(13, 17, 23)", "108 of 220 rows", 1]
    browser.run("location.hash = 'sort.runs=2'")
    assert browser.run(everything) == ["rgb(255, 255, 255)", "220 of 220 rows", 0]
    browser.run("location.hash = 'runs'")
    assert column(browser, "N") == sorted(column(browser, "N"), key=float)
    browser.run("location.hash = ''")
    browser.run(everything)
    assert column(browser, "N") != sorted(column(browser, "N"), key=float)


def test_the_contents_lead_to_sections_without_losing_the_view(
    browser: Chromium, page: Path
) -> None:
    browser.open(page)
    click(browser, "N")
    browser.run("document.querySelector('nav a[href=\"#scaling\"]').click()")
    top = "return document.getElementById('scaling').getBoundingClientRect().top"
    assert 0 <= browser.run(top) < 200
    view = address(browser)
    assert "sort.runs" in view
    browser.open(page, view)
    assert 0 <= browser.run(top) < 200


def test_a_plots_numbers_are_those_of_its_file(browser: Chromium, page: Path) -> None:
    browser.open(page)
    found = browser.run(
        """const figure = document.getElementById('spectrum-wishart-32-M-4-10-s');
        figure.querySelector('details').open = true;
        const link = figure.querySelector('a.csv');
        const csv = decodeURIComponent(link.href.slice(link.href.indexOf(',') + 1));
        return new Promise(done => setTimeout(() => done([csv,
            [...figure.querySelectorAll('details tr')].map(row =>
                [...row.cells].map(cell => cell.textContent).join(','))]), 100));"""
    )
    csv, rows = found
    assert rows == csv.splitlines()
    assert len(rows) == 61


def test_hostile_names_do_nothing(browser: Chromium, tmp_path: Path) -> None:
    made = [
        dataclasses.replace(
            run,
            backend=run.backend + HOSTILE,
            instance=run.instance + HOSTILE,
            family=HOSTILE,
            message=HOSTILE,
            machine={HOSTILE: HOSTILE},
        )
        for run in runs()
    ]
    path = tmp_path / "page.html"
    save_page(benchmark_page(Results(tuple(made), 0, ()), HOSTILE), path)
    browser.open(path)
    assert browser.console() == []
    browser.run("for (const each of document.querySelectorAll('details')) each.open = true")
    click(browser, "backend")
    browser.run("document.querySelector('#legend button').click()")
    view = address(browser)
    browser.open(path, view)
    assert browser.run("return window.hit === undefined")
    assert browser.run("return document.querySelectorAll('img, script').length") == 1
    assert browser.run("return document.querySelector('#legend button').ariaPressed") == "false"
    assert browser.console() == []
    browser.open(path, "choose.limit=99&sort.runs=-x&hide=none&only.runs.backend==&at=nowhere")
    assert browser.console() == []


def test_counts_with_commas_sort_as_numbers(browser: Chromium, tmp_path: Path) -> None:
    from qubo_prune.report.html import Page, Section
    from qubo_prune.report.tables import Table

    counts = (9, 113_274_432, 1_024, 20_000)
    table = Table(("count",), tuple((each,) for each in counts)).to_html("c", identifier="t")
    path = tmp_path / "page.html"
    save_page(Page("Counts", "Four.", (Section("a", "All", table),)), path)
    browser.open(path)
    sorted_cells = browser.run(
        """document.querySelector('th button').click();
        return [...document.querySelectorAll('tbody td')].map(cell => cell.textContent);"""
    )
    assert sorted_cells == ["9", "1,024", "20,000", "113,274,432"]
