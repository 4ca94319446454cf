"""QAOA among the feasible states, and beside statevectors of all qubits: ``python -m
benchmarks.qaoa``.

The problems are the leading blocks of the bundled Hessians, half of them removed. An evaluation is
one run of the circuit and the expected energy, on one thread; Qiskit Aer runs the exported circuit,
compiled beforehand, up to the statevector.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from importlib.util import find_spec
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.record import markdown, save
from qubo_prune import Problem, Stop, load_hessian
from qubo_prune.backends.qaoa import MIXERS, to_circuit
from qubo_prune.backends.qaoa.optimizer import optimize
from qubo_prune.backends.qaoa.simulator import Simulator
from qubo_prune.backends.qaoa.subspace import Subspace

HESSIANS = ("bytelm-40-block", "bytelm-40-branch")
STARTS = 2


def leading(name: str, n: int) -> Problem:
    """Return the problem of removing half of the leading n blocks."""
    return Problem(load_hessian(name).hessian[:n, :n], n // 2)


class Circuit:
    """A circuit with optimised angles, and the fastest of its runs."""

    def __init__(self, name: str, n: int, mixer: str, p: int) -> None:
        simulator = Simulator(Subspace(leading(name, n)), mixer)
        begin = time.perf_counter()
        optimum = optimize(simulator, p, STARTS, np.random.default_rng(0), Stop())
        optimized = time.perf_counter() - begin
        simulation = simulator.simulate(optimum.x)
        self.facts = {
            "hessian": name,
            "blocks": n,
            "amplitudes": simulation.subspace.dimension,
            "mixer": mixer,
            "p": p,
            "optimization_seconds": optimized,
            "evaluations": optimum.num_evaluations,
            "approximation_ratio": simulation.approximation_ratio,
            "ground_state_probability": simulation.ground_state_probability,
        }
        self.runs: dict[str, Callable[[], object]] = {
            "seconds": lambda: simulator.simulate(optimum.x).expected_energy,
            "gradient_seconds": lambda: simulator.gradient(optimum.x),
        }
        aer = on_aer(simulator, optimum.x, mixer)
        self.slow_runs = {} if aer is None else {"aer_seconds": aer}
        self.fastest: dict[str, float] = {}

    def time(self, runs: dict[str, Callable[[], object]]) -> None:
        """Run each once."""
        for what, run in runs.items():
            begin = time.perf_counter()
            run()
            taken = time.perf_counter() - begin
            self.fastest[what] = min(taken, self.fastest.get(what, taken))


def on_aer(simulator: Simulator, x: NDArray[np.float64], mixer: str) -> Callable[[], object] | None:
    """Return a run of Qiskit Aer up to the statevector of all qubits; None where it is not
    installed.
    """
    if find_spec("qiskit_aer") is None:
        return None
    from qiskit import transpile
    from qiskit_aer import AerSimulator

    aer = AerSimulator(method="statevector", max_parallel_threads=1)
    circuit = to_circuit(simulator.subspace.problem, simulator.angles(x), mixer=mixer)
    circuit.save_statevector()
    compiled = transpile(circuit, aer)
    return lambda: aer.run(compiled).result().get_statevector()


def table(rows: list[dict[str, Any]]) -> str:
    """Return a line for each circuit."""
    columns = ["Hessian", "mixer", "p", "ms", "Aer, ms", "angles in, s"]
    columns += ["approximation ratio", "P(ground state)"]
    body = [
        [
            f"`{row['hessian']}`",
            f"`{row['mixer']}`",
            str(row["p"]),
            f"{1e3 * row['seconds']:.1f}",
            f"{1e3 * row['aer_seconds']:.0f}" if "aer_seconds" in row else "-",
            f"{row['optimization_seconds']:.1f}",
            f"{row['approximation_ratio']:.3f}",
            f"{row['ground_state_probability']:.4f}",
        ]
        for row in rows
    ]
    return markdown(columns, body)


def main() -> None:
    """Measure all circuits and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--smoke", action="store_true", help="small ones, nothing is written")
    parser.add_argument("--repeats", type=int, default=100)
    arguments = parser.parse_args()
    n, depths, repeats = (6, (1,), 1) if arguments.smoke else (16, range(1, 5), arguments.repeats)
    Circuit(HESSIANS[0], 4, "ring", 1)  # compiles
    circuits = [Circuit(name, n, mixer, p) for name in HESSIANS for mixer in MIXERS for p in depths]
    # One after the other, again and again: on a shared machine a single slow minute would spoil a
    # row.
    for number in range(repeats):
        for circuit in circuits:
            circuit.time(circuit.runs)
            if number % 10 == 0:
                circuit.time(circuit.slow_runs)
    rows: list[dict[str, Any]] = [circuit.facts | circuit.fastest for circuit in circuits]
    if not arguments.smoke:
        save("qaoa", "python -m benchmarks.qaoa", rows)
    print(table(rows))


if __name__ == "__main__":
    main()
