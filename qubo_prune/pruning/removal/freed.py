"""What a removal frees: parameters, bytes of weights, and bytes of the cache."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from qubo_prune.core.text import format_bytes

Freed = dict[str, dict[str, float] | None]
"""For each of the fields of `Sizes` what was there ``before`` and ``after``, what is ``freed``, and
which ``share`` of all that is; None where it is not known.
"""


class Sizes(NamedTuple):
    """What a model takes.

    Attributes
    ----------
    parameters : int
        Numbers of all weights; what is shared counts once.
    bytes : int
        What the weights take in a file.
    cache_per_token : int or None
        Bytes that the cache grows by with each token; None if the model has none, or was not run.
    """

    parameters: int
    bytes: int
    cache_per_token: int | None = None


def freed(before: Sizes, after: Sizes) -> Freed:
    """Return what is freed of each.

    Examples
    --------
    >>> freed(Sizes(100, 200, 16), Sizes(75, 150, 16))["bytes"]
    {'before': 200, 'after': 150, 'freed': 50, 'share': 0.25}
    >>> freed(Sizes(100, 200), Sizes(75, 150))["cache_per_token"] is None
    True
    """
    found: Freed = {}
    for name, old, new in zip(Sizes._fields, before, after, strict=True):
        found[name] = None
        if old is not None and new is not None:
            gone = old - new
            found[name] = {
                "before": old,
                "after": new,
                "freed": gone,
                "share": gone / old if old else 0.0,
            }
    return found


def freed_rows(found: Mapping[str, Any]) -> list[tuple[str, str, str, str]]:
    """Return what `freed` says in words: what, before, after, and freed with its share; the cache
    only where some of it is.

    Examples
    --------
    >>> freed_rows(freed(Sizes(4_000_000, 8_000_000, 512), Sizes(3_000_000, 6_000_000, 512)))
    [('parameters', '4,000,000', '3,000,000', '1,000,000 (25.0 %)'),
     ('weights', '8 MB', '6 MB', '2 MB (25.0 %)')]
    """
    shown = (
        ("parameters", "parameters", "{:,}".format),
        ("bytes", "weights", format_bytes),
        ("cache_per_token", "KV cache per token", "{:,} B".format),
    )
    rows = []
    for key, name, text in shown:
        figures = found.get(key)
        if figures is None or (key == "cache_per_token" and not figures["freed"]):
            continue
        before, after, gone = (text(figures[each]) for each in ("before", "after", "freed"))
        rows.append((name, before, after, f"{gone} ({100 * figures['share']:.1f} %)"))
    return rows
