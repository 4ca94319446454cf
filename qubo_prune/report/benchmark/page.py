"""The page of a benchmark."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from html import escape
from typing import NamedTuple

from qubo_prune.bench.results import Results
from qubo_prune.report.benchmark.anytime import recall_over_time
from qubo_prune.report.benchmark.comparison import Comparison, Study
from qubo_prune.report.benchmark.ladder import ladders
from qubo_prune.report.benchmark.leader_board import leader_board
from qubo_prune.report.benchmark.matrix import matrices
from qubo_prune.report.benchmark.pairs import pairs
from qubo_prune.report.benchmark.profile import profile
from qubo_prune.report.benchmark.provenance import failures, left_out, lies, machines
from qubo_prune.report.benchmark.runs_table import runs_table
from qubo_prune.report.benchmark.scaling import scaling
from qubo_prune.report.benchmark.scatter import scatters
from qubo_prune.report.benchmark.targets import targets
from qubo_prune.report.html import Choice, Page, Section, choose, figure_grid

__all__ = ["LARGEST_PAGE", "SECTIONS", "benchmark_page"]

_TARGETS = (
    ("seconds_to_ground_state", "the ground state"),
    ("seconds_to_recall_100", "recall@100"),
    ("seconds_to_proof", "the proof"),
)

SECTIONS = (
    *("lies", "leaders", "matrix", "time", "anytime", "spectrum", "scaling", "against"),
    *("runs", "ends", "left-out", "machine"),
)
"""What addresses of its parts end in."""

LARGEST_PAGE = 1_000_000
"""Bytes; what makes it larger is left out step by step, and named."""


class _Detail(NamedTuple):
    """How much is shown: rows of the table of runs, ladders, and plots of all time limits or of the
    longest.
    """

    rows: int
    ladders: int
    all_limits: bool


_DETAILS = (
    _Detail(1500, 20, True),
    _Detail(1000, 8, True),
    _Detail(1000, 8, False),
    _Detail(300, 2, False),
    _Detail(0, 1, False),
)


def benchmark_page(
    results: Results, title: str = "Benchmark", *, largest: int = LARGEST_PAGE
) -> Page:
    """Make the page of a benchmark.

    Parameters
    ----------
    results : Results
        Of `qubo_prune.bench.results.read_results`.
    title : str
        Of the page.
    largest : int
        How many bytes it may have, as far as that can be reached.

    Raises
    ------
    InputError
        If there is no run.
    """
    study = Study(results)
    summary = (
        f"{len(study.runs)} runs of {len(study.solvers)} solvers on {len(study.task_names)} tasks."
        " Recall is of the solver's own states; what repair adds is told apart."
    )
    leaders = _by_limit(study.comparisons, _leaders)
    for detail in _DETAILS:
        sections = _sections(study, leaders, detail)
        page = Page(title, summary, sections, study.solvers)
        if len(page.to_html().encode()) <= largest:
            break
    return page


def _sections(study: Study, leaders: str, detail: _Detail) -> tuple[Section, ...]:
    """Return the parts of the page in some detail."""
    shown = study.comparisons if detail.all_limits else study.comparisons[:1]
    parts = (
        ("matrix", "Task by solver", matrices),
        ("time", "Time to target", _times),
        ("anytime", "Recall over time", lambda each: figure_grid([recall_over_time(each)])),
        ("spectrum", "Spectrum, exact and found", lambda each: ladders(each, detail.ladders)),
        ("scaling", "Scaling", _scaling),
        ("against", "Solver against solver", _pairs),
    )
    runs = runs_table(study, detail.rows)
    notes = []
    if len(shown) < len(study.comparisons):
        notes.append(f"Plots of other time limits than {shown[0].label}, to keep the page small.")
    if runs is None:
        notes.append("The table of runs, which is too long for a page.")
    omitted = "".join(f'<p class="note">{escape(note)}</p>' for note in notes)
    candidates = (
        Section("lies", "Wrong claims", lies(study)),
        Section("leaders", "Leader board", leaders),
        *(Section(name, heading, _by_limit(shown, draw)) for name, heading, draw in parts),
        Section("runs", "Runs", runs.to_html() if runs else ""),
        Section("ends", "How the runs ended", failures(study).to_html()),
        Section("left-out", "Left out, and why", left_out(study) + omitted),
        Section("machine", "Machine and versions", machines(study)),
    )
    return tuple(section for section in candidates if section.body)


def _by_limit(comparisons: Sequence[Comparison], draw: Callable[[Comparison], str]) -> str:
    """Return what is drawn of each time limit, to choose from."""
    drawn = [(each, draw(each)) for each in comparisons]
    choices = [Choice(each.label, body) for each, body in drawn if body]
    return choose("limit", "Time limit", choices) if choices else ""


def _leaders(comparison: Comparison) -> str:
    if not comparison.tasks or not comparison.solvers:
        return (
            "<p>There is no task that all solvers were given and of which the answer is known:"
            " nothing can be ranked.</p>"
        )
    return leader_board(comparison).to_html()


def _times(comparison: Comparison) -> str:
    return figure_grid(
        figure(comparison, measure, target)
        for measure, target in _TARGETS
        for figure in (profile, targets)
    )


def _scaling(comparison: Comparison) -> str:
    return figure_grid(
        scaling(comparison, size, measure, target)
        for measure, target in _TARGETS
        for size in ("num_blocks", "remove")
    )


def _pairs(comparison: Comparison) -> str:
    measure, target = _TARGETS[0]
    test = pairs(comparison, measure, target)
    return (test.to_html() if test else "") + scatters(comparison, measure, target)
