"""Figures in files: the formats, and the same bytes for the same figure."""

from __future__ import annotations

from pathlib import Path
from typing import IO, TYPE_CHECKING

from qubo_prune.core.errors import InputError
from qubo_prune.core.files.disk import write_atomically

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["FORMATS", "require_format", "save_figure"]

FORMATS = (".png", ".pdf", ".svg")


def require_format(path: Path) -> None:
    """Refuse a file name that no figure can be written to; called before hours of work."""
    if path.suffix not in FORMATS:
        raise InputError(f"a plot must end in {', '.join(FORMATS)}, not {path.name!r}; rename it.")


def save_figure(figure: Figure, path: Path) -> None:
    """Write a figure; an existing file is replaced.

    Parameters
    ----------
    figure : matplotlib.figure.Figure
        What to write.
    path : Path
        Its suffix, one of `FORMATS`, chooses the format.

    Raises
    ------
    InputError
        If the format is unknown or the file cannot be written.
    """
    from matplotlib import rc_context

    require_format(path)
    # Without dates and random names, so that the same figure is the same file.
    date = {".pdf": "CreationDate", ".svg": "Date"}.get(path.suffix)
    metadata = {date: None} if date else {}

    def write(stream: IO[bytes]) -> None:
        with rc_context({"svg.hashsalt": path.stem}):
            figure.savefig(stream, format=path.suffix[1:], dpi=150, metadata=metadata)

    write_atomically({path: write})
