"""Whether a model can do without layers at all, found out before hours of measurements."""

from __future__ import annotations

from collections.abc import Sequence

from torch import nn

from qubo_prune.core.errors import InputError
from qubo_prune.hessians.gates.gates import Gates
from qubo_prune.pruning.removal.config_rules import pruned_config
from qubo_prune.pruning.removal.cut import Cut, find_cut
from qubo_prune.pruning.removal.structure import check_structure

__all__ = ["checked_config", "require_plain_weights", "require_prunable"]


def require_plain_weights(model: nn.Module) -> None:
    """Refuse a model whose weights are quantised."""
    if getattr(model, "hf_quantizer", None) is not None:
        raise InputError(
            "the weights of the model are quantised, and only plain ones can be loaded and pruned;"
            " copy them with --without-loading (prune_folder in Python), or prune the original and"
            " quantise the result."
        )


def checked_config(gates: Gates, cut: Cut) -> object:
    """Return the configuration of the layers that stay.

    Raises
    ------
    InputError
        If it cannot be said, or its model is not the original without the others.
    """
    config = pruned_config(gates.model.config, cut.layers)
    check_structure(gates, cut.layers, config)
    return config


def require_prunable(gates: Gates, removals: Sequence[tuple[int, ...]]) -> str | None:
    """Refuse a model that can do without none of some removals.

    Parameters
    ----------
    gates : Gates
        Of its layers.
    removals : sequence of tuple of int
        Some that may be asked for.

    Returns
    -------
    str or None
        Why one of them is refused, if some but not all are.

    Raises
    ------
    InputError
        If its weights are quantised or all removals are refused; says why.
    """
    require_plain_weights(gates.model)
    refused: list[InputError] = []
    for removed in removals:
        try:
            checked_config(gates, find_cut(gates, removed))
        except InputError as error:
            refused.append(error)
    if refused and len(refused) == len(removals):
        raise refused[0]
    return str(refused[0]) if refused else None
