"""QAOA on the penalty form with qiskit-optimization, as the field does it: all qubits are mixed,
and states may be infeasible.
"""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from qubo_prune.encodings import decode, penalty_qubo

if TYPE_CHECKING:
    from qiskit_optimization import QuadraticProgram

    from qubo_prune.core.problem.problem import Problem
    from qubo_prune.core.stopping import Stop
    from qubo_prune.encodings import Qubo

_RAMP = 0.5


class _Stopped(Exception):  # noqa: N818 - never leaves this module
    """The run has to end."""


@dataclass(frozen=True, eq=False)
class Samples:
    """What was measured.

    Attributes
    ----------
    states : (shots, N) bool
        Feasible or not, sorted.
    expected_energy : float
        Mean energy of the penalty form.
    penalties : (num_groups,) float64
        Those of the form.
    num_evaluations : int
        Evaluations of the circuit by the optimiser.
    """

    states: NDArray[np.bool_]
    expected_energy: float
    penalties: NDArray[np.float64]
    num_evaluations: int


def sample(
    problem: Problem,
    penalties: ArrayLike,
    p: int,
    shots: int,
    iterations: int,
    random: np.random.Generator,
    stop: Stop,
) -> Samples:
    """Optimise p layers on the penalty form by COBYLA, then measure.

    Parameters
    ----------
    problem : Problem
        With something to choose.
    penalties : float or (num_groups,) array_like
        As for `penalty_qubo`.
    p, shots, iterations : int
        Layers, measurements per evaluation, and the largest number of evaluations.
    random : numpy Generator
        Seeds the simulator.
    stop : Stop
        Asked before each evaluation.
    """
    qubo = penalty_qubo(problem, penalties)
    optimizer = _Optimizer(p, iterations, stop)
    seed = int(random.integers(2**31))
    if qubo.matrix.any():
        y, times = _solve(_scaled_program(qubo), optimizer, p, shots, seed)
    else:
        # qiskit-optimization takes no circuit without an angle; every one measures all bit strings
        # equally often.
        y = random.integers(2, size=(shots, len(qubo.variables))).astype(np.bool_)
        times = np.ones(shots, np.int64)
    return Samples(
        states=np.repeat(decode(problem, y), times, axis=0),
        expected_energy=float(np.sum(qubo.energies(y) * times) / times.sum()),
        penalties=qubo.penalties,
        num_evaluations=optimizer.num_evaluations,
    )


def _scaled_program(qubo: Qubo) -> QuadraticProgram:
    """Return the form with energies whose standard deviation over all bit strings is 1, so that
    angles are of order 1.
    """
    from qiskit_optimization import QuadraticProgram

    fields = 0.5 * qubo.matrix.sum(axis=1)
    couplings = 0.5 * qubo.matrix[np.triu_indices(len(fields), 1)]
    largest = float(np.abs(qubo.matrix).max()) or 1.0
    spread = float(np.linalg.norm([*(fields / largest), *(couplings / largest)])) or 1.0
    program = QuadraticProgram("qubo-prune")
    for variable in qubo.variables.tolist():
        program.binary_var(f"x{variable}")
    program.minimize(quadratic=qubo.matrix / largest / spread)
    return program


def _solve(
    program: QuadraticProgram, optimizer: _Optimizer, p: int, shots: int, seed: int
) -> tuple[NDArray[np.bool_], NDArray[np.int64]]:
    """Run MinimumEigenOptimizer with QAOA on Aer; return the distinct bit strings measured and how
    often each was.
    """
    from qiskit.transpiler import generate_preset_pass_manager
    from qiskit_aer import AerSimulator
    from qiskit_aer.primitives import SamplerV2
    from qiskit_optimization.algorithms import MinimumEigenOptimizer
    from qiskit_optimization.minimum_eigensolvers import QAOA

    # One thread: rounding, and so the samples, would depend on their number.
    options = {"method": "statevector", "max_parallel_threads": 1}
    solver = QAOA(
        SamplerV2(default_shots=shots, seed=seed, options={"backend_options": options}),
        optimizer,
        reps=p,
        initial_point=optimizer.start,
        pass_manager=generate_preset_pass_manager(
            optimization_level=1, backend=AerSimulator(**options), seed_transpiler=seed
        ),
    )
    result = MinimumEigenOptimizer(solver).solve(program)
    y = np.array([each.x for each in result.samples]) > 0.5
    times = np.rint([each.probability * shots for each in result.samples]).astype(np.int64)
    order = np.lexsort(y.T)
    return y[order], times[order]


class _Optimizer:
    """COBYLA as qiskit-optimization calls it; ends early, with the best angles so far, when `stop`
    says so.
    """

    def __init__(self, p: int, iterations: int, stop: Stop) -> None:
        late = (np.arange(p) + 0.5) / p
        # Annealing from the superposition of all bit strings, whose mixer has the other sign here.
        self.start = _RAMP * np.concatenate([late - 1.0, late])
        self.num_evaluations = 0
        self._iterations = iterations
        self._stop = stop

    def __call__(
        self,
        fun: Any,
        x0: NDArray[np.float64],
        jac: Any,  # noqa: ARG002
        bounds: Any,  # noqa: ARG002
    ) -> Any:
        """Minimise `fun`; see ``qiskit_optimization.optimizers.Minimizer``."""
        from qiskit_optimization.optimizers import COBYLA, OptimizerResult

        best: Any = OptimizerResult()
        best.x, best.fun = x0, np.inf

        def watched(x: NDArray[np.float64]) -> float:
            done = self.num_evaluations
            if done == self._iterations or self._stop.should_stop(done):
                raise _Stopped
            value = float(fun(x))
            self.num_evaluations += 1
            if value < best.fun:
                best.x, best.fun = np.array(x), value
            self._stop.report(
                self.num_evaluations,
                self.num_evaluations / self._iterations,
                f"{-best.fun:.3f} standard deviations below the mean",
            )
            return value

        with contextlib.suppress(_Stopped):
            # COBYLA wants room for a simplex at least; `watched` keeps the limit.
            limit = max(self._iterations, len(x0) + 2)
            cobyla: Any = COBYLA(maxiter=limit, rhobeg=0.5 * _RAMP)
            cobyla.minimize(watched, x0)
        best.nfev = self.num_evaluations
        return best
