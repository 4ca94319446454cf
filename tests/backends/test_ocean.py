"""Any dimod sampler: the ready ones conform, parameters pass through, bare and repaired figures are
told apart, limits are said before the launch.
"""

from __future__ import annotations

import json
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path
from typing import Any

import dimod
import numpy as np
import pytest

from qubo_prune import (
    BackendError,
    Capability,
    InputError,
    Problem,
    Spectrum,
    Status,
    Stop,
    get_backend,
    solve,
)
from qubo_prune.backends import backend_class
from qubo_prune.backends.ocean.backend import OceanBackend
from qubo_prune.cli.main import main
from qubo_prune.encodings import smallest_penalty
from qubo_prune.testing import CHECKS, brute_force

pytest.importorskip("dwave.samplers")

READY = {
    "ocean-tabu": ({"num_reads": 2, "lower_bound_z": 1000, "num_restarts": 0}, 60),
    "ocean-annealing": ({"num_reads": 10, "num_sweeps": 50}, 60),
    "ocean-descent": ({"num_reads": 50}, 60),
    "ocean-tree": ({}, 12),
    "ocean-exact": ({}, 12),
    "ocean:dimod:RandomSampler": ({"num_reads": 20}, 30),
}
HEURISTIC = ["ocean-tabu", "ocean-annealing", "ocean-descent"]
PROBLEM = Problem.load("bytelm-40-block", remove=10)


@pytest.mark.parametrize("check", CHECKS, ids=str)
@pytest.mark.parametrize("name", READY)
def test_conformance(name: str, check: Any) -> None:
    options, num_blocks = READY[name]
    check(get_backend(name, **options), num_blocks)


def ranked(spectrum: Spectrum) -> list[tuple[float, tuple[int, ...]]]:
    return [(state.energy, state.removed) for state in spectrum]


@pytest.mark.parametrize("name", HEURISTIC)
def test_repair_finds_what_the_samples_miss(name: str) -> None:
    exact = solve(PROBLEM, num_states=20)
    options = {"num_reads": 40}
    repaired = solve(PROBLEM, num_states=20, backend=name, options=options)
    bare = solve(PROBLEM, num_states=20, backend=name, options={**options, "repair": False})
    truth = set(ranked(exact))
    assert len(truth & set(ranked(repaired))) >= 18
    assert len(truth & set(ranked(repaired))) >= len(truth & set(ranked(bare)))
    assert repaired.status is bare.status is Status.HEURISTIC
    facts = repaired.statistics
    # Both runs drew the same samples.
    for key in ("samples", "feasible_samples", "feasible_fraction", "bare_states", "penalty"):
        assert facts[key] == bare.statistics[key]
    assert facts["samples"] == 40
    assert facts["feasible_fraction"] == facts["feasible_samples"] / 40
    assert facts["bare_listed"] == len(set(ranked(repaired)) & set(ranked(bare)))
    assert len(bare) == min(20, facts["bare_states"])
    if len(bare):
        assert facts["bare_lowest_energy"] == bare.energies[0] >= repaired.energies[0]
    smallest = smallest_penalty(PROBLEM, 20, solve=solve)[0]
    assert smallest * 0.99 < facts["penalty"] < smallest * 1.2


def test_a_penalty_that_is_too_small_leaves_no_feasible_sample() -> None:
    bare = solve(
        PROBLEM, num_states=5, backend="ocean-annealing", options={"penalty": 1e-7, "repair": False}
    )
    assert len(bare) == 0
    assert bare.statistics["feasible_fraction"] == 0.0
    assert "bare_lowest_energy" not in bare.statistics
    assert np.isinf(bare.lower_bound)
    repaired = solve(PROBLEM, num_states=5, backend="ocean-annealing", options={"penalty": 1e-7})
    assert len(repaired) == 5


def test_groups_have_penalties_of_their_own(tmp_path: Path) -> None:
    problem = Problem.load("bytelm-40-branch", {"attention": 3, "mlp": 2}, keep=range(20, 80))
    spectrum = solve(
        problem, num_states=5, backend="ocean-descent", options={"penalty": [1e-3, 2e-3]}
    )
    assert spectrum.statistics["penalty_0"] == 1e-3
    assert spectrum.statistics["penalty_1"] == 2e-3
    spectrum.save(tmp_path / "s.json")
    assert Spectrum.load(tmp_path / "s.json").statistics == spectrum.statistics
    assert ranked(spectrum)[0] == ranked(solve(problem, num_states=1))[0]


