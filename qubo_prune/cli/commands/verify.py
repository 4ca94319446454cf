"""`qubo-prune verify`: check certificates."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from qubo_prune.cli import options
from qubo_prune.cli.output import (
    CERTIFICATE_SUFFIX,
    EXIT_DONE,
    EXIT_FAILURE,
    exit_code,
    print_json,
    print_line,
    print_table,
    print_text,
    tell,
)
from qubo_prune.cli.progress import watched
from qubo_prune.core.defaults import MAX_STATES
from qubo_prune.core.errors import InputError, SpectrumError

if TYPE_CHECKING:
    from qubo_prune.solving.proof.certificate import Certificate
    from qubo_prune.solving.proof.verification import Verification

Files = Annotated[
    list[Path],
    typer.Argument(
        metavar="FILE",
        help=(
            f"Certificates, or folders: all files in them that end in {CERTIFICATE_SUFFIX}, as"
            " `sweep` writes them."
        ),
    ),
]
Hessian = Annotated[
    str | None,
    typer.Option(
        metavar="HESSIAN",
        help=(
            "A .npy file, or the name of a bundled Hessian.  [default: the one named in FILE, if it"
            " is bundled or beside FILE]"
        ),
    ),
]
MaxStates = Annotated[
    float,
    typer.Option(
        metavar="COUNT",
        help=(
            "Solve anew with another engine if there are at most COUNT states.  [default:"
            f" {MAX_STATES:g}]"
        ),
        show_default=False,
    ),
]
TimeLimit = Annotated[
    float | None,
    typer.Option(
        metavar="S",
        help="Solve anew for at most S seconds each, however many states there are.",
    ),
]
Seed = Annotated[int, typer.Option(metavar="N", help="Seed of the random states.")]


def verify(
    files: Files,
    hessian: Hessian = None,
    max_states: MaxStates = MAX_STATES,
    time_limit: TimeLimit = None,
    seed: Seed = 1,
    threads: options.Threads = None,
    json: options.Json = False,
    verbose: options.Verbose = 0,
    quiet: options.Quiet = False,
) -> int:
    """Check certificates, and say what is only claimed.

    Several get one line each. Exits with 0 if no check failed, 1 if one did, 2 on bad input, 3 when
    the time limit and 130 when Ctrl-C cut the solution with another engine short.
    """
    from qubo_prune.core.stopping import StopReason
    from qubo_prune.solving.proof.certificate import Certificate

    found = _expand(files)
    single = len(files) == 1 and not files[0].is_dir()
    verifications: dict[Path, Verification] = {}
    with watched(quiet, verbose) as watch:
        for file in found:

            def announce(sentence: str, prefix: str = "" if single else f"{file}: ") -> None:
                if not quiet:
                    tell(f"{prefix}{sentence}")

            verifications[file] = verification = _examine(
                file,
                hessian,
                strict=single,
                time_limit=time_limit,
                max_states=max_states,
                threads=threads,
                seed=seed,
                progress=watch.progress,
                announce=announce,
            )
            watch.hide()
            if not (json or quiet or single):
                print_line(f"{file}: {_verdict(verification, with_findings=True)}")
            if verification.stop_reason is StopReason.INTERRUPTED:
                break
    if single:
        [verification] = verifications.values()
        if json:
            print_json(verification.to_dict())
        elif not quiet:
            _show(Certificate.load(file), verification)
    elif json:
        print_json(
            {
                "certificates": [
                    {"file": str(file), **verification.to_dict()}
                    for file, verification in verifications.items()
                ]
            }
        )
    elif not quiet:
        print_line(_summary(verifications, len(found)))
    if any(verification.failed for verification in verifications.values()):
        return EXIT_FAILURE
    return max((exit_code(each.stop_reason) for each in verifications.values()), default=EXIT_DONE)


def _examine(file: Path, hessian: str | None, *, strict: bool, **arguments: Any) -> Verification:
    """Verify one certificate.

    Parameters
    ----------
    file, hessian
        The certificate, and its Hessian if the user named it.
    strict
        Whether bad input is raised; otherwise such a file fails, and the others are looked at.
    **arguments
        Of `verify`.
    """
    from qubo_prune.solving.proof.certificate import Certificate
    from qubo_prune.solving.proof.verification import failure
    from qubo_prune.solving.proof.verifier import verify as verify_certificate

    step, num_proven = "format", 0
    try:
        certificate = Certificate.load(file)
        step, num_proven = "problem", certificate.spectrum.num_proven
        source = hessian or _hessian_of(certificate, file)
        problem = certificate.problem(source)
        borrowed = certificate.borrowed(source)
        return verify_certificate(certificate, problem, borrowed=borrowed, **arguments)
    except SpectrumError as error:
        return failure(step, error, num_proven)
    except InputError as error:
        if strict:
            raise
        return failure(step, error, num_proven)


def _expand(files: list[Path]) -> list[Path]:
    """Return the files, with the certificates in a folder in its place."""
    found: list[Path] = []
    for file in files:
        if file.is_dir():
            inside = [each for each in file.iterdir() if each.name.endswith(CERTIFICATE_SUFFIX)]
            if not inside:
                raise InputError(
                    f"no file in the folder {str(file)!r} ends in {CERTIFICATE_SUFFIX}; name the"
                    " certificates."
                )
            found += sorted(inside, key=_in_natural_order)
        elif file.suffix.lower() != ".json":
            raise InputError(
                f"a certificate ends in .json, not {file.name!r}; name a Hessian with --hessian."
            )
        else:
            found.append(file)
    return found


def _in_natural_order(file: Path) -> list[tuple[int, str]]:
    """Return a key that sorts ``remove-8`` before ``remove-10``."""
    return [
        (int(part), "") if part.isdecimal() else (-1, part)
        for part in re.split(r"([0-9]+)", file.name)
    ]


def _hessian_of(certificate: Certificate, file: Path) -> str:
    """Return the Hessian that a certificate names: a bundled one or a file beside it, never
    elsewhere.
    """
    from qubo_prune.core.files.bundled import bundled
    from qubo_prune.core.files.formats import has_format

    name = certificate.hessian
    if name is not None:
        beside = file.parent / Path(name).name
        if (beside.suffix == ".npy" or has_format(beside)) and beside.is_file():
            return str(beside)
        if name in {each.name for each in bundled()}:
            return name
    raise InputError(
        f"{file} names the Hessian {name!r:.80}, which is neither bundled nor beside it; "
        "give the Hessian with --hessian."
    )


def _show(certificate: Certificate, verification: Verification) -> None:
    """Print the checks and the verdict."""
    print_text(certificate.spectrum.summary())
    rows = [(check.name, check.outcome.value, check.sentence) for check in verification.checks]
    print_table(("check", "outcome", "finding"), rows)
    print_text(f"Recomputed: {verification.recomputed}.")
    print_text(f"Only claimed: {verification.claimed}.")
    print_line(_verdict(verification))


def _verdict(verification: Verification, with_findings: bool = False) -> str:
    """Say in a line what came of a certificate."""
    if verification.failed:
        failed = [
            f"{check.name} ({check.sentence})" if with_findings else check.name
            for check in verification.failed
        ]
        return f"FAILED: {', '.join(failed)}"
    if verification.complete:
        return "VERIFIED, and solved anew by another engine"
    stopped = exit_code(verification.stop_reason) != EXIT_DONE
    reason = f" ({verification.stop_reason.value})" if with_findings and stopped else ""
    if not verification.num_proven:
        return (
            f"NOTHING PROVEN{reason}: verified are energies, constraint, order and distinctness of"
            " the list, not that any of its states is among the lowest"
        )
    return f"VERIFIED as far as was possible{reason}; completeness is only claimed"


def _summary(verifications: dict[Path, Verification], count: int) -> str:
    """Say what came of all certificates."""
    failed = sum(not each.passed for each in verifications.values())
    complete = sum(each.complete for each in verifications.values())
    bare = sum(each.passed and not each.num_proven for each in verifications.values())
    unseen = count - len(verifications)
    return (
        f"{count} certificate{'s' if count != 1 else ''}: {failed} failed, {complete} verified and"
        f" solved anew, {len(verifications) - failed - complete - bare} verified as far as was"
        " possible"
        + (f", {bare} with nothing proven" if bare else "")
        + (f", {unseen} not looked at" if unseen else "")
    )
