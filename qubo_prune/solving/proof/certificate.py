"""Certificates: a proof written down so that somebody else can check it."""

from __future__ import annotations

import datetime
import json
import os
import platform
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from qubo_prune.core.errors import InputError, SpectrumError
from qubo_prune.core.files.disk import check_suffix, read_file, write_atomically
from qubo_prune.core.files.kinds import CERTIFICATE_FORMAT as FORMAT
from qubo_prune.core.files.kinds import Kind, require_kind, require_replaceable
from qubo_prune.core.files.strict_json import (
    Reader,
    as_counts,
    as_float,
    as_integer,
    as_integers,
    as_string,
    as_strings,
    from_large_integer,
    optional,
)
from qubo_prune.core.files.strict_json import as_large_integer as as_large
from qubo_prune.core.spectrum.files import from_dict, to_dict
from qubo_prune.core.spectrum.spectrum import Spectrum
from qubo_prune.core.version import versions
from qubo_prune.solving.proof.statement import Statement

if TYPE_CHECKING:
    from qubo_prune.core.problem.problem import Problem

FORMAT_VERSION = 1
SUFFIXES = (".json",)


@dataclass(frozen=True, eq=False, kw_only=True)
class Certificate:
    """A spectrum, the statement that it answers, and how the proof was made.

    Attributes
    ----------
    statement : Statement
        What was solved.
    spectrum : Spectrum
        The states, their energies and what is claimed about them; `Spectrum.proof` holds bounds,
        rounding allowance and tree statistics.
    num_states : int
        K, the number of states listed.
    last_energy : float or None
        Energy of the K-th state; None if there is none.
    next_energy : float or None
        Energy of the (K+1)-th state; None if there is none or it is not known.
    hessian : str or None
        Name of the Hessian: a bundled one, or a file without its folder.
    versions : dict
        Of the libraries and of Python.
    platform : str
        Machine and operating system.
    created : str
        Date and time, ISO 8601.

    Examples
    --------
    >>> from qubo_prune import Problem, solve, verify
    >>> problem = Problem.load("bytelm-40-block", remove=3)
    >>> certificate = Certificate.of(problem, solve(problem, num_states=5))
    >>> verification = verify(certificate, problem)
    >>> verification.passed, verification.complete
    (True, True)
    """

    statement: Statement
    spectrum: Spectrum
    num_states: int
    last_energy: float | None
    next_energy: float | None
    hessian: str | None = None
    versions: dict[str, str] = field(default_factory=dict)
    platform: str = ""
    created: str = ""

    @classmethod
    def of(cls, problem: Problem, spectrum: Spectrum, *, hessian: str | None = None) -> Certificate:
        """Return the certificate of a spectrum.

        Parameters
        ----------
        problem : Problem
            What was solved.
        spectrum : Spectrum
            Its spectrum, whole: a slice has lost the energy of the next state.
        hessian : str, optional
            Where the Hessian came from: a path or the name of a bundled one. Only the file name is
            kept.

        Raises
        ------
        SpectrumError
            If the spectrum is not one of the problem.
        InputError
            If the problem has no count: each count is a proof of its own.
        """
        if problem.remove is None:
            raise InputError(
                "a certificate is one of a problem with a count, and this one has a budget alone;"
                " certify the counts one by one, as `sweep --budget B --certificate FOLDER` does."
            )
        spectrum.check(problem)
        next_energy = spectrum.proof.get("next_energy")
        return cls(
            statement=Statement.of(problem),
            spectrum=spectrum,
            num_states=len(spectrum),
            last_energy=float(spectrum.energies[-1]) if len(spectrum) else None,
            next_energy=next_energy if isinstance(next_energy, float) else None,
            hessian=None if hessian is None else Path(hessian).name,
            versions=versions("qubo_prune", "python", "numpy", "numba"),
            platform=platform.platform(),
            created=datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        )

    def to_dict(self) -> dict[str, Any]:
        """Return the object that `save` writes."""
        statement = {f.name: getattr(self.statement, f.name) for f in fields(Statement)}
        if self.statement.weights is None:
            del statement["weights"], statement["at_least"]  # as before there were budgets
        statement["num_states"] = from_large_integer(self.statement.num_states)
        return {
            "format": FORMAT,
            "format_version": FORMAT_VERSION,
            "created": self.created,
            "versions": self.versions,
            "platform": self.platform,
            "hessian": self.hessian,
            "problem": statement,
            "num_states": self.num_states,
            "last_energy": self.last_energy,
            "next_energy": self.next_energy,
            "spectrum": to_dict(self.spectrum),
        }

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the certificate as strict JSON, completely or not at all.

        Parameters
        ----------
        path : str or path
            A ``.json`` file; a certificate that is there is replaced, another file is not.

        Raises
        ------
        InputError
            If the suffix is another one or the file cannot be written.
        """
        path = Path(path)
        check_suffix(path, SUFFIXES, "a certificate")
        require_replaceable(path, Kind.CERTIFICATE)
        text = json.dumps(self.to_dict(), allow_nan=False) + "\n"
        write_atomically({path: lambda stream: stream.write(text.encode())})

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Certificate:
        """Read a certificate; its form is checked, its claims are left to `verify`.

        Parameters
        ----------
        path : str or path
            A ``.json`` file.

        Raises
        ------
        InputError
            If the file cannot be read or is not a certificate.
        """
        path = Path(path)
        reader = Reader(path, "certificate", "write it again with solve --certificate")
        top = reader.parse(read_file(path))
        require_kind(path, top, Kind.CERTIFICATE)
        reader.check_version(top, FORMAT_VERSION)
        if reader.get(top, "format", as_string) != FORMAT:
            reader.fail(f"its format is {top['format']!r:.60}, not {FORMAT!r}")
        inner = reader.as_object(top.get("problem"), "problem")
        statement = Statement(
            hessian_sha256=reader.get(inner, "hessian_sha256", as_string),
            num_blocks=reader.get(inner, "num_blocks", as_integer),
            num_states=reader.get(inner, "num_states", as_large),
            remove=reader.get(inner, "remove", as_counts),
            kinds=_as_tuple(reader.get(inner, "kinds", optional(as_strings))),
            names=_as_tuple(reader.get(inner, "names", optional(as_strings))),
            keep=tuple(reader.get(inner, "keep", as_integers)),
            force=tuple(reader.get(inner, "force", as_integers)),
            only=reader.get(inner, "only", optional(as_string)),
            beta=reader.get(inner, "beta", as_float),
            gradient_sha256=reader.get(inner, "gradient_sha256", optional(as_string)),
            **_budget(inner, reader),
        )
        return cls(
            statement=statement,
            spectrum=from_dict(reader.as_object(top.get("spectrum"), "spectrum"), reader, Spectrum),
            num_states=reader.get(top, "num_states", as_integer),
            last_energy=reader.get(top, "last_energy", optional(as_float)),
            next_energy=reader.get(top, "next_energy", optional(as_float)),
            hessian=reader.get(top, "hessian", optional(as_string)),
            versions=reader.get(top, "versions", _as_texts),
            platform=reader.get(top, "platform", as_string),
            created=reader.get(top, "created", as_string),
        )

    def problem(self, hessian: str | os.PathLike[str]) -> Problem:
        """Rebuild the problem from its Hessian.

        Kinds and names, if the problem has any, come from the sidecar. Where that has no kinds,
        they come from the certificate, and no names are given; see `borrowed`. `verify` tells
        whether the result is the problem that was solved.

        Parameters
        ----------
        hessian : str or path
            A ``.npy`` file, or the name of a bundled Hessian.

        Raises
        ------
        InputError
            If the file cannot be read.
        SpectrumError
            If the problem of the certificate cannot be made with this Hessian.
        """
        from qubo_prune.core.files.hessian import load_hessian
        from qubo_prune.core.problem.problem import Problem

        file = load_hessian(hessian)
        stated = self.statement
        try:
            # Averaging leaves a symmetric matrix as it is, so this is the one that was solved.
            return Problem(
                file.hessian,
                stated.remove,
                kinds=stated.kinds and (file.kinds or stated.kinds),
                names=stated.names and file.names,
                keep=stated.keep,
                force=stated.force,
                only=stated.only,
                gradient=file.mean_gradient,
                beta=stated.beta,
                symmetrize=True,
                weights=stated.weights,
                at_least=stated.at_least,
            )
        except InputError as error:
            raise SpectrumError(f"the problem cannot be made with this Hessian: {error}") from error

    def borrowed(self, hessian: str | os.PathLike[str]) -> tuple[str, ...]:
        """Return which of ``kinds`` and ``names`` only the certificate has, and no sidecar.

        Parameters
        ----------
        hessian : str or path
            As for `problem`.
        """
        from qubo_prune.core.files.hessian import load_hessian

        file = load_hessian(hessian)
        return tuple(
            what
            for what in ("kinds", "names")
            if getattr(self.statement, what) and not getattr(file, what)
        )

    def __repr__(self) -> str:
        return f"<Certificate: {self.spectrum.summary()}>"


def _budget(problem: dict[str, Any], reader: Reader) -> dict[str, Any]:
    if "weights" not in problem:
        return {}
    return {
        "weights": tuple(reader.get(problem, "weights", as_integers)),
        "at_least": reader.get(problem, "at_least", as_integer),
    }


def _as_tuple(values: list[str] | None) -> tuple[str, ...] | None:
    return None if values is None else tuple(values)


def _as_texts(value: Any) -> dict[str, str]:
    if not isinstance(value, dict):
        raise TypeError
    return {key: as_string(text) for key, text in value.items()}
