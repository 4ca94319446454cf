"""All methods of healing; a new one is a module and a line here."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

from qubo_prune.core.errors import InputError
from qubo_prune.core.text import did_you_mean, format_value
from qubo_prune.pruning.healing.distillation.method import Distill
from qubo_prune.pruning.repair.base import HealingMethod
from qubo_prune.pruning.repair.linear import Linear
from qubo_prune.pruning.repair.rescale import Rescale

__all__ = ["METHODS", "get_method", "method_names"]

METHODS: tuple[type[HealingMethod], ...] = (Rescale, Linear, Distill)


def method_names() -> tuple[str, ...]:
    """Return the names of all methods.

    Examples
    --------
    >>> method_names()[:2]
    ('rescale', 'linear')
    """
    return tuple(each.name for each in METHODS)


def get_method(name: str, /, **switches: Any) -> HealingMethod:
    """Return a configured method.

    Parameters
    ----------
    name : str
        One of `method_names`.
    **switches
        Its switches; an unknown one is an error.

    Raises
    ------
    InputError
        If there is no such method or switch.

    Examples
    --------
    >>> get_method("linear", ridge=0.1)
    Linear(ridge=0.1)
    """
    for each in METHODS:
        if each.name == name:
            break
    else:
        raise InputError(
            f"there is no method of healing {format_value(name)}; choose from"
            f" {', '.join(method_names())}{did_you_mean(name, method_names())}"
        )
    known = [field.name for field in fields(each)]  # type: ignore[arg-type]
    for switch in switches:
        if switch not in known:
            listed = f"it has {', '.join(known)}" if known else "it has none"
            raise InputError(f"method {name!r} has no switch {format_value(switch)}; {listed}.")
    return each(**switches)
