"""What may be removed of a model, with the energy of its Hessian where there is one."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

import numpy as np

from qubo_prune.core.defaults import WEIGHTS as DEFAULT_WEIGHTS
from qubo_prune.core.files.hessian import HessianFile
from qubo_prune.core.problem.problem import Problem
from qubo_prune.hessians.language_model import describe
from qubo_prune.pruning.block_weights import block_weights
from qubo_prune.pruning.selection_checks import require_same_model

if TYPE_CHECKING:
    from qubo_prune.hessians.gates.gates import Gates

__all__ = ["problem_of"]


def problem_of(
    gates: Gates,
    remove: int | str | Mapping[str, int] | None,
    file: HessianFile | None = None,
    *,
    keep: Iterable[int | str] = (),
    force: Iterable[int | str] = (),
    only: str | None = None,
    at_least: float | str | None = None,
    weights: str = DEFAULT_WEIGHTS,
) -> Problem:
    """Return the problem of a model, with a matrix of zeros where there is no Hessian.

    Parameters
    ----------
    gates : Gates
        The blocks of the model.
    remove : int, str, mapping or None
        As of `Problem`; what the Hessian's file says where it is None.
    file : HessianFile, optional
        The Hessian; refused if it is of another model.
    keep, force, only, at_least
        As of `Problem`.
    weights : str
        What blocks weigh, where there is `at_least`; see `block_weights`.
    """
    matrix = np.zeros((len(gates), len(gates)))
    if file is not None:
        require_same_model(file, gates, describe(gates.model))  # type: ignore[arg-type]
        matrix = file.hessian
        remove = file.remove if remove is None else remove
    return Problem(
        matrix,
        remove,
        kinds=[gate.kind for gate in gates.gates],
        names=[gate.name for gate in gates.gates],
        keep=keep,
        force=force,
        only=only,
        at_least=at_least,
        weights=None if at_least is None else block_weights(gates, weights),
        parameter_counts=[gate.num_parameters for gate in gates.gates],
    )
