"""Figures show what the results say: read back from what was drawn."""

from __future__ import annotations

import dataclasses
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.text import Text

from qubo_prune import Problem, Spectrum, solve, sweep
from qubo_prune.bench.results import Run, TracePoint
from qubo_prune.core.errors import InputError
from qubo_prune.core.spectrum.status import Status
from qubo_prune.core.stopping import StopReason
from qubo_prune.hessians import diagnose
from qubo_prune.pruning import Measurement
from qubo_prune.pruning.selection import Candidate, Selection
from qubo_prune.report import (
    convergence_figure,
    diagnosis_figure,
    find_knee,
    plot_convergence,
    plot_spectrum,
    plot_sweep,
    selection_figure,
    spectrum_figure,
    sweep_figure,
)
from qubo_prune.report.theme import DARK, LIGHT

BRANCHES = Problem.load("bytelm-40-branch", remove=8)


@pytest.fixture(scope="module")
def branches() -> Spectrum:
    return solve(BRANCHES, num_states=30)


def spectrum(
    num_blocks: int = 6, remove: int = 2, num_states: int = 5, seed: int = 0, **problem: Any
) -> Spectrum:
    a = np.random.default_rng(seed).standard_normal((3 * num_blocks, num_blocks))
    return solve(Problem(a.T @ a, remove, **problem), num_states=num_states)


def partly(found: Spectrum, proven: int) -> Spectrum:
    return dataclasses.replace(
        found,
        num_proven=proven,
        status=Status.PARTIAL,
        stop_reason=StopReason.TIME_LIMIT,
        lower_bound=float(found.energies[proven]),
    )


def axes_of(figure: Figure, label: str) -> Axes:
    return next(axes for axes in figure.axes if axes.get_label() == label)


def drawn_points(axes: Axes) -> dict[str, tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]]:
    """The marks by what the legend calls them."""
    handles, labels = axes.get_legend_handles_labels()
    return {
        label: (np.asarray(each.get_xdata()), np.asarray(each.get_ydata()))
        for each, label in zip(handles, labels, strict=True)
    }


Boxes = list[tuple[Text, Any]]


def drawn_texts(figure: Figure) -> Boxes:
    """The texts that are drawn, and where."""
    found: Boxes = []
    draw = Text.draw

    def draw_and_tell(self: Text, renderer: Any, *rest: Any, **more: Any) -> None:
        if self.get_visible() and self.get_text():
            found.append((self, self.get_window_extent(renderer)))
        draw(self, renderer, *rest, **more)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Text, "draw", draw_and_tell)
        FigureCanvasAgg(figure).draw()
    return found


def tick_texts(texts: Boxes, axes: Axes, which: str) -> list[str]:
    """What is written at the ticks of an axis."""
    labels = {tick.label1 for tick in getattr(axes, f"{which}axis").get_major_ticks()}
    return [text.get_text() for text, _ in texts if text in labels]


def overlaps(texts: Boxes, figure: Figure) -> list[tuple[str, str]]:
    """Texts that lie on each other, or are cut off at the edge."""
    page = figure.bbox
    boxes = [(text.get_text(), box.shrunk(0.96, 0.9)) for text, box in texts]
    found = [
        (text, "the edge")
        for text, box in boxes
        if box.x0 < page.x0 or box.x1 > page.x1 or box.y0 < page.y0 or box.y1 > page.y1
    ]
    for k, (text, box) in enumerate(boxes):
        found += [(text, other) for other, second in boxes[k + 1 :] if box.overlaps(second)]
    return found


# Removal maps


def test_the_map_is_the_states_and_the_marks_are_the_energies(branches: Spectrum) -> None:
    figure = spectrum_figure(branches, kinds=BRANCHES.kinds)
    (image,) = axes_of(figure, "removed blocks").images
    assert np.array_equal(np.asarray(image.get_array(), bool), branches.states)
    colours = [to_rgb(each) for each in image.get_cmap().colors]  # type: ignore[attr-defined]
    assert colours == [to_rgb(LIGHT.kept), to_rgb(LIGHT.removed)]
    marks = drawn_points(axes_of(figure, "energies"))
    above, ranks = marks["proven to be in its place"]
    assert np.array_equal(above, branches.energies - branches.energies[0])
    assert np.array_equal(ranks, np.arange(30))
    bound, _ = marks["no other state lies below"]
    assert set(bound) == {branches.lower_bound - branches.energies[0]}
    (kinds,) = axes_of(figure, "kinds").images
    assert BRANCHES.kinds is not None
    assert [
        [kind == name for kind in BRANCHES.kinds] for name in ("attention", "mlp")
    ] == np.asarray(kinds.get_array(), bool).tolist()


