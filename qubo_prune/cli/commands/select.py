"""`qubo-prune select`: from a model, and maybe a Hessian, to a removal that was measured."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from qubo_prune.cli import options
from qubo_prune.cli.budget import ModelBudgetOptions
from qubo_prune.cli.files import Files, declare_hessian
from qubo_prune.cli.models import ModelOptions, SequenceLength
from qubo_prune.cli.output import (
    EXIT_OUTPUT,
    exit_code,
    print_footer,
    print_json,
    print_states,
    print_text,
)
from qubo_prune.cli.plotting import PlotOptions
from qubo_prune.cli.progress import watched
from qubo_prune.core.errors import InputError
from qubo_prune.core.text import format_duration, plural

if TYPE_CHECKING:
    from collections.abc import Sequence

    from qubo_prune.pruning.selection import Selection

Out = Annotated[
    Path,
    typer.Option(
        metavar="FILE",
        help="Write the selection to FILE, a .json; the measurements go beside it as they come.",
    ),
]
Hessian = Annotated[
    str | None,
    typer.Option(metavar="FILE", help="The Hessian of the model, whose energy is one more hint."),
]
SpectrumFile = Annotated[
    Path | None,
    typer.Option("--spectrum", metavar="FILE", help="Its lowest states, as `solve --out` writes."),
]
Criteria = Annotated[
    list[str],
    typer.Option(
        metavar="NAMES",
        help=(
            "Criteria whose removals are measured too, as a,b, or none.  [default: block-influence]"
        ),
    ),
]
Propose = Annotated[
    list[Path],
    typer.Option(
        metavar="FILE",
        help="Removals of others to measure: EvoPress, LLM-Drop, mergekit, lists. Repeatable.",
    ),
]
Objective = Annotated[
    str,
    typer.Option(
        metavar="WHAT",
        help="What is measured: the increase of the loss, or kl, the divergence from the model.",
    ),
]
Evaluations = Annotated[
    int, typer.Option(metavar="COUNT", help="Removals to measure, single blocks included.")
]
Samples = Annotated[
    int, typer.Option(metavar="COUNT", help="How many samples, held-out ones included.")
]
HeldOut = Annotated[
    float,
    typer.Option(
        metavar="SHARE", help="Part of the samples that only the result is reported on; 0 for none."
    ),
]
Batch = Annotated[
    int,
    typer.Option(
        "--proposals",
        metavar="COUNT",
        help="Removals proposed at a time; several share the work of their common first layers.",
    ),
]
HessianOut = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE", help="Write what was learned as a Hessian, a .npy, that `solve` takes."
    ),
]
Rows = Annotated[
    int, typer.Option(metavar="COUNT", help="How many removals the table shows.", min=0)
]


@options.spread
def select(
    *,
    source: ModelOptions,
    out: Out,
    allowed: options.RemovalOptions,
    size: ModelBudgetOptions,
    hessian: Hessian = None,
    spectrum: SpectrumFile = None,
    criteria: Criteria = [],  # noqa: B006
    propose: Propose = [],  # noqa: B006
    objective: Objective = "loss",
    evaluations: Evaluations = 100,
    samples: Samples = 64,
    held_out: HeldOut = 0.5,
    sequence_length: SequenceLength = 512,
    proposals: Batch = 1,
    hessian_out: HessianOut = None,
    picture: PlotOptions,
    time_limit: options.ResumableTimeLimit = None,
    json: options.Json = False,
    verbose: options.Verbose = 0,
    quiet: options.Quiet = False,
    rows: Rows = 10,
    names: options.Names = False,
) -> int:
    """Measure removals of a model, and find the least missed.

    Interrupted or killed, the same command goes on where it was and comes to the same selection.
    Exits with 0 when done, 2 on bad input, 3 when the time limit and 130 when Ctrl-C came first; in
    the last two cases what was found is printed and written all the same.
    """
    counts = options.parse_removal(allowed.remove)
    files = _declare_files(source, hessian, [spectrum, *propose], out, hessian_out, picture)
    size.declare(files)
    of_budget = size.of_problem()
    chosen = _criteria(criteria)
    if objective not in {"loss", "kl"}:
        raise InputError(f"--objective takes loss or kl, not {objective!r}; choose one.")

    from qubo_prune.core.files.hessian import load_hessian
    from qubo_prune.core.spectrum.spectrum import Spectrum
    from qubo_prune.pruning.loop import LoopSettings

    settings = LoopSettings(batch_size=proposals)
    file = None if hessian is None else load_hessian(hessian)
    if counts is None and size.budget is None and (file is None or file.remove is None):
        raise InputError("without --budget, say how many blocks to remove: --remove M.")
    lowest = None if spectrum is None else Spectrum.load(spectrum)
    for each in propose:
        require_readable(each)
    calibration, loaded = source.load(samples=samples, sequence_length=sequence_length, quiet=quiet)

    from qubo_prune.core.stopping import Stop
    from qubo_prune.hessians.gates.gates import find_gates
    from qubo_prune.pruning.problem_of_model import problem_of
    from qubo_prune.pruning.removal_lists import read_removals
    from qubo_prune.pruning.selector import select as run

    gates = find_gates(loaded, source.granularity, layers=source.layers)  # type: ignore[arg-type]
    problem = problem_of(
        gates,
        counts,
        file,
        keep=options.parse_blocks(allowed.keep),
        force=options.parse_blocks(allowed.force),
        only=allowed.only,
        **of_budget,
    )
    block_names = [gate.name for gate in gates.gates]
    with watched(quiet, verbose) as watch:
        selection = run(
            loaded,
            calibration,
            problem,
            objective=objective,  # type: ignore[arg-type]
            evaluations=evaluations,
            held_out=held_out,
            gates=gates,
            criteria=chosen,
            spectrum=lowest,
            proposals={each.name: read_removals(each, block_names) for each in propose},
            seed=source.seed,
            settings=settings,
            batch_size=source.batch_size,
            state=state_path(out),
            hessian_out=hessian_out,
            weights_of=None if size.budget is None else of_budget["weights"],
            stop=Stop(time_limit, progress=watch.progress),
        )
    files.write(out, selection.save)
    if picture.plot is not None:
        from qubo_prune.report.selection import plot_selection

        picture.write(files, partial(plot_selection, selection))
    if not quiet:
        files.tell_written()
    if json:
        print_json(selection.to_dict())
    elif not quiet:
        show_selection(selection, rows, names=names)
    return EXIT_OUTPUT if files.failed else exit_code(selection.stop_reason)


def state_path(out: Path) -> Path:
    """Return where the measurements of a selection are kept, from which it goes on.

    >>> state_path(Path("runs/selection.json")).name
    'selection.measurements.jsonl'
    """
    return out.with_suffix(".measurements.jsonl")


def require_readable(path: Path) -> None:
    """Refuse a file that is not there, before anything is computed."""
    from qubo_prune.core.files.disk import read_file

    read_file(path)


def _declare_files(
    source: ModelOptions,
    hessian: str | None,
    read: Sequence[Path | None],
    out: Path,
    hessian_out: Path | None,
    picture: PlotOptions,
) -> Files:
    """Compare what is written with what is read and what is there, before hours of work."""
    from qubo_prune.core.files.kinds import Kind
    from qubo_prune.pruning.selection_files import check_suffix

    files = Files()
    source.read_by(files)
    files.reads(*(path for path in read if path is not None))
    if hessian is not None:
        files.reads_hessian(hessian)
    check_suffix(out)
    files.writes(out, "--out", Kind.SELECTION)
    files.writes(state_path(out), "--out")
    if hessian_out is not None:
        declare_hessian(files, hessian_out, option="--hessian-out")
    picture.declare(files)
    return files


def _criteria(items: Sequence[str]) -> tuple[str, ...]:
    """Return the names of ``--criteria``; ``none`` for none of them."""
    from qubo_prune.pruning.criteria import get_criterion
    from qubo_prune.pruning.selector import CRITERIA

    names = options.split_commas(items)
    if not names:
        return CRITERIA
    if names == ["none"]:
        return ()
    for name in names:
        get_criterion(name)
    return tuple(dict.fromkeys(names))


def show_selection(selection: Selection, rows: int, *, names: bool = False) -> None:
    """Print the verdict, and a table of the best."""
    print_text(str(selection))
    if rows and len(selection):
        table = selection.to_table(rows, names=names)
        table.title = None  # said above, where the table is no limit
        print_states(
            table,
            "removed blocks",
            spare=("energy", "predicted", "parameters", "above best", "proposed by"),
        )
    hidden = len(selection) - rows
    print_footer(
        f"{plural(selection.num_evaluations, 'measurement')} and {selection.num_held_out}"
        f" on held-out samples in {format_duration(selection.seconds)}"
        + (f"; {hidden} not shown (--rows, --json)" if hidden > 0 else "")
    )
