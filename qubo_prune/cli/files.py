"""What a command reads and writes: compared before any work, written whatever happens.

A file that is there is replaced by one of its own kind only, and never if the command reads it.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from qubo_prune.cli.output import tell
from qubo_prune.core.errors import InputError

if TYPE_CHECKING:
    from qubo_prune.core.files.kinds import Kind


class Files:
    """The files of one command.

    Attributes
    ----------
    failed : bool
        Whether a file could not be written.
    """

    def __init__(self) -> None:
        self.failed = False
        self._read: dict[Path, str] = {}
        self._named: dict[Path, str] = {}
        self._written: list[Path] = []
        self._writable: set[Path] = set()

    def reads(self, *paths: Path, what: str = "") -> None:
        """Say what the command reads, or would read if it were there."""
        self._read |= dict.fromkeys(paths, what)

    def reads_hessian(
        self, source: str | Path, format_name: str | None = None, *, what: str = ""
    ) -> None:
        """Say that it reads a Hessian and what lies beside it."""
        from qubo_prune.core.files.hessian import files_of_hessian

        self.reads(*files_of_hessian(source, format_name), what=what)

    def writes(
        self,
        path: Path,
        option: str,
        kind: Kind | None = None,
        *,
        require: Callable[[Path], object] | None = None,
        folder: Path | None = None,
    ) -> None:
        """Say what the command is going to write, or to go on from and write again, for which
        option; refuse it if that would lose something or is impossible.

        Parameters
        ----------
        path : Path
            The file.
        option : str
            What names it, or what it is derived from.
        kind : Kind, optional
            What it will be; a file of another kind is not replaced.
        require : callable, optional
            Refuses a file of another kind, where `kind` cannot say it.
        folder : Path, optional
            Where files can be made if that of `path` is still to come.
        """
        from qubo_prune.core.files.disk import is_stream
        from qubo_prune.core.files.kinds import require_replaceable

        self._compare(path, option)
        if is_stream(path):
            return
        try:
            if kind is not None:
                require_replaceable(path, kind)
            if require is not None:
                require(path)
        except InputError as error:
            raise InputError(f"{option}: {error}") from error
        self._require_writable(path.parent if folder is None else folder, option)

    def writes_page(self, path: Path) -> None:
        """Say that the command is going to write a page, for --html."""
        from qubo_prune.core.files.kinds import Kind
        from qubo_prune.report.html import require_page

        require_page(path)
        self.writes(path, "--html", Kind.PAGE)

    def _compare(self, path: Path, option: str) -> None:
        """Refuse a path that is read, or written already."""
        from qubo_prune.core.files.disk import require_file

        require_file(path, f"{option}: ")
        for other, what in self._read.items():
            if _are_same(path, other):
                verb = f"names {what}" if what else "would write"
                reason = "which this command reads"
                if not other.exists():
                    reason = "where this command looks for a sidecar"
                raise InputError(f"{option} {verb} {path}, {reason}; name another file.")
        for other, by in self._named.items():
            if _are_same(path, other):
                raise InputError(
                    f"{option} and {by} both name {str(path)!r}; give them different files."
                )
        self._named[path] = option

    def _require_writable(self, folder: Path, option: str) -> None:
        if folder not in self._writable:
            require_writable(folder, option)
            self._writable.add(folder)

    def write(self, path: Path, save: Callable[[Path], object]) -> None:
        """Write a result; where that fails, somewhere else."""
        from qubo_prune.core.files.disk import save_or_rescue

        try:
            save_or_rescue(save, path)
        except InputError as error:
            self.failed = True
            tell(f"error: {error}")
        else:
            self._written.append(path)

    def tell_written(self) -> None:
        """Name what was written, on stderr."""
        if self._written:
            tell(f"wrote {_listing(self._written)}")


def declare_hessian(
    files: Files, out: Path, *, option: str = "--out", with_gradients: bool = False
) -> None:
    """Say that a Hessian is written, with its sidecar and perhaps its gradients."""
    from qubo_prune.core.files.gradients import gradients_path
    from qubo_prune.core.files.kinds import Kind

    if out.suffix != ".npy":
        raise InputError(f"{option}: a Hessian file must end in .npy, not {out.name!r}; rename it.")
    files.writes(out, option, Kind.MATRIX)
    files.writes(out.with_suffix(".json"), option, Kind.SIDECAR)
    if with_gradients:
        files.writes(gradients_path(out), option, Kind.GRADIENTS)


def require_writable(folder: Path, option: str = "--out") -> None:
    """Raise InputError unless files can be made in `folder`."""
    try:
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise InputError(
            f"{option} cannot write into {str(folder)!r} ({error.strerror}); name a folder that"
            " exists and is writable."
        ) from None


def _are_same(path: Path, other: Path) -> bool:
    """Whether two paths are one file, now or once they are written; through links as well."""
    try:
        if path.samefile(other):
            return True
    except OSError:  # one of them is not there yet
        pass
    return os.path.normcase(path.resolve()) == os.path.normcase(other.resolve())


def _listing(paths: Iterable[Path]) -> str:
    """Return the names of some files, or of the first and the last of many."""
    names = [str(path) for path in paths]
    if len(names) > 4:
        return f"{len(names)} files, {names[0]} to {names[-1]}"
    return " and ".join([", ".join(names[:-1]), names[-1]] if len(names) > 1 else names)


def check_out_folder(out: Path, read: Iterable[Path]) -> None:
    """Refuse a folder of a model that cannot be written or holds what is read, before anything is
    loaded.
    """
    from qubo_prune.pruning.saving import require_replaceable_folder

    try:
        require_replaceable_folder(out)
    except InputError as error:
        raise InputError(f"--out: {error}") from error
    place = out.resolve()
    for path in read:
        if path.exists() and place in (path.resolve(), *path.resolve().parents):
            raise InputError(
                f"--out would replace {path}, which this command reads; name another folder."
            )
    require_writable(place.parent)
