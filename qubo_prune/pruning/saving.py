"""A folder that is there completely or not at all."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

from qubo_prune.core.errors import InputError, OutputError
from qubo_prune.core.files.lock import locked
from qubo_prune.core.text import format_bytes

RECORD = "prune.json"
"""The file by which a folder that `prune` wrote is known."""

HEALING = "heal.json"
"""The same of one that `heal` wrote."""

CARD = "README.md"
"""The model card."""

CODE = "modeling_pruned.py"
"""The modelling file of a model without some branches."""


def require_replaceable_folder(path: Path) -> None:
    """Refuse a place where a folder cannot go without losing something.

    Raises
    ------
    InputError
        If there is a file, or a folder with anything but what `prune` wrote.
    """
    if path.is_dir():
        others = _files(path) - _written(path)
        if others:
            raise InputError(
                f"the folder {path} is there and holds {min(others)}, which prune did not write;"
                " name another one."
            )
    elif path.exists() or path.is_symlink():
        raise InputError(f"{path} is a file, but a folder is to be written; name another one.")


def refuse_replacing(target: Path, source: str | os.PathLike[str]) -> None:
    """Refuse a place that is the folder a model comes from, or holds it.

    Parameters
    ----------
    target : Path
        The folder to be written.
    source : str or path
        Where the model comes from; what is no folder here, such as a name on the hub, is nothing
        that can be replaced.

    Raises
    ------
    InputError
        If it would be replaced.
    """
    if not os.fspath(source) or not Path(source).is_dir():
        return
    own = Path(source).resolve()
    if target.resolve() in (own, *own.parents):
        raise InputError(
            f"the model comes from {os.fspath(source)}, which would be replaced; name another"
            " folder."
        )


def require_space(folder: Path, needed: int) -> None:
    """Refuse to write more into a folder than its disk has space for.

    Raises
    ------
    OutputError
        If that is known to be so.
    """
    with contextlib.suppress(OSError):
        free = shutil.disk_usage(folder).free
        if free < needed:
            raise OutputError(
                f"{folder} has {format_bytes(free)} of free space, but the model takes"
                f" {format_bytes(needed)}; make space or name another folder."
            )


@contextlib.contextmanager
def new_folder(path: Path) -> Iterator[Path]:
    """Fill a folder that gets its name when the context ends well.

    It is made beside its place, and what is there already stays whole until the new one is. What a
    killed run left is removed, and put right where it was killed between two renames.

    Parameters
    ----------
    path : Path
        Its place, where nothing is or what `prune` wrote.

    Raises
    ------
    InputError
        If something else is there, or another process is writing there.
    OutputError
        If it cannot be made or moved.
    """
    path = path.resolve()  # replace what a link leads to, not the link
    new, old = (path.with_name(f".{path.name}.{what}") for what in ("new", "old"))
    with locked(path.with_name(f".{path.name}.lock"), f"writing {path}"):
        with told_of(path):
            _clean(path, new, old)
            require_replaceable_folder(path)
            new.mkdir()
        try:
            yield new
            with told_of(path):
                _flush(new)
                _move(new, path, old)
        finally:
            shutil.rmtree(new, ignore_errors=True)


@contextlib.contextmanager
def told_of(path: Path) -> Iterator[None]:
    """Turn errors of the system into one line about what is being written."""
    try:
        yield
    except OSError as error:
        raise OutputError(
            f"{path} cannot be written ({error.strerror or error}); check that its folder exists,"
            " may be written to and has space."
        ) from error


@contextlib.contextmanager
def weights_written(path: Path) -> Iterator[None]:
    """Turn errors of the system and of safetensors into one line about what is being written."""
    from safetensors import SafetensorError

    try:
        with told_of(path):
            yield
    except SafetensorError as error:
        raise OutputError(
            f"{path} cannot be written ({' '.join(str(error).split())}); check that its folder"
            " may be written to and has space."
        ) from error


def checksums(folder: Path) -> dict[str, str]:
    """Return the SHA-256 of each file of a folder, by name."""
    sums = {}
    for name in sorted(_files(folder)):
        with (folder / name).open("rb") as stream:
            sums[name] = hashlib.file_digest(stream, "sha256").hexdigest()
    return sums


def _files(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if not path.is_dir()}


def _written(folder: Path) -> set[str]:
    """Return the files that `prune` or `heal` wrote into a folder, as far as their record can be
    read.
    """
    for record in (HEALING, RECORD):
        with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
            listed = json.loads((folder / record).read_bytes())["sha256"]
            return {HEALING, RECORD, CARD, *listed}
    return set()


def _clean(path: Path, new: Path, old: Path) -> None:
    """Remove what a killed run left; this process holds the lock."""
    if old.is_dir():
        if path.exists():
            shutil.rmtree(old)
        else:
            old.rename(path)
    if new.is_dir():
        shutil.rmtree(new)


def _flush(folder: Path) -> None:
    for path in folder.rglob("*"):
        if path.is_file():
            with path.open("rb+") as stream:
                os.fsync(stream.fileno())


def _move(new: Path, path: Path, old: Path) -> None:
    """Put a folder in its place; the former one goes only when the new one is there."""
    if not path.exists():
        new.rename(path)
        return
    path.rename(old)
    try:
        new.rename(path)
    except BaseException:
        old.rename(path)
        raise
    shutil.rmtree(old, ignore_errors=True)
