"""The names of the suites that come with the package, without loading a numerical library."""

from __future__ import annotations

from pathlib import Path

FOLDER = Path(__file__).with_name("suite_files")


def suite_names() -> tuple[str, ...]:
    """Return the names of the suites that come with the package.

    Examples
    --------
    >>> suite_names()
    ('smoke', 'bundled', 'paper', 'families', 'qplib')
    """
    order = ("smoke", "bundled", "paper", "families", "qplib")
    names = [path.stem for path in FOLDER.glob("*.toml")]
    return tuple(sorted(names, key=lambda name: (order.index(name) if name in order else 9, name)))
