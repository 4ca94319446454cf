"""What a name like ``path.py:Name`` or ``module:Name`` stands for, or why nothing, in a line."""

from __future__ import annotations

import difflib
import hashlib
import sys
import traceback
from contextlib import redirect_stdout
from importlib import import_module
from pathlib import Path
from types import CodeType, ModuleType
from typing import Any

from qubo_prune.core.errors import InputError
from qubo_prune.core.text import printable

_PYTHON = ".py"
_MOST_NAMES = 8
"""So many names of a file are told where none is like the one that was given."""


def names_code(name: str) -> bool:
    """Whether a name says where its code is.

    Examples
    --------
    >>> names_code("mine.py:MySolver"), names_code("package.module:anneal"), names_code("tabu")
    (True, True, False)
    >>> names_code("mine.py")
    True
    """
    return ":" in name or name.endswith(_PYTHON)


def split_name(name: str, prefix: str = "") -> tuple[str, str]:
    """Return where the code is and which name of it is meant; empty texts where that is not said.

    Examples
    --------
    >>> split_name("runs/mine.py:MySolver"), split_name("ocean:dimod:ExactSolver", "ocean:")
    (('runs/mine.py', 'MySolver'), ('dimod', 'ExactSolver'))
    >>> split_name("mine.py")
    ('', '')
    """
    where, colon, attribute = name.removeprefix(prefix).rpartition(":")
    return (where, attribute) if colon and where and attribute.isidentifier() else ("", "")


def load(name: str, prefix: str = "") -> tuple[ModuleType, Any]:
    """Return the module that a name names, and what is meant of it.

    A file is read again when it was changed. Its folder goes to the end of the path of modules, so
    that it can import its neighbours.

    Parameters
    ----------
    name : str
        ``path.py:Name``, a path from the current folder, or ``module:Name``.
    prefix : str
        What the name starts with besides.

    Raises
    ------
    InputError
        If the name is malformed, there is no such file, module or name, or the import fails.
    """
    where, attribute = split_name(name, prefix)
    if not where:
        raise InputError(
            f"backend {name!r} does not say which name of which file or module is meant; write"
            f" {prefix}path.py:Name or {prefix}module:Name."
        )
    module = _file(where, name) if where.endswith(_PYTHON) else _module(where, name)
    try:
        return module, getattr(module, attribute)
    except AttributeError as error:
        raise InputError(
            f"backend {name!r}: {where!r} has no {attribute!r}; {_others(module, attribute)}"
        ) from error


def digest_of(name: str) -> str | None:
    """Return the SHA-256 of the file that a name names; None for a module.

    Raises
    ------
    InputError
        If there is no such file.
    """
    where, _ = split_name(name)
    if not where.endswith(_PYTHON):
        return None
    return hashlib.sha256(_source(Path(where).expanduser(), where, name)).hexdigest()


def _source(path: Path, where: str, name: str) -> bytes:
    try:
        return path.read_bytes()
    except FileNotFoundError as error:
        raise InputError(
            f"backend {name!r}: there is no file {where!r} in {Path.cwd()}; give its path from"
            " there."
        ) from error
    except OSError as error:
        raise InputError(
            f"backend {name!r}: {where!r} cannot be read ({error.strerror}); give a Python file."
        ) from error


def _file(where: str, name: str) -> ModuleType:
    """Return a file as a module, which is made once for each content of it."""
    path = Path(where).expanduser().absolute()
    source = _source(path, where, name)
    digest = hashlib.sha256(str(path).encode(errors="replace") + b"\0" + source).hexdigest()
    known = f"_named_{digest[:16]}"
    if known in sys.modules:
        return sys.modules[known]
    folder = str(path.parent)
    if folder not in sys.path:
        sys.path.append(folder)
    module = ModuleType(known)
    module.__file__ = str(path)
    # Where dataclasses and pickles look for it, already while it is being executed.
    sys.modules[known] = module
    try:
        _execute(compile(source, str(path), "exec", dont_inherit=True), module)
    except (Exception, SystemExit) as error:
        del sys.modules[known]
        raise InputError(
            f"backend {name!r}: {where!r} cannot be imported: {_last_line(error, path)}; correct"
            " the file."
        ) from error
    return module


def _execute(code: CodeType, module: ModuleType) -> None:
    # What it prints does not get between the lines of whoever reads the output of the program.
    with redirect_stdout(sys.stderr):
        exec(code, module.__dict__)  # noqa: S102 - the user named the file to run it


def _module(where: str, name: str) -> ModuleType:
    try:
        with redirect_stdout(sys.stderr):
            return import_module(where)
    except (Exception, SystemExit) as error:
        missing = isinstance(error, ModuleNotFoundError) and f"{where}.".startswith(
            f"{error.name}."
        )
        remedy = "install it, or put its folder on PYTHONPATH" if missing else "correct it"
        raise InputError(
            f"backend {name!r}: {where!r} cannot be imported: {_last_line(error, None)}; {remedy}."
        ) from error


def _last_line(error: BaseException, path: Path | None) -> str:
    """Return an error in one line, and the line of the file that it comes from."""
    text = printable(" ".join(traceback.format_exception_only(error)[-1].split()).rstrip("."))
    if path is None:
        return text
    frames = traceback.extract_tb(error.__traceback__)
    lines = [frame.lineno for frame in frames if frame.filename == str(path)]
    line = error.lineno if isinstance(error, SyntaxError) else (lines or [None])[-1]
    return text if line is None else f"{text} (line {line})"


def _others(module: ModuleType, attribute: str) -> str:
    """Return what is to be done about a name that a module does not have."""
    close = difflib.get_close_matches(attribute, vars(module), n=1, cutoff=0.75)
    if close:
        return f"did you mean {close[0]!r}?"
    own = [
        key
        for key, value in vars(module).items()
        if not key.startswith("_") and getattr(value, "__module__", None) == module.__name__
    ]
    shown = ", ".join(own[:_MOST_NAMES]) + (", ..." if len(own) > _MOST_NAMES else "")
    return f"it defines: {shown}." if own else "check the name."
