"""What a shell completes: the values of options and arguments, found without a numerical library.

`COMPLETIONS` has a line for each. Files are completed by the shell where nothing here fits.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable
from typing import Annotated, Any, get_args, get_origin

from qubo_prune.core.defaults import EXECUTORS

Names = Callable[[], Iterable[str]]
_TEXTS: tuple[Any, ...] = (str, str | None, list[str])

CRITERIA = (
    *("block-influence", "angular-distance", "norm-ratio", "relative-magnitude", "taylor"),
    *("hessian-diagonal", "single-loss", "single-kl", "last", "random"),
)
HEALING = ("rescale", "linear", "distill")
DTYPES = ("auto", "float32", "bfloat16", "float16", "float64")
STEPS = ("extract", "solve", "select", "prune", "evaluate")
KINDS = ("attention", "mlp", "moe", "mamba", "layer")


def _hessians() -> Iterable[str]:
    from qubo_prune.core.files.bundled import bundled_names

    return bundled_names()


def _backends() -> Iterable[str]:
    from qubo_prune.backends.built_ins import backend_names

    return backend_names()


def _suites() -> Iterable[str]:
    from qubo_prune.bench.suite_names import suite_names

    return suite_names()


def _formats() -> Iterable[str]:
    from qubo_prune.core.files.formats import FORMATS

    return [each.name for each in FORMATS]


COMPLETIONS: dict[str, Names] = {
    "hessian": _hessians,
    "file": _hessians,
    "suite": _suites,
    "suites": lambda: [*_suites(), *_hessians()],
    "--hessian": _hessians,
    "--backend": _backends,
    "--backends": _backends,
    "--executor": lambda: EXECUTORS,
    "--only": lambda: KINDS,
    "--format": _formats,
    "--criteria": lambda: CRITERIA,
    "--objective": lambda: ("loss", "kl"),
    "--granularity": lambda: ("block", "branch"),
    "--dtype": lambda: DTYPES,
    "--heal": lambda: HEALING,
    "--method": lambda: HEALING,
    "--precision": lambda: DTYPES[:3],
    "--preset": lambda: ("paper",),
    "--from": lambda: STEPS,
}
"""Names of options as they are written, and of arguments; lists are completed after each comma."""


def complete(command: Callable[..., object]) -> None:
    """Let a shell complete the values of a command."""
    for parameter in inspect.signature(command, eval_str=True).parameters.values():
        if get_origin(parameter.annotation) is not Annotated:
            continue
        of, info, *_ = get_args(parameter.annotation)
        names = COMPLETIONS.get(_written(parameter.name, info))
        if names is not None and of in _TEXTS:
            info.autocompletion = completer(names)


def completer(names: Names) -> Callable[[str], list[str]]:
    """Return a function that completes one of some names, or the last of several between commas.

    Examples
    --------
    >>> completer(lambda: ["tabu", "greedy"])("greedy,t")
    ['greedy,tabu']
    """

    def completed(incomplete: str) -> list[str]:
        before, comma, last = incomplete.rpartition(",")
        return [f"{before}{comma}{name}" for name in names() if name.startswith(last)]

    return completed


def _written(name: str, info: Any) -> str:
    """Return how a parameter is written."""
    # Typer holds the first positional argument to be a default until it has seen the function.
    given = [getattr(info, "default", None), *(getattr(info, "param_decls", None) or ())]
    declared = [each for each in given if isinstance(each, str) and each.startswith("--")]
    if declared:
        return declared[0]
    is_option = type(info).__name__ == "OptionInfo"
    return f"--{name.replace('_', '-')}" if is_option else name
