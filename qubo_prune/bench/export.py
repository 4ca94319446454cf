"""Results as tables for others: a row a run, or a row a task and solver as QOBLIB has them."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from statistics import fmean
from typing import Any

from qubo_prune.bench.results import MEASURES, Outcome, ReferenceKind, Run, Violation
from qubo_prune.core.errors import BackendUnavailableError, InputError
from qubo_prune.core.files.disk import read_file, write_atomically

_ASKED = (
    *("key", "instance", "family", "problem", "num_blocks", "remove", "num_states"),
    *("backend", "options", "seed", "time_limit", "threads"),
)
_KNOWN = (
    *("outcome", "message", "violations", "reference_kind", "reference_energy", "energy"),
    *("processor", "date", "version"),
)
COLUMNS = (*_ASKED, *_KNOWN, *MEASURES)
"""Of a row of a run."""

QOBLIB = (
    *("Problem", "Submitter", "Date", "Reference", "Best Objective Value", "Optimality Bound"),
    *("Modeling Approach", "# Decision Variables", "# Binary Variables", "# Integer Variables"),
    *("# Continuous Variables", "# Non-Zero Coefficients", "Coefficients Type"),
    *("Coefficients Range", "Workflow", "Algorithm Type", "# Runs", "# Feasible Runs"),
    *("# Successful Runs", "Success Threshold", "Hardware Specifications", "Total Runtime"),
    *("CPU Runtime", "GPU Runtime", "QPU Runtime", "Other HW Runtime", "Remarks"),
)
"""The columns of QOBLIB's template of a submission."""

NOT_KNOWN = "N/A"


def row_of(run: Run) -> dict[str, Any]:
    """Return a run as a row, None for what is not known.

    Examples
    --------
    >>> row = row_of(Run("a", "a", "0", 40, 8, 100, "tabu", measures={"recall_100": 0.5}))
    >>> row["backend"], row["recall_100"], row["gap"]
    ('tabu', 0.5, None)
    """
    known: dict[str, Any] = {
        "options": json.dumps(run.options, sort_keys=True),
        "outcome": run.outcome.value,
        "violations": " ".join(each.kind for each in run.violations),
        "reference_kind": run.reference_kind.value,
        "reference_energy": run.reference_energies[0] if run.reference_energies else None,
        "energy": run.energies[0] if run.energies else None,
        "processor": run.machine.get("processor"),
        "date": run.machine.get("date"),
        "version": run.version or run.machine.get("versions", {}).get("qubo-prune"),
    }
    rest = {
        name: getattr(run, name) for name in COLUMNS if name not in known and hasattr(run, name)
    }
    measures = {name: run.measure(name) for name in MEASURES}
    return {name: (known | rest | measures)[name] for name in COLUMNS}


def run_of(row: Mapping[str, str]) -> Run:
    """Return what `row_of` makes of a run, read from a CSV file, as a run; it lacks what a row has
    no room for: energies, states, what was known when, and what was true where it lied.

    Raises
    ------
    ValueError
        If it is no such row.
    """
    if set(row) != set(COLUMNS) or None in row.values():
        raise ValueError("its columns are others")
    known = {name: text or None for name, text in row.items()}
    values: dict[str, Any] = {
        name: row[name] for name in ("instance", "family", "problem", "backend", "message")
    }
    for name in ("num_blocks", "remove", "num_states", "seed", "threads"):
        values[name] = None if known[name] is None else int(row[name])
    for name in ("time_limit", *MEASURES):
        values[name] = None if known[name] is None else float(row[name])
    measures = {name: values.pop(name) for name in MEASURES}
    return Run(
        **values,
        options=json.loads(row["options"]),
        outcome=Outcome(row["outcome"]),
        violations=tuple(Violation(kind, "") for kind in row["violations"].split()),
        reference_kind=ReferenceKind(row["reference_kind"]),
        measures=measures,
        machine={
            "processor": row["processor"],
            "date": row["date"],
            "versions": {"qubo-prune": row["version"]},
        },
    )


def read_csv(path: Path) -> tuple[Run, ...]:
    """Return the runs of a file that `write_csv` wrote; see `run_of` for what they lack.

    Raises
    ------
    InputError
        If it is no such file.
    """
    reader = csv.DictReader(io.StringIO(read_file(path).decode("utf-8", "replace")))
    try:
        return tuple(map(run_of, reader))
    except (ValueError, csv.Error) as error:
        raise InputError(
            f"line {reader.line_num} of {path} is no run of a benchmark ({error}); let bench"
            " export --csv write it again."
        ) from None


