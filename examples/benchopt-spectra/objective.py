"""How much of the low-lying spectrum of an Ising model at fixed magnetisation is found."""

import numpy as np
from benchopt import BaseObjective

from qubo_prune import Problem, solve
from qubo_prune.encodings import to_ising


class Objective(BaseObjective):
    """The lowest states are proven by qubo-prune; a solver is shown h, J and M only."""

    name = "Lowest states at fixed magnetisation"
    url = "https://benchopt.github.io"
    min_benchopt_version = "1.8"
    requirements = ["pip::qubo-prune"]
    parameters = {"num_states": [100]}
    test_dataset_name = "wishart"

    def set_data(self, hessian, remove):
        """Prove the spectrum that is to be found."""
        self.problem = Problem(hessian, remove)
        self.ising = to_ising(self.problem, penalties=0.0)
        self.exact = solve(self.problem, num_states=self.num_states)
        if self.exact.num_proven < len(self.exact):
            raise ValueError("the spectrum is not proven; take a smaller problem")

    def get_objective(self):
        """Return fields, couplings and how many spins are 1; the energy is h's + s'Js."""
        return {
            "h": self.ising.h,
            "J": self.ising.couplings,
            "M": self.problem.remove,
            "num_states": self.num_states,
        }

    def evaluate_result(self, spins):
        """Measure states as they are: no repair, energies recomputed, ties as a set."""
        states = np.unique(np.atleast_2d(spins) == 1, axis=0)
        feasible = states[self.problem.is_feasible(states)]
        energies = np.sort(self.problem.energies(feasible))
        last = self.exact.energies[-1]
        found = min(int((energies <= last).sum()), len(self.exact))
        lowest = self.exact.energies[0]
        gap = (energies[0] - lowest) / abs(lowest) if len(energies) else np.inf
        return {
            "value": 1.0 - found / len(self.exact),
            "recall": found / len(self.exact),
            "ground_state_gap": float(gap),
            "feasible_share": len(feasible) / max(1, len(states)),
        }

    def get_one_result(self):
        """Return some state, as benchopt's own tests ask for."""
        spins = -np.ones(self.problem.num_blocks)
        spins[: self.problem.remove] = 1.0
        return {"spins": spins}
