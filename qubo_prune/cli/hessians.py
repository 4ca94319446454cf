"""`qubo-prune hessians`: the bundled Hessians, and the facts of any one."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

import typer

from qubo_prune.cli import options
from qubo_prune.cli.output import EXIT_DONE, print_json, print_table

if TYPE_CHECKING:
    from qubo_prune.hessians.store import HessianFile

hessians = typer.Typer(invoke_without_command=True, help="List the bundled Hessians, or show one.")


@hessians.callback()
def _list(context: typer.Context, json: options.Json = False) -> int:
    """List the bundled Hessians, or show one."""
    if context.invoked_subcommand is not None:
        return EXIT_DONE
    from qubo_prune.hessians.store import bundled

    found = bundled()
    if json:
        print_json(
            {
                "hessians": [
                    {
                        "name": entry.name,
                        "num_blocks": entry.num_blocks,
                        "kinds": entry.kinds,
                        "samples": entry.samples,
                        "model": entry.model,
                        "description": entry.description,
                        "path": str(entry.path),
                    }
                    for entry in found
                ]
            }
        )
    else:
        print_table(
            ("name", "blocks", "kinds", "samples", "model"),
            [
                (
                    entry.name,
                    str(entry.num_blocks),
                    _kinds(entry.kinds),
                    str(entry.samples),
                    entry.model,
                )
                for entry in found
            ],
        )
    return EXIT_DONE


@hessians.command()
def show(hessian: options.HessianArgument, json: options.Json = False) -> int:
    """Show the facts of one Hessian: kinds, samples, eigenvalues."""
    from qubo_prune.hessians.store import load_hessian

    facts = _facts(load_hessian(hessian))
    if json:
        print_json(facts)
    else:
        print_table(
            ("fact", "value"),
            [(key.replace("_", " "), _text(value)) for key, value in facts.items()],
        )
    return EXIT_DONE


def _facts(file: HessianFile) -> dict[str, object]:
    import numpy as np

    from qubo_prune.problem import Problem

    problem = Problem(file.hessian, 0, names=file.names, kinds=file.kinds, symmetrize=True)
    given = np.asarray(file.hessian, np.float64)
    eigenvalues = np.linalg.eigvalsh(problem.hessian)
    magnitudes = np.abs(eigenvalues)
    largest = float(magnitudes.max())
    shares = magnitudes / largest if largest else magnitudes
    described: dict[str, object] = {
        key: file.metadata[key]
        for key in ("model", "granularity", "samples", "sequence_length", "loss")
        if key in file.metadata
    }
    return {
        "path": str(file.path),
        "num_blocks": file.num_blocks,
        "kinds": dict(Counter(file.kinds or ())),
        **described,
        **({} if file.remove is None else {"remove": file.remove}),
        **({"offset": file.offset} if file.offset else {}),
        "mean_gradient": file.mean_gradient is not None,
        "largest_asymmetry": float(np.abs(given - given.T).max()),
        "smallest_eigenvalue": float(eigenvalues[0]),
        "largest_eigenvalue": float(eigenvalues[-1]),
        # The participation ratio of the eigenvalues: N for a multiple of the identity, 1 for rank one.
        "effective_rank": float(shares.sum() ** 2 / (shares**2).sum()) if largest else 0.0,
        "file_sha256": file.sha256,
    }


def _kinds(kinds: dict[str, int]) -> str:
    return ", ".join(f"{count} {kind}" for kind, count in kinds.items())


def _text(value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, dict):
        return _kinds(value) or "unknown"
    return f"{value:.4g}" if isinstance(value, float) else str(value)
