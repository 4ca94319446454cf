"""The spectra of a sweep, and a table of them."""

from __future__ import annotations

import html
from typing import TYPE_CHECKING, Any

from qubo_prune.core.csv_text import csv_text
from qubo_prune.core.spectrum.spectrum import Spectrum
from qubo_prune.core.spectrum.tables import data_frame
from qubo_prune.core.text import format_blocks, format_count, plural, printable

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Sweep"]

_COLUMNS = (
    *("remove", "num_states_total", "states", "num_proven", "status", "lowest_energy"),
    *("above_lowest", "removed", "names"),
)
_SHOWN = ("M", "states", "proven", "lowest energy", "above lowest", "lowest state")
_ROW = "{:>5}  {:>9}  {:>12}  {:>15}  {:>13}  {}"


class Sweep(dict[Any, Spectrum]):
    """Spectra by M, or by a tuple of sorted (kind, count) pairs: a dict that knows its table.

    Examples
    --------
    >>> from qubo_prune import Problem, sweep
    >>> print(sweep(Problem.load("bytelm-40-block", remove=1), range(4, 6), num_states=2))
    2 spectra
        M     states        proven    lowest energy   above lowest  lowest state
        4     91,390        2 of 2   0.000348706961       1.74e-05  1, 5, 18, 23
        5    658,008        2 of 2    0.00044865599       1.11e-05  1, 5, 18, 23, 26
    """

    def to_rows(self) -> list[dict[str, Any]]:
        """Return a row for each M, with what `to_csv` has as columns."""
        return [_row(spectrum) for spectrum in self.values()]

    def to_csv(self) -> str:
        """Return a line for each M as comma-separated values, with all digits; lists in a cell are
        separated by spaces.
        """
        return csv_text(
            _COLUMNS,
            (
                [
                    " ".join(map(str, cell)) if isinstance(cell, list) else cell
                    for cell in row.values()
                ]
                for row in self.to_rows()
            ),
        )

    def to_pandas(self) -> pd.DataFrame:
        """Return a DataFrame with a row for each M; needs pandas."""
        return data_frame(self.to_rows(), _COLUMNS)

    def _repr_html_(self) -> str:
        head = "".join(f"<th>{column}</th>" for column in _SHOWN)
        body = "".join(
            "<tr>" + "".join(f"<td>{html.escape(cell)}</td>" for cell in _cells(each)) + "</tr>"
            for each in self.values()
        )
        return (
            f"<table><caption>{_title(self)}</caption>"
            f"<thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"
        )

    def __str__(self) -> str:
        lines = [_SHOWN, *map(_cells, self.values())]
        return "\n".join([_title(self), *(_ROW.format(*line) for line in lines)])

    def __repr__(self) -> str:
        return f"<Sweep: {_title(self)}, M = {', '.join(_removal(each) for each in self.values())}>"


def _title(found: Sweep) -> str:
    return plural(len(found), "spectrum", "spectra")


def _removal(spectrum: Spectrum) -> str:
    if not isinstance(spectrum.remove, dict):
        return "any" if spectrum.remove is None else str(spectrum.remove)
    return printable("+".join(f"{count} {kind}" for kind, count in spectrum.remove.items()))


def _row(spectrum: Spectrum) -> dict[str, Any]:
    energies = spectrum.energies
    found = len(spectrum) > 0
    values = (
        _removal(spectrum) if isinstance(spectrum.remove, dict) else spectrum.remove,
        spectrum.num_states_total,
        len(spectrum),
        spectrum.num_proven,
        spectrum.status.value,
        float(energies[0]) if found else None,
        float(energies[-1] - energies[0]) if found else None,
        spectrum.removed(0) if found else None,
        spectrum.removed_names(0) if found else None,
    )
    return dict(zip(_COLUMNS, values, strict=True))


def _cells(spectrum: Spectrum) -> tuple[str, ...]:
    energies = spectrum.energies
    found = len(spectrum) > 0
    return (
        _removal(spectrum),
        format_count(spectrum.num_states_total),
        f"{spectrum.num_proven} of {len(spectrum)}",
        f"{energies[0]:.9g}" if found else "-",
        f"{energies[-1] - energies[0]:.3g}" if found else "-",
        format_blocks(spectrum.removed(0)) if found else "none found",
    )
