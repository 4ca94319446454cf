"""Exact spectra of the reference Hessians at the paper's sizes, each with its certificate."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from qubo_prune import Problem, Spectrum, Status, solve
from qubo_prune.bench.references import CERTIFICATES
from qubo_prune.solving.proof.certificate import Certificate

NUM_STATES = 100

Remove = int | dict[str, int]

REMOVALS: dict[str, tuple[Remove, ...]] = {
    "llama-32-block": (8, 16),
    "llama-32-branch": (16, 32),
    "qwen3-40-block": (12,),
    "qwen3-40-branch": (8, 16, 24, 32, 40),
    "llama-80-block": (8, 16, 24, 32, 40),
    "llama-80-branch": (16, 40),
    "nemotron-h-52": (8, {"attention": 2}, {"moe": 2}, {"moe": 3}),
}
"""What the paper removes: 8 and 16 of 32, 12 of 40, 8 to 40 of 80, and layers of one kind of 52."""


@dataclass(frozen=True)
class Reference:
    """One spectrum: a bundled Hessian and what is removed."""

    hessian: str
    remove: Remove

    @property
    def path(self) -> Path:
        """Its certificate."""
        count = (
            str(self.remove)
            if isinstance(self.remove, int)
            else "-".join(f"{kind}-{count}" for kind, count in self.remove.items())
        )
        return CERTIFICATES / f"{self.hessian}-remove-{count}.json"

    def problem(self) -> Problem:
        """Make the problem."""
        return Problem.load(self.hessian, remove=self.remove)

    def solve(self) -> Spectrum:
        """Compute the spectrum anew."""
        return solve(self.problem(), num_states=NUM_STATES, options={"threads": 1})


REFERENCES = tuple(
    Reference(hessian, remove) for hessian, removals in REMOVALS.items() for remove in removals
)


def write_spectra(model: str) -> None:
    """Solve and write the spectra of one model's Hessians; refuse what is not proven."""
    CERTIFICATES.mkdir(exist_ok=True)
    for reference in REFERENCES:
        if not reference.hessian.startswith(model):
            continue
        problem, spectrum = reference.problem(), reference.solve()
        if spectrum.status is not Status.PROVEN:
            raise SystemExit(f"{reference.path.name} is not proven: {spectrum.status}")
        Certificate.of(problem, spectrum, hessian=reference.hessian).save(reference.path)
        print(
            f"{reference.path.name}: {problem.num_states:.3g} states, "
            f"{spectrum.timings['total']:.2f} s, {spectrum.num_evaluated} nodes, "
            f"lowest {spectrum.energies[0]:.6g}, last {spectrum.energies[-1]:.6g}"
        )
