"""Certificates: written, read, believed only as far as they can be recomputed."""

from __future__ import annotations

import copy
import dataclasses
import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from qubo_prune import (
    Certificate,
    InputError,
    Outcome,
    Plan,
    Problem,
    Spectrum,
    Status,
    Stop,
    Verification,
    plan,
    solve,
    verify,
)
from qubo_prune.backends.base import Backend, Capability, RawResult
from qubo_prune.search.sampling import random_states, swap_neighbours
from qubo_prune.testing import brute_force

Edit = Callable[[dict[str, Any]], object]

KINDS = ("attention", "mlp") * 7
NAMES = tuple(f"block.{i}" for i in range(14))


def make_problem(**changes: Any) -> Problem:
    rng = np.random.default_rng(5)
    factors = rng.normal(size=(30, 14))
    arguments = {
        "remove": {"attention": 3, "mlp": 2},
        "kinds": KINDS,
        "names": NAMES,
        "keep": [0],
        "force": [13],
        "gradient": rng.normal(size=14),
        "beta": -0.25,
    }
    return Problem(factors.T @ factors / 30, **{**arguments, **changes})


@pytest.fixture(scope="module")
def problem() -> Problem:
    return make_problem()


@pytest.fixture(scope="module")
def certificate(problem: Problem) -> Certificate:
    return Certificate.of(problem, solve(problem, num_states=12), hessian="somewhere/h.npy")


def edited(certificate: Certificate, tmp_path: Path, edit: Edit) -> Certificate:
    """The certificate after an edit of its file."""
    fields = copy.deepcopy(certificate.to_dict())
    edit(fields)
    path = tmp_path / "edited.json"
    path.write_text(json.dumps(fields))
    return Certificate.load(path)


def failures(verification: Verification) -> list[str]:
    return [check.name for check in verification.failed]


def outcome(verification: Verification, name: str) -> Outcome:
    return {check.name: check.outcome for check in verification.checks}[name]


def test_round_trip(certificate: Certificate, tmp_path: Path) -> None:
    path = tmp_path / "c.json"
    certificate.save(path)
    loaded = Certificate.load(path)
    assert loaded.to_dict() == certificate.to_dict()
    assert loaded.statement == certificate.statement
    assert loaded.spectrum.energies.tobytes() == certificate.spectrum.energies.tobytes()
    assert loaded.spectrum.proof == certificate.spectrum.proof
    assert [entry.name for entry in tmp_path.iterdir()] == ["c.json"]


def test_what_is_in_the_file(certificate: Certificate, problem: Problem) -> None:
    fields = certificate.to_dict()
    ranked = brute_force(problem)
    assert set(fields["versions"]) == {"qubo_prune", "python", "numpy", "numba"}
    assert (fields["hessian"], fields["num_states"]) == ("h.npy", 12)
    assert (fields["last_energy"], fields["next_energy"]) == (ranked[11][0], ranked[12][0])
    assert fields["problem"]["keep"] == (0,)
    assert fields["problem"]["hessian_sha256"] == problem.hessian_sha256
    proof = fields["spectrum"]["proof"]
    assert proof["root_bound"] <= ranked[0][0] + proof["epsilon"]
    assert proof["nodes"] == fields["spectrum"]["num_evaluated"]


def test_what_enumeration_says_of_its_proof(problem: Problem, tmp_path: Path) -> None:
    options = {"threads": 2, "task_states": 50, "checkpoint": tmp_path / "c"}
    spectrum = solve(problem, num_states=12, backend="enumeration", options=options)
    proof = spectrum.proof
    ranked = brute_force(problem)
    assert (proof["executor"], proof["threads"], proof["task_states"]) == ("threads", 2, 50)
    assert proof["tasks"] >= problem.num_states / 50
    assert proof["visited_before"] == 0
    assert spectrum.num_evaluated == problem.num_states
    assert proof["next_energy"] == ranked[12][0]
    # Between float32 and float64: the rounding of sums of some 10 energies of size 1.
    assert 1e-7 < proof["screening_margin"] < 1e-2
    assert 1e-16 < proof["epsilon"] < 1e-10
    again = solve(problem, num_states=12, backend="enumeration", options=options)
    before = {"visited_before": problem.num_states, "rests_on": "the checkpoint c"}
    assert again.proof == {**proof, **before}
    assert verify(Certificate.of(problem, again), problem).complete


