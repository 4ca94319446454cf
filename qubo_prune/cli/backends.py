"""`qubo-prune backends`: the solvers, what they can do and whether they can run here."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

from qubo_prune.cli import options
from qubo_prune.cli.output import EXIT_DONE, print_json, print_table

if TYPE_CHECKING:
    from qubo_prune.backends.base import Backend

_COLUMNS = (
    "backend",
    "exact",
    "proves",
    "native constraint",
    "installed",
    "licensed",
    "device",
    "what it is",
)


def backends(json: options.Json = False) -> int:
    """List the solvers and what they can do."""
    from qubo_prune.backends import backend_class, backend_names

    classes = [backend_class(name) for name in backend_names()]
    if json:
        print_json({"backends": [_describe(backend) for backend in classes]})
    else:
        print_table(_COLUMNS, [_row(backend) for backend in classes])
    return EXIT_DONE


def _describe(backend: type[Backend]) -> dict[str, object]:
    from qubo_prune.backends.base import Capability

    availability = backend.availability()
    return {
        "name": backend.name,
        "summary": backend.summary,
        "capabilities": [
            str(flag.name).lower() for flag in Capability if flag in backend.capabilities
        ],
        "options": list(backend.options()),
        "usable": availability.usable,
        **dataclasses.asdict(availability),
    }


def _row(backend: type[Backend]) -> tuple[str, ...]:
    from qubo_prune.backends.base import Capability

    availability = backend.availability()
    remarks = (backend.summary, availability.detail, availability.install)
    return (
        backend.name,
        _mark(Capability.EXACT in backend.capabilities),
        _mark(Capability.PROVES in backend.capabilities),
        _mark(Capability.NATIVE_CONSTRAINT in backend.capabilities),
        _mark(availability.installed),
        _mark(availability.licensed),
        _mark(availability.device),
        "; ".join(filter(None, remarks)),
    )


def _mark(answer: bool | None) -> str:
    return "-" if answer is None else "yes" if answer else "no"
