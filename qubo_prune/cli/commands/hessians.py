"""`qubo-prune hessians`: the bundled Hessians, and the facts of any one."""

from __future__ import annotations

from collections import Counter
from functools import partial
from math import isinf
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from qubo_prune.cli import options
from qubo_prune.cli.config import configurable
from qubo_prune.cli.files import Files
from qubo_prune.cli.output import EXIT_DONE, EXIT_OUTPUT, print_json, print_table, print_text
from qubo_prune.core.text import format_blocks

if TYPE_CHECKING:
    from qubo_prune.hessians.diagnostics import Diagnosis

_PAIRS_SHOWN = 5
_STATES_SHOWN = 10

Gradients = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE",
        help="Its per-sample gradients, a .npy file.  [default: NAME.grads.npy beside NAME.npy]",
    ),
]
Removal = Annotated[
    list[str] | None,
    typer.Option(
        metavar="M",
        help=(
            "Give the lowest states that remove M blocks error bars; or KIND=COUNT for each kind, "
            "repeatable. Needs per-sample gradients."
        ),
    ),
]
Plot = Annotated[
    Path | None,
    typer.Option(metavar="FILE", help="Draw it all into FILE, a .png, .pdf or .svg."),
]

hessians = typer.Typer(invoke_without_command=True, help="List the bundled Hessians, or show one.")


@hessians.callback()
def _list(context: typer.Context, json: options.Json = False) -> int:
    """List the bundled Hessians, or show one."""
    if context.invoked_subcommand is not None:
        return EXIT_DONE
    from qubo_prune.core.files.bundled import bundled

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
@configurable
def show(
    hessian: options.HessianArgument,
    samples: Gradients = None,
    remove: Removal = None,
    time_limit: options.TimeLimit = None,
    seed: options.Seed = 0,
    plot: Plot = None,
    json: options.Json = False,
) -> int:
    """Show the facts of one Hessian, and what may be wrong with it.

    With its per-sample gradients, also how far more samples would change it, and with --remove how
    sure the lowest states are.
    """
    counts = options.parse_removal(remove or ())

    from qubo_prune.core.files.gradients import gradients_path
    from qubo_prune.core.files.kinds import Kind
    from qubo_prune.hessians.diagnostics import diagnose

    files = Files()
    if plot is not None:
        files.reads_hessian(hessian)
        files.reads(gradients_path(hessian) if samples is None else samples)
        files.writes(plot, "--plot", Kind.PLOT)
    diagnosis = diagnose(hessian, samples, counts, seed, time_limit=time_limit)
    if plot is not None:
        from qubo_prune.report.diagnosis import plot_diagnosis

        files.write(plot, partial(plot_diagnosis, diagnosis))
    if json:
        print_json(diagnosis_to_dict(diagnosis))
    else:
        print_diagnosis(diagnosis)
    return EXIT_OUTPUT if files.failed else EXIT_DONE


def print_diagnosis(diagnosis: Diagnosis) -> None:
    """Print the facts of a Hessian, and what may be wrong with it."""
    print_table(
        ("fact", "value"),
        [(key.replace("_", " "), _text(value)) for key, value in _facts(diagnosis).items()],
    )
    if pairs := diagnosis.correlated_pairs(_PAIRS_SHOWN):
        print_table(
            ("most correlated", "", "correlation"),
            [(diagnosis.names[i], diagnosis.names[j], f"{value:+.2f}") for i, j, value in pairs],
        )
    if diagnosis.convergence:
        print_table(
            ("samples", "distance from H"),
            [(str(count), f"{distance:.1%}") for count, distance in diagnosis.convergence],
        )
    if (stability := diagnosis.stability) is not None:
        print_table(
            (
                "#",
                "energy",
                "above lowest",
                "is lowest",
                f"in lowest {stability.lowest}",
                "removed",
            ),
            [
                (
                    str(k),
                    f"{stability.energies[k]:.4g} ± {stability.errors[k]:.1g}",
                    f"{stability.gaps[k]:.2g} ± {stability.gap_errors[k]:.1g}" if k else "",
                    f"{stability.ground_share[k]:.0%}",
                    f"{stability.lowest_share[k]:.0%}",
                    format_blocks(stability.states[k].nonzero()[0].tolist()),
                )
                for k in range(min(len(stability.states), _STATES_SHOWN))
            ],
        )
        print_text(
            f"Standard errors and shares of {stability.resamples} draws of {diagnosis.samples}"
            f" samples with replacement, among the {len(stability.states)} lowest states, of which"
            f" {stability.num_proven} are proven to be the lowest."
        )
    for warning in diagnosis.warnings:
        print_text(f"Warning: {warning}", indent="  ")


def diagnosis_to_dict(diagnosis: Diagnosis) -> dict[str, object]:
    """Return what `hessians show --json` prints."""
    return {**_facts(diagnosis), **_findings(diagnosis)}


def _facts(diagnosis: Diagnosis) -> dict[str, object]:
    import numpy as np

    file = diagnosis.file
    given = np.asarray(file.hessian, np.float64)
    described: dict[str, object] = {
        key: file.metadata[key]
        for key in ("model", "granularity", "samples", "sequence_length", "loss")
        if key in file.metadata
    }
    condition = diagnosis.condition_number
    sampled: dict[str, object] = {}
    if diagnosis.samples is not None:
        sampled = {
            "gradients_of_samples": diagnosis.samples,
            "effective_samples": diagnosis.effective_samples,
            "largest_share_of_a_sample": diagnosis.largest_share,
            "split_half_distance": diagnosis.split_half,
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
        "smallest_eigenvalue": float(diagnosis.eigenvalues[0]),
        "largest_eigenvalue": float(diagnosis.eigenvalues[-1]),
        "condition_number": None if isinf(condition) else condition,
        "rank": diagnosis.rank,
        "effective_rank": diagnosis.effective_rank,
        **sampled,
        "file_sha256": file.sha256,
    }


def _findings(diagnosis: Diagnosis) -> dict[str, object]:
    """Return what is printed in tables of its own."""
    convergence = diagnosis.convergence
    stability = diagnosis.stability
    return {
        "correlated_pairs": [
            {"blocks": [i, j], "correlation": value}
            for i, j, value in diagnosis.correlated_pairs(_PAIRS_SHOWN)
        ],
        "convergence": (
            None
            if convergence is None
            else [{"samples": count, "distance": distance} for count, distance in convergence]
        ),
        "states": (
            None
            if stability is None
            else [
                {
                    "removed": stability.states[k].nonzero()[0].tolist(),
                    "energy": float(stability.energies[k]),
                    "error": float(stability.errors[k]),
                    "gap": float(stability.gaps[k]),
                    "gap_error": float(stability.gap_errors[k]),
                    "ground_share": float(stability.ground_share[k]),
                    "lowest_share": float(stability.lowest_share[k]),
                    "proven": k < stability.num_proven,
                }
                for k in range(len(stability.states))
            ]
        ),
        "warnings": list(diagnosis.warnings),
    }


def _kinds(kinds: dict[str, int]) -> str:
    return ", ".join(f"{count} {kind}" for kind, count in kinds.items())


def _text(value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, dict):
        return _kinds(value) or "unknown"
    if value is None:
        return "none"
    return f"{value:.4g}" if isinstance(value, float) else str(value)
