"""`qubo-prune show`: any file of this package, whatever it holds."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Annotated, Any

import typer

from qubo_prune.cli import options
from qubo_prune.cli.commands.bench_report import board_document, print_board
from qubo_prune.cli.commands.evaluate import show_evaluation
from qubo_prune.cli.commands.hessians import print_diagnosis
from qubo_prune.cli.commands.select import show_selection
from qubo_prune.cli.commands.solve import show_spectrum
from qubo_prune.cli.commands.sweep import header, row_of, shares_of
from qubo_prune.cli.files import Files
from qubo_prune.cli.output import (
    EXIT_DONE,
    EXIT_OUTPUT,
    print_footer,
    print_hanging,
    print_json,
    print_table,
    print_text,
)
from qubo_prune.cli.plotting import PlotOptions
from qubo_prune.core.csv_text import csv_text
from qubo_prune.core.errors import InputError
from qubo_prune.core.text import format_blocks, format_duration, plural, printable
from qubo_prune.hessians.findings import diagnosis_to_dict

if TYPE_CHECKING:
    from qubo_prune.backends.branch_and_bound.checkpoint import ProofCheckpointFacts
    from qubo_prune.backends.enumeration.run.checkpoint import CheckpointFacts
    from qubo_prune.bench.results import Results
    from qubo_prune.core.spectrum.spectrum import Spectrum
    from qubo_prune.hessians.diagnostics import Diagnosis
    from qubo_prune.pruning.evaluation.evaluation import Evaluation
    from qubo_prune.pruning.pipeline.folder import CompressedFolder
    from qubo_prune.pruning.selection import Selection
    from qubo_prune.report.saved import GradientTable, Saved
    from qubo_prune.solving.proof.certificate import Certificate
    from qubo_prune.solving.sweeps import Sweep

File = Annotated[
    str,
    typer.Argument(
        metavar="FILE",
        help=(
            "A spectrum, a selection, a certificate, a checkpoint, an evaluation, results of a"
            " benchmark, a Hessian or its sidecar; a folder that `sweep` or `compress` wrote; or"
            " the name of a bundled Hessian."
        ),
    ),
]
Csv = Annotated[
    bool, typer.Option("--csv", help="Print comma-separated values, all rows and all digits.")
]
_MORE = "--rows, --csv, --json"
Rows = Annotated[int, typer.Option(metavar="COUNT", help="How many rows a table shows.", min=0)]


@dataclass(frozen=True)
class _Shown:
    """What a file holds, in three ways.

    Attributes
    ----------
    what : str
        Its kind, in one word.
    json, csv : callable
        Return the object and the text.
    table : callable
        Prints it for people: takes the number of rows, and whether blocks are shown by name.
    """

    what: str
    json: Callable[[], dict[str, Any]]
    table: Callable[[int, bool], None]
    columns: tuple[str, ...] = ()
    rows: list[tuple[object, ...]] = field(default_factory=list)
    csv: Callable[[], str] | None = None

    def to_csv(self) -> str:
        return csv_text(self.columns, self.rows) if self.csv is None else self.csv()


@options.spread
def show(
    *,
    file: File,
    rows: Rows = 10,
    names: options.Names = False,
    csv: Csv = False,
    picture: PlotOptions,
    json: options.Json = False,
) -> int:
    """Show a file that this package wrote; what it is is found out."""
    if csv and json:
        raise InputError("--csv and --json are two ways to print the same; leave one of them out.")

    from qubo_prune.report.saved import read_saved

    files = Files()
    picture.declare(files)
    saved = read_saved(file)
    if picture.plot is not None:
        from qubo_prune.report.figures import save_figure
        from qubo_prune.report.pictures import saved_figure

        figure = saved_figure(saved, dark=picture.dark)
        files.write(picture.plot, partial(save_figure, figure))
        files.tell_written()
    shown = _shown(saved)
    if json:
        print_json({"file": file, "kind": shown.what, **shown.json()})
    elif csv:
        print(shown.to_csv(), end="")
    else:
        shown.table(rows, names)
    return EXIT_OUTPUT if files.failed else EXIT_DONE


def _shown(saved: Saved) -> _Shown:
    shown_by: dict[str, Callable[[Any], _Shown]] = {
        "spectrum": _spectrum,
        "sweep": _sweep,
        "selection": _selection,
        "evaluation": _evaluation,
        "certificate": lambda content: _certificate(content, saved.source),
        "checkpoint": _checkpoint,
        "compression": _compression,
        "benchmark": _benchmark,
        "Hessian": _hessian,
        "gradients": _gradients,
    }
    return shown_by[saved.what](saved.content)


def _spectrum(spectrum: Spectrum) -> _Shown:
    return _Shown(
        "spectrum",
        spectrum.to_dict,
        lambda rows, names: show_spectrum(spectrum, rows, names=names, more=_MORE),
        csv=spectrum.to_csv,
    )


def _sweep(sweep: Sweep) -> _Shown:
    """Show the spectra of a folder, by the number of removed blocks."""
    spectra = list(sweep.values())

    def table(rows: int, names: bool) -> None:
        shares = max(map(shares_of, spectra), key=len, default=())
        print_hanging(*header(shares))
        for spectrum in spectra[:rows]:
            print_hanging(*row_of(spectrum, shares, names=names))
        hidden = len(spectra) - rows
        print_footer(
            f"{plural(len(spectra), 'spectrum', 'spectra')}"
            + (f"; {hidden} not shown (--rows, --json, --csv)" if hidden > 0 else "")
        )

    return _Shown(
        "sweep",
        lambda: {"spectra": [spectrum.to_dict() for spectrum in spectra]},
        table,
        csv=sweep.to_csv,
    )


def _selection(selection: Selection) -> _Shown:
    return _Shown(
        "selection",
        selection.to_dict,
        lambda rows, names: show_selection(selection, rows, names=names),
        csv=selection.to_csv,
    )


def _evaluation(evaluation: Evaluation) -> _Shown:
    return _Shown(
        "evaluation",
        evaluation.to_dict,
        lambda _rows, _names: show_evaluation(evaluation),
        csv=evaluation.to_csv,
    )


def _certificate(certificate: Certificate, source: str) -> _Shown:
    spectrum = certificate.spectrum
    facts: dict[str, object] = {
        "Hessian": certificate.hessian or "not named",
        "made": certificate.created,
        "keep": format_blocks(certificate.statement.keep) or "none",
        "force": format_blocks(certificate.statement.force) or "none",
        "versions": ", ".join(f"{key} {value}" for key, value in certificate.versions.items()),
    }

    def table(rows: int, names: bool) -> None:
        print_table(("fact", "value"), [(key, str(value)) for key, value in facts.items()])
        show_spectrum(spectrum, rows, names=names, more=_MORE)
        print_text(f"This is what the certificate claims; `qubo-prune verify {source}` checks it.")

    return _Shown("certificate", certificate.to_dict, table, csv=spectrum.to_csv)


def _checkpoint(found: CheckpointFacts | ProofCheckpointFacts) -> _Shown:
    from qubo_prune.report.results.answers import checkpoint_standing

    def table(rows: int, _names: bool) -> None:
        print_text(checkpoint_standing(found))
        if rows and found.removed:
            print_table(
                ("#", "removed blocks"),
                [(str(k), format_blocks(each)) for k, each in enumerate(found.removed[:rows])],
            )
        hidden = len(found.removed) - rows
        print_footer(
            f"the best {plural(len(found.removed), 'state')} so far, of which nothing is proven"
            + (f"; {hidden} not shown (--rows, --json, --csv)" if hidden > 0 else "")
        )
        print_text("The same `solve` with --checkpoint goes on with it.")

    return _Shown(
        "checkpoint",
        lambda: asdict(found),
        table,
        ("state", "removed"),
        [(k, " ".join(map(str, each))) for k, each in enumerate(found.removed)],
    )


def _compression(folder: CompressedFolder) -> _Shown:
    """Show the steps of a folder of `compress`, and what came of them."""
    steps = [(name, each.status, each.seconds) for name, each in folder.steps.items()]

    def table(_rows: int, names: bool) -> None:
        print_table(
            ("step", "status", "time"),
            [
                (name, status, format_duration(seconds) if status == "finished" else "")
                for name, status, seconds in steps
            ],
        )
        for model in folder.models:
            print_text(f"{model.name}: {model.summary}.", indent="  ")
            if names and model.removed_names:
                print_text(f"They are {', '.join(model.removed_names)}.", indent="  ")
        if folder.evaluation is not None:
            print_text(f"{folder.evaluation}.")
        print_text("`qubo-prune show` takes each file in it too.")

    return _Shown("compression", folder.to_dict, table, ("step", "status", "seconds"), [*steps])


def _benchmark(results: Results) -> _Shown:
    from qubo_prune.report.benchmark.comparison import Study
    from qubo_prune.report.benchmark.runs_table import runs_table

    study = Study(results)
    figure = runs_table(study, len(study.runs))

    def table(_rows: int, _names: bool) -> None:
        for comparison in study.comparisons:
            print_board(comparison)

    return _Shown(
        "benchmark",
        lambda: board_document(study),
        table,
        csv=None if figure is None else figure.data.to_csv,
    )


def _gradients(found: GradientTable) -> _Shown:
    facts = {"shape": list(found.shape), "dtype": found.dtype}

    def table(_rows: int, _names: bool) -> None:
        size = " x ".join(map(str, found.shape))
        print_text(
            f"A table of {size} {found.dtype} numbers, as per-sample gradients are: a row for each"
            " sample, a column for each block. `qubo-prune hessians show` judges a Hessian by them,"
            " and `solve --gradients` makes one of them."
        )

    return _Shown(
        "gradients",
        lambda: facts,
        table,
        tuple(facts),
        [(" ".join(map(str, found.shape)), found.dtype)],
    )


def _hessian(diagnosis: Diagnosis) -> _Shown:
    file = diagnosis.file
    counts = file.metadata.get("parameter_counts") or [None] * file.num_blocks
    kinds = file.kinds or (None,) * file.num_blocks
    blocks = [
        (block, diagnosis.names[block], kinds[block], counts[block], float(energy))
        for block, energy in enumerate(file.hessian.diagonal())
    ]

    def table(rows: int, names: bool) -> None:
        print_diagnosis(diagnosis)
        if names:
            print_table(
                ("block", "name", "kind", "parameters", "energy alone"),
                [
                    (
                        *(str(block), printable(name), kind or ""),
                        *("" if count is None else f"{count:,}", f"{energy:.4g}"),
                    )
                    for block, name, kind, count, energy in blocks[:rows]
                ],
            )

    return _Shown(
        "Hessian",
        lambda: diagnosis_to_dict(diagnosis),
        table,
        ("block", "name", "kind", "parameters", "energy_alone"),
        [*blocks],
    )
