"""Draw what `benchmarks.selection` found: ``python -m benchmarks.selection_plot``.

Above, the best objective on the samples to choose by against the number of measurements, the mean
over the seeds; below, the winner of each seed on held-out samples.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.record import RESULTS
from benchmarks.selection import METHODS
from qubo_prune.report.figures import save_figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes

PLOT = Path(__file__).parents[1] / "docs" / "selection.svg"
CRITERION = "best criterion"


def methods_of(rows: list[dict[str, Any]]) -> list[str]:
    """Return the methods that were reported on held-out samples, criteria as one."""
    names = {row["method"] for row in rows if row["held_out"] is not None}
    shown = [name for name in METHODS if name in names]
    return [*shown, CRITERION] if names - set(METHODS) else shown


def is_of(row: dict[str, Any], method: str) -> bool:
    """Tell whether a row is of a method; of the criteria, the best of its seed is."""
    if row["held_out"] is None:
        return False
    return bool(row["method"] == method or (method == CRITERION and row["method"] not in METHODS))


def mean_curve(rows: list[dict[str, Any]]) -> NDArray[np.float64]:
    """Return the mean over seeds of the best value after each measurement; NaN before all have."""
    longest = max(len(row["curve"]) for row in rows)
    curves = np.full((len(rows), longest), np.nan)
    for curve, row in zip(curves, rows, strict=True):
        values = np.array(row["curve"], np.float64)  # None becomes NaN
        curve[: len(values)] = values
        curve[len(values) :] = values[-1]
    mean: NDArray[np.float64] = curves.mean(axis=0)
    return mean


def draw_search(axes: Axes, rows: list[dict[str, Any]], methods: list[str]) -> None:
    """Draw the best value against the number of measurements."""
    for number, method in enumerate(methods):
        these = [row for row in rows if is_of(row, method)]
        if not these:
            continue
        if method == CRITERION:
            value = float(np.mean([row["chosen"] for row in these]))
            axes.axhline(value, color=f"C{number}", linestyle=":", label=method)
            continue
        mean = mean_curve(these)
        axes.plot(np.arange(1, len(mean) + 1), mean, color=f"C{number}", label=method)
    loop = [row["chosen"] for row in rows if is_of(row, "loop")]
    if loop:
        axes.set_ylim(0.93 * float(np.mean(loop)), 2.2 * float(np.mean(loop)))
    axes.set_xscale("log")
    axes.set_xlabel("measurements, singles too")
    axes.grid(alpha=0.3)


def draw_winners(axes: Axes, rows: list[dict[str, Any]], methods: list[str]) -> None:
    """Draw each seed's winner on held-out samples with its error."""
    for number, method in enumerate(methods):
        these = [row for row in rows if is_of(row, method)]
        places = number + 0.1 * (np.array([row["seed"] for row in these]) - 2)
        axes.errorbar(
            places,
            [row["held_out"] for row in these],
            [row["held_out_error"] for row in these],
            fmt="o",
            markersize=4,
            color=f"C{number}",
        )
    axes.set_xticks(range(len(methods)), methods, rotation=35, ha="right", fontsize="small")
    axes.grid(axis="y", alpha=0.3)


def main() -> None:
    """Read the figures that were written and draw them."""
    from matplotlib.figure import Figure

    [record] = json.loads((RESULTS / "selection.json").read_text())["rows"]
    results = record["results"]
    removes = sorted({row["remove"] for row in results})
    methods = methods_of(results)
    figure = Figure(figsize=(3.4 * len(removes), 7.5), layout="constrained")
    panels = figure.subplots(2, len(removes), squeeze=False)
    for column, remove in enumerate(removes):
        rows = [row for row in results if row["remove"] == remove]
        draw_search(panels[0, column], rows, methods)
        draw_winners(panels[1, column], rows, methods)
        panels[0, column].set_title(f"M = {remove}")
    panels[0, 0].set_ylabel("best so far on samples to choose by, nats")
    panels[1, 0].set_ylabel("winner on held-out samples, nats")
    handles, labels = panels[0, 0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper center", ncols=len(labels), fontsize="small")
    save_figure(figure, PLOT)
    print(f"written to {PLOT.name}")


if __name__ == "__main__":
    main()