def test_the_gradient_counts_only_with_beta() -> None:
    problem = make_problem(beta=0.0)
    certificate = Certificate.of(problem, solve(problem, num_states=3))
    assert verify(certificate, make_problem(beta=0.0, gradient=None)).passed
    other = make_problem(gradient=np.ones(14))
    assert failures(verify(Certificate.of(make_problem(), solve(make_problem())), other)) == [
        "problem"
    ]


def test_other_suffixes_are_refused(certificate: Certificate, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"must end in \.json"):
        certificate.save(tmp_path / "c.npz")
    assert list(tmp_path.iterdir()) == []


def test_a_spectrum_of_another_problem_gets_no_certificate(
    problem: Problem, certificate: Certificate
) -> None:
    with pytest.raises(Exception, match="another problem"):
        Certificate.of(problem.with_remove({"attention": 2, "mlp": 2}), certificate.spectrum)


def test_files_of_spectra_without_a_proof_are_read(
    certificate: Certificate, tmp_path: Path
) -> None:
    fields = certificate.spectrum.to_dict()
    del fields["proof"]
    (tmp_path / "old.json").write_text(json.dumps(fields))
    assert Spectrum.load(tmp_path / "old.json").proof == {}


@pytest.mark.parametrize("suffix", [".json", ".npz"])
def test_files_of_spectra_keep_the_proof(
    certificate: Certificate, tmp_path: Path, suffix: str
) -> None:
    certificate.spectrum.save(tmp_path / f"s{suffix}")
    assert Spectrum.load(tmp_path / f"s{suffix}").proof == certificate.spectrum.proof


def test_slices_forget_the_next_energy(certificate: Certificate, problem: Problem) -> None:
    part = certificate.spectrum[:5]
    assert "next_energy" not in part.proof
    assert "nodes" in part.proof
    assert verify(Certificate.of(problem, part), problem).complete


@pytest.mark.parametrize("proof", [{"a": math.inf}, {"a": True}, {"a": None}, {1: 2.0}, None])
def test_a_proof_that_cannot_be_written_is_the_backends_fault(problem: Problem, proof: Any) -> None:
    raw = RawResult(states_of(problem), proof=proof)
    with pytest.raises(Exception, match="as proof"):
        solve(problem, backend=Fixed(raw))


def states_of(problem: Problem) -> NDArray[np.bool_]:
    return np.array([problem.state(removed) for _, removed in brute_force(problem)[:5]])


@dataclasses.dataclass(frozen=True)
class Fixed(Backend):
    """Returns what it is given."""

    raw: RawResult

    name = "fixed"
    summary = "returns what it is given"
    capabilities = Capability.EXACT | Capability.PROVES

    def run(
        self,
        problem: Problem,
        num_states: int,
        stop: Stop,
        seed: int,
        warm_start: NDArray[np.bool_] | None = None,
    ) -> RawResult:
        return self.raw


@pytest.mark.parametrize("backend", ["branch-and-bound", "enumeration"])
def test_a_true_certificate_is_verified_by_both_engines(
    problem: Problem, backend: str, tmp_path: Path
) -> None:
    certificate = Certificate.of(problem, solve(problem, num_states=12, backend=backend))
    certificate.save(tmp_path / "c.json")
    said = []
    verification = verify(Certificate.load(tmp_path / "c.json"), problem, announce=said.append)
    assert verification.passed
    assert verification.complete
    assert said == []  # it takes no time
    assert verification.checks[-1].sentence.startswith("enumeration and branch-and-bound, two")
    assert "are the lowest of all" in verification.recomputed
    assert "lowest" not in verification.claimed


@pytest.mark.parametrize("num_states", [1, 280, 10_000])
def test_few_and_all_states(problem: Problem, num_states: int) -> None:
    certificate = Certificate.of(problem, solve(problem, num_states=num_states))
    assert verify(certificate, problem).complete


def test_massive_ties() -> None:
    problem = Problem(np.ones((10, 10)) - np.eye(10), 4)
    certificate = Certificate.of(problem, solve(problem, num_states=7))
    assert certificate.spectrum.ties_truncated
    assert verify(certificate, problem).complete


def test_nothing_to_choose() -> None:
    problem = Problem(np.eye(4), 4)
    assert verify(Certificate.of(problem, solve(problem)), problem).complete


def swap_states(fields: dict[str, Any], i: int, j: int) -> None:
    for key in ("removed", "energies"):
        column = fields["spectrum"][key]
        column[i], column[j] = column[j], column[i]


