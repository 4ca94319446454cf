"""Backends named as path.py:Name or module:Name: what they are is found out, the name is kept, and
everything that can be wrong with one is told in a line.
"""

from __future__ import annotations

import itertools
import json
import sys
import textwrap
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from qubo_prune import (
    BackendError,
    Capability,
    InputError,
    Problem,
    Spectrum,
    Status,
    get_backend,
    solve,
    sweep,
)
from qubo_prune.backends import IsingBackend, backend_class, distribution_of
from qubo_prune.backends.registry import is_built_in
from qubo_prune.cli.main import main
from qubo_prune.testing import CHECKS, brute_force

MINE = """
    from __future__ import annotations
    from dataclasses import dataclass
    import itertools
    import dimod
    import numpy as np
    from qubo_prune.backends import Backend, Capability, RawResult
    from qubo_prune.backends.swaps.tabu import Tabu as Borrowed

    print("hello")

    @dataclass(frozen=True)
    class First(Backend):
        depth: int = 1
        name = "first"
        summary = "the first state"
        capabilities = Capability.NONE

        def run(self, problem, num_states, stop, seed, warm_start=None):
            members = [i for group in problem.groups for i in group.indices[:group.count]]
            return RawResult(problem.state(members)[None], native_status=f"{self.depth}")

    CONFIGURED = First(depth=7)

    @dataclass(frozen=True)
    class Abstract(Backend):
        pass

    class Plain(First.__mro__[1]):
        def run(self, problem, num_states, stop, seed, warm_start=None):
            pass

    @dataclass(frozen=True)
    class Silent(Plain):
        pass

    class Sampler(dimod.ExactSolver):
        pass

    SAMPLER = Sampler()

    def every(h, J, M):
        states = [[1 if i in up else -1 for i in range(len(h))]
                  for up in itertools.combinations(range(len(h)), M)]
        return np.array(states)

    def seeded(h, J, M, seed, sweeps=3):
        spins = -np.ones(len(h))
        spins[np.random.default_rng(seed).permutation(len(h))[:M]] = 1
        return spins

    class Callable:
        def __call__(self, h, J, M):
            return every(h, J, M)

    CALLABLE = Callable()
    NUMBER = 3
    def short(h): pass
    def four(h, J, M, beta): pass
    def by_keyword(h, J, *, M): pass
    def anything(*args): pass
    def fails(h, J, M): raise RuntimeError("no more")
    def wide(h, J, M): return np.ones((2, len(h) + 1))
    def bits(h, J, M): return np.zeros(len(h))
    def words(h, J, M): return "up"
    def short_of_energies(h, J, M): return every(h, J, M), [1.0]
"""
PROBLEM = Problem.load("bytelm-40-block", remove=3, keep=range(30))


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "mine.py").write_text(textwrap.dedent(MINE))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    return tmp_path


def ranked(spectrum: Spectrum) -> list[tuple[float, tuple[int, ...]]]:
    return [(state.energy, state.removed) for state in spectrum]


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("mine.py:First", "1"),
        ("mine.py:CONFIGURED", "7"),
        ("mine.py:Sampler", "1024 samples, 120 of them feasible"),
        ("mine.py:SAMPLER", "1024 samples, 120 of them feasible"),
        ("ocean:mine.py:SAMPLER", "1024 samples, 120 of them feasible"),
        ("dimod:ExactSolver", "1024 samples, 120 of them feasible"),
        ("mine.py:every", "120 samples, 120 of them feasible"),
        ("mine.py:CALLABLE", "120 samples, 120 of them feasible"),
        ("mine.py:seeded", "100 samples, 100 of them feasible"),
    ],
)
def test_what_is_named_is_found_out(name: str, words: str) -> None:
    spectrum = solve(PROBLEM, num_states=5, backend=name)
    assert (spectrum.backend, spectrum.native_status) == (name, words)
    assert isinstance(get_backend(name), backend_class(name))
    assert get_backend(name) == get_backend(name)
    assert not is_built_in(backend_class(name))


