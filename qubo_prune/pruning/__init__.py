"""Pruning: what removals do to a model, measured; cheap criteria beside it; and the loop that finds a good one.

*Energy proposes, the model answers, the energy is corrected, the solver proves again.* Names are
resolved on first use, so importing the room loads neither torch nor a solver.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from qubo_prune.pruning.loop import search_removals as search_removals
    from qubo_prune.pruning.measurement import ModelObjective as ModelObjective
    from qubo_prune.pruning.objective import FunctionObjective as FunctionObjective
    from qubo_prune.pruning.objective import Measurement as Measurement
    from qubo_prune.pruning.objective import Objective as Objective
    from qubo_prune.pruning.selection import Selection as Selection
    from qubo_prune.pruning.selector import select as select

_HOME = {
    "FunctionObjective": "objective",
    "Measurement": "objective",
    "ModelObjective": "measurement",
    "Objective": "objective",
    "Selection": "selection",
    "search_removals": "loop",
    "select": "selector",
}

__all__ = [*_HOME]  # noqa: PLE0604 - every key is a string


def __getattr__(name: str) -> object:
    home = _HOME.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value: object = getattr(importlib.import_module(f"{__name__}.{home}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
