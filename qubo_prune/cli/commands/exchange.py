"""`qubo-prune export` and `qubo-prune import`: problems in the files of other solvers."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from qubo_prune.cli import options
from qubo_prune.cli.files import Files, declare_hessian
from qubo_prune.cli.output import EXIT_DONE, print_footer, print_json
from qubo_prune.cli.progress import watched
from qubo_prune.core.errors import InputError
from qubo_prune.core.files.formats import FORMATS

if TYPE_CHECKING:
    from qubo_prune.core.problem.problem import Problem

_NAMES = ", ".join(each.name for each in FORMATS)

Target = Annotated[
    Path,
    typer.Option(
        "--out",
        metavar="FILE",
        help=(
            "The file to write:"
            f" {', '.join(suffix for each in FORMATS for suffix in each.suffixes)}."
        ),
    ),
]
Npy = Annotated[Path, typer.Option("--out", metavar="FILE", help="The .npy file to write.")]
Source = Annotated[Path, typer.Argument(metavar="FILE", help="The file to read.")]
FormatName = Annotated[
    str | None,
    typer.Option(
        "--format", metavar="NAME", help=f"{_NAMES}.  [default: what the suffix of the file says]"
    ),
]
Penalty = Annotated[
    str | None,
    typer.Option(
        metavar="P",
        help=(
            "Put the constraint into the coefficients: a number, one for each group as 0.1,0.2, "
            "`smallest` or `safe`.  [default: leave the coefficients bare]"
        ),
    ),
]
Kept = Annotated[
    int,
    typer.Option(
        metavar="K",
        help="How many of the lowest states `smallest` and `safe` keep below every infeasible one.",
    ),
]


@options.spread
def export(
    *,
    out: Target,
    problem: options.ProblemOptions,
    format: FormatName = None,  # noqa: A002
    penalty: Penalty = None,
    states: Kept = 100,
    json: options.Json = False,
    quiet: options.Quiet = False,
) -> int:
    """Write a problem for another solver.

    Blocks that are kept or removed in any case are folded into the coefficients. What the format
    cannot hold goes into FILE.json: `solve`, `sweep` and `import` read both.
    """
    from qubo_prune.core.files.formats import format_of
    from qubo_prune.core.files.kinds import Kind
    from qubo_prune.encodings import write_problem
    from qubo_prune.encodings.exchange import require_model_replaceable

    chosen = format_of(out, format)
    sidecar = Path(f"{out}.json")
    files = Files()
    files.reads_hessian(problem.hessian)
    files.writes(out, "--out", require=partial(require_model_replaceable, format_=chosen))
    files.writes(sidecar, "--out", Kind.SIDECAR)
    loaded = problem.load()
    with watched(quiet):
        penalties = _penalties(loaded, penalty, states)
    write_problem(loaded, out, format=format, penalties=penalties)
    facts = {
        "file": str(out),
        "sidecar": str(sidecar),
        "format": chosen.name,
        "variables": sum(len(group.indices) for group in loaded.groups),
        "penalties": penalties,
    }
    if json:
        print_json(facts)
    elif not quiet:
        print_footer(
            f"{out}: {facts['variables']} variables in the format {chosen.name}, "
            + _where(
                penalties,
                chosen.holds_counts,
                str(sidecar),
                _constraints(loaded),
            )
        )
    return EXIT_DONE


def import_(
    source: Source,
    out: Npy,
    format: FormatName = None,  # noqa: A002
    symmetrize: options.Symmetrize = False,
    gradients: options.Gradients = False,
    json: options.Json = False,
    quiet: options.Quiet = False,
) -> int:
    """Turn a file of another format, or gradients, into a Hessian.

    The sidecar gets the names, the counts and the constant term, as far as the file or FILE.json
    tells them. Gradients, as the .pt files of torch, become H = A'A/m.
    """
    from qubo_prune.core.files.hessian import load_hessian, save_hessian
    from qubo_prune.core.problem.problem import Problem

    files = Files()
    files.reads_hessian(source, format)
    declare_hessian(files, out)
    file = load_hessian(source, format, gradients=gradients)
    problem = Problem(file.hessian, 0, symmetrize=symmetrize)
    said = {
        "names": file.names,
        "kinds": file.kinds,
        "remove": file.remove,
        "offset": file.offset,
        "mean_gradient": file.mean_gradient,
        "at_least": file.at_least,
        "weights": file.weights,
        "samples": None if file.gradients is None else len(file.gradients),
    }
    kept = {
        key: value
        for key, value in file.metadata.items()
        if key not in said and key not in ("format_version", "sha256", "reference_node")
    }
    entries = {**kept, **{key: value for key, value in said.items() if value is not None}}
    save_hessian(out, problem.hessian, **entries)
    facts = {
        "file": str(out),
        "num_blocks": file.num_blocks,
        "remove": file.remove,
        "offset": file.offset,
    }
    if json:
        print_json(facts)
    elif not quiet:
        print_footer(
            f"{out}: {file.num_blocks} blocks, {_removal(file.remove)}"
            f"{_weight(file.at_least)}{_constant(file.offset)}"
        )
    return EXIT_DONE


def _penalties(problem: Problem, text: str | None, num_states: int) -> list[float] | None:
    from qubo_prune.encodings import safe_penalty, smallest_penalty
    from qubo_prune.solving.solve import solve

    if text is None:
        return None
    if text == "safe":
        return [safe_penalty(problem, num_states)] * len(problem.groups)
    if text == "smallest":
        return [float(value) for value in smallest_penalty(problem, num_states, solve=solve)]
    try:
        values = [float(part) for part in text.split(",")]
    except ValueError:
        raise InputError(
            f"--penalty takes numbers, `smallest` or `safe`, got {text!r}; write e.g."
            " --penalty 0.1."
        ) from None
    return values * len(problem.groups) if len(values) == 1 else values


def _where(
    penalties: list[float] | None, holds_counts: bool, sidecar: str, constraints: str
) -> str:
    """Say what became of the constraint."""
    if penalties is not None:
        return (
            f"with penalties of {', '.join(f'{value:.6g}' for value in penalties)}; the counts are"
            f" in {sidecar}"
        )
    if holds_counts:
        return f"with {constraints}; the names are in {sidecar}"
    return f"without the constraint, which is in {sidecar}"


def _constraints(problem: Problem) -> str:
    """Name what a file that holds them has."""
    if problem.remove is None:
        return "the budget as a constraint"
    budget = "" if problem.budget is None else " and the budget"
    return f"the counts{budget} as constraints"


def _removal(remove: int | dict[str, int] | None) -> str:
    if remove is None:
        return "how many to remove is not said"
    counts = [str(remove)] if isinstance(remove, int) else [f"{n} {k}" for k, n in remove.items()]
    return f"{' and '.join(counts)} to remove"


def _weight(at_least: float | str | None) -> str:
    if at_least is None:
        return ""
    amount = at_least if isinstance(at_least, str) else f"{at_least:,}"
    return f" that weigh at least {amount}"


def _constant(offset: float) -> str:
    return f"; energies leave out the constant {offset:.17g}" if offset else ""