def drop_state(fields: dict[str, Any], k: int) -> None:
    """Leave a gap, with everything else adjusted to hide it."""
    spectrum = fields["spectrum"]
    for key in ("removed", "energies"):
        del spectrum[key][k]
    spectrum["num_proven"] -= 1
    fields["num_states"] -= 1
    fields["last_energy"] = spectrum["energies"][-1]


def drop_last(fields: dict[str, Any]) -> None:
    """Leave out the last state; the bound still says that there is none before the next."""
    drop_state(fields, -1)


def replace_state(fields: dict[str, Any]) -> None:
    """Put state 40 where state 4 was, with its true energy."""
    energy, removed = brute_force(make_problem())[40]
    drop_state(fields, 4)
    fields["spectrum"]["removed"].append(list(removed))
    fields["spectrum"]["energies"].append(energy)
    fields["spectrum"]["num_proven"] += 1
    fields["num_states"] += 1
    fields["last_energy"] = energy
    set_next(energy)(fields)
    fields["spectrum"]["ties_truncated"] = True


def other_state(fields: dict[str, Any]) -> None:
    """Another feasible state under the energy of the old one."""
    fields["spectrum"]["removed"][4] = list(brute_force(make_problem())[40][1])


def infeasible_state(fields: dict[str, Any]) -> None:
    removed = fields["spectrum"]["removed"][4]
    removed[0] = 0


def one_ulp(fields: dict[str, Any]) -> None:
    energies = fields["spectrum"]["energies"]
    energies[3] = math.nextafter(energies[3], math.inf)


def set_next(energy: Any) -> Edit:
    def edit(fields: dict[str, Any]) -> None:
        fields["next_energy"] = fields["spectrum"]["lower_bound"] = energy
        fields["spectrum"]["proof"]["next_energy"] = energy

    return edit


def put(*path_and_value: Any) -> Edit:
    *path, last, value = path_and_value

    def edit(fields: dict[str, Any]) -> None:
        for key in path:
            fields = fields[key]
        assert fields[last] != value
        fields[last] = value

    return edit


def forget_next(fields: dict[str, Any]) -> None:
    fields["next_energy"] = None
    del fields["spectrum"]["proof"]["next_energy"]


def bound_too_high(fields: dict[str, Any]) -> None:
    forget_next(fields)
    fields["spectrum"]["lower_bound"] = math.nextafter(brute_force(make_problem())[12][0], math.inf)


def no_ties(fields: dict[str, Any]) -> None:
    forget_next(fields)
    fields["spectrum"]["ties_truncated"] = True
    fields["spectrum"]["lower_bound"] = fields["last_energy"]


def claim_enumeration(fields: dict[str, Any]) -> None:
    fields["spectrum"]["backend"] = "enumeration"


TAMPERED = {
    "an energy by one ulp": (one_ulp, "energies"),
    "another feasible state": (other_state, "energies"),
    "an infeasible state": (infeasible_state, "feasibility"),
    "a state replaced by a higher one": (replace_state, "sampling"),
    "a gap in the list": (lambda fields: drop_state(fields, 4), "sampling"),
    "the last state missing": (drop_last, "sampling"),
    "order": (lambda fields: swap_states(fields, 3, 4), "order"),
    "a state twice": (
        lambda fields: fields["spectrum"]["removed"].__setitem__(
            4, fields["spectrum"]["removed"][3]
        ),
        "distinctness",
    ),
    "K": (put("num_states", 13), "count"),
    "last energy": (put("last_energy", 0.5), "threshold"),
    "next energy": (put("next_energy", 0.5), "threshold"),
    "next energy, everywhere": (set_next(1e3), "sampling"),
    "bound below the next energy": (put("spectrum", "lower_bound", -1.0), "claims"),
    "bound too high": (bound_too_high, "sampling"),
    "nothing outside": (put("spectrum", "lower_bound", "Infinity"), "claims"),
    "ties": (put("spectrum", "ties_truncated", True), "threshold"),
    "ties, with a matching bound": (no_ties, "completeness"),
    "status": (put("spectrum", "status", "heuristic"), "claims"),
    "num_proven": (put("spectrum", "num_proven", 11), "claims"),
    "root bound": (put("spectrum", "proof", "root_bound", 1e3), "threshold"),
    "an enumeration that left some out": (claim_enumeration, "visited"),
    "hash": (put("problem", "hessian_sha256", "0" * 64), "hessian"),
    "hash of the spectrum": (put("spectrum", "hessian_sha256", "0" * 64), "problem"),
    "number of states": (put("problem", "num_states", 3), "problem"),
    "number of states of the spectrum": (put("spectrum", "num_states_total", 300), "problem"),
    "remove": (put("problem", "remove", {"attention": 2, "mlp": 3}), "problem"),
    "remove of the spectrum": (put("spectrum", "remove", {"attention": 2, "mlp": 3}), "problem"),
    "keep": (put("problem", "keep", [2]), "problem"),
    "force": (put("problem", "force", []), "problem"),
    "only": (put("problem", "only", "mlp"), "problem"),
    "kinds": (put("problem", "kinds", ["mlp"] * 14), "problem"),
    "names": (put("problem", "names", None), "problem"),
    "names of the spectrum": (put("spectrum", "names", 2, "b"), "problem"),
    "beta": (put("problem", "beta", 0.25), "problem"),
    "gradient": (put("problem", "gradient_sha256", None), "problem"),
}


