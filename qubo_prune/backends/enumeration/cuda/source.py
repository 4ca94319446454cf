"""The kernel as text, and how many launches of it are under way."""

from __future__ import annotations

from functools import cache
from pathlib import Path

LAUNCHES = 2
"""So many launches are under way at a time: one runs while the results of the other are looked at
and its successor is prepared.
"""


@cache
def source() -> str:
    """Return the kernel as one text, the same for every compiler."""
    folder = Path(__file__).parent
    return "".join((folder / name).read_text("utf-8") for name in ("warp.h", "kernel.cu"))
