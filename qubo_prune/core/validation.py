"""Checks of what users pass in; each returns the normalised value or raises `InputError`."""

from __future__ import annotations

import difflib
import math
import numbers
import operator
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from fractions import Fraction
from typing import Any, TypeVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from qubo_prune.core.errors import InputError
from qubo_prune.core.memory import check_memory
from qubo_prune.core.text import format_count, format_value

_Scalar = TypeVar("_Scalar", bound=np.generic)

ASYMMETRY_TOLERANCE = 1e-8
"""Largest |H - H'| taken for rounding, relative to max |H|."""

MAX_MAGNITUDE = float(np.finfo(np.float64).max) / 16
"""Largest sum of all |H_ij| and |linear_i|; the factor leaves room for sums of partial energies."""

_ROWS_AT_A_TIME = 256
_SHARE = re.compile(r"(\d{1,3}(?:\.\d{1,9})?)\s?%")


def as_count(
    value: object,
    what: str,
    *,
    least: int | None = None,
    most: int | None = None,
    remedy: str = "leave it out for the default",
) -> int:
    """Return an integer of any integer type, from `least` to `most`; bools and floats are refused.

    `remedy` is what to do about a number out of range; the default suits an option that has one.

    Examples
    --------
    >>> as_count(np.int64(3), "num_states", least=1)
    3
    >>> as_count(-1, "seed", least=0, remedy="choose another one")
    Traceback (most recent call last):
        ...
    qubo_prune.core.errors.InputError: seed must be at least 0, not -1; choose another one.
    """
    try:
        # Bools are integers to Python.
        given: Any = None if isinstance(value, bool | np.bool_) else value
        count = operator.index(given)
    except TypeError:
        raise InputError(
            f"{what} must be an integer, not {format_value(value)} ({type(value).__name__}); "
            "give a whole number."
        ) from None
    if (least is None or least <= count) and (most is None or count <= most):
        return count
    if least is None:
        limits = f"at most {most}"
    else:
        limits = f"at least {least}" if most is None else f"between {least} and {most}"
    raise InputError(f"{what} must be {limits}, not {format_value(count)}; {remedy}.")


def as_remove(remove: int | Mapping[str, int]) -> int | dict[str, int]:
    """Return the requested counts as an int or a dict of ints."""
    if isinstance(remove, Mapping):
        return {
            kind: as_count(count, f"remove[{format_value(kind)}]") for kind, count in remove.items()
        }
    return as_count(remove, "remove")


def as_share(remove: str, num_blocks: int) -> int:
    """Return how many blocks a share of them is, as ``10%``; halves are rounded up.

    Examples
    --------
    >>> as_share("10%", 80), as_share("12.5 %", 36)
    (8, 5)
    """
    if not remove.endswith("%"):
        return as_count(remove, "remove")  # says what it takes
    share = as_percentage(remove, "remove", "a whole number, or a share", "8 or '10%'")
    return math.floor(share / 100 * num_blocks + Fraction(1, 2))


def as_percentage(
    text: str, what: str, kinds: str = "a number, or a share", example: str = "3.5 or '10%'"
) -> Fraction:
    """Return what stands before the sign in a text such as ``12.5%``, at most 100.

    Parameters
    ----------
    text : str
        What was written.
    what : str
        The name of the argument.
    kinds, example : str
        What it may be, and how that is written; for the error.

    Examples
    --------
    >>> as_percentage("12.5 %", "at_least")
    Fraction(25, 2)
    """
    match = _SHARE.fullmatch(text)
    if match is None or Fraction(match[1]) > 100:
        raise InputError(
            f"{what} must be {kinds} up to '100%', not {format_value(text)}; write e.g. {example}."
        )
    return Fraction(match[1])


def as_parameter_counts(counts: Iterable[int], num_blocks: int) -> tuple[int, ...]:
    """Return the number of parameters of each block."""
    found = tuple(as_count(each, "an entry of parameter_counts", least=0) for each in counts)
    if len(found) != num_blocks:
        raise InputError(
            f"parameter_counts must have one entry per block, {num_blocks}, not {len(found)};"
            " give one for each."
        )
    return found


def as_finite_float(value: object, what: str) -> float:
    """Return a finite float of any real type; bools and strings are refused."""
    # float() would also take strings, and bools are numbers to Python.
    is_bool: bool = isinstance(value, bool)
    if isinstance(value, numbers.Real) and not is_bool:
        try:
            number = float(value)
        except OverflowError:
            number = math.inf
        if math.isfinite(number):
            return number
    raise InputError(
        f"{what} must be a finite number, not {format_value(value)} ({type(value).__name__}); "
        "give a real number."
    )


