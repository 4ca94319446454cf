"""The part of a page on a sweep: energy, gap and time against the number of removed blocks, and the
lowest removal of each.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import TYPE_CHECKING, NamedTuple

from qubo_prune.core.spectrum.status import Status
from qubo_prune.core.text import format_blocks, format_count
from qubo_prune.report.html import Figure, figure_grid
from qubo_prune.report.removal_map import MapRow, key, removal_map
from qubo_prune.report.results.blocks import Blocks
from qubo_prune.report.results.detail import Place
from qubo_prune.report.results.spectrum import state_hint
from qubo_prune.report.svg import Axis, Plot, axis_of, short
from qubo_prune.report.sweep import Knee, find_knee
from qubo_prune.report.tables import Cell, Table

if TYPE_CHECKING:
    from qubo_prune.core.spectrum.spectrum import Spectrum

__all__ = ["knee_of", "sweep_body"]

_HEAD_ROOM = 1.06
_LEAST_SECONDS = 1e-3
_SECONDS = "seconds"


class _Curve(NamedTuple):
    """What is drawn against M.

    Attributes
    ----------
    name, title, label, caption : str
        Of the figure.
    points : list of (Spectrum, float, bool)
        What is known, and whether it is proven.
    """

    name: str
    title: str
    label: str
    caption: str
    points: list[tuple[Spectrum, float, bool]]


def sweep_body(spectra: Sequence[Spectrum], blocks: Blocks, place: Place) -> str:
    """Return the HTML of the spectra of a sweep, ascending in what they remove."""
    found = [spectrum for spectrum in spectra if len(spectrum)]
    if not found:
        return "<p>No state was found.</p>"
    curves = _curves(found) if len(found) > 1 else []
    return (
        figure_grid(_plot(curve, place) for curve in curves if curve.points)
        + _map(found, blocks, place).to_html()
        + _table(found, blocks, place).to_html()
    )


def _curves(found: Sequence[Spectrum]) -> list[_Curve]:
    knee = knee_of(found)
    energy = "Energy of the lowest removal."
    if knee is not None:
        energy = (
            f"Energy of the lowest removal. The line at M = {knee.remove} says where removal starts"
            f" to hurt: up to there a block costs {short(knee.before)} on average, from there on"
            f" {short(knee.after)}."
        )
    return [
        _Curve(
            "lowest-energy",
            "Lowest energy",
            "energy",
            energy,
            [(each, float(each.energies[0]), each.num_proven > 0) for each in found],
        ),
        _Curve(
            "step",
            "What the last block costs",
            "energy",
            "How much the lowest energy rises from the number of removed blocks before.",
            [
                (after, step, min(before.num_proven, after.num_proven) > 0)
                for before, after in pairwise(found)
                for step in [float(after.energies[0] - before.energies[0])]
            ],
        ),
        _Curve(
            "gap",
            "Gap to the next energy",
            "energy above the lowest",
            "How far the next energy lies above the lowest: where it is small, the choice is open.",
            [
                (each, gap, each.num_proven > int((each.energies == each.energies[0]).sum()))
                for each in found
                if (gap := _gap(each)) is not None
            ],
        ),
        _Curve(
            "seconds",
            "Time",
            _SECONDS,
            "How long each took.",
            [
                (each, each.timings["total"], each.status is Status.PROVEN)
                for each in found
                if "total" in each.timings
            ],
        ),
    ]


def _removed(spectrum: Spectrum) -> int:
    return int(spectrum.states[0].sum())


def knee_of(found: Sequence[Spectrum]) -> Knee | None:
    """Return where removal starts to hurt, if it does and each M is there once."""
    counts = [_removed(each) for each in found]
    if any(after <= before for before, after in pairwise(counts)):
        return None
    return find_knee(counts, [float(each.energies[0]) for each in found])


def _gap(spectrum: Spectrum) -> float | None:
    above = spectrum.energies[spectrum.energies > spectrum.energies[0]]
    return float(above[0] - spectrum.energies[0]) if len(above) else None


def _plot(curve: _Curve, place: Place) -> Figure:
    counts = [_removed(each) for each, *_ in curve.points]
    heights = [height for _, height, _ in curve.points]
    is_time = curve.label == _SECONDS
    x = Axis("removed blocks M", min(counts) - 0.5, max(counts) + 0.5, whole=True)
    if is_time:
        y = axis_of(curve.label, heights, logarithmic=True, least=_LEAST_SECONDS)
    else:
        y = axis_of(curve.label, [max(heights) * _HEAD_ROOM, *heights], low=min(0.0, *heights))
    plot = Plot(x, y)
    points = [
        (count, max(height, _LEAST_SECONDS) if is_time else height)
        for count, height in zip(counts, heights, strict=True)
    ]
    knee = knee_of([each for each, *_ in curve.points]) if curve.name == "lowest-energy" else None
    if knee is not None:
        plot.upright(knee.remove)
    plot.line(points, 2)
    drawn = []
    for number, (word, chosen) in enumerate((("proven", True), ("not proven", False))):
        group = [
            (point, f"M = {point[0]}: {height:.4g}{' s' if is_time else ''}")
            for point, (_, height, is_proven) in zip(points, curve.points, strict=True)
            if is_proven == chosen
        ]
        if group:
            plot.dots([point for point, _ in group], number, [text for _, text in group])
            drawn.append((word, number))
    rows: tuple[list[Cell], ...] = tuple(
        [count, height, "yes" if is_proven else "no"]
        for count, (_, height, is_proven) in zip(counts, curve.points, strict=True)
    )
    table = Table(("M", curve.label, "proven"), rows, exact=True)
    svg = plot.to_svg(curve.title, curve.caption) + key(drawn)
    return Figure(place.name(curve.name), curve.title, svg, curve.caption, table)


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


def _table(found: Sequence[Spectrum], blocks: Blocks, place: Place) -> Figure:
    columns = [
        *("M", "states", "listed", "proven", "status", "lowest energy", "step"),
        *("gap", "seconds", "removed blocks"),
    ]
    if blocks.counts is not None:
        columns.append("share %")
    rows: list[list[Cell]] = []
    steps = [float(b.energies[0] - a.energies[0]) for a, b in pairwise(found)]
    for each, step in zip(found[: place.detail.rows], [None, *steps], strict=False):
        removed = each.removed(0)
        row: list[Cell] = [
            *(_removed(each), format_count(each.num_states_total).replace(",", "")),
            *(len(each), each.num_proven),
            *(each.status.value, float(each.energies[0]), step, _gap(each)),
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
