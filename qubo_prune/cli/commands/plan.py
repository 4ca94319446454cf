"""`qubo-prune plan`: what it would take to visit every state."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from qubo_prune.cli import options
from qubo_prune.cli.output import EXIT_DONE, print_json, print_line
from qubo_prune.cli.progress import watched
from qubo_prune.core.defaults import EXECUTORS
from qubo_prune.core.text import format_duration

if TYPE_CHECKING:
    from qubo_prune.backends.enumeration.plan import Plan

Devices = Annotated[
    str | None,
    typer.Option(
        metavar="D", help="Cores or GPUs at work.  [default: the workers there are; 1 with --rate]"
    ),
]
Rate = Annotated[
    float | None,
    typer.Option(
        metavar="STATES_PER_SECOND",
        help="Speed of one device.  [default: measured, on the workers there are]",
    ),
]
TaskStates = Annotated[
    int | None,
    typer.Option(
        metavar="COUNT",
        help="Most states in a task.  [default: what lasts 20 ms, at least 2^27, or 2^36 on GPUs]",
    ),
]


@options.spread
def plan(
    *,
    problem: options.ProblemOptions,
    states: options.States = 100,
    devices: Devices = None,
    rate: Rate = None,
    task_states: TaskStates = None,
    executor: options.ExecutorName = None,
    scheduler: options.Scheduler = None,
    json: options.Json = False,
    quiet: options.Quiet = False,
) -> int:
    """Say how long it would take to visit every state.

    For the backend `enumeration` alone: what branch and bound needs depends on the matrix, and
    cannot be told beforehand.
    """
    loaded = problem.load()

    from qubo_prune.backends.enumeration.plan import plan as make

    with watched(quiet):
        found = make(
            loaded,
            _devices(devices),
            rate,
            num_states=states,
            task_states=task_states,
            executor=EXECUTORS[0] if executor is None else executor,
            scheduler=scheduler,
        )
    if json:
        print_json(found.to_dict())
    elif not quiet:
        _show(found)
    return EXIT_DONE


def _devices(text: str | None) -> int | str | None:
    """Return a number of devices; the other texts are for `plan` to judge."""
    try:
        return None if text is None else int(text)
    except ValueError:
        return text


def _show(found: Plan) -> None:
    from qubo_prune.core.text import format_bytes, format_count

    source = "measured" if found.measured else "as given"
    facts = {
        "states": format_count(found.num_states),
        "tasks": format_count(found.num_tasks),
        "largest task": f"{format_count(found.largest_task)} states",
        "devices": f"{format_count(found.devices)}, {found.rate:.2e} states/s each, {source}",
        "expected time": format_duration(found.seconds),
        "checkpoints": (
            f"{format_count(found.num_checkpoints)} of about {format_bytes(found.checkpoint_bytes)}"
        ),
        "memory": f"{format_bytes(found.device_bytes)} per worker",
        "options": (
            f"--backend enumeration{_workers(found)} --option task_states={found.task_states}"
        ),
    }
    for name, fact in facts.items():
        print_line(f"{name:<14}{fact}")


def _workers(found: Plan) -> str:
    """Return the options that say who does the work, unless that goes without saying."""
    named = {"executor": found.executor, "scheduler": found.scheduler}
    if found.executor == EXECUTORS[0]:
        return ""
    return "".join(f" --{name} {value}" for name, value in named.items() if value is not None)
