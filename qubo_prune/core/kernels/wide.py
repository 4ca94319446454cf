"""Wide vectors in one kernel, where the processor has them."""

from __future__ import annotations

from typing import Any

from numba.core import types
from numba.extending import intrinsic


@intrinsic  # type: ignore[untyped-decorator]
def wide(_typing_context: Any) -> Any:
    """Let LLVM use 512-bit vectors in the kernel that says so, if the processor has them.

    For the processors that do it prefers 256 bits, for the sake of the clock of the oldest.
    """

    def mark(context: Any, builder: Any, _signature: Any, _arguments: Any) -> Any:
        # llvmlite knows few attributes by name; LLVM takes any, and ignores what it does not know.
        set.add(builder.function.attributes, '"prefer-vector-width"="512"')
        return context.get_dummy_value()

    return types.void(), mark
