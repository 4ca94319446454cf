"""Arrays without reference counts inside kernels.

Numba counts references to every array of a tuple that is passed on to another kernel, with atomic
instructions on counters that all threads share; in small kernels that costs more than the work. A
kernel's arguments are kept alive by its caller, so there is nothing to count.
"""

from __future__ import annotations

from typing import Any

from numba.core import cgutils, types
from numba.extending import intrinsic
from numba.np.arrayobj import make_array


@intrinsic  # type: ignore[untyped-decorator]
def borrowed(_typing: Any, arguments: Any) -> Any:
    """Return a (named) tuple of the same arrays and scalars, without ownership; only valid during
    the kernel call.
    """

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        result = args[0]
        for index, kind in enumerate(signature.return_type.types):
            if not isinstance(kind, types.Array):
                continue
            array = make_array(kind)(context, builder, builder.extract_value(result, index))
            array.meminfo = cgutils.get_null_value(array.meminfo.type)
            array.parent = cgutils.get_null_value(array.parent.type)
            result = builder.insert_value(result, array._getvalue(), index)
        return result

    return arguments(arguments), generate
