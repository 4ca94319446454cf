"""Instances by name: what there is, the same each time, and what is refused."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from qubo_prune import InputError, Problem, bundled, solve
from qubo_prune.bench import FAMILIES, Case, Family, Instance


def by_name(family: Family) -> str:
    return family.name


@pytest.mark.parametrize("family", FAMILIES, ids=by_name)
def test_instances_are_symmetric_and_reproducible(family: Family) -> None:
    matrix = Instance.load(f"{family.name}-24-seed-3").hessian
    assert matrix.shape == (24, 24)
    assert (matrix == matrix.T).all()
    assert (matrix == Instance.load(f"{family.name}-24-seed-3").hessian).all()
    assert not (matrix == Instance.load(f"{family.name}-24-seed-4").hessian).all()


@pytest.mark.parametrize("family", FAMILIES, ids=by_name)
@pytest.mark.parametrize("size", [1, 2, 5])
def test_every_family_has_small_instances(family: Family, size: int) -> None:
    problem = Instance.load(f"{family.name}-{size}").problem(1)
    assert problem.num_states == size


def test_families_are_told_apart_and_explained() -> None:
    for texts in zip(*((each.name, each.label, each.summary) for each in FAMILIES), strict=True):
        assert len(set(texts)) == len(FAMILIES)
    assert all(len(set(family.seeds)) == len(family.seeds) > 1 for family in FAMILIES)
    assert not {family.name for family in FAMILIES} & {each.name for each in bundled()}


def test_the_first_seed_is_the_default() -> None:
    first = FAMILIES[0].seeds[0]
    named = Instance.load(f"wishart-half-9-seed-{first}")
    assert (named.hessian == Instance.load("wishart-half-9").hessian).all()


@pytest.mark.parametrize("name", [each.name for each in bundled()])
def test_bundled_hessians_are_instances(name: str) -> None:
    instance, expected = Instance.load(name), Problem.load(name, remove=2)
    assert (instance.name, instance.label) == (name, name)
    problem = Case(name, 2).problem()
    assert problem.hessian.tobytes() == expected.hessian.tobytes()
    assert (problem.kinds, problem.names) == (expected.kinds, expected.names)
    kind = problem.kinds[0] if problem.kinds else None
    assert kind is None or instance.problem({kind: 1}).num_removed == 1


@pytest.mark.parametrize(
    "name",
    [
        "wishart",
        "wishart-0",
        "wishart--9",
        "wish-9",
        "wishart-9-seed",
        "wishart 2N",
        "llama-81",
        "",
    ],
)
def test_names_that_are_refused(name: str) -> None:
    with pytest.raises(InputError, match=r"there is no instance .*The families are wishart-half, "):
        Instance.load(name)


def test_the_planted_removal_is_the_ground_state() -> None:
    spectrum = solve(Instance.load("planted-40").problem(8), num_states=1)
    assert spectrum.removed(0) == list(range(8))


def test_instances_do_not_depend_on_threads() -> None:
    """A run is done in a process with other threads than the one that poses it."""
    code = (
        "import hashlib; from qubo_prune.bench import Instance;"
        " print([hashlib.sha256(Instance.load(name).hessian.tobytes()).hexdigest() for name in"
        " ('heterogeneous-100', 'autoregressive-120', 'low-rank-128')])"
    )
    found = {
        subprocess.run(
            [sys.executable, "-c", code],
            env=os.environ
            | {"OMP_NUM_THREADS": threads, "OPENBLAS_NUM_THREADS": threads}
            | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for threads in ("1", "2", "3")
    }
    assert len(found) == 1
