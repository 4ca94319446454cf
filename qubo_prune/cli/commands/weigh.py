"""`qubo-prune weigh`: what each block of a model weighs, in milliseconds measured here."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from qubo_prune.cli import options
from qubo_prune.cli.commands.evaluate import NewTokens, PromptTokens, Repeats
from qubo_prune.cli.files import Files
from qubo_prune.cli.models import Granularity, ModelAlone
from qubo_prune.cli.output import EXIT_OUTPUT, exit_code, print_json, print_table, print_text
from qubo_prune.cli.progress import watched
from qubo_prune.core.errors import InputError
from qubo_prune.core.text import plural

if TYPE_CHECKING:
    from qubo_prune.pruning.block_times import BlockTimes

Out = Annotated[
    Path,
    typer.Option(metavar="FILE", help="Write the weights to FILE, a .json or .csv, for --weights."),
]
Phase = Annotated[
    str,
    typer.Option(
        metavar="WHAT",
        help="Whose milliseconds FILE holds: prefill, of the prompt, or decode, of each new token.",
    ),
]
By = Annotated[
    str,
    typer.Option(
        metavar="WHAT",
        help="Times of each block, or of a typical one of its kind: less noise where all do alike.",
    ),
]
TimeLimit = Annotated[
    float | None,
    typer.Option(metavar="S", help="Stop after S seconds, with the repetitions by then."),
]


@options.spread
def weigh(
    *,
    source: ModelAlone,
    out: Out,
    granularity: Granularity = "block",
    phase: Phase = "decode",
    by: By = "block",
    prompt_tokens: PromptTokens = 512,
    new_tokens: NewTokens = 32,
    repeats: Repeats = 9,
    time_limit: TimeLimit = None,
    json: options.Json = False,
    verbose: options.Verbose = 0,
    quiet: options.Quiet = False,
) -> int:
    """Time the blocks of a model, for a budget of milliseconds.

    Every block is timed in every pass, for a prompt and for each token after it, one sequence, on
    this machine. Exits with 0 when done, 2 on bad input, 3 when the time limit and 130 when Ctrl-C
    came first; in the last two cases what was timed by then is written.
    """
    from qubo_prune.core.files.weights import require_weights_replaceable, write_weights
    from qubo_prune.pruning.block_times import BY, PHASES, measure_block_times

    for option, value, known in (("--phase", phase, PHASES), ("--by", by, BY)):
        if value not in known:
            raise InputError(f"{option} takes {' or '.join(known)}, not {value!r}; choose one.")
    files = Files()
    files.writes(out, "--out", require=require_weights_replaceable)
    source.check(quiet)
    model = source.load_model()

    from qubo_prune.core.stopping import Stop
    from qubo_prune.hessians.gates.gates import find_gates

    gates = find_gates(model, granularity, layers=source.layers)  # type: ignore[arg-type]
    with watched(quiet, verbose) as watch:
        times = measure_block_times(
            gates,
            prompt_tokens=prompt_tokens,
            new_tokens=new_tokens,
            repeats=repeats,
            stop=Stop(time_limit, progress=watch.progress),
        )
    weights = times.weights(phase, by)
    files.write(out, partial(write_weights, names=times.names, weights=weights))
    if not quiet:
        files.tell_written()
    if json:
        facts = {"model": source.model, "granularity": granularity, "phase": phase, "by": by}
        print_json({**facts, "weights": list(weights), **times.to_dict()})
    elif not quiet:
        _show(times, by)
    return EXIT_OUTPUT if files.failed else exit_code(times.stop_reason)


def _show(times: BlockTimes, by: str) -> None:
    """Print what each block, or each kind, takes, with its share of the whole."""
    import numpy as np

    from qubo_prune.pruning.block_times import PHASES

    columns = [times.milliseconds(phase, by) for phase in PHASES]
    rows = []
    kinds = list(dict.fromkeys(times.kinds))
    chosen = (
        [times.kinds.index(kind) for kind in kinds] if by == "kind" else range(len(times.names))
    )
    for block in chosen:
        name = f"each {times.kinds[block]}" if by == "kind" else times.names[block]
        cells = [_figure(medians[block], errors[block]) for medians, errors in columns]
        rows.append([name, times.kinds[block], *cells])
    sums = [float(medians.sum()) for medians, _ in columns]
    whole = [1e3 * float(np.median(times.whole[phase])) for phase in PHASES]
    rows.append(["all blocks", "", *(f"{each:.4g} ms" for each in sums)])
    rows.append(["the model", "", *(f"{each:.4g} ms" for each in whole)])
    print_table(["block", "kind", *PHASES], rows, keys=2)
    print_text(
        f"Medians of {plural(times.repeats, 'repetition')} and their standard errors: a prompt of"
        f" {plural(times.prompt_tokens, 'token')} (prefill), and each of"
        f" {plural(times.new_tokens, 'token')} after it (decode), one sequence."
    )


def _figure(median: float, error: float) -> str:
    return f"{median:.4g} ms" + ("" if error != error else f" ± {error:.2g}")  # noqa: PLR0124
