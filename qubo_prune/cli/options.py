"""The options that commands share, and how their texts become values.

What is to be solved and how to search are two dataclasses here. A command under `spread` takes such
an object, and its command line has the fields as options.
"""

from __future__ import annotations

import dataclasses
import inspect
import json
import re
import shlex
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass, field
from functools import wraps
from typing import TYPE_CHECKING, Annotated, Any, get_type_hints

import typer

from qubo_prune.cli.budget import BudgetOptions
from qubo_prune.cli.output import tell
from qubo_prune.core.defaults import BACKEND, EXECUTORS, OUT_OF_REACH, SHARED_EXECUTORS
from qubo_prune.core.errors import InputError
from qubo_prune.core.text import format_duration

if TYPE_CHECKING:
    from qubo_prune.core.problem.problem import Problem
    from qubo_prune.core.stopping import Progress, Stop

HessianArgument = Annotated[
    str,
    typer.Argument(
        metavar="HESSIAN",
        help=(
            "A .npy or .pt file or one that `qubo-prune import` reads, or the name of a bundled"
            " Hessian."
        ),
    ),
]
Removal = Annotated[
    list[str],
    typer.Option(
        "--remove",
        metavar="M",
        help=(
            "How many blocks to remove, as 8 or 10%; or KIND=COUNT for each kind, repeatable."
            "  [default: what the file says]"
        ),
    ),
]
Only = Annotated[str | None, typer.Option(metavar="KIND", help="Remove blocks of this kind only.")]
Keep = Annotated[
    list[str],
    typer.Option(
        metavar="BLOCKS",
        help="Blocks never to remove: indices, ranges or names, as 0,2-4. Repeatable.",
    ),
]
Force = Annotated[
    list[str],
    typer.Option(
        metavar="BLOCKS", help="Blocks to remove in any case; they count as removed. Repeatable."
    ),
]
Beta = Annotated[
    float,
    typer.Option(
        metavar="X", help="Weight of the first-order term; needs a mean gradient in the sidecar."
    ),
]
Symmetrize = Annotated[bool, typer.Option("--symmetrize", help="Replace H by (H + H') / 2 first.")]
Gradients = Annotated[
    bool,
    typer.Option(
        "--gradients",
        help=(
            "The file holds per-sample gradients A, one row a sample: H = A'A/m. Taken for granted"
            " where it has more rows than columns."
        ),
    ),
]
BackendName = Annotated[
    str,
    typer.Option(
        metavar="NAME",
        help=(
            "The solver (see `qubo-prune backends`), or path.py:Name or module:Name of your own."
        ),
    ),
]
States = Annotated[int, typer.Option(metavar="K", help="How many of the lowest states.")]
TimeLimit = Annotated[
    float | None,
    typer.Option(metavar="S", help="Stop after S seconds and say how much is proven by then."),
]
ResumableTimeLimit = Annotated[
    float | None, typer.Option(metavar="S", help="Stop after S seconds; the same command goes on.")
]
MaxEvaluations = Annotated[
    int | None, typer.Option(metavar="COUNT", help="Stop after about this many evaluations.")
]
Seed = Annotated[int, typer.Option(metavar="N", help="Seed of every random choice.")]
Threads = Annotated[
    int | None, typer.Option(metavar="N", help="Threads of the backend.  [default: all cores]")
]
ExecutorName = Annotated[
    str | None,
    typer.Option(
        metavar="WHO",
        help=(
            f"Who does the work: {', '.join(SHARED_EXECUTORS)}; of `--backend enumeration` also"
            f" {', '.join(each for each in EXECUTORS if each not in SHARED_EXECUTORS)}.  [default:"
            f" {EXECUTORS[0]}]"
        ),
    ),
]
Scheduler = Annotated[
    str | None,
    typer.Option(
        metavar="ADDRESS",
        help=(
            "Of `--executor dask`: the scheduler, as tcp://host:8786.  [default: a cluster in this"
            " process]"
        ),
    ),
]
BackendOption = Annotated[
    list[str],
    typer.Option("--option", metavar="KEY=VALUE", help="An option of the backend. Repeatable."),
]
Verbose = Annotated[
    int,
    typer.Option(
        "--verbose",
        "-v",
        count=True,
        show_default=False,
        help=(
            "Log a line a second to stderr; -vv also logs what Gurobi and SCIP say of themselves"
            " where they run."
        ),
    ),
]
Names = Annotated[
    bool, typer.Option("--names", help="Show blocks by their names instead of their indices.")
]
PageTitle = Annotated[
    str | None,
    typer.Option(metavar="TEXT", help="Of the page.  [default: the names of the files]"),
]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object and nothing else.")]
Quiet = Annotated[
    bool, typer.Option("--quiet", "-q", help="Print errors only, and what --json asks for.")
]


