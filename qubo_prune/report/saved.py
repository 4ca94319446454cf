"""What a file or folder of ours is, and what it holds: found out in one place, for all that shows
it.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

from qubo_prune.core.errors import InputError
from qubo_prune.core.files.formats import has_format
from qubo_prune.core.files.kinds import Kind, kind_of, matrix_of_sidecar
from qubo_prune.core.files.torch_file import is_torch_file

if TYPE_CHECKING:
    from collections.abc import Callable

    from qubo_prune.backends.branch_and_bound.checkpoint import ProofCheckpointFacts
    from qubo_prune.backends.enumeration.run.checkpoint import CheckpointFacts
    from qubo_prune.bench.results import Results
    from qubo_prune.core.spectrum.spectrum import Spectrum
    from qubo_prune.hessians.diagnostics import Diagnosis
    from qubo_prune.pruning.evaluation.evaluation import Evaluation
    from qubo_prune.pruning.pipeline.folder import CompressedFolder
    from qubo_prune.pruning.selection import Selection
    from qubo_prune.solving.proof.certificate import Certificate
    from qubo_prune.solving.sweeps import Sweep

    Content: TypeAlias = (
        Spectrum
        | Sweep
        | Selection
        | Evaluation
        | Certificate
        | CheckpointFacts
        | ProofCheckpointFacts
        | CompressedFolder
        | Diagnosis
        | Results
        | "GradientTable"
    )

__all__ = ["GradientTable", "Saved", "read_saved"]

_SWEPT = re.compile(r"remove-.*\.json")
_CERTIFICATE_SUFFIX = ".certificate.json"

_REMEDIES = {
    Kind.EMPTY: "write it again",
    Kind.EVALUATION: "name the .json that `evaluate --out` writes",
    Kind.EXTRACTION: "`qubo-prune extract` goes on with it",
    Kind.OTHER: "name a spectrum, selection, certificate, checkpoint, evaluation or Hessian",
    Kind.PAGE: "open it in a browser",
    Kind.PLOT: "open it in a viewer",
    Kind.TABLE: "open it in a spreadsheet",
}


@dataclass(frozen=True)
class GradientTable:
    """What the header of a table of per-sample gradients says.

    Attributes
    ----------
    shape : tuple of int
        Samples and blocks.
    dtype : str
        Of its numbers.
    """

    shape: tuple[int, ...]
    dtype: str


@dataclass(frozen=True)
class Saved:
    """A file or folder, and what it holds.

    Attributes
    ----------
    source : str
        What the user wrote.
    what : str
        ``spectrum``, ``sweep``, ``selection``, ``evaluation``, ``certificate``, ``checkpoint``,
        ``compression``, ``Hessian``, ``gradients`` or ``benchmark``.
    content : object
        What that kind is loaded as: a `Spectrum`, a `Sweep`...
    """

    source: str
    what: str
    content: Content


def read_saved(source: str | os.PathLike[str]) -> Saved:
    """Find out what a file or folder is, and read it.

    Parameters
    ----------
    source : str or path
        Any that this package writes, a sidecar too; or the name of a bundled Hessian.

    Raises
    ------
    InputError
        If it is none of ours, or damaged.

    Examples
    --------
    >>> saved = read_saved("bytelm-40-block")
    >>> saved.what, saved.content.rank
    ('Hessian', 40)
    """
    path, name = Path(source), str(source)
    if path.is_dir():
        return _folder(path, name)
    kind = kind_of(path)
    if kind is None:
        return _hessian(path, name)  # a bundled one, or an error that says what there is
    read = _READERS.get(kind)
    if read is not None and not (kind is Kind.EVALUATION and path.suffix.lower() != ".json"):
        return read(path, name)
    owner = matrix_of_sidecar(path) if kind is Kind.SIDECAR else None
    if owner is not None:
        return _hessian(owner, str(owner))
    if kind is Kind.SIDECAR:
        raise InputError(
            f"{path} would be the sidecar of a Hessian, and none is beside it; put them together,"
            " or name another file."
        )
    if path.suffix.lower() == ".npy" or has_format(path) or is_torch_file(path):
        return _hessian(path, name)
    raise InputError(f"{path} holds {kind.value}, which cannot be shown; {_REMEDIES[kind]}.")


def _folder(path: Path, name: str) -> Saved:
    from qubo_prune.pruning.pipeline.folder import is_compressed_folder, read_folder

    if is_compressed_folder(path):
        return Saved(name, "compression", read_folder(path))
    return Saved(name, "sweep", _sweep(path))


def _sweep(folder: Path) -> Sweep:
    """Read the spectra of a folder, by the number of removed blocks."""
    from qubo_prune.core.spectrum.spectrum import Spectrum
    from qubo_prune.solving.sweeps import Sweep

    found = [
        each
        for each in folder.iterdir()
        if _SWEPT.fullmatch(each.name) and not each.name.endswith(_CERTIFICATE_SUFFIX)
    ]
    if not found:
        raise InputError(
            f"{folder} is a folder without spectra of `sweep`, remove-M.json, and without the"
            " steps.json of `compress`; name a file in it."
        )
    spectra = sorted((Spectrum.load(each) for each in found), key=_removed)
    return Sweep(enumerate(spectra))


def _removed(spectrum: Spectrum) -> int:
    asked = spectrum.remove
    return sum(asked.values()) if isinstance(asked, dict) else asked or 0


def _spectrum(path: Path, name: str) -> Saved:
    from qubo_prune.core.spectrum.spectrum import Spectrum

    return Saved(name, "spectrum", Spectrum.load(path))


def _certificate(path: Path, name: str) -> Saved:
    from qubo_prune.solving.proof.certificate import Certificate

    return Saved(name, "certificate", Certificate.load(path))


def _checkpoint(path: Path, name: str) -> Saved:
    from qubo_prune.backends.branch_and_bound import checkpoint as proofs
    from qubo_prune.backends.common.checkpoint_file import read_checkpoint_file
    from qubo_prune.backends.enumeration.run import checkpoint as enumerations

    fields, _ = read_checkpoint_file(path)
    owner = proofs if "open" in fields else enumerations
    return Saved(name, "checkpoint", owner.read_checkpoint(path))


def _selection(path: Path, name: str) -> Saved:
    from qubo_prune.pruning.selection import Selection

    return Saved(name, "selection", Selection.load(path))


def _evaluation(path: Path, name: str) -> Saved:
    from qubo_prune.pruning.evaluation.evaluation import Evaluation

    return Saved(name, "evaluation", Evaluation.load(path))


def _gradients(path: Path, name: str) -> Saved:
    from qubo_prune.core.files.disk import read_header

    with path.open("rb") as stream:
        shape, _, dtype = read_header(stream, str(path))
    return Saved(name, "gradients", GradientTable(shape, str(dtype)))


def _benchmark(path: Path, name: str) -> Saved:
    from qubo_prune.bench.results import read_results

    return Saved(name, "benchmark", read_results([path]))


def _hessian(path: Path, name: str) -> Saved:
    from qubo_prune.hessians.diagnostics import diagnose

    return Saved(name, "Hessian", diagnose(path))


_READERS: dict[Kind, Callable[[Path, str], Saved]] = {
    Kind.SPECTRUM: _spectrum,
    Kind.CERTIFICATE: _certificate,
    Kind.CHECKPOINT: _checkpoint,
    Kind.SELECTION: _selection,
    Kind.EVALUATION: _evaluation,
    Kind.GRADIENTS: _gradients,
    Kind.BENCHMARK: _benchmark,
}
