"""What a file says it is, so that none is taken for another or replaced by one.

Spectra, certificates and sidecars all end in ``.json``, and matrices, samples and calibration data
in ``.npy``: the name of a file tells nothing.
"""

from __future__ import annotations

import enum
import json
import stat
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np

from qubo_prune.core.errors import InputError
from qubo_prune.core.files.disk import read_header
from qubo_prune.core.files.formats import has_format
from qubo_prune.core.files.torch_file import is_torch_file

CERTIFICATE_FORMAT = "qubo-prune certificate"

EVALUATION_MARK = "<!-- qubo-prune evaluation -->"
"""The first line of a Markdown file with an evaluation."""

SIDECAR_KEYS = frozenset(
    {
        *("description", "model", "names", "kinds", "parameter_counts", "granularity"),
        *("calibration", "samples", "sample_indices", "sequence_length", "loss", "gates", "dtype"),
        *("mean_gradient", "remove", "offset", "versions", "sha256", "format_version"),
        *("shard", "merged_from", "variables", "reference_node"),
    }
)
"""Every sidecar has one of these."""


_START = 4096


class Kind(enum.Enum):
    """What a file holds, in words."""

    SPECTRUM = "a spectrum"
    CERTIFICATE = "a certificate"
    CHECKPOINT = "a checkpoint"
    SELECTION = "a selection"
    EVALUATION = "an evaluation"
    SIDECAR = "a sidecar"
    MATRIX = "a square matrix"
    GRADIENTS = "a table of float32 numbers"
    PLOT = "a plot"
    PAGE = "a page of this package"
    TABLE = "a table of scores"
    EXTRACTION = "an unfinished extraction"
    BENCHMARK = "results of a benchmark"
    OTHER = "something else"
    EMPTY = "nothing"


_KEYS = {
    Kind.SPECTRUM: {"energies", "removed", "num_states_total"},
    Kind.CERTIFICATE: {"problem", "spectrum"},
    Kind.CHECKPOINT: {"run", "sha256"},
    Kind.SELECTION: {"removals"},
    Kind.EVALUATION: {"models", "metrics"},
}
"""What objects of each kind have and no sidecar has."""


_RUN_KEYS = frozenset({"schema", "instance", "backend", "outcome"})
"""What each line of a benchmark's results has."""

_LONGEST_LINE = 1 << 26


def kind_of_object(fields: object) -> Kind:
    """Return what a JSON value is.

    Examples
    --------
    >>> kind_of_object({"names": ["a", "b"]}), kind_of_object({"version": "1.0.0"})
    (<Kind.SIDECAR: 'a sidecar'>, <Kind.OTHER: 'something else'>)
    """
    if not isinstance(fields, dict):
        return Kind.OTHER
    for kind, keys in _KEYS.items():
        if keys <= fields.keys():
            return kind
    if str(fields.get("format")).startswith("qubo-prune"):
        return Kind.OTHER
    return Kind.OTHER if fields and SIDECAR_KEYS.isdisjoint(fields) else Kind.SIDECAR


def require_kind(path: Path, fields: object, kind: Kind) -> None:
    """Raise InputError where a JSON value is known to be of another kind than a reader wants.

    Examples
    --------
    >>> require_kind(Path("s.json"), {"removals": []}, Kind.CERTIFICATE)
    Traceback (most recent call last):
    ...
    qubo_prune.core.errors.InputError: s.json is a selection, not a certificate; name another file.
    """
    found = kind_of_object(fields)
    if found not in (kind, Kind.OTHER, Kind.SIDECAR):
        raise InputError(f"{path} is {found.value}, not {kind.value}; name another file.")


def kind_of(path: Path) -> Kind | None:
    """Return what a file holds; None if there is no such regular file."""
    try:
        status = path.stat()
        if not stat.S_ISREG(status.st_mode):
            return None
        if not status.st_size:
            return Kind.EMPTY
        read = _READERS.get(path.suffix.lower())
        return Kind.OTHER if read is None else read(path)
    except FileNotFoundError:
        return None
    except (OSError, ValueError, RecursionError, zipfile.BadZipFile):
        return Kind.OTHER


