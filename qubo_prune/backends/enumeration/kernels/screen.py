"""The innermost loop of enumeration in vectors of 16 float32 values, written out.

LLVM's loop vectoriser checks each time whether arrays overlap and unrolls for long loops, and the
rows of most nodes are short. Where the processor's vectors are narrower, LLVM splits these.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from llvmlite import ir
from numba.core import types
from numba.extending import intrinsic
from numba.np.arrayobj import make_array

LANES = 16
"""float32 values in the widest vector register; rows are padded to a multiple of it."""

_FLOAT = ir.FloatType()
_INDEX = ir.IntType(64)
_VECTOR = ir.VectorType(_FLOAT, LANES)


@intrinsic  # type: ignore[untyped-decorator]
def add_rows(
    _typing: Any, levels: Any, new: Any, old: Any, table: Any, at: Any, own: Any, stop: Any
) -> Any:
    """Set ``levels[new + j] = levels[old + j] + (own + table[at + j])`` for j < stop and up to the
    next multiple of 16; flat offsets into arrays of float32.
    """

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        start = _pointer(context, builder, signature, args, 0, 1)
        before = _pointer(context, builder, signature, args, 0, 2)
        row = _pointer(context, builder, signature, args, 3, 4)
        value = _splat(builder, args[5])
        count = context.cast(builder, args[6], signature.args[6], types.int64)
        above = builder.block
        loop = builder.append_basic_block("vectors")
        behind = builder.append_basic_block("added")
        builder.cbranch(builder.icmp_signed(">", count, _INDEX(0)), loop, behind)

        builder.position_at_end(loop)
        j = builder.phi(_INDEX)
        added = builder.fadd(value, _load(builder, builder.gep(row, [j]), 0))
        added = builder.fadd(_load(builder, builder.gep(before, [j]), 0), added)
        target = builder.bitcast(builder.gep(start, [j]), _VECTOR.as_pointer())
        builder.store(added, target, align=4)
        following = builder.add(j, _INDEX(LANES))
        j.add_incoming(_INDEX(0), above)
        j.add_incoming(following, loop)
        builder.cbranch(builder.icmp_signed("<", following, count), loop, behind)

        builder.position_at_end(behind)
        return context.get_dummy_value()

    return types.void(levels, new, old, table, at, own, stop), generate


def make_screen(vectors: int, unrolled: int) -> Callable[..., bool]:
    """Return a screen of ``16 * vectors`` columns, with `unrolled` rows at a time.

    It has the arguments (table, at, stride, rows, first, count, columns, column, threshold), flat
    offsets into arrays of float32 but for the count of rows and the threshold, and tells whether

        min over r < count of (rows[first + r] + table[at + r * stride + w]) + columns[column + w]

    is below the threshold for any w. Additions and minima are those of the formula, in any order
    over r; `count` is at least 1.
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
                _pointer(context, builder, signature, args, a, a + 1) for a in (0, 3, 6)
            )
            stride, count = (
                context.cast(builder, args[a], signature.args[a], types.int64) for a in (2, 5)
            )
            return _emit(
                builder, at_table, at_row, at_column, stride, count, args[8], vectors, unrolled
            )

        return types.boolean(*given), generate

    screen_of_width: Callable[..., bool] = screen
    return screen_of_width


def _emit(
    builder: Any,
    table: Any,
    rows: Any,
    columns: Any,
    stride: Any,
    count: Any,
    threshold: Any,
    vectors: int,
    unrolled: int,
) -> Any:
    """Write the loop over rows, and the test behind it; return whether anything is below."""
    above = builder.block
    loop = builder.append_basic_block("rows")
    behind = builder.append_basic_block("least")
    last = builder.sub(count, _INDEX(1))
    builder.branch(loop)

    builder.position_at_end(loop)
    r = builder.phi(_INDEX)
    least = [[builder.phi(_VECTOR) for _ in range(unrolled)] for _ in range(vectors)]
    found: list[list[Any]] = [[None] * unrolled for _ in range(vectors)]
    for u in range(unrolled):
        # A minimum may take the last row more than once, so nothing is left over.
        row = builder.add(r, _INDEX(u))
        row = builder.select(builder.icmp_signed("<", row, last), row, last) if u else row
        value = _splat(builder, builder.load(builder.gep(rows, [row])))
        start = builder.gep(table, [builder.mul(row, stride)])
        for v in range(vectors):
            energy = builder.fadd(value, _load(builder, start, v))
            found[v][u] = _smaller(builder, energy, least[v][u])
    following = builder.add(r, _INDEX(unrolled))
    r.add_incoming(_INDEX(0), above)
    r.add_incoming(following, loop)
    infinite = ir.Constant(_VECTOR, [float("inf")] * LANES)
    for v in range(vectors):
        for u in range(unrolled):
            least[v][u].add_incoming(infinite, above)
            least[v][u].add_incoming(found[v][u], loop)
    builder.cbranch(builder.icmp_signed("<", following, count), loop, behind)

    builder.position_at_end(behind)
    level = _splat(builder, threshold)
    any_below = None
    for v in range(vectors):
        least_of_all = found[v][0]
        for other in found[v][1:]:
            least_of_all = _smaller(builder, other, least_of_all)
        energy = builder.fadd(least_of_all, _load(builder, columns, v))
        below = builder.fcmp_ordered("<", energy, level)
        any_below = below if any_below is None else builder.or_(any_below, below)
    bits = builder.bitcast(any_below, ir.IntType(LANES))
    return builder.icmp_unsigned("!=", bits, ir.IntType(LANES)(0))


def _pointer(context: Any, builder: Any, signature: Any, args: Any, array: int, offset: int) -> Any:
    """Return where an offset into an array is, both given by their places among the arguments."""
    made = make_array(signature.args[array])(context, builder, args[array])
    start = context.cast(builder, args[offset], signature.args[offset], types.int64)
    return builder.gep(builder.bitcast(made.data, _FLOAT.as_pointer()), [start])


def _load(builder: Any, start: Any, vector: int) -> Any:
    """Load the 16 values that many vectors behind a pointer."""
    pointer = builder.gep(start, [_INDEX(LANES * vector)])
    value = builder.load(builder.bitcast(pointer, _VECTOR.as_pointer()), typ=_VECTOR)
    value.align = 4  # of a float32: rows of a slice may begin anywhere
    return value


def _splat(builder: Any, value: Any) -> Any:
    """Return a vector of one value."""
    undefined = ir.Constant(_VECTOR, ir.Undefined)
    one = builder.insert_element(undefined, value, ir.IntType(32)(0))
    mask = ir.Constant(ir.VectorType(ir.IntType(32), LANES), [0] * LANES)
    return builder.shuffle_vector(one, undefined, mask)


def _smaller(builder: Any, a: Any, b: Any) -> Any:
    """Return ``a if a < b else b``, which is one instruction."""
    return builder.select(builder.fcmp_ordered("<", a, b), a, b)