def test_states_and_energies_share_their_rows(branches: Spectrum) -> None:
    figure = spectrum_figure(branches)
    left, right = axes_of(figure, "removed blocks"), axes_of(figure, "energies")
    assert left.get_shared_y_axes().joined(left, right)
    assert left.get_ylim() == right.get_ylim() == (29.5, -0.5)  # the lowest on top


def test_what_is_proven_is_told_apart() -> None:
    found = partly(spectrum(), 2)
    marks = drawn_points(axes_of(spectrum_figure(found), "energies"))
    assert marks["proven to be in its place"][1].tolist() == [0, 1]
    assert marks["not proven"][1].tolist() == [2, 3, 4]


def test_kinds_are_found_in_names_and_names_stand_above_what_is_removed() -> None:
    names = tuple(f"model.layers.{k // 2}.{('attention', 'mlp')[k % 2]}" for k in range(6))
    found = spectrum(names=names, num_states=1)
    figure = spectrum_figure(found)
    top = axes_of(figure, "kinds")
    assert [each.get_text() for each in top.get_yticklabels()] == ["attention", "mlp"]
    (above,) = top.child_axes
    written = [each.get_text() for each in above.get_xticklabels()]
    assert written == [name.removeprefix("model.layers.") for name in found.removed_names(0)]
    assert above.get_xticks().tolist() == found.removed(0)
    plain = spectrum_figure(spectrum())
    assert [axes.get_label() for axes in plain.axes] == ["removed blocks", "energies"]
    assert not plain.axes[0].child_axes


@pytest.mark.parametrize(
    ("num_blocks", "remove", "num_states"),
    [(4, 1, 4), (4, 4, 1), (32, 6, 1), (32, 31, 12), (80, 2, 1000), (160, 1, 160), (220, 1, 99)],
)
def test_ticks_are_whole_numbers_and_texts_apart(
    num_blocks: int, remove: int, num_states: int
) -> None:
    names = tuple(f"layers.{k // 2}.{('attention', 'mlp')[k % 2]}" for k in range(num_blocks))
    found = spectrum(num_blocks, remove, num_states, names=names)
    assert len(found) == num_states
    figure = spectrum_figure(found)
    written = drawn_texts(figure)
    axes = axes_of(figure, "removed blocks")
    for which, count in (("x", num_blocks), ("y", num_states)):
        texts = tick_texts(written, axes, which)
        assert all(text.isdecimal() and int(text) < count for text in texts)
        assert "0" in texts
    assert overlaps(written, figure) == []


def test_ties_and_nothing_at_all_are_drawn() -> None:
    ties = solve(Problem(np.ones((6, 6)), 2), num_states=15)
    figure = spectrum_figure(ties)
    assert tick_texts(drawn_texts(figure), axes_of(figure, "energies"), "x") == ["0"]
    nothing = dataclasses.replace(
        spectrum()[:0], status=Status.PARTIAL, stop_reason=StopReason.TIME_LIMIT
    )
    texts = [each.get_text() for each in axes_of(spectrum_figure(nothing), "removed blocks").texts]
    assert texts == ["no state was found"]


def test_of_very_many_states_the_lowest_are_drawn_and_the_title_says_so() -> None:
    found = spectrum(60, 2, 1100)
    figure = spectrum_figure(found)
    (image,) = axes_of(figure, "removed blocks").images
    assert np.array_equal(np.asarray(image.get_array(), bool), found.states[:1000])
    assert "the lowest 1000 are drawn" in " ".join(figure.get_suptitle().split())