@pytest.mark.parametrize("case", TAMPERED)
def test_tampering_is_found(
    case: str, certificate: Certificate, problem: Problem, tmp_path: Path
) -> None:
    edit, check = TAMPERED[case]
    verification = verify(edited(certificate, tmp_path, edit), problem)
    assert check in failures(verification)
    assert not verification.passed
    assert not verification.complete
    for result in verification.checks:
        assert "\n" not in result.sentence


@pytest.mark.parametrize("edit", [bound_too_high, drop_last, set_next(1e3), replace_state])
def test_enumeration_finds_what_sampling_misses(
    edit: Edit,
    certificate: Certificate,
    problem: Problem,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("qubo_prune.solving.proof.verifier.likely_states", lambda *_: iter(()))
    verification = verify(edited(certificate, tmp_path, edit), problem)
    assert failures(verification) == ["completeness"]


def test_a_partial_certificate(problem: Problem, certificate: Certificate) -> None:
    full = certificate.spectrum
    partial = dataclasses.replace(
        full, status=Status.PARTIAL, num_proven=4, lower_bound=float(full.energies[4]), proof={}
    )
    assert verify(Certificate.of(problem, partial), problem).complete
    gap = dataclasses.replace(
        partial, states=np.delete(full.states, 7, 0), energies=np.delete(full.energies, 7)
    )
    assert verify(Certificate.of(problem, gap), problem).complete
    false = dataclasses.replace(gap, lower_bound=math.nextafter(full.energies[7], math.inf))
    assert failures(verify(Certificate.of(problem, false), problem)) == ["sampling"]


def test_a_heuristic_certificate_claims_nothing(problem: Problem) -> None:
    spectrum = solve(problem, backend=Fixed(RawResult(states_of(problem)[1:])))
    loose = dataclasses.replace(
        spectrum, status=Status.HEURISTIC, num_proven=0, lower_bound=-math.inf
    )
    verification = verify(Certificate.of(problem, loose), problem)
    assert verification.passed
    assert not verification.complete
    assert verification.num_proven == 0
    assert outcome(verification, "completeness") is Outcome.NOT_POSSIBLE


def test_a_bound_is_verified_where_no_state_is_proven(
    problem: Problem, certificate: Certificate
) -> None:
    full = certificate.spectrum
    bare = dataclasses.replace(
        full, status=Status.PARTIAL, num_proven=0, lower_bound=float(full.energies[0]), proof={}
    )
    bare = dataclasses.replace(bare, states=full.states[1:], energies=full.energies[1:])
    verification = verify(Certificate.of(problem, bare), problem)
    assert verification.passed
    assert not verification.complete
    assert outcome(verification, "completeness") is Outcome.PASSED
    assert "none of them is proven to be among the lowest" in verification.recomputed
    assert "no state outside the list lies below" in verification.recomputed
    false = dataclasses.replace(bare, lower_bound=math.nextafter(full.energies[0], math.inf))
    assert not verify(Certificate.of(problem, false), problem).passed


def test_what_takes_long_is_announced_with_an_estimate(
    problem: Problem, certificate: Certificate, monkeypatch: pytest.MonkeyPatch
) -> None:
    def measured(given: Any, devices: Any, *, num_states: int) -> Plan:
        assert (given, devices, num_states) == (problem, 3, 12)
        return plan(given, devices, rate=20.0, num_states=num_states)

    monkeypatch.setattr("qubo_prune.solving.proof.verifier._LONG", 10)
    monkeypatch.setattr("qubo_prune.solving.proof.verifier.plan", measured)
    said = []
    assert verify(certificate, problem, threads=3, announce=said.append).complete
    seconds = math.ceil(problem.num_states / 60 + problem.num_states / 20)  # in one task
    assert said == [
        f"solving it anew by enumeration and branch-and-bound: {problem.num_states} states, "
        f"about {seconds} s at the 6.0e+01 states/s measured here"
    ]


def test_too_large_without_a_limit(problem: Problem, certificate: Certificate) -> None:
    verification = verify(certificate, problem, max_states=10)
    assert verification.passed
    assert not verification.complete
    assert outcome(verification, "completeness") is Outcome.NOT_POSSIBLE
    assert "are the lowest of all" in verification.claimed
    assert "lowest" not in verification.recomputed


def test_the_same_engine_is_a_weak_check(problem: Problem, certificate: Certificate) -> None:
    verification = verify(certificate, problem, max_states=10, time_limit=60)
    assert verification.passed
    assert not verification.complete
    assert verification.checks[-1].name == "repetition"
    assert "weak" in verification.checks[-1].sentence


@pytest.mark.parametrize("backend", ["branch-and-bound", "enumeration", "gurobi", "by hand"])
def test_the_name_of_the_engine_makes_no_other_engine(
    problem: Problem, certificate: Certificate, backend: str
) -> None:
    """Whoever relabels a spectrum of branch and bound must not have its rerun count for more."""
    relabelled = dataclasses.replace(certificate.spectrum, backend=backend)
    if backend == "enumeration":
        relabelled = dataclasses.replace(relabelled, num_evaluated=problem.num_states)
    certificate = Certificate.of(problem, relabelled)
    assert verify(certificate, problem).complete
    verification = verify(certificate, problem, max_states=10, time_limit=60)
    assert verification.passed
    assert not verification.complete
    assert verification.checks[-1].name == "repetition"


def test_one_engine_alone_is_a_weak_check(
    problem: Problem, certificate: Certificate, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stopped(given: Any, *, backend: Any, **arguments: Any) -> Spectrum:
        spectrum = solve(given, backend=backend, **arguments)
        if backend.name == "enumeration":
            return spectrum
        return dataclasses.replace(
            spectrum, status=Status.PARTIAL, num_proven=0, lower_bound=-math.inf
        )

    monkeypatch.setattr("qubo_prune.solving.proof.verifier.solve", stopped)
    verification = verify(certificate, problem)
    assert verification.passed
    assert not verification.complete
    assert verification.checks[-1].name == "repetition"
    assert "enumeration, perhaps the same code" in verification.checks[-1].sentence


def test_a_limit_that_is_reached() -> None:
    problem = Problem.load("bytelm-40-branch", remove=10)
    certificate = Certificate.of(problem, solve(problem, num_states=5))
    verification = verify(certificate, problem, max_states=1e20, time_limit=0.2)
    assert verification.passed
    assert not verification.complete
    assert verification.stop_reason.value == "time limit"
    assert "stopped (time limit)" in verification.checks[-1].sentence


@pytest.mark.parametrize(
    "arguments", [{"max_states": -1}, {"max_states": math.nan}, {"seed": -1}, {"time_limit": 0}]
)
def test_bad_arguments(problem: Problem, certificate: Certificate, arguments: Any) -> None:
    with pytest.raises(InputError):
        verify(certificate, problem, **arguments)


def test_verify_takes_a_problem(certificate: Certificate) -> None:
    with pytest.raises(InputError, match="must be a Problem"):
        verify(certificate, "h.npy")


def test_samples_are_feasible(problem: Problem) -> None:
    rng = np.random.default_rng(0)
    for states in random_states(problem, 500, rng):
        assert problem.is_feasible(states).all()
        assert len({state.tobytes() for state in states}) > 100


@pytest.mark.parametrize("count", [10_000, 60])
def test_swap_neighbours(problem: Problem, count: int) -> None:
    rng = np.random.default_rng(0)
    given = states_of(problem)
    found = np.concatenate(list(swap_neighbours(problem, given, count, rng)))
    assert problem.is_feasible(found).all()
    distance = (found[:, None] != given).sum(axis=2)
    assert (distance.min(axis=1) <= 2).all()
    if count > 1000:
        swaps = sum(g.count * (len(g.indices) - g.count) for g in problem.groups)
        assert len(found) == len(given) * swaps
        assert ((found[:, None] != given).sum(axis=2) == 2).any(axis=1).all()


def drop(*path: str) -> Edit:
    def edit(fields: dict[str, Any]) -> None:
        for key in path[:-1]:
            fields = fields[key]
        del fields[path[-1]]

    return edit


def keys_of(fields: dict[str, Any]) -> list[tuple[str, ...]]:
    return [(key,) for key in fields] + [("problem", key) for key in fields["problem"]]


HOSTILE = [
    *(
        (drop(*keys), keys[-1])
        for keys in keys_of(
            Certificate.of(make_problem(), solve(make_problem(), num_states=2)).to_dict()
        )
    ),
    (put("format", "spectrum"), "format is 'spectrum'"),
    (put("format", 3), "format has a wrong value"),
    (put("format_version", 2), "format_version is 2"),
    (put("problem", []), "problem is a list, not an object"),
    (put("spectrum", "x"), "spectrum is a str, not an object"),
    (put("spectrum", "format_version", 7), "format_version is 7"),
    (put("problem", "remove", -1.5), "remove has a wrong value"),
    (put("problem", "keep", [0.5]), "keep has a wrong value"),
    (put("problem", "kinds", [1]), "kinds has a wrong value"),
    (put("problem", "beta", "1"), "beta has a wrong value"),
    (put("problem", "num_states", -1), "num_states has a wrong value"),
    (put("num_states", True), "num_states has a wrong value"),
    (put("last_energy", "x"), "last_energy has a wrong value"),
    (put("versions", []), "versions has a wrong value"),
    (put("versions", {"numpy": 2}), "versions has a wrong value"),
    (put("hessian", 3), "hessian has a wrong value"),
    (put("spectrum", "proof", {"a": [1]}), "proof has a wrong value"),
    (put("spectrum", "proof", {"a": True}), "proof has a wrong value"),
    (put("spectrum", "proof", []), "proof has a wrong value"),
    (put("spectrum", "num_proven", 13), "num_proven must be at most"),
    (put("spectrum", "energies", []), "do not fit each other"),
]


@pytest.mark.parametrize(("edit", "message"), HOSTILE)
def test_files_that_are_no_certificates_are_refused(
    certificate: Certificate, tmp_path: Path, edit: Edit, message: str
) -> None:
    with pytest.raises(InputError, match=message) as caught:
        edited(certificate, tmp_path, edit)
    assert "edited.json is not a valid certificate" in str(caught.value)
    assert len(str(caught.value)) < 500


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is empty"),
        (b"{", "is not JSON"),
        (b"[]", "holds a list"),
        (b"[" * 100_000, "is not JSON"),
        (b'{"a": NaN}', "the number NaN"),
        (b'{"a": ' + b"9" * 5000 + b"}", "is not JSON"),
        (b'{"format_version": 1, "format_version": 1}', "'format_version' is there twice"),
        (b'{"format_version": 1, "\\ud800": 1, "\\ud800": 1}', "there twice"),
    ],
)
def test_hostile_json(tmp_path: Path, content: Any, message: str) -> None:
    (tmp_path / "c.json").write_bytes(content)
    with pytest.raises(InputError, match=message):
        Certificate.load(tmp_path / "c.json")


def test_a_file_that_asks_for_more_memory_than_it_is_worth(
    certificate: Certificate, tmp_path: Path
) -> None:
    def edit(fields: dict[str, Any]) -> None:
        fields["spectrum"]["names"] = [str(i) for i in range(100_000)]
        fields["spectrum"]["num_blocks"] = 100_000
        fields["spectrum"]["removed"] = [[]] * 50_000

    with pytest.raises(InputError, match=r"states of 100000 blocks take 5\.00e9 bytes"):
        edited(certificate, tmp_path, edit)


def test_random_damage_never_escapes_as_another_error(
    certificate: Certificate, problem: Problem, tmp_path: Path
) -> None:
    path = tmp_path / "c.json"
    certificate.save(path)
    original = path.read_bytes()
    rng = np.random.default_rng(0)
    refused = wrong = 0
    for _ in range(200):
        data = bytearray(original)
        data[int(rng.integers(len(data)))] = int(rng.integers(32, 127))
        path.write_bytes(data)
        try:
            loaded = Certificate.load(path)
        except InputError:
            refused += 1
        else:
            wrong += not verify(loaded, problem, max_states=0).passed
    assert refused > 50
    assert wrong > 30
