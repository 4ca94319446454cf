"""Which licence Gurobi would use, told without asking a licence server."""

from __future__ import annotations

import datetime
import os
import re
import sys
from contextlib import suppress
from dataclasses import replace
from importlib.util import find_spec
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
    found = next((place for place in places if place.is_file()), None)
    expired = _expired(found or _own_licence())
    if expired is not None:
        return replace(
            library, licensed=False, detail=f"{library.detail}; licence expired on {expired}"
        )
    if found is not None:
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


def _own_licence() -> Path:
    """Return the licence file that comes with gurobipy."""
    spec = find_spec("gurobipy")
    folders = (spec.submodule_search_locations if spec else None) or ["."]
    return Path(folders[0], ".libs", "gurobi.lic")


def _expired(licence: Path) -> str | None:
    """Return the day on which a licence file expired; None if it did not, or does not say so."""
    try:
        text = licence.read_text("utf-8", "replace")
    except OSError:
        return None
    day = re.search(r"^EXPIRATION=(\d{4}-\d{2}-\d{2})\s*$", text, re.MULTILINE)
    today = datetime.datetime.now(datetime.UTC).date().isoformat()
    return day[1] if day and day[1] < today else None
