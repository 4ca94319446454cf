"""The part of a page on a sweep: energy, gap and time against the number of removed blocks, and the
lowest removal of each.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import TYPE_CHECKING

from qubo_prune.core.spectrum.status import Status
from qubo_prune.core.text import format_blocks, format_count
from qubo_prune.report.html import Figure, figure_grid
from qubo_prune.report.removal_map import MapRow, key, removal_map
from qubo_prune.report.results.blocks import Blocks
from qubo_prune.report.results.detail import Place
from qubo_prune.report.results.spectrum import state_hint
from qubo_prune.report.svg import Axis, Plot, axis_of, short
from qubo_prune.report.tables import Cell, Table

if TYPE_CHECKING:
    from qubo_prune.core.spectrum.spectrum import Spectrum

__all__ = ["sweep_body"]

_HEAD_ROOM = 1.06
_LEAST_SECONDS = 1e-3

_Measure = Callable[["Spectrum"], float | None]


def sweep_body(spectra: Sequence[Spectrum], blocks: Blocks, place: Place) -> str:
    """Return the HTML of the spectra of a sweep, ascending in what they remove."""
    found = [spectrum for spectrum in spectra if len(spectrum)]
    if not found:
        return "<p>No state was found.</p>"
    several = len(found) > 1
    steps = {
        id(after): float(after.energies[0] - before.energies[0])
        for before, after in pairwise(found)
    }
    plots = (
        ("lowest-energy", "Lowest energy", "energy", lambda each: float(each.energies[0])),
        ("step", "What the last block costs", "energy", lambda each: steps.get(id(each))),
        ("gap", "Gap to the next energy", "energy above the lowest", _gap),
        ("seconds", "Time", "seconds", lambda each: each.timings.get("total")),
    )
    captions = {
        "lowest-energy": "Energy of the lowest removal: where it turns up, removal starts to hurt.",
        "step": "How much the lowest energy rises from the number of removed blocks before.",
        "gap": "How far the next energy lies above the lowest: where it is small, the choice is"
        " open.",
        "seconds": "How long each took.",
    }
    figures = [
        _plot(found, place, name, title, label, value, captions[name])
        for name, title, label, value in plots
    ]
    return (
        (figure_grid(figures) if several else "")
        + _map(found, blocks, place).to_html()
        + _table(found, steps, blocks, place).to_html()
    )


def _removed(spectrum: Spectrum) -> int:
    return int(spectrum.states[0].sum())


def _gap(spectrum: Spectrum) -> float | None:
    above = spectrum.energies[spectrum.energies > spectrum.energies[0]]
    return float(above[0] - spectrum.energies[0]) if len(above) else None


def _plot(
    found: Sequence[Spectrum],
    place: Place,
    name: str,
    title: str,
    label: str,
    value: _Measure,
    caption: str,
) -> Figure | None:
    known = [(each, at) for each in found if (at := value(each)) is not None]
    if not known:
        return None
    counts = [_removed(each) for each, _ in known]
    heights = [at for _, at in known]
    is_time = name == "seconds"
    x = Axis("removed blocks M", min(counts) - 0.5, max(counts) + 0.5, whole=True)
    y = (
        axis_of(label, heights, logarithmic=True, least=_LEAST_SECONDS)
        if is_time
        else axis_of(label, [max(heights) * _HEAD_ROOM, *heights], low=min(0.0, *heights))
    )
    plot = Plot(x, y)
    least = _LEAST_SECONDS if is_time else None
    points = [
        (count, at if least is None else max(at, least))
        for count, at in zip(counts, heights, strict=True)
    ]
    plot.line(points, 2)
    drawn = []
    for number, (word, is_proven) in enumerate((("proven", True), ("not proven", False))):
        group = [
            (point, f"M = {point[0]}: {at:.4g} {'s' if is_time else ''}".rstrip())
            for point, at, (each, _) in zip(points, heights, known, strict=True)
            if (each.status is Status.PROVEN) == is_proven
        ]
        if group:
            plot.dots([point for point, _ in group], number, [text for _, text in group])
            drawn.append((word, number))
    rows: tuple[list[Cell], ...] = tuple(
        [count, at, each.status.value]
        for count, at, (each, _) in zip(counts, heights, known, strict=True)
    )
    table = Table(("M", label, "status"), rows, exact=True)
    svg = plot.to_svg(title, caption) + key(drawn)
    return Figure(place.name(name), title, svg, caption, table)


def _map(found: Sequence[Spectrum], blocks: Blocks, place: Place) -> Figure:
    shown = found[: place.detail.map_rows]
    rows = [
        MapRow(
            str(_removed(each)),
            each.removed(0),
            short(float(each.energies[0])),
            f"M = {_removed(each)}, {state_hint(each, 0, blocks)}",
        )
        for each in shown
    ]
    kept = [set(before.removed(0)) <= set(after.removed(0)) for before, after in pairwise(shown)]
    nested = (
        f" {sum(kept)} of {len(kept)} times the larger removal contains the smaller one."
        if kept
        else ""
    )
    caption = (
        "The lowest removal for each number of removed blocks M, with its energy on the"
        f" right.{nested}"
    )
    svg = removal_map(
        rows, len(blocks), label="M", right="energy", description=caption, kinds=blocks.kinds
    )
    table = Table(
        ("M", *(f"block {block}" for block in range(len(blocks)))),
        tuple(
            [_removed(each), *(int(block) for block in each.states[0].tolist())] for each in shown
        ),
    )
    return Figure(place.name("lowest-removals"), "Lowest removals", svg, caption, table)


def _table(
    found: Sequence[Spectrum], steps: dict[int, float], blocks: Blocks, place: Place
) -> Figure:
    columns = [
        *("M", "states", "listed", "proven", "status", "lowest energy", "step"),
        *("gap", "seconds", "removed blocks"),
    ]
    if blocks.counts is not None:
        columns.append("share %")
    rows: list[list[Cell]] = []
    for each in found[: place.detail.rows]:
        removed = each.removed(0)
        row: list[Cell] = [
            *(_removed(each), format_count(each.num_states_total).replace(",", "")),
            *(len(each), each.num_proven),
            *(each.status.value, float(each.energies[0]), steps.get(id(each)), _gap(each)),
            *(each.timings.get("total"), format_blocks(removed)),
        ]
        if blocks.counts is not None:
            share = blocks.share(removed)
            row.append(None if share is None else 100 * share)
        rows.append(row)
    table = Table(tuple(columns), tuple(rows), digits={"lowest energy": 9}, exact=True)
    body = table.to_html("Sweep", identifier=place.name("table"), filters=("status",))
    caption = place.rest(len(found), "spectra") or (
        "A row for each M: how many states there are, how many are listed and proven, and the"
        " lowest removal."
    )
    return Figure(place.name("table"), "All numbers of blocks", body, caption, table)
