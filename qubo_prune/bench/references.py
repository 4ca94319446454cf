"""What solvers are held against: spectra that are proven, published values, or the best known.

Certificates of the bundled Hessians come with the package; other spectra are computed once, by
branch and bound, and kept in a folder of the user's by what they are of.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from qubo_prune.bench.results import ReferenceKind
from qubo_prune.bench.tasks import Task
from qubo_prune.core.errors import BackendError, InputError, SpectrumError
from qubo_prune.core.spectrum.spectrum import Spectrum
from qubo_prune.core.spectrum.status import Status
from qubo_prune.core.stopping import Progress, Stop, StopReason
from qubo_prune.solving.proof.certificate import Certificate
from qubo_prune.solving.proof.statement import Statement
from qubo_prune.solving.solve import solve

CERTIFICATES = Path(__file__).with_name("certificates")
"""Of the bundled Hessians, at the sizes of the paper."""

FOLDER = "QUBO_PRUNE_CACHE"
"""The environment variable that names the folder for what was computed."""


class Reference(NamedTuple):
    """What solvers are held against.

    Attributes
    ----------
    kind : ReferenceKind
        What is known of it.
    energies : tuple of float
        The lowest, ascending.
    source : str
        Where it is from.
    """

    kind: ReferenceKind
    energies: tuple[float, ...] = ()
    source: str = ""


NOTHING = Reference(ReferenceKind.NONE)


def cache_folder() -> Path:
    """Return the folder for what was computed: that of ``QUBO_PRUNE_CACHE``, or the system's."""
    named = os.environ.get(FOLDER)
    if named:
        return Path(named)
    home = Path("~").expanduser()
    if sys.platform == "win32":
        return Path(os.environ.get("LOCALAPPDATA", home)) / "qubo-prune"
    if sys.platform == "darwin":
        return home / "Library" / "Caches" / "qubo-prune"
    return Path(os.environ.get("XDG_CACHE_HOME") or home / ".cache") / "qubo-prune"


def known_reference(task: Task) -> Reference | None:
    """Return a proven spectrum that is there already, else the best known one that is; None if
    none is.

    Examples
    --------
    >>> known_reference(Task("llama-80-block", 8)).source
    'a certificate of the package'
    """
    spectrum = _shipped(task)
    if spectrum is not None:
        return _as_reference(task, spectrum, "a certificate of the package")
    for path in _kept(task):
        # Whatever lies there is held against the problem; what does not fit is computed anew.
        with suppress(InputError, SpectrumError):
            spectrum = Spectrum.load(path)
            spectrum.check(task.problem)
            if len(spectrum) >= task.wanted or _is_whole(spectrum):
                return _as_reference(task, spectrum, f"{spectrum.backend}, kept")
    return None


def reference_of(
    task: Task,
    limit: float | None,
    stop: Stop | None = None,
    progress: Callable[[Progress], None] | None = None,
) -> Reference:
    """Return what solvers are held against: what is known, or else computed within a limit.

    Parameters
    ----------
    task : Task
        What they are asked.
    limit : float or None
        Seconds for a proof; 0 for none.
    stop : Stop, optional
        Is cancelled when Ctrl-C cuts the proof short.
    progress : callable, optional
        As for `solve`.
    """
    found = known_reference(task)
    if (found is None or found.kind is not ReferenceKind.CERTIFIED) and limit != 0:
        proof = Stop(limit, None, progress)
        found = _computed(task, proof) or found
        if stop is not None and proof.reason is StopReason.INTERRUPTED:
            stop.cancel()
    published = task.published_energy()
    certified = found is not None and found.kind is ReferenceKind.CERTIFIED
    if published is not None and task.published is not None and not certified:
        return Reference(ReferenceKind.PUBLISHED, (published,), task.published.source)
    return found or NOTHING


def _computed(task: Task, stop: Stop) -> Reference | None:
    try:
        spectrum = solve(task.problem, num_states=task.wanted, stop=stop)
    except BackendError:
        return None
    if stop.reason is StopReason.INTERRUPTED:
        return None
    if spectrum.status is not Status.PROVEN and len(spectrum) < task.wanted:
        return None
    path = _kept(task)[0 if spectrum.status is Status.PROVEN else 1]
    # A reference that cannot be kept is computed again the next time.
    with suppress(OSError, InputError):
        path.parent.mkdir(parents=True, exist_ok=True)
        spectrum.save(path)
    return _as_reference(task, spectrum, spectrum.backend)


def _kept(task: Task) -> tuple[Path, Path]:
    """Return where the proven spectrum of a task is kept, and where one that is not proven."""
    stem = cache_folder() / "references" / f"{task.digest}-{task.wanted}"
    return stem.with_suffix(".json"), stem.with_suffix(".unproven.json")


def _shipped(task: Task) -> Spectrum | None:
    if task.is_file or task.remove is None:
        return None
    count = (
        str(task.remove)
        if isinstance(task.remove, int)
        else "-".join(f"{kind}-{count}" for kind, count in task.remove.items())
    )
    path = CERTIFICATES / f"{task.instance}-remove-{count}.json"
    if not path.is_file():
        return None
    certificate = Certificate.load(path)
    spectrum = certificate.spectrum
    differs = Statement.of(task.problem).differences(certificate.statement)
    if differs or len(spectrum) < task.wanted:
        return None
    spectrum.check(task.problem)
    return spectrum[: task.wanted]


def _is_whole(spectrum: Spectrum) -> bool:
    """Whether there are no other states, since no more reach a budget."""
    return spectrum.lower_bound == float("inf")


def _as_reference(task: Task, spectrum: Spectrum, source: str) -> Reference:
    proven = spectrum.num_proven >= task.wanted or _is_whole(spectrum)
    kind = ReferenceKind.CERTIFIED if proven else ReferenceKind.BEST_KNOWN
    return Reference(kind, tuple(spectrum.energies[: task.wanted].tolist()), source)
