"""LP files in the dialects of Gurobi, CPLEX and SCIP: names, brackets, bounds and numbers."""

from __future__ import annotations

import itertools
from collections.abc import Hashable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qubo_prune import Problem, solve
from qubo_prune.cli.main import main
from qubo_prune.core.errors import InputError
from qubo_prune.core.files.formats import format_of
from qubo_prune.core.files.formats.quadratic_model import Model

PATH = Path("model.lp")


def read(text: str) -> Model:
    return format_of(PATH).read(PATH, text.encode())


@pytest.fixture(scope="module")
def environment() -> Any:
    gurobipy = pytest.importorskip("gurobipy")
    with gurobipy.Env(params={"OutputFlag": 0}) as opened:
        yield opened


INDICES: list[list[Hashable]] = [
    [0, 1, 2, 3],
    [(1, 2), (1, -2), (-1, 0), (10, 10)],
    ["a-b", "c+d", "e*f", "x^y"],
    [("attention", 0), ("mlp", 0), ("attention", 1), ("mlp", 1)],
    ["a[0]", "b[[1]]", "c.d", "e_f"],
    ["1/2", "1e5", "-3", "free"],
]


@pytest.mark.parametrize("indices", INDICES, ids=str)
@pytest.mark.parametrize("maximise", [False, True])
def test_what_gurobi_writes_is_read_back(
    environment: Any, tmp_path: Path, indices: list[Hashable], maximise: bool
) -> None:
    import gurobipy

    rng = np.random.default_rng(7)
    linear, half = rng.normal(size=4), rng.normal(size=(4, 4))
    model = gurobipy.Model(env=environment)
    x = list(model.addVars(indices, vtype="B", name="blk").values())
    objective = gurobipy.QuadExpr(2.5)
    for i, j in itertools.product(range(4), repeat=2):
        objective += half[i, j] * x[i] * x[j]
    objective += gurobipy.quicksum(a * v for a, v in zip(linear, x, strict=True))
    model.setObjective(objective, -1 if maximise else 1)
    model.addConstr(gurobipy.quicksum(x) == 2, name="cnt[0,a-b]")
    path = tmp_path / "model.lp"
    model.write(str(path))
    model.Params.MIPGap = 0
    model.optimize()
    back = format_of(path).read(path, path.read_bytes())
    assert back.labels == tuple(v.VarName for v in x)
    assert [(each.label, each.count) for each in back.counts] == [("cnt[0,a-b]", 2)]
    spectrum = solve(Problem.load(path), num_states=1)
    sign = -1 if maximise else 1
    assert sign * model.ObjVal == pytest.approx(spectrum.energies[0] + back.offset, abs=1e-9)
    states = np.array(list(itertools.product([0.0, 1.0], repeat=4)))
    expected = np.einsum("ki,ij,kj->k", states, half, states) + states @ linear + 2.5
    got = np.einsum("ki,ij,kj->k", states, back.matrix, states) + back.offset
    assert np.allclose(sign * expected, got, rtol=0, atol=1e-9)


def test_names_that_gurobi_writes_although_it_should_not(environment: Any, tmp_path: Path) -> None:
    import gurobipy

    names = ["a-b", "a", "b", "c*d", "x^2", "[0]", "5q", "x/2", "end", "inf", "e5", "y]", "z["]
    model = gurobipy.Model(env=environment)
    x = [model.addVar(vtype="B", name=name) for name in names]
    model.setObjective(
        gurobipy.quicksum(2.0**i * v for i, v in enumerate(x)) + x[0] * x[5] - x[4] * x[4]
    )
    model.addConstr(gurobipy.quicksum(x) == 3)
    path = tmp_path / "model.lp"
    model.write(str(path))
    back = format_of(path).read(path, path.read_bytes())
    assert back.labels == tuple(names)
    expected = np.diag(2.0 ** np.arange(len(names)))
    expected[4, 4] -= 1.0
    expected[0, 5] = expected[5, 0] = 0.5
    assert np.array_equal(back.matrix, expected)