def write_csv(runs: Sequence[Run], path: Path) -> None:
    """Write a row for each run, completely or not at all."""
    _write_csv(path, COLUMNS, [row_of(run) for run in runs])


def write_qoblib(runs: Sequence[Run], path: Path) -> None:
    """Write a row for each task, solver and limit, in the columns of QOBLIB's template."""
    cells: dict[object, list[Run]] = {}
    for run in runs:
        options = json.dumps(run.options, sort_keys=True)
        solver = run.backend, options, run.threads, run.time_limit
        cells.setdefault((run.problem, run.num_states, solver), []).append(run)
    _write_csv(path, QOBLIB, [_qoblib_row(each) for each in cells.values()])


def write_parquet(runs: Sequence[Run], path: Path) -> None:
    """Write a row for each run in Parquet, completely or not at all.

    Raises
    ------
    BackendUnavailableError
        If pyarrow is not installed.
    """
    try:
        import pyarrow as pa
        import pyarrow.parquet as pq
    except ImportError:
        raise BackendUnavailableError(
            "--parquet needs pyarrow, which is not installed; install it with: pip install pyarrow,"
            " or write --csv."
        ) from None
    numbers = {*MEASURES, "time_limit", "reference_energy", "energy"}
    counts = {"num_blocks", "remove", "num_states", "seed", "threads"}
    types = {name: pa.float64() for name in numbers} | {name: pa.int64() for name in counts}
    schema = pa.schema([(name, types.get(name, pa.string())) for name in COLUMNS])
    table = pa.Table.from_pylist([row_of(run) for run in runs], schema=schema)
    write_atomically({path: lambda stream: pq.write_table(table, stream)})


def require_own(path: Path, writer: Callable[[Sequence[Run], Path], None]) -> None:
    """Refuse to replace a file that a writer of this module did not write."""
    starts: dict[object, bytes] = {
        write_csv: ",".join(COLUMNS[:3]).encode(),
        write_qoblib: ",".join(QOBLIB[:3]).encode(),
        write_parquet: b"PAR1",
    }
    if not path.is_file() or not path.stat().st_size:
        return
    with path.open("rb") as stream:
        start = starts[writer]
        if stream.read(len(start)) != start:
            raise InputError(f"{path} is another kind of file; name a new one, or delete it.")


def _write_csv(path: Path, columns: Sequence[str], rows: Sequence[dict[str, Any]]) -> None:
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, columns, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    data = text.getvalue().encode()
    write_atomically({path: lambda stream: stream.write(data)})


def _qoblib_row(runs: Sequence[Run]) -> dict[str, Any]:
    first = runs[0]
    found = [run.energies[0] for run in runs if run.energies and not run.violations]
    bounds = [run.measure("lower_bound") for run in runs if not run.violations]
    good = [run for run in runs if not run.violations]
    row: dict[str, Any] = dict.fromkeys(QOBLIB, NOT_KNOWN)
    lies = sorted({lie.kind for run in runs for lie in run.violations})
    row |= {
        "Problem": f"{first.instance}_remove{first.remove}",
        "Submitter": "",
        "Date": first.machine.get("date", NOT_KNOWN),
        "Reference": f"qubo-prune bench, {first.backend}",
        "Best Objective Value": min(found, default=NOT_KNOWN),
        "Optimality Bound": max(
            (bound for bound in bounds if bound is not None), default=NOT_KNOWN
        ),
        "Modeling Approach": "QUBO with exact counts",
        "# Decision Variables": first.num_blocks,
        "# Binary Variables": first.num_blocks,
        "# Integer Variables": 0,
        "# Continuous Variables": 0,
        "Workflow": f"{first.backend} {json.dumps(first.options, sort_keys=True)}",
        "Algorithm Type": "Deterministic" if first.seed is None else "Stochastic",
        "# Runs": len(runs),
        "# Feasible Runs": sum(1 for run in good if run.energies),
        "# Successful Runs": sum(1 for run in good if run.measure("ground_state") == 1.0),
        "Success Threshold": 0.0,
        "Hardware Specifications": first.machine.get("processor", NOT_KNOWN),
        "Total Runtime": _mean(runs, "wall_seconds"),
        "CPU Runtime": _mean(runs, "cpu_seconds"),
        "GPU Runtime": NOT_KNOWN,
        "Remarks": f"runtimes are means over {len(runs)} runs, states asked for: {first.num_states}"
        + (f"; not to be believed: {', '.join(lies)}" if lies else ""),
    }
    return row


def _mean(runs: Sequence[Run], name: str) -> float | str:
    values = [value for value in (run.measure(name) for run in runs) if value is not None]
    return fmean(values) if values else NOT_KNOWN
