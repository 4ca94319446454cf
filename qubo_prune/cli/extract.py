"""`qubo-prune extract`: from a model to a Hessian."""

from __future__ import annotations

import contextlib
import importlib
import os
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from qubo_prune.cli import options
from qubo_prune.cli.output import EXIT_DONE, exit_code, print_json, require_writable
from qubo_prune.cli.progress import watched
from qubo_prune.defaults import BATCH_SIZE
from qubo_prune.errors import InputError

if TYPE_CHECKING:
    from qubo_prune.hessians.extract import Extraction

Model = Annotated[
    str, typer.Argument(metavar="MODEL", help="A folder, or a name on the Hugging Face hub.")
]
Data = Annotated[
    list[str],
    typer.Option(
        metavar="SOURCE",
        help="Calibration samples: .jsonl, .json, .txt, .parquet or .npy files (repeatable), or a dataset's folder or name on the hub.",
    ),
]
Out = Annotated[Path, typer.Option(metavar="FILE", help="Write the Hessian to FILE, a .npy.")]
Granularity = Annotated[
    str,
    typer.Option(
        metavar="WHAT",
        help="What one gate scales: a decoder layer (block) or one residual branch of it (branch).",
    ),
]
Samples = Annotated[int, typer.Option(metavar="COUNT", help="How many samples.")]
SequenceLength = Annotated[
    int, typer.Option(metavar="TOKENS", help="Cut samples off after so many tokens.")
]
Seed = Annotated[int, typer.Option(metavar="N", help="Seed of the choice of samples.")]
Split = Annotated[str, typer.Option(metavar="NAME", help="Split of the dataset.")]
Config = Annotated[
    str | None, typer.Option(metavar="NAME", help="Configuration of the dataset, if it has some.")
]
TextField = Annotated[
    str | None,
    typer.Option(
        metavar="NAME",
        help="The column to read.  [default: messages, conversations, text or input_ids]",
    ),
]
MaskPrompt = Annotated[
    bool, typer.Option("--mask-prompt", help="Count only what the assistant says.")
]
BatchSize = Annotated[
    int, typer.Option(metavar="COUNT", help="Samples at a time; halved when memory runs out.")
]
Dtype = Annotated[
    str,
    typer.Option(metavar="NAME", help="auto (as saved), float32, bfloat16, float16 or float64."),
]
Device = Annotated[
    str, typer.Option(metavar="WHERE", help="auto (all there are), cpu, cuda:0, ...")
]
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
Layers = Annotated[
    str | None,
    typer.Option(
        metavar="PATH", help="Where the decoder layers are in the model.  [default: found]"
    ),
]
Revision = Annotated[
    str | None, typer.Option(metavar="NAME", help="Branch, tag or commit of the model on the hub.")
]
DataRevision = Annotated[
    str | None,
    typer.Option(metavar="NAME", help="Branch, tag or commit of the dataset on the hub."),
]
TimeLimit = Annotated[
    float | None, typer.Option(metavar="S", help="Stop after S seconds; the same command goes on.")
]
TrustRemoteCode = Annotated[
    bool, typer.Option("--trust-remote-code", help="Run Python code that comes with the model.")
]


def extract(
    model: Model,
    data: Data,
    out: Out,
    granularity: Granularity = "block",
    samples: Samples = 2048,
    sequence_length: SequenceLength = 1024,
    seed: Seed = 0,
    split: Split = "train",
    config: Config = None,
    text_field: TextField = None,
    mask_prompt: MaskPrompt = False,
    batch_size: BatchSize = BATCH_SIZE,
    dtype: Dtype = "auto",
    device: Device = "auto",
    gradient_checkpointing: Checkpointing = False,
    shard: Shard = None,
    save_gradients: SaveGradients = False,
    check_dtype: CheckDtype = 0,
    layers: Layers = None,
    revision: Revision = None,
    data_revision: DataRevision = None,
    trust_remote_code: TrustRemoteCode = False,
    time_limit: TimeLimit = None,
    json: options.Json = False,
    quiet: options.Quiet = False,
) -> int:
    """Compute the Hessian of a causal language model from calibration samples.

    Interrupted or killed, the same command goes on where it was. Exits with 0 when the Hessian is written, 2 on bad input, 3 when the
    time limit and 130 when Ctrl-C came first.
    """
    part = _parse_shard(shard)
    require_writable(out.parent)

    from qubo_prune.hessians.calibration import load_calibration
    from qubo_prune.hessians.extract import extract as run
    from qubo_prune.hessians.extract import require_new_file
    from qubo_prune.hessians.model import load_model, load_tokenizer, require_dtype

    if quiet or not sys.stderr.isatty():
        silence_libraries()
    # What can be wrong is found out before the model, which may take minutes, is loaded.
    require_new_file(out)
    require_dtype(dtype)
    tokenizer = load_tokenizer(model, revision=revision, trust_remote_code=trust_remote_code)
    calibration = load_calibration(
        data[0] if len(data) == 1 else data,
        tokenizer,
        num_samples=samples,
        sequence_length=sequence_length,
        seed=seed,
        split=split,
        config=config,
        text_field=text_field,
        mask_prompt=mask_prompt,
        revision=data_revision,
    )
    loaded = load_model(
        model,
        dtype=dtype,
        device_map=device,
        revision=revision,
        trust_remote_code=trust_remote_code,
    )
    with watched(quiet) as watch:
        extraction = run(
            loaded,
            calibration,
            out,
            granularity=granularity,  # type: ignore[arg-type]
            layers=layers,
            shard=part,
            batch_size=batch_size,
            with_gradients=save_gradients,
            gradient_checkpointing=gradient_checkpointing,
            check_dtype=check_dtype,
            time_limit=time_limit,
            progress=watch.progress,
        )
    if json:
        print_json(_facts(extraction))
    elif not quiet:
        print(_sentence(extraction))
    return EXIT_DONE if extraction.complete else exit_code(extraction.stop_reason)


def silence_libraries() -> None:
    """Keep the progress bars of libraries out of logs."""
    os.environ["HF_DATASETS_DISABLE_PROGRESS_BARS"] = "1"  # read when datasets is imported
    with contextlib.suppress(ImportError):  # which `load_tokenizer` tells of
        transformers = importlib.import_module("transformers")  # its functions carry no types
        transformers.utils.logging.disable_progress_bar()


def _parse_shard(text: str | None) -> tuple[int, int] | None:
    if text is None:
        return None
    match = re.fullmatch(r"(\d{1,9})/(\d{1,9})", text)
    if match is None or not 1 <= int(match[1]) <= int(match[2]):
        raise InputError(f"--shard takes I/N with 1 <= I <= N, got {text!r}; write e.g. 2/8")
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
        return f"Done: {extraction.num_samples} samples {pace}; the Hessian is {extraction.path}."
    return (
        f"Stopped ({extraction.stop_reason.value}): {extraction.num_done} of {extraction.num_samples} samples are done and kept, {pace}; "
        "the same command goes on."
    )
