"""How figures look, light and dark: colours that the colour-blind tell apart and that stay apart in
grey, whole numbers on axes of blocks, and powers of ten in labels.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from qubo_prune.core.text import printable
from qubo_prune.report.figures import require_matplotlib

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.axis import Axis
    from matplotlib.figure import Figure

__all__ = [
    "DARK",
    "DASHES",
    "HEAT",
    "LEFT",
    "LIGHT",
    "Theme",
    "drawing",
    "few_ticks",
    "grid",
    "integer_ticks",
    "part_cells",
    "plain",
    "scaled_ticks",
]

_MARKERS = ("o", "s", "^", "D", "v", "P", "X")

DASHES = ("-", "--", ":", "-.")

HEAT = "cividis"
"""The colours of heat maps: ever lighter, for every eye and in grey."""

LEFT: dict[str, Any] = {"x": 0.01, "ha": "left"}
"""Where a title of a figure stands."""

_MOST_PARTED = 200

_LEAST_POWER, _MOST_POWER = -3, 4


@dataclass(frozen=True)
class Theme:
    """The colours of a figure.

    Attributes
    ----------
    background, ink : str
        Of the paper, and of axes and text.
    soft : str
        Of what stands behind the data: guides and notes.
    kept, removed : str
        Of blocks in a removal map.
    colours : tuple of str
        Of series: those of Okabe and Ito that stand out against the background.
    """

    background: str
    ink: str
    soft: str
    kept: str
    removed: str
    colours: tuple[str, ...]

    def colour(self, number: int) -> str:
        """Return the colour of a series."""
        return self.colours[number % len(self.colours)]

    def marker(self, number: int) -> str:
        """Return the mark of a series, for whom colours do not tell apart; where colours come
        again, it is another one.

        >>> LIGHT.marker(0), LIGHT.marker(7), LIGHT.colour(0) == LIGHT.colour(7)
        ('o', 's', True)
        """
        return _MARKERS[(number + number // len(self.colours)) % len(_MARKERS)]


LIGHT = Theme(
    background="#ffffff",
    ink="#1b1f24",
    soft="#6b7178",
    kept="#ececec",
    removed="#d55e00",
    colours=("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#1b1f24"),
)
DARK = Theme(
    background="#1e2129",
    ink="#e6edf3",
    soft="#9da7b3",
    kept="#343945",
    removed="#ff9e57",
    colours=("#56b4e9", "#e69f00", "#2fbf95", "#e39bc4", "#f0e442", "#e8743b", "#e6edf3"),
)


@contextmanager
def drawing(width: float, height: float, *, dark: bool) -> Iterator[tuple[Figure, Theme]]:
    """Give an empty figure of so many inches, and the colours to draw into it.

    Raises
    ------
    InputError
        If matplotlib is not installed.
    """
    require_matplotlib()

    from matplotlib import rc_context
    from matplotlib.figure import Figure

    theme = DARK if dark else LIGHT
    with rc_context(_settings(theme)):
        figure = Figure(figsize=(width, height), layout="constrained")
        yield figure, theme
    for axes in figure.axes:  # ticks are made when they are drawn, with the colours of that time
        axes.tick_params(which="both", color=theme.soft, labelcolor=theme.ink)


def _settings(theme: Theme) -> Any:
    from cycler import cycler

    inked = ("text.color", "axes.labelcolor", "xtick.labelcolor", "ytick.labelcolor")
    soft = ("axes.edgecolor", "xtick.color", "ytick.color")
    return {
        **dict.fromkeys(inked, theme.ink),
        **dict.fromkeys(soft, theme.soft),
        "figure.facecolor": theme.background,
        "axes.facecolor": theme.background,
        "axes.prop_cycle": cycler(color=theme.colours),
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.titlesize": "medium",
        "figure.titlesize": "medium",
        "legend.facecolor": theme.background,
        "legend.edgecolor": theme.soft,
        "legend.frameon": False,
        "font.size": 10.0,
    }


def plain(text: str) -> str:
    r"""Return text of somebody else as a figure shows it, never as a formula.

    >>> print(plain("a$b$\n"))
    a\$b\$?
    """
    return printable(text).replace("$", r"\$")


def integer_ticks(axis: Axis, at_most: int = 10) -> None:
    """Let an axis have whole numbers only, no more than so many."""
    from matplotlib.ticker import MaxNLocator

    axis.set_major_locator(
        MaxNLocator(nbins=at_most, integer=True, min_n_ticks=1, steps=[1, 2, 5, 10])
    )


def few_ticks(axis: Axis) -> None:
    """Let an axis have few and round numbers."""
    from matplotlib.ticker import MaxNLocator

    axis.set_major_locator(MaxNLocator(nbins=5, steps=[1, 2, 5, 10]))


def scaled_ticks(axis: Axis, values: Sequence[float], label: str) -> None:
    """Label an axis of small or large numbers, with their power of ten in the label and not at
    every tick.
    """
    from matplotlib.ticker import FuncFormatter

    power = _power(values)
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value / 10.0**power:.6g}"))
    axis.set_label_text(label if not power else rf"{label}, in $10^{{{power}}}$")


def _power(values: Sequence[float]) -> int:
    """Return the power of ten to take out of numbers.

    >>> _power([0.0, 2.5e-6]), _power([0.5, 20.0]), _power([0.0])
    (-6, 0, 0)
    """
    largest = max(map(abs, filter(math.isfinite, values)), default=0.0)
    power = math.floor(math.log10(largest)) if largest else 0
    return 0 if _LEAST_POWER < power < _MOST_POWER else power


def part_cells(axes: Axes, theme: Theme, columns: int, rows: int) -> None:
    """Part the cells of a map by thin lines of the background, where these leave something of
    them.
    """
    for count, end, upright in ((columns, rows, True), (rows, columns, False)):
        if count > _MOST_PARTED:
            continue
        across, along = [], []
        for place in range(count - 1):  # one line with gaps, which is a small file
            across += [place + 0.5, place + 0.5, math.nan]
            along += [-0.5, end - 0.5, math.nan]
        axes.plot(
            *((across, along) if upright else (along, across)),
            color=theme.background,
            linewidth=0.8 if count <= _MOST_PARTED // 2 else 0.4,
        )
    axes.set(xlim=(-0.5, columns - 0.5), ylim=(rows - 0.5, -0.5))


def grid(axes: Axes, theme: Theme, which: str = "both") -> None:
    """Draw a faint grid behind the data."""
    axes.set_axisbelow(True)
    axes.grid(True, axis=which, color=theme.kept, linewidth=0.7)  # type: ignore[arg-type]
