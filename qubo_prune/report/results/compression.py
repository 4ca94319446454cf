"""The part of a page on a folder of `compress`: what was cut out of the stack, the steps and their
seconds, the models, and the command.
"""

from __future__ import annotations

import math
from html import escape
from typing import TYPE_CHECKING

from qubo_prune.core.text import format_blocks, printable
from qubo_prune.pruning.model_card import evidence
from qubo_prune.report.html import Figure, description_list
from qubo_prune.report.removal_map import layer_stack
from qubo_prune.report.results.blocks import Blocks
from qubo_prune.report.results.detail import Place
from qubo_prune.report.svg import looks
from qubo_prune.report.tables import Cell, Table

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from qubo_prune.pruning.pipeline.folder import CompressedFolder, SmallerModel

__all__ = ["compression_body"]

_WIDTH = 640.0


def compression_body(folder: CompressedFolder, place: Place) -> str:
    """Return the HTML of the folder itself; what is in it has parts of its own."""
    body = ""
    if folder.models:
        body += (
            _stack(folder.models[0], folder.hessian, place).to_html()
            + _models(folder, place).to_html()
        )
    body += _steps(folder, place).to_html()
    if folder.models:
        body += _card(folder.models[0])
    return body


def _stack(model: SmallerModel, hessian: Path | None, place: Place) -> Figure:
    names = [f"layer {block}" for block in range(model.num_blocks)]
    for block, name in zip(model.removed, model.removed_names, strict=False):
        if 0 <= block < len(names):
            names[block] = printable(name)
    blocks = Blocks(tuple(names))
    own = next((each for each in place.hessians.values() if each.file.path == hessian), None)
    if own is not None and len(own.names) == len(blocks):
        blocks = Blocks.of(own)
    gone = set(model.removed)
    hints = [
        f"{block} {blocks.names[block]}: {'removed' if block in gone else 'kept'}"
        + _parameters(blocks, block)
        for block in range(len(blocks))
    ]
    caption = (
        f"The {model.num_blocks} layers in the order of the model; {len(model.removed)} are"
        f" removed: {format_blocks(model.removed)}."
    )
    rows: tuple[list[Cell], ...] = tuple(
        [
            *(block, printable(blocks.names[block])),
            "yes" if block in gone else "no",
            blocks.parameters([block]),
        ]
        for block in range(len(blocks))
    )
    table = Table(("block", "name", "removed", "parameters"), rows)
    svg = layer_stack(blocks.names, model.removed, hints, caption)
    return Figure(place.name("stack"), "What was cut out", svg, caption, table)


def _parameters(blocks: Blocks, block: int) -> str:
    count = blocks.parameters([block])
    return "" if count is None else f", {count:,} parameters"


def _models(folder: CompressedFolder, place: Place) -> Figure:
    rows: list[list[Cell]] = []
    for model in folder.models:
        left = model.num_parameters / model.num_parameters_before
        rows.append(
            [
                *(model.name, format_blocks(model.removed), model.num_parameters),
                *(100 * left, model.dtype, model.max_difference, "; ".join(model.healing)),
            ]
        )
    columns = (
        *("model", "removed layers", "parameters", "% left", "dtype"),
        *("difference of logits", "healed by"),
    )
    about = {
        "difference of logits": "from those of the original with the layers skipped, when the"
        " folder was loaded again"
    }
    classes = {(r, 6): "wrap" for r in range(len(rows))}
    table = Table(columns, tuple(rows), classes, about=about, exact=True)
    caption = "The models in the folder; each is a folder that transformers loads."
    body = table.to_html("Models", identifier=place.name("models"))
    return Figure(place.name("models"), "Models", body, caption, table)


def _steps(folder: CompressedFolder, place: Place) -> Figure:
    total = folder.seconds
    rows: list[list[Cell]] = [
        [name, each.status, each.seconds, 100 * each.seconds / total if total else None]
        for name, each in folder.steps.items()
    ]
    table = Table(("step", "status", "seconds", "% of all"), tuple(rows), exact=True)
    caption = f"All steps took {total:,.0f} s together."
    bar = _bar({name: each.seconds for name, each in folder.steps.items()}, caption)
    body = bar + table.to_html("Steps", identifier=place.name("steps"))
    return Figure(place.name("steps"), "Steps", body, caption, table)


def _bar(seconds: Mapping[str, float], description: str) -> str:
    """Return a bar that is divided as time was."""
    total = sum(each for each in seconds.values() if math.isfinite(each))
    if not total > 0:
        return ""
    parts, at = [], 0.0
    for number, (name, each) in enumerate(seconds.items()):
        width = max(0.0, _WIDTH * each / total)
        label = printable(name)
        text = (
            f'<text x="{at + width / 2:.1f}" y="18" dy="0.35em" class="middle cut-text">'
            f"{escape(label)}</text>"
            if width > 9 * len(label)
            else ""
        )
        parts.append(
            f'<g><title>{escape(label)}: {each:,.1f} s</title><rect class="fill {looks(number)}"'
            f' x="{at:.1f}" y="2" width="{width:.1f}" height="32"/>{text}</g>'
        )
        at += width
    return (
        f'<svg viewBox="0 0 {_WIDTH:.0f} 38" role="img"'
        f' aria-label="{escape(description, quote=True)}">{"".join(parts)}</svg>'
    )


def _card(model: SmallerModel) -> str:
    """Return what the model card says of the choice, and how to make the model again."""
    facts = {
        "made from": model.original,
        "layers": f"{model.num_blocks - len(model.removed)} of {model.num_blocks}",
        "parameters": f"{model.num_parameters:,} of {model.num_parameters_before:,}",
        "removed": ", ".join(model.removed_names),
        **dict(evidence(model.choice) if model.choice else ()),
    }
    shown = {printable(name): printable(value) for name, value in facts.items()}
    return (
        f"<h3>From the card of {escape(printable(model.name))}</h3>{description_list(shown)}"
        f"<h3>The command</h3><pre><code>{escape(model.command)}</code></pre>"
    )
