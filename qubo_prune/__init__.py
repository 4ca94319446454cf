"""Which transformer blocks to remove: the K lowest removals of a Hessian, proven complete.

Names are resolved on first use, so importing the package loads neither NumPy nor a solver.

>>> from qubo_prune import Problem, solve
>>> spectrum = solve(Problem([[2.0, 1.0, 0.0], [1.0, 3.0, -1.0], [0.0, -1.0, 2.5]], remove=2))
>>> spectrum.removed(0), float(spectrum.energies[0]), spectrum.num_proven
([1, 2], 3.5, 3)
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from qubo_prune.core.lazy import lazy_names
from qubo_prune.core.version import __version__

if TYPE_CHECKING:
    from qubo_prune.backends.base import Availability as Availability
    from qubo_prune.backends.base import Backend as Backend
    from qubo_prune.backends.base import Capability as Capability
    from qubo_prune.backends.base import RawResult as RawResult
    from qubo_prune.backends.built_ins import backend_names as backend_names
    from qubo_prune.backends.enumeration.plan import Plan as Plan
    from qubo_prune.backends.enumeration.plan import plan as plan
    from qubo_prune.backends.registry import get_backend as get_backend
    from qubo_prune.core.errors import BackendError as BackendError
    from qubo_prune.core.errors import BackendUnavailableError as BackendUnavailableError
    from qubo_prune.core.errors import InputError as InputError
    from qubo_prune.core.errors import QuboPruneError as QuboPruneError
    from qubo_prune.core.errors import SpectrumError as SpectrumError
    from qubo_prune.core.files.bundled import BundledHessian as BundledHessian
    from qubo_prune.core.files.bundled import bundled as bundled
    from qubo_prune.core.files.hessian import HessianFile as HessianFile
    from qubo_prune.core.files.hessian import load_hessian as load_hessian
    from qubo_prune.core.files.hessian import save_hessian as save_hessian
    from qubo_prune.core.problem.constraint import Group as Group
    from qubo_prune.core.problem.problem import Problem as Problem
    from qubo_prune.core.problem.reduced import ReducedProblem as ReducedProblem
    from qubo_prune.core.spectrum.spectrum import Spectrum as Spectrum
    from qubo_prune.core.spectrum.spectrum import State as State
    from qubo_prune.core.spectrum.status import Status as Status
    from qubo_prune.core.stopping import Progress as Progress
    from qubo_prune.core.stopping import Standing as Standing
    from qubo_prune.core.stopping import Stop as Stop
    from qubo_prune.core.stopping import StopReason as StopReason
    from qubo_prune.solving.bounding.bound import LowerBound as LowerBound
    from qubo_prune.solving.bounding.bound import lower_bound as lower_bound
    from qubo_prune.solving.proof.certificate import Certificate as Certificate
    from qubo_prune.solving.proof.statement import Statement as Statement
    from qubo_prune.solving.proof.verification import CheckResult as CheckResult
    from qubo_prune.solving.proof.verification import Outcome as Outcome
    from qubo_prune.solving.proof.verification import Verification as Verification
    from qubo_prune.solving.proof.verifier import verify as verify
    from qubo_prune.solving.solve import solve as solve
    from qubo_prune.solving.sweep import sweep as sweep
    from qubo_prune.solving.sweeps import Sweep as Sweep

_HOMES = {
    "Availability": "qubo_prune.backends.base",
    "Backend": "qubo_prune.backends.base",
    "BackendError": "qubo_prune.core.errors",
    "BackendUnavailableError": "qubo_prune.core.errors",
    "BundledHessian": "qubo_prune.core.files.bundled",
    "Capability": "qubo_prune.backends.base",
    "Certificate": "qubo_prune.solving.proof.certificate",
    "CheckResult": "qubo_prune.solving.proof.verification",
    "Group": "qubo_prune.core.problem.constraint",
    "HessianFile": "qubo_prune.core.files.hessian",
    "InputError": "qubo_prune.core.errors",
    "LowerBound": "qubo_prune.solving.bounding.bound",
    "Outcome": "qubo_prune.solving.proof.verification",
    "Plan": "qubo_prune.backends.enumeration.plan",
    "Problem": "qubo_prune.core.problem.problem",
    "Progress": "qubo_prune.core.stopping",
    "QuboPruneError": "qubo_prune.core.errors",
    "RawResult": "qubo_prune.backends.base",
    "ReducedProblem": "qubo_prune.core.problem.reduced",
    "Spectrum": "qubo_prune.core.spectrum.spectrum",
    "SpectrumError": "qubo_prune.core.errors",
    "Standing": "qubo_prune.core.stopping",
    "State": "qubo_prune.core.spectrum.spectrum",
    "Statement": "qubo_prune.solving.proof.statement",
    "Status": "qubo_prune.core.spectrum.status",
    "Stop": "qubo_prune.core.stopping",
    "StopReason": "qubo_prune.core.stopping",
    "Verification": "qubo_prune.solving.proof.verification",
    "backend_names": "qubo_prune.backends.built_ins",
    "bundled": "qubo_prune.core.files.bundled",
    "get_backend": "qubo_prune.backends.registry",
    "load_hessian": "qubo_prune.core.files.hessian",
    "lower_bound": "qubo_prune.solving.bounding.bound",
    "plan": "qubo_prune.backends.enumeration.plan",
    "save_hessian": "qubo_prune.core.files.hessian",
    "solve": "qubo_prune.solving.solve",
    "sweep": "qubo_prune.solving.sweep",
    "Sweep": "qubo_prune.solving.sweeps",
    "verify": "qubo_prune.solving.proof.verifier",
}

__all__ = [*_HOMES, "__version__"]  # noqa: PLE0604 - every key is a string

__getattr__, __dir__ = lazy_names(__name__, _HOMES)