def test_names_of_others_are_no_formulas_and_never_too_long() -> None:
    names = (r"$\frac{$", "a$b", "x" * 300, "tab\tbed", "_", "e")
    figure = spectrum_figure(spectrum(names=names, remove=5, num_states=6))
    texts = drawn_texts(figure)
    shown = [text.get_text() for text in tick_labels_above(figure)]
    assert shown == [r"\$\frac{\$", r"a\$b", "…" + "x" * 23, "tab?bed", "_", "e"]
    assert overlaps(texts, figure) == []


def tick_labels_above(figure: Figure) -> list[Text]:
    (above,) = axes_of(figure, "removed blocks").child_axes
    return list(above.get_xticklabels())


# Sweeps


@pytest.fixture(scope="module")
def swept() -> list[Spectrum]:
    rising = np.diag([1.0, 1.1, 1.2, 1.3, 8.0, 9.0, 10.0, 30.0])
    return list(sweep(Problem(rising, 1), num_states=2).values())


def test_a_sweep_shows_energy_gap_and_time(swept: list[Spectrum]) -> None:
    figure = sweep_figure(reversed(swept))
    energy, gap, time = figure.axes
    removes = [each.remove for each in swept]
    for axes, values in (
        (energy, [each.energies[0] for each in swept]),
        (gap, [each.energies[1] - each.energies[0] for each in swept]),
        (time, [each.timings["total"] for each in swept]),
    ):
        places, drawn = drawn_points(axes)["proven"]
        assert (places.tolist(), drawn.tolist()) == (removes, values)
    texts = drawn_texts(figure)
    assert tick_texts(texts, time, "x") == [str(each) for each in removes]
    assert overlaps(texts, figure) == []


def test_where_removal_starts_to_hurt_is_marked_and_explained(swept: list[Spectrum]) -> None:
    knee = find_knee([each.remove for each in swept], [each.energies[0] for each in swept])  # type: ignore[misc]
    assert knee is not None
    assert knee.remove == 4
    assert (knee.before, knee.after) == pytest.approx((3.6 / 3, 27 / 3))
    figure = sweep_figure(swept)
    assert [
        line.get_xdata()[0] for line in figure.axes[0].lines if line.get_linestyle() == "--"
    ] == [4]  # type: ignore[index]
    assert (
        "starts to hurt at M = 4: beyond, a block costs 9 on average, before 1.2."
        in figure.get_suptitle()
    )
    assert [each.get_text() for each in figure.axes[0].texts] == ["M = 4"]


@pytest.mark.parametrize(
    "energies",
    [
        [1.0, 2.0, 3.0, 4.0],  # too few
        [1.0, 2.0, 3.0, 4.0, 5.0, 6.0],
        [0.0, 5.0, 8.0, 9.0, 9.5],  # ever less
        [5.0, 1.0, 1.0, 1.0, 1.0],  # it falls
        [3.0, 3.0, 3.0, 3.0, 3.0],
    ],
)
def test_there_may_be_no_such_place(energies: list[float]) -> None:
    assert find_knee(range(1, len(energies) + 1), energies) is None


def test_unproven_spectra_are_hollow_and_counts_of_kinds_named(swept: list[Spectrum]) -> None:
    half = [partly(each, 1) if each.remove == 3 else each for each in swept]
    energy, gap, time = sweep_figure(half).axes
    assert "not proven" not in drawn_points(energy)
    for axes in (gap, time):
        assert drawn_points(axes)["not proven"][0].tolist() == [3]
    (legend,) = energy.figure.legends
    assert [each.get_text() for each in legend.get_texts()] == ["proven", "not proven"]
    problem = Problem(np.eye(4), {"a": 1}, kinds=["a", "a", "b", "b"])
    figure = sweep_figure(sweep(problem, [{"a": 1}, {"a": 1, "b": 2}], num_states=2).values())
    assert tick_texts(drawn_texts(figure), figure.axes[2], "x") == ["1 a", "1 a + 2 b"]


def test_few_m_have_whole_numbers_too(swept: list[Spectrum]) -> None:
    figure = sweep_figure(swept[:3])
    assert tick_texts(drawn_texts(figure), figure.axes[2], "x") == ["1", "2", "3"]


def test_a_sweep_of_one_or_none_is_drawn(swept: list[Spectrum]) -> None:
    figure = sweep_figure(swept[:1])
    assert overlaps(drawn_texts(figure), figure) == []
    assert sweep_figure([]).get_suptitle() == "0 spectra"