def require_replaceable(path: Path, kind: Kind) -> None:
    """Raise InputError where writing a file of that kind would lose another, or where it would be
    taken for the sidecar of a matrix.
    """
    found = kind_of(path)
    if found is not None and found not in (kind, Kind.EMPTY):
        raise InputError(
            f"{path} is {found.value}, and {kind.value} does not replace it; name another file, or"
            " delete it."
        )
    if kind is not Kind.SIDECAR:
        require_no_sidecar(path)


def require_no_sidecar(path: Path) -> None:
    """Raise InputError where a file would be taken for the sidecar of a matrix."""
    owner = matrix_of_sidecar(path)
    if owner is not None:
        raise InputError(
            f"{path} would be taken for the sidecar of {owner.name} beside it; name another file."
        )


def matrix_of_sidecar(path: Path) -> Path | None:
    """Return the matrix, if there is one, of which `path` is where the sidecar would be."""
    if path.suffix != ".json":
        return None
    other = path.with_suffix("")
    for each in (path.with_suffix(".npy"), other):
        is_matrix = each is not other or has_format(other) or is_torch_file(other)
        if is_matrix and each.is_file():
            return each
    return None


def _kind_of_json(path: Path) -> Kind:
    return kind_of_object(json.loads(path.read_bytes()))


def _kind_of_npz(path: Path) -> Kind:
    with zipfile.ZipFile(path) as archive:
        names = set(archive.namelist())
    if names == {"header.npy", "states.npy", "energies.npy"}:
        return Kind.SPECTRUM
    if names == {"header.npy", "gradients.npy", "losses.npy"}:
        return Kind.EXTRACTION
    return Kind.OTHER


def _kind_of_npy(path: Path) -> Kind:
    with path.open("rb") as stream:
        shape, _, dtype = read_header(stream, str(path))
    is_square = len(shape) == 2 and shape[0] == shape[1] and dtype.kind in "biuf"
    if dtype == np.float32 and (not is_square or path.stem.endswith(".grads")):
        return Kind.GRADIENTS
    return Kind.MATRIX if is_square else Kind.OTHER


def _kind_of_plot(path: Path) -> Kind:
    with path.open("rb") as stream:
        start = stream.read(_START)
    is_plot = start.startswith((b"\x89PNG", b"%PDF")) or b"<svg" in start
    return Kind.PLOT if is_plot else Kind.OTHER


def _kind_of_page(path: Path) -> Kind:
    with path.open("rb") as stream:
        is_page = b'<meta name="generator" content="qubo-prune' in stream.read(_START)
    return Kind.PAGE if is_page else Kind.OTHER


def _kind_of_csv(path: Path) -> Kind:
    with path.open(encoding="utf-8") as stream:
        first = stream.readline()
    if first.startswith("model,measure,"):
        return Kind.EVALUATION
    return Kind.TABLE if first.startswith("block,name,") else Kind.OTHER


def _kind_of_lines(path: Path) -> Kind:
    with path.open("rb") as stream:
        first = json.loads(stream.readline(_LONGEST_LINE))
    is_run = isinstance(first, dict) and first.keys() >= _RUN_KEYS
    return Kind.BENCHMARK if is_run else Kind.OTHER


def _kind_of_markdown(path: Path) -> Kind:
    with path.open(encoding="utf-8") as stream:
        is_ours = stream.readline().strip() == EVALUATION_MARK
    return Kind.EVALUATION if is_ours else Kind.OTHER


_READERS: dict[str, Callable[[Path], Kind]] = {
    ".checkpoint": _kind_of_json,
    ".json": _kind_of_json,
    ".npz": _kind_of_npz,
    ".npy": _kind_of_npy,
    ".csv": _kind_of_csv,
    ".md": _kind_of_markdown,
    ".jsonl": _kind_of_lines,
    **dict.fromkeys((".png", ".pdf", ".svg"), _kind_of_plot),
    **dict.fromkeys((".html", ".htm"), _kind_of_page),
}
