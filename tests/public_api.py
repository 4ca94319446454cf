"""What users may build on: every public name with its signature, as text.

``python -m tests.public_api`` writes it into ``tests/public_api.txt`` again, once a change is meant;
`test_public_api.py` holds the two against each other.
"""

from __future__ import annotations

import enum
import functools
import importlib
import inspect
import re
from collections.abc import Iterator
from pathlib import Path

STORED = Path(__file__).with_suffix(".txt")

FACES = (
    "qubo_prune",
    "qubo_prune.backends",
    "qubo_prune.backends.ocean",
    "qubo_prune.backends.qaoa",
    "qubo_prune.bench",
    "qubo_prune.encodings",
    "qubo_prune.hessians",
    "qubo_prune.hessians.calibration",
    "qubo_prune.pruning",
    "qubo_prune.pruning.criteria",
    "qubo_prune.pruning.removal_lists",
    "qubo_prune.pruning.searches",
    "qubo_prune.report",
    "qubo_prune.testing",
)
"""Packages with an ``__all__``. Whatever else can be imported may change at any time."""


class _Bare:
    """An annotation, shown without quotes."""

    def __init__(self, annotation: object) -> None:
        self.annotation = annotation

    def __repr__(self) -> str:
        if isinstance(self.annotation, str):
            return self.annotation
        return inspect.formatannotation(self.annotation)


def _bare(annotation: object) -> object:
    return annotation if annotation is inspect.Signature.empty else _Bare(annotation)


def signature_of(called: object) -> str:
    """Return a signature as it is written; where things lie in memory is left out."""
    try:
        found = inspect.signature(called)  # type: ignore[arg-type]
    except (TypeError, ValueError):  # what is compiled has none
        return "(...)"
    shown = found.replace(
        parameters=[
            each.replace(annotation=_bare(each.annotation)) for each in found.parameters.values()
        ],
        return_annotation=_bare(found.return_annotation),
    )
    return re.sub(r" at 0x[0-9a-f]+", "", str(shown))


def members_of(owner: type) -> Iterator[str]:
    """Yield a line for each public member that a class of this package gives or inherits."""
    names = {
        name
        for base in owner.__mro__
        if base.__module__.startswith("qubo_prune")
        for name in (*vars(base), *vars(base).get("__annotations__", {}))
        if not name.startswith("_")
    }
    for name in sorted(names):
        found = inspect.getattr_static(owner, name, None)
        if isinstance(found, property):
            yield f"  {name}: property{signature_of(found.fget).partition(')')[2]}"
        elif isinstance(found, functools.cached_property):
            yield f"  {name}: property{signature_of(found.func).partition(')')[2]}"
        elif isinstance(found, classmethod | staticmethod):
            yield f"  {name}: {type(found).__name__}{signature_of(getattr(owner, name))}"
        elif inspect.isfunction(found):
            yield f"  {name}{signature_of(found)}"
        else:
            yield f"  {name}"


def lines_of(face: str) -> Iterator[str]:
    """Yield what one package offers, sorted by name."""
    package = importlib.import_module(face)
    for name in sorted(package.__all__):
        found = getattr(package, name)
        if not inspect.isclass(found):
            yield name + (signature_of(found) if callable(found) else "")
            continue
        takes = "" if issubclass(found, enum.Enum) else signature_of(found)
        yield f"class {name}{takes}"
        yield from members_of(found)


def public_api() -> str:
    """Return all public names with their signatures, one a line."""
    parts = (f"# {face}\n" + "\n".join(lines_of(face)) + "\n" for face in FACES)
    return "\n".join(parts)


if __name__ == "__main__":
    STORED.write_text(public_api(), "utf-8")
