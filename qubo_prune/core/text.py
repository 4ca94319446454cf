"""Numbers, lists of blocks and texts of others as people read them."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence

_LONGEST_VALUE = 71
_HOUR = 3600
_DAY = 86_400


def printable(text: str) -> str:
    r"""Return text of somebody else without what a terminal would obey or could not show.

    Examples
    --------
    >>> printable("layers.0\x1b[2J.mlp\n"), printable("\ud83d")
    ('layers.0?[2J.mlp?', '?')
    """
    return "".join(character if character.isprintable() else "?" for character in text)


def format_count(count: int) -> str:
    """Return a count exactly up to a million and rounded above, whatever its size.

    Examples
    --------
    >>> format_count(76904685), format_count(9139)
    ('7.69e7', '9,139')
    """
    if abs(count) < 1_000_000:
        return f"{count:,}"
    # math.log10 takes integers of any size; float() and str() do not.
    logarithm = math.log10(abs(count))
    exponent = math.floor(logarithm)
    mantissa = f"{10 ** (logarithm - exponent):.2f}"
    if mantissa == "10.00":
        mantissa, exponent = "1.00", exponent + 1
    return f"{'-' if count < 0 else ''}{mantissa}e{exponent}"


def plural(count: int, word: str, words: str = "") -> str:
    """Return a count with its word, in the plural unless it is one.

    Examples
    --------
    >>> plural(1, "state"), plural(20_000_000, "state"), plural(2, "spectrum", "spectra")
    ('1 state', '2.00e7 states', '2 spectra')
    """
    return f"{format_count(count)} {word if count == 1 else words or word + 's'}"


def did_you_mean(given: str, known: Iterable[str]) -> str:
    """Return the end of a sentence for who mistyped a name: a question where a known one is like
    it.

    Examples
    --------
    >>> did_you_mean("lama-80", ["llama-80", "qwen3-40"]), did_you_mean("x", ["llama-80"])
    ("; did you mean 'llama-80'?", '.')
    """
    import difflib

    close = difflib.get_close_matches(given, list(known), 1)
    return f"; did you mean {close[0]!r}?" if close else "."


def format_duration(seconds: float) -> str:
    """Return a duration of any length as people say it.

    Examples
    --------
    >>> format_duration(0.4212), format_duration(28), format_duration(65), format_duration(7200)
    ('0.42 s', '28 s', '1 min 5 s', '2 h')
    >>> format_duration(3e5), format_duration(1e12), format_duration(1e30)
    ('3.5 days', '31,688 years', '3.17e22 years')
    """
    if round(seconds, 2) < 10:
        return f"{seconds:.2f} s"
    if round(seconds, 1) < 60:
        return f"{seconds:.3g} s"
    if round(seconds) < _HOUR:
        minutes, rest = divmod(round(seconds), 60)
        return f"{minutes} min {rest} s" if rest else f"{minutes} min"
    if seconds < _DAY:
        hours, minutes = divmod(round(seconds / 60), 60)
        return f"{hours} h {minutes} min" if minutes else f"{hours} h"
    if seconds < 1000 * _DAY:
        return f"{seconds / _DAY:.1f} days"
    return f"{format_count(int(seconds / (365.25 * _DAY)))} years"


def format_bytes(count: int) -> str:
    """Return a number of bytes with a unit that suits it.

    Examples
    --------
    >>> tuple(map(format_bytes, (2200, 83_886_080, 2_240_000_000, 10**30)))
    ('2 kB', '84 MB', '2.2 GB', '1.00e21 GB')
    """
    if count < 10**6:
        return f"{count / 1e3:,.0f} kB"
    if count < 10**9:
        return f"{count / 1e6:,.0f} MB"
    return f"{count / 1e9:,.1f} GB" if count < 10**14 else f"{format_count(count // 10**9)} GB"


def format_blocks(indices: Sequence[int]) -> str:
    """Return ascending block indices with runs of three and more shortened.

    Examples
    --------
    >>> format_blocks([2, 16, 18, 19, 20, 30, 31])
    '2, 16, 18-20, 30, 31'
    """
    parts: list[str] = []
    start = 0
    for position in range(1, len(indices) + 1):
        if position < len(indices) and indices[position] == indices[position - 1] + 1:
            continue
        run = indices[start:position]
        parts += [f"{run[0]}-{run[-1]}"] if len(run) > 2 else [str(index) for index in run]
        start = position
    return ", ".join(parts)


def format_value(value: object) -> str:
    """Return any value as it would be typed, on one line and not much longer than that.

    Examples
    --------
    >>> format_value("mlp"), format_value(list(range(100)))
    ("'mlp'", '[0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19,...')
    """
    # repr() of an integer refuses thousands of digits.
    if isinstance(value, int) and abs(value) >= 10**18:
        return format_count(value)
    text = " ".join(repr(value).split())
    return text if len(text) <= _LONGEST_VALUE else text[:_LONGEST_VALUE] + "..."


def format_facts(facts: Mapping[str, float | int | str]) -> str:
    """Return names and values in a sentence.

    Examples
    --------
    >>> format_facts({"feasible_fraction": 0.123456789, "samples": 100})
    'feasible fraction 0.123457, samples 100'
    """
    return ", ".join(
        (
            f"{name.replace('_', ' ')} {value:.6g}"
            if isinstance(value, float)
            else f"{name.replace('_', ' ')} {value}"
        )
        for name, value in facts.items()
    )
