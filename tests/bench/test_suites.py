"""Suites, what they ask, and what is known of it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from qubo_prune.bench import references
from qubo_prune.bench.references import Reference, cache_folder, known_reference, reference_of
from qubo_prune.bench.results import ReferenceKind
from qubo_prune.bench.suite_names import suite_names
from qubo_prune.bench.suites import Suite, load_suite
from qubo_prune.bench.tasks import Published, Task
from qubo_prune.core.errors import InputError


@pytest.fixture(autouse=True)
def kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("QUBO_PRUNE_CACHE", str(tmp_path / "kept"))
    return tmp_path / "kept" / "references"


def a_suite(tmp_path: Path, text: str) -> Suite:
    path = tmp_path / "mine.toml"
    path.write_text(text)
    return load_suite(str(path))


def test_every_suite_of_the_package_can_be_posed() -> None:
    for name in suite_names():
        suite = load_suite(name)
        assert suite.summary
        assert suite.tasks or suite.missing
        for task in suite.tasks:
            assert task.wanted >= 1
            assert Task.from_dict(task.to_dict()).digest == task.digest
    digests = [task.digest for task in load_suite("families").tasks]
    assert len(set(digests)) == len(digests)


def test_the_reference_hessians_come_with_certificates() -> None:
    for task in load_suite("bundled").tasks:
        known = known_reference(task)
        assert known is not None
        assert known.kind is ReferenceKind.CERTIFIED
        assert len(known.energies) == task.wanted


def test_a_users_suite(tmp_path: Path) -> None:
    np.save(tmp_path / "h.npy", np.diag(np.arange(6.0)))
    suite = a_suite(
        tmp_path,
        """
        states = 5
        time_limits = [1, 2.5]
        seeds = 2
        backends = ["tabu", { name = "annealing", options = { walks = 4 } }]

        [[tasks]]
        file = ["h.npy", "lost.npy"]
        remove = [2, 3]

        [[tasks]]
        instance = "wishart-12"
        instance_seeds = [0, 7]
        remove = 3
        states = [1, 4]
        keep = [0]
        without = ["tabu"]
        """,
    )
    assert [(Path(task.instance).name, task.remove, task.num_states) for task in suite.tasks] == [
        *(("h.npy", 2, 5), ("h.npy", 3, 5)),
        *(("wishart-12-seed-0", 3, 1), ("wishart-12-seed-0", 3, 4)),
        *(("wishart-12-seed-7", 3, 1), ("wishart-12-seed-7", 3, 4)),
    ]
    assert suite.missing == ("lost.npy",)
    assert suite.time_limits == (1.0, 2.5)
    assert suite.solvers[1].options == {"walks": 4}
    assert suite.tasks[0].name == "h.npy"
    assert suite.tasks[0].family == "h"
    assert suite.tasks[2].problem.keep == (0,)
    assert [task.without for task in suite.tasks] == [()] * 2 + [("tabu",)] * 4
    assert "without" not in suite.tasks[2].to_dict(), "it is no part of what is asked"


def test_budgets_are_asked_of_sidecars_and_of_weights_that_a_suite_gives(tmp_path: Path) -> None:
    suite = a_suite(
        tmp_path,
        """
        [[tasks]]
        instance = "llama-80-branch"
        remove = 6
        at_least = ["1%", 100_000]

        [[tasks]]
        instance = "wishart-4"
        remove = 2
        at_least = 5.5
        weights = [1, 2, 3.5, 4]
        """,
    )
    share, amount, own = suite.tasks
    budget, counts = share.problem.budget, share.problem.parameter_counts
    assert budget is not None
    assert counts is not None
    assert budget.weights.tolist() == list(counts)
    assert amount.problem.budget is not None
    assert amount.problem.budget.at_least == 100_000
    assert own.problem.is_feasible([[1, 0, 0, 1], [0, 1, 1, 0], [1, 0, 1, 0]]).tolist() == [
        *(False, True, False),
    ]
    assert share.digest != amount.digest
    for task in suite.tasks:
        assert Task.from_dict(task.to_dict()) == task
        assert Task.from_dict(task.to_dict()).digest == task.digest


TASK = "[[tasks]]\ninstance = 'wishart-12'\nremove = 3\n"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "it has no tasks"),
        ("a = ", "is not TOML"),
        ("limits = 3\n" + TASK, "unknown key 'limits'; known are summary"),
        ("seeds = 0\n" + TASK, "must be positive"),
        ("seeds = 'x'\n" + TASK, "seeds is 'x', which is of the wrong type"),
        ("time_limits = ['x']\n" + TASK, "time_limits must be numbers of seconds"),
        ("backends = [3]\n" + TASK, "a backend is a name"),
        (TASK + "stats = 3\n", "task 0 has an unknown key 'stats'"),
        (TASK + "file = 'h.npy'\n", "task 0 must have either instance or file"),
        (TASK.replace("3", "3.5"), "task 0 removes 3.5"),
        (TASK + "states = 0\n", "asks for 0 states"),
        (TASK + "at_least = true\n", "task 0 has at_least=True; write a number, or a share"),
        (TASK + "at_least = 3\nweights = ['x']\n", "task 0 has the weight 'x'; write one number"),
        (TASK + "at_least = 3\nweights = 3\n", "weights is 3, which is of the wrong type"),
        (TASK + "published = 3\n", "must be a number, with a source"),
        (TASK + "without = ['taboo']\n", "task 0 is without 'taboo', which is not among"),
        (TASK + "without = 'tabu'\n", "without is 'tabu', which is of the wrong type"),
    ],
)
def test_what_is_wrong_with_a_suite_is_named(tmp_path: Path, text: str, words: str) -> None:
    with pytest.raises(InputError, match=r"mine\.toml") as caught:
        a_suite(tmp_path, text)
    assert words in str(caught.value)


def test_unknown_suites_and_instances_are_refused() -> None:
    with pytest.raises(InputError, match=r"no suite 'smoek'.*take one of smoke, bundled"):
        load_suite("smoek")
    with pytest.raises(
        InputError, match="there is no file 'whishart-12', and there is no instance"
    ):
        _ = Task("whishart-12", 3).problem
    with pytest.raises(InputError, match="does not say how many blocks to remove"):
        _ = Task("wishart-12").problem
    with pytest.raises(InputError, match=r"wishart-12: at_least=3 needs to know"):
        _ = Task("wishart-12", 3, at_least=3).problem
    with pytest.raises(InputError, match=r"wishart-12: remove must be between"):
        _ = Task("wishart-12", 13).problem


def test_a_reference_is_computed_once_and_kept(kept: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    task = Task("wishart-14", 4, 7)
    assert known_reference(task) is None
    assert reference_of(task, 0.0) == references.NOTHING
    computed = reference_of(task, 60.0)
    assert computed.kind is ReferenceKind.CERTIFIED
    every = task.problem.energies(all_states(14, 4))
    assert computed.energies == tuple(np.sort(every)[:7])
    monkeypatch.setattr(references, "solve", None)
    again = reference_of(task, 60.0)
    assert again.energies == computed.energies
    assert known_reference(Task("wishart-14", 5, 7)) is None
    [file] = kept.iterdir()
    lowest = str(computed.energies[0])
    file.write_text(file.read_text().replace(lowest, "0.5"))
    assert known_reference(task) is None, "what does not fit the problem is not believed"


def test_what_is_not_proven_is_the_best_known_and_a_published_value_comes_before_it() -> None:
    task = Task("wishart-half-64", 24, 50)
    best = reference_of(task, 0.3)
    assert best.kind is ReferenceKind.BEST_KNOWN
    assert len(best.energies) == 50
    assert known_reference(task) == best._replace(source="branch-and-bound, kept")
    value = Published(best.energies[0] / 2, "a paper", 2.0)
    published = reference_of(Task("wishart-half-64", 24, 50, published=value), 0.0)
    assert published == Reference(ReferenceKind.PUBLISHED, (best.energies[0],), "a paper")


def test_a_proof_comes_before_a_published_value() -> None:
    task = Task("llama-80-block", 8, published=Published(1.0, "a paper"))
    assert reference_of(task, 0.0).kind is ReferenceKind.CERTIFIED


def test_a_published_value_of_a_file_is_without_its_constant(tmp_path: Path) -> None:
    lp = "Minimize\n obj: 2 x0 + 3 x1 + 4 x2 + [ 4 x0 * x1 ] / 2 + 10\nSubject To\n"
    lp += " c: x0 + x1 + x2 = 2\nBinary\n x0 x1 x2\nEnd\n"
    (tmp_path / "model.lp").write_text(lp)
    task = Task(str(tmp_path / "model.lp"), None, 3, published=Published(16.0, "by hand"))
    assert task.problem.num_removed == 2
    assert task.published_energy() == 6.0
    assert reference_of(task, 20.0).energies[0] == 6.0


def test_the_folder_is_the_users(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    assert cache_folder() == tmp_path / "kept"
    monkeypatch.delenv("QUBO_PRUNE_CACHE")
    monkeypatch.setattr("sys.platform", "linux")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert cache_folder() == tmp_path / "qubo-prune"


def all_states(num_blocks: int, count: int) -> np.ndarray:
    from itertools import combinations

    states = np.zeros((1, num_blocks), bool).repeat(
        sum(1 for _ in combinations(range(num_blocks), count)), axis=0
    )
    for row, removed in zip(states, combinations(range(num_blocks), count), strict=True):
        row[list(removed)] = True
    return states
