"""`qubo-prune heal`: a pruned model brought nearer to its original."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from qubo_prune.cli import options
from qubo_prune.cli.distillation import DistillOptions
from qubo_prune.cli.files import check_out_folder
from qubo_prune.cli.models import (
    BatchSize,
    Data,
    DataConfig,
    DataRevision,
    Device,
    Dtype,
    Layers,
    MaskPrompt,
    ModelOptions,
    Seed,
    SequenceLength,
    Split,
    TextField,
    TrustRemoteCode,
)
from qubo_prune.cli.output import exit_code, print_json, print_text, stdout_console, tell
from qubo_prune.cli.progress import watched
from qubo_prune.core.defaults import BATCH_SIZE
from qubo_prune.core.errors import InputError

if TYPE_CHECKING:
    from qubo_prune.hessians.calibration.calibration import Calibration
    from qubo_prune.pruning.healing.healed import Healed

Folder = Annotated[
    str, typer.Argument(metavar="MODEL", help="The folder of a pruned model, as `prune` writes it.")
]
OriginalModel = Annotated[
    str, typer.Option("--original", metavar="MODEL", help="The model that it was made from.")
]
Out = Annotated[
    Path,
    typer.Option(
        metavar="DIR", help="The folder to write; one that this command wrote is replaced."
    ),
]
Method = Annotated[
    list[str],
    typer.Option(
        metavar="NAMES",
        help="What to do, in this order: rescale, linear, distill, as linear,distill. "
        " [default: linear]",
    ),
]
Blocks = Annotated[
    list[str],
    typer.Option(
        metavar="BLOCKS",
        help="The layers that are missing, as 3,10-12.  [default: what prune.json says]",
    ),
]
SamplesToHeal = Annotated[
    int | None,
    typer.Option(
        "--samples",
        metavar="COUNT",
        help="How many samples to heal with.  [default: 64; 4096 to distil]",
        min=1,
    ),
]
HeldOut = Annotated[
    int,
    typer.Option(
        metavar="COUNT", help="Samples to measure on, before and after; 0 for none.", min=0
    ),
]
Ridge = Annotated[
    float | None,
    typer.Option(
        metavar="R",
        help="How strongly `linear` holds on to what there is.  [default: by cross-validation]",
    ),
]


Original4Bit = Annotated[
    bool,
    typer.Option("--original-4bit", help="Load the original in 4 bits (NF4), by bitsandbytes."),
]
SAMPLES = 64
SAMPLES_TO_DISTILL = 4096


@options.spread
def heal(
    *,
    context: typer.Context,
    model: Folder,
    original: OriginalModel,
    data: Data,
    out: Out,
    method: Method = [],  # noqa: B006 - typer copies it
    blocks: Blocks = [],  # noqa: B006
    samples: SamplesToHeal = None,
    held_out: HeldOut = 64,
    sequence_length: SequenceLength = 512,
    seed: Seed = 0,
    split: Split = "train",
    data_config: DataConfig = None,
    text_field: TextField = None,
    mask_prompt: MaskPrompt = False,
    data_revision: DataRevision = None,
    ridge: Ridge = None,
    distillation: DistillOptions,
    original_4bit: Original4Bit = False,
    batch_size: BatchSize = BATCH_SIZE,
    dtype: Dtype = "auto",
    device: Device = "auto",
    layers: Layers = None,
    trust_remote_code: TrustRemoteCode = False,
    time_limit: options.ResumableTimeLimit = None,
    json: options.Json = False,
    verbose: options.Verbose = 0,
    quiet: options.Quiet = False,
) -> int:
    """Bring a pruned model nearer to its original, and save it.

    `rescale` and `linear` need no training and take one pass over the samples for each run of
    removed layers; `distill` trains the model to predict what the original predicts. The folder
    gets its name only when it was loaded again and gives the logits of the healed model. Exits with
    0 when done, 2 on bad input or if nothing can be done for this model, 3 when the time limit and
    130 when Ctrl-C came first, 4 when the folder cannot be written.
    """
    chosen = _methods(method, linear={"ridge": ridge}, distill=distillation.given())
    check_out_folder(out, [Path(model), *map(Path, data)])
    source = ModelOptions(
        model=model,
        data=data,
        seed=seed,
        split=split,
        data_config=data_config,
        text_field=text_field,
        mask_prompt=mask_prompt,
        dtype=dtype,
        data_revision=data_revision,
        trust_remote_code=trust_remote_code,
    )
    source.check(quiet)
    distils = any(each.name == "distill" for each in chosen)
    wanted = samples or (SAMPLES_TO_DISTILL if distils else SAMPLES)
    drawn = source.load_samples(wanted + held_out, sequence_length, quiet=quiet)
    to_heal, to_measure = _divided(drawn, wanted, held_out)

    from qubo_prune.core.stopping import Stop
    from qubo_prune.pruning.healing.healer import heal as run

    with watched(quiet, verbose) as watch:
        healed = run(
            model,
            original,
            to_heal,
            out,
            held_out=to_measure,
            methods=chosen,
            removed=options.parse_blocks(blocks) or None,
            batch_size=batch_size,
            dtype=dtype,
            device_map=device,
            layers=layers,
            command=options.command_line(context, besides=("device", "time_limit")),
            trust_remote_code=trust_remote_code,
            original_4bit=original_4bit,
            stop=Stop(time_limit, progress=watch.progress),
        )
    _show(healed, json=json, quiet=quiet)
    return exit_code(healed.stop_reason)


def _methods(names: Sequence[str], **switches: dict[str, Any]) -> list[Any]:
    """Return the configured methods; a switch of one that is not asked for is refused."""
    from qubo_prune.pruning.healing.registry import get_method

    asked = options.split_commas(names) or ["linear"]
    for name, given in switches.items():
        for switch, value in given.items():
            if value is not None and name not in asked:
                raise InputError(
                    f"--{switch.replace('_', '-')} is for the method {name}, which is not among"
                    f" {', '.join(asked)}; leave it out."
                )
    methods = []
    for name in asked:
        given = {key: each for key, each in switches.get(name, {}).items() if each is not None}
        methods.append(get_method(name, **given))
        methods[-1].check()
    return methods


def _divided(
    drawn: Calibration, samples: int, held_out: int
) -> tuple[Calibration, Calibration | None]:
    """Return the samples to heal with and those to measure on; where there are too few for both,
    the latter get at most a quarter.
    """
    if not held_out:
        return drawn, None
    if len(drawn) < 2:
        raise InputError(
            f"healing and measuring need at least 2 samples, not {len(drawn)}; give more data, or"
            " --held-out 0."
        )
    count = len(drawn)
    measured = min(held_out, max(1, count // 4)) if count < samples + held_out else held_out
    kept = count - measured
    return drawn.part(0, kept), drawn.part(kept, count)


def _show(healed: Healed, *, json: bool, quiet: bool) -> None:
    if not quiet and healed.is_written:
        tell(f"wrote {healed.out}")
    if json:
        print_json(healed.to_dict())
        return
    if quiet:
        return
    if not healed.is_written:
        print_text("stopped before anything was healed; nothing was written.")
        return
    if healed.evaluation is not None:
        stdout_console().print(healed.evaluation.to_table())
    for line in str(healed).splitlines():
        print_text(line)
