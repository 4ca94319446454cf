"""The page of a benchmark: its numbers, who is ranked, and what hostile names can do."""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qubo_prune.bench import target_distribution
from qubo_prune.bench.results import Outcome, ReferenceKind, Results, Run
from qubo_prune.core.errors import InputError
from qubo_prune.report import benchmark_page, save_page
from qubo_prune.report.benchmark.comparison import Comparison, Study
from qubo_prune.report.benchmark.leader_board import leader_table
from qubo_prune.report.benchmark.page import LARGEST_PAGE
from qubo_prune.report.html import Page, Section
from qubo_prune.report.tables import Table, format_cell
from tests.benchmark_runs import LIES, TASKS, runs
from tests.report.parsed import Parsed

VOID = {"meta", "link", "input", "br", "img"}


def page_of(made: list[Run], title: str = "Made up") -> str:
    return benchmark_page(Results(tuple(made), 0, ()), title).to_html()


def comparison_of(made: list[Run]) -> Comparison:
    return Study(Results(tuple(made), 0, ())).comparisons[0]


# numbers


def test_every_table_shows_the_numbers_of_its_csv() -> None:
    parsed = Parsed(page_of(runs(limits=(1.0, 10.0))))
    tables = [name for name in parsed.files if parsed.cells.get(name)]
    assert {"all-runs", "claims", "failures", "what-is-left-out"} < set(tables)
    assert {"leader-board-10-s", "leader-board-1-s", "matrix-TTS99-10-s"} < set(tables)
    for name in tables:
        assert parsed.cells[name] == parsed.files[name], name


def test_every_plot_offers_what_it_draws() -> None:
    made = runs()
    parsed = Parsed(page_of(made))
    comparison = comparison_of(made)
    head, *rows = parsed.files["ecdf-recall-100"]
    assert head == ["backend", "seconds", "share"]
    for solver in comparison.solvers:
        steps = target_distribution(comparison.values(solver, "seconds_to_recall_100"))
        expected = [[format_cell(at), format_cell(share)] for at, share in zip(*steps, strict=True)]
        assert [row[1:] for row in rows if row[0] == solver] == expected
    head, *rows = parsed.files["spectrum-wishart-32-M-4"]
    assert head == ["state", "exact", *comparison.solvers]
    [task] = [t for t in comparison.tasks if t[:4] == ("wishart-32", t.problem, 32, 4)]
    exact = comparison.cells[task, "branch-and-bound"][0].reference_energies
    assert [row[1] for row in rows] == [format_cell(e - exact[0]) for e in exact[:60]]
    for name in (
        *("profile-the-ground-state", "recall-over-time", "scaling-N-the-proof"),
        *("scaling-M-the-ground-state", "scatter-0-1", "ecdf-the-proof"),
    ):
        assert len(parsed.files[name]) > 2, name


def test_the_leader_board_is_of_means_over_tasks_and_bare_recall_comes_first() -> None:
    made = runs()
    table = leader_table(comparison_of(made))
    assert table.columns[2:5] == ("recall@100 bare", "95 %", "recall@100 repaired")
    assert [row[1] for row in table.rows] == [
        *("branch-and-bound", "tabu", "annealing", "naive", "gurobi")
    ]
    by_task: dict[tuple[str, int], list[float]] = {}
    for run in made:
        if run.backend == "naive":
            by_task.setdefault((run.instance, run.remove), []).append(
                run.measures["recall_100"] or 0
            )
    expected = sum(sum(each) / len(each) for each in by_task.values()) / len(by_task)
    [naive] = [row for row in table.rows if row[1] == "naive"]
    assert naive[2] == pytest.approx(expected)
    assert naive[2] < 0.1 < naive[4]


def test_a_crash_is_no_recall_and_the_whole_primal_integral() -> None:
    made = [
        dataclasses.replace(run, outcome=Outcome.CRASHED, measures={}, trace=(), energies=())
        if run.backend == "tabu" and run.seed == 0
        else run
        for run in runs()
    ]
    before, after = (
        next(row for row in leader_table(comparison_of(each)).rows if row[1] == "tabu")
        for each in (runs(), made)
    )
    left = [run for run in made if run.backend == "tabu" and run.seed]
    for column, missing, measure in ((2, 0.0, "recall_100"), (11, 1.0, "primal_integral")):
        known = sum(run.measures[measure] or 0.0 for run in left) / len(left)
        assert after[column] == pytest.approx((missing + 2 * known) / 3)
    assert after[6] > before[6]
    assert after[-1] == "9 crashed, 18 limit"


def test_a_spreadsheet_is_given_no_formula() -> None:
    table = Table(("=1+1", "x"), (("@SUM(A1)", -1.5), ("+a", -2), ("-b", None)))
    assert table.to_csv() == "'=1+1,x\n'@SUM(A1),-1.5\n'+a,-2\n'-b,\n"


# who is compared


