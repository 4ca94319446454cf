"""Which licence Gurobi would use, told without asking a licence server."""

from __future__ import annotations

import os
import sys
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from qubo_prune.backends.base import Availability
from qubo_prune.backends.common.libraries import library_availability

FREE_LICENCE_VARIABLES = 200
"""Variables that the licence inside gurobipy allows in a problem with a quadratic objective."""


def gurobi_availability() -> Availability:
    """Say whether gurobipy is installed, and with which licence."""
    library = library_availability("gurobipy", "gurobipy", "gurobi")
    if not library.installed:
        return library
    named = os.environ.get("GRB_LICENSE_FILE", "")
    places = [Path(place) for place in named.split(os.pathsep)] if named else _licence_places()
    if any(place.is_file() for place in places):
        return replace(library, licensed=True, detail=f"{library.detail} with a licence file")
    if named:
        return replace(
            library,
            licensed=False,
            detail=f"{library.detail}; GRB_LICENSE_FILE names {named!r}, which is not a file",
        )
    return replace(
        library,
        licensed=True,
        detail=(
            f"{library.detail} with the licence it brings, for at most {FREE_LICENCE_VARIABLES}"
            " blocks to choose from"
        ),
    )


def _licence_places() -> list[Path]:
    """Return the licence files where Gurobi looks for them by itself."""
    folder = Path({"win32": "C:/", "darwin": "/Library"}.get(sys.platform, "/opt"))
    places = list(folder.glob("gurobi*/gurobi.lic"))
    with suppress(RuntimeError):
        places.append(Path.home() / "gurobi.lic")
    return places