def test_the_label_is_kept_on_the_command_line(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    common = ["bytelm-40-block", "--remove", "3", "--backend", "mine.py:seeded", "--seed", "4"]
    common += ["--option", "num_reads=7", "--option", "sweeps=9"]
    assert main(["solve", *common, "--json", "--out", str(here / "s.json")]) == 0
    out = capsys.readouterr().out
    assert json.loads(out)["backend"] == Spectrum.load(here / "s.json").backend == "mine.py:seeded"
    assert json.loads(out)["statistics"]["samples"] == 7
    assert main(["sweep", *common, "--json"]) == 0
    assert '"mine.py:seeded"' in capsys.readouterr().out
    assert main(["solve", *common, "--option", "heat=1"]) == 2
    assert "no option 'heat'" in capsys.readouterr().err


def test_a_path_from_the_current_folder_and_from_home(
    here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (here / "below").mkdir()
    (here / "mine.py").rename(here / "below" / "mine.py")
    monkeypatch.setenv("HOME", str(here))
    for name in ("below/mine.py:First", "~/below/mine.py:First", f"{here}/below/mine.py:First"):
        assert solve(PROBLEM, backend=name).backend == name


def test_a_file_may_import_its_neighbours_and_none_is_compiled_beside_it(here: Path) -> None:
    (here / "neighbour_of_mine.py").write_text("DEPTH = 5\n")
    (here / "other.py").write_text("import neighbour_of_mine\nfrom mine import First\n")
    assert backend_class("other.py:First").options() == ("depth",)
    assert not list(here.glob("__pycache__/other*"))


def test_a_changed_file_is_read_again_and_an_unchanged_one_is_not(here: Path) -> None:
    before = backend_class("mine.py:First")
    digest = distribution_of("mine.py:First")
    assert backend_class("mine.py:First") is before
    (here / "mine.py").write_text((here / "mine.py").read_text().replace("= 1\n", "= 2\n"))
    assert solve(PROBLEM, backend="mine.py:First").native_status == "2"
    assert digest is not None
    assert digest.startswith("mine.py sha256:")
    assert distribution_of("mine.py:First") != digest
    assert distribution_of("dimod:ExactSolver") is None


def test_a_crash_says_in_which_line_of_the_file(tmp_path: Path) -> None:
    path = tmp_path / "crashes.py"
    path.write_text("def inner(h):\n    return h[999]\n\ndef f(h, J, M):\n    return inner(h)\n")
    said = r"failed: IndexError: .* \(line 2 of crashes\.py\)$"
    with pytest.raises(BackendError, match=said) as told:
        solve(Problem(np.eye(4), 2), backend=f"{path}:f")
    assert str(tmp_path) not in str(told.value).partition(" failed: ")[2]
    path = tmp_path / "elsewhere.py"
    path.write_text("import json\n\ndef f(h, J, M):\n    return json.loads('{')\n")
    with pytest.raises(BackendError, match=r"JSONDecodeError: .* \(line 4 of elsewhere\.py\)$"):
        solve(Problem(np.eye(4), 2), backend=f"{path}:f")


def test_nothing_is_imported_unless_it_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["backends", "--json"]) == 0
    assert "mine" not in capsys.readouterr().out
    assert solve(PROBLEM).status is Status.PROVEN
    backend_class("mine.py:First")
    printed = capsys.readouterr()
    assert "hello" not in printed.out, "what a file prints stays out of the way of --json"
    assert "hello" in printed.err


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("mine.py", "write path.py:Name or module:Name"),
        ("mine.py:", "write path.py:Name or module:Name"),
        (":First", "write path.py:Name or module:Name"),
        ("mine.py:First()", "write path.py:Name or module:Name"),
        ("none.py:First", r"no file 'none.py' in /"),
        (".py:First", r"no file '.py' in /"),
        ("mine.py:Frist", "has no 'Frist'; did you mean 'First'"),
        ("mine.py:zzz", "has no 'zzz'; it defines: First, CONFIGURED, Abstract, "),
        ("folder.py:First", "cannot be read"),
        ("needs.py:X", r"ModuleNotFoundError: No module named 'nosuchlibrary' \(line 2\)"),
        ("syntax.py:X", r"SyntaxError: .*\(line 2\)"),
        ("leaves.py:X", r"SystemExit: 3 \(line 2\)"),
        ("binary.py:X", r"cannot be imported: "),
        ("no_such_module.at_all:X", "PYTHONPATH"),
        ("tabu:X", "'tabu' cannot be imported"),
        ("mine.py:NUMBER", "is the value 3 and no solver"),
        ("mine.py:Callable", "is a class and no solver"),
        ("mine.py:Abstract", "has no method run"),
        ("mine.py:Plain", "not a dataclass"),
        ("mine.py:Silent", "does not declare its capabilities"),
        ("mine.py:short", r"takes \(h\), not \(h, J, M\)"),
        ("mine.py:four", r"takes \(h, J, M, beta\), not \(h, J, M\)"),
        ("mine.py:by_keyword", r"takes \(h, J, \*, M\), not \(h, J, M\)"),
        ("mine.py:anything", r"takes \(\*args\), not \(h, J, M\)"),
    ],
)
def test_what_can_be_wrong_with_a_name(
    here: Path, name: str, words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    (here / "folder.py").mkdir()
    (here / "needs.py").write_text("\nimport nosuchlibrary\n")
    (here / "syntax.py").write_text("\nx = = 1\n")
    (here / "leaves.py").write_text("\nraise SystemExit(3)\n")
    (here / "binary.py").write_bytes(b"\0\1\2")
    with pytest.raises(InputError, match=words):
        get_backend(name)
    assert main(["solve", "bytelm-40-block", "--remove", "3", "--backend", name]) == 2
    told = capsys.readouterr().err.removeprefix("hello\n")
    assert told.startswith("qubo-prune: error: ")
    assert told.count("\n") == 1
    with pytest.raises(InputError, match=words):
        get_backend(name)  # the second time as well


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("fails", "RuntimeError: no more"),
        ("wide", r"spins must have shape \(10,\) or \(K, 10\), not \(2, 11\)"),
        ("bits", "spins must be -1 and 1, not 0"),
        ("words", "spins must hold real numbers"),
        ("short_of_energies", "energies must be one for each of 120 states"),
    ],
)
def test_what_can_be_wrong_with_an_answer(name: str, words: str) -> None:
    with pytest.raises(BackendError, match=f"'mine.py:{name}'.*{words}"):
        solve(PROBLEM, backend=f"mine.py:{name}")


