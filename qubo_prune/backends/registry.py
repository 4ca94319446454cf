"""The registry of backends: an explicit tuple of built-ins, entry points for everybody else."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from qubo_prune.backends.base import Availability, Backend
from qubo_prune.backends.built_ins import BUILT_INS, backend_names, outside_backends
from qubo_prune.backends.common.by_name import digest_of, names_code, split_name
from qubo_prune.core import defaults
from qubo_prune.core.errors import BackendError, BackendUnavailableError, InputError
from qubo_prune.core.text import did_you_mean

DEFAULT_BACKEND = defaults.BACKEND

_PREFIXES = (("ocean:", "qubo_prune.backends.ocean.backend"),)
"""What the name of a backend starts with whose rest says more, and whose `named_backend` makes the
class of it.
"""
_NAMED = "qubo_prune.backends.named"
"""Whose `named_backend` makes the class of ``path.py:Name`` and ``module:Name``."""


def is_built_in(backend: type[Backend]) -> bool:
    """Whether a backend is part of this package, so that its proofs rest on nobody else's word.

    Examples
    --------
    >>> is_built_in(backend_class("tabu")), is_built_in(Backend)
    (True, False)
    """
    home = backend.__module__, backend.__name__
    return any(home == (module, attribute) for _, module, attribute in BUILT_INS)


def backend_class(name: str) -> type[Backend]:
    """Return the class of a backend.

    Parameters
    ----------
    name : str
        One of `backend_names`; ``path.py:Name`` or ``module:Name`` for a `Backend`, a dimod sampler
        or a function of an Ising model; or ``ocean:package.module:Class`` for a dimod sampler.

    Raises
    ------
    InputError
        If there is no such backend.
    BackendError
        If another package registered something that is not a backend or cannot be imported.
    """
    for built_in, module, attribute in BUILT_INS:
        if name == built_in:
            found: type[Backend] = getattr(import_module(module), attribute)
            return found
    for prefix, module in _PREFIXES:
        if name.startswith(prefix):
            return _named(module, name)
    point = outside_backends().get(name)
    if point is None:
        if names_code(name):
            return _named(_NAMED, name)
        raise InputError(
            f"there is no backend {name!r}; choose one of: {', '.join(backend_names())}; or name"
            f" your own as path.py:Name or module:Name{did_you_mean(name, backend_names())}"
        )
    try:
        loaded = point.load()
    except Exception as error:
        raise BackendError(
            f"backend {name!r} is registered as {point.value!r} but cannot be imported: {error}."
        ) from error
    if not (isinstance(loaded, type) and issubclass(loaded, Backend)):
        raise BackendError(
            f"backend {name!r} is registered as {point.value!r}, which is not a subclass of"
            " Backend."
        )
    return loaded


def _named(module: str, name: str) -> type[Backend]:
    made: type[Backend] = import_module(module).named_backend(name)
    return made


def distribution_of(name: str) -> str | None:
    """Return the name and version of the package that registered a backend, or the file that names
    it and the SHA-256 of what is in it; None for a built-in one.
    """
    point = None if any(name == known for known, *_ in BUILT_INS) else outside_backends().get(name)
    if point is None and names_code(name):
        digest = digest_of(name)
        return None if digest is None else f"{split_name(name)[0]} sha256:{digest}"
    if point is None or point.dist is None:
        return None
    return f"{point.dist.name} {point.dist.version}"


def availability_of(name: str) -> Availability:
    """Return whether a backend can run here.

    Parameters
    ----------
    name : str
        One of `backend_names`.

    Raises
    ------
    InputError
        If there is no such backend.
    BackendError
        If another package registered something that is not a backend, cannot be imported or cannot
        answer.
    """
    found = backend_class(name)
    try:
        answer = found.availability()
    except Exception as error:
        raise BackendError(
            f"backend {name!r} cannot say whether it can run here: {type(error).__name__}: {error}."
        ) from error
    if not isinstance(answer, Availability):
        raise BackendError(
            f"backend {name!r} says {answer!r} of its availability, which is not an Availability."
        )
    return answer


def get_backend(name: str, /, **options: Any) -> Backend:
    """Return a configured backend that can run here.

    Parameters
    ----------
    name : str
        One of `backend_names`.
    **options
        The backend's options; an unknown one is an error.

    Raises
    ------
    InputError
        If the backend or an option is unknown or a value is out of range.
    BackendUnavailableError
        If a library, licence or device is missing; says how to get it.
    BackendError
        If another package registered something that is not a backend, or that fails when it is
        asked whether it can run.

    Examples
    --------
    >>> get_backend("enumeration", threads=1).threads
    1
    """
    availability = availability_of(name)
    if not availability.usable:
        remedy = f"; install it with: {availability.install}" if availability.install else ""
        raise BackendUnavailableError(
            f"backend {name!r} cannot run here:"
            f" {availability.detail or 'something is missing'}{remedy}."
        )
    try:
        return backend_class(name).configured(**options)
    except (TypeError, ValueError) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(f"backend {name!r} refuses its options: {error}.") from error
