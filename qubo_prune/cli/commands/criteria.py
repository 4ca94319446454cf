"""`qubo-prune criteria`: what others would remove, score by score."""

from __future__ import annotations

import math
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from qubo_prune.cli import options
from qubo_prune.cli.budget import ModelBudgetOptions
from qubo_prune.cli.files import Files
from qubo_prune.cli.models import ModelOptions, Samples, SequenceLength
from qubo_prune.cli.output import (
    EXIT_DONE,
    EXIT_OUTPUT,
    exit_code,
    print_json,
    print_table,
    print_text,
)
from qubo_prune.cli.plotting import PlotOptions
from qubo_prune.cli.progress import watched
from qubo_prune.core.errors import InputError
from qubo_prune.core.text import format_blocks, plural

if TYPE_CHECKING:
    from collections.abc import Sequence

    from qubo_prune.pruning.criteria import Criterion, ScoreTable

Names = Annotated[
    list[str],
    typer.Option(
        "--criteria", metavar="NAMES", help="Which criteria, as a,b. Repeatable.  [default: all]"
    ),
]
Switches = Annotated[
    list[str],
    typer.Option(
        "--option",
        metavar="NAME.KEY=VALUE",
        help="A switch of a criterion, as block-influence.recomputed=true. Repeatable.",
    ),
]
Removal = Annotated[
    list[str],
    typer.Option(
        "--remove",
        metavar="M",
        help="Also show what each would remove: how many blocks; or KIND=COUNT for each kind, "
        "repeatable.",
    ),
]
Csv = Annotated[
    Path | None,
    typer.Option("--csv", metavar="FILE", help="Write the scores to FILE, a line a block."),
]
TimeLimit = Annotated[
    float | None,
    typer.Option(metavar="S", help="Stop after S seconds and show the criteria finished by then."),
]


@options.spread
def criteria(
    *,
    source: ModelOptions,
    allowed: options.RemovalOptions,
    names: Names = [],  # noqa: B006
    option: Switches = [],  # noqa: B006
    remove: Removal = [],  # noqa: B006
    size: ModelBudgetOptions,
    csv: Csv = None,
    picture: PlotOptions,
    samples: Samples = 64,
    sequence_length: SequenceLength = 512,
    time_limit: TimeLimit = None,
    json: options.Json = False,
    verbose: options.Verbose = 0,
    quiet: options.Quiet = False,
) -> int:
    """Score every block of a model by the criteria of others.

    The blocks with the lowest scores go first. With --remove M, also what each criterion would
    remove. Exits with 0 when all is computed, 2 on bad input, 3 when the time limit and 130 when
    Ctrl-C came first.
    """
    chosen = _criteria(names, option)
    wanted = options.parse_removal(remove)
    of_budget = size.of_problem()
    if wanted is None and size.budget is None and (allowed.keep or allowed.force or allowed.only):
        raise InputError(
            "--keep, --force and --only say what may be removed, but nothing is to be; "
            "add --remove M or --budget 20%."
        )
    files = _declare_files(source, csv, picture)
    size.declare(files)

    from qubo_prune.core.stopping import Stop, StopReason
    from qubo_prune.pruning.criteria import score_table

    calibration, loaded = source.load(samples=samples, sequence_length=sequence_length, quiet=quiet)
    from qubo_prune.hessians.gates.gates import find_gates
    from qubo_prune.pruning.criteria.model_evidence import model_evidence
    from qubo_prune.pruning.problem_of_model import problem_of

    gates = find_gates(loaded, source.granularity, layers=source.layers)  # type: ignore[arg-type]
    block_names = [gate.name for gate in gates.gates]
    kinds = [gate.kind for gate in gates.gates]
    problem = None
    if wanted is not None or size.budget is not None:
        problem = problem_of(
            gates,
            wanted,
            keep=options.parse_blocks(allowed.keep),
            force=options.parse_blocks(allowed.force),
            only=allowed.only,
            **of_budget,
        )
    with watched(quiet, verbose) as watch:
        stop = Stop(time_limit, progress=watch.progress)
        evidence = model_evidence(
            loaded, gates, calibration, batch_size=source.batch_size, stop=stop
        )
        with stop.interruptible():
            table = score_table(
                chosen,
                evidence,
                names=block_names,
                kinds=kinds,
                problem=problem,
                on_criterion=lambda each: stop.report(0, None, f"computing {each.name}"),
            )
        stop.raise_failure()
    if csv is not None:
        files.write(csv, table.save_csv)
    if picture.plot is not None and table.criteria:
        from qubo_prune.report.criteria import plot_criteria

        picture.write(files, partial(plot_criteria, table))
    if not quiet:
        files.tell_written()
    if json:
        facts = {
            "samples": len(calibration),
            "granularity": source.granularity,
            "model": source.model,
        }
        print_json({**table.to_dict(), **facts})
    elif not quiet:
        _show(table, len(calibration))
    if files.failed:
        return EXIT_OUTPUT
    return EXIT_DONE if table.complete else exit_code(stop.reason or StopReason.INTERRUPTED)


def _criteria(names: Sequence[str], switches: Sequence[str]) -> list[Criterion]:
    """Return the criteria of ``--criteria`` with the switches of ``--option``."""
    from qubo_prune.pruning.criteria import criterion_names, get_criterion

    listed = options.split_commas(names)
    chosen = list(dict.fromkeys(listed or criterion_names()))
    arguments: dict[str, dict[str, Any]] = {name: {} for name in chosen}
    for switch in switches:
        name, dot, assignment = switch.partition(".")
        if not dot or name not in arguments:
            raise InputError(
                f"--option takes NAME.KEY=VALUE of a criterion that is asked for, got {switch!r}; "
                "write e.g. block-influence.tokens=last."
            )
        arguments[name] |= options.parse_backend_options([assignment])
    return [get_criterion(name, **arguments[name]) for name in chosen]


def _declare_files(source: ModelOptions, csv: Path | None, picture: PlotOptions) -> Files:
    """Compare what is written with the data that are read, and with what is there."""
    from qubo_prune.core.files.kinds import Kind

    files = Files()
    source.read_by(files)
    if csv is not None:
        files.writes(csv, "--csv", Kind.TABLE)
    picture.declare(files)
    return files


def _show(table: ScoreTable, num_samples: int) -> None:
    headings = [each.name for each in table.criteria]
    rows = []
    for block, name in enumerate(table.names):
        cells = [
            _format_score(score) + ("*" if removed is not None and block in removed else " ")
            for score, removed in zip(table.scores[:, block], table.removals, strict=True)
        ]
        rows.append([str(block), name, table.kinds[block], *cells])
    print_table(["#", "block", "kind", *headings], rows, keys=3)
    chosen = table.remove is not None or table.at_least is not None
    marks = " A star marks what goes." if chosen else ""
    print_text(f"Lowest scores go first; of {plural(num_samples, 'sample')}.{marks}")
    if chosen:
        told = [
            format_blocks(removed) if removed is not None else f"({refusal})"
            for removed, refusal in zip(table.removals, table.refusals, strict=True)
        ]
        print_table(["criterion", "removed"], list(zip(headings, told, strict=True)))
    if not table.complete:
        print_text("Stopped: the other criteria are not computed.")


def _format_score(score: float) -> str:
    return f"{score:.4g}" if math.isfinite(score) else "diverged"
