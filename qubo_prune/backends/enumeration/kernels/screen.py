"""The innermost loops of enumeration, in vectors of 16 float32 values."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from llvmlite import ir
from numba.core import types
from numba.extending import intrinsic

from qubo_prune.core.kernels.vectors import INDEX, Vectors, index, loop, pointer, smaller

LANES = 16
"""float32 values in the widest vector register; rows are padded to a multiple of it."""

_VECTORS = Vectors(ir.FloatType(), LANES)


@intrinsic  # type: ignore[untyped-decorator]
def add_rows(
    _typing: Any, levels: Any, new: Any, old: Any, table: Any, at: Any, own: Any, stop: Any
) -> Any:
    """Set ``levels[new + j] = levels[old + j] + (own + table[at + j])`` for j < stop and up to the
    next multiple of 16; flat offsets into arrays of float32.
    """

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        start, before, row = (
            _begin(context, builder, signature, args, array, offset)
            for array, offset in ((0, 1), (0, 2), (3, 4))
        )
        value = _VECTORS.splat(builder, args[5])

        def body(j: Any, _: Sequence[Any]) -> Sequence[Any]:
            added = builder.fadd(value, _VECTORS.load(builder, row, j))
            added = builder.fadd(_VECTORS.load(builder, before, j), added)
            _VECTORS.store(builder, added, start, j)
            return ()

        loop(builder, index(context, builder, signature, args, 6), LANES, (), body)
        return context.get_dummy_value()

    return types.void(levels, new, old, table, at, own, stop), generate


def make_screen(vectors: int, unrolled: int) -> Callable[..., bool]:
    """Return a screen of ``16 * vectors`` columns, with `unrolled` rows at a time.

    It has the arguments (table, at, stride, rows, first, count, columns, column, threshold), flat
    offsets into arrays of float32 but for the count of rows and the threshold, and tells whether

        min over r < count of (rows[first + r] + table[at + r * stride + w]) + columns[column + w]

    is below the threshold for any w. Additions and minima are those of the formula, in any order
    over r.
    """

    @intrinsic  # type: ignore[untyped-decorator]
    def screen(
        _typing: Any,
        table: Any,
        at: Any,
        stride: Any,
        rows: Any,
        first: Any,
        count: Any,
        columns: Any,
        column: Any,
        threshold: Any,
    ) -> Any:
        given = (table, at, stride, rows, first, count, columns, column, threshold)

        def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            at_table, at_row, at_column = (
                _begin(context, builder, signature, args, a, a + 1) for a in (0, 3, 6)
            )
            pace, number = (index(context, builder, signature, args, a) for a in (2, 5))
            end = builder.sub(number, INDEX(1))

            def body(r: Any, least: Sequence[Any]) -> Sequence[Any]:
                found = []
                for u in range(unrolled):
                    # A minimum may take the last row more than once, so nothing is left over.
                    row = builder.add(r, INDEX(u))
                    row = builder.select(builder.icmp_signed("<", row, end), row, end) if u else r
                    value = _VECTORS.splat(builder, builder.load(builder.gep(at_row, [row])))
                    start = builder.gep(at_table, [builder.mul(row, pace)])
                    for v in range(vectors):
                        entry = _VECTORS.load(builder, start, INDEX(LANES * v))
                        energy = builder.fadd(value, entry)
                        found.append(smaller(builder, energy, least[u * vectors + v]))
                return found

            infinite = [_VECTORS.constant(float("inf"))] * (vectors * unrolled)
            least = loop(builder, number, unrolled, infinite, body)
            level = _VECTORS.splat(builder, args[8])
            below = ir.Constant(ir.VectorType(ir.IntType(1), LANES), [0] * LANES)
            for v in range(vectors):
                lowest = least[v]
                for u in range(1, unrolled):
                    lowest = smaller(builder, least[u * vectors + v], lowest)
                energy = builder.fadd(lowest, _VECTORS.load(builder, at_column, INDEX(LANES * v)))
                below = builder.or_(below, builder.fcmp_ordered("<", energy, level))
            return _VECTORS.any(builder, below)

        return types.boolean(*given), generate

    screen_of_width: Callable[..., bool] = screen
    return screen_of_width


def _begin(context: Any, builder: Any, signature: Any, args: Any, array: int, offset: int) -> Any:
    """Return where an offset into an array is, both given by their places among the arguments."""
    start = index(context, builder, signature, args, offset)
    return builder.gep(pointer(context, builder, signature, args, array), [start])
