"""The part of a page on a spectrum: the map of its removals, its ladder, and all states."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qubo_prune.core.text import format_blocks, plural
from qubo_prune.report.html import Figure, description_list, figure_grid
from qubo_prune.report.removal_map import MapRow, key, removal_map
from qubo_prune.report.results.blocks import Blocks
from qubo_prune.report.results.detail import Place
from qubo_prune.report.svg import Axis, Plot, axis_of, short
from qubo_prune.report.tables import Cell, Table

if TYPE_CHECKING:
    from collections.abc import Sequence

    from qubo_prune.core.spectrum.spectrum import Spectrum

__all__ = ["spectrum_body", "state_hint"]

_HEAD_ROOM = 1.06
_LEVELS = 200


def spectrum_body(spectrum: Spectrum, blocks: Blocks, place: Place) -> str:
    """Return the HTML of a spectrum."""
    if not len(spectrum):
        return "<p>No state was found.</p>" + _facts(spectrum)
    states = [spectrum.removed(k) for k in range(min(len(spectrum), place.detail.rows))]
    figures = [_map(spectrum, states, blocks, place), _ladder(spectrum, place)]
    return (
        figure_grid(figures)
        + _states(spectrum, states, blocks, place).to_html()
        + "<h3>How it was found</h3>"
        + _facts(spectrum)
    )


def state_hint(spectrum: Spectrum, k: int, blocks: Blocks) -> str:
    """Return what a pointer that rests on a state is told of it."""
    energy, lowest = float(spectrum.energies[k]), float(spectrum.energies[0])
    proven = "proven" if k < spectrum.num_proven else "not proven"
    return (
        f"state {k}: energy {energy:.9g}, {energy - lowest:.3g} above the lowest, {proven}\n"
        + blocks.hint(spectrum.removed(k))
    )


def _map(
    spectrum: Spectrum, states: Sequence[Sequence[int]], blocks: Blocks, place: Place
) -> Figure:
    shown = states[: place.detail.map_rows]
    lowest = float(spectrum.energies[0])
    rows = [
        MapRow(
            str(k),
            removed,
            f"+{short(float(spectrum.energies[k]) - lowest)}" if k else short(lowest),
            state_hint(spectrum, k, blocks),
        )
        for k, removed in enumerate(shown)
    ]
    often = _always(shown)
    caption = (
        f"The {plural(len(shown), 'state')} of lowest energy, red where a block is removed; on the"
        " right the energy of the first, and how far the others are above it."
        + (f" All of them remove {format_blocks(often)}." if often and len(shown) > 1 else "")
    )
    svg = removal_map(
        rows,
        len(blocks),
        label="state",
        right="energy",
        description=caption,
        kinds=blocks.kinds,
        num_proven=spectrum.num_proven,
    )
    if blocks.kinds is not None and len(set(blocks.kinds)) > 1:
        svg += key([(kind, number) for number, kind in enumerate(dict.fromkeys(blocks.kinds))])
    table = Table(
        ("state", *(f"block {block}" for block in range(len(blocks)))),
        tuple(
            [k, *(int(block) for block in spectrum.states[k].tolist())] for k in range(len(shown))
        ),
    )
    return Figure(place.name("removal-map"), "Removal map", svg, caption, table)


def _always(states: Sequence[Sequence[int]]) -> list[int]:
    return sorted(set.intersection(*map(set, states))) if states else []


def _ladder(spectrum: Spectrum, place: Place) -> Figure:
    """Return the energies above the ground state, by rank; proven and not proven told apart."""
    energies = spectrum.energies[: min(_LEVELS, place.detail.rows)]
    heights = [float(energy) for energy in energies - energies[0]]
    x = Axis("state", -0.5, max(1, len(heights) - 1) + 0.5, whole=True)
    plot = Plot(x, axis_of("energy above the lowest", [heights[-1] * _HEAD_ROOM], low=0))
    split = spectrum.num_proven
    groups = (
        ("proven", 0, range(min(split, len(heights)))),
        ("not proven", 1, range(split, len(heights))),
    )
    drawn = [(name, number, ranks) for name, number, ranks in groups if len(ranks)]
    for _, number, ranks in drawn:
        titles = [f"state {k}: {heights[k]:.4g} above the lowest" for k in ranks]
        plot.dots([(k, heights[k]) for k in ranks], number, titles)
    distinct = len(set(heights))
    caption = (
        f"Energy above the lowest of the first {plural(len(heights), 'state')}:"
        f" {plural(distinct, 'level')}. A flat stretch is a choice that the energy cannot make."
    )
    told = key([(name, number) for name, number, _ in drawn])
    svg = plot.to_svg("Energies above the lowest", caption) + told
    rows: tuple[list[Cell], ...] = tuple(
        [k, float(spectrum.energies[k]), height, "yes" if k < split else "no"]
        for k, height in enumerate(heights)
    )
    table = Table(("state", "energy", "above lowest", "proven"), rows, exact=True)
    return Figure(place.name("energies"), "Energies above the lowest", svg, caption, table)


def _states(
    spectrum: Spectrum, states: Sequence[Sequence[int]], blocks: Blocks, place: Place
) -> Figure:
    columns = ["state", "energy", "above lowest", "proven", "removed blocks"]
    if blocks.has_names:
        columns.append("names")
    if blocks.counts is not None:
        columns += ["parameters", "share %"]
    lowest = float(spectrum.energies[0])
    rows: list[list[Cell]] = []
    classes: dict[tuple[int, int], str] = {}
    for k, removed in enumerate(states):
        energy = float(spectrum.energies[k])
        proven = "yes" if k < spectrum.num_proven else "no"
        row: list[Cell] = [k, energy, energy - lowest, proven, format_blocks(removed)]
        if blocks.has_names:
            row.append(blocks.named(removed))
            classes[k, len(row) - 1] = "wrap"
        if blocks.counts is not None:
            share = blocks.share(removed)
            row += [blocks.parameters(removed), None if share is None else 100 * share]
        rows.append(row)
    table = Table(tuple(columns), tuple(rows), classes, digits={"energy": 9}, exact=True)
    caption = (
        place.rest(len(spectrum), "states")
        or "Every state of the file; its numbers are rounded here, and whole in the CSV."
    )
    body = table.to_html("States", identifier=place.name("states"), filters=("proven",))
    return Figure(place.name("states"), "States", body, caption, table)


def _fact(value: float | int | str) -> str:
    """Return a fact of a proof for people: counts with commas, few digits of the rest."""
    if isinstance(value, float):
        return f"{value:.6g}"
    return f"{value:,}" if isinstance(value, int) else value


def _facts(spectrum: Spectrum) -> str:
    facts = {
        "backend": spectrum.backend,
        "seconds": f"{spectrum.timings.get('total', 0.0):.3g}",
        "states evaluated": f"{spectrum.num_evaluated:,}",
        "why it ended": spectrum.stop_reason.value,
        "seed": "none" if spectrum.seed is None else str(spectrum.seed),
        "in its own words": spectrum.native_status,
        **{f"proof: {name}": _fact(value) for name, value in spectrum.proof.items()},
        "SHA-256 of the Hessian": spectrum.hessian_sha256,
    }
    return description_list({name: value for name, value in facts.items() if value})