def as_real_array(value: ArrayLike, what: str) -> NDArray[Any]:
    """Return `value` as an array of booleans, integers or floats, not copied where possible."""
    masked = int(np.sum(getattr(value, "mask", 0))) if isinstance(value, np.ma.MaskedArray) else 0
    if masked:
        raise InputError(
            f"{what} has {masked} masked entries, but every entry is needed; "
            "fill them or drop those blocks."
        )
    try:
        array = np.asarray(value)
    except (TypeError, ValueError, RuntimeError) as error:
        raise InputError(
            f"{what} cannot be read as an array ({error}); "
            "give rows of equal length, as a float64 NumPy array."
        ) from error
    if array.dtype.kind not in "biuf":
        remedy = (
            "use Problem.load to read a file"
            if isinstance(value, str)
            else "convert it to a float64 array"
        )
        raise InputError(f"{what} must hold real numbers, not dtype {array.dtype}; {remedy}.")
    return array


def check_square(shape: tuple[int, ...], what: str) -> None:
    """Refuse a shape that is not (N, N) with N >= 1."""
    if len(shape) != 2:
        raise InputError(
            f"{what} must be 2-D, not {len(shape)}-D with shape {shape}; "
            "give one (N, N) matrix for N blocks."
        )
    if shape[0] != shape[1]:
        raise InputError(
            f"{what} must be square, not of shape {shape}; "
            "give an (N, N) matrix, one row and one column per block."
        )
    if shape[0] == 0:
        raise InputError(
            f"{what} is empty, of shape {shape}, but at least one block is needed; "
            "give an (N, N) matrix with N >= 1."
        )


def as_hessian(value: ArrayLike, symmetrize: bool) -> NDArray[np.float64]:
    """Return a read-only, exactly symmetric (N, N) float64 copy of `value`."""
    array = as_real_array(value, "hessian")
    check_square(array.shape, "hessian")
    hessian = _finite_float64(array, "hessian")
    with np.errstate(over="ignore"):
        check_magnitude(sum_of_magnitudes(hessian))
    asymmetry, i, j = _largest_asymmetry(hessian)
    if asymmetry > 0:
        largest = float(max(-hessian.min(), hessian.max()))
        if not symmetrize and asymmetry > ASYMMETRY_TOLERANCE * largest:
            raise InputError(
                f"hessian is not symmetric: |H[{i}, {j}] - H[{j}, {i}]| = {asymmetry:.6g}, and at "
                f"most {ASYMMETRY_TOLERANCE:g} of max |H| = {largest:.6g} is taken for rounding; "
                "pass symmetrize=True to use (H + H.T) / 2, which has the same energies."
            )
        # The sums cannot overflow, and a pair that is already equal stays as it is to the last bit.
        check_memory(hessian.nbytes, f"averaging the two halves of {_size_of(hessian)}")
        average = np.empty_like(hessian)
        for rows in row_slices(len(hessian)):
            np.add(hessian[rows], hessian[:, rows].T, out=average[rows])
            average[rows] /= 2
        hessian = average
    return frozen(hessian)


def as_gradient(value: ArrayLike, num_blocks: int, what: str = "gradient") -> NDArray[np.float64]:
    """Return a read-only (N,) float64 copy of `value`."""
    array = as_real_array(value, what)
    if array.shape != (num_blocks,):
        raise InputError(
            f"{what} must have shape ({num_blocks},), one entry per block, not {array.shape}; "
            "average per-sample gradients over the samples first."
        )
    return frozen(_finite_float64(array, what))


def frozen(array: NDArray[_Scalar]) -> NDArray[_Scalar]:
    """Return a view of an array that nobody else has, which neither it nor its `base` lets anyone
    write to.

    Unlike a flag of the array, that of the memory cannot be set back.

    >>> frozen(np.arange(3)).setflags(write=True)
    Traceback (most recent call last):
    ValueError: cannot set WRITEABLE flag to True of this array
    """
    return np.asarray(array.data.toreadonly())


def row_slices(num_rows: int) -> Iterator[slice]:
    """Yield some rows of a matrix at a time: what is computed of thousands at once would be another
    large matrix.

    >>> [rows.stop for rows in row_slices(600)]
    [256, 512, 768]
    """
    for start in range(0, num_rows, _ROWS_AT_A_TIME):
        yield slice(start, start + _ROWS_AT_A_TIME)


def sum_of_magnitudes(matrix: NDArray[np.float64]) -> float:
    """Return the sum of the absolute values of all entries, without a second large matrix."""
    return sum(float(np.abs(matrix[rows]).sum()) for rows in row_slices(len(matrix)))


def check_magnitude(total: float) -> None:
    """Refuse problems whose energies, or sums of parts of them, could overflow float64."""
    if not total <= MAX_MAGNITUDE:
        raise InputError(
            f"the absolute values of all terms of the energy add up to {total:.3g}, more than the "
            f"{MAX_MAGNITUDE:.3g} that float64 sums are safe with; divide the Hessian (and the "
            "gradient) by a constant."
        )


def as_labels(value: object, num_blocks: int, what: str) -> tuple[str, ...]:
    """Return one non-empty string per block (`what` is "names" or "kinds")."""
    if isinstance(value, str) or not isinstance(value, Iterable):
        raise InputError(
            f"{what} must be a list with one string per block, not {format_value(value)}; "
            f"give {num_blocks} strings."
        )
    labels = tuple(value)
    if len(labels) != num_blocks:
        raise InputError(
            f"{what} must have one entry per block, {num_blocks}, not {len(labels)}; "
            "correct the list or the matrix."
        )
    for index, label in enumerate(labels):
        if not isinstance(label, str) or not label:
            raise InputError(
                f"{what}[{index}] must be a non-empty string, not {format_value(label)}; "
                "give every block a string."
            )
    return labels


