"""The part of a page on a selection: measured against predicted, the best with error bars, and all
removals.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from qubo_prune.core.text import format_blocks, plural, printable
from qubo_prune.report.html import Figure, description_list, figure_grid
from qubo_prune.report.removal_map import MapRow, key, removal_map
from qubo_prune.report.results.blocks import Blocks
from qubo_prune.report.results.detail import Place
from qubo_prune.report.svg import Axis, Plot, axis_of
from qubo_prune.report.tables import Cell, Table

if TYPE_CHECKING:
    from qubo_prune.pruning.selection import Candidate, Selection

__all__ = ["selection_body"]

_BEST = 12
_MARGIN = 0.06
_CHOICE, _HELD_OUT = 0, 1


def selection_body(selection: Selection, blocks: Blocks, place: Place) -> str:
    """Return the HTML of a selection."""
    if not len(selection):
        return "<p>No removal was measured.</p>" + _facts(selection)
    figures = (
        _against(selection, place, "predicted", "what was predicted before measuring"),
        _against(selection, place, "energy", "energy"),
        _best(selection, place),
        _singles(selection, blocks, place),
    )
    return (
        figure_grid(figures)
        + _map(selection, blocks, place).to_html()
        + _table(selection, blocks, place).to_html()
        + "<h3>How it was measured</h3>"
        + _facts(selection)
    )


def _finite(value: float | None) -> bool:
    return value is not None and math.isfinite(value)


def _roomy(label: str, values: Sequence[float]) -> Axis:
    """Return an axis with some room beyond all values."""
    low, high = min(values), max(values)
    room = _MARGIN * (high - low or abs(high) or 1.0)
    return axis_of(label, [high + room], low=low - room)


def _spread(values: Sequence[float], errors: Sequence[float]) -> list[float]:
    """Return where the error bars of values end."""
    known = [error if math.isfinite(error) else 0.0 for error in errors]
    return [v + sign * e for v, e in zip(values, known, strict=True) for sign in (-1, 1)]


def _against(selection: Selection, place: Place, what: str, words: str) -> Figure | None:
    """Return what was measured against what was expected, by who proposed it."""
    shown: list[tuple[float, Candidate]] = [
        (float(getattr(each, what)), each)
        for each in selection
        if _finite(getattr(each, what)) and math.isfinite(each.objective)
    ]
    if not shown:
        return None
    proposers = list(dict.fromkeys(each.proposed_by for _, each in shown))
    measured = [each.objective for _, each in shown]
    y_values = _spread(measured, [each.standard_error for _, each in shown])
    expected = [at for at, _ in shown]
    if what == "predicted":
        span = _roomy("", [*expected, *y_values])
        x, y = span._replace(label=words), span._replace(label=f"{selection.objective}, measured")
    else:
        x, y = _roomy(words, expected), _roomy(f"{selection.objective}, measured", y_values)
    plot = Plot(x, y)
    if what == "predicted":
        plot.diagonal()
    for number, proposer in enumerate(proposers):
        group = [(at, each) for at, each in shown if each.proposed_by == proposer]
        points = [(at, each.objective) for at, each in group]
        plot.errors(points, [each.standard_error for _, each in group], number)
        plot.dots(
            points,
            number,
            [
                f"{proposer}: {selection.objective} {each.objective:.4g} ±"
                f" {each.standard_error:.2g}, {what} {at:.4g}\nremoves"
                f" {format_blocks(each.removed)}"
                for at, each in group
            ],
        )
    lost = len(selection) - len(shown)
    caption = (
        f"Each removal measured, with one standard error, against {words}; coloured by who"
        " proposed it."
        + (" On the line, the prediction was right." if what == "predicted" else "")
        + (f" {plural(lost, 'removal')} without both numbers not drawn." if lost else "")
    )
    rows: tuple[list[Cell], ...] = tuple(
        [at, each.objective, each.standard_error, each.proposed_by, format_blocks(each.removed)]
        for at, each in shown
    )
    columns = (what, selection.objective, "standard error", "proposed by", "removed blocks")
    title = f"Measured against {what}"
    svg = plot.to_svg(title, caption) + key([(printable(p), n) for n, p in enumerate(proposers)])
    return Figure(
        place.name(f"against-{what}"),
        title,
        svg,
        caption,
        Table(columns, rows, exact=True, infinite="diverged"),
    )


def _best(selection: Selection, place: Place) -> Figure | None:
    """Return the best removals with error bars, on both parts of the samples."""
    shown = [each for each in selection if math.isfinite(each.objective)][:_BEST]
    if not shown:
        return None
    held = [
        (k + 0.12, float(each.held_out or 0.0), each.held_out_error or 0.0)
        for k, each in enumerate(shown)
        if _finite(each.held_out)
    ]
    chosen = [(k - 0.12, each.objective, each.standard_error) for k, each in enumerate(shown)]
    everything = [*chosen, *held]
    ends = _spread([value for _, value, _ in everything], [error for *_, error in everything])
    x = Axis("removal, best first", -0.5, max(1, len(shown) - 1) + 0.5, whole=True)
    plot = Plot(x, _roomy(selection.objective, ends))
    words = {_CHOICE: "samples of the choice", _HELD_OUT: "held-out samples"}
    drawn = []
    for number, points in ((_CHOICE, chosen), (_HELD_OUT, held)):
        if points:
            places = [(at, value) for at, value, _ in points]
            plot.errors(places, [error for *_, error in points], number)
            plot.dots(
                places,
                number,
                [f"{words[number]}: {value:.4g} ± {error:.2g}" for _, value, error in points],
            )
            drawn.append((words[number], number))
    caption = (
        f"The best {len(shown)} with one standard error. Differences between them are taken sample"
        " by sample, and are sharper than these bars: see the column above best."
    )
    rows: tuple[list[Cell], ...] = tuple(
        [k, each.objective, each.standard_error, each.held_out, each.held_out_error]
        for k, each in enumerate(shown)
    )
    columns = ("removal", selection.objective, "standard error", "held out", "its error")
    svg = plot.to_svg("The best removals", caption) + key(drawn)
    return Figure(
        place.name("best"),
        "The best removals",
        svg,
        caption,
        Table(columns, rows, exact=True, infinite="diverged"),
    )


def _singles(selection: Selection, blocks: Blocks, place: Place) -> Figure | None:
    """Return what the removal of single blocks does."""
    known = {block: at for block, at in selection.singles.items() if math.isfinite(at)}
    if not known:
        return None
    x = Axis("block", -0.5, len(blocks) - 0.5, whole=True)
    plot = Plot(x, _roomy(selection.objective, [0.0, *known.values()]))
    plot.rule(0.0)
    best = set(selection.best.removed) if len(selection) else set()
    drawn = []
    for number, word, chosen in ((1, "removed by the best", True), (0, "kept by it", False)):
        group = {block: at for block, at in known.items() if (block in best) is chosen}
        if group:
            titles = [f"{blocks.told([block])}: {at:.4g}" for block, at in group.items()]
            plot.dots(list(group.items()), number, titles)
            drawn.append((word, number))
    lost = len(selection.singles) - len(known)
    caption = "What removing one block alone does." + (
        f" {plural(lost, 'block')} where the model diverged not drawn." if lost else ""
    )
    rows: tuple[list[Cell], ...] = tuple(
        [block, printable(blocks.names[block]), at, "yes" if block in best else "no"]
        for block, at in selection.singles.items()
    )
    columns = ("block", "name", selection.objective, "removed by the best")
    svg = plot.to_svg("Single blocks", caption) + key(drawn)
    return Figure(
        place.name("singles"),
        "Single blocks",
        svg,
        caption,
        Table(columns, rows, exact=True, infinite="diverged"),
    )


def _map(selection: Selection, blocks: Blocks, place: Place) -> Figure:
    shown = selection.removals[: min(40, place.detail.map_rows)]
    rows = [
        MapRow(
            f"{k}{' =' if k and each.tied_with_best else ''}",
            each.removed,
            f"{each.objective:.3f}" if math.isfinite(each.objective) else "diverged",
            f"removal {k}: {selection.objective} {each.objective:.4g} ± {each.standard_error:.2g},"
            f" proposed by {printable(each.proposed_by)}\n{blocks.hint(each.removed)}",
        )
        for k, each in enumerate(shown)
    ]
    caption = (
        f"The best {plural(len(shown), 'removal')}, red where a block is removed; = cannot be told"
        f" apart from the best. On the right the {selection.objective} that was measured."
    )
    svg = removal_map(
        rows,
        len(blocks),
        label="removal",
        right=selection.objective,
        description=caption,
        kinds=blocks.kinds,
    )
    table = Table(
        ("removal", *(f"block {block}" for block in range(len(blocks)))),
        tuple(
            [k, *(int(block) for block in selection.state(k).tolist())] for k in range(len(shown))
        ),
    )
    return Figure(place.name("removal-map"), "Removal map", svg, caption, table)


def _table(selection: Selection, blocks: Blocks, place: Place) -> Figure:
    optional: dict[str, list[Cell]] = {
        "held out": [each.held_out for each in selection],
        "its error": [each.held_out_error for each in selection],
        "predicted": [each.predicted for each in selection],
        "energy": [each.energy for each in selection],
        "rank": [each.rank_in_spectrum for each in selection],
    }
    known = [name for name, cells in optional.items() if any(cell is not None for cell in cells)]
    columns = [
        *("removal", selection.objective, "standard error", "above best", "error of that", "tied"),
        *known,
        *("proposed by", "removed blocks"),
    ]
    if blocks.has_names:
        columns.append("names")
    if blocks.counts is not None:
        columns.append("share %")
    rows: list[list[Cell]] = []
    classes: dict[tuple[int, int], str] = {}
    for k, each in enumerate(selection.removals[: place.detail.rows]):
        row: list[Cell] = [
            *(k, each.objective, each.standard_error),
            *(each.above_best, each.above_best_error),
            "yes" if each.tied_with_best else "no",
            *(optional[name][k] for name in known),
            *(each.proposed_by, format_blocks(each.removed)),
        ]
        if blocks.has_names:
            row.append(blocks.named(each.removed))
            classes[k, len(row) - 1] = "wrap"
        if blocks.counts is not None:
            share = blocks.share(each.removed)
            row.append(None if share is None else 100 * share)
        rows.append(row)
    about = {
        "tied": "within two standard errors of the best",
        "rank": "among the lowest energies, from 0",
        "predicted": "by the surrogate, before it was measured",
    }
    table = Table(
        tuple(columns), tuple(rows), classes, about=about, exact=True, infinite="diverged"
    )
    caption = (
        place.rest(len(selection), "removals")
        or "Every removal that was measured; its numbers are rounded here, and whole in the CSV."
    )
    filters = ("tied", "proposed by")
    body = table.to_html("Removals", identifier=place.name("removals"), filters=filters)
    return Figure(place.name("removals"), "All removals", body, caption, table)


def _facts(selection: Selection) -> str:
    samples = selection.samples
    calibration = samples.get("calibration")
    source = calibration.get("source") if isinstance(calibration, dict) else None
    facts = {
        "objective": selection.objective,
        "loss of the whole model": _told(selection.baseline),
        "the same on held-out samples": _told(selection.held_out_baseline),
        "measurements": str(selection.num_evaluations),
        "samples of the choice": _told(samples.get("choosing")),
        "held-out samples": _told(samples.get("held_out")),
        "data": ", ".join(map(str, source)) if isinstance(source, list) else _told(source),
        "seconds": f"{selection.seconds:.4g}",
        "why it ended": selection.stop_reason.value,
        "seed": str(selection.seed),
        "SHA-256 of the Hessian": _told(selection.hessian_sha256),
        "fingerprint of the model": _told(selection.model_fingerprint),
    }
    return description_list({name: value for name, value in facts.items() if value})


def _told(value: object) -> str:
    if value is None:
        return ""
    return f"{value:.5g}" if isinstance(value, float) else str(value)
