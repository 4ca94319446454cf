"""`qubo-prune show`: any file of this package, whatever it holds."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from qubo_prune.cli import options
from qubo_prune.cli.commands.evaluate import show_evaluation
from qubo_prune.cli.commands.hessians import diagnosis_to_dict, print_diagnosis
from qubo_prune.cli.commands.select import show_selection
from qubo_prune.cli.commands.solve import show_spectrum
from qubo_prune.cli.commands.sweep import format_header, format_row
from qubo_prune.cli.output import (
    CERTIFICATE_SUFFIX,
    EXIT_DONE,
    print_json,
    print_line,
    print_table,
    print_text,
)
from qubo_prune.core.csv_text import csv_text
from qubo_prune.core.errors import InputError
from qubo_prune.core.text import format_blocks, format_count, plural, printable

if TYPE_CHECKING:
    from qubo_prune.core.files.kinds import Kind
    from qubo_prune.core.spectrum.spectrum import Spectrum

File = Annotated[
    str,
    typer.Argument(
        metavar="FILE",
        help=(
            "A spectrum, a selection, a certificate, a checkpoint, an evaluation, a Hessian or its"
            " sidecar; a folder that `sweep` wrote; or the name of a bundled Hessian."
        ),
    ),
]
Csv = Annotated[
    bool, typer.Option("--csv", help="Print comma-separated values, all rows and all digits.")
]
Rows = Annotated[int, typer.Option(metavar="COUNT", help="How many rows a table shows.", min=0)]

_SWEPT = re.compile(r"remove-.*\.json")


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


def show(
    file: File,
    rows: Rows = 10,
    names: options.Names = False,
    csv: Csv = False,
    json: options.Json = False,
) -> int:
    """Show a file that this package wrote; what it is is found out."""
    if csv and json:
        raise InputError("--csv and --json are two ways to print the same; leave one of them out.")
    shown = _find(Path(file), file)
    if json:
        print_json({"file": file, "kind": shown.what, **shown.json()})
    elif csv:
        print(shown.to_csv(), end="")
    else:
        shown.table(rows, names)
    return EXIT_DONE


def _find(path: Path, source: str) -> _Shown:
    from qubo_prune.core.files.formats import has_format
    from qubo_prune.core.files.kinds import Kind, kind_of, matrix_of_sidecar
    from qubo_prune.core.files.torch_file import is_torch_file

    if path.is_dir():
        return _sweep(path)
    kind = kind_of(path)
    if kind is None:
        return _hessian(source)  # a bundled one, or an error that says what there is
    shown_by: dict[Kind, Callable[[Path], _Shown]] = {
        Kind.SPECTRUM: _spectrum,
        Kind.CERTIFICATE: _certificate,
        Kind.CHECKPOINT: _checkpoint,
        Kind.SELECTION: _selection,
        Kind.GRADIENTS: _gradients,
    }
    if kind in shown_by:
        return shown_by[kind](path)
    suffix = path.suffix.lower()
    if kind is Kind.EVALUATION and suffix == ".json":
        return _evaluation(path)
    owner = matrix_of_sidecar(path) if kind is Kind.SIDECAR else None
    if owner is not None:
        return _hessian(str(owner))
    if kind is Kind.SIDECAR:
        raise InputError(
            f"{path} would be the sidecar of a Hessian, and none is beside it; put them together,"
            " or name another file."
        )
    if suffix == ".npy" or has_format(path) or is_torch_file(path):
        return _hessian(source)
    raise _unknown(path, kind)


def _unknown(path: Path, kind: Kind) -> InputError:
    from qubo_prune.core.files.kinds import Kind

    remedies = {
        Kind.EMPTY: "write it again",
        Kind.EVALUATION: "name the .json that `evaluate --out` writes",
        Kind.EXTRACTION: "`qubo-prune extract` goes on with it",
        Kind.OTHER: "name a spectrum, selection, certificate, checkpoint, evaluation or Hessian",
        Kind.PAGE: "open it in a browser",
        Kind.PLOT: "open it in a viewer",
        Kind.TABLE: "open it in a spreadsheet",
    }
    return InputError(f"{path} holds {kind.value}, which cannot be shown; {remedies[kind]}.")


def _spectrum(path: Path) -> _Shown:
    from qubo_prune.core.spectrum.spectrum import Spectrum

    spectrum = Spectrum.load(path)
    return _Shown(
        "spectrum",
        spectrum.to_dict,
        lambda rows, names: show_spectrum(spectrum, rows, names=names),
        csv=spectrum.to_csv,
    )


def _sweep(folder: Path) -> _Shown:
    """Show the spectra of a folder, by the number of removed blocks."""
    from qubo_prune.core.spectrum.spectrum import Spectrum
    from qubo_prune.solving.sweeps import Sweep

    found = [
        each
        for each in folder.iterdir()
        if _SWEPT.fullmatch(each.name) and not each.name.endswith(CERTIFICATE_SUFFIX)
    ]
    if not found:
        raise InputError(
            f"{folder} is a folder without spectra of `sweep`, remove-M.json; name a file in it."
        )
    spectra = sorted((Spectrum.load(each) for each in found), key=_removed)

    def table(rows: int, names: bool) -> None:
        print_line(format_header())
        for spectrum in spectra[:rows]:
            print_line(format_row(spectrum, names=names))
        hidden = len(spectra) - rows
        print_line(
            f"{plural(len(spectra), 'spectrum', 'spectra')}"
            + (f"; {hidden} not shown (--rows, --json, --csv)" if hidden > 0 else "")
        )

    return _Shown(
        "sweep",
        lambda: {"spectra": [spectrum.to_dict() for spectrum in spectra]},
        table,
        csv=Sweep(enumerate(spectra)).to_csv,
    )


def _removed(spectrum: Spectrum) -> int:
    asked = spectrum.remove
    return asked if isinstance(asked, int) else sum(asked.values())


def _selection(path: Path) -> _Shown:
    from qubo_prune.pruning.selection import Selection

    selection = Selection.load(path)
    return _Shown(
        "selection",
        selection.to_dict,
        lambda rows, names: show_selection(selection, rows, names=names),
        csv=selection.to_csv,
    )


def _evaluation(path: Path) -> _Shown:
    from qubo_prune.pruning.evaluation.evaluation import Evaluation

    evaluation = Evaluation.load(path)
    return _Shown(
        "evaluation",
        evaluation.to_dict,
        lambda _rows, _names: show_evaluation(evaluation),
        csv=evaluation.to_csv,
    )


def _certificate(path: Path) -> _Shown:
    from qubo_prune.solving.proof.certificate import Certificate

    certificate = Certificate.load(path)
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
        show_spectrum(spectrum, rows, names=names)
        print_text(f"This is what the certificate claims; `qubo-prune verify {path}` checks it.")

    return _Shown("certificate", certificate.to_dict, table, csv=spectrum.to_csv)


def _checkpoint(path: Path) -> _Shown:
    from qubo_prune.backends.enumeration.run.checkpoint import read_checkpoint

    found = read_checkpoint(path)

    def table(rows: int, _names: bool) -> None:
        share = found.tasks_finished / found.num_tasks if found.num_tasks else 1.0
        print_text(
            f"An enumeration that has finished {format_count(found.tasks_finished)} of"
            f" {plural(found.num_tasks, 'task')} ({share:.1%}), and visited"
            f" {plural(found.states_visited, 'state')}."
        )
        if rows and found.removed:
            print_table(
                ("#", "removed blocks"),
                [(str(k), format_blocks(each)) for k, each in enumerate(found.removed[:rows])],
            )
        hidden = len(found.removed) - rows
        print_line(
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


def _gradients(path: Path) -> _Shown:
    from qubo_prune.core.files.disk import read_header

    with path.open("rb") as stream:
        shape, _, dtype = read_header(stream, str(path))
    facts = {"shape": list(shape), "dtype": str(dtype)}

    def table(_rows: int, _names: bool) -> None:
        size = " x ".join(map(str, shape))
        print_text(
            f"A table of {size} {dtype} numbers, as per-sample gradients are: a row for each"
            " sample, a column for each block. `qubo-prune hessians show` judges a Hessian by them,"
            " and `solve --gradients` makes one of them."
        )

    return _Shown(
        "gradients", lambda: facts, table, tuple(facts), [(" ".join(map(str, shape)), dtype)]
    )


def _hessian(source: str) -> _Shown:
    from qubo_prune.hessians.diagnostics import diagnose

    diagnosis = diagnose(source)
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
