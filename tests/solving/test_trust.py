"""Whose word a proof rests on is said, and a word that a short search refutes is not taken."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from qubo_prune import Backend, BackendError, Capability, Problem, RawResult, Status, solve
from qubo_prune.backends import Enumeration
from qubo_prune.backends.common.checkpoint_file import digest
from qubo_prune.cli.main import main

PROBLEM = Problem.load("bytelm-40-block", remove=5)


@dataclass(frozen=True)
class Word(Backend):
    """Returns some states, said to be the lowest."""

    first: int = 0
    lower_bound: float = -np.inf
    complete: bool = True

    name = "word"
    summary = "claims"
    capabilities = Capability.EXACT | Capability.PROVES

    def run(
        self, problem: Problem, num_states: int, stop: Any, seed: int, warm_start: Any = None
    ) -> RawResult:
        """Solve and tell some of it."""
        states = solve(problem, num_states=num_states + self.first).states[self.first :]
        return RawResult(states, num_states if self.complete else 0, self.lower_bound)


def test_a_third_partys_proof_is_its_word() -> None:
    spectrum = solve(PROBLEM, num_states=5, backend=Word())
    assert spectrum.status is Status.PROVEN
    assert spectrum.proof["rests_on"] == f"the word of {__name__}"
    assert f"What is proven rests on the word of {__name__}." in spectrum.advice
    assert "rests_on" not in solve(PROBLEM, num_states=5).proof
    assert "rests_on" not in solve(PROBLEM, num_states=5, backend="tabu").proof


@pytest.mark.parametrize(
    "lie",
    [
        Word(first=1),
        Word(first=20),
        Word(complete=False, lower_bound=1.0),
        Word(first=40, complete=False, lower_bound=1e-3),
    ],
)
def test_a_lie_that_the_neighbours_refute_is_found(lie: Word) -> None:
    with pytest.raises(BackendError, match=r"rests on the word of .*, and it is false: the state"):
        solve(PROBLEM, num_states=5, backend=lie)


def test_no_claim_is_no_lie() -> None:
    spectrum = solve(PROBLEM, num_states=5, backend=Word(first=3, complete=False))
    assert spectrum.status is Status.PARTIAL
    assert spectrum.num_proven == 0


@dataclass(frozen=True)
class Energies(Word):
    """Tells the energies of its states, off by so much."""

    off: float = 0.0
    kind: str = "<f8"

    def run(self, problem: Problem, num_states: int, *rest: Any, **named: Any) -> RawResult:
        """Solve and tell the energies."""
        raw = super().run(problem, num_states, *rest, **named)
        return replace(raw, energies=(problem.energies(raw.states) + self.off).astype(self.kind))


def test_energies_of_a_backends_own_are_held_against_the_true_ones() -> None:
    energy = float(solve(PROBLEM, num_states=1).energies[0])
    for told in (Energies(), Energies(kind="<f4")):  # rounding is no lie
        assert solve(PROBLEM, num_states=5, backend=told).status is Status.PROVEN
    for off in (-energy / 100, float("nan")):
        with pytest.raises(BackendError, match="says that the energy of a state is"):
            solve(PROBLEM, num_states=5, backend=Energies(off=off))
    with pytest.raises(BackendError, match=r"returned energies of shape \(5,\) and type <U"):
        solve(PROBLEM, num_states=5, backend=Energies(kind="<U20"))


def checkpointed(path: Path) -> dict[str, Any]:
    solve(PROBLEM, num_states=5, backend=Enumeration(checkpoint=path, threads=1))
    fields: dict[str, Any] = json.loads(path.read_text())
    return fields


def sign(path: Path, fields: dict[str, Any]) -> None:
    body = {k: v for k, v in fields.items() if k not in ("format_version", "sha256")}
    path.write_text(json.dumps({**fields, "sha256": digest(body)}))


@pytest.mark.parametrize("keep", [slice(1, None), slice(3, None), slice(0, 3)])
def test_a_forged_checkpoint_is_refuted(tmp_path: Path, keep: slice) -> None:
    path = tmp_path / "run.checkpoint"
    fields = checkpointed(path)
    fields["removed"] = fields["removed"][keep]
    if keep.start == 0:
        fields["removed"].append([0, 1, 2, 3, 39])
        fields["removed"] += [[0, 1, 2, 3, block] for block in (38, 37)]
    sign(path, fields)
    with pytest.raises(
        BackendError, match=r"rests on the checkpoint run\.checkpoint, (and it|which) is false"
    ):
        solve(PROBLEM, num_states=5, backend=Enumeration(checkpoint=path, threads=1))


def test_a_true_checkpoint_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "run.checkpoint"
    checkpointed(path)
    command = ["solve", "bytelm-40-block", "--remove", "5", "--states", "5"]
    assert main([*command, "--backend", "enumeration", "--checkpoint", str(path)]) == 0
    said = " ".join(capsys.readouterr().out.split())
    assert "What is proven rests on the checkpoint run.checkpoint." in said