# Runs of a benchmark


def runs() -> list[Run]:
    points = (TracePoint(0.01, best=2.0, bound=0.5), TracePoint(0.1, best=1.0, bound=0.9))
    exact = Run("toy", "toy", "0", 40, 8, 10, "exact", trace=points, reference_energies=(1.0,))
    quick = dataclasses.replace(exact, backend="quick", trace=(TracePoint(0.02, best=3.0),))
    other = dataclasses.replace(quick, instance="big", problem="1", reference_energies=())
    return [exact, quick, other, dataclasses.replace(quick, backend="away", trace=())]


def test_runs_converge_in_a_panel_for_each_problem() -> None:
    figure = convergence_figure(runs())
    toy, big = figure.axes
    assert [axes.get_title(loc="left") for axes in (toy, big)] == [
        "toy, M = 8, K = 10",
        "big, M = 8, K = 10",
    ]
    marks = drawn_points(toy)
    assert {label: values.tolist() for label, (_, values) in marks.items()} == {
        "exact": [2.0, 1.0],
        "bound of exact": [0.5, 0.9],
        "quick": [3.0],
        "lowest that is known": [1.0, 1.0],
    }
    assert marks["exact"][0].tolist() == [0.01, 0.1]
    assert list(drawn_points(big)) == ["quick"]
    colours = {line.get_label(): line.get_color() for axes in (toy, big) for line in axes.lines}
    assert colours["exact"] == colours["bound of exact"] != colours["quick"]
    assert overlaps(drawn_texts(figure), figure) == []


def test_many_problems_are_counted_and_runs_without_a_trace_refused(tmp_path: Path) -> None:
    (first, *_, away) = runs()
    many = [dataclasses.replace(first, problem=str(k), instance=f"i{k}") for k in range(12)]
    figure = convergence_figure(many)
    assert len(figure.axes) == 9
    assert figure.get_suptitle() == "12 runs; the first 9 of 12 problems are drawn"
    with pytest.raises(InputError, match=r"^none of these runs has a trace.*`bench run`"):
        plot_convergence([away], tmp_path / "runs.svg")
    assert list(tmp_path.iterdir()) == []


# Selections and Hessians


def selection(num_proposers: int = 3) -> Selection:
    rng = np.random.default_rng(0)
    measured = [
        Measurement.of([k, k + 1], k + rng.uniform(0, 0.5, 8)) for k in range(num_proposers)
    ]
    return Selection(
        removals=tuple(
            dataclasses.replace(
                Candidate.compared(each, measured[0], proposed_by=f"proposer-{k}"),
                predicted=float(k),
                energy=1e-5 * k,
            )
            for k, each in enumerate(measured)
        ),
        objective="loss",
        baseline=2.0,
        num_evaluations=num_proposers,
        remove=2,
        names=tuple(map(str, range(num_proposers + 1))),
    )


def test_a_selection_shows_who_proposed_what_came_of_it() -> None:
    found = selection(9)
    figure = selection_figure(found)
    by_prediction, by_energy, _, blocks = figure.axes
    for axes, expected in (
        (by_prediction, [each.predicted for each in found]),
        (by_energy, [each.energy for each in found]),
    ):
        drawn = [bar.lines for bar in axes.containers]
        assert [line.get_xdata()[0] for line, *_ in drawn] == expected
        assert [line.get_ydata()[0] for line, *_ in drawn] == [each.objective for each in found]
        for (_, _, (bar,)), each in zip(drawn, found, strict=True):
            ((low, high),) = (segment[:, 1] for segment in bar.get_segments())
            assert (high - low) / 2 == pytest.approx(each.standard_error)
        looks = {(line.get_color(), line.get_marker()) for line, *_ in drawn}
        assert len(looks) == 9  # more than there are colours
    (legend,) = figure.legends
    assert [each.get_text() for each in legend.get_texts()] == [f"proposer-{k}" for k in range(9)]
    (image,) = blocks.images
    assert np.array_equal(
        np.asarray(image.get_array(), bool), [found.state(k) for k in range(len(found))]
    )
    texts = drawn_texts(figure)
    assert all(text.isdecimal() for text in tick_texts(texts, blocks, "x"))
    assert overlaps(texts, figure) == []


