"""mergekit's ``passthrough`` YAML: the slices of layers that stay."""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

from qubo_prune.core.errors import InputError
from qubo_prune.core.files.formats.lines import TextFile
from qubo_prune.core.text import format_value
from qubo_prune.pruning.removal_lists.blocks import Blocks, Removal, single

_REMEDY = "give slices whose sources have one layer_range: [first, end] each, ascending"


def read_mergekit(path: Path, data: bytes, blocks: Blocks) -> list[Removal]:
    """Read the slices that stay and return the layers between them."""
    yaml = _yaml()
    file = TextFile(path, data, _REMEDY)
    try:
        document = yaml.safe_load(file.text)
        root = yaml.compose(file.text, Loader=yaml.SafeLoader)  # the same with the lines
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        mark = getattr(error, "problem_mark", None)
        problem = getattr(error, "problem", None) or " ".join(str(error).split())[:200]
        file.fail(mark.line + 1 if mark else 1, f"it is not YAML ({problem})")
    if not isinstance(document, dict) or not isinstance(document.get("slices"), list):
        file.fail(1, "it has no list of slices")
    method = document.get("merge_method", "passthrough")
    if method != "passthrough":
        file.fail(
            _line(root, "merge_method"), f"the merge_method is {_scalar(method)}, not passthrough"
        )
    kept: list[int] = []
    for number, each in enumerate(document["slices"]):
        line = _line(root, "slices", number)
        first, end = _layer_range(file, line, each)
        if end > blocks.num_layers:
            file.fail(
                line, f"it takes layers up to {end - 1}, and the model has {blocks.num_layers}"
            )
        if kept and first <= kept[-1]:
            file.fail(
                line,
                f"it goes back to layer {first} after layer {kept[-1]}, which repeats or reorders "
                "layers and is no removal",
            )
        kept += range(first, end)
    gone = set(range(blocks.num_layers)).difference(kept)
    return [tuple(sorted(index for layer in gone for index in blocks.of(layer)))]


def _layer_range(file: TextFile, line: int, entry: Any) -> tuple[int, int]:
    """Return the first layer of a slice and the one after its last."""
    sources = entry.get("sources") if isinstance(entry, dict) else None
    if not isinstance(sources, list) or len(sources) != 1 or not isinstance(sources[0], dict):
        file.fail(line, "the slice has not exactly one source")
    given = sources[0].get("layer_range")
    ends = given if isinstance(given, list) else []
    if len(ends) != 2 or not all(type(end) is int for end in ends):
        file.fail(line, "its layer_range is not two whole numbers")
    if not 0 <= ends[0] < ends[1]:
        file.fail(line, f"its layer_range [{_scalar(ends[0])}, {_scalar(ends[1])}] is empty")
    return ends[0], ends[1]


def _line(root: Any, *keys: str | int) -> int:
    """Return the line, from 1, of what stands under some keys of a composed document."""
    node = root
    for key in keys:
        if isinstance(key, int):
            node = node.value[key]
        else:
            found = [value for name, value in node.value if name.value == key]
            if not found:  # it came by a merge key
                break
            node = found[0]
    return int(node.start_mark.line) + 1


def _scalar(value: object) -> str:
    # Aliases make small files whose values are endless; only what is short by nature is shown.
    return format_value(value) if isinstance(value, str | int | float) else type(value).__name__


def write_mergekit(removals: Sequence[Removal], blocks: Blocks) -> str:
    """Return the slices that stay; the name of the model is left to be filled in."""
    gone = set(blocks.whole_layers(single(removals, "mergekit")))
    kept = [layer for layer in range(blocks.num_layers) if layer not in gone]
    if not kept:
        raise InputError("mergekit needs at least one layer that stays; remove fewer.")
    lines = [
        "# MODEL is the model that the layers are removed from: a folder or a name.",
        "slices:",
    ]
    for first, last in _runs(kept):
        lines += [
            "  - sources:",
            "      - model: MODEL",
            f"        layer_range: [{first}, {last + 1}]",
        ]
    lines += ["merge_method: passthrough", "dtype: bfloat16"]
    return "\n".join(lines) + "\n"


def _runs(ascending: Sequence[int]) -> list[tuple[int, int]]:
    """Return the first and last of each run of consecutive numbers.

    >>> _runs([0, 1, 2, 5, 7, 8])
    [(0, 2), (5, 5), (7, 8)]
    """
    runs: list[tuple[int, int]] = []
    for number in ascending:
        if runs and runs[-1][1] == number - 1:
            runs[-1] = runs[-1][0], number
        else:
            runs.append((number, number))
    return runs


def _yaml() -> ModuleType:
    try:
        return importlib.import_module("yaml")
    except ImportError as error:
        raise InputError(
            "reading a mergekit file needs PyYAML, which is not installed; "
            "install it with: pip install 'qubo-prune[torch]'."
        ) from error
