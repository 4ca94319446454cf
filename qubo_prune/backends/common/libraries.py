"""Whether the library of a backend is there, without importing it."""

from __future__ import annotations

from importlib.util import find_spec

from qubo_prune.backends.base import Availability
from qubo_prune.core.version import versions


def library_availability(module: str, distribution: str, extra: str) -> Availability:
    """Say whether a library is installed, and in which version.

    Parameters
    ----------
    module : str
        Its top-level module.
    distribution : str
        What it is called in a package registry.
    extra : str
        The extra of this package that installs it.

    Examples
    --------
    >>> library_availability("numquam", "numquam-solver", "numquam").install
    "pip install 'qubo-prune[numquam]'"
    """
    if not _is_found(module):
        return Availability(
            installed=False,
            detail=f"{distribution} is not installed",
            install=f"pip install 'qubo-prune[{extra}]'",
        )
    found = versions(distribution)
    if not found:  # a copy on the path, without metadata
        return Availability(detail=f"{distribution}, of unknown version")
    return Availability(detail=f"{distribution} {found[distribution]}")


def _is_found(module: str) -> bool:
    try:
        return find_spec(module) is not None
    except (ImportError, ValueError):  # half of an installation, or a stand-in for a module
        return False