@dataclass(frozen=True, kw_only=True)
class RemovalOptions:
    """What may be removed, as the user wrote it."""

    remove: Removal = field(default_factory=list)
    only: Only = None
    keep: Keep = field(default_factory=list)
    force: Force = field(default_factory=list)


@dataclass(frozen=True, kw_only=True)
class ProblemOptions(BudgetOptions, RemovalOptions):
    """What is to be solved, as the user wrote it."""

    hessian: HessianArgument
    beta: Beta = 0.0
    symmetrize: Symmetrize = False
    gradients: Gradients = False

    def load(self, remove: int | None = None) -> Problem:
        """Return the problem; `remove` takes the place of the option, which some commands read in
        their own way.
        """
        counts = parse_removal(self.remove) if remove is None else remove
        at_least = self.at_least()
        keep, force = parse_blocks(self.keep), parse_blocks(self.force)

        from qubo_prune.core.problem.problem import Problem

        weights = self.of_hessian(self.hessian, gradients=self.gradients)
        return Problem.load(
            self.hessian,
            counts,
            only=self.only,
            keep=keep,
            force=force,
            beta=self.beta,
            symmetrize=self.symmetrize,
            gradients=self.gradients,
            at_least=at_least,
            weights=weights,
        )


@dataclass(frozen=True, kw_only=True)
class SearchOptions:
    """Who solves it, for how many states and how long."""

    backend: BackendName = BACKEND
    states: States = 100
    time_limit: TimeLimit = None
    max_evaluations: MaxEvaluations = None
    seed: Seed = 0
    threads: Threads = None
    executor: ExecutorName = None
    scheduler: Scheduler = None
    option: BackendOption = field(default_factory=list)

    def of_backend(self, **named: str | None) -> dict[str, Any]:
        """Return the options of the backend, with those of the command itself that are its too."""
        return parse_backend_options(
            self.option,
            threads=self.threads,
            executor=self.executor,
            scheduler=self.scheduler,
            **named,
        )

    def of_solve(self) -> dict[str, Any]:
        """Return the arguments of `solve` and `sweep` besides the backend and when to stop."""
        return {"num_states": self.states, "seed": self.seed}

    def warn(self, problem: Problem) -> None:
        """Say so if the search cannot end in a lifetime, unless it has a limit anyway."""
        from qubo_prune.core.text import format_count

        limited = self.time_limit is not None or self.max_evaluations is not None
        if self.backend != "enumeration" or problem.num_states <= OUT_OF_REACH or limited:
            return
        tell(
            f"warning: enumeration would visit {format_count(problem.num_states)} states, which"
            f" takes {format_duration(problem.num_states / _FASTEST)} even at {_FASTEST:.0e} states"
            f" a second; --backend {BACKEND} proves the lowest without visiting all, mostly in"
            " seconds."
        )

    def when_to_stop(self, progress: Callable[[Progress], None] | None) -> Stop:
        """Return when to stop."""
        from qubo_prune.core.stopping import Stop

        return Stop(self.time_limit, self.max_evaluations, progress)


_Command = Callable[..., int]


def spread(command: _Command) -> _Command:
    """Give a command an option for each field of the dataclasses among its parameters, such as
    `ProblemOptions`, and hand it the objects.

    Where the command has a parameter of the same name itself, that is the option, and the field
    keeps its default.
    """
    own = inspect.signature(command, eval_str=True).parameters
    fields = {
        name: [
            _parameter(each, shared) for each in dataclasses.fields(shared) if each.name not in own
        ]
        for name, shared in ((name, each.annotation) for name, each in own.items())
        if isinstance(shared, type) and dataclasses.is_dataclass(shared)
    }

    @wraps(command)
    def spreading(**values: Any) -> int:
        for name, parameters in fields.items():
            given = {each.name: values.pop(each.name) for each in parameters}
            values[name] = own[name].annotation(**given)
        return command(**values)

    parameters = [one for name, each in own.items() for one in fields.get(name, [each])]
    spreading.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    return spreading


def _parameter(shared: dataclasses.Field[Any], of: type) -> inspect.Parameter:
    default = shared.default
    if shared.default_factory is not dataclasses.MISSING:
        default = shared.default_factory()
    return inspect.Parameter(
        shared.name,
        inspect.Parameter.KEYWORD_ONLY,
        default=inspect.Parameter.empty if default is dataclasses.MISSING else default,
        annotation=get_type_hints(of, include_extras=True)[shared.name],
    )


def was_given(context: typer.Context, name: str) -> bool:
    """Whether the user wrote an option, or a file for --config, or what it says is its default."""
    source = context.get_parameter_source(name)
    return source is not None and source.name in ("COMMANDLINE", "DEFAULT_MAP")


_ONLY_SHOWN = ("json", "quiet", "verbose", "config_file")
"""Options that change nothing of what a command does."""