def test_the_command_line_shows_the_figures(capsys: pytest.CaptureFixture[str]) -> None:
    command = (
        "solve bytelm-40-block --remove 5 --backend ocean-annealing --option num_reads=30 --option"
        " num_sweeps=20"
    )
    assert main(command.split()) == 0
    out = " ".join(capsys.readouterr().out.split())
    assert "The backend reports: samples 30, feasible samples" in out
    assert main([*command.split(), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["statistics"]["samples"] == 30


def test_a_sweep_shows_rows_without_states(capsys: pytest.CaptureFixture[str]) -> None:
    command = (
        "sweep bytelm-40-block --remove 5,6 --backend ocean-descent --option repair=false --option"
        " penalty=0"
    )
    assert main(command.split()) == 0
    assert capsys.readouterr().out.count("0 of 0") == 2


def test_all_states_are_a_proof() -> None:
    problem = Problem.load("bytelm-40-block", remove=5, keep=range(12, 40))
    spectrum = solve(problem, num_states=30, backend="ocean-exact")
    assert spectrum.status is Status.PROVEN
    assert ranked(spectrum) == brute_force(problem)[:30]
    tree = solve(problem, num_states=30, backend="ocean-tree")
    assert ranked(tree) == ranked(spectrum)
    assert tree.status is Status.HEURISTIC
    assert tree.statistics["feasible_fraction"] == 1.0


@pytest.mark.parametrize(("name", "limit"), [("ocean-exact", 18), ("ocean-tree", 22)])
def test_limits_are_checked_before_the_launch(name: str, limit: int) -> None:
    problem = Problem.load("bytelm-40-block", remove=5, keep=range(40 - limit - 1))
    with pytest.raises(InputError, match=f"at most {limit} free blocks, not {limit + 1}"):
        solve(problem, backend=name)


class Script(dimod.Sampler):
    """Returns what it is told, and remembers how it was called."""

    properties = None
    parameters = None

    def __init__(self, answer: Any = None, **parameters: Any) -> None:
        self.parameters = parameters
        self.properties = {}
        self.answer = answer
        self.calls: list[dict[str, Any]] = []

    def sample(self, bqm: dimod.BinaryQuadraticModel, **parameters: Any) -> Any:
        self.calls.append({"variables": list(bqm.variables), **parameters})
        if callable(self.answer):
            return self.answer(bqm, parameters)
        rng = np.random.default_rng(parameters.get("seed"))
        samples = rng.integers(2, size=(parameters.get("num_reads", 1), len(bqm)), dtype=np.int8)
        return dimod.SampleSet.from_samples_bqm((samples, list(bqm.variables)), bqm)


def histogram(rows: list[list[int]], times: Any) -> Callable[[Any, Any], dimod.SampleSet]:
    return lambda bqm, _: dimod.SampleSet.from_samples_bqm(
        (np.array(rows, np.int8), list(bqm.variables)), bqm, num_occurrences=times
    )


GOOD, OTHER, BAD_COUNT = [1, 1, 0, 0, 0, 0], [0, 1, 1, 0, 0, 0], [1, 1, 1, 0, 0, 0]


@pytest.mark.parametrize(
    ("rows", "times"),
    [
        ([GOOD, BAD_COUNT], [90, 10]),
        ([BAD_COUNT, GOOD, OTHER], [1, 2, 3]),
        ([GOOD], [100]),
        ([BAD_COUNT], [7]),
        ([GOOD, OTHER, GOOD], [1, 5, 4]),
        ([GOOD, BAD_COUNT], [0, 3]),
    ],
)
@pytest.mark.parametrize("repair", [True, False])
def test_a_histogram_counts_as_its_samples_one_by_one(
    rows: list[list[int]], times: list[int], repair: bool
) -> None:
    """States, statistics and reads are those of the sampler that lists every sample."""
    problem = Problem(np.diag(np.arange(1.0, 7.0)), remove=2)
    spread = np.repeat(np.array(rows), times, axis=0).tolist()
    found = [
        solve(
            problem,
            num_states=3,
            backend=OceanBackend(
                Script(histogram(given, occurrences), num_reads=None),
                num_reads=sum(times),
                repair=repair,
            ),
        )
        for given, occurrences in ((rows, times), (spread, [1] * len(spread)))
    ]
    shown = [{**s.statistics, "evaluated": s.num_evaluated} for s in found]
    if min(times) > 0:  # a row that was never drawn is still a state
        assert np.array_equal(found[0].states, found[1].states)
        assert shown[0] == shown[1]
    assert shown[0]["samples"] == shown[0]["evaluated"] == sum(times)
    feasible = sum(t for row, t in zip(rows, times, strict=True) if row != BAD_COUNT)
    assert shown[0]["feasible_samples"] == feasible
    assert shown[0]["feasible_fraction"] == feasible / sum(times)


@pytest.mark.parametrize("times", [[1.5, 2.0], [-1, 2], [np.nan, 1]])
def test_occurrences_that_count_nothing_are_the_fault_of_the_sampler(times: list[float]) -> None:
    problem = Problem(np.diag(np.arange(1.0, 7.0)), remove=2)
    with pytest.raises(BackendError, match="num_occurrences"):
        solve(problem, backend=OceanBackend(Script(histogram([GOOD, OTHER], times))))


def test_a_sampler_gets_reads_seeds_and_its_own_parameters() -> None:
    sampler = Script(num_reads=[], seed=[], heat=[])
    backend = OceanBackend(sampler, num_reads=25, sampler_options={"heat": 3})
    problem = Problem.load("bytelm-40-block", remove=3, keep=[0, 2])
    spectrum = solve(problem, num_states=5, backend=backend, seed=7)
    assert [call["num_reads"] for call in sampler.calls] == [10, 10, 5]
    assert all(call["heat"] == 3 for call in sampler.calls)
    assert len({call["seed"] for call in sampler.calls}) == 3
    assert sampler.calls[0]["variables"] == [1, *range(3, 40)]
    assert spectrum.backend == "ocean:Script"
    assert spectrum.seed == 7
    assert spectrum.num_evaluated == 25
    assert ranked(spectrum) == ranked(solve(problem, num_states=5, backend=backend, seed=7))
    wide = OceanBackend(sampler, num_reads=25, reads_per_call=100)
    sampler.calls.clear()
    solve(problem, num_states=5, backend=wide)
    assert [call["num_reads"] for call in sampler.calls] == [25]


def test_a_sampler_without_parameters_is_called_once() -> None:
    sampler = Script()
    spectrum = solve(PROBLEM, num_states=5, backend=OceanBackend(sampler))
    assert sampler.calls == [{"variables": list(range(40))}]
    assert spectrum.seed is None
    again = OceanBackend(sampler, num_reads=4)
    assert solve(PROBLEM, num_states=5, backend=again).statistics["samples"] == 4


def test_a_clock_makes_a_seed_useless() -> None:
    assert Capability.SEEDED not in OceanBackend(Script(seed=[], timeout=[])).capabilities
    assert Capability.SEEDED in OceanBackend(Script(seed=[])).capabilities
    assert Capability.SEEDED not in OceanBackend.capabilities


def test_limits_end_a_run_between_calls() -> None:
    sampler = Script(num_reads=[], seed=[])
    stop = Stop(max_evaluations=30)
    spectrum = solve(
        PROBLEM, num_states=5, backend=OceanBackend(sampler, num_reads=1000), stop=stop
    )
    assert spectrum.num_evaluated == 30
    assert spectrum.stop_reason.value == "evaluation limit"
    assert len(spectrum) == 5


def test_spins_and_other_orders_are_understood() -> None:
    def spins(bqm: dimod.BinaryQuadraticModel, _parameters: Any) -> dimod.SampleSet:
        sample = {v: 1 if v < 10 else -1 for v in reversed(list(bqm.variables))}
        return dimod.SampleSet.from_samples(sample, energy=0.0, vartype="SPIN")

    spectrum = solve(PROBLEM, num_states=1, backend=OceanBackend(Script(spins), repair=False))
    assert spectrum.removed(0) == list(range(10))


def test_the_largest_coefficient_is_near_one() -> None:
    seen = []

    def look(bqm: dimod.BinaryQuadraticModel, _parameters: Any) -> dimod.SampleSet:
        seen.append(max(map(abs, [*bqm.linear.values(), *bqm.quadratic.values()])))
        return dimod.SampleSet.from_samples_bqm(dict.fromkeys(bqm.variables, 0), bqm)

    for scale in (1e-300, 1e-6, 1.0, 1e200):
        solve(Problem(scale * np.eye(6), 2), backend=OceanBackend(Script(look)))
    assert all(0.25 <= largest <= 4 for largest in seen)


@pytest.mark.parametrize(
    "answer",
    [
        lambda bqm, _: None,
        lambda bqm, _: "solved",
        lambda bqm, _: dimod.SampleSet.from_samples({0: 1}, energy=0, vartype="BINARY"),
        lambda bqm, _: [[2] * len(bqm)],
        lambda bqm, _: np.zeros((3, 2)),
    ],
)
def test_garbage_is_the_backends_failure(answer: Any) -> None:
    with pytest.raises(BackendError, match="no samples of the problem"):
        solve(PROBLEM, backend=OceanBackend(Script(answer)))


def test_a_crash_is_the_backends_failure() -> None:
    with pytest.raises(BackendError, match="ZeroDivisionError"):
        solve(PROBLEM, backend=OceanBackend(Script(lambda bqm, _: 1 / 0)))
    with pytest.raises(BackendError, match="num_sweeps"):
        solve(PROBLEM, backend="ocean-annealing", options={"num_sweeps": -1})


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"num_reads": 0}, "at least 1"),
        ({"num_reads": 2.5}, "integer"),
        ({"reads_per_call": -1}, "at least 1"),
        ({"repair": "no"}, "true or false"),
        ({"sampler_options": [1]}, "names to values"),
        ({"sampler_options": {"seed": 3}}, "argument of solve"),
        ({"sampler_options": {"num_reads": 3}}, "option of its own"),
        ({"num_sweps": 3}, "num_sweeps"),
        ({"seed": 3}, "no option 'seed'"),
        ({"interrupt_function": None}, "no option"),
    ],
)
def test_options_that_are_none(options: dict[str, Any], words: str) -> None:
    with pytest.raises(InputError, match=words):
        get_backend("ocean-annealing", **options)