def test_a_hessian_shows_its_correlations() -> None:
    diagnosis = diagnose("llama-32-block")
    figure = diagnosis_figure(diagnosis, dark=True)
    correlations = figure.axes[0]
    (image,) = correlations.images
    shown = np.ma.filled(image.get_array(), np.nan)  # type: ignore[no-untyped-call]
    off = ~np.eye(32, dtype=bool)
    assert np.array_equal(shown[off], diagnosis.correlations[off])
    assert np.isnan(np.diag(shown)).all()
    low, high = image.get_clim()
    assert low == -high  # nothing is in the middle
    texts = drawn_texts(figure)
    for which in "xy":
        assert all(text.isdecimal() for text in tick_texts(texts, correlations, which))
    assert overlaps(texts, figure) == []


# All of them


FOUND = spectrum()
PLOTS = {
    "spectrum": lambda path, **dark: plot_spectrum(FOUND, path, **dark),
    "sweep": lambda path, **dark: plot_sweep([FOUND], path, **dark),
    "convergence": lambda path, **dark: plot_convergence(runs(), path, **dark),
}


@pytest.mark.parametrize("plot", PLOTS.values(), ids=PLOTS)
def test_plots_are_written_the_same_every_time(plot: Any, tmp_path: Path) -> None:
    for suffix, start in ((".pdf", b"%PDF"), (".svg", b"<?xml")):
        path = tmp_path / f"plot{suffix}"
        plot(path, dark=suffix == ".svg")
        first = path.read_bytes()
        plot(path, dark=suffix == ".svg")
        assert path.read_bytes() == first
        assert first.startswith(start)
    assert DARK.background in (tmp_path / "plot.svg").read_text()
    with pytest.raises(InputError, match=r"must end in .png, .pdf or .svg, not 'plot.jpg'; rename"):
        plot(tmp_path / "plot.jpg")
    (tmp_path / "notes.svg").write_text("mine")
    with pytest.raises(InputError, match=r"notes.svg is something else, and a plot does not repl"):
        plot(tmp_path / "notes.svg")
    assert (tmp_path / "notes.svg").read_text() == "mine"


def test_figures_are_saved_only_when_asked(
    swept: list[Spectrum], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for figure in (spectrum_figure(spectrum()), sweep_figure(swept), convergence_figure(runs())):
        assert isinstance(figure, Figure)
    assert list(tmp_path.iterdir()) == []
    assert "matplotlib.pyplot" not in sys.modules  # no window is opened, no state kept


@pytest.mark.parametrize("dark", [False, True])
def test_everything_stands_out_against_the_background(dark: bool, swept: list[Spectrum]) -> None:
    theme = DARK if dark else LIGHT
    for figure in (
        spectrum_figure(partly(spectrum(), 2), dark=dark),
        sweep_figure(swept, dark=dark),
        convergence_figure(runs(), dark=dark),
        selection_figure(selection(), dark=dark),
    ):
        assert to_rgb(figure.get_facecolor()) == to_rgb(theme.background)
        for text, _ in drawn_texts(figure):
            assert contrast(text.get_color(), theme.background) >= 4.5
    for colour in (*theme.colours, theme.soft):
        assert contrast(colour, theme.background) >= 1.9
    assert contrast(theme.removed, theme.kept) >= 3  # in grey print as well


def contrast(one: Any, other: Any) -> float:
    """The ratio of luminances, as the guidelines for accessible pages define it."""

    def luminance(colour: Any) -> float:
        linear = [
            each / 12.92 if each <= 0.04045 else ((each + 0.055) / 1.055) ** 2.4
            for each in to_rgb(colour)
        ]
        return float(np.dot(linear, [0.2126, 0.7152, 0.0722]))

    low, high = sorted((luminance(one), luminance(other)))
    return (high + 0.05) / (low + 0.05)


def test_without_matplotlib_the_remedy_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    message = r"^a plot needs matplotlib, which is not installed; install it with: pip install mat"
    for plot in PLOTS.values():
        with pytest.raises(InputError, match=message):
            plot(tmp_path / "plot.svg")
    with pytest.raises(InputError, match=message):
        spectrum_figure(spectrum())
    assert list(tmp_path.iterdir()) == []
