"""Backends that nobody registered: ``path.py:Name`` or ``module:Name`` names a `Backend`, a dimod
sampler or a function of an Ising model, and which of these it is, is found out.
"""

from __future__ import annotations

import inspect
from dataclasses import fields, is_dataclass
from functools import lru_cache
from types import ModuleType
from typing import Any

from qubo_prune.backends.base import Backend, Capability
from qubo_prune.backends.common.by_name import load, split_name
from qubo_prune.backends.ising import function_backend
from qubo_prune.backends.ocean.backend import is_sampler, sampler_backend
from qubo_prune.core.errors import InputError
from qubo_prune.core.text import format_value


def named_backend(name: str) -> type[Backend]:
    """Return the backend class of ``path.py:Name`` or ``module:Name``, whose name is that.

    Raises
    ------
    InputError
        If there is no such file, module or name, the import fails, or what is named is none of the
        three.
    """
    module, _ = load(name)
    return _class_of(name, module)


@lru_cache(maxsize=64)
def _class_of(name: str, module: ModuleType) -> type[Backend]:
    _, attribute = split_name(name)
    found: Any = getattr(module, attribute)
    if isinstance(found, Backend) or (isinstance(found, type) and issubclass(found, Backend)):
        return _renamed(name, found)
    if is_sampler(found):
        return sampler_backend(name, found, attribute)
    if callable(found) and not isinstance(found, type):
        return function_backend(name, found)
    kind = "a class" if isinstance(found, type) else f"the value {format_value(found)}"
    raise InputError(
        f"backend {name!r}: {attribute} is {kind} and no solver; name a subclass of Backend, a"
        " dimod sampler, or a function of (h, J, M) that returns spins."
    )


def _renamed(name: str, found: Backend | type[Backend]) -> type[Backend]:
    """Return a subclass that differs in its name, and whose defaults are those of an instance."""
    home: type[Any] = found if isinstance(found, type) else type(found)
    if inspect.isabstract(home):
        missing = ", ".join(sorted(home.__abstractmethods__))
        raise InputError(f"backend {name!r}: {home.__name__} has no method {missing}; write it.")
    if not is_dataclass(home):
        raise InputError(
            f"backend {name!r}: {home.__name__} is not a dataclass; write @dataclass(frozen=True)"
            " above it."
        )
    if not isinstance(getattr(home, "capabilities", None), Capability):
        raise InputError(
            f"backend {name!r}: {home.__name__} does not declare its capabilities; write"
            " capabilities = Capability.NONE, or what it can do."
        )
    declared: dict[str, Any] = {
        "name": name,
        "summary": getattr(home, "summary", home.__name__),
        "__doc__": home.__doc__,
        "__module__": __name__,
    }
    if isinstance(found, Backend):
        given = {field.name: getattr(found, field.name) for field in fields(home) if field.init}
        declared["configured"] = classmethod(
            lambda cls, **options: super(made, cls).configured(**{**given, **options})
        )
    made: type[Backend] = type(home.__name__, (home,), declared)
    return made
