"""Vectors written out, for loops where LLVM's vectoriser does badly.

It checks each time whether arrays overlap, unrolls for long loops, and leaves alone whatever looks
for a minimum or a place; rows here are short. Intrinsics that are built of these parts say what
they mean, and LLVM splits vectors that are wider than the processor's.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from llvmlite import ir
from numba.core import types
from numba.np.arrayobj import make_array

INDEX = ir.IntType(64)


class Vectors:
    """Vectors of `lanes` values of a type, and what kernels do with them.

    Parameters
    ----------
    element : llvmlite.ir.Type
        ``ir.FloatType()`` or ``ir.DoubleType()``.
    lanes : int
        Values in a vector.
    """

    def __init__(self, element: Any, lanes: int) -> None:
        self.element = element
        self.lanes = lanes
        self.type = ir.VectorType(element, lanes)

    def constant(self, value: float) -> Any:
        """Return a vector of one number."""
        return ir.Constant(self.type, [value] * self.lanes)

    def splat(self, builder: Any, value: Any) -> Any:
        """Return a vector of one value."""
        undefined = ir.Constant(self.type, ir.Undefined)
        one = builder.insert_element(undefined, value, ir.IntType(32)(0))
        mask = ir.Constant(ir.VectorType(ir.IntType(32), self.lanes), [0] * self.lanes)
        return builder.shuffle_vector(one, undefined, mask)

    def load(self, builder: Any, start: Any, offset: Any) -> Any:
        """Load the values from an offset behind a pointer, wherever that is."""
        value = builder.load(self._at(builder, start, offset), typ=self.type)
        value.align = self._alignment
        return value

    def store(self, builder: Any, value: Any, start: Any, offset: Any) -> None:
        """Store the values at an offset behind a pointer, wherever that is."""
        builder.store(value, self._at(builder, start, offset), align=self._alignment)

    def any(self, builder: Any, truths: Any) -> Any:
        """Tell whether any lane of a comparison is true."""
        return builder.icmp_unsigned("!=", self.bits(builder, truths), ir.IntType(self.lanes)(0))

    def bits(self, builder: Any, truths: Any) -> Any:
        """Return the lanes of a comparison as the bits of a number, the first one the lowest."""
        return builder.bitcast(truths, ir.IntType(self.lanes))

    def across(self, builder: Any, vector: Any, combine: Callable[[Any, Any, Any], Any]) -> Any:
        """Return one value of all lanes, combined in pairs of halves."""
        number = ir.IntType(32)
        lanes = self.lanes
        while lanes > 1:
            lanes //= 2
            swapped = [number((i + lanes) % self.lanes) for i in range(self.lanes)]
            mask = ir.Constant(ir.VectorType(number, self.lanes), swapped)
            vector = combine(builder, vector, builder.shuffle_vector(vector, vector, mask))
        return builder.extract_element(vector, number(0))

    @property
    def _alignment(self) -> int:
        return 8 if isinstance(self.element, ir.DoubleType) else 4

    def _at(self, builder: Any, start: Any, offset: Any) -> Any:
        return builder.bitcast(builder.gep(start, [offset]), self.type.as_pointer())


def smaller(builder: Any, a: Any, b: Any) -> Any:
    """Return ``a if a < b else b``, which is one instruction."""
    return builder.select(builder.fcmp_ordered("<", a, b), a, b)


def add(builder: Any, a: Any, b: Any) -> Any:
    """Return ``a + b``."""
    return builder.fadd(a, b)


def pointer(context: Any, builder: Any, signature: Any, args: Any, array: int) -> Any:
    """Return where an array begins that is given by its place among the arguments."""
    return make_array(signature.args[array])(context, builder, args[array]).data


def index(context: Any, builder: Any, signature: Any, args: Any, place: int) -> Any:
    """Return an integer argument, given by its place, as an index."""
    return context.cast(builder, args[place], signature.args[place], types.int64)


def loop(
    builder: Any,
    count: Any,
    step: int,
    initial: Sequence[Any],
    body: Callable[[Any, Sequence[Any]], Sequence[Any]],
) -> list[Any]:
    """Write ``for i in range(0, count, step): values = body(i, values)`` and go on behind it.

    Returns the last values. A body may not branch.
    """
    above = builder.block
    inside = builder.append_basic_block("vectors")
    behind = builder.append_basic_block("behind")
    builder.cbranch(builder.icmp_signed(">", count, INDEX(0)), inside, behind)

    builder.position_at_end(inside)
    i = builder.phi(INDEX)
    values = [builder.phi(value.type) for value in initial]
    found = body(i, values)
    following = builder.add(i, INDEX(step))
    i.add_incoming(INDEX(0), above)
    i.add_incoming(following, inside)
    for value, first, new in zip(values, initial, found, strict=True):
        value.add_incoming(first, above)
        value.add_incoming(new, inside)
    builder.cbranch(builder.icmp_signed("<", following, count), inside, behind)

    builder.position_at_end(behind)
    last = []
    for first, new in zip(initial, found, strict=True):
        result = builder.phi(first.type)
        result.add_incoming(first, above)
        result.add_incoming(new, inside)
        last.append(result)
    return last
