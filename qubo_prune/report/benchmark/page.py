"""The page of a benchmark."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from qubo_prune.bench.results import Results
from qubo_prune.core.errors import InputError
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
from qubo_prune.report.html import Choice, Figure, Page, Section, choose

__all__ = ["benchmark_page"]

_TARGETS = (
    ("seconds_to_ground_state", "the ground state"),
    ("seconds_to_recall_100", "recall@100"),
    ("seconds_to_proof", "the proof"),
)


def benchmark_page(results: Results, title: str = "Benchmark") -> Page:
    """Make the page of a benchmark.

    Parameters
    ----------
    results : Results
        Of `qubo_prune.bench.results.read_results`.
    title : str
        Of the page.

    Raises
    ------
    InputError
        If there is no run.
    """
    if not results.runs:
        raise InputError("there are 0 runs in the results; let bench run write some first.")
    study = Study(results)
    tasks = len(study.task_names)
    summary = (
        f"{len(study.runs)} runs of {len(study.solvers)} solvers on {tasks} tasks. Recall is of the"
        " solver's own states; what repair adds is told apart."
    )
    parts = (
        ("leaders", "Leader board", _leaders),
        ("matrix", "Task by solver", matrices),
        ("time", "Time to target", _times),
        ("anytime", "Recall over time", lambda each: _figures([recall_over_time(each)])),
        ("spectrum", "Spectrum, exact and found", ladders),
        ("scaling", "Scaling", _scaling),
        ("pairs", "Solver against solver", _pairs),
    )
    sections = [
        Section(name, heading, body)
        for name, heading, draw in parts
        if (body := _by_limit(study, draw))
    ]
    sections += [
        Section("runs", "Runs", runs_table(study).to_html()),
        Section("ends", "How the runs ended", failures(study).to_html()),
        Section("left-out", "Left out, and why", left_out(study)),
        Section("machine", "Machine and versions", machines(study)),
    ]
    if warning := lies(study):
        sections.insert(0, Section("lies", "Wrong claims", warning))
    return Page(title, summary, tuple(sections), study.solvers)


def _by_limit(study: Study, draw: Callable[[Comparison], str]) -> str:
    """Return what is drawn of each time limit, to choose from."""
    drawn = [(each, draw(each)) for each in study.comparisons]
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
    return _figures(
        figure(comparison, measure, target)
        for measure, target in _TARGETS
        for figure in (profile, targets)
    )


def _scaling(comparison: Comparison) -> str:
    return _figures(
        scaling(comparison, size, measure, target)
        for measure, target in _TARGETS
        for size in ("num_blocks", "remove")
    )


def _pairs(comparison: Comparison) -> str:
    measure, target = _TARGETS[0]
    test = pairs(comparison, measure, target)
    return (test.to_html() if test else "") + scatters(comparison, measure, target)


def _figures(figures: Iterable[Figure | None]) -> str:
    shown = "".join(figure.to_html() for figure in figures if figure)
    return f'<div class="grid-of-figures">{shown}</div>' if shown else ""
