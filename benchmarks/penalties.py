"""What the size of a penalty does to samplers, and how large it has to be: ``python -m
benchmarks.penalties``.

The smallest valid penalty P* by proofs, beside the guess and the safe one in closed form; and what
samplers have of the 100 lowest states with penalties around P*, before and after repair.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from benchmarks.record import markdown, save
from benchmarks.solves import solve
from qubo_prune import Problem, Stop
from qubo_prune.backends import get_backend
from qubo_prune.encodings import estimated_penalty, safe_penalty, smallest_penalty

SIZES = {"bytelm-40-block": (4, 12, 20, 36), "bytelm-40-branch": (8, 40, 72)}
SAMPLED = ("bytelm-40-branch", (8, 40))
SAMPLERS = (("annealing", 100), ("tabu", 50), ("descent", 1000))
FACTORS = (0.5, 1.01, 1.5, 3.0)
NUM_STATES = 100


def penalties(name: str, remove: int) -> dict[str, Any]:
    """Return the smallest, the guessed and the safe penalty."""
    problem = Problem.load(name, remove=remove)
    [smallest] = smallest_penalty(problem, NUM_STATES, solve=solve).tolist()
    guess = estimated_penalty(problem, NUM_STATES)
    safe = safe_penalty(problem, NUM_STATES)
    return {
        "hessian": name,
        "remove": remove,
        "smallest": smallest,
        "guess": guess,
        "safe": safe,
    }


def samples(name: str, remove: int, smallest: float, safe: float) -> Iterator[dict[str, Any]]:
    """Yield what each sampler has with each penalty."""
    problem = Problem.load(name, remove=remove)
    exact = {row.tobytes() for row in solve(problem, num_states=NUM_STATES).states}
    for sampler, reads in SAMPLERS:
        for factor in (*FACTORS, None):
            penalty = safe if factor is None else factor * smallest
            backend = get_backend(f"ocean-{sampler}", num_reads=reads, penalty=penalty)
            raw = backend.run(problem, NUM_STATES, Stop(), 0)
            bare = [] if raw.bare is None else raw.bare[:NUM_STATES]
            yield {
                "hessian": name,
                "remove": remove,
                "sampler": sampler,
                "reads": reads,
                "factor": factor,
                "feasible": raw.statistics["feasible_fraction"],
                "bare": sum(row.tobytes() in exact for row in bare),
                "repaired": sum(row.tobytes() in exact for row in raw.states[:NUM_STATES]),
            }


def table(rows: list[dict[str, Any]]) -> str:
    """Return what samplers have of the lowest states, a column for each penalty."""
    body = []
    for remove in SAMPLED[1]:
        for sampler, reads in SAMPLERS:
            mine = [row for row in rows if (row["remove"], row.get("sampler")) == (remove, sampler)]
            what = f"M = {remove}, {sampler}, {reads:,} reads"
            body.append([what, "feasible", *(f"{100 * row['feasible']:.0f} %" for row in mine)])
            body.append(["", "bare", *(str(row["bare"]) for row in mine)])
            body.append(["", "repaired", *(str(row["repaired"]) for row in mine)])
    return markdown(["", "", *(f"{factor:g} P*" for factor in FACTORS), "safe"], body)


def main() -> None:
    """Compute penalties, sample, print the table and write the figures."""
    rows = [penalties(name, remove) for name, sizes in SIZES.items() for remove in sizes]
    for row in list(rows):
        if row["hessian"] == SAMPLED[0] and row["remove"] in SAMPLED[1]:
            rows += samples(row["hessian"], row["remove"], row["smallest"], row["safe"])
    print(table(rows))
    for row in rows:
        if "safe" in row:
            smallest = row["smallest"]
            print(row["hessian"], row["remove"], row["guess"] / smallest, row["safe"] / smallest)
    print(save("penalties", "python -m benchmarks.penalties", rows))


if __name__ == "__main__":
    main()
