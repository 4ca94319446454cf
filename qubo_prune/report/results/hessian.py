"""The part of a page on a Hessian: what may be wrong with it, its correlations, its diagonal, its
eigenvalues, and its blocks.
"""

from __future__ import annotations

import math
from html import escape
from typing import TYPE_CHECKING

import numpy as np

from qubo_prune.core.text import format_blocks, plural, printable
from qubo_prune.hessians.findings import facts_of, format_fact
from qubo_prune.report.heat_map import heat_map
from qubo_prune.report.html import Figure, description_list, figure_grid
from qubo_prune.report.removal_map import key
from qubo_prune.report.results.blocks import Blocks
from qubo_prune.report.results.detail import Place
from qubo_prune.report.svg import Axis, Plot, axis_of
from qubo_prune.report.tables import Cell, Table

if TYPE_CHECKING:
    from qubo_prune.hessians.diagnostics import Diagnosis

__all__ = ["hessian_body"]

_PAIRS = 20
_HEAD_ROOM = 1.06


def hessian_body(diagnosis: Diagnosis, place: Place) -> str:
    """Return the HTML of a Hessian."""
    blocks = Blocks.of(diagnosis)
    facts = {
        name.replace("_", " "): printable(format_fact(value))
        for name, value in facts_of(diagnosis).items()
        if name != "path"
    }
    figures = (
        _correlations(diagnosis, place),
        _diagonal(diagnosis, blocks, place),
        _eigenvalues(diagnosis, place),
        _convergence(diagnosis, place),
        _states(diagnosis, place),
    )
    missing = ""
    if len(blocks) > place.detail.cells:
        missing = (
            f'<p class="note">The correlations of {plural(len(blocks), "block")} are not drawn, to'
            " keep the page small.</p>"
        )
    return (
        _warnings(diagnosis)
        + figure_grid(figures)
        + missing
        + _pairs(diagnosis, place).to_html()
        + _blocks(diagnosis, blocks, place).to_html()
        + "<h3>Facts</h3>"
        + description_list(facts)
    )


def _warnings(diagnosis: Diagnosis) -> str:
    if not diagnosis.warnings:
        return "<p>Nothing was found that speaks against it.</p>"
    lines = "".join(f"<li>{escape(printable(each))}" for each in diagnosis.warnings)
    return f'<div class="warning" role="note"><p>Look at this first:</p><ul>{lines}</ul></div>'


def _correlations(diagnosis: Diagnosis, place: Place) -> Figure | None:
    size = len(diagnosis.names)
    if size < 2 or size > place.detail.cells:
        return None
    values = diagnosis.correlations.copy()
    # A diagonal of ones would say nothing and set the scale.
    np.fill_diagonal(values, np.nan)
    limit = float(np.nanmax(np.abs(values))) or 1.0
    caption = (
        "How much the gradients of two blocks go together, H_ij / sqrt(H_ii H_jj): what is orange"
        " is worse to remove together than the sum of its parts says, what is blue is better. The"
        " diagonal, all ones, is left blank."
    )
    names = [
        str(block) if name == str(block) else f"{block} {printable(name)}"
        for block, name in enumerate(diagnosis.names)
    ]
    rows: tuple[list[Cell], ...] = tuple(
        [name, *(None if math.isnan(value) else value for value in row)]
        for name, row in zip(names, values.tolist(), strict=True)
    )
    return Figure(
        place.name("correlations"),
        "Correlations between blocks",
        heat_map(values, limit, "Correlations between blocks."),
        caption,
        Table(("block", *names), rows),
    )


def _diagonal(diagnosis: Diagnosis, blocks: Blocks, place: Place) -> Figure:
    energies = np.asarray(diagnosis.file.hessian, np.float64).diagonal().tolist()
    top, low = max(energies), min(0.0, *energies)
    plot = Plot(
        Axis("block", -0.5, len(energies) - 0.5, whole=True),
        axis_of("energy alone, H_ii", [top * _HEAD_ROOM if top > 0 else 1.0], low=low),
    )
    kinds = blocks.kinds or ("",) * len(energies)
    drawn = []
    for number, kind in enumerate(dict.fromkeys(kinds)):
        chosen = [block for block, each in enumerate(kinds) if each == kind]
        plot.dots(
            [(block, energies[block]) for block in chosen],
            number,
            [f"{blocks.told([block])}: {energies[block]:.4g}" for block in chosen],
        )
        drawn.append((printable(kind), number))
    caption = "Energy of removing one block alone, the diagonal of H."
    svg = plot.to_svg("Energies of single blocks", caption) + (key(drawn) if kinds[0] else "")
    rows: tuple[list[Cell], ...] = tuple([block, energy] for block, energy in enumerate(energies))
    table = Table(("block", "energy alone"), rows, exact=True)
    return Figure(place.name("diagonal"), "Each block alone", svg, caption, table)