@pytest.mark.parametrize(
    "change",
    [
        lambda m, x: m.addConstr(x[0] + x[1] <= 1, name="rule"),
        lambda m, x: m.addConstr(x[0] + 2 * x[1] == 1, name="rule"),
        lambda m, x: m.addConstr(x[0] * x[1] + x[2] == 1, name="rule"),
        lambda m, x: m.addRange(x[0] + x[1], 0, 1, "rule"),
        lambda m, x: m.addGenConstrIndicator(x[0], 1, x[1] + x[2] == 1, name="rule"),
        lambda m, x: m.addGenConstrAnd(x[0], [x[1], x[2]], name="rule"),
        lambda m, x: m.addSOS(1, [x[0], x[1]]),
        lambda m, x: m.addVar(vtype="I", name="i"),
        lambda m, x: setattr(x[0], "LB", 1.0),
        lambda m, x: setattr(x[0], "UB", 0.0),
        lambda m, x: setattr(m.addConstr(x[0] + x[1] == 1, name="rule"), "Lazy", 1),
    ],
)
def test_what_gurobi_states_besides_counts_is_refused(
    environment: Any, tmp_path: Path, change: Any
) -> None:
    import gurobipy

    model = gurobipy.Model(env=environment)
    x = list(model.addVars(3, vtype="B", name="v").values())
    model.setObjective(x[0] + 2 * x[1] + 3 * x[2])
    model.update()
    change(model, x)
    model.update()
    path = tmp_path / "model.lp"
    model.write(str(path))
    with pytest.raises(InputError, match=r"line \d+ of .*model.lp") as caught:
        Problem.load(path, remove=1)
    assert "\n" not in str(caught.value)


FRAME = """Minimize
 obj: {objective}
Subject To
 c: u + v + w = 2
Bounds
 {bounds}
Binary
 u v w
End
"""
MATRIX = [[1.0, 1.0, 0.0], [1.0, -2.0, 0.0], [0.0, 0.0, 3.5]]
OBJECTIVES = [
    "u - 2 v + 3 w + [ 4 u * v + w ^ 2 ] / 2",
    "u - 2 v + 3 w +[ 4 u*v + w^2 ]/2",
    "u - 2 v + 3 w + [4 u*v + w^2]/2",
    "[4 u*v+w^2]/2+u-2 v+3 w",
    "[ 4 v * u + 1e0 w ^ 2.0 ] / 2.0 + u - 2.0 v + 3. w",
    "+1 u -2 v +3 w + [ +4 u * v +1 w^2 ] / 2",
    "u + 0.5 u - 0.5 u - 2 v + 3 w - [ - 4 u * v - w ^ 2 ] / 2",
    "u - 2 v\n  + 3 w + [ 2 u * v + 2 v * u\n  + w ^ 2 ]\n / 2",
    "u - 2 v + 3 w + [ 4 u * v ] / 2 + [ w ^ 2 ] / 2",
]


@pytest.mark.parametrize("objective", OBJECTIVES)
def test_brackets_and_numbers_in_every_spelling(objective: str) -> None:
    model = read(FRAME.format(objective=objective, bounds="u <= 1"))
    assert model.matrix.tolist() == MATRIX


BOUNDS = [
    "0 <= u <= 1",
    "+0.0 <= u <= +1.0",
    "-0.0 <= u <= 1e0",
    "- 0 <= u <= + 1",
    "0.000 < u < 1.",
    "1 >= u >= 0",
    "1.0 => u",
    "u >= 0.0",
    "u >= -0",
    "u =< 10e-1",
    "0e7<=u",
    "u<=1",
    "u >= 0\n u <= 1\n 1 >= w",
]


@pytest.mark.parametrize("bounds", BOUNDS)
def test_bounds_that_say_no_more_than_that_a_variable_is_0_or_1(bounds: str) -> None:
    assert read(FRAME.format(objective=OBJECTIVES[0], bounds=bounds)).matrix.tolist() == MATRIX


@pytest.mark.parametrize(
    "bounds",
    [
        "u <= 0.5",
        "u <= 0",
        "u >= 1",
        "1 <= u",
        "0.0 >= u",
        "u = 1.0",
        "0 <= u <= 2",
        "-1 <= u <= 1",
        "u >= 0.1",
        "u free",
        "u >= -inf",
        "0 <= 1",
        "u <= v",
        "u <= one",
        "u 1",
        "0 <= u <= 1 v",
        "u <= 1 <= v",
    ],
)
def test_bounds_that_say_more_are_refused(bounds: str) -> None:
    with pytest.raises(InputError, match=r"line (6|8) of model.lp cannot be read"):
        read(FRAME.format(objective=OBJECTIVES[0], bounds=bounds))


@pytest.mark.parametrize(
    "bounds", ["K = 1", "1 = K", "1.0 <= K <= 1", "K >= 1\n K <= +1.0", "1 >= K >= 1e0"]
)
def test_a_variable_that_bounds_fix_is_a_constant(bounds: str) -> None:
    model = read(FRAME.format(objective=OBJECTIVES[0] + " - 2.5 K", bounds=bounds))
    assert (model.offset, model.matrix.tolist()) == (-2.5, MATRIX)


