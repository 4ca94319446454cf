"""Errors in the words of the command line: the package names its arguments, users wrote options."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from qubo_prune.cli.config import source_of
from qubo_prune.core.text import did_you_mean

if TYPE_CHECKING:
    from pathlib import Path

    import typer

_OPTIONS = {
    "num_states": "states",
    "num_samples": "samples",
    "with_gradients": "save-gradients",
    "device_map": "device",
    "removes": "remove",
    "config": "data-config",
    "at_least": "budget",
}
"""Options whose names are not those of the arguments that they become."""

_PHRASES = {
    "give that number as remove": "give it by --remove M",
    "give remove, one of": "give --remove, one of",
    "in keep and in force": "in --keep and in --force",
    "choose branches ": "choose --branches ",
    "or keep, force and only": "or --keep, --force and --only",
    "remove, keep, force or only": "--remove, --keep, --force or --only",
}
_POSITIONAL = {"hessian", "source", "files", "shards", "model"}

_ALONE = r"(?<![\w'`./-])(?<!option )"
_VERBS = "must|names|holds|is|has|goes|takes|lists|needs|cannot|and"


def reworded(message: str, options: Sequence[str], given: Sequence[str]) -> str:
    """Return an error of the package as one of a command.

    Parameters
    ----------
    message : str
        Names arguments of Python.
    options : sequence of str
        The options of the command, without dashes.
    given : sequence of str
        The command line; options of a backend that it sets with ``--option`` are named so.

    Examples
    --------
    >>> reworded("num_states must be at least 1, not 0; ask for more.", ["states", "keep"], [])
    '--states must be at least 1, not 0; ask for more.'
    >>> reworded("h.npy: keep names an unknown block 'x'.", ["states", "keep"], [])
    "h.npy: --keep names an unknown block 'x'."
    """
    names = {option.replace("-", "_"): f"--{option}" for option in options}
    names |= {name: f"--{option}" for name, option in _OPTIONS.items() if option in options}
    names |= {key: f"--option {key}" for key in _backend_options(given)}
    for phrase, words in _PHRASES.items():
        message = message.replace(phrase, words)
    message = re.sub(rf"{_ALONE}remove\['(.*?)'\]", r"--remove \1", message)
    for name in names.keys() - _POSITIONAL:
        option = names[name]
        message = re.sub(rf"(^|: ){name}(?= (?:{_VERBS})\b)", rf"\g<1>{option}", message, count=1)
        message = re.sub(rf"{_ALONE}{name}=True\b", option, message)
        message = re.sub(rf"{_ALONE}{name}=(?=\w)", f"{option} ", message)
        if "_" in name:
            message = re.sub(rf"{_ALONE}{name}(?![\w'`/=]|\.\w)", option, message)
    return message


def _backend_options(given: Sequence[str]) -> list[str]:
    values = [value for flag, value in pairwise(given) if flag == "--option"]
    values += [each.removeprefix("--option=") for each in given if each.startswith("--option=")]
    return [value.partition("=")[0].replace("-", "_") for value in values]


def about_parameter(error: typer.TyperException) -> str:
    """Return what is wrong with the command line, in a sentence."""
    file = _file_of(error)
    if file is not None:
        return f"{file}: {_about(error)}"
    return _about(error)


def _file_of(error: typer.TyperException) -> Path | None:
    """Return the file of --config that a wrong value comes from."""
    option, context = getattr(error, "param", None), getattr(error, "ctx", None)
    if option is None or context is None:
        return None
    source = context.get_parameter_source(option.name)
    return source_of(context) if source is not None and source.name == "DEFAULT_MAP" else None


def _about(error: typer.TyperException) -> str:
    option = getattr(error, "param", None)
    problem = _wrong_number(error.__cause__)
    if option is not None and problem is not None:
        name, value = option.opts[0], problem["input"]
        least = problem.get("ctx", {}).get("ge")
        if least is not None:
            return f"{name} must be at least {least}, not {value}; write e.g. {name} {least}."
        is_whole = str(problem["type"]).startswith("int")
        what, example = ("a whole number", "100") if is_whole else ("a number", "60")
        return f"{name} takes {what}, not {value!r}; write e.g. {name} {example}."
    context = getattr(error, "ctx", None)
    slip = getattr(error, "option_name", None)
    if slip is not None and context is not None:
        known = [name for each in context.command.params for name in each.opts]
        return f"{_command(context)} has no option {slip}{_meant(slip, known)}"
    message = error.format_message()
    if slip is not None and "requires" in message:
        return f"{slip} needs a value, which is missing; write it behind."
    if context is not None:
        message = re.sub(
            r"^Got unexpected extra arguments? ?(?:\(s\) )?\((.*)\)\.?$",
            rf"{_command(context)} takes no further argument, got \1",
            message,
        )
        if message.startswith("Missing ") or " no further argument" in message:
            return f"{message.rstrip('.')}; see `{context.command_path} --help`."
    return message if message.endswith((".", "?", ")")) else f"{message}."


def _command(context: typer.Context) -> str:
    """Return the name of a command, which may be one of a group."""
    return str(context.command_path).partition(" ")[2] or str(context.command_path)


def _meant(slip: str, known: Sequence[str]) -> str:
    """Return the end of a sentence about an option that does not exist."""
    return did_you_mean(slip, [each for each in known if each.startswith("--")]).replace("'", "")


def _wrong_number(cause: BaseException | None) -> Mapping[str, Any] | None:
    """Return what is said of a number that cannot be read, or that is too small."""
    errors = getattr(cause, "errors", None)
    for each in errors() if callable(errors) else ():
        if str(each["type"]).startswith(("int_", "float_", "greater_than_equal")):
            found: Mapping[str, Any] = each
            return found
    return None
