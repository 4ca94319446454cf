"""`qubo-prune verify`: check a certificate."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from qubo_prune.cli import options
from qubo_prune.cli.output import EXIT_FAILURE, exit_code, print_json, print_table, print_text
from qubo_prune.cli.progress import watched
from qubo_prune.errors import InputError, SpectrumError

if TYPE_CHECKING:
    from qubo_prune.certificate import Certificate
    from qubo_prune.verification import Verification

File = Annotated[
    Path,
    typer.Argument(metavar="FILE", help="A certificate, written by `qubo-prune solve`."),
]
Hessian = Annotated[
    str | None,
    typer.Argument(
        metavar="HESSIAN",
        help="A .npy file, or the name of a bundled Hessian.  [default: the one named in FILE, if it is bundled or beside FILE]",
        show_default=False,
    ),
]
MaxStates = Annotated[
    float,
    typer.Option(
        metavar="COUNT",
        help="Solve anew with another engine if there are at most COUNT states.",
        show_default="3e10",
    ),
]
TimeLimit = Annotated[
    float | None,
    typer.Option(
        metavar="S", help="Solve anew for at most S seconds, however many states there are."
    ),
]
Seed = Annotated[int, typer.Option(metavar="N", help="Seed of the random states.")]


def verify(
    file: File,
    hessian: Hessian = None,
    max_states: MaxStates = 3e10,
    time_limit: TimeLimit = None,
    seed: Seed = 1,
    threads: options.Threads = None,
    json: options.Json = False,
    quiet: options.Quiet = False,
) -> int:
    """Check a certificate: recompute what can be, say what is only claimed.

    Exits with 0 if no check failed, 1 if one did, 2 on bad input, 3 when the time limit and 130 when Ctrl-C cut the solution
    with another engine short.
    """
    from qubo_prune.certificate import Certificate

    certificate = Certificate.load(file)
    source = hessian or _hessian_of(certificate, file)
    with watched(quiet) as watch:

        def announce(sentence: str) -> None:
            if not quiet:
                print(f"qubo-prune: {sentence}", file=sys.stderr, flush=True)

        try:
            problem = certificate.problem(source)
        except SpectrumError as error:
            from qubo_prune.verification import failure

            verification = failure("problem", error)
        else:
            verification = certificate.verify(
                problem,
                time_limit=time_limit,
                max_states=max_states,
                threads=threads,
                seed=seed,
                progress=watch.progress,
                announce=announce,
            )
    if json:
        print_json(verification.to_dict())
    elif not quiet:
        _show(certificate, verification)
    return EXIT_FAILURE if verification.failed else exit_code(verification.stop_reason)


def _hessian_of(certificate: Certificate, file: Path) -> str:
    """Return the Hessian that a certificate names: a bundled one or a file beside it, never elsewhere."""
    from qubo_prune.hessians.store import bundled

    name = certificate.hessian
    if name is not None:
        beside = file.parent / Path(name).name
        if beside.suffix == ".npy" and beside.is_file():
            return str(beside)
        if name in {each.name for each in bundled()}:
            return name
    raise InputError(
        f"{file} names the Hessian {name!r:.80}, which is neither bundled nor beside it; "
        "give the Hessian as the second argument."
    )


def _show(certificate: Certificate, verification: Verification) -> None:
    """Print the checks and the verdict."""
    print_text(_printable(str(certificate.spectrum)))
    rows = [
        (check.name, check.outcome.value, _printable(check.sentence))
        for check in verification.checks
    ]
    print_table(("check", "outcome", "finding"), rows)
    print_text(f"Recomputed: {verification.recomputed}.")
    print_text(f"Only claimed: {verification.claimed}.")
    if verification.failed:
        print(f"FAILED: {', '.join(check.name for check in verification.failed)}")
    elif verification.complete:
        print("VERIFIED, and solved anew by another engine")
    else:
        print("VERIFIED as far as was possible; completeness is only claimed")


def _printable(text: str) -> str:
    """Return the text of a file that may hold control characters of terminals without them."""
    return "".join(character if character.isprintable() else "?" for character in text)
