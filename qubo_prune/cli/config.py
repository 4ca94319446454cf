"""Options from a TOML file: a table for each command, below what is written on the command line."""

from __future__ import annotations

import inspect
import json
from collections.abc import Callable, Mapping
from functools import wraps
from pathlib import Path
from typing import Annotated, Any, NoReturn

import typer

from qubo_prune.cli.completion import complete
from qubo_prune.core.errors import InputError
from qubo_prune.core.text import did_you_mean, format_value

_NAME = "config_file"
_SOURCE = "qubo_prune.config"
"""Where a context remembers the file."""

_Command = Callable[..., object]


def configurable(command: _Command) -> _Command:
    """Give a command the option ``--config``, and let shells complete what it takes."""

    @wraps(command)
    def configured(**values: Any) -> object:
        values.pop(_NAME)
        return command(**values)

    complete(command)
    signature = inspect.signature(command, eval_str=True)
    signature = signature.replace(parameters=[*signature.parameters.values(), _PARAMETER])
    configured.__signature__ = signature  # type: ignore[attr-defined]
    return configured


def source_of(context: typer.Context | None) -> Path | None:
    """Return the file that a command takes options from, if there is one."""
    return None if context is None else context.meta.get(_SOURCE)


def _read(context: typer.Context, path: Path | None) -> Path | None:
    """Make what the file says the defaults of the command."""
    if path is not None and not context.resilient_parsing:
        context.meta[_SOURCE] = path
        context.default_map = _defaults(context, path)
    return path


_PARAMETER = inspect.Parameter(
    _NAME,
    inspect.Parameter.KEYWORD_ONLY,
    default=None,
    annotation=Annotated[
        Path | None,
        typer.Option(
            "--config",
            metavar="FILE",
            is_eager=True,
            callback=_read,
            help=(
                "Take options from the table of this command in FILE, a .toml; those written here"
                " go first."
            ),
        ),
    ],
)


def _defaults(context: typer.Context, path: Path) -> dict[str, Any]:
    words = _words(context)
    table = _table(_parse(path), words, path, context)
    name = " ".join(words)
    parameters = _parameters(context)
    found: dict[str, Any] = {}
    for key, value in table.items():
        parameter = parameters.get(key.replace("_", "-"))
        if parameter is None:
            _fail(path, f"{name} has no option {key!r}{did_you_mean(key, parameters)}")
        if parameter.name in found:
            _fail(path, f"{name} has {key!r} twice; leave one of them out.")
        found[str(parameter.name)] = _value(parameter, value, f"{key} of {name}", path)
    return found


def _words(context: typer.Context) -> list[str]:
    """Return the name of the command, which may be that of one of a group."""
    words: list[str] = []
    each: Any = context
    while each.parent is not None:
        words.insert(0, str(each.info_name))
        each = each.parent
    return words


def _parse(path: Path) -> dict[str, Any]:
    import tomllib

    from qubo_prune.core.files.disk import read_file

    try:
        return tomllib.loads(read_file(path).decode())
    except UnicodeDecodeError:
        _fail(path, "it is no text in UTF-8; save it as that.")
    except tomllib.TOMLDecodeError as error:
        _fail(path, f"it is no TOML: {error}; correct it.")


def _table(
    tables: Mapping[str, Any], words: list[str], path: Path, context: typer.Context
) -> Mapping[str, Any]:
    """Return the table of the command; the names of all tables are checked, so that none is
    overlooked.
    """
    _check_names(tables, context.find_root().command, (), path, words)
    for word in words:
        tables = tables.get(word, {})
    return tables


def _check_names(
    tables: Mapping[str, Any],
    command: Any,
    above: tuple[str, ...],
    path: Path,
    words: list[str],
) -> None:
    known = getattr(command, "commands", None)
    if known is None:
        return
    for key, value in tables.items():
        name = " ".join((*above, key))
        if not isinstance(value, Mapping):
            _fail(path, f"{name} is in no table of a command; write [{'.'.join(words)}] above it.")
        if key not in known:
            _fail(path, f"there is no command {name!r}{did_you_mean(key, known)}")
        _check_names(value, known[key], (*above, key), path, words)


def _parameters(context: typer.Context) -> dict[str, Any]:
    """Return the parameters that a file may set, by the names that people write."""
    found = {}
    for parameter in context.command.params:
        if parameter.name in (_NAME, "help"):
            continue
        names = [each[2:] for each in parameter.opts if each.startswith("--")]
        for name in names or [str(parameter.name).replace("_", "-")]:
            found[name] = parameter
    return found


def _value(parameter: Any, value: Any, what: str, path: Path) -> Any:
    """Return a value as the command line would have it."""
    if getattr(parameter, "count", False):
        if isinstance(value, bool) or not isinstance(value, int):
            _fail(path, f"{what} must be a whole number, not {format_value(value)}.")
        return value
    if getattr(parameter, "is_flag", False):
        if not isinstance(value, bool):
            _fail(path, f"{what} must be true or false, not {format_value(value)}.")
        return value
    several = getattr(parameter, "multiple", False) or parameter.nargs != 1
    if isinstance(value, Mapping) and several:
        value = [f"{key}={_text(each, what, path)}" for key, each in value.items()]
    if isinstance(value, list):
        texts = [_text(each, what, path, is_value=True) for each in value]
        return texts if several else ",".join(texts)
    text = _text(value, what, path, is_value=True)
    return [text] if several else text


def _text(value: Any, what: str, path: Path, *, is_value: bool = False) -> str:
    if isinstance(value, str):
        return value
    if not isinstance(value, int | float) or (is_value and isinstance(value, bool)):
        _fail(path, f"{what} must be a number or a text, not {format_value(value)}.")
    return json.dumps(value)


def _fail(path: Path, problem: str) -> NoReturn:
    raise InputError(f"{path}: {problem}")