def as_names(value: object, num_blocks: int) -> tuple[str, ...]:
    """Return one distinct non-empty string per block."""
    names = as_labels(value, num_blocks, "names")
    first: dict[str, int] = {}
    for index, name in enumerate(names):
        if first.setdefault(name, index) != index:
            raise InputError(
                f"names must be distinct, but blocks {first[name]} and {index} are both called "
                f"{name!r}; rename one of them."
            )
    return names


def as_blocks(value: object, positions: Mapping[str, int], what: str) -> NDArray[np.int64]:
    """Return ascending distinct block indices for a list of indices and names.

    `positions` maps each of the N block names to its index.
    """
    if isinstance(value, str) or not isinstance(value, Iterable):
        raise InputError(
            f"{what} must be a list of block indices or names, not {format_value(value)}; "
            f"give [{format_value(value)}]."
        )
    blocks: set[int] = set()
    for entry in value:
        if isinstance(entry, str):
            if entry not in positions:
                raise InputError(
                    f"{what} names an unknown block {format_value(entry)}; "
                    + _suggestion(entry, positions, "give an index or a name of the problem")
                )
            index = positions[entry]
        else:
            index = as_count(entry, f"an entry of {what}")
            if not 0 <= index < len(positions):
                raise InputError(
                    f"{what} holds block {format_count(index)}, outside 0...{len(positions) - 1}; "
                    "give indices counted from 0."
                )
        if index in blocks:
            raise InputError(
                f"{what} holds block {format_value(entry)} twice; give every block once."
            )
        blocks.add(index)
    return np.array(sorted(blocks), np.int64)


def check_kind(kind: object, kinds: Sequence[str], what: str) -> None:
    """Refuse a kind that no block has."""
    known = dict.fromkeys(kinds)
    if kind not in known:
        raise InputError(
            f"{what} names an unknown kind {format_value(kind)}; "
            + _suggestion(str(kind), known, "use one of " + ", ".join(map(repr, known)))
        )


def as_states(value: ArrayLike, width: int, what: str = "states") -> NDArray[np.bool_]:
    """Return states as a C-contiguous (K, width) bool array; one state may be 1-D."""
    array = as_real_array(value, what)
    if array.ndim == 1:
        array = array[np.newaxis]
    if array.ndim != 2 or array.shape[1] != width:
        raise InputError(
            f"{what} must have shape (K, {width}) or ({width},), not {np.shape(value)}; "
            "give one column per block, 1 where it is removed."
        )
    states = array.astype(np.bool_, copy=False)
    if array.dtype.kind != "b":
        wrong = array[states != array]
        if wrong.size:
            raise InputError(
                f"{what} must hold only 0 and 1, not {wrong[0]}; "
                "to pass lists of removed blocks use Problem.state."
            )
    return np.ascontiguousarray(states)


def _finite_float64(array: NDArray[Any], what: str) -> NDArray[np.float64]:
    if array.dtype == np.float64 and array.flags.c_contiguous and _is_in_bytes(array):
        result = array  # of a file; nobody can write to it
    else:
        check_memory(8 * array.size, f"a copy of {_size_of(array)} of {what}")
        with np.errstate(over="ignore"):
            result = np.array(array, dtype=np.float64, order="C", copy=True)
    if not all(np.isfinite(result[rows]).all() for rows in row_slices(len(result))):
        finite = np.isfinite(result)
        position = tuple(map(int, np.argwhere(~finite)[0]))
        raise InputError(
            f"{what}{list(position)} is {array[position]!s}, and {finite.size - finite.sum()} of "
            f"{finite.size} entries are not finite float64 numbers; correct or drop those blocks."
        )
    return result


def _is_in_bytes(array: NDArray[Any]) -> bool:
    """Whether the memory of an array is that of a `bytes` object."""
    base: Any = array
    while isinstance(base, np.ndarray):
        base = base.base
    return isinstance(base, bytes)


def _size_of(array: NDArray[Any]) -> str:
    return " x ".join(f"{length:,}" for length in array.shape) + " entries"


def _largest_asymmetry(hessian: NDArray[np.float64]) -> tuple[float, int, int]:
    worst, row, column = 0.0, 0, 0
    for rows in row_slices(len(hessian)):
        difference = np.abs(hessian[rows] - hessian[:, rows].T)
        i, j = np.unravel_index(int(difference.argmax()), difference.shape)
        if difference[i, j] > worst:
            worst, row, column = float(difference[i, j]), rows.start + int(i), int(j)
    return worst, row, column


def _suggestion(word: str, known: Iterable[str], otherwise: str) -> str:
    close = difflib.get_close_matches(word, list(known), n=1)
    return f"did you mean {close[0]!r}?" if close else f"{otherwise}."
