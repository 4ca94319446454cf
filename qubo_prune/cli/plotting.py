"""The options with which commands draw what they found."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from qubo_prune.cli.files import Files
from qubo_prune.core.errors import InputError

Plot = Annotated[
    Path | None,
    typer.Option(metavar="FILE", help="Draw the result into FILE, a .png, .pdf or .svg."),
]
Dark = Annotated[bool, typer.Option("--dark", help="Of --plot: light on dark.")]


@dataclass(frozen=True, kw_only=True)
class PlotOptions:
    """Where to draw a result and how, as the user wrote it."""

    plot: Plot = None
    dark: Dark = False

    def declare(self, files: Files) -> None:
        """Say that the command writes the plot; refuse it before any work where that must fail."""
        if self.plot is None:
            if self.dark:
                raise InputError("--dark says how --plot draws; add --plot FILE.")
            return

        from qubo_prune.core.files.kinds import Kind
        from qubo_prune.report.figures import require_format

        try:
            require_format(self.plot)
        except InputError as error:
            raise InputError(f"--plot: {error}") from error
        files.writes(self.plot, "--plot", Kind.PLOT)

    def write(self, files: Files, draw: Callable[..., object]) -> None:
        """Draw, if that is asked for; `draw` takes the file and `dark`."""
        if self.plot is not None:
            files.write(self.plot, partial(draw, dark=self.dark))
