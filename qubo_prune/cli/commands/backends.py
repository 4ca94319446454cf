"""`qubo-prune backends`: the solvers, what they can do and whether they can run here."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, NamedTuple

from qubo_prune.cli import options
from qubo_prune.cli.output import EXIT_DONE, print_json, print_table, print_text

if TYPE_CHECKING:
    from qubo_prune.backends.base import Availability, Capability

_COLUMNS = ("backend", "exact", "proves", "native", "budget", "installed", "licensed", "device")


class _Listed(NamedTuple):
    name: str
    distribution: str | None
    summary: str
    capabilities: Capability
    options: tuple[str, ...]
    availability: Availability


def backends(json: options.Json = False) -> int:
    """List the solvers and what they can do.

    native: the number of removed blocks is a constraint to the solver, not a penalty. budget: it
    takes a problem that says what the removed blocks weigh at least.
    """
    from qubo_prune.backends.built_ins import backend_names

    listed = [_look_up(name) for name in backend_names()]
    if json:
        print_json({"backends": [_document(each) for each in listed]})
        return EXIT_DONE
    print_table(_COLUMNS, [_row(each) for each in listed])
    for each in listed:
        print_text(_remark(each), indent="  ")
    return EXIT_DONE


def _look_up(name: str) -> _Listed:
    from qubo_prune.backends.base import Availability, Capability
    from qubo_prune.backends.registry import availability_of, backend_class, distribution_of
    from qubo_prune.core.errors import BackendError

    origin = distribution_of(name)
    try:
        found = backend_class(name)
        availability = availability_of(name)
    except BackendError as error:  # of another package, and no reason to hide the others
        broken = Availability(installed=False, detail=str(error).rstrip("."))
        return _Listed(name, origin, "", Capability.NONE, (), broken)
    return _Listed(name, origin, found.summary, found.capabilities, found.options(), availability)


def _document(listed: _Listed) -> dict[str, object]:
    from qubo_prune.backends.base import Capability

    return {
        "name": listed.name,
        "distribution": listed.distribution,
        "summary": listed.summary,
        "capabilities": [
            str(flag.name).lower() for flag in Capability if flag in listed.capabilities
        ],
        "options": list(listed.options),
        "usable": listed.availability.usable,
        **dataclasses.asdict(listed.availability),
    }


def _row(listed: _Listed) -> tuple[str, ...]:
    from qubo_prune.backends.base import Capability

    can = (
        Capability.EXACT,
        Capability.PROVES,
        Capability.NATIVE_CONSTRAINT,
        Capability.BUDGET,
    )
    here = listed.availability
    answers = (here.installed, here.licensed, here.device)
    return (
        listed.name,
        *(_mark(flag in listed.capabilities) for flag in can),
        *(_mark(answer) for answer in answers),
    )


def _remark(listed: _Listed) -> str:
    origin = f" ({listed.distribution})" if listed.distribution else ""
    install = listed.availability.install
    remarks = (
        listed.summary,
        listed.availability.detail,
        f"install it with: {install}" if install else "",
    )
    return f"{listed.name}{origin}: " + "; ".join(filter(None, remarks))


def _mark(answer: bool | None) -> str:
    return "-" if answer is None else "yes" if answer else "no"
