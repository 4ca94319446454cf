"""`qubo-prune merge`: one Hessian from the shards of a calibration."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from qubo_prune.cli import options
from qubo_prune.cli.files import Files, declare_hessian
from qubo_prune.cli.output import EXIT_DONE, print_footer, print_json
from qubo_prune.core.errors import InputError
from qubo_prune.core.text import plural

Shards = Annotated[
    list[Path], typer.Argument(metavar="SHARD", help="The .npy files of the shards.")
]
Out = Annotated[Path, typer.Option("--out", metavar="FILE", help="The .npy file to write.")]
AllowPartial = Annotated[
    bool, typer.Option("--allow-partial", help="Merge although shards are missing.")
]


def merge(
    shards: Shards,
    out: Out,
    allow_partial: AllowPartial = False,
    json: options.Json = False,
    quiet: options.Quiet = False,
) -> int:
    """Merge the Hessians of the shards of one calibration.

    They must agree in all that matters and have no sample in common. Per-sample gradients are
    concatenated if all shards have them.
    """
    from qubo_prune.core.files.gradients import gradients_path
    from qubo_prune.hessians.merge import merge_hessians

    # A pattern as part-*.npy also names the gradients beside the shards, which are found anyway.
    beside_shards = {gradients_path(shard) for shard in shards}
    shards = [shard for shard in shards if shard not in beside_shards]
    files = Files()
    files.reads(*beside_shards)
    for shard in shards:
        files.reads_hessian(shard, what="the shard")
    declare_hessian(files, out, with_gradients=True)
    beside = gradients_path(out)
    if beside.exists() and not all(gradients_path(shard).exists() for shard in shards):
        raise InputError(
            f"--out: {beside} would be taken for the gradients of {out.name}, and not all shards"
            " have some; delete it, or name another file."
        )
    file = merge_hessians(shards, out, allow_partial=allow_partial)
    missing = file.metadata.get("missing_shards", [])
    facts = {
        "file": str(out),
        "num_blocks": file.num_blocks,
        "shards": len(shards),
        "missing_shards": missing,
        "samples": file.metadata["samples"],
        "gradients": str(beside) if beside.exists() else None,
    }
    if json:
        print_json(facts)
    elif not quiet:
        lacking = f" (shards {', '.join(map(str, missing))} missing)" if missing else ""
        also = f"; per-sample gradients in {beside}" if beside.exists() else ""
        print_footer(
            f"{out}: {plural(file.num_blocks, 'block')}, {facts['samples']} samples of"
            f" {plural(len(shards), 'shard')}{lacking}{also}"
        )
    return EXIT_DONE
