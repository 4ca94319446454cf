"""A problem as bytes, for workers in other processes: a JSON header and arrays, no pickles."""

from __future__ import annotations

import io
import json
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from qubo_prune.core.errors import BackendError
from qubo_prune.core.problem.problem import Problem
from qubo_prune.core.version import __version__


def encode_problem(problem: Problem, facts: Mapping[str, object]) -> bytes:
    """Return a problem and what a worker has to know besides, the same bytes for the same ones.

    Parameters
    ----------
    problem
        What is to be solved.
    facts
        Plain values by name.
    """
    header = {
        "version": __version__,
        "hessian_sha256": problem.hessian_sha256,
        "remove": problem.remove,
        "kinds": problem.kinds,
        "keep": problem.keep,
        "force": problem.force,
        "only": problem.only,
        "beta": problem.beta,
        "at_least": problem.budget and problem.budget.at_least,
        "weights": problem.budget and problem.budget.weights.tolist(),
        "facts": dict(facts),
    }
    arrays: dict[str, NDArray[Any]] = {
        "header": np.frombuffer(json.dumps(header).encode(), np.uint8),
        "hessian": problem.hessian,
    }
    if problem.gradient is not None:
        arrays["gradient"] = problem.gradient
    stream = io.BytesIO()
    np.savez(stream, allow_pickle=False, **arrays)
    return stream.getvalue()


def decode_problem(data: bytes) -> tuple[Problem, dict[str, Any]]:
    """Return the problem in bytes, and the other facts.

    Raises
    ------
    BackendError
        If they come from another version of this package, or are not what was sent.
    """
    with np.load(io.BytesIO(data), allow_pickle=False) as arrays:
        header = json.loads(arrays["header"].tobytes())
        if header["version"] != __version__:
            raise BackendError(
                f"a worker has qubo-prune {__version__}, but the run was started by"
                f" {header['version']}; install the same version everywhere."
            )
        problem = Problem(
            arrays["hessian"],
            header["remove"],
            kinds=header["kinds"],
            keep=header["keep"],
            force=header["force"],
            only=header["only"],
            gradient=arrays.get("gradient"),
            beta=header["beta"],
            at_least=header["at_least"],
            weights=header["weights"],
        )
    if problem.hessian_sha256 != header["hessian_sha256"]:
        raise BackendError("a worker received another matrix than was sent; please report this.")
    return problem, header["facts"]
