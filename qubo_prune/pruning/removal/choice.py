"""Which blocks go, and what is known of that removal: from a list, a spectrum, a selection or a
file of another program.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from qubo_prune.core.errors import InputError
from qubo_prune.core.spectrum.spectrum import Spectrum
from qubo_prune.core.text import format_count, format_value
from qubo_prune.core.validation import as_count
from qubo_prune.hessians.gates.gates import Gates, Granularity, find_gates
from qubo_prune.pruning.removal_lists import names_branches, read_removals
from qubo_prune.pruning.selection import Selection

if TYPE_CHECKING:
    from torch import nn

Removal = Selection | Spectrum | Path | Sequence[int | str]
"""What `choose` takes."""

_NAME = re.compile(r"(layers\.\d+)(\.\w+)?", re.ASCII)


@dataclass(frozen=True)
class Choice:
    """A removal of blocks.

    Attributes
    ----------
    removed : tuple of int
        Ascending indices of the blocks, which are layers or branches.
    facts : dict
        What is known of it, in plain types: energy, rank, objective...
    """

    removed: tuple[int, ...]
    facts: dict[str, Any] = field(default_factory=dict)


def find_choice(
    model: nn.Module, removal: Removal, state: int = 0, *, layers: str | None = None
) -> tuple[Gates, Choice]:
    """Return the blocks of a model as a removal counts them, and which of them go.

    Raises
    ------
    InputError
        As `find_gates` and `choose` raise it.
    """

    def find(granularity: Granularity) -> tuple[Gates, Choice]:
        gates = find_gates(model, granularity, layers=layers)
        return gates, choose(removal, [gate.name for gate in gates.gates], state)

    if not isinstance(removal, Path):
        return find("branch" if _names_branches(removal) else "block")
    try:
        return find("block")
    except InputError:
        if not names_branches(removal):
            raise
    return find("branch")


def choose(removal: Removal, names: Sequence[str], state: int = 0) -> Choice:
    """Return what is to be removed of a model.

    Parameters
    ----------
    removal : Selection, Spectrum, Path or sequence of int or str
        The blocks themselves, results that rank some removals, or a file of removals in any form
        that `qubo_prune.pruning.removal_lists` reads. In a list a number, or a name such as
        ``layers.3``, is a whole layer.
    names : sequence of str
        The blocks of the model: its layers, or the branches of them.
    state : int
        Which of the ranked removals, from 0.

    Raises
    ------
    InputError
        If it is of other blocks, or removes nothing or everything.

    Examples
    --------
    >>> choose(["layers.2", 0], ["layers.0", "layers.1", "layers.2"]).removed
    (0, 2)
    >>> choose([1], ["layers.0.mamba", "layers.1.attention", "layers.1.mlp"]).removed
    (1, 2)
    """
    if isinstance(removal, Selection | Spectrum):
        what = type(removal).__name__.lower()
        _require_names(removal.names, names, what)
        state = as_count(state, "state", least=0, remedy="count up from the best")
        if state >= len(removal):
            raise InputError(
                f"state must be below the {len(removal)} removals of the {what}, not {state};"
                " choose one of them."
            )
        choice = (
            _of_spectrum(removal, state)
            if isinstance(removal, Spectrum)
            else _of_selection(removal, state)
        )
    elif isinstance(removal, Path):
        choice = _of_file(removal, names, state)
    else:
        if state:
            raise InputError(
                f"state must be 0 for a list of blocks, which is one removal, not {state}; leave it"
                " out."
            )
        choice = Choice(_indices(removal, names))
    if not 0 < len(choice.removed) < len(names):
        raise InputError(
            f"from 1 to {len(names) - 1} of the {len(names)} blocks can be removed, not"
            f" {len(choice.removed)}; choose others."
        )
    return choice


def _of_spectrum(spectrum: Spectrum, state: int) -> Choice:
    weighed = spectrum.weight_removed()
    return Choice(
        spectrum[state].removed,
        {
            "source": "spectrum",
            "state": state,
            "energy": spectrum[state].energy,
            "rank_in_spectrum": state,
            "rank_is_proven": state < spectrum.num_proven,
            "backend": spectrum.backend,
            "hessian_sha256": spectrum.hessian_sha256,
            **_of_budget(spectrum.at_least, weighed and (weighed[0][state], weighed[1][state])),
        },
    )


def _of_selection(selection: Selection, state: int) -> Choice:
    chosen = selection[state]
    facts = {
        "source": "selection",
        "state": state,
        "objective": selection.objective,
        "value": chosen.objective,
        "standard_error": chosen.standard_error,
        "held_out": chosen.held_out,
        "held_out_error": chosen.held_out_error,
        "baseline": selection.baseline,
        "proposed_by": chosen.proposed_by,
        "tied_with_best": chosen.tied_with_best,
        "energy": chosen.energy,
        "rank_in_spectrum": chosen.rank_in_spectrum,
        "hessian_sha256": selection.hessian_sha256,
        "samples": selection.samples,
        "model_fingerprint": selection.model_fingerprint,
        **_of_budget(selection.at_least, selection.weight_removed(state)),
        "weights_of": selection.weights_of,
    }
    return Choice(chosen.removed, {key: each for key, each in facts.items() if each is not None})


def _of_budget(at_least: float | str | None, removed: tuple[float, float] | None) -> dict[str, Any]:
    """Return what a removal weighs, and which share of all that is, where it had to weigh some."""
    if removed is None:
        return {}
    return {"at_least": at_least, "weight_removed": removed[0], "weight_share": removed[1]}


def _of_file(path: Path, names: Sequence[str], state: int) -> Choice:
    """Return one of the removals in a file of this or another program."""
    removals = read_removals(path, names)
    state = as_count(state, "state", least=0, remedy="count up from the first")
    if state >= len(removals):
        raise InputError(
            f"state must be below the {format_count(len(removals))} removals of {path}, not"
            f" {state}; choose one of them."
        )
    return Choice(removals[state], {"source": f"file, {path.name}", "state": state})


def _names_branches(removal: Selection | Spectrum | Sequence[int | str]) -> bool:
    blocks = removal.names if isinstance(removal, Selection | Spectrum) else removal
    matches = (_NAME.fullmatch(each) for each in blocks if isinstance(each, str))
    return any(match is not None and match[2] is not None for match in matches)


def _require_names(given: Sequence[str], names: Sequence[str], what: str) -> None:
    """Refuse a result about other blocks; blocks without names are counted only."""
    if len(given) != len(names):
        are = "branches" if any(map(_layer_of_branch, names)) else "layers"
        raise InputError(
            f"the {what} is of {len(given)} blocks, but the model has {len(names)} {are}; give one"
            " of this model."
        )
    unnamed = [str(i) for i in range(len(names))]
    if list(given) not in (list(names), unnamed):
        at = next(i for i, name in enumerate(names) if given[i] != name)
        raise InputError(
            f"the {what} is of another model: its block {at} is called {format_value(given[at])},"
            f" that of the model {names[at]!r}; give one of this model."
        )


def _indices(blocks: Sequence[int | str], names: Sequence[str]) -> tuple[int, ...]:
    positions = {name: [index] for index, name in enumerate(names)}
    layers: dict[str, list[int]] = {}
    for index, name in enumerate(names):
        layers.setdefault(_layer_of_branch(name) or name, []).append(index)
    positions |= layers
    whole = list(layers.values())
    removed: list[int] = []
    for block in blocks:
        if isinstance(block, str) and block not in positions:
            raise InputError(
                f"the model has no block {format_value(block)}; its blocks are {names[0]!r} to"
                f" {names[-1]!r}."
            )
        if not isinstance(block, str) and not 0 <= as_count(block, "a block") < len(whole):
            raise InputError(
                f"blocks go from 0 to {len(whole) - 1}, but {block} is to be removed; correct it."
            )
        found = positions[block] if isinstance(block, str) else whole[block]
        if not set(removed).isdisjoint(found):
            raise InputError(f"block {block} is named twice; name every block once.")
        removed += found
    return tuple(sorted(removed))


def _layer_of_branch(name: str) -> str | None:
    """Return the layer that a branch belongs to, by their names."""
    match = _NAME.fullmatch(name)
    return None if match is None or match[2] is None else match[1]
