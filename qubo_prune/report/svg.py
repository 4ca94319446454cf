"""Line plots as inline SVG: a few kB each, coloured by the page that shows them, light or dark."""

from __future__ import annotations

import math
from collections.abc import Sequence
from html import escape
from itertools import groupby, pairwise
from typing import NamedTuple

__all__ = ["Axis", "Plot", "axis_of", "looks", "short", "ticks"]

COLOURS = 8
"""How many colours series have; from there on they come again, with other dashes and marks."""

_WIDTH, _HEIGHT = 640.0, 360.0
_LEFT, _RIGHT, _TOP, _BOTTOM = 70.0, 22.0, 30.0, 54.0
_NAMES = 70.0
"""How much higher a plot with names below it is."""
_LONGEST_NAME = 20
_DASHES = 4
_MARKS = ("circle", "square", "triangle", "cross")

Point = tuple[float, float]


class Axis(NamedTuple):
    """What an axis shows.

    Attributes
    ----------
    label : str
        What is along it.
    low, high : float
        Its ends.
    logarithmic : bool
        Whether equal ratios are equally long.
    names : tuple of str
        What is at 0, 1, 2..., where the axis is not one of numbers.
    whole : bool
        Whether it counts, so that only whole numbers are marked.
    """

    label: str
    low: float
    high: float
    logarithmic: bool = False
    names: tuple[str, ...] = ()
    whole: bool = False

    def place(self, value: float) -> float:
        """Return where a value is, from 0 to 1; one outside is at the nearer end."""
        low, high, at = self.low, self.high, value
        if self.logarithmic:
            low, high, at = math.log(low), math.log(high), math.log(max(at, low))
        return min(1.0, max(0.0, (at - low) / (high - low)))


def axis_of(
    label: str,
    values: Sequence[float],
    *,
    logarithmic: bool = False,
    least: float = 1e-3,
    low: float | None = None,
) -> Axis:
    """Return an axis with room for all values.

    Examples
    --------
    >>> axis_of("seconds", [0.02, 7.0], logarithmic=True)
    Axis(label='seconds', low=0.01, high=10.0, logarithmic=True, names=(), whole=False)
    >>> axis_of("blocks", [32, 80], low=0)
    Axis(label='blocks', low=0, high=80, logarithmic=False, names=(), whole=False)
    """
    finite = [value for value in values if math.isfinite(value)]
    if logarithmic:
        positive = [max(value, least) for value in finite] or [1.0]
        bottom = 10.0 ** math.floor(math.log10(min(positive)) + 1e-9)
        top = 10.0 ** math.ceil(math.log10(max(positive)) - 1e-9)
        return Axis(label, bottom, top if top > bottom else bottom * 10, True)
    bottom = min(finite, default=0.0) if low is None else low
    top = max(finite, default=1.0)
    return Axis(label, bottom, top if top > bottom else bottom + 1)


