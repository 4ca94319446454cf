"""`qubo-prune hessians`: the bundled Hessians, and the facts of any one."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from qubo_prune.cli import options
from qubo_prune.cli.config import configurable
from qubo_prune.cli.files import Files
from qubo_prune.cli.output import EXIT_DONE, EXIT_OUTPUT, print_json, print_table, print_text
from qubo_prune.cli.plotting import PlotOptions
from qubo_prune.core.text import format_blocks
from qubo_prune.hessians.findings import (
    PAIRS_SHOWN,
    diagnosis_to_dict,
    facts_of,
    format_fact,
    format_kinds,
)

if TYPE_CHECKING:
    from qubo_prune.hessians.diagnostics import Diagnosis

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
                    format_kinds(entry.kinds),
                    f"{entry.samples:,}",
                    entry.model,
                )
                for entry in found
            ],
        )
    return EXIT_DONE


@hessians.command()
@configurable
@options.spread
def show(
    *,
    hessian: options.HessianArgument,
    samples: Gradients = None,
    remove: Removal = None,
    time_limit: options.TimeLimit = None,
    seed: options.Seed = 0,
    picture: PlotOptions,
    json: options.Json = False,
) -> int:
    """Show the facts of one Hessian, and what may be wrong with it.

    With its per-sample gradients, also how far more samples would change it, and with --remove how
    sure the lowest states are.
    """
    counts = options.parse_removal(remove or ())

    from qubo_prune.core.files.gradients import gradients_path
    from qubo_prune.hessians.diagnostics import diagnose

    files = Files()
    if picture.plot is not None:
        files.reads_hessian(hessian)
        files.reads(gradients_path(hessian) if samples is None else samples)
    picture.declare(files)
    diagnosis = diagnose(hessian, samples, counts, seed, time_limit=time_limit)
    if picture.plot is not None:
        from qubo_prune.report.diagnosis import plot_diagnosis

        picture.write(files, partial(plot_diagnosis, diagnosis))
    if json:
        print_json(diagnosis_to_dict(diagnosis))
    else:
        print_diagnosis(diagnosis)
    return EXIT_OUTPUT if files.failed else EXIT_DONE


def print_diagnosis(diagnosis: Diagnosis) -> None:
    """Print the facts of a Hessian, and what may be wrong with it."""
    print_table(
        ("fact", "value"),
        [(key.replace("_", " "), format_fact(value)) for key, value in facts_of(diagnosis).items()],
    )
    if pairs := diagnosis.correlated_pairs(PAIRS_SHOWN):
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
            f"Standard errors and shares of {stability.resamples:,} draws of {diagnosis.samples:,}"
            f" samples with replacement, among the {len(stability.states)} lowest states, of which"
            f" {stability.num_proven} are proven to be the lowest."
        )
    for warning in diagnosis.warnings:
        print_text(f"Warning: {warning}", indent="  ")
