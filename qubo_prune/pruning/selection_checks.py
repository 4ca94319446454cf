"""That a problem, a Hessian and a spectrum are of the model at hand."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from qubo_prune.core.errors import InputError
from qubo_prune.core.files.hessian import HessianFile
from qubo_prune.core.problem.problem import Problem
from qubo_prune.core.spectrum.spectrum import Spectrum
from qubo_prune.core.text import format_value

if TYPE_CHECKING:
    from qubo_prune.hessians.gates.gates import Gates

__all__ = ["require_blocks", "require_same_model", "require_spectrum"]


def require_same_model(file: HessianFile, gates: Gates, described: Mapping[str, Any]) -> None:
    """Refuse the Hessian of another model.

    Parameters
    ----------
    file : HessianFile
        With what its sidecar says.
    gates : Gates
        Of the model.
    described : mapping
        `ModelObjective.describe` of it.

    Raises
    ------
    InputError
        If the number of blocks, their names, the granularity or the fingerprint differ. A model
        loaded in another dtype has another fingerprint, which is no contradiction.
    """
    if file.num_blocks != len(gates):
        raise InputError(
            f"{file.path} is a Hessian of {file.num_blocks} blocks, but the model has {len(gates)} "
            f"at granularity {gates.granularity!r}; extract that of this model, or change "
            "--granularity."
        )
    names = [gate.name for gate in gates.gates]
    if file.names is not None and list(file.names) != names:
        first = next(i for i, name in enumerate(names) if file.names[i] != name)
        raise InputError(
            f"{file.path} is of another model: its block {first} is called {file.names[first]!r}, "
            f"that of the model {names[first]!r}; extract the Hessian of this model."
        )
    said = file.metadata.get("model_fingerprint")
    same_dtype = file.metadata.get("dtype") == described["dtype"]
    if said is not None and same_dtype and said != described["model_fingerprint"]:
        raise InputError(
            f"{file.path} is of another model: its model_fingerprint is {format_value(said)}, that "
            f"of the model {described['model_fingerprint']!r}; extract the Hessian of this model."
        )


def require_blocks(problem: Problem, gates: Gates) -> None:
    """Refuse a problem whose blocks are not those of the model, by number or by name."""
    if problem.num_blocks != len(gates):
        raise InputError(
            f"the problem has {problem.num_blocks} blocks, but the model has {len(gates)} at "
            f"granularity {gates.granularity!r}; give the Hessian of this model."
        )
    names = tuple(gate.name for gate in gates.gates)
    if problem.names is not None and problem.names != names:
        wrong = next(i for i, name in enumerate(names) if problem.names[i] != name)
        raise InputError(
            f"the problem is of another model: its block {wrong} is called "
            f"{problem.names[wrong]!r}, that of the model {names[wrong]!r}; give the Hessian of "
            "this model."
        )


def require_spectrum(spectrum: Spectrum, problem: Problem, *, has_hessian: bool) -> None:
    """Refuse a spectrum of another Hessian, or of other counts than the problem asks for."""
    if has_hessian and spectrum.hessian_sha256 != problem.hessian_sha256:
        raise InputError(
            f"the spectrum is of another Hessian: its sha256 is {spectrum.hessian_sha256[:12]}..., "
            f"that of the matrix {problem.hessian_sha256[:12]}...; solve this one again."
        )
    if not len(spectrum):
        raise InputError("the spectrum holds no state; solve the problem again.")
    fits = spectrum.num_blocks == problem.num_blocks
    if not fits or not problem.is_feasible(spectrum.states).all():
        raise InputError(
            f"the spectrum removes {spectrum.remove} of {spectrum.num_blocks} blocks, which is not "
            f"what is asked for here, {problem.remove} of {problem.num_blocks}; solve again with "
            "the same --remove, --keep, --force and --only."
        )