def ticks(axis: Axis) -> list[float]:
    """Return where an axis is marked.

    Examples
    --------
    >>> ticks(Axis("share", 0, 1))
    [0.0, 0.2, 0.4, 0.6, 0.8, 1.0]
    >>> ticks(Axis("seconds", 0.1, 100, logarithmic=True))
    [0.1, 1.0, 10.0, 100.0]
    >>> ticks(Axis("blocks", 1, 3, whole=True))
    [1.0, 2.0, 3.0]
    """
    if axis.names:
        return [float(place) for place in range(len(axis.names))]
    if axis.logarithmic:
        first, last = math.floor(math.log10(axis.low)), math.ceil(math.log10(axis.high))
        apart = max(1, -(-(last - first) // 7))
        powers = [10.0**power for power in range(first, last + 1, apart)]
        return [each for each in powers if axis.low * 0.999 <= each <= axis.high * 1.001]
    rough = (axis.high - axis.low) / 6
    if axis.whole:
        rough = max(1.0, rough)
    scale = 10.0 ** math.floor(math.log10(rough))
    step = next(each * scale for each in (1.0, 2.0, 5.0, 10.0) if each * scale >= rough)
    first = math.ceil(axis.low / step - 1e-9)
    last = math.floor(axis.high / step + 1e-9)
    digits = max(0, -math.floor(math.log10(step)))
    return [round(number * step, digits) for number in range(first, last + 1)]


class Plot:
    """A plot that grows by lines, bands and dots; a series is a number that has a colour.

    Parameters
    ----------
    x, y : Axis
        Its axes.

    Examples
    --------
    >>> plot = Plot(Axis("seconds", 0, 10), Axis("share", 0, 1))
    >>> plot.line([(0, 0), (10, 1)], series=0)
    >>> plot.to_svg("recall", "rises")[:34]
    '<svg viewBox="0 0 640 360" role="i'
    """

    def __init__(self, x: Axis, y: Axis) -> None:
        self.x = x
        self.y = y
        self._parts: list[str] = []
        self._height = _HEIGHT + (_NAMES if x.names else 0.0)

    def line(self, points: Sequence[Point], series: int, *, steps: bool = False) -> None:
        """Draw a line through points, or steps that hold each value up to the next."""
        if not points:
            return
        corners = _corners(points) if steps else points
        places = [f"{self._across(x)},{self._down(y)}" for x, y in corners]
        path = "L".join(place for place, _ in groupby(places))
        self._parts.append(f'<path class="line {_series(series)}" d="M{path}"/>')

    def band(self, low: Sequence[Point], high: Sequence[Point], series: int) -> None:
        """Fill what is between two lines of steps."""
        outline = [*_corners(low), *reversed(_corners(high))]
        places = [f"{self._across(x)},{self._down(y)}" for x, y in outline]
        path = "L".join(place for place, _ in groupby(places))
        self._parts.append(f'<path class="band {_series(series)}" d="M{path}Z"/>')

    def dots(
        self, points: Sequence[Point], series: int, titles: Sequence[str] | None = None
    ) -> None:
        """Mark points, each with a text that shows where the pointer rests on it."""
        mark = _MARKS[(series // COLOURS + series) % len(_MARKS)]
        shapes = []
        for index, (x, y) in enumerate(points):
            title = f"<title>{escape(titles[index])}</title>" if titles else ""
            shapes.append(_shape(mark, self._across(x), self._down(y), title))
        self._parts.append(f'<g class="dot {_series(series)}">{"".join(shapes)}</g>')

    def levels(self, x: float, width: float, heights: Sequence[float], series: int | None) -> None:
        """Draw short horizontal lines at these heights around x; those of no series are what others
        are held against.
        """
        left = self._across(x - width / 2)
        right = self._across(x + width / 2)
        path = "".join(f"M{left},{self._down(height)}H{right}" for height in heights)
        classes = "reference" if series is None else _series(series)
        self._parts.append(f'<path class="level {classes}" d="{path}"/>')

    def errors(self, points: Sequence[Point], errors: Sequence[float], series: int) -> None:
        """Draw how sure the heights of points are: a line as far up and down as an error says."""
        lines = [
            f"M{self._across(x)},{self._down(y - error)}V{self._down(y + error)}"
            for (x, y), error in zip(points, errors, strict=True)
            if error > 0 and math.isfinite(error)
        ]
        if lines:
            self._parts.append(f'<path class="level {_series(series)}" d="{"".join(lines)}"/>')

    def rule(self, y: float) -> None:
        """Draw a line at a height, from side to side."""
        at = self._down(y)
        ends = f"M{_number(_LEFT)},{at}H{_number(_WIDTH - _RIGHT)}"
        self._parts.append(f'<path class="guide" d="{ends}"/>')

    def upright(self, x: float) -> None:
        """Draw a line at a place, from top to bottom."""
        at = self._across(x)
        ends = f"M{at},{_number(_TOP)}V{_number(_HEIGHT - _BOTTOM)}"
        self._parts.append(f'<path class="guide" d="{ends}"/>')

    def diagonal(self) -> None:
        """Draw where both axes are equal."""
        low, high = max(self.x.low, self.y.low), min(self.x.high, self.y.high)
        ends = f"M{self._across(low)},{self._down(low)}L{self._across(high)},{self._down(high)}"
        self._parts.append(f'<path class="guide" d="{ends}"/>')

    def to_svg(self, title: str, description: str) -> str:
        """Return the plot as an element of a page.

        Parameters
        ----------
        title, description : str
            What it is, and what it shows in words, for who cannot see it.
        """
        label = escape(f"{title}. {description}", quote=True)
        return (
            f'<svg viewBox="0 0 {_WIDTH:.0f} {self._height:.0f}" role="img" aria-label="{label}">'
            f"{self._frame()}{''.join(self._parts)}</svg>"
        )

    def _across(self, x: float) -> str:
        return _number(_LEFT + self.x.place(x) * (_WIDTH - _LEFT - _RIGHT))

    def _down(self, y: float) -> str:
        return _number(_HEIGHT - _BOTTOM - self.y.place(y) * (_HEIGHT - _TOP - _BOTTOM))

    def _frame(self) -> str:
        left, right = _number(_LEFT), _number(_WIDTH - _RIGHT)
        top, bottom = _number(_TOP), _number(_HEIGHT - _BOTTOM)
        parts = []
        for value in ticks(self.y):
            at = self._down(value)
            parts.append(
                f'<path class="grid" d="M{left},{at}H{right}"/>'
                f'<text x="{_LEFT - 6:.0f}" y="{at}" dy="0.35em" class="end">{short(value)}</text>'
            )
        for value in ticks(self.x):
            at = self._across(value)
            parts.append(f'<path class="grid" d="M{at},{top}V{bottom}"/>')
            below = _HEIGHT - _BOTTOM + 22
            if self.x.names:
                name = self.x.names[int(value)]
                fits = len(name) <= _LONGEST_NAME
                text = name if fits else name[: _LONGEST_NAME - 1] + "\u2026"
                place = f'transform="translate({at},{below - 4:.0f})rotate(-32)" class="end"'
                parts.append(f"<text {place}>{escape(text)}</text>")
            else:
                place = f'x="{at}" y="{below:.0f}" class="middle"'
                parts.append(f"<text {place}>{short(value)}</text>")
        parts.append(
            f'<text x="{(_LEFT + _WIDTH - _RIGHT) / 2:.0f}" y="{self._height - 8:.0f}"'
            ' class="middle">'
            f"{escape(self.x.label)}</text>"
            f'<text x="0" y="16">{escape(self.y.label)}</text>'
        )
        return "".join(parts)


def looks(series: int) -> str:
    """Return the classes of a series' colour and dashes, for who cannot tell its colour.

    Examples
    --------
    >>> looks(0), looks(1), looks(8)
    ('colour-0 dash-0', 'colour-1 dash-1', 'colour-0 dash-1')
    """
    return f"colour-{series % COLOURS} dash-{(series + series // COLOURS) % _DASHES}"


def _series(series: int) -> str:
    """Return the classes of a series: its number and its looks."""
    return f"series-{series} {looks(series)}"


def _corners(points: Sequence[Point]) -> list[Point]:
    """Return the corners of steps that hold each value up to the next, no more than are seen."""
    corners = list(points[:1])
    for (_, before), (x, y) in pairwise(points):
        if y != before:
            corners += [(x, before), (x, y)]
    return [*corners, *points[-1:]]


def _shape(mark: str, x: str, y: str, title: str) -> str:
    if mark == "circle":
        return f'<circle cx="{x}" cy="{y}" r="4">{title}</circle>'
    outline = {
        "square": "m-3.5,-3.5h7v7h-7z",
        "triangle": "m0,-4.6l4.4,7.6h-8.8z",
        "cross": "m-3.5,-3.5l7,7m0,-7l-7,7",
    }[mark]
    return f'<path d="M{x},{y}{outline}">{title}</path>'


def _number(value: float) -> str:
    """Return a length in as few characters as a screen can tell."""
    return f"{value:.1f}".removesuffix(".0")


def short(value: float) -> str:
    """Return a number with three digits in as few characters as there is room for.

    >>> [short(value) for value in (0.00025, 1.5e-7, 0.0025, 12.0, 1234567.0)]
    ['2.5e-4', '1.5e-7', '0.0025', '12', '1.23e6']
    """
    if value and not 1e-3 <= abs(value) < 1e5:
        mantissa, exponent = f"{value:.2e}".split("e")
        return f"{mantissa.rstrip('0').rstrip('.')}e{int(exponent)}"
    return f"{value:.3g}" if abs(value) < 1e3 else f"{value:g}"
