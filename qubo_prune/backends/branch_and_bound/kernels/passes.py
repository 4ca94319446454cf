"""Passes over the free variables of a node, in vectors of 8 float64 values and a rest one by one.

A step of the relaxation is hardly more than these, and LLVM vectorises none that looks for a
minimum, a place or a sum in the order that is written.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from llvmlite import ir
from numba.core import types
from numba.core.cgutils import pack_array
from numba.extending import intrinsic
from numpy.typing import NDArray

from qubo_prune.core.kernels.jit import kernel
from qubo_prune.core.kernels.vectors import (
    INDEX,
    Vectors,
    add,
    index,
    loop,
    pointer,
    smaller,
)

_LANES = 8
_VECTORS = Vectors(ir.DoubleType(), _LANES)


@kernel
def shift(
    fields: NDArray[np.float64],
    gradient: NDArray[np.float64],
    up_row: NDArray[np.float64],
    down_row: NDArray[np.float64],
    twice: float,
) -> None:
    """Add ``twice * (up_row - down_row)`` to the fields and to the gradient."""
    n = gradient.shape[0]
    whole = n - n % _LANES
    _shift(fields, gradient, up_row, down_row, twice, whole)
    for j in range(whole, n):
        change = twice * (up_row[j] - down_row[j])
        fields[j] += change
        gradient[j] += change


@kernel
def extremes(
    gradient: NDArray[np.float64],
    up_bar: NDArray[np.float64],
    down_bar: NDArray[np.float64],
    outside: NDArray[np.float64],
) -> tuple[float, float]:
    """Return the lowest gradient of what can be raised and the highest of what can be lowered;
    what cannot, or is outside of the group, has an infinite term.
    """
    n = gradient.shape[0]
    whole = n - n % _LANES
    lowest, lowered = _extremes(gradient, up_bar, down_bar, outside, whole)
    for j in range(whole, n):
        up = gradient[j] + (up_bar[j] + outside[j])
        down = (down_bar[j] + outside[j]) - gradient[j]
        lowest = up if up < lowest else lowest
        lowered = down if down < lowered else lowered
    return lowest, -lowered


@kernel
def position_of(
    gradient: NDArray[np.float64],
    bar: NDArray[np.float64],
    outside: NDArray[np.float64],
    value: float,
) -> int:
    """Return the first position whose gradient has this value and that is not barred."""
    n = gradient.shape[0]
    whole = n - n % _LANES
    for first in range(0, whole, _LANES):
        found = _places(gradient, bar, outside, value, first)
        if found != 0:
            j = first
            while found & 1 == 0:
                found >>= 1
                j += 1
            return j
    j = whole
    while j < n - 1 and (gradient[j] != value or bar[j] + outside[j] != 0.0):
        j += 1
    return j


@kernel
def least_change(
    gradient: NDArray[np.float64],
    x: NDArray[np.float64],
    up_bar: NDArray[np.float64],
    down_bar: NDArray[np.float64],
    level: float,
) -> float:
    """Return the sum over the free variables of ``min(0, g - level) - g x``."""
    n = gradient.shape[0]
    whole = n - n % _LANES
    total = _least_change(gradient, x, up_bar, down_bar, level, whole)
    for j in range(whole, n):
        if min(up_bar[j], down_bar[j]) == 0.0:
            total += min(0.0, gradient[j] - level) - gradient[j] * x[j]
    return total


@intrinsic  # type: ignore[untyped-decorator]
def _shift(
    _typing: Any, fields: Any, gradient: Any, up_row: Any, down_row: Any, twice: Any, count: Any
) -> Any:
    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        starts = [pointer(context, builder, signature, args, array) for array in range(4)]
        factor = _VECTORS.splat(builder, args[4])

        def body(j: Any, _: Sequence[Any]) -> Sequence[Any]:
            up, down = (_VECTORS.load(builder, start, j) for start in starts[2:])
            change = builder.fmul(factor, builder.fsub(up, down))
            for start in starts[:2]:
                moved = builder.fadd(_VECTORS.load(builder, start, j), change)
                _VECTORS.store(builder, moved, start, j)
            return ()

        loop(builder, index(context, builder, signature, args, 5), _LANES, (), body)
        return context.get_dummy_value()

    return types.void(fields, gradient, up_row, down_row, twice, count), generate


@intrinsic  # type: ignore[untyped-decorator]
def _extremes(
    _typing: Any, gradient: Any, up_bar: Any, down_bar: Any, outside: Any, count: Any
) -> Any:
    """Return the least of ``g + (up + outside)`` and of ``(down + outside) - g``."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        starts = [pointer(context, builder, signature, args, array) for array in range(4)]

        def body(j: Any, least: Sequence[Any]) -> Sequence[Any]:
            slope, up, down, barred = (_VECTORS.load(builder, start, j) for start in starts)
            raised = builder.fadd(slope, builder.fadd(up, barred))
            lowered = builder.fsub(builder.fadd(down, barred), slope)
            return smaller(builder, raised, least[0]), smaller(builder, lowered, least[1])

        infinite = [_VECTORS.constant(float("inf"))] * 2
        least = loop(builder, index(context, builder, signature, args, 4), _LANES, infinite, body)
        return pack_array(builder, [_VECTORS.across(builder, each, smaller) for each in least])

    pair = types.containers.UniTuple(types.float64, 2)
    return pair(gradient, up_bar, down_bar, outside, count), generate


@intrinsic  # type: ignore[untyped-decorator]
def _places(_typing: Any, gradient: Any, bar: Any, outside: Any, value: Any, at: Any) -> Any:
    """Return as bits which of eight gradients have the value and are not barred."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        j = index(context, builder, signature, args, 4)
        slope, barred, other = (
            _VECTORS.load(builder, pointer(context, builder, signature, args, array), j)
            for array in range(3)
        )
        equal = builder.fcmp_ordered("==", slope, _VECTORS.splat(builder, args[3]))
        zero = _VECTORS.constant(0.0)
        open_to = builder.fcmp_ordered("==", builder.fadd(barred, other), zero)
        return builder.zext(_VECTORS.bits(builder, builder.and_(equal, open_to)), INDEX)

    return types.int64(gradient, bar, outside, value, at), generate


@intrinsic  # type: ignore[untyped-decorator]
def _least_change(
    _typing: Any, gradient: Any, x: Any, up_bar: Any, down_bar: Any, level: Any, count: Any
) -> Any:
    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        starts = [pointer(context, builder, signature, args, array) for array in range(4)]
        levels = _VECTORS.splat(builder, args[4])
        zero = _VECTORS.constant(0.0)

        def body(j: Any, sums: Sequence[Any]) -> Sequence[Any]:
            slope, point, up, down = (_VECTORS.load(builder, start, j) for start in starts)
            below = smaller(builder, builder.fsub(slope, levels), zero)
            change = builder.fsub(below, builder.fmul(slope, point))
            free = builder.fcmp_ordered("==", smaller(builder, up, down), zero)
            return (builder.fadd(sums[0], builder.select(free, change, zero)),)

        count_of = index(context, builder, signature, args, 5)
        [total] = loop(builder, count_of, _LANES, [zero], body)
        return _VECTORS.across(builder, total, add)

    return types.float64(gradient, x, up_bar, down_bar, level, count), generate
