"""`qubo-prune solve`: the lowest states of one problem."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from qubo_prune.cli import options
from qubo_prune.cli.files import Files
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
from qubo_prune.core.text import format_duration

if TYPE_CHECKING:
    from qubo_prune.core.problem.problem import Problem
    from qubo_prune.core.spectrum.spectrum import Spectrum

Out = Annotated[
    Path | None,
    typer.Option(metavar="FILE", help="Write the spectrum to FILE, a .json or .npz."),
]
CertificateFile = Annotated[
    Path | None,
    typer.Option(
        "--certificate",
        metavar="FILE",
        help="Write a proof for `qubo-prune verify` to FILE, a .json.",
    ),
]
CheckpointFile = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE",
        help=(
            "Of branch and bound and enumeration: save the run to FILE every few seconds, and go"
            " on from it."
        ),
    ),
]
Rows = Annotated[int, typer.Option(metavar="COUNT", help="How many states the table shows.", min=0)]

_SPARE = ("above lowest", "parameters", "proven", "weight", "M")
"""Columns that a narrow terminal does without, the first one first."""


@options.spread
def solve(
    *,
    problem: options.ProblemOptions,
    search: options.SearchOptions,
    out: Out = None,
    certificate: CertificateFile = None,
    checkpoint: CheckpointFile = None,
    picture: PlotOptions,
    json: options.Json = False,
    rows: Rows = 10,
    names: options.Names = False,
    verbose: options.Verbose = 0,
    quiet: options.Quiet = False,
) -> int:
    """Find the K lowest removals, with proof.

    Exits with 0 when done, 2 on bad input, 3 when stopped by a limit and 130 by Ctrl-C or
    SIGTERM; in the last two cases what was found is printed and written all the same.
    """
    backend_options = search.of_backend(checkpoint=None if checkpoint is None else str(checkpoint))

    from qubo_prune.solving.solve import solve as run

    files = Files()
    files.reads_hessian(problem.hessian)
    problem.declare(files)
    _declare_outputs(files, out, certificate, backend_options.get("checkpoint"))
    picture.declare(files)
    loaded = problem.load()
    if loaded.remove is None:
        _require_count(certificate, backend_options.get("checkpoint"))
    if not quiet:
        search.warn(loaded)
    with watched(quiet, verbose) as watch:
        stop = search.when_to_stop(watch.progress)
        with stop.interruptible():  # until all is written
            spectrum = run(
                loaded,
                backend=search.backend,
                stop=stop,
                options=backend_options,
                **search.of_solve(),
            )
            watch.hide()
            _write(files, out, certificate, loaded, spectrum, problem.hessian)
            _draw(files, picture, loaded, spectrum)
    if not quiet:
        files.tell_written()
    if json:
        print_json(spectrum.to_dict())
    elif not quiet or files.failed:
        show_spectrum(spectrum, rows, names=names)
    return EXIT_OUTPUT if files.failed else exit_code(spectrum.stop_reason)


def _require_count(certificate: Path | None, checkpoint: object) -> None:
    """Refuse what is of one count where any may go."""
    if certificate is not None:
        raise InputError(
            "--certificate is the proof of one count; say which by --remove M, or certify each by"
            " `sweep --budget B --certificate FOLDER`."
        )
    if checkpoint is not None:
        raise InputError(
            "--checkpoint is of one count, and --budget alone tries many; say which by --remove M."
        )


def _declare_outputs(
    files: Files, out: Path | None, certificate: Path | None, checkpoint: object
) -> None:
    from qubo_prune.core.files.disk import check_suffix
    from qubo_prune.core.files.kinds import Kind, require_no_sidecar
    from qubo_prune.core.spectrum import files as spectrum_files
    from qubo_prune.solving.proof import certificate as certificate_files

    if out is not None:
        check_suffix(out, spectrum_files.SUFFIXES, "a spectrum file")
        files.writes(out, "--out", Kind.SPECTRUM)
    if certificate is not None:
        check_suffix(certificate, certificate_files.SUFFIXES, "a certificate")
        files.writes(certificate, "--certificate", Kind.CERTIFICATE)
    if isinstance(checkpoint, str):
        files.writes(Path(checkpoint), "--checkpoint", require=require_no_sidecar)


def _write(
    files: Files,
    out: Path | None,
    certificate: Path | None,
    problem: Problem,
    spectrum: Spectrum,
    hessian: str,
) -> None:
    if out is not None:
        files.write(out, spectrum.save)
    if certificate is not None:
        from qubo_prune.solving.proof.certificate import Certificate

        files.write(certificate, Certificate.of(problem, spectrum, hessian=hessian).save)


def _draw(files: Files, picture: PlotOptions, problem: Problem, spectrum: Spectrum) -> None:
    if picture.plot is not None:
        from qubo_prune.report.spectrum import plot_spectrum

        picture.write(files, partial(plot_spectrum, spectrum, kinds=problem.kinds))


def show_spectrum(
    spectrum: Spectrum, rows: int, *, names: bool = False, more: str = "--rows, --json, --out"
) -> None:
    """Print what was found, as a table, and a verdict; `more` names options that show the rest."""
    from qubo_prune.core.text import format_facts, plural

    print_text(spectrum.summary())
    if rows and len(spectrum):
        table = spectrum.to_table(rows, names=names)
        table.title = table.caption = None  # said above and below, where the table is no limit
        print_states(table, "removed blocks", spare=_SPARE)
    print_text(spectrum.advice)
    if spectrum.statistics:
        print_text(f"The backend reports: {format_facts(spectrum.statistics)}.")
    excluded = spectrum.proof.get("counts_excluded")
    if excluded is not None:
        print_text(f"No state that removes {excluded} blocks can lie as low: a bound says so.")
    hidden = len(spectrum) - rows
    print_footer(
        f"{spectrum.num_proven:,} of {plural(len(spectrum), 'state')} proven, "
        f"{plural(spectrum.num_evaluated, 'evaluation')} "
        f"in {format_duration(spectrum.timings['total'])}"
        + (f"; {hidden:,} not shown ({more})" if hidden > 0 else "")
    )