@pytest.mark.parametrize("penalty", [-1.0, np.nan, [1.0, 2.0], "large"])
def test_penalties_that_are_none(penalty: Any) -> None:
    with pytest.raises(InputError, match="penalties"):
        solve(PROBLEM, backend="ocean-descent", options={"penalty": penalty})


@pytest.mark.parametrize("sampler", [None, "TabuSampler", dimod, dimod.ExactSolver, object()])
def test_what_is_no_sampler(sampler: Any) -> None:
    with pytest.raises(InputError, match="not a dimod sampler"):
        OceanBackend(sampler)


MODULE = """
    import dimod

    class Mine(dimod.RandomSampler):
        pass

    class Needs(dimod.RandomSampler):
        def __init__(self, solver):
            super().__init__()

    class Histogram(dimod.RandomSampler):
        def sample(self, *arguments, **parameters):
            return super().sample(*arguments, **parameters).aggregate()

    class NoSampler:
        pass
"""


@pytest.fixture
def own_module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "own_sampler.py").write_text(textwrap.dedent(MODULE))
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    monkeypatch.delitem(sys.modules, "own_sampler", raising=False)


@pytest.mark.usefixtures("own_module")
def test_a_histogram_on_the_command_line(tmp_path: Path) -> None:
    np.save(tmp_path / "h.npy", np.diag([1.0, 2.0, 3.0]))
    out = tmp_path / "spectrum.json"
    arguments = ["--remove", "1", "--backend", "ocean:own_sampler:Histogram", "--out", str(out)]
    arguments += ["--option", "num_reads=40", "-q"]
    assert main(["solve", str(tmp_path / "h.npy"), *arguments]) == 0
    spectrum = json.loads(out.read_text())
    assert spectrum["statistics"]["samples"] == spectrum["num_evaluated"] == 40


