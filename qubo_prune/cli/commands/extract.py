"""`qubo-prune extract`: from a model to a Hessian."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from qubo_prune.cli import options
from qubo_prune.cli.files import Files, declare_hessian
from qubo_prune.cli.models import ModelOptions, Samples, SequenceLength
from qubo_prune.cli.output import EXIT_DONE, exit_code, print_footer, print_json
from qubo_prune.cli.progress import watched
from qubo_prune.core.errors import InputError
from qubo_prune.core.text import plural

if TYPE_CHECKING:
    from qubo_prune.hessians.extraction import Extraction

Out = Annotated[Path, typer.Option(metavar="FILE", help="Write the Hessian to FILE, a .npy.")]
Checkpointing = Annotated[
    bool,
    typer.Option("--gradient-checkpointing", help="Need less memory and about a third more time."),
]
Shard = Annotated[
    str | None,
    typer.Option(metavar="I/N", help="Do part I of N; `qubo-prune merge` puts them together."),
]
SaveGradients = Annotated[
    bool,
    typer.Option(
        "--save-gradients", help="Also write the gradients of every sample, for error bars."
    ),
]
CheckDtype = Annotated[
    int,
    typer.Option(
        metavar="COUNT", help="Compare the gradients of COUNT samples with float32 weights."
    ),
]


PresetName = Annotated[
    str | None,
    typer.Option(metavar="NAME", help="paper: its calibration; options given here go first."),
]


@options.spread
def extract(
    *,
    context: typer.Context,
    source: ModelOptions,
    out: Out,
    samples: Samples = 2048,
    sequence_length: SequenceLength = 1024,
    gradient_checkpointing: Checkpointing = False,
    shard: Shard = None,
    save_gradients: SaveGradients = False,
    check_dtype: CheckDtype = 0,
    preset: PresetName = None,
    time_limit: options.ResumableTimeLimit = None,
    json: options.Json = False,
    verbose: options.Verbose = 0,
    quiet: options.Quiet = False,
) -> int:
    """Compute the Hessian of a language model from samples.

    Interrupted or killed, the same command goes on where it was. Exits with 0 when the Hessian is
    written, 2 on bad input, 3 when the time limit and 130 when Ctrl-C came first.
    """
    part = _parse_shard(shard)
    if preset is not None:
        source, samples, sequence_length = _with_preset(
            context, preset, source, samples, sequence_length
        )
    _declare_files(out, source, with_gradients=save_gradients)

    from qubo_prune.hessians.extraction import extract as run
    from qubo_prune.hessians.extraction import require_new_file

    require_new_file(out)
    calibration, loaded = source.load(samples=samples, sequence_length=sequence_length, quiet=quiet)
    with watched(quiet, verbose) as watch:
        extraction = run(
            loaded,
            calibration,
            out,
            granularity=source.granularity,  # type: ignore[arg-type]
            layers=source.layers,
            shard=part,
            batch_size=source.batch_size,
            with_gradients=save_gradients,
            gradient_checkpointing=gradient_checkpointing,
            check_dtype=check_dtype,
            time_limit=time_limit,
            progress=watch.progress,
        )
    if json:
        print_json(_facts(extraction))
    elif not quiet:
        print_footer(_sentence(extraction))
    return EXIT_DONE if extraction.complete else exit_code(extraction.stop_reason)


def _with_preset(
    context: typer.Context, name: str, source: ModelOptions, samples: int, sequence_length: int
) -> tuple[ModelOptions, int, int]:
    """Return the options with those of a preset in the place of those that nobody gave."""
    from qubo_prune.pruning.pipeline.settings import preset_values

    values = preset_values(name)
    values = {
        key: value
        for key, value in {**values, "samples": values["hessian_samples"]}.items()
        if not options.was_given(context, key)
    }
    of_source = {key: values[key] for key in ("seed", "batch_size", "dtype") if key in values}
    return (
        replace(source, **of_source),
        values.get("samples", samples),
        values.get("sequence_length", sequence_length),
    )


def _declare_files(out: Path, source: ModelOptions, *, with_gradients: bool) -> None:
    """Compare what is written with the data that are read, and with what is there."""
    from qubo_prune.core.files.kinds import Kind

    files = Files()
    source.read_by(files)
    declare_hessian(files, out, with_gradients=with_gradients)
    files.writes(out.with_suffix(".partial.npz"), "--out", Kind.EXTRACTION)


def _parse_shard(text: str | None) -> tuple[int, int] | None:
    if text is None:
        return None
    match = re.fullmatch(r"(\d{1,9})/(\d{1,9})", text)
    if match is None or not 1 <= int(match[1]) <= int(match[2]):
        raise InputError(f"--shard takes I/N with 1 <= I <= N, got {text!r}; write e.g. 2/8.")
    return int(match[1]), int(match[2])


def _facts(extraction: Extraction) -> dict[str, object]:
    return {
        "path": str(extraction.path),
        "complete": extraction.complete,
        "num_done": extraction.num_done,
        "num_samples": extraction.num_samples,
        "batch_size": extraction.batch_size,
        "samples_per_second": extraction.samples_per_second,
        "stop_reason": extraction.stop_reason.value,
    }


def _sentence(extraction: Extraction) -> str:
    pace = (
        f"at {extraction.samples_per_second:,.1f} samples/s in batches of {extraction.batch_size}"
    )
    if extraction.complete:
        done = plural(extraction.num_samples, "sample")
        return f"Done: {done} {pace}; the Hessian is {extraction.path}."
    return (
        f"Stopped ({extraction.stop_reason.value}): {extraction.num_done:,} of"
        f" {extraction.num_samples:,} samples are done and kept, {pace}; the same command goes on."
    )
