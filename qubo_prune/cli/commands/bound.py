"""`qubo-prune bound`: how much lower than the best state found any other can be."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from qubo_prune.cli import options
from qubo_prune.cli.output import exit_code, print_json, print_text
from qubo_prune.cli.progress import watched
from qubo_prune.core.text import format_duration

if TYPE_CHECKING:
    from qubo_prune.core.spectrum.spectrum import Spectrum
    from qubo_prune.solving.bounding.bound import LowerBound

SpectrumFile = Annotated[
    Path | None,
    typer.Option(
        "--spectrum",
        metavar="FILE",
        help="A spectrum of the problem, of any backend.  [default: tabu looks for a low state]",
    ),
]
TimeLimit = Annotated[
    float | None,
    typer.Option(
        metavar="S",
        help="Stop after S seconds with the bound by then; a quarter of it is for a low state.",
    ),
]

_BACKEND = "tabu"
_SEARCHING = 0.25
"""Part of a time limit that is for a low state."""


@options.spread
def bound(
    *,
    problem: options.ProblemOptions,
    spectrum: SpectrumFile = None,
    time_limit: TimeLimit = None,
    seed: options.Seed = 0,
    json: options.Json = False,
    verbose: options.Verbose = 0,
    quiet: options.Quiet = False,
) -> int:
    """Say how much lower than the best state another can lie.

    For problems that no search can prove; up to 2,000 blocks take minutes. Exits with 0 when
    done, 2 on bad input, 3 when stopped by the limit and 130 by Ctrl-C or SIGTERM; in the last
    two cases the bound by then is printed all the same.
    """
    loaded = problem.load()

    from qubo_prune.core.spectrum.spectrum import Spectrum
    from qubo_prune.core.stopping import Stop, StopReason
    from qubo_prune.solving.bounding.bound import lower_bound
    from qubo_prune.solving.solve import solve

    with watched(quiet, verbose) as watch:
        left = time_limit
        if spectrum is None:
            part = None if time_limit is None else _SEARCHING * time_limit
            searching = Stop(part, progress=watch.progress)
            found = solve(loaded, num_states=1, backend=_BACKEND, seed=seed, stop=searching)
            if time_limit is not None:
                left = max(1e-9, time_limit - found.timings["total"])
        else:
            found = Spectrum.load(spectrum)
            found.check(loaded)
        stop = Stop(left, progress=watch.progress)
        if spectrum is None and found.stop_reason is StopReason.INTERRUPTED:
            stop.cancel()
        lowest = float(found.energies[0]) if len(found) else math.inf
        result = lower_bound(loaded, stop=stop, lowest=lowest)
        watch.hide()
    if json:
        print_json({**_facts(found, result), "hessian_sha256": loaded.hessian_sha256})
    elif not quiet:
        _show(found, result)
        if loaded.budget is not None:
            print_text("The budget counts in the bound at a price of weight.")
    return exit_code(result.stop_reason)


def _facts(found: Spectrum, result: LowerBound) -> dict[str, object]:
    """Return the bound, the lowest state found and the gap between them."""
    from qubo_prune.core.files.strict_json import from_lower_bound

    facts: dict[str, object] = result.to_dict()
    facts["lower_bound"] = from_lower_bound(result.value)
    if len(found):
        lowest = float(found.energies[0])
        gap = result.gap(lowest)
        facts |= {
            "backend": found.backend,
            "lowest_energy": lowest,
            "removed": found.removed(0),
            "gap": gap if math.isfinite(gap) else None,
        }
    return facts


def _show(found: Spectrum, result: LowerBound) -> None:
    """Print the bound, and what it means for the lowest state found."""
    text = f"No state has an energy below {result.value:.9g}."
    if len(found):
        lowest = float(found.energies[0])
        gap = result.gap(lowest)
        room = f"{100 * gap:.3g} %" if math.isfinite(gap) else f"{lowest - result.value:.9g}"
        text += (
            f" The lowest found, by {found.backend}, has {lowest:.9g}, so any other is at most"
            f" {room} lower."
        )
    print_text(text)
    print_text(
        f"The bound was tightened {result.stages} times in {format_duration(result.seconds)}"
        f" ({result.stop_reason.value})."
    )