@pytest.mark.parametrize("lie", LIES, ids=lambda lie: lie.kind)
def test_who_lies_is_named_in_red_and_in_no_mean(lie: object) -> None:
    honest = [run for run in runs() if run.backend != "cheat"]
    [victim] = [run for run in runs() if run.violations == (lie,)]
    parsed = Parsed(page_of([*honest, victim]))
    assert parsed.files["claims"][1][0] == "cheat"
    assert parsed.files["claims"][1][5:] == list(lie)  # type: ignore[call-overload]
    assert "cheat" not in {row[1] for row in parsed.files["leader-board"]}
    assert parsed.files["leader-board"] == Parsed(page_of(honest)).files["leader-board"]
    for name, rows in parsed.files.items():
        if name.startswith(("profile", "ecdf", "scaling", "recall", "pairs", "spectrum")):
            assert "cheat" not in str(rows), name
    assert ["10 s", "cheat", "it claimed what is not true, so no figure of it is averaged."] in (
        parsed.files["what-is-left-out"]
    )
    [row] = [row for row in parsed.files["all-runs"] if row[5] == "cheat"]
    assert set(row[9:-1]) == {""}
    assert lie[1] in row[-1]  # type: ignore[index]


def test_a_liars_honest_runs_are_neither_best_nor_coloured() -> None:
    page = page_of(runs())
    matrix = page[page.index('id="matrix-recall-100"') :].partition("</figure>")[0]
    row = next(row for row in matrix.split("<tr>") if "wishart-32, M = 4" in row)
    cells = re.findall(r"<td( class=(\w+))?>([^<]*)", row)
    assert cells[-2][1] == "none"  # cheat, before the kind of reference
    assert [cell[1] for cell in cells].count("heat5") == 1


def test_solvers_and_tasks_are_left_out_for_reasons() -> None:
    made = [run for run in runs() if run.backend != "cheat"]
    tasks = [(instance, m) for instance, _, _, m in TASKS]
    lost = [
        run for run in made if run.backend != "naive" or (run.instance, run.remove) in tasks[:3]
    ]
    lost = [run for run in lost if run.backend != "tabu" or (run.instance, run.remove) != tasks[4]]
    lost = [
        dataclasses.replace(run, reference_kind=ReferenceKind.NONE)
        if (run.instance, run.remove) == tasks[5]
        else dataclasses.replace(run, outcome=Outcome.REFUSED, message="no licence.")
        if run.backend == "gurobi"
        else run
        for run in lost
    ]
    comparison = comparison_of(lost)
    assert comparison.solvers == ("branch-and-bound", "tabu", "annealing")
    assert len(comparison.tasks) == len(tasks) - 2
    assert {tuple(each) for each in comparison.left_out} == {
        ("naive", "there are runs of 3 of 8 tasks only."),
        ("gurobi", "it refused every task: no licence."),
        (f"{tasks[4][0]}, M = {tasks[4][1]}", "there is no run of tabu."),
        (f"{tasks[5][0]}, M = {tasks[5][1]}", "nothing is known to hold its states against."),
    }


def test_options_threads_counts_and_contents_tell_runs_apart() -> None:
    first = runs(seeds=1)[0]
    study = Study(
        Results(
            (
                first,
                dataclasses.replace(first, options={"rounds": 5}),
                dataclasses.replace(first, backend="other", threads=1),
                dataclasses.replace(first, backend="other", threads=2),
                dataclasses.replace(first, problem="ffffffff00", backend="third"),
            ),
            0,
            (),
        )
    )
    assert study.solvers == (
        *("branch-and-bound (default)", "branch-and-bound (rounds = 5)"),
        *("other (threads: 1)", "other (threads: 2)", "third"),
    )
    assert sorted(study.task_names.values()) == sorted(
        [
            f"llama-80-branch, M = 8 ({first.problem[:8]})",
            "llama-80-branch, M = 8 (ffffffff)",
        ]
    )
    more = dataclasses.replace(first, num_states=20)
    names = Study(Results((first, more), 0, ())).task_names.values()
    assert list(names) == ["llama-80-branch, M = 8, K = 100", "llama-80-branch, M = 8, K = 20"]


def test_nothing_to_rank_is_said() -> None:
    unknown = [
        dataclasses.replace(run, reference_kind=ReferenceKind.NONE, reference_energies=())
        for run in runs(seeds=1)
    ]
    page = page_of(unknown)
    assert "nothing can be ranked" in page
    assert "nothing is known to hold its states against." in page
    bare = [dataclasses.replace(run, measures={}, trace=(), energies=()) for run in runs(seeds=1)]
    assert "Runs" in page_of(bare)
    with pytest.raises(InputError, match=r"^there are 0 runs in the results"):
        page_of([])


def test_no_limit_counts_as_the_longest_run() -> None:
    made = [dataclasses.replace(run, time_limit=None) for run in runs()]
    comparison = comparison_of(made)
    assert comparison.label == "no limit"
    assert comparison.counted_limit == 10.0


