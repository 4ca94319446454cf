"""`qubo-prune sweep`: the lowest states for many numbers of removed blocks."""

from __future__ import annotations

import contextlib
import time
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NamedTuple

import typer

from qubo_prune.cli import options
from qubo_prune.cli.files import Files, require_writable
from qubo_prune.cli.output import (
    CERTIFICATE_SUFFIX,
    EXIT_DONE,
    EXIT_OUTPUT,
    StdoutError,
    exit_code,
    print_hanging,
    print_json,
    tell,
)
from qubo_prune.cli.plotting import PlotOptions
from qubo_prune.cli.progress import watched
from qubo_prune.core.errors import InputError
from qubo_prune.core.text import format_blocks, format_count, format_duration

if TYPE_CHECKING:
    from collections.abc import Sequence

    from qubo_prune.core.problem.problem import Problem
    from qubo_prune.core.spectrum.spectrum import Spectrum

From = Annotated[int | None, typer.Option("--from", metavar="A", help="The first M.")]
To = Annotated[int | None, typer.Option("--to", metavar="B", help="The last M.")]
Remove = Annotated[
    list[str] | None,
    typer.Option(
        metavar="LIST", help="The values of M, as 4,8,12-16 or 10%; instead of --from and --to."
    ),
]
Out = Annotated[
    Path | None,
    typer.Option(metavar="FOLDER", help="Write one spectrum for each M, FOLDER/remove-M.json."),
]

Certificates = Annotated[
    Path | None,
    typer.Option(
        "--certificate",
        metavar="FOLDER",
        help=(
            "Write one proof for each M, FOLDER/remove-M.certificate.json; `qubo-prune verify"
            " FOLDER` checks them."
        ),
    ),
]

_COLUMNS = (
    ("M", 4),
    ("states", 8),
    ("proven", 11),
    ("lowest energy", 14),
    ("above lowest", 12),
    ("time", 9),
)
_SHARES = {"parameters": 10, "weight": 7}
"""Columns that are there where these are known."""


@options.spread
def sweep(
    *,
    first: From = None,
    last: To = None,
    remove: Remove = None,
    problem: options.ProblemOptions,
    search: options.SearchOptions,
    out: Out = None,
    certificate: Certificates = None,
    picture: PlotOptions,
    names: options.Names = False,
    json: options.Json = False,
    verbose: options.Verbose = 0,
    quiet: options.Quiet = False,
) -> int:
    """Solve for many M, one row each.

    All M from 1 to N - 1 by default, as far as they can reach --budget. Limits hold for each M on
    its own. Each spectrum is printed and written as soon as it is there; Ctrl-C or SIGTERM ends the
    sweep. Exits as `solve` does.
    """
    if remove and not (first is None and last is None):
        raise InputError("--remove lists the values of M, so --from and --to go without it.")
    asked = options.parse_counts(remove or ())
    forced = options.parse_blocks(problem.force)
    backend_options = search.of_backend()
    if out is not None:
        _require_folder(out, "--out")
    if certificate is not None:
        _require_folder(certificate, "--certificate")

    from qubo_prune.backends.registry import get_backend
    from qubo_prune.solving.sweep import sweep as run

    solver = get_backend(search.backend, **backend_options)
    loaded = problem.load(None if problem.budget is not None else len(forced))
    if not remove:
        asked = [*_counts_between(loaded, first, last)]
    asked = _reaching(loaded, asked, quiet)
    # Refuses a count before any time is spent on the others.
    counts = [loaded.with_remove(count).num_removed for count in asked]

    files = Files()
    files.reads_hessian(problem.hessian)
    problem.declare(files)
    _declare_outputs(files, counts, out, certificate)
    picture.declare(files)
    shares = shares_of(loaded)
    printer = _Printer(silent=json or quiet, needed=out is None and certificate is None)
    if counts and not quiet:
        hardest = max(map(loaded.with_remove, counts), key=lambda each: each.num_states)
        search.warn(hardest)
    with watched(quiet, verbose) as watch:
        course = _Course(loaded, counts, each_state=solver.name == "enumeration")

        def announce() -> None:
            watch.about, watch.after = course.about(), course.after()

        def report(spectrum: Spectrum) -> None:
            watch.hide()
            if out is not None:
                _make(out)
                files.write(out / f"remove-{spectrum.remove}.json", spectrum.save)
            if certificate is not None:
                _certify(loaded, spectrum, problem.hessian, certificate, files)
            printer.print(row_of(spectrum, shares, names=names))
            course.pass_on()
            announce()

        printer.print(header(shares))
        announce()
        spectra = run(
            loaded,
            counts,
            on_result=report,
            backend=solver,
            stop=search.when_to_stop(watch.progress),
            **search.of_solve(),
        )
    if spectra and picture.plot is not None:
        from qubo_prune.report.sweep import plot_sweep

        picture.write(files, partial(plot_sweep, spectra.values()))
    if not quiet:
        files.tell_written()
    missing = [count for count in counts if count not in spectra]
    if missing and not quiet:
        tell(f"not solved: M = {format_blocks(missing)}.")
    if json:
        print_json({"spectra": [spectrum.to_dict() for spectrum in spectra.values()]})
    printer.finish()
    if files.failed:
        return EXIT_OUTPUT
    return max(
        (exit_code(spectrum.stop_reason) for spectrum in spectra.values()), default=EXIT_DONE
    )


