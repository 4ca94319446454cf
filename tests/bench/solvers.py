"""Solvers of made-up character, as a file of a user has them; benchmarks run them in processes."""

from __future__ import annotations

import os
import signal
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from qubo_prune.backends.base import Backend, Capability, RawResult
from qubo_prune.search.sampling import random_states


@dataclass(frozen=True)
class Naive(Backend):
    """Returns some random states as they are."""

    name: ClassVar[str] = "naive"
    summary: ClassVar[str] = "random states"
    capabilities: ClassVar[Capability] = Capability.SEEDED

    def run(self, problem: Any, num_states: int, stop: Any, seed: int, warm_start: Any = None):
        [states] = random_states(problem, num_states, np.random.default_rng(seed))
        return RawResult(np.unique(states, axis=0), num_evaluated=num_states)


class WrongEnergies(Naive):
    """Says that its states are better than they are."""

    def run(self, problem: Any, *rest: Any, **named: Any) -> RawResult:
        states = super().run(problem, *rest, **named).states
        return RawResult(states, energies=problem.energies(states) - 1.0)


class Infeasible(Naive):
    """Removes nothing, which costs nothing."""

    def run(self, problem: Any, *rest: Any, **named: Any) -> RawResult:
        return RawResult(np.zeros((1, problem.num_blocks), bool))


class FalseProof(Naive):
    """Says that whatever it has is the spectrum."""

    capabilities: ClassVar[Capability] = Capability.PROVES

    def run(self, problem: Any, *rest: Any, **named: Any) -> RawResult:
        states = super().run(problem, *rest, **named).states
        return RawResult(states, num_complete=len(states))


class FalseBound(Naive):
    """Says that nothing is left below its states."""

    capabilities: ClassVar[Capability] = Capability.PROVES

    def run(self, problem: Any, *rest: Any, **named: Any) -> RawResult:
        states = super().run(problem, *rest, **named).states
        return RawResult(states, lower_bound=float(problem.energies(states).min()))


class Meddler(Naive):
    """Makes the problem easier."""

    def run(self, problem: Any, *rest: Any, **named: Any) -> RawResult:
        problem.__dict__["hessian"] = np.zeros_like(problem.hessian)
        return super().run(problem, *rest, **named)


class Crashing(Naive):
    """Dies in foreign code."""

    def run(self, *args: Any, **named: Any) -> RawResult:
        os.write(2, b"about to die\n")
        os.kill(os.getpid(), signal.SIGSEGV)
        raise AssertionError


class Hungry(Naive):
    """Is killed as systems do when memory runs out."""

    def run(self, *args: Any, **named: Any) -> RawResult:
        os.kill(os.getpid(), signal.SIGKILL)
        raise AssertionError


class Endless(Naive):
    """Offers what it has and knows no limit; leaves its process id."""

    def run(self, problem: Any, num_states: int, stop: Any, seed: int, warm_start: Any = None):
        raw = super().run(problem, num_states, stop, seed)
        stop.offer(num_states, lambda: raw.states)
        Path(os.environ["LEAVE_PID"]).write_text(str(os.getpid()))
        while True:
            time.sleep(0.05)


class Late(Naive):
    """Returns after the limit."""

    def run(self, problem: Any, num_states: int, stop: Any, seed: int, warm_start: Any = None):
        time.sleep(stop.time_limit + 1.2)
        return super().run(problem, num_states, stop, seed)


def anneal(h: Any, J: Any, M: int, seed: int = 0) -> Any:  # noqa: N803
    """A naive function: any M spins up."""
    spins = -np.ones(len(h))
    spins[np.random.default_rng(seed).permutation(len(h))[:M]] = 1
    return spins


def boast(h: Any, J: Any, M: int) -> Any:  # noqa: N803
    """Says that its spins are better than they are."""
    spins = anneal(h, J, M)
    return spins, h @ spins + spins @ J @ spins - 10.0
