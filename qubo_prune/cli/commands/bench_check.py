"""`qubo-prune bench check`: results recomputed."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from qubo_prune.cli import options
from qubo_prune.cli.output import (
    EXIT_DONE,
    EXIT_FAILURE,
    EXIT_INTERRUPTED,
    print_json,
    print_line,
    print_text,
    tell,
)
from qubo_prune.cli.progress import watched
from qubo_prune.core.text import plural

if TYPE_CHECKING:
    from qubo_prune.bench.references import Reference
    from qubo_prune.bench.tasks import Task

Inputs = Annotated[list[Path], typer.Argument(metavar="RESULTS", help="Files of results.")]
ReferenceLimit = Annotated[
    float,
    typer.Option(
        metavar="S", help="Seconds to prove each spectrum of which no proof is kept here.", min=0
    ),
]


def check(
    results: Inputs,
    reference_limit: ReferenceLimit = 0.0,
    json: options.Json = False,
    verbose: options.Verbose = 0,
    quiet: options.Quiet = False,
) -> int:
    """Recompute what can be of files of results.

    Makes each problem again, recomputes the energies of all states, holds references and proofs
    against certificates, and takes the measures once more. Exits with 1 if something is wrong.
    """
    from qubo_prune.bench.check import check_runs
    from qubo_prune.bench.references import known_reference, reference_of
    from qubo_prune.bench.results import ReferenceKind, read_results
    from qubo_prune.core.stopping import Stop

    found = read_results(results)
    for path in found.truncated:
        tell(f"warning: the last line of {path} was cut off and is left out.")
    with watched(quiet, verbose) as watch:
        stop = Stop()

        def proof_of(task: Task) -> Reference | None:
            known = known_reference(task)
            if reference_limit and (known is None or known.kind is not ReferenceKind.CERTIFIED):
                known = reference_of(task, reference_limit, stop, watch.progress)
            proven = known is not None and known.kind is ReferenceKind.CERTIFIED
            return known if proven else None

        checked = []
        for each in check_runs(found.runs, proof_of):
            if stop.reason is not None:
                return EXIT_INTERRUPTED
            checked.append(each)
    wrong = [each for each in checked if each.wrong]
    unchecked = [each for each in checked if each.unchecked]
    if json:
        print_json(
            {
                "runs": len(checked),
                "wrong": [
                    {"key": each.run.key, "backend": each.run.backend,
                     "instance": each.run.instance, "reasons": list(each.wrong)}
                    for each in wrong
                ],
                "unchecked": [
                    {"key": each.run.key, "reason": each.unchecked} for each in unchecked
                ],
            }
        )  # fmt: skip
    elif not quiet:
        for each in wrong:
            print_text(
                f"WRONG: {each.run.backend} on {each.run.instance}, seed {each.run.seed}:"
                f" {'; '.join(each.wrong)}"
            )
        for reason in dict.fromkeys(each.unchecked for each in unchecked):
            count = sum(each.unchecked == reason for each in unchecked)
            print_text(f"Not checked in {plural(count, 'run')}: {reason}")
        right = len(checked) - len(wrong)
        print_line(
            f"{plural(len(checked), 'run')}, {right} without a contradiction, {len(wrong)} wrong"
        )
    return EXIT_FAILURE if wrong else EXIT_DONE
