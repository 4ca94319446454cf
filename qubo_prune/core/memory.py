"""How much memory is free, so that what is needed is said before it is taken."""

from __future__ import annotations

import math
import os
import re
from contextlib import suppress
from pathlib import Path

from qubo_prune.core.errors import InputError
from qubo_prune.core.text import format_bytes

_NOT_WORTH_LOOKING = 1 << 26
"""Bytes that are taken without a look at what is free."""

_CGROUPS = (
    ("memory.max", "memory.current"),
    ("memory/memory.limit_in_bytes", "memory/memory.usage_in_bytes"),
)


def check_memory(needed: int, what: str) -> None:
    """Refuse what needs more memory than is free; where nobody knows how much that is, nothing.

    >>> check_memory(10**18, "a matrix of 353,553,390 x 353,553,390")
    Traceback (most recent call last):
    qubo_prune.core.errors.InputError: a matrix of 353,553,390 x 353,553,390 needs ... GB of memory,
    but ... are free here; take fewer blocks, or a machine with more.
    """
    if needed <= _NOT_WORTH_LOOKING:
        return
    free = free_memory()
    if needed > free:
        raise InputError(
            f"{what} needs {format_bytes(needed)} of memory, but {format_bytes(int(free))} are free"
            " here; take fewer blocks, or a machine with more."
        )


def free_memory() -> float:
    """Return the bytes that this process may still take: by the machine, its control group and the
    limits of the process; inf where none of them says.
    """
    free = math.inf
    with suppress(OSError, ValueError):
        free = min(free, _kilobytes("/proc/meminfo", "MemAvailable"))
    for limit, usage in _CGROUPS:
        with suppress(OSError, ValueError):
            folder = Path("/sys/fs/cgroup")
            used = int((folder / usage).read_text()) - _reclaimable((folder / usage).parent)
            free = min(free, int((folder / limit).read_text()) - used)
    with suppress(ImportError, OSError, ValueError):
        import resource

        most = resource.getrlimit(resource.RLIMIT_AS)[0]
        if most != resource.RLIM_INFINITY:
            free = min(free, most - _kilobytes(f"/proc/{os.getpid()}/status", "VmSize"))
    return max(0.0, free)


def _reclaimable(folder: Path) -> int:
    """Return the bytes of files that a control group would give up."""
    found = re.search(
        r"^(?:total_)?inactive_file (\d+)", (folder / "memory.stat").read_text(), re.MULTILINE
    )
    return int(found[1]) if found else 0


def _kilobytes(file: str, key: str) -> int:
    """Return a figure of a file of lines such as ``MemAvailable: 1234 kB`` in bytes."""
    found = re.search(rf"^{key}:\s+(\d+) kB", Path(file).read_text(), re.MULTILINE)
    if found is None:
        raise ValueError(key)
    return 1024 * int(found[1])
