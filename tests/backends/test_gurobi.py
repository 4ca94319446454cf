"""Gurobi behind the interface: what it proves and what it does not, its licence, its manners."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from qubo_prune import (
    BackendUnavailableError,
    InputError,
    Problem,
    Progress,
    Spectrum,
    Status,
    Stop,
    StopReason,
    get_backend,
    solve,
)
from qubo_prune.backends import backend_class
from qubo_prune.testing import brute_force, hard_problem
from qubo_prune.testing.harness import ranked
from tests.interrupts import send_while_it_solves
from tests.strategies import near_ties

gurobipy = pytest.importorskip("gurobipy", reason="gurobipy is not installed")


def _licensed() -> bool:
    try:
        with gurobipy.Env(params={"OutputFlag": 0}):
            return True
    except gurobipy.GurobiError:
        return False


pytestmark = pytest.mark.skipif(not _licensed(), reason="gurobipy has no licence")


@pytest.mark.parametrize("spread", [1e-11, 1e-10, 1e-9, 1e-7])
def test_states_nearer_than_the_tolerances_are_told_apart_all_the_same(spread: float) -> None:
    """Gurobi alone returns wrong states here: within 1e-9 one is as good as the other to it."""
    for seed in range(3):
        problem = Problem(near_ties(13, spread, seed), 6, symmetrize=True)
        truth = brute_force(problem)
        for num_states in (3, 20, 57):
            spectrum = solve(problem, num_states=num_states, backend="gurobi")
            assert spectrum.status is Status.PROVEN
            assert ranked(spectrum) == truth[:num_states]
            assert truth[num_states - 1][0] <= spectrum.lower_bound <= truth[num_states][0]


def test_ties_beyond_the_limit_stay_unproven() -> None:
    problem = Problem(np.diag([0.0] * 12 + [1.0] * 8), 6)  # 924 states of energy 0
    spectrum = solve(problem, num_states=5, backend="gurobi", options={"max_ties": 40})
    spectrum.check(problem)
    assert (spectrum.status, spectrum.num_proven) == (Status.PARTIAL, 0)
    assert spectrum.stop_reason is StopReason.COMPLETED
    assert spectrum.energies.tolist() == [0.0] * 5
    assert spectrum.ties_truncated
    assert -1e-6 < spectrum.lower_bound < 0
    assert "max_ties" in spectrum.native_status
    spectrum = solve(problem, num_states=5, backend="gurobi")
    assert ranked(spectrum) == ranked(solve(problem, num_states=5))


def test_what_is_left_open_is_bounded() -> None:
    problem = hard_problem(60)
    spectrum = solve(problem, num_states=20, backend="gurobi", time_limit=1.0)
    spectrum.check(problem)
    assert spectrum.status is Status.PARTIAL
    assert spectrum.stop_reason is StopReason.TIME_LIMIT
    assert "TIME_LIMIT" in spectrum.native_status or "INTERRUPTED" in spectrum.native_status
    best = solve(problem, num_states=20, time_limit=1.0)
    assert -np.inf < spectrum.lower_bound <= best.energies[0]


def test_it_starts_from_what_is_known() -> None:
    problem = hard_problem(80)
    known = solve(problem, num_states=3, time_limit=0.5)
    stop = Stop(max_evaluations=1)
    spectrum = solve(problem, num_states=3, backend="gurobi", warm_start=known.states, stop=stop)
    assert spectrum.energies[0] <= known.energies[0]
    assert spectrum.stop_reason is StopReason.EVALUATION_LIMIT
    stop = Stop()
    stop.cancel()
    spectrum = solve(problem, num_states=3, backend="gurobi", warm_start=known.states, stop=stop)
    assert ranked(spectrum) == ranked(known)


def test_the_limit_of_the_free_licence_is_told_before_anything_runs() -> None:
    hessian = np.diag(np.arange(240.0))
    allowed = solve(Problem(hessian, 42, keep=range(40)), num_states=1, backend="gurobi")
    assert allowed.status is Status.PROVEN
    with gurobipy.Env(params={"OutputFlag": 0}) as env, gurobipy.Model(env=env) as model:
        x = model.addVars(201, vtype="B")
        model.setObjective(x[0] * x[1])
        try:
            model.optimize()
        except gurobipy.GurobiError:
            pass
        else:
            pytest.skip("a full licence is installed")
    with pytest.raises(InputError, match=r"at most 200 blocks to choose from, not 240; keep"):
        solve(Problem(hessian, 40), num_states=1, backend="gurobi")


def test_a_refused_licence_is_no_crash(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any, **__: Any) -> None:
        raise gurobipy.GurobiError(10009, "License expired 2020-01-01")

    monkeypatch.setattr(gurobipy, "Env", refuse)
    with pytest.raises(BackendUnavailableError, match="License expired 2020-01-01"):
        solve(Problem(np.eye(3), 1), backend="gurobi")


def test_the_licence_that_would_be_used_is_told(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    found = backend_class("gurobi")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    monkeypatch.delenv("GRB_LICENSE_FILE", raising=False)
    monkeypatch.setattr("qubo_prune.backends.gurobi.licence.sys.platform", "darwin")
    assert "at most 200 blocks" in found.availability().detail
    (tmp_path / "gurobi.lic").write_text("")
    assert found.availability().detail.endswith("with a licence file")
    monkeypatch.setenv("GRB_LICENSE_FILE", str(tmp_path / "elsewhere.lic"))
    assert found.availability().licensed is False
    with pytest.raises(BackendUnavailableError, match="GRB_LICENSE_FILE names"):
        get_backend("gurobi")
    (tmp_path / "elsewhere.lic").write_text("")
    assert found.availability().licensed is True


@pytest.mark.parametrize(
    ("text", "licensed"),
    [
        ("TYPE=ACADEMIC\nEXPIRATION=2020-02-29\nKEY=X\n", False),
        ("EXPIRATION=1999-12-31", False),
        ("# EXPIRATION=1999-12-31\nEXPIRATION=2999-01-01\n", True),
        ("TOKENSERVER=licences.example\n", True),
        ("EXPIRATION=soon\n", True),
    ],
)
def test_an_expired_licence_is_told(
    text: str, licensed: bool, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: Any
) -> None:
    from qubo_prune.cli.main import main

    (tmp_path / "gurobi.lic").write_text(text)
    monkeypatch.setenv("GRB_LICENSE_FILE", str(tmp_path / "gurobi.lic"))
    here = backend_class("gurobi").availability()
    assert here.licensed is licensed
    assert main(["backends"]) == 0
    assert ("licence expired on" in " ".join(capsys.readouterr().out.split())) is not licensed
    if not licensed:
        with pytest.raises(BackendUnavailableError, match="licence expired on"):
            get_backend("gurobi")


def test_nothing_is_imported_to_say_whether_it_is_there() -> None:
    code = (
        "import sys; from qubo_prune.backends import backend_class;"
        " print(backend_class('gurobi').availability().installed, 'gurobipy' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert done.stdout.split() == ["True", "False"]


def test_nothing_is_printed(capfd: pytest.CaptureFixture[str]) -> None:
    spectrum = solve(Problem(near_ties(12, 0.1, 0), 5, symmetrize=True), backend="gurobi")
    assert spectrum.status is Status.PROVEN
    assert capfd.readouterr() == ("", "")


@pytest.mark.skipif(os.name != "posix", reason="sends a signal")
def test_ctrl_c_ends_the_search_and_is_not_printed(capfd: pytest.CaptureFixture[str]) -> None:
    """Gurobi would catch it by itself and print so on stdout."""
    previous = signal.getsignal(signal.SIGINT)
    sent = send_while_it_solves(signal.SIGINT, after=1.0)
    spectrum = solve(hard_problem(), num_states=3, backend="gurobi", time_limit=60)
    sent.join()
    assert spectrum.stop_reason is StopReason.INTERRUPTED
    assert len(spectrum) > 0
    assert signal.getsignal(signal.SIGINT) is previous
    assert capfd.readouterr() == ("", "")


def test_an_error_in_a_progress_callback_ends_the_search() -> None:
    def complain(_: Progress) -> None:
        raise RuntimeError("no terminal")

    with pytest.raises(Exception, match="no terminal"):
        solve(hard_problem(), num_states=3, backend="gurobi", progress=complain, time_limit=60)


QUBOS = {
    "blocks": (lambda: Problem.load("bytelm-40-block", remove=2, keep=range(20)), 10),
    "per kind": (
        lambda: Problem.load("bytelm-40-branch", {"attention": 2, "mlp": 1}, keep=range(64)),
        10,
    ),
    "near ties": (lambda: Problem(near_ties(12, 1e-10, 2), 5, symmetrize=True), 20),
}


@pytest.mark.parametrize("name", QUBOS)
def test_the_penalty_form_has_the_same_spectrum(name: str) -> None:
    make, num_states = QUBOS[name]
    problem = make()
    expected = solve(problem, num_states=num_states, backend="enumeration")
    native = solve(problem, num_states=num_states, backend="gurobi")
    options = {"formulation": "qubo"}
    spectrum = solve(problem, num_states=num_states, backend="gurobi", options=options)
    assert spectrum.status is native.status is Status.PROVEN
    assert ranked(spectrum) == ranked(native) == ranked(expected)
    assert spectrum.statistics["formulation"] == "qubo"
    assert native.statistics == {}
    assert float(spectrum.statistics["penalty"]) > 0
    assert float(spectrum.proof["margin"]) > float(native.proof["margin"])


def test_a_penalty_too_small_fills_the_pool_and_proves_nothing_false() -> None:
    problem = Problem(np.diag(np.arange(1.0, 11.0)), 5)
    options: dict[str, Any] = {"formulation": "qubo", "penalty": 0.1, "max_ties": 20}
    spectrum = solve(problem, num_states=3, backend="gurobi", options=options)
    spectrum.check(problem)
    assert spectrum.status is Status.PARTIAL
    assert int(spectrum.statistics["infeasible_in_pool"]) > 0
    assert spectrum.num_proven == 0
    assert spectrum.lower_bound <= 15.0
    options["max_ties"] = 10_000  # as many as there are
    spectrum = solve(problem, num_states=3, backend="gurobi", options=options)
    assert ranked(spectrum) == brute_force(problem)[:3]
    assert spectrum.status is Status.PROVEN


@pytest.mark.parametrize(
    "options",
    [
        {"threads": 0},
        {"max_ties": 0},
        {"max_ties": 1.5},
        {"formulation": "ising"},
        {"penalty": 1.0},
    ],
)
def test_bad_options(options: dict[str, Any]) -> None:
    with pytest.raises(InputError, match=next(iter(options))):
        get_backend("gurobi", **options)
    negative = {"formulation": "qubo", "penalty": -1.0}
    with pytest.raises(InputError, match="penalties must be"):
        solve(Problem(np.eye(3), 1), backend="gurobi", options=negative)


def test_it_says_how_it_proved() -> None:
    spectrum = solve(Problem.load("bytelm-40-block", remove=3), num_states=4, backend="gurobi")
    assert isinstance(spectrum, Spectrum)
    assert spectrum.native_status.startswith("OPTIMAL, ")
    assert str(spectrum.proof["solver"]).startswith("Gurobi 1")
    assert 0 < float(spectrum.proof["margin"]) < 1e-6
    assert spectrum.proof["pool"] == 5