def command_line(context: typer.Context, besides: Collection[str] = ()) -> str:
    """Return the command line that does it again: arguments, then options, of what the user wrote;
    how it is printed and what `besides` names are left out.
    """
    words = ["qubo-prune", str(context.command.name)]
    parameters = context.command.params
    for parameter in sorted(parameters, key=lambda each: each.param_type_name != "argument"):
        name = str(parameter.name)
        if not was_given(context, name) or name in (*_ONLY_SHOWN, *besides):
            continue
        value = context.params[name]
        option = next((each for each in parameter.opts if each.startswith("--")), None)
        for each in value if isinstance(value, list | tuple) else [value]:
            words += [] if option is None else [option]
            words += [] if each is True else [str(each)]
    return shlex.join(words)


_INDEX = re.compile(r"\d{1,18}")
_RANGE = re.compile(r"(\d{1,18})-(\d{1,18})")
_LONGEST_RANGE = 1_000_000
_FASTEST = 1e12
"""States a second of one GPU, the fastest there is for enumeration."""


def parse_removal(items: Iterable[str]) -> int | str | dict[str, int] | None:
    """Turn the values of --remove into what `Problem.load` takes: ``8``, ``10%``, or
    ``attention=2`` ``moe=3``, or nothing.

    >>> parse_removal(["8"]), parse_removal(["10%"]), parse_removal(["attention=2,moe=3"])
    (8, '10%', {'attention': 2, 'moe': 3})
    """
    parts = split_commas(items)
    if not parts:
        return None
    if len(parts) == 1 and parts[0].endswith("%"):
        return parts[0]
    if len(parts) == 1 and "=" not in parts[0]:
        return _count(parts[0], "--remove")
    counts: dict[str, int] = {}
    for part in parts:
        kind, equals, count = part.rpartition("=")
        if not equals or not kind:
            raise InputError(
                f"--remove takes one number or KIND=COUNT pairs, got {part!r} among {len(parts)}"
                " values; write e.g. --remove 8 or --remove attention=2 --remove mlp=3."
            )
        if kind in counts:
            raise InputError(f"--remove names the kind {kind!r} twice; give each kind one count.")
        counts[kind] = _count(count, f"--remove {kind}")
    return counts


def parse_counts(items: Iterable[str]) -> list[int | str]:
    """Turn the values of --remove of `sweep` into numbers of blocks: ``8,16``, ``4-7`` or ``10%``.

    >>> parse_counts(["8,16", "20-22,50%"])
    [8, 16, 20, 21, 22, '50%']
    """
    counts: list[int | str] = []
    for part in split_commas(items):
        is_share = part.endswith("%")
        counts.extend([part] if is_share else _range(part) or [_count(part, "--remove")])
    return counts


def parse_blocks(items: Iterable[str]) -> list[int | str]:
    """Turn the values of --keep and --force into indices and names.

    >>> parse_blocks(["0,2-4", "layers.7.mlp"])
    [0, 2, 3, 4, 'layers.7.mlp']
    """
    blocks: list[int | str] = []
    for part in split_commas(items):
        blocks.extend(_range(part) or [int(part) if _INDEX.fullmatch(part) else part])
    return blocks


def parse_backend_options(items: Iterable[str], **named: int | str | None) -> dict[str, Any]:
    """Turn ``--option key=value`` into keyword arguments; a value is JSON, or else a string.

    Options with a name of their own on the command line are added, unless they are None.

    >>> parse_backend_options(["leaf-size=64", "bound=sdp"], threads=2, executor=None)
    {'leaf_size': 64, 'bound': 'sdp', 'threads': 2}
    """
    options: dict[str, Any] = {}
    for item in items:
        key, equals, text = item.partition("=")
        if not equals or not key:
            raise InputError(
                f"--option takes KEY=VALUE, got {item!r}; write e.g. --option threads=2."
            )
        try:
            value = json.loads(text)
        except ValueError:
            value = text
        options[key.replace("-", "_")] = value
    for name, given in named.items():
        if given is None:
            continue
        if name in options:
            raise InputError(
                f"{name} is set by --{name} and by --option {name}={options[name]}; leave one of"
                " them out."
            )
        options[name] = given
    return options


def split_commas(items: Iterable[str]) -> list[str]:
    """Return the parts of a repeatable option whose values may be lists, as ``a,b``."""
    return [part.strip() for item in items for part in item.split(",")]


def _count(text: str, what: str) -> int:
    try:
        return int(text)
    except ValueError:
        raise InputError(
            f"{what} takes a whole number of blocks, got {text!r}; write e.g. --remove 8."
        ) from None


def _range(text: str) -> list[int]:
    """Return the indices of ``2-4``; nothing if the text is no range."""
    match = _RANGE.fullmatch(text)
    if match is None:
        return []
    first, last = int(match[1]), int(match[2])
    if not 0 <= last - first < _LONGEST_RANGE:
        raise InputError(
            f"a range must ascend and name at most {_LONGEST_RANGE} blocks, got {text!r}; write"
            " e.g. 2-4."
        )
    return list(range(first, last + 1))