def test_what_was_cut_off_or_repeated_is_told() -> None:
    page = benchmark_page(Results(tuple(runs(seeds=1)), 3, ("a<b.jsonl",))).to_html()
    assert "The last line of a&lt;b.jsonl was cut off and is left out." in page
    assert "3 lines are left out, for a later one is of the same run." in page


def test_several_machines_are_told_apart() -> None:
    made = runs(seeds=1)
    other = [dataclasses.replace(run, machine={"cores": 64, "date": "2026-12-01"}) for run in made]
    assert "several machines" not in page_of(made)
    page = page_of(made + [dataclasses.replace(run, seed=5) for run in other])
    assert "Times are of several machines" in page
    assert "<dt>cores<dd>64" in page


# the file


def test_a_page_asks_nothing_of_any_server() -> None:
    page = page_of(runs(liar="<cheat>"))
    assert "http:" not in page
    assert "https:" not in page
    assert "//" not in re.sub(r"<script>.*</script>|data:text/csv[^\"]*", "", page, flags=re.DOTALL)
    assert "url(" not in page
    parsed = Parsed(page)
    for tag, attributes in parsed.tags:
        assert tag not in {"img", "iframe", "object", "embed", "form", "base"}
        assert "src" not in attributes
        assert (attributes.get("href") or "#").startswith(("#", "data:")), attributes
    [policy] = [a["content"] for t, a in parsed.tags if t == "meta" and "http-equiv" in a]
    assert (policy or "").startswith("default-src 'none'; ")


HOSTILE = "\"'><script>alert(1)</script><img src=x onerror=alert(1)>&amp;</style>{{7*7}}\x1b\u202e"


@pytest.mark.parametrize("field", ["backend", "instance", "family", "message", "machine", "title"])
def test_hostile_names_are_only_text(field: str) -> None:
    plain = Parsed(page_of(runs()))
    title = "Made up"
    made = runs(liar="cheat")
    if field == "title":
        title = HOSTILE
    elif field == "machine":
        made = [dataclasses.replace(run, machine={HOSTILE: HOSTILE}) for run in made]
    else:
        made = [dataclasses.replace(run, **{field: getattr(run, field) + HOSTILE}) for run in made]
    parsed = Parsed(page_of(made, title))
    kinds = {tag for tag, _ in parsed.tags}
    assert kinds <= {tag for tag, _ in plain.tags}
    assert [tag for tag, _ in parsed.tags].count("script") == 1
    names = {name for _, attributes in parsed.tags for name in attributes}
    assert not any(name.startswith("on") for name in names)
    assert HOSTILE in page_of(made, title).replace("&lt;", "<").replace("&gt;", ">").replace(
        "&quot;", '"'
    ).replace("&#x27;", "'").replace("&amp;", "&")


@given(st.text(max_size=30))
def test_any_text_of_a_cell_comes_out_as_it_is(text: str) -> None:
    parsed = Parsed(f"<figure id=x>{Table(('a',), ((text,),)).to_html('c')}</figure>")
    shown = parsed.cells["x"][1][0] if len(parsed.cells["x"]) > 1 else ""
    clean = text.replace("\r\n", "\n").replace("\r", "\n")
    assert shown.replace("\r\n", "\n").replace("\r", "\n") == clean


def test_a_page_of_thousands_of_runs_stays_small_and_says_what_it_lacks() -> None:
    tasks = tuple((f"wishart-{n}", "wishart 2N", n, 5) for n in range(20, 70))
    made = runs(10, tasks, (1.0, 10.0, 60.0))
    page = page_of(made)
    assert len(made) == 4956
    assert len(page.encode()) < LARGEST_PAGE
    assert "Plots of other time limits than 60 s, to keep the page small." in page
    assert "the 4956 runs are too many for a page" in page
    assert "smaller tasks are not drawn" in page


def test_only_pages_are_replaced(tmp_path: Path) -> None:
    page = Page("t", "s", (Section("a", "A", "<p>b"),))
    path = tmp_path / "page.html"
    save_page(page, path)
    save_page(dataclasses.replace(page, title="u"), path)
    assert "<h1>u</h1>" in path.read_text()
    path.write_text("<p>Mine.")
    with pytest.raises(InputError, match=r"is something else, and a page of this package does not"):
        save_page(page, path)
    with pytest.raises(InputError, match=r"^a page must end in \.html or \.htm, not 'page\.txt'"):
        save_page(page, tmp_path / "page.txt")
    assert path.read_text() == "<p>Mine."


def test_counts_have_commas_on_the_page_and_none_in_the_csv() -> None:
    table = Table(("parameters", "energy"), ((113_274_432, 1234567.0), (999, 0.5)))
    assert "<td>113,274,432<td>1.235e+06" in table.to_html("c")
    assert "<td>999<td>" in table.to_html("c")
    assert table.to_csv().splitlines()[1] == "113274432,1.235e+06"
    assert table.to_json()[0][0] == 113_274_432
