"""Which transformer blocks to remove: the K lowest removals of a Hessian, proven complete.

Names are resolved on first use, so importing the package loads neither NumPy nor a solver.

>>> from qubo_prune import Problem, solve
>>> spectrum = solve(Problem([[2.0, 1.0, 0.0], [1.0, 3.0, -1.0], [0.0, -1.0, 2.5]], remove=2))
>>> spectrum.removed(0), float(spectrum.energies[0]), spectrum.num_proven
([1, 2], 3.5, 3)
"""

from __future__ import annotations

import importlib
import sys
from types import ModuleType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from qubo_prune.backends import backend_names as backend_names
    from qubo_prune.backends import get_backend as get_backend
    from qubo_prune.backends.base import Availability as Availability
    from qubo_prune.backends.base import Backend as Backend
    from qubo_prune.backends.base import Capability as Capability
    from qubo_prune.backends.base import RawResult as RawResult
    from qubo_prune.backends.enumeration.plan import Plan as Plan
    from qubo_prune.backends.enumeration.plan import plan as plan
    from qubo_prune.certificate import Certificate as Certificate
    from qubo_prune.errors import BackendError as BackendError
    from qubo_prune.errors import BackendUnavailableError as BackendUnavailableError
    from qubo_prune.errors import InputError as InputError
    from qubo_prune.errors import QuboPruneError as QuboPruneError
    from qubo_prune.errors import SpectrumError as SpectrumError
    from qubo_prune.hessians.store import BundledHessian as BundledHessian
    from qubo_prune.hessians.store import HessianFile as HessianFile
    from qubo_prune.hessians.store import bundled as bundled
    from qubo_prune.hessians.store import load_hessian as load_hessian
    from qubo_prune.hessians.store import save_hessian as save_hessian
    from qubo_prune.problem import Group as Group
    from qubo_prune.problem import Problem as Problem
    from qubo_prune.problem import ReducedProblem as ReducedProblem
    from qubo_prune.solve import solve as solve
    from qubo_prune.solve import sweep as sweep
    from qubo_prune.spectrum import Spectrum as Spectrum
    from qubo_prune.spectrum import State as State
    from qubo_prune.spectrum import Status as Status
    from qubo_prune.stopping import Progress as Progress
    from qubo_prune.stopping import Stop as Stop
    from qubo_prune.stopping import StopReason as StopReason
    from qubo_prune.verification import CheckResult as CheckResult
    from qubo_prune.verification import Outcome as Outcome
    from qubo_prune.verification import Verification as Verification

__version__ = "0.1.0"

_HOME = {
    "Availability": "backends.base",
    "Backend": "backends.base",
    "BackendError": "errors",
    "BackendUnavailableError": "errors",
    "BundledHessian": "hessians.store",
    "Capability": "backends.base",
    "Certificate": "certificate",
    "CheckResult": "verification",
    "Group": "problem",
    "HessianFile": "hessians.store",
    "InputError": "errors",
    "Outcome": "verification",
    "Plan": "backends.enumeration.plan",
    "Problem": "problem",
    "Progress": "stopping",
    "QuboPruneError": "errors",
    "RawResult": "backends.base",
    "ReducedProblem": "problem",
    "Spectrum": "spectrum",
    "SpectrumError": "errors",
    "State": "spectrum",
    "Status": "spectrum",
    "Stop": "stopping",
    "StopReason": "stopping",
    "Verification": "verification",
    "backend_names": "backends",
    "bundled": "hessians.store",
    "get_backend": "backends",
    "load_hessian": "hessians.store",
    "plan": "backends.enumeration.plan",
    "save_hessian": "hessians.store",
    "solve": "solve",
    "sweep": "solve",
}

__all__ = [*_HOME, "__version__"]  # noqa: PLE0604 - every key is a string


def __getattr__(name: str) -> object:
    home = _HOME.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value: object = getattr(importlib.import_module(f"{__name__}.{home}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})


class _Package(ModuleType):
    """Importing the submodule `solve` binds it to the package, where it would hide the function of that name."""

    def __setattr__(self, name: str, value: object) -> None:
        if not (name in _HOME and isinstance(value, ModuleType)):
            super().__setattr__(name, value)


sys.modules[__name__].__class__ = _Package
