"""Figures in files: the formats, and the same bytes for the same figure."""

from __future__ import annotations

from pathlib import Path
from typing import IO, TYPE_CHECKING

from qubo_prune.core.errors import InputError
from qubo_prune.core.files.disk import check_suffix, write_atomically
from qubo_prune.core.files.kinds import Kind, require_replaceable

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["FORMATS", "require_format", "require_matplotlib", "save_figure"]

FORMATS = (".png", ".pdf", ".svg")


def require_matplotlib() -> None:
    """Raise InputError unless figures can be drawn."""
    try:
        import matplotlib  # noqa: F401 - whether it is there
    except ImportError as error:
        raise InputError(
            "a plot needs matplotlib, which is not installed; install it with: pip install"
            " matplotlib."
        ) from error


def require_format(path: Path) -> str:
    """Return the format that a file name asks for; refuse a name that no figure can be written to,
    and a machine that draws none, before hours of work.
    """
    suffix = check_suffix(path, FORMATS, "a plot")
    require_matplotlib()
    return suffix


def save_figure(figure: Figure, path: Path) -> None:
    """Write a figure.

    Parameters
    ----------
    figure : matplotlib.figure.Figure
        What to write.
    path : Path
        Its suffix, one of `FORMATS`, chooses the format. A plot that is there is replaced, another
        file is not.

    Raises
    ------
    InputError
        If the format is unknown or the file cannot be written.
    """
    from matplotlib import rc_context

    suffix = require_format(path)
    require_replaceable(path, Kind.PLOT)
    # Without dates and random names, so that the same figure is the same file.
    date = {".pdf": "CreationDate", ".svg": "Date"}.get(suffix)
    metadata = {date: None} if date else {}

    def write(stream: IO[bytes]) -> None:
        with rc_context({"svg.hashsalt": path.stem, "svg.fonttype": "none"}):
            figure.savefig(stream, format=suffix[1:], dpi=150, metadata=metadata)

    write_atomically({path: write})
