"""All formats of removals; a new one is a module and a line here."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from qubo_prune.core.errors import InputError
from qubo_prune.core.files.disk import read_file, write_atomically
from qubo_prune.core.text import did_you_mean, format_value
from qubo_prune.pruning.removal_lists.blocks import Blocks, Removal
from qubo_prune.pruning.removal_lists.evopress import LINES, read_evopress, write_evopress
from qubo_prune.pruning.removal_lists.json_lists import read_json, read_spectrum, write_json
from qubo_prune.pruning.removal_lists.llm_drop import read_llm_drop, write_llm_drop
from qubo_prune.pruning.removal_lists.mergekit import read_mergekit, write_mergekit
from qubo_prune.pruning.removal_lists.text import read_text, write_text

__all__ = ["FORMATS", "RemovalFormat", "names_branches", "read_removals", "write_removals"]

_BRANCH = re.compile(rb"layers\.\d+\.[a-z]", re.ASCII)


@dataclass(frozen=True)
class RemovalFormat:
    """A kind of file that holds removals.

    Attributes
    ----------
    name : str
        As in ``write_removals(..., format=name)``.
    summary : str
        What it is, in a sentence.
    read : callable
        Takes a path, its contents and the blocks; returns the removals.
    write : callable or None
        Takes removals and blocks and returns the text; None where it cannot be written.
    """

    name: str
    summary: str
    read: Callable[[Path, bytes, Blocks], list[Removal]]
    write: Callable[[Sequence[Removal], Blocks], str] | None


FORMATS: tuple[RemovalFormat, ...] = (
    RemovalFormat(
        "evopress",
        "EvoPress's layer_drop_config.txt: none, attn, mlp or attn+mlp for each layer.",
        read_evopress,
        write_evopress,
    ),
    RemovalFormat(
        "llm-drop",
        "LLM-Drop's drop_attn_list and drop_mlp_list, as in its config.json.",
        read_llm_drop,
        write_llm_drop,
    ),
    RemovalFormat(
        "mergekit",
        "mergekit's passthrough YAML: the slices of layers that stay.",
        read_mergekit,
        write_mergekit,
    ),
    RemovalFormat(
        "json",
        "JSON: a list of indices or names, a list of lists, a spectrum or a selection.",
        read_json,
        write_json,
    ),
    RemovalFormat("spectrum", "A spectrum, .json or .npz, all of it checked.", read_spectrum, None),
    RemovalFormat(
        "text", "Text: indices, ranges or names, one removal per line.", read_text, write_text
    ),
)
"""All formats; a new one is two functions and a line here."""


def read_removals(
    path: str | os.PathLike[str],
    names: Sequence[str],
    *,
    format: str | None = None,  # noqa: A002
) -> list[Removal]:
    r"""Read the removals in a file of this or another program.

    Parameters
    ----------
    path : str or path
        EvoPress's ``layer_drop_config.txt``, a ``config.json`` with LLM-Drop's two lists, a
        mergekit ``passthrough`` YAML, a spectrum or a selection, a JSON list of indices and names
        or a list of such lists, or a text with one removal per line; a text in which every line
        names a single block is one removal.
    names : sequence of str
        Name of each block of the model.
    format : str, optional
        One of `FORMATS`; found by suffix and contents unless given.

    Returns
    -------
    list of tuple of int
        The removals in the order of the file, each as ascending block indices.

    Raises
    ------
    InputError
        If the file cannot be read or removes what the model does not have; names file and line.

    Examples
    --------
    >>> import tempfile
    >>> names = [f"layers.{i}.{kind}" for i in range(2) for kind in ("attention", "mlp")]
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     file = Path(folder, "layer_drop_config.txt")
    ...     _ = file.write_text("attn\nattn+mlp\n")
    ...     read_removals(file, names)
    [(0, 2, 3)]
    """
    path = Path(path)
    data = read_file(path)
    chosen = _format(format) if format is not None else _sniffed(path, data)
    return chosen.read(path, data, Blocks(names))


def names_branches(path: Path) -> bool:
    """Whether a file of removals can only be read with the names of branches, if at all."""
    data = read_file(path)
    halves = _sniffed(path, data).name in ("evopress", "llm-drop")
    return halves or _BRANCH.search(data) is not None


def write_removals(
    path: str | os.PathLike[str],
    removals: Sequence[Sequence[int]],
    names: Sequence[str],
    *,
    format: str,  # noqa: A002
) -> None:
    """Write removals so that another program, or `read_removals`, can use them.

    Parameters
    ----------
    path : str or path
        The file; an existing one is replaced.
    removals : sequence of sequences of int
        Block indices; ``evopress``, ``llm-drop`` and ``mergekit`` hold a single removal.
    names : sequence of str
        Name of each block of the model.
    format : str
        One of `FORMATS`.

    Raises
    ------
    InputError
        If the format cannot say what is removed, or the file cannot be written.
    """
    chosen = _format(format)
    blocks = Blocks(names)
    checked: list[Removal] = []
    for removed in removals:
        wrong = [block for block in removed if not 0 <= block < len(blocks.names)]
        if wrong or len(set(removed)) < len(removed):
            raise InputError(
                f"a removal must hold distinct blocks from 0 to {len(blocks.names) - 1}, not "
                f"{format_value(list(removed))}; correct it."
            )
        checked.append(tuple(sorted(removed)))
    if chosen.write is None:
        raise InputError(
            f"removals cannot be written as {chosen.name}; choose one of: "
            f"{', '.join(each.name for each in FORMATS if each.write is not None)}."
        )
    text = chosen.write(checked, blocks)
    write_atomically({Path(path): lambda stream: stream.write(text.encode())})


def _format(name: str) -> RemovalFormat:
    for each in FORMATS:
        if each.name == name:
            return each
    raise InputError(
        f"there is no format {format_value(name)} of removals; choose one of: "
        f"{', '.join(each.name for each in FORMATS)}"
        f"{did_you_mean(name, (each.name for each in FORMATS))}"
    )


def _sniffed(path: Path, data: bytes) -> RemovalFormat:
    """Return the format that a file seems to have."""
    suffix = path.suffix.lower()
    if suffix in (".yaml", ".yml"):
        return _format("mergekit")
    if suffix == ".npz":
        return _format("spectrum")
    if suffix == ".json" or data.lstrip()[:1] in (b"{", b"["):
        named = b'"drop_attn_list"' in data or b'"drop_mlp_list"' in data
        return _format("llm-drop" if named else "json")
    words = {line.strip() for line in data.decode(errors="replace").splitlines()}
    return _format("text" if words.isdisjoint(LINES) else "evopress")
