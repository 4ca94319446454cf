"""Problems in files: written with a sidecar, read back as the same problem, and refused where the
two disagree.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from qubo_prune import InputError, Problem, load_hessian, save_hessian, solve, sweep
from qubo_prune.core.files.formats import FORMATS
from qubo_prune.encodings import write_problem

NAMES = [f"layers.{i // 2}.{'attention' if i % 2 == 0 else 'mlp'}" for i in range(10)]
KINDS = ["attention", "mlp"] * 5


@pytest.fixture
def hessian() -> np.ndarray:
    factors = np.random.default_rng(7).normal(size=(30, 10))
    return factors.T @ factors / 30


def edit_sidecar(path: Path, **changes: object) -> None:
    sidecar = path.with_name(f"{path.name}.json")
    sidecar.write_text(json.dumps({**json.loads(sidecar.read_text()), **changes}))


@pytest.mark.parametrize("suffix", [suffix for each in FORMATS for suffix in each.suffixes])
@pytest.mark.parametrize("remove", [4, {"attention": 2, "mlp": 3}])
def test_a_written_problem_is_the_same_problem(
    tmp_path: Path, hessian: np.ndarray, suffix: str, remove: int | dict[str, int]
) -> None:
    problem = Problem(hessian, remove, kinds=KINDS, names=NAMES, keep=[0], force=[3])
    path = tmp_path / f"problem{suffix}"
    write_problem(problem, path)
    back = Problem.load(path)
    reduced = problem.reduced()
    exact = {"rtol": 0, "atol": 1e-13 if suffix in (".rudy", ".mc") else 0}
    assert np.allclose(back.hessian, reduced.matrix, **exact)
    assert back.block_names() == tuple(NAMES[i] for i in reduced.variables)
    assert back.kinds == tuple(KINDS[i] for i in reduced.variables)
    assert back.num_states == problem.num_states
    expected, found = solve(problem, num_states=5), solve(back, num_states=5)
    offset = load_hessian(path).offset
    assert np.allclose(found.energies + offset, expected.energies, rtol=0, atol=1e-12)
    for k in range(5):
        assert {*found.removed_names(k), NAMES[3]} == set(expected.removed_names(k))


def test_without_the_sidecar_the_constraint_is_there_where_the_format_holds_it(
    tmp_path: Path, hessian: np.ndarray
) -> None:
    grouped = Problem(hessian, {"attention": 2, "mlp": 3}, kinds=KINDS, names=NAMES)
    plain = Problem(hessian, 4)
    for each in FORMATS:
        path = tmp_path / f"problem{each.suffixes[0]}"
        for problem in (grouped, plain):
            write_problem(problem, path)
            Path(f"{path}.json").unlink()
            if each.holds_counts:
                assert Problem.load(path).remove == problem.remove
                continue
            with pytest.raises(InputError, match="does not say how many blocks to remove"):
                Problem.load(path)
            num_nodes = 11 if each.name == "rudy" else 10
            assert Problem.load(path, 4).num_blocks == num_nodes
    assert Problem.load(tmp_path / "problem.lp", 2).remove == 2
    spectra = sweep(Problem.load(tmp_path / "problem.coo", 0), num_states=1)
    assert len(spectra) == 9


def test_penalties_are_in_the_coefficients_and_the_constraint_in_the_sidecar(
    tmp_path: Path, hessian: np.ndarray
) -> None:
    problem = Problem(hessian, {"attention": 2, "mlp": 3}, kinds=KINDS, force=[0])
    for suffix in (".lp", ".qubo"):
        write_problem(problem, tmp_path / f"p{suffix}", penalties=[5.0, 7.0])
        file = load_hessian(tmp_path / f"p{suffix}")
        assert file.remove == {"attention": 1, "mlp": 3}
        assert file.metadata["penalties"] == [5.0, 7.0]
        assert file.metadata["variables"] == list(range(1, 10))
        assert file.metadata["fixed_removed"] == [0]
        back = Problem.load(tmp_path / f"p{suffix}")
        found, expected = solve(back, num_states=3), solve(problem, num_states=3)
        assert np.allclose(found.energies + file.offset, expected.energies, rtol=0, atol=1e-11)
    (tmp_path / "p.lp.json").unlink()
    with pytest.raises(InputError, match="does not say"):
        Problem.load(tmp_path / "p.lp")


def test_a_sidecar_of_a_hessian_may_say_how_many_to_remove(tmp_path: Path) -> None:
    path = tmp_path / "h.npy"
    save_hessian(path, np.eye(4), remove=2, offset=0.5)
    assert Problem.load(path).remove == 2
    assert Problem.load(path, 3).remove == 3
    assert load_hessian(path).offset == 0.5
    save_hessian(path, np.eye(4), remove={"a": 1}, kinds=["a", "a", "b", "b"])
    assert Problem.load(path).remove == {"a": 1}
    for wrong in (5, -1, 1.5, "two", {"c": 1}, {"a": 3}):
        with pytest.raises(InputError, match="remove"):
            save_hessian(path, np.eye(4), remove=wrong, kinds=["a", "a", "b", "b"])
    with pytest.raises(InputError, match="offset"):
        save_hessian(path, np.eye(4), offset="much")


@pytest.mark.parametrize(
    ("suffix", "changes", "words"),
    [
        (".lp", {"remove": 5}, "counts 4 of 10"),
        (".cqm", {"remove": {"attention": 4}, "kinds": KINDS}, "counts 4 of 10"),
        (".lp", {"names": ["a"]}, "names"),
        (".qubo", {"names": NAMES[:-1]}, "names"),
        (".qubo", {"remove": 11}, "between 0 and 10"),
        (".qubo", {"sha256": "0" * 64}, "another matrix"),
        (".qubo", {"offset": "x"}, "offset"),
        (".mc", {"reference_node": 3}, "reference_node"),
        (".mc", {"reference_node": "last"}, "reference_node"),
        (".mc", {"reference_node": None}, "names"),
        (".cqm", {"reference_node": 10}, "only a graph has a reference_node"),
        (".lp", {"reference_node": 10}, "only a graph has a reference_node"),
        (".bqm", {"reference_node": 10}, "only a graph has a reference_node"),
    ],
)
def test_a_sidecar_that_contradicts_its_file(
    tmp_path: Path, hessian: np.ndarray, suffix: str, changes: dict[str, object], words: str
) -> None:
    path = tmp_path / f"problem{suffix}"
    write_problem(Problem(hessian, 4, names=NAMES), path)
    edit_sidecar(path, **changes)
    with pytest.raises(InputError, match=words):
        load_hessian(path)


def test_kinds_of_a_sidecar_have_to_be_the_groups_of_the_file(tmp_path: Path) -> None:
    path = tmp_path / "problem.lp"
    write_problem(Problem(np.eye(4), {"a": 1, "b": 1}, kinds=["a", "b", "a", "b"]), path)
    edit_sidecar(path, remove=None, kinds=None)
    assert Problem.load(path).kinds == ("a", "b", "a", "b")
    edit_sidecar(path, kinds=["a", "a", "b", "b"])
    with pytest.raises(InputError, match="counts 1 of 2 and 1 of 2"):
        load_hessian(path)


def test_what_cannot_be_written(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="nothing to write"):
        write_problem(Problem(np.eye(3), 3), tmp_path / "a.lp")
    with pytest.raises(InputError, match="suffix"):
        write_problem(Problem(np.eye(3), 1), tmp_path / "a.npy")
    with pytest.raises(InputError, match="cannot be written"):
        write_problem(Problem(np.eye(3), 1), tmp_path / "no" / "a.lp")
    with pytest.raises(InputError, match="at least 0"):
        write_problem(Problem(np.eye(3), 1), tmp_path / "a.lp", penalties=-1)
    assert not list(tmp_path.iterdir())


def test_a_format_may_be_named(tmp_path: Path) -> None:
    write_problem(Problem(np.eye(3), 1), tmp_path / "a.txt", format="qbsolv")
    assert load_hessian(tmp_path / "a.txt", "qbsolv").remove == 1
    with pytest.raises(InputError, match=r"not a \.npy file"):
        load_hessian(tmp_path / "a.txt")
    with pytest.raises(InputError, match="line 1"):
        load_hessian(tmp_path / "a.txt", "biqmac")


SIZES = [3, 8, 2, 9, 4, 7, 1, 8, 5, 6]
"""What the branches of `NAMES` weigh."""


def with_budget(hessian: np.ndarray, remove: object = 4) -> Problem:
    return Problem(
        hessian,
        remove,
        kinds=KINDS,
        names=NAMES,
        keep=[0],
        force=[3],
        weights=SIZES,
        at_least=30,
    )  # type: ignore[arg-type]


@pytest.mark.parametrize("remove", [4, {"attention": 2, "mlp": 3}])
def test_an_lp_file_holds_the_budget(
    tmp_path: Path, hessian: np.ndarray, remove: int | dict[str, int]
) -> None:
    problem, path = with_budget(hessian, remove), tmp_path / "p.lp"
    write_problem(problem, path)
    assert "budget: " in path.read_text()
    back = Problem.load(path)
    expected, found = (solve(each, num_states=4) for each in (problem, back))
    assert expected.num_proven == found.num_proven == 4
    light = solve(Problem(hessian, remove, kinds=KINDS, keep=[0], force=[3]), num_states=4)
    assert light.energies[3] < expected.energies[3]  # the budget binds
    for k in range(4):
        assert {*found.removed_names(k), NAMES[3]} == set(expected.removed_names(k))
    assert (back.at_least, back.weights and back.weights[0]) == (21, SIZES[1])
    assert "at least 21 of their weight" in found.summary()
    other = Problem.load(path, at_least=0, weights=[1] * 8)
    assert solve(other, num_states=4).energies[3] < found.energies[3]
    edit_sidecar(path, at_least=1, weights=[1] * 8)
    with pytest.raises(InputError, match=r"contradicts p.lp, which says .* weigh at least 21"):
        Problem.load(path)


def test_a_budget_that_every_state_reaches_needs_no_row(
    tmp_path: Path, hessian: np.ndarray
) -> None:
    problem = Problem(hessian, 4, force=[1], weights=SIZES, at_least=8)
    write_problem(problem, tmp_path / "p.lp")
    assert "budget" not in (tmp_path / "p.lp").read_text()


def test_gurobi_and_scip_read_the_budget(tmp_path: Path, hessian: np.ndarray) -> None:
    gurobipy, pyscipopt = map(pytest.importorskip, ("gurobipy", "pyscipopt"))
    problem, path = with_budget(hessian), tmp_path / "p.lp"
    write_problem(problem, path)
    lowest = solve(problem, num_states=1).energies[0]
    with (
        gurobipy.Env(params={"OutputFlag": 0, "MIPGap": 0}) as environment,
        gurobipy.read(str(path), environment) as model,
    ):
        model.optimize()
        assert model.ObjVal == pytest.approx(lowest, abs=1e-9)
    scip = pyscipopt.Model()
    scip.hideOutput()
    scip.readProblem(str(path))
    scip.optimize()
    assert scip.getObjVal() == pytest.approx(lowest, abs=1e-5)


@pytest.mark.parametrize("suffix", [each.suffixes[0] for each in FORMATS if not each.holds_budget])
def test_other_formats_refuse_a_budget(tmp_path: Path, hessian: np.ndarray, suffix: str) -> None:
    with pytest.raises(InputError, match=r"cannot hold; write .lp without penalties, leave"):
        write_problem(with_budget(hessian), tmp_path / f"p{suffix}")
    with pytest.raises(InputError, match="which a file with penalties cannot hold"):
        write_problem(with_budget(hessian), tmp_path / "p.lp", penalties=1.0)
    assert not list(tmp_path.iterdir())


def test_a_budget_alone_is_the_only_row(tmp_path: Path, hessian: np.ndarray) -> None:
    gurobipy = pytest.importorskip("gurobipy")
    problem, path = with_budget(hessian, None), tmp_path / "p.lp"
    write_problem(problem, path)
    assert "count_" not in path.read_text()
    back = Problem.load(path)
    assert (back.remove, back.at_least) == (None, 21)
    expected, found = (solve(each, num_states=3) for each in (problem, back))
    assert expected.num_proven == found.num_proven == 3
    for k in range(3):
        assert {*found.removed_names(k), NAMES[3]} == set(expected.removed_names(k))
    with (
        gurobipy.Env(params={"OutputFlag": 0, "MIPGap": 0}) as environment,
        gurobipy.read(str(path), environment) as model,
    ):
        model.optimize()
        assert model.ObjVal == pytest.approx(expected.energies[0], abs=1e-9)
    reached = Problem(hessian, weights=SIZES, at_least=8, force=[1])
    for nothing in (reached, Problem(hessian, weights=SIZES, at_least=9, force=range(9))):
        with pytest.raises(InputError, match="there is nothing to write"):
            write_problem(nothing, tmp_path / "q.lp")