def _eigenvalues(diagnosis: Diagnosis, place: Place) -> Figure:
    values = diagnosis.eigenvalues[::-1].tolist()
    positive = [(rank, value) for rank, value in enumerate(values, 1) if value > 0]
    floor = max(values) * 1e-18 if positive else 1.0
    shown = [(rank, value) for rank, value in positive if value > floor]
    plot = Plot(
        Axis("rank", 0.5, len(values) + 0.5, whole=True),
        axis_of("eigenvalue", [value for _, value in shown], logarithmic=True, least=1e-300),
    )
    plot.dots(shown, 0, [f"{rank}: {value:.4g}" for rank, value in shown])
    lost = len(values) - len(shown)
    caption = f"Effective rank {diagnosis.effective_rank:.4g} of {len(values)}." + (
        f" {lost} that are zero or negative not drawn." if lost else ""
    )
    rows: tuple[list[Cell], ...] = tuple([rank, value] for rank, value in enumerate(values, 1))
    svg = plot.to_svg("Eigenvalues", caption)
    table = Table(("rank", "eigenvalue"), rows, exact=True)
    return Figure(place.name("eigenvalues"), "Eigenvalues", svg, caption, table)


def _convergence(diagnosis: Diagnosis, place: Place) -> Figure | None:
    if not diagnosis.convergence:
        return None
    points = [(float(count), 100 * distance) for count, distance in diagnosis.convergence]
    plot = Plot(
        axis_of("first samples", [count for count, _ in points], low=0),
        axis_of("% of the norm of H", [at * _HEAD_ROOM for _, at in points], low=0),
    )
    plot.line(points, 0)
    plot.dots(points, 0, [f"{count:.0f} samples: {at:.3g} %" for count, at in points])
    caption = f"How far the Hessian of the first samples is from that of all {diagnosis.samples:,}."
    rows: tuple[list[Cell], ...] = tuple(
        [count, distance] for count, distance in diagnosis.convergence
    )
    table = Table(("samples", "distance"), rows, exact=True)
    svg = plot.to_svg("Convergence", caption)
    return Figure(place.name("convergence"), "Convergence", svg, caption, table)


def _states(diagnosis: Diagnosis, place: Place) -> Figure | None:
    """Return the lowest states with the error bars that a bootstrap gives them."""
    stability = diagnosis.stability
    if stability is None:
        return None
    rows: tuple[list[Cell], ...] = tuple(
        [
            *(k, float(stability.energies[k]), float(stability.errors[k])),
            *(float(stability.gaps[k]), float(stability.gap_errors[k])),
            *(float(stability.ground_share[k]), float(stability.lowest_share[k])),
            format_blocks(stability.states[k].nonzero()[0].tolist()),
        ]
        for k in range(min(len(stability.states), place.detail.rows))
    )
    columns = (
        *("state", "energy", "its error", "above lowest", "error of that", "is lowest"),
        *(f"in lowest {stability.lowest}", "removed blocks"),
    )
    table = Table(columns, rows, exact=True)
    caption = f"What {stability.resamples:,} draws of the samples, with replacement, leave of it."
    body = table.to_html("States with errors", identifier=place.name("stability"))
    return Figure(place.name("stability"), "How sure the lowest states are", body, caption, table)


def _pairs(diagnosis: Diagnosis, place: Place) -> Figure:
    rows: tuple[list[Cell], ...] = tuple(
        [i, printable(diagnosis.names[i]), j, printable(diagnosis.names[j]), value]
        for i, j, value in diagnosis.correlated_pairs(_PAIRS)
    )
    table = Table(("block", "name", "and block", "and name", "correlation"), rows, exact=True)
    body = table.to_html("Most correlated pairs", identifier=place.name("pairs"))
    caption = "The pairs that go together most, whichever sign."
    return Figure(place.name("pairs"), "Most correlated pairs", body, caption, table)


def _blocks(diagnosis: Diagnosis, blocks: Blocks, place: Place) -> Figure:
    size = len(blocks)
    hessian = np.asarray(diagnosis.file.hessian, np.float64)
    columns = {
        "block": list(range(size)),
        "name": [printable(name) for name in blocks.names] if blocks.has_names else None,
        "kind": None if blocks.kinds is None else [printable(kind) for kind in blocks.kinds],
        "parameters": None if blocks.counts is None else list(blocks.counts),
        "energy alone": hessian.diagonal().tolist(),
        "with all others": (hessian.sum(axis=1) - hessian.diagonal()).tolist(),
    }
    known = {name: cells for name, cells in columns.items() if cells is not None}
    rows = tuple(list(cells) for cells in zip(*known.values(), strict=True))[: place.detail.rows]
    about = {"with all others": "the sum of H_ij over the other blocks j"}
    table = Table(tuple(known), rows, about=about, exact=True)
    filters = ("kind",)
    body = table.to_html("Blocks", identifier=place.name("blocks"), filters=filters)
    caption = (
        place.rest(size, "blocks")
        or "Every block; its numbers are rounded here, and whole in the CSV."
    )
    return Figure(place.name("blocks"), "Blocks", body, caption, table)
