"""One removal in the forms of all other programs that can say it."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Sequence
from pathlib import Path

from qubo_prune.core.errors import InputError
from qubo_prune.core.files.disk import write_atomically
from qubo_prune.pruning.removal_lists.blocks import Blocks
from qubo_prune.pruning.removal_lists.mergekit import write_mergekit
from qubo_prune.pruning.removal_lists.registry import write_removals

FOLDER = "removal"
"""The folder beside a pruned model."""

_FILES = {"evopress": "layer_drop_config.txt", "llm-drop": "llm_drop.json"}


def mergekit_slices(
    removed: Sequence[int], names: Sequence[str], model: str, dtype: str
) -> str | None:
    """Return mergekit's YAML that makes the same smaller model; None where it cannot say it.

    Examples
    --------
    >>> print(mergekit_slices([1], ["layers.0", "layers.1", "layers.2"], "org/model", "float16"))
    slices:
      - sources:
          - model: "org/model"
            layer_range: [0, 1]
      - sources:
          - model: "org/model"
            layer_range: [2, 3]
    merge_method: passthrough
    dtype: float16
    """
    try:
        text = write_mergekit([tuple(removed)], Blocks(names))
    except InputError:
        return None
    lines = [line for line in text.splitlines() if not line.startswith("#")]
    text = "\n".join(lines).replace("model: MODEL", f"model: {json.dumps(model)}")
    return text.replace("dtype: bfloat16", f"dtype: {dtype}")


def write_lists(
    folder: Path, removed: Sequence[int], names: Sequence[str], slices: str | None
) -> None:
    """Write a removal for EvoPress, LLM-Drop and, where there are slices, mergekit.

    Parameters
    ----------
    folder : path
        Is made; a form that cannot say the removal is left out.
    removed : sequence of int
        The blocks.
    names : sequence of str
        Name of each block of the model.
    slices : str, optional
        What `mergekit_slices` returned.
    """
    folder.mkdir()
    for form, file in _FILES.items():
        with contextlib.suppress(InputError):
            write_removals(folder / file, [removed], names, format=form)
    if slices is not None:
        data = slices.encode() + b"\n"
        write_atomically({folder / "mergekit.yml": lambda stream: stream.write(data)})
