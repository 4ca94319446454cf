"""`qubo-prune evaluate`: what smaller models can still do, beside the original."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from qubo_prune.cli import options
from qubo_prune.cli.files import Files
from qubo_prune.cli.models import (
    BatchSize,
    DataConfig,
    DataRevision,
    Device,
    Dtype,
    MaskPrompt,
    ModelOptions,
    Revision,
    Seed,
    SequenceLength,
    Split,
    TextField,
    TrustRemoteCode,
)
from qubo_prune.cli.output import (
    EXIT_OUTPUT,
    exit_code,
    print_json,
    print_text,
    stdout_console,
)
from qubo_prune.cli.plotting import PlotOptions
from qubo_prune.cli.progress import watched
from qubo_prune.core.defaults import BATCH_SIZE
from qubo_prune.core.errors import InputError

if TYPE_CHECKING:
    from qubo_prune.pruning.evaluation.evaluation import Evaluation

Models = Annotated[
    list[str], typer.Argument(metavar="MODEL", help="Folders, or names on the Hugging Face hub.")
]
OriginalModel = Annotated[
    str | None,
    typer.Option("--original", metavar="MODEL", help="What each of them is compared with."),
]
Data = Annotated[
    list[str],
    typer.Option(
        metavar="SOURCE",
        help=(
            "Samples for the loss and, beside an original, KL and agreement, as `select` takes"
            " them. Repeatable."
        ),
    ),
]
TextFiles = Annotated[
    list[Path],
    typer.Option(
        metavar="FILE",
        help="Documents for the perplexity: .txt, or rows with text or page. Repeatable.",
    ),
]
TextTokens = Annotated[
    int | None, typer.Option(metavar="COUNT", help="Score at most so many tokens of them.", min=1)
]
Window = Annotated[
    int, typer.Option(metavar="TOKENS", help="Tokens that are seen at once in a perplexity.", min=2)
]
Chunk = Annotated[
    int,
    typer.Option(
        metavar="TOKENS", help="Context of the perplexity as llama.cpp computes it.", min=4
    ),
]
Tasks = Annotated[
    list[str],
    typer.Option(
        metavar="NAMES",
        help="Tasks of lm-eval, as a,b, and suites: paper. Repeatable.",
    ),
]
Shots = Annotated[
    int | None,
    typer.Option(
        metavar="COUNT",
        help="Examples in each prompt, but for suites.  [default: what the task says]",
        min=0,
    ),
]
Limit = Annotated[
    int | None, typer.Option(metavar="COUNT", help="Only so many items of each task.", min=1)
]
IncludePath = Annotated[
    Path | None, typer.Option(metavar="DIR", help="A folder with files of tasks of your own.")
]
NoLatency = Annotated[bool, typer.Option("--no-latency", help="Take no times and watch no memory.")]
PromptTokens = Annotated[
    int, typer.Option(metavar="COUNT", help="Tokens of the prompt that is timed.", min=1)
]
NewTokens = Annotated[
    int, typer.Option(metavar="COUNT", help="Tokens that are generated after it.", min=2)
]
Repeats = Annotated[int, typer.Option(metavar="COUNT", help="How often it is timed.", min=1)]
Samples = Annotated[int, typer.Option(metavar="COUNT", help="How many samples.")]
Out = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE",
        help=(
            "Write the result to FILE, a .json, .md or .csv; what is measured goes beside it as it"
            " comes."
        ),
    ),
]


@options.spread
def evaluate(
    *,
    models: Models,
    original: OriginalModel = None,
    data: Data = [],  # noqa: B006 - typer copies it
    text: TextFiles = [],  # noqa: B006
    tasks: Tasks = [],  # noqa: B006
    out: Out = None,
    picture: PlotOptions,
    samples: Samples = 64,
    sequence_length: SequenceLength = 512,
    seed: Seed = 0,
    split: Split = "train",
    data_config: DataConfig = None,
    text_field: TextField = None,
    mask_prompt: MaskPrompt = False,
    data_revision: DataRevision = None,
    text_tokens: TextTokens = None,
    window: Window = 2048,
    chunk: Chunk = 512,
    shots: Shots = None,
    limit: Limit = None,
    include_path: IncludePath = None,
    no_latency: NoLatency = False,
    prompt_tokens: PromptTokens = 512,
    new_tokens: NewTokens = 32,
    repeats: Repeats = 9,
    batch_size: BatchSize = BATCH_SIZE,
    dtype: Dtype = "auto",
    device: Device = "auto",
    revision: Revision = None,
    trust_remote_code: TrustRemoteCode = False,
    time_limit: options.ResumableTimeLimit = None,
    json: options.Json = False,
    verbose: options.Verbose = 0,
    quiet: options.Quiet = False,
) -> int:
    """Measure models, and compare each with the original.

    Sizes, times and memory always; loss, KL and agreement with --data, perplexities with --text,
    benchmarks with --tasks. Interrupted or killed, the same command goes on where it was. Exits
    with 0 when done, 2 on bad input, 3 when the time limit and 130 when Ctrl-C came first; in the
    last two cases what was measured is printed and written all the same.
    """
    named = _named(models, original)
    files = _declare_files([*map(Path, data), *text], out, picture)
    sources = [
        ModelOptions(
            model=model,
            data=data,
            seed=seed,
            split=split,
            data_config=data_config,
            text_field=text_field,
            mask_prompt=mask_prompt,
            dtype=dtype,
            revision=revision,
            data_revision=data_revision,
            trust_remote_code=trust_remote_code,
        )
        for model in named.values()
    ]
    for source in sources:
        source.check(quiet)
    calibration = None
    if data:
        calibration = sources[0].load_samples(samples, sequence_length, quiet=quiet)

    from qubo_prune.core.stopping import Stop
    from qubo_prune.pruning.evaluation.evaluator import evaluate as run

    with watched(quiet, verbose) as watch:
        evaluation = run(
            named,
            calibration,
            original=None if original is None else next(iter(named)),
            text=text or None,
            text_tokens=text_tokens,
            window=window,
            chunk=chunk,
            tasks=options.split_commas(tasks),
            shots=shots,
            limit=limit,
            include_path=include_path,
            latency=not no_latency,
            prompt_tokens=prompt_tokens,
            new_tokens=new_tokens,
            repeats=repeats,
            batch_size=batch_size,
            dtype=dtype,
            device_map=device,
            revision=revision,
            trust_remote_code=trust_remote_code,
            state=None if out is None else state_path(out),
            stop=Stop(time_limit, progress=watch.progress),
        )
    _write(evaluation, files, out, picture)
    if not quiet:
        files.tell_written()
    if json:
        print_json(evaluation.to_dict())
    elif not quiet:
        show_evaluation(evaluation)
    return EXIT_OUTPUT if files.failed else exit_code(evaluation.stop_reason)


def state_path(out: Path) -> Path:
    """Return where the measures of an evaluation are kept, from which it goes on.

    >>> state_path(Path("runs/evaluation.json")).name
    'evaluation.measures.jsonl'
    """
    return out.with_suffix(".measures.jsonl")


def _named(models: Sequence[str], original: str | None) -> dict[str, str]:
    """Return the models by the shortest names that tell them apart, the original first."""
    given = [*([] if original is None else [original]), *models]
    twice = next((each for each in given if given.count(each) > 1), None)
    if twice is not None:
        raise InputError(f"the model {twice!r} is given twice; name each one once.")
    short = [Path(each).resolve().name if Path(each).exists() else each for each in given]
    return {
        each if short.count(name) > 1 else name: each
        for each, name in zip(given, short, strict=True)
    }


def _declare_files(read: Sequence[Path], out: Path | None, picture: PlotOptions) -> Files:
    """Compare what is written with what is read and what is there, before hours of work."""
    from qubo_prune.core.files.disk import check_suffix
    from qubo_prune.core.files.kinds import Kind
    from qubo_prune.pruning.evaluation.evaluation import SUFFIXES

    files = Files()
    files.reads(*(path for path in read if path.exists()))
    if out is not None:
        check_suffix(out, SUFFIXES, "an evaluation")
        files.writes(out, "--out", Kind.EVALUATION)
        files.writes(state_path(out), "--out")
    picture.declare(files)
    return files


def _write(evaluation: Evaluation, files: Files, out: Path | None, picture: PlotOptions) -> None:
    if out is not None:
        files.write(out, evaluation.save)
    if picture.plot is not None and len(evaluation):
        from qubo_prune.report.evaluation import plot_evaluation

        picture.write(files, partial(plot_evaluation, evaluation))


def show_evaluation(evaluation: Evaluation) -> None:
    """Print the table, and what a reader has to know of it."""
    from qubo_prune.core.stopping import StopReason
    from qubo_prune.pruning.evaluation.tables import detectable, notes

    if not evaluation.rows:
        print_text("nothing was measured.")
        return
    stdout_console().print(evaluation.to_table())
    for said in (" ".join(notes(evaluation.rows)), detectable(evaluation.rows)):
        if said:
            print_text(said)
    if evaluation.stop_reason is not StopReason.COMPLETED:
        print_text("Stopped: what is missing was not measured; the same command goes on.")