@pytest.mark.parametrize("label", ["c", "c[1]", "c[a,-1]", "sum:total", "a-b", "2", "é"])
def test_labels_end_at_their_colon(label: str) -> None:
    text = FRAME.format(objective=OBJECTIVES[0], bounds="").replace(" c:", f" {label}:")
    assert [each.label for each in read(text).counts] == [label]
    assert read(text.replace("obj:", "").replace(f"{label}: ", "c :")).counts[0].label == "c"


def test_two_objectives_are_refused() -> None:
    with pytest.raises(InputError, match="two objectives"):
        read("Minimize\n x\nMaximize\n y\nBinary\n x y\nEnd\n")


def test_constraints_without_labels_get_labels_of_their_own() -> None:
    text = "Minimize\n x\nSubject To\n c1: x = 1\n y = 1\n z = 0\nBinary\n x y z\nEnd\n"
    assert [each.label for each in read(text).counts] == ["c1", "c2", "c3"]
    with pytest.raises(InputError, match="two constraints are called 'c1'"):
        read(text.replace(" y =", " c1: y ="))


@settings(max_examples=60)
@given(st.data())
def test_dense_text_of_plain_names_is_cut_at_operators(data: st.DataObject) -> None:
    """The same objective with any white space between its words, none where CPLEX needs none."""
    words = ["2 u", "+", "3 v[0]", "-", "w.1", "+", "[", "2 u", "*", "v[0]", "-", "w.1", "^", "2"]
    words += ["]", "/", "2"]
    spaces = [data.draw(st.sampled_from(["", " ", "\n  "])) for _ in words]
    text = "".join(itertools.chain.from_iterable(zip(spaces, words, strict=True)))
    model = read(f"Minimize\n obj: {text}\nBinary\n u v[0] w.1\nEnd\n")
    assert model.matrix.tolist() == [[2, 0.5, 0], [0.5, 3, 0], [0, 0, -1.5]]


@pytest.mark.parametrize(
    ("text", "code", "words"),
    [
        (FRAME.format(objective="3 u[0] - v", bounds=""), 2, "'u[0]' is not declared"),
        (FRAME.format(objective="3 u - v", bounds="+0.0 <= u <= +1.0\n v >= 0.0"), 0, ""),
        (FRAME.format(objective="3 u - v", bounds="0 <= u <= 0.5"), 2, "other than 0 and 1"),
        (FRAME.format(objective="3 u - v", bounds="").replace(" u ", " u[1,2] "), 0, ""),
    ],
)
def test_on_the_command_line(
    text: str, code: int, words: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "model.lp"
    path.write_text(text)
    assert main(["solve", str(path), "-q"]) == code
    assert words in " ".join(capsys.readouterr().err.split())


def test_what_docplex_writes_is_read() -> None:
    docplex = pytest.importorskip("docplex.mp.model")
    model = docplex.Model("model")
    x = model.binary_var_list(3, name="blk")
    model.minimize(2 * x[0] - x[1] + 3 * x[0] * x[1] - x[2] * x[2] + 2.5)
    model.add_constraint(model.sum(x) == 2, "cnt")
    back = read(model.export_as_lp_string())
    assert back.matrix.tolist() == [[2, 1.5, 0], [1.5, -1, 0], [0, 0, -1]]
    assert (back.offset, back.labels) == (2.5, ("blk_0", "blk_1", "blk_2"))
    assert [(each.label, each.count) for each in back.counts] == [("cnt", 2)]


def test_what_scip_writes_is_read(tmp_path: Path) -> None:
    pyscipopt = pytest.importorskip("pyscipopt")
    model = pyscipopt.Model()
    model.hideOutput()
    x = [model.addVar(f"blk[{i},{-i}]", vtype="B") for i in range(3)]
    model.setObjective(2 * x[0] - 3 * x[1] + x[2] + 1.5)
    model.addCons(x[0] + x[1] + x[2] == 2, "cnt[0]")
    model.writeProblem(str(tmp_path / "model.lp"), verbose=False)
    back = read((tmp_path / "model.lp").read_text())
    assert back.matrix.tolist() == [[2, 0, 0], [0, -3, 0], [0, 0, 1]]
    assert (back.offset, back.labels) == (1.5, ("blk[0,0]", "blk[1,-1]", "blk[2,-2]"))
    assert [(each.label, each.count) for each in back.counts] == [("cnt[0]", 2)]