@pytest.mark.usefixtures("own_module")
def test_a_sampler_by_its_name() -> None:
    name = "ocean:own_sampler:Mine"
    assert backend_class(name).name == name
    assert backend_class(name).availability().usable
    spectrum = solve(PROBLEM, num_states=3, backend=name, options={"num_reads": 30})
    assert spectrum.backend == name
    assert len(spectrum) == 3
    with pytest.raises(InputError, match="no option 'heat'"):
        get_backend(name, heat=1)


@pytest.mark.usefixtures("own_module")
@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("ocean:", "names no sampler"),
        ("ocean:own_sampler", "names no sampler"),
        ("ocean::Mine", "names no sampler"),
        ("ocean:own_sampler:a b", "names no sampler"),
        ("ocean:own_sampler:Other", "has no 'Other'"),
        ("ocean:no_such_module:Mine", "PYTHONPATH"),
        ("ocean:own_sampler:Needs", "pass OceanBackend"),
        ("ocean:own_sampler:NoSampler", "not a dimod sampler"),
    ],
)
def test_names_that_name_no_sampler(name: str, words: str) -> None:
    with pytest.raises(InputError, match=words):
        get_backend(name)


def test_without_the_library_the_command_to_install_it_is_told(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("qubo_prune.backends.ocean.backend.find_spec", lambda name: None)
    answer = backend_class("ocean-tabu").availability()
    assert not answer.usable
    assert answer.install == "pip install dwave-samplers"
