"""`qubo-prune compress`: from a model and data to a smaller model, every step in a file."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from qubo_prune.cli import options
from qubo_prune.cli.budget import ModelBudgetOptions
from qubo_prune.cli.commands.evaluate import (
    IncludePath,
    Limit,
    NoLatency,
    Tasks,
    TextFiles,
    TextTokens,
)
from qubo_prune.cli.distillation import DistillOptions
from qubo_prune.cli.files import Files, require_writable
from qubo_prune.cli.models import ModelOptions, SequenceLength, silence_libraries
from qubo_prune.cli.output import (
    EXIT_DONE,
    exit_code,
    print_json,
    print_line,
    print_table,
    print_text,
    stdout_console,
    tell,
)
from qubo_prune.cli.progress import watched
from qubo_prune.core.defaults import BACKEND
from qubo_prune.core.errors import InputError
from qubo_prune.core.text import format_duration

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from qubo_prune.pruning.pipeline.compress import Compressed
    from qubo_prune.pruning.pipeline.plan import Planned
    from qubo_prune.pruning.pipeline.settings import CompressSettings

Out = Annotated[
    Path, typer.Option(metavar="DIR", help="The folder to write, with a file for each step.")
]
Remove = Annotated[
    list[str],
    typer.Option(
        metavar="M",
        help="How many blocks to remove, as 8 or 10%; or KIND=COUNT for each kind, repeatable.",
    ),
]
HessianSamples = Annotated[
    int, typer.Option(metavar="COUNT", help="Samples of the Hessian; 0 to do without one.")
]
Evaluations = Annotated[
    int,
    typer.Option(
        metavar="COUNT", help="Removals to measure; 0 to take the lowest energy for the answer."
    ),
]
Samples = Annotated[
    int,
    typer.Option(
        metavar="COUNT", help="Samples of the measurements, of which half only check the result."
    ),
]
EvaluationSamples = Annotated[
    int,
    typer.Option(metavar="COUNT", help="Other samples, for the report; 0 to do without one."),
]
Objective = Annotated[
    str,
    typer.Option(
        metavar="WHAT",
        help="What is measured: the increase of the loss, or kl, the divergence from the model.",
    ),
]
Candidates = Annotated[
    int,
    typer.Option(
        metavar="COUNT", help="How many of the best removals become models, the best one first."
    ),
]
Heal = Annotated[
    list[str],
    typer.Option(
        metavar="NAMES",
        help="Heal the best one by these methods, each on what the one before has left: rescale,"
        " linear, distill.",
    ),
]
HealSamples = Annotated[
    int,
    typer.Option(
        metavar="COUNT", help="Samples to heal with, none of which the report looks at.", min=1
    ),
]
States = Annotated[int, typer.Option(metavar="K", help="How many of the lowest energies.")]
SolveSeconds = Annotated[
    float, typer.Option(metavar="S", help="Most seconds for finding and proving them.")
]
PresetName = Annotated[
    str | None,
    typer.Option(
        metavar="NAME", help="paper: its calibration and procedure; options given here go first."
    ),
]
From = Annotated[
    str | None,
    typer.Option(
        "--from", metavar="STEP", help="Do this step and all later ones again: extract, solve, ..."
    ),
]
DryRun = Annotated[
    bool,
    typer.Option("--dry-run", help="Say what would be done and how long it takes, and stop."),
]


_OPTION_OF = {"latency": "no_latency", "config": "data_config", "at_least": "budget"}
"""Options whose names are not those of the settings that they become."""


@options.spread
def compress(
    *,
    context: typer.Context,
    source: ModelOptions,
    out: Out,
    allowed: options.RemovalOptions,
    remove: Remove = [],  # noqa: B006
    size: ModelBudgetOptions,
    hessian_samples: HessianSamples = 256,
    evaluations: Evaluations = 60,
    samples: Samples = 64,
    evaluation_samples: EvaluationSamples = 64,
    text: TextFiles = [],  # noqa: B006 - typer copies it
    text_tokens: TextTokens = None,
    tasks: Tasks = [],  # noqa: B006
    limit: Limit = None,
    include_path: IncludePath = None,
    no_latency: NoLatency = False,
    sequence_length: SequenceLength = 512,
    objective: Objective = "loss",
    candidates: Candidates = 1,
    heal: Heal = [],  # noqa: B006
    heal_samples: HealSamples = 512,
    distillation: DistillOptions,
    states: States = 100,
    backend: options.BackendName = BACKEND,
    solve_seconds: SolveSeconds = 60.0,
    preset: PresetName = None,
    from_: From = None,
    dry_run: DryRun = False,
    time_limit: options.ResumableTimeLimit = None,
    names: options.Names = False,
    json: options.Json = False,
    verbose: options.Verbose = 0,
    quiet: options.Quiet = False,
) -> int:
    """Make a model smaller in one go, and say how good it is.

    It extracts, solves, selects, prunes, heals and evaluates. Each step writes a file into the
    folder that can be looked at or replaced by hand; what depends on it is then done again.
    Interrupted or killed, the same command goes on where it was. Exits with 0 when all is there, 2
    on bad input, 3 when the time limit and 130 when Ctrl-C came first.
    """
    counts = options.parse_removal(remove)
    if counts is None and size.budget is None:
        raise InputError("say how many blocks to remove: --remove M, or --budget 20%.")
    _check_out(out, source, size)
    if quiet or not sys.stderr.isatty():
        silence_libraries()

    from qubo_prune.pruning.pipeline.compress import compress as run
    from qubo_prune.pruning.pipeline.plan import plan

    own: dict[str, Any] = {
        "hessian_samples": hessian_samples,
        "evaluations": evaluations,
        "samples": samples,
        "evaluation_samples": evaluation_samples,
        "sequence_length": sequence_length,
        "objective": objective,
        "candidates": candidates,
        "states": states,
        "backend": backend,
        "solve_seconds": solve_seconds,
        "text": tuple(map(str, text)),
        "text_tokens": text_tokens,
        "tasks": _tasks(tasks),
        "limit": limit,
        "include_path": None if include_path is None else str(include_path),
        "latency": not no_latency,
    }
    own |= size.of_problem()
    own |= _healing(heal, heal_samples, distillation)
    settings = _settings(context, preset, source, own, counts, allowed)

    say = _no_sentence if quiet else tell
    if dry_run:
        steps = plan(source.model, source.data, out, settings, begin=from_, tell=say)
        if json:
            print_json({"steps": [each.to_dict() for each in steps]})
        else:
            _show_plan(steps)
        return EXIT_DONE
    with watched(quiet, verbose) as watch:
        compressed = run(
            source.model,
            source.data,
            out,
            settings,
            begin=from_,
            command=options.command_line(context, besides=("dry_run", "from_")),
            time_limit=time_limit,
            progress=watch.progress,
            tell=lambda sentence: (watch.hide(), say(sentence)),  # type: ignore[func-returns-value]
        )
    if json:
        print_json(compressed.to_dict())
    elif not quiet:
        _show(compressed, names)
    return exit_code(compressed.stop_reason)


def _tasks(items: Sequence[str]) -> tuple[str, ...]:
    """Return the names of ``--tasks``; ``none`` for none of them."""
    names = options.split_commas(items)
    return () if names == ["none"] else tuple(names)


def _healing(names: Sequence[str], samples: int, distillation: DistillOptions) -> dict[str, Any]:
    """Return the settings of healing; refuse those of a method that is not asked for."""
    from qubo_prune.pruning.healing.distillation.settings import DistillSettings

    methods, given = tuple(options.split_commas(names)), distillation.given()
    if given and "distill" not in methods:
        option = next(iter(given)).replace("_", "-")
        raise InputError(f"--{option} is for --heal distill, which is not asked for; leave it out.")
    return {
        "heal": methods,
        "heal_samples": samples,
        "distillation": DistillSettings(**given),
    }


def _no_sentence(_: str) -> None:
    pass


def _check_out(out: Path, source: ModelOptions, size: ModelBudgetOptions) -> None:
    """Refuse a folder that cannot be written, before the model is loaded."""
    from qubo_prune.pruning.pipeline.ledger import require_folder

    files = Files()
    source.read_by(files)
    size.declare(files)
    require_folder(out)
    place = out.resolve()
    require_writable(next(each for each in (place, *place.parents) if each.exists()))


def _settings(
    context: typer.Context,
    preset_name: str | None,
    source: ModelOptions,
    own: Mapping[str, Any],
    remove: int | str | dict[str, int] | None,
    allowed: options.RemovalOptions,
) -> CompressSettings:
    """Return the settings: what the user wrote, else what the preset says, else the defaults."""
    from qubo_prune.pruning.pipeline.settings import CompressSettings, preset

    values = dict(own)
    for name in (
        *("granularity", "layers", "seed", "split", "text_field", "mask_prompt"),
        *("batch_size", "dtype", "device", "revision", "data_revision", "trust_remote_code"),
    ):
        values[name] = getattr(source, name)
    values |= {
        "config": source.data_config,
        "keep": tuple(options.parse_blocks(allowed.keep)),
        "force": tuple(options.parse_blocks(allowed.force)),
        "only": allowed.only,
    }
    if preset_name is None:
        return CompressSettings(remove=remove, **values)
    given = {
        name: value
        for name, value in values.items()
        if name == "distillation"  # of which no preset says anything
        or options.was_given(context, _OPTION_OF.get(name, name))
    }
    return preset(preset_name, remove=remove, **given)


def _show_plan(steps: Sequence[Planned]) -> None:
    """Print what would be done."""
    rows = []
    for each in steps:
        is_open = each.standing.startswith("to do")
        about = "" if each.seconds is None else f"about {format_duration(each.seconds)}"
        rows.append((each.name, each.output, each.standing, about or ("unknown" * is_open)))
    print_table(("step", "file", "outcome", "time"), rows)
    if any(each.seconds for each in steps):
        print_text(
            "Times are those of one pass of a few samples, times how much there is to do; passes"
            " over common first layers are shared, so that `select` is mostly faster."
        )


def _show(compressed: Compressed, names: bool) -> None:
    """Print what became of each step."""
    print_table(
        ("step", "file", "outcome", "time"),
        [
            (
                step.name,
                str(step.output),
                step.outcome,
                format_duration(step.seconds) if step.seconds else "",
            )
            for step in compressed.steps
        ],
    )
    evaluation = compressed.evaluation
    if compressed.summary:
        print_text(compressed.summary)
    if names and compressed.removed_names:
        print_text(f"They are {', '.join(compressed.removed_names)}.", indent="  ")
    if evaluation is not None:
        stdout_console().print(evaluation.to_table())
    if not compressed.complete:
        print_line(f"Stopped ({compressed.stop_reason.value}); the same command goes on.")
