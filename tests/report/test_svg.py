"""Axes, ticks and the shapes of plots."""

from __future__ import annotations

import re
from xml.etree import ElementTree as ET

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qubo_prune.report.svg import Axis, Plot, axis_of, ticks

VALUES = st.lists(st.floats(-1e9, 1e9), min_size=1, max_size=5)


@given(VALUES)
def test_a_linear_axis_holds_its_values_and_few_round_ticks(values: list[float]) -> None:
    axis = axis_of("x", values)
    assert axis.low <= min(values)
    assert axis.high >= max(values)
    assert len(ticks(axis)) <= 9
    assert [axis.place(tick) for tick in ticks(axis)] == sorted(map(axis.place, ticks(axis)))
    assert all(0 <= axis.place(value) <= 1 for value in values)


@given(st.lists(st.floats(0, 1e9), max_size=5))
def test_a_logarithmic_axis_goes_from_power_to_power(values: list[float]) -> None:
    axis = axis_of("x", values, logarithmic=True)
    assert axis.low <= max(min(values, default=1.0), 1e-3) * 1.001
    assert axis.high >= max(values, default=1.0) * 0.999
    assert 2 <= len(ticks(axis)) <= 8
    assert axis.place(0.0) == 0.0
    assert axis.place((axis.low * axis.high) ** 0.5) == pytest.approx(0.5)


def test_a_plot_is_well_formed_and_says_what_it_is() -> None:
    plot = Plot(Axis("a < b & c", 0, 10), Axis("share", 0, 1))
    plot.line([(0, 0), (5, 0.5), (10, 1)], series=9)
    plot.line([(0, 0), (5, 0.5), (10, 0.5)], series=1, steps=True)
    plot.line([], series=1)
    plot.band([(0, 0), (10, 0.25)], [(0, 0.5), (10, 1)], series=0)
    for series in range(9):
        plot.dots([(1, 1)], series, ['"<b>"'])
    plot.levels(5, 1, [0.1, 0.9], None)
    plot.diagonal()
    root = ET.fromstring(plot.to_svg('<"title">', "It rises."))  # noqa: S314 - our own
    assert root.get("aria-label") == '<"title">. It rises.'
    assert root.get("role") == "img"
    texts = [text.text for text in root.iter("text")]
    assert "a < b & c" in texts
    assert {"0", "0.2", "1", "10"} <= set(texts)
    lines = [path for path in root.iter("path") if (path.get("class") or "").startswith("line")]
    assert [line.get("class") for line in lines] == [
        "line series-9 colour-1 dash-2",
        "line series-1 colour-1 dash-1",
    ]
    numbers = [float(n) for n in re.findall(r"[\d.]+", lines[0].get("d") or "")]
    (x0, y0, x1, y1, x2, y2) = numbers
    assert (x0, y2) == (70, 30)
    assert x1 == pytest.approx((x0 + x2) / 2)
    assert y1 == pytest.approx((y0 + y2) / 2)
    steps = re.findall(r"[\d.]+,[\d.]+", lines[1].get("d") or "")
    assert len(steps) == 4  # along, up, along
    assert steps[0].split(",")[1] == steps[1].split(",")[1]
    assert steps[1].split(",")[0] == steps[2].split(",")[0]
    assert [title.text for title in root.iter("title")] == ['"<b>"'] * 9


def test_names_on_an_axis_are_shortened() -> None:
    svg = Plot(Axis("", -1, 2, names=("exact", "x" * 40)), Axis("", 0, 1)).to_svg("t", "d")
    assert ">exact<" in svg
    assert f">{'x' * 19}\u2026<" in svg
