"""Runs of a made-up benchmark: solvers that are good, naive, slow, away, mad and lying."""

from __future__ import annotations

import dataclasses
import hashlib

import numpy as np

from qubo_prune.bench.results import (
    Outcome,
    ReferenceKind,
    Run,
    TracePoint,
    Violation,
)

MACHINE = {
    "date": "2026-11-28",
    "processor": "A processor of 2026",
    "cores": 2,
    "python": "3.12.1",
    "versions": {"numpy": "2.4.6", "qubo-prune": "0.1.0"},
}
TASKS = (
    *(("llama-80-branch", "llama-80-branch", 160, m) for m in (8, 16)),
    *((f"wishart-{n}", "wishart 2N", n, m) for n in (32, 48, 64) for m in (4, 12)),
    ("k-cluster-40", "k-cluster", 40, 10),
)
LIES = (
    Violation("energy", "state 0 was given the energy 0.1, and it has 0.3."),
    Violation("infeasible", "state 3 removes 7 blocks, and 8 were asked for."),
    Violation("proof", "100 states were claimed as proven, and a lower one is known."),
)


def runs(
    seeds: int = 3,
    tasks: tuple[tuple[str, str, int, int], ...] = TASKS,
    limits: tuple[float, ...] = (10.0,),
    liar: str = "cheat",
) -> list[Run]:
    """Return runs of all solvers; the same at each call."""
    rng = np.random.default_rng(7)
    made = []
    for limit in limits:
        for number, (instance, family, n, m) in enumerate(tasks):
            exact = np.cumsum(rng.exponential(0.02, size=100)) + 1.0
            base = Run(
                instance=instance,
                family=family,
                problem=hashlib.sha256(f"{instance} {m}".encode()).hexdigest(),
                num_blocks=n,
                remove=m,
                num_states=100,
                backend="",
                time_limit=limit,
                threads=1,
                reference_kind=ReferenceKind.CERTIFIED,
                reference_energies=tuple(map(float, exact)),
                machine=MACHINE,
            )
            hard = n * m / 500
            made.append(_proving(base, hard, limit, exact))
            for seed in range(seeds):
                made.append(_searching(base, "tabu", seed, hard / 5, 0.98, rng, exact))
                made.append(_searching(base, "annealing", seed, hard / 2, 0.7, rng, exact))
                made.append(_searching(base, "naive", seed, hard * 3, 0.05, rng, exact))
            made.append(_failing(base, "gurobi", number))
            if number == 1:
                made += [
                    dataclasses.replace(
                        _searching(base, liar, seed, 0.01, 1.0, rng, exact),
                        outcome=Outcome.WRONG,
                        violations=(lie,),
                    )
                    for seed, lie in enumerate(LIES)
                ]
            elif liar:
                made.append(_searching(base, liar, 0, 0.01, 1.0, rng, exact))
    return made


def _proving(base: Run, hard: float, limit: float, exact: np.ndarray) -> Run:
    done = hard < limit / 2
    seconds = hard if done else limit
    share = 1.0 if done else 0.9
    return dataclasses.replace(
        base,
        backend="branch-and-bound",
        outcome=Outcome.DONE if done else Outcome.LIMIT,
        energies=tuple(map(float, exact[: int(100 * share)])),
        measures={
            "ground_state": 1.0,
            "recall_20": 1.0,
            "recall_100": share,
            "recall_100_repaired": share,
            "seconds_to_ground_state": seconds / 10,
            "seconds_to_recall_100": seconds if done else None,
            "seconds_to_proof": seconds if done else None,
            "primal_integral": seconds / 10 / limit,
            "num_proven": 100.0 if done else 40.0,
            "gap": 0.0 if done else 0.02,
            "feasible_share": 1.0,
            "wall_seconds": seconds,
            "cpu_seconds": seconds * 0.98,
            "peak_bytes": 2.1e8,
        },
        trace=(
            TracePoint(seconds / 10, best=1.0, recall_100=0.3),
            TracePoint(seconds, best=1.0, recall_100=share),
        ),
    )


def _searching(
    base: Run,
    backend: str,
    seed: int,
    seconds: float,
    quality: float,
    rng: np.random.Generator,
    exact: np.ndarray,
) -> Run:
    limit = base.time_limit or 10.0
    recall = round(float(np.clip(quality + rng.normal(0, 0.03), 0.0, 1.0)), 2)
    found = np.sort(rng.choice(exact, int(recall * 100), replace=False))
    first = min(limit, seconds * float(rng.uniform(0.5, 1.5)))
    ground = bool(len(found)) and bool(found[0] == exact[0])
    return dataclasses.replace(
        base,
        backend=backend,
        seed=seed,
        outcome=Outcome.LIMIT,
        energies=tuple(map(float, found)),
        measures={
            "ground_state": float(ground),
            "recall_20": recall,
            "recall_100": recall,
            "recall_100_repaired": min(1.0, round(recall + 0.3, 2)),
            "seconds_to_ground_state": first if ground else None,
            "seconds_to_recall_100": limit * 0.9 if recall >= 1 else None,
            "seconds_to_proof": None,
            "primal_integral": first / limit if ground else 0.4,
            "num_proven": 0.0,
            "feasible_share": quality,
            "wall_seconds": limit,
            "cpu_seconds": limit * 0.95,
            "peak_bytes": 1.8e8,
        },
        trace=tuple(
            TracePoint(limit * part, recall_100=round(recall * part**0.5, 3))
            for part in (0.001, 0.01, 0.1, 0.5, 1.0)
        ),
    )


def _failing(base: Run, backend: str, number: int) -> Run:
    message = "gurobi takes at most 200 variables without a licence; install one."
    outcomes = (Outcome.REFUSED, Outcome.CRASHED, Outcome.MEMORY)
    return dataclasses.replace(
        base,
        backend=backend,
        outcome=outcomes[number % 3],
        message=message if number % 3 == 0 else "it ended with signal 9.",
        measures={"wall_seconds": 0.2},
    )