INTEGERS = Problem(
    np.array([[int(np.sin(7 * i * j + 1) * 9) for j in range(8)] for i in range(8)])
    + np.array([[int(np.sin(7 * i * j + 1) * 9) for j in range(8)] for i in range(8)]).T,
    remove=3,
    keep=[1],
    force=[6],
)


def spins_of(size: int, up: int | None) -> np.ndarray:
    rows = np.array(list(itertools.product([-1.0, 1.0], repeat=size)))
    return rows if up is None else rows[(rows == 1).sum(axis=1) == up]


def test_h_and_j_are_the_problem_and_m_counts_the_spins_that_are_up() -> None:
    def listed(h: Any, J: Any, M: int) -> Any:
        states = spins_of(len(h), M)
        energies = states @ h + np.einsum("ki,ij,kj->k", states, J, states)
        assert np.array_equal(np.triu(J, 1), J)
        order = np.argsort(energies, kind="stable")
        seen.append((M, energies[order]))
        return states[order], energies[order]

    seen: list[Any] = []
    spectrum = solve(INTEGERS, num_states=100, backend=IsingBackend(listed, repair=False))
    expected = brute_force(INTEGERS)[:100]
    assert len(spectrum) == INTEGERS.num_states == 15
    assert seen[0][0] == 2, "one of the three is forced"
    assert np.array_equal(spectrum.energies, [energy for energy, _ in expected])
    offset = spectrum.energies[0] - seen[0][1][0]
    assert np.allclose(seen[0][1] + offset, spectrum.energies, rtol=0, atol=1e-9)
    assert spectrum.statistics["energy_error"] == pytest.approx(0, abs=1e-9)


def test_a_function_without_m_gets_the_constraint_as_a_penalty() -> None:
    def lowest(h: Any, J: Any, num_states: int) -> Any:
        states = spins_of(len(h), None)
        energies = states @ h + np.einsum("ki,ij,kj->k", states, J, states)
        asked.append(num_states)
        return states[np.argsort(energies, kind="stable")][:num_states]

    asked: list[int] = []
    spectrum = solve(
        INTEGERS, num_states=4, backend=IsingBackend(lowest, repair=False, num_reads=4)
    )
    assert ranked(spectrum) == brute_force(INTEGERS)[:4]
    assert asked == [4]
    assert spectrum.statistics["penalty"] > 0
    assert Capability.NATIVE_CONSTRAINT not in IsingBackend(lowest).capabilities


