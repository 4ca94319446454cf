"""All criteria; a new one is a module and a line here."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

from qubo_prune.core.errors import InputError
from qubo_prune.core.text import did_you_mean, format_value
from qubo_prune.pruning.criteria.angular_distance import AngularDistance
from qubo_prune.pruning.criteria.base import Criterion
from qubo_prune.pruning.criteria.block_influence import BlockInfluence
from qubo_prune.pruning.criteria.hessian_diagonal import HessianDiagonal
from qubo_prune.pruning.criteria.last import Last
from qubo_prune.pruning.criteria.norm_ratio import NormRatio
from qubo_prune.pruning.criteria.random_numbers import Random
from qubo_prune.pruning.criteria.relative_magnitude import RelativeMagnitude
from qubo_prune.pruning.criteria.single_kl import SingleKL
from qubo_prune.pruning.criteria.single_loss import SingleLoss
from qubo_prune.pruning.criteria.taylor import Taylor

__all__ = ["CRITERIA", "criterion_names", "get_criterion"]

CRITERIA: tuple[type[Criterion], ...] = (
    BlockInfluence,
    AngularDistance,
    NormRatio,
    RelativeMagnitude,
    Taylor,
    HessianDiagonal,
    SingleLoss,
    SingleKL,
    Last,
    Random,
)


def criterion_names() -> tuple[str, ...]:
    """Return the names of all criteria.

    Examples
    --------
    >>> criterion_names()[:2]
    ('block-influence', 'angular-distance')
    """
    return tuple(each.name for each in CRITERIA)


def get_criterion(name: str, /, **options: Any) -> Criterion:
    """Return a configured criterion.

    Parameters
    ----------
    name : str
        One of `criterion_names`.
    **options
        Its switches; an unknown one is an error.

    Raises
    ------
    InputError
        If there is no such criterion or switch, or a value is out of range.

    Examples
    --------
    >>> get_criterion("block-influence", tokens="last")
    BlockInfluence(tokens='last', recomputed=False, after_norm=False)
    """
    for each in CRITERIA:
        if each.name == name:
            break
    else:
        raise InputError(
            f"there is no criterion {format_value(name)}; "
            f"choose one of: {', '.join(criterion_names())}{did_you_mean(name, criterion_names())}"
        )
    known = {field.name: field for field in fields(each)}  # type: ignore[arg-type]
    for option, value in options.items():
        if option not in known:
            listed = f"it has {', '.join(known)}" if known else "it has none"
            raise InputError(f"criterion {name!r} has no option {format_value(option)}; {listed}.")
        if known[option].type == "bool" and not isinstance(value, bool):
            raise InputError(
                f"{option} of criterion {name!r} must be true or false, not {format_value(value)}; "
                "give one of them."
            )
    return each(**options)
