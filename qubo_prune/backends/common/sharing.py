"""Options of backends whose work others can share."""

from __future__ import annotations

import os
from collections.abc import Sequence

from qubo_prune.core.errors import InputError
from qubo_prune.core.text import format_value


def check_sharing(
    executors: Sequence[str], executor: object, scheduler: object, checkpoint: object
) -> None:
    """Refuse an executor that is none, a scheduler without one to use it, and what is no text.

    Parameters
    ----------
    executors
        What there is to choose from.
    executor, scheduler, checkpoint
        The options.

    Raises
    ------
    InputError
        Names the option.
    """
    if executor not in executors:
        raise InputError(
            f"executor must be one of {', '.join(executors)}, not {format_value(executor)}."
        )
    if scheduler is not None and executor != "dask":
        raise InputError(
            f"scheduler goes with executor='dask', not {executor!r}; ask for that, or leave the"
            " scheduler out."
        )
    texts = (("scheduler", scheduler, str | None),)
    paths = (("checkpoint", checkpoint, str | os.PathLike | None),)
    for what, value, kinds in (*texts, *paths):
        if not isinstance(value, kinds) or value == "":
            raise InputError(f"{what} must be a text, not {format_value(value)}.")