def test_counts_per_kind_are_a_penalty_and_m_is_their_sum() -> None:
    def lowest(h: Any, J: Any, M: int) -> Any:
        states = spins_of(len(h), M)
        energies = states @ h + np.einsum("ki,ij,kj->k", states, J, states)
        return states[np.argsort(energies, kind="stable")][:3]

    kinds = ["attention", "mlp"] * 4
    problem = Problem(INTEGERS.hessian, remove={"attention": 1, "mlp": 2}, kinds=kinds)
    spectrum = solve(problem, num_states=3, backend=IsingBackend(lowest, repair=False, num_reads=3))
    assert ranked(spectrum) == brute_force(problem)[:3]


def test_a_wrong_energy_is_told() -> None:
    def boasts(h: Any, J: Any, M: int) -> Any:
        states = spins_of(len(h), M)
        return states, states @ h + np.einsum("ki,ij,kj->k", states, J, states) - 5.0

    spectrum = solve(INTEGERS, num_states=4, backend=IsingBackend(boasts))
    assert spectrum.statistics["energy_error"] == pytest.approx(5)
    assert ranked(spectrum) == brute_force(INTEGERS)[:4]


def test_a_function_gets_what_it_asks_for() -> None:
    def asks(
        h: Any,
        J: Any,
        M: int,
        num_reads: int,
        *,
        num_states: int,
        seed: int,
        time_limit: float | None,
        interrupt_function: Callable[[], bool] | None = None,
        heat: float = 1.0,
    ) -> Any:
        assert interrupt_function is not None
        calls.append((num_reads, num_states, time_limit, interrupt_function(), heat, seed))
        h[:] = J[:] = 0.0  # its own copies
        return np.tile(spins_of(len(h), M)[0], (num_reads, 1))

    calls: list[Any] = []
    backend = IsingBackend(asks, num_reads=25, sampler_options={"heat": 2.0})
    assert Capability.SEEDED in backend.capabilities
    solve(INTEGERS, num_states=4, backend=backend, seed=3)
    first = list(calls)
    assert [call[:-1] for call in first] == [(n, 4, None, False, 2.0) for n in (10, 10, 5)]
    assert len({call[-1] for call in first}) == 3
    solve(INTEGERS, num_states=4, backend=backend, seed=3, time_limit=60)
    assert [call[-1] for call in calls[3:]] == [call[-1] for call in first]
    assert all(0 < call[2] <= 60 for call in calls[3:])


def test_a_function_that_finds_nothing_is_heuristic() -> None:
    def nothing(h: Any, J: Any, M: int) -> list[float]:
        calls.append(M)
        return []

    calls: list[int] = []
    spectrum = solve(INTEGERS, num_states=4, backend=IsingBackend(nothing, num_reads=3))
    assert (len(spectrum), len(calls), spectrum.status) == (0, 3, Status.HEURISTIC)


def test_what_is_not_a_function_is_refused() -> None:
    with pytest.raises(InputError, match="function must be a function of"):
        IsingBackend(3)
    with pytest.raises(InputError, match=r"takes \(h\)"):
        IsingBackend(lambda h: h)


def test_a_time_limit_ends_between_two_calls() -> None:
    def slow(h: Any, J: Any, M: int) -> Any:
        calls.append(M)
        time.sleep(0.05)
        return spins_of(len(h), M)[0]

    calls: list[int] = []
    spectrum = solve(
        INTEGERS, num_states=4, backend=IsingBackend(slow, num_reads=10_000), time_limit=0.3
    )
    assert spectrum.stop_reason.value == "time limit"
    assert 1 <= len(calls) <= 6


@pytest.mark.parametrize("check", CHECKS, ids=str)
def test_conformance(check: Any) -> None:
    check(get_backend("mine.py:seeded", num_reads=10), 30)


def test_a_sweep_takes_a_name() -> None:
    swept = sweep(Problem(INTEGERS.hessian, 1), backend="mine.py:every", num_states=2)
    assert {each.backend for each in swept.values() if each.num_evaluated > 1} == {"mine.py:every"}


def test_every_state_of_dimod_is_a_state_of_a_function() -> None:
    """The two ways to plug in a solver agree about spins."""
    by_function = solve(PROBLEM, num_states=120, backend="mine.py:every", options={"repair": False})
    by_sampler = solve(
        PROBLEM, num_states=120, backend="dimod:ExactSolver", options={"repair": False}
    )
    assert ranked(by_function) == ranked(by_sampler)