class _Course:
    """Which M of how many a sweep is at, and how long the others may take: as long as those that
    are solved, or in proportion to their states where a backend visits each.
    """

    def __init__(self, problem: Problem, counts: list[int], each_state: bool) -> None:
        self._counts = counts
        self._work = [problem.with_remove(m).num_states if each_state else 1 for m in counts]
        self._done = 0
        self._began = time.monotonic()

    def pass_on(self) -> None:
        """Take note that one more is solved."""
        self._done += 1

    def about(self) -> str:
        """Return what goes before the progress of one M."""
        if self._done >= len(self._counts):
            return ""
        return f"M = {self._counts[self._done]} ({self._done + 1} of {len(self._counts)}): "

    def after(self) -> str:
        """Return what goes behind it; nothing before one is solved."""
        done = sum(self._work[: self._done])
        if not done or self._done >= len(self._counts):
            return ""
        # Integers, of any size, before floats.
        thousandths = min(10**100, 1000 * sum(self._work[self._done :]) // done)
        seconds = max(1, round((time.monotonic() - self._began) * thousandths / 1000))
        left = f"{seconds} s" if seconds < 60 else format_duration(seconds)
        return f"; all M in about {left}"


class _Printer:
    """Prints rows; where stdout fails, a sweep that also writes files goes on."""

    def __init__(self, *, silent: bool, needed: bool) -> None:
        self._silent = silent
        self._needed = needed
        self._failure: StdoutError | None = None

    def print(self, row: Row) -> None:
        if self._silent or self._failure is not None:
            return
        try:
            print_hanging(*row)
        except StdoutError as error:
            self._failure = error
            if self._needed:
                raise

    def finish(self) -> None:
        if self._failure is not None:
            raise self._failure


def _declare_outputs(
    files: Files, counts: list[int], out: Path | None, certificate: Path | None
) -> None:
    """Compare every file of a sweep with what it reads, and with what is there."""
    from qubo_prune.core.files.kinds import Kind

    for folder, option, suffix, kind in (
        (out, "--out", ".json", Kind.SPECTRUM),
        (certificate, "--certificate", CERTIFICATE_SUFFIX, Kind.CERTIFICATE),
    ):
        if folder is not None:
            existing = folder if folder.is_dir() else folder.parent
            for count in dict.fromkeys(counts):
                path = folder / f"remove-{count}{suffix}"
                files.writes(path, option, kind, folder=existing)


def _require_folder(folder: Path, option: str) -> None:
    if folder.exists() and not folder.is_dir():
        raise InputError(
            f"{option} of sweep takes a folder, but {str(folder)!r} is a file; name another."
        )
    require_writable(folder if folder.is_dir() else folder.parent, option)


def _certify(
    problem: Problem, spectrum: Spectrum, hessian: str, folder: Path, files: Files
) -> None:
    """Write the certificate of one M."""
    from qubo_prune.solving.proof.certificate import Certificate

    certificate = Certificate.of(problem.with_remove(spectrum.remove), spectrum, hessian=hessian)
    _make(folder)
    files.write(folder / f"remove-{spectrum.remove}{CERTIFICATE_SUFFIX}", certificate.save)


def _make(folder: Path) -> None:
    """Make a folder; if that is impossible, so is writing into it, which is told then."""
    with contextlib.suppress(OSError):
        folder.mkdir(exist_ok=True)


def _counts_between(problem: Problem, first: int | None, last: int | None) -> list[int]:
    """Return the values of M from `first` to `last`; an end left open is where the problem ends."""
    if first is not None and last is not None and first > last:
        raise InputError(f"--from {first} is more than --to {last}; swap them.")
    for count in (first, last):
        if count is not None and not _misses_budget(problem, count):
            problem.with_remove(count)
    start = 1 if first is None else first
    stop = problem.num_blocks - 1 if last is None else last
    return [
        count
        for count in range(start, stop + 1)
        if _misses_budget(problem, count) or _is_possible(problem, count)
    ]


def _misses_budget(problem: Problem, count: int | str) -> bool:
    """Whether so many blocks cannot reach the budget."""
    if problem.remove is not None:
        return False
    from qubo_prune.core.validation import as_share

    number = as_share(count, problem.num_blocks) if isinstance(count, str) else count
    return 0 <= number < problem.counts.start


def _reaching(problem: Problem, asked: list[int | str], quiet: bool) -> list[int | str]:
    """Return the counts that can reach the budget, and say which cannot."""
    missing = [count for count in asked if _misses_budget(problem, count)]
    if not missing:
        return asked
    least = problem.counts.start
    if len(missing) == len(asked):
        raise InputError(
            f"no M that is asked for reaches --budget {problem.at_least}, which takes {least}"
            " blocks at least; ask for more blocks or for less."
        )
    if not quiet:
        tell(f"--budget {problem.at_least} takes {least} blocks at least: smaller M are left out.")
    return [count for count in asked if count not in missing]


def _is_possible(problem: Problem, count: int) -> bool:
    try:
        problem.with_remove(count)
    except InputError:
        return False
    return True


class Row(NamedTuple):
    """A row of the table of a sweep: its figures, and the list of blocks."""

    head: str
    tail: str


def shares_of(stated: Problem | Spectrum) -> tuple[str, ...]:
    """Return of which shares a sweep has a column: parameters where they are known, and weights
    of a budget that are no parameters.
    """
    parameters = () if stated.parameter_counts is None else ("parameters",)
    has_weights = stated.weights not in (None, stated.parameter_counts)
    return (*parameters, "weight") if has_weights else parameters


def header(shares: Sequence[str]) -> Row:
    """Return the headings of the rows of a sweep."""
    return Row(_joined([*(name for name, _ in _COLUMNS), *shares], shares), "lowest state")


def row_of(spectrum: Spectrum, shares: Sequence[str], *, names: bool = False) -> Row:
    """Return the row of one M, marked where it was not solved to the end."""
    from qubo_prune.core.stopping import StopReason

    energies = spectrum.energies
    lowest = "none found"
    if len(energies):
        lowest = format_blocks(spectrum.removed(0))
        if names:
            lowest = ", ".join(spectrum.removed_names(0))
    stopped = spectrum.stop_reason is not StopReason.COMPLETED
    cells = [
        str(spectrum.remove),
        format_count(spectrum.num_states_total),
        f"{spectrum.num_proven} of {len(spectrum)}",
        f"{energies[0]:.9g}" if len(energies) else "-",
        f"{energies[-1] - energies[0]:.3g}" if len(energies) else "-",
        format_duration(spectrum.timings.get("total", 0.0)),
    ]
    found = {"parameters": spectrum.parameters_removed(), "weight": spectrum.weight_removed()}
    for share in shares:
        removed = found[share]
        cells.append(f"-{removed[1][0]:.1%}" if removed and len(energies) else "-")
    return Row(
        _joined(cells, shares), f"{lowest}  [{spectrum.stop_reason.value}]" if stopped else lowest
    )


def _joined(cells: Sequence[str], shares: Sequence[str]) -> str:
    widths = [*(width for _, width in _COLUMNS), *(_SHARES[share] for share in shares)]
    return " ".join(cell.rjust(width) for cell, width in zip(cells, widths, strict=True))
