"""Files of other formats: exact round trips, what others write and read, and every file that is
refused.
"""

from __future__ import annotations

import contextlib
import io
import random
from pathlib import Path

import dimod
import numpy as np
import pytest
from dimod.serialization import coo
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from qubo_prune.core.errors import InputError
from qubo_prune.core.files.formats import FORMATS, Format, format_of
from qubo_prune.core.files.formats.quadratic_model import MAX_VARIABLES, Counts, Model

BY_NAME = {each.name: each for each in FORMATS}
EXACT = [each for each in FORMATS if each.name != "rudy"]


def written(model: Model, name: str) -> bytes:
    stream = io.BytesIO()
    BY_NAME[name].write(stream, model)
    return stream.getvalue()


def read(data: bytes | str, name: str) -> Model:
    each = BY_NAME[name]
    return each.read(
        Path(f"file{each.suffixes[0]}"), data.encode() if isinstance(data, str) else data
    )


def contents(
    model: dimod.BinaryQuadraticModel | dimod.ConstrainedQuadraticModel, **options: object
) -> bytes:
    with model.to_file(**options) as file:
        return file.read()


def energies(model: Model, states: NDArray[np.float64]) -> NDArray[np.float64]:
    return model.offset + np.einsum("ki,ij,kj->k", states, model.matrix, states)


def every_state(n: int) -> NDArray[np.float64]:
    return ((np.arange(2**n)[:, None] >> np.arange(n)) & 1).astype(float)


@st.composite
def models(draw: st.DrawFn) -> Model:
    n = draw(st.integers(1, 7))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    scale = 10.0 ** rng.integers(-300, 300) if draw(st.booleans()) else 1.0
    half = rng.normal(size=(n, n)) * 10.0 ** rng.integers(-6, 7, size=(n, n)) * scale
    matrix = np.tril(half) + np.tril(half, -1).T
    matrix[(matrix == matrix.T) & (rng.random((n, n)) < 0.2)] = 0.0
    matrix = np.tril(matrix) + np.tril(matrix, -1).T
    first = draw(st.integers(1, n))
    groups = [(f"kind{k}", part) for k, part in enumerate((np.arange(first), np.arange(first, n)))]
    counts = tuple(
        Counts(label, part, draw(st.integers(0, len(part)))) for label, part in groups if len(part)
    )
    labels = draw(st.sampled_from([None, "number", "word"]))
    return Model(
        matrix,
        draw(st.sampled_from([0.0, 0.1, -1e-300, 3.0])),
        labels and tuple(f"b.{i}" if labels == "word" else str(7 * i + 1) for i in range(n)),
        counts if draw(st.booleans()) else (),
    )


@pytest.mark.parametrize("each", EXACT, ids=lambda each: each.name)
@settings(max_examples=40)
@given(model=models())
def test_round_trips_are_exact(each: Format, model: Model) -> None:
    back = read(written(model, each.name), each.name)
    assert np.array_equal(back.matrix, model.matrix)
    assert back.offset == (model.offset if each.holds_offset else 0.0)
    if each.holds_labels:
        assert back.labels == model.labels
    expected = model.counts if each.holds_counts else ()
    assert [(c.label, c.indices.tolist(), c.count) for c in back.counts] == [
        (c.label, c.indices.tolist(), c.count) for c in expected
    ]


def test_a_graph_comes_back_with_one_node_more_and_to_rounding() -> None:
    rng = np.random.default_rng(0)
    half = rng.normal(size=(6, 6))
    matrix = half + half.T
    back = read(written(Model(matrix), "rudy"), "rudy").matrix
    assert back.shape == (7, 7)
    assert np.allclose(back[:-1, :-1], matrix, rtol=0, atol=1e-14)
    off = ~np.eye(6, dtype=bool)
    assert np.array_equal(back[:-1, :-1][off], matrix[off])
    integers = np.rint(4 * matrix)
    again = read(written(Model(integers), "rudy"), "rudy").matrix
    assert np.array_equal(again[:-1, :-1], integers)
    assert not again.sum(axis=1).any()  # a cut of all nodes weighs nothing


def test_numbers_of_the_variables_in_an_lp_file_are_labels() -> None:
    text = written(Model(np.eye(2), labels=("7", "9")), "lp").decode()
    assert "x7" in text
    assert read(text, "lp").labels == ("7", "9")
    assert read(written(Model(np.eye(2), labels=("a b", "c")), "lp"), "lp").labels is None


def test_dimod_reads_our_coo_to_the_last_bit() -> None:
    rng = np.random.default_rng(1)
    half = rng.normal(size=(8, 8)) * 10.0 ** rng.integers(-30, 30, size=(8, 8))
    half[3], half[:, 3] = 0.0, 0.0  # a variable that only its diagonal entry mentions
    matrix = half + half.T
    bqm = coo.loads(written(Model(matrix), "coo").decode())
    assert list(bqm.variables) == list(range(8))
    for i in range(8):
        assert bqm.get_linear(i) == matrix[i, i]
        for j in range(i):
            assert bqm.get_quadratic(i, j, default=0.0) == 2.0 * matrix[i, j]


@pytest.mark.parametrize("vartype", ["BINARY", "SPIN"])
def test_coo_of_dimod_has_the_energies_of_dimod(vartype: str) -> None:
    bqm = dimod.generators.gnm_random_bqm(6, 12, vartype, random_state=3)
    bqm.scale(2.0**-6)
    bqm = dimod.BinaryQuadraticModel(
        {v: round(64 * b) / 64 for v, b in bqm.linear.items()},
        {pair: round(64 * b) / 64 for pair, b in bqm.quadratic.items()},
        0.0,
        vartype,
    )
    states = every_state(6)
    samples = states if vartype == "BINARY" else 2 * states - 1
    expected = bqm.energies((samples, sorted(bqm.variables)))
    assert np.allclose(
        energies(read(coo.dumps(bqm, vartype_header=True), "coo"), states),
        expected,
        rtol=0,
        atol=1e-12,
    )
    order = list(bqm.variables)
    from_file = read(contents(bqm), "bqm")
    assert np.allclose(energies(from_file, states[:, order]), expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize("version", [1, 2])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_bqm_files_of_every_kind_are_read(version: int, dtype: type) -> None:
    bqm = dimod.BinaryQuadraticModel(
        {"a": 1.5, 3: -2.0}, {("a", 3): 0.25}, 7.0, "BINARY", dtype=dtype
    )
    model = read(contents(bqm, version=version), "bqm")
    assert model.labels == ("a", "3")
    assert model.offset == 7.0
    assert model.matrix.tolist() == [[1.5, 0.125], [0.125, -2.0]]


def test_dimod_reads_what_we_write() -> None:
    rng = np.random.default_rng(4)
    half = rng.normal(size=(6, 6))
    counts = (Counts("mlp", np.array([0, 2, 4]), 2), Counts("attention", np.array([1, 3, 5]), 1))
    model = Model(half + half.T, 0.1, tuple("abcdef"), counts)
    states = every_state(6)
    bqm = dimod.BinaryQuadraticModel.from_file(written(model, "bqm"))
    assert np.allclose(
        bqm.energies((states, list("abcdef"))), energies(model, states), rtol=0, atol=1e-12
    )
    for cqm in (
        dimod.ConstrainedQuadraticModel.from_file(written(model, "cqm")),
        dimod.lp.loads(written(model, "lp")),
    ):
        samples = (np.column_stack([states, np.ones(len(states))]), [*_lp_or_own(cqm), "Constant"])
        feasible = [cqm.check_feasible((row, samples[1])) for row in samples[0]]
        assert sum(feasible) == 3 * 3
        assert np.allclose(
            cqm.objective.energies(samples), energies(model, states), rtol=0, atol=1e-12
        )


def _lp_or_own(cqm: dimod.ConstrainedQuadraticModel) -> list[str]:
    return list("abcdef") if "a" in cqm.variables else [f"x{i}" for i in range(6)]


def test_gurobi_reads_our_lp(tmp_path: Path) -> None:
    gurobipy = pytest.importorskip("gurobipy")
    rng = np.random.default_rng(5)
    half = rng.normal(size=(5, 5))
    model = Model(half + half.T, 0.25, counts=(Counts("remove", np.arange(5), 2),))
    (tmp_path / "model.lp").write_bytes(written(model, "lp"))
    with gurobipy.Env(params={"OutputFlag": 0}) as environment:
        theirs = gurobipy.read(str(tmp_path / "model.lp"), environment)
        theirs.Params.MIPGap = 0
        theirs.optimize()
        states = every_state(5)
        feasible = states[states.sum(axis=1) == 2]
        assert theirs.ObjVal == pytest.approx(energies(model, feasible).min(), abs=1e-9)
        # Gurobi writes another dialect.
        theirs.write(str(tmp_path / "theirs.lp"))
    back = read((tmp_path / "theirs.lp").read_bytes(), "lp")
    assert [(c.indices.tolist(), c.count) for c in back.counts] == [([0, 1, 2, 3, 4], 2)]
    assert np.allclose(energies(back, states), energies(model, states), rtol=1e-9)


def test_biq_mac_and_rudy_mean_what_they_should() -> None:
    """Biq Mac lists each pair once for both halves; the energy of a graph is minus its cut."""
    matrix = read("# be\n3 3\n1 1 -2\n1 2 5\n3 2 1.5\n", "biqmac").matrix
    assert matrix.tolist() == [[-2, 5, 0], [5, 0, 1.5], [0, 1.5, 0]]
    graph = read("3 2\n1 2 5\n2 3 1.5\n", "rudy")
    assert energies(graph, every_state(3)).tolist() == [0, -5, -6.5, -1.5, -1.5, -6.5, -5, 0]


def test_qbsolv_numbers_nodes_as_it_likes() -> None:
    text = "c a comment\np qubo 0 10 3 2\n4 4 -1\n2 2 1e-3\nc another\n9 9 +.5\n2 4 2\n4 9 -4\n"
    model = read(text, "qbsolv")
    assert model.labels == ("2", "4", "9")
    assert model.matrix.tolist() == [[1e-3, 1, 0], [1, -1, -2], [0, -2, 0.5]]


@pytest.mark.parametrize(
    ("indices", "labels"),
    [
        ((0, 1, 2), None),
        ((1, 2, 3), ("1", "2", "3")),
        ((3, 7, 40), ("3", "7", "40")),
        ((0, 5, 10**17), ("0", "5", str(10**17))),
    ],
)
@pytest.mark.parametrize("vartype", ["BINARY", "SPIN"])
def test_coo_has_the_variables_that_occur_and_no_others(
    indices: tuple[int, int, int], labels: tuple[str, ...] | None, vartype: str
) -> None:
    i, j, k = indices
    text = f"# vartype={vartype}\n{k} {i} 1\n{j} {j} 2\n{j} {k} -4\n"
    model = read(text, "coo")
    assert model.labels == labels
    bqm = coo.loads(text)
    states = every_state(3)
    samples = states if vartype == "BINARY" else 2 * states - 1
    assert np.array_equal(energies(model, states), bqm.energies((samples, indices)))


@pytest.mark.parametrize(
    ("name", "text", "size"),
    [
        ("coo", "# vartype=BINARY\n3 3 1\n3 7 1\n7 7 2\n", 2),
        ("coo", "# vartype=SPIN\n1 2 1\n2 3 1\n", 3),
        ("qbsolv", "p qubo 0 90 2 1\n1 1 1\n80 80 2\n1 80 3\n", 2),
        ("biqmac", "3 2\n1 1 1\n3 3 2\n", 3),
        ("rudy", "3 1\n1 3 1\n", 3),
        ("matrix-market", "%%MatrixMarket matrix coordinate real symmetric\n3 3 1\n2 2 5\n", 3),
        ("lp", "Minimize\n obj: 3 a\nBinary\n a b\nEnd\n", 2),
    ],
)
def test_no_reader_invents_variables(name: str, text: str, size: int) -> None:
    """There are as many as the file declares, or else as occur in it."""
    assert read(text, name).matrix.shape == (size, size)


LP = """\\ a comment
Maximize
 obj: 3 x - 2 y + [ 2 x * y - 4 z ^ 2 + x*z ] / 2
  + 5
Subject To
 c0: 2 x + 2 y + 2 z = 4
Bounds
 0 <= x <= 1
 y <= 1
Binaries
 x y
 z
End
"""


def test_an_lp_file_in_another_dialect() -> None:
    model = read(LP, "lp")
    assert model.labels == ("x", "y", "z")
    assert model.offset == -5.0
    assert model.matrix.tolist() == [[-3, -0.5, -0.25], [-0.5, 2, 0], [-0.25, 0, 2]]
    assert [(c.label, c.indices.tolist(), c.count) for c in model.counts] == [("c0", [0, 1, 2], 2)]
    spread = (
        LP.replace("Subject To\n c0:", "st ").replace("Binaries", "BIN").replace("] / 2", "]\n/\n2")
    )
    assert read(spread, "lp").matrix.tolist() == model.matrix.tolist()
    assert read(LP.replace("\n", "\r\n"), "lp").matrix.tolist() == model.matrix.tolist()
    constant = LP.replace("+ 5", "+ 5 Constant").replace(" y <= 1", " Constant = 1")
    assert read(constant, "lp").offset == -5.0


@pytest.mark.parametrize("symmetry", ["general", "symmetric"])
@pytest.mark.parametrize("field", ["real", "integer"])
def test_matrix_market_dense_and_sparse(symmetry: str, field: str) -> None:
    both = "2 1 3\n1 2 3\n" if symmetry == "general" else "2 1 3\n"
    sparse = (
        f"%%MatrixMarket matrix coordinate {field} {symmetry}\n% c\n2 2"
        f" {3 if symmetry == 'general' else 2}\n1 1 -1\n{both}"
    )
    dense = f"%%MatrixMarket matrix array {field} {symmetry}\n2 2\n-1\n3\n" + (
        "3\n0\n" if symmetry == "general" else "0\n"
    )
    for text in (sparse, dense):
        assert read(text, "matrix-market").matrix.tolist() == [[-1, 3], [3, 0]]


COO = "# vartype=BINARY\n0 0 1\n0 1 2\n"
QUBO = "p qubo 0 2 2 1\n0 0 1\n1 1 2\n0 1 3\n"
BIQMAC = "2 2\n1 1 1\n1 2 3\n"
BAD_LINES = {
    "coo": [
        (COO.replace("0 1 2", "0 1 2 3"), 3, "4 words"),
        (COO.replace("0 1 2", "0 -1 2"), 3, "'-1', not a whole number"),
        (COO.replace("0 1 2", "0 1.0 2"), 3, "'1.0', not a whole number"),
        (COO.replace("0 1 2", "0 1 two"), 3, "'two', not a finite number"),
        (COO.replace("0 1 2", "0 1 nan"), 3, "'nan', not a finite number"),
        (COO.replace("0 1 2", "0 1 1e999"), 3, "'1e999', not a finite number"),
        (COO.replace("0 1 2", "0 1 1_0"), 3, "'1_0', not a finite number"),
        (
            COO[:17] + "".join(f"{i} {i} 1\n" for i in range(MAX_VARIABLES + 1)),
            None,
            f"{MAX_VARIABLES + 1} variables",
        ),
        (COO + "0 1 2\n", 4, "line 3 has the entry 0 1 already"),
        (COO + "1 0 2\n", 4, "line 3 has the entry 1 0 already"),
        (COO + "0 0 2\n", 4, "line 2 has the entry 0 0 already"),
        (COO.replace("0 1 2", f"0 {'9' * 5000} 2"), 3, "not a whole number"),
        (COO.replace("BINARY", "TERNARY"), 1, "TERNARY"),
        (COO + "# vartype=SPIN\n", 4, "SPIN here and BINARY above"),
        ("0 0 1\n", 1, "0 and 1 or spins"),
        ("# vartype=SPIN\n\n", 1, "no entry"),
        (b"# vartype=SPIN\n0 0 1\n\xff\n", 3, "0xff"),
    ],
    "qbsolv": [
        ("", 1, "no 'p' line"),
        ("c only a comment\n", 1, "no 'p' line"),
        ("0 0 1\n" + QUBO, 1, "no 'p' line comes before"),
        (QUBO + QUBO, 5, "second 'p' line"),
        (QUBO.replace("p qubo", "p cnf"), 1, "six words"),
        (QUBO.replace("0 2 2 1", "0 2 2"), 1, "six words"),
        (QUBO.replace("0 2 2 1", "0 2 x 1"), 1, "nNodes is 'x'"),
        (QUBO.replace("0 2 2 1", "0 2 3 1"), 1, "more than maxNodes"),
        (QUBO.replace("0 2 2 1", "0 9999999 9999999 1"), 1, "9999999 variables"),
        (QUBO.replace("0 2 2 1", "0 2 0 1"), 1, "0 variables"),
        (QUBO.replace("0 1 3", "1 0 3"), 4, "no pair"),
        (QUBO.replace("0 1 3", "0 2 3"), 4, "no pair"),
        (QUBO.replace("1 1 2", "0 0 2"), 3, "line 2 has the entry"),
        (QUBO.replace("1 1 2\n", ""), 3, "nodes come first"),
        (QUBO.replace("0 1 3\n", ""), 3, "after 2 entries"),
        (QUBO + "0 1 3\n", 5, "line 4 has the entry"),
        ("p qubo 0 4 2 1\n0 0 1\n1 1 2\n0 3 3\n", 4, "node 3, which is not among"),
    ],
    "biqmac": [
        ("", 1, "no line 'n m'"),
        (BIQMAC.replace("2 2\n", "2\n", 1), 1, "1 words"),
        (BIQMAC.replace("2 2\n", "2 3\n", 1), 3, "after 2 entries"),
        (BIQMAC.replace("2 2\n", "2 1\n", 1), 3, "after 2 entries"),
        (BIQMAC.replace("1 2 3", "0 2 3"), 3, "not within 1...2"),
        (BIQMAC.replace("1 2 3", "1 3 3"), 3, "not within 1...2"),
        ("2 2\n1 2 1\n2 1 1\n", 3, "line 2 has the entry"),
        (BIQMAC.replace("2 2\n", "99999999 2\n", 1), 1, "99999999 variables"),
    ],
    "rudy": [("2 2\n1 2 1\n2 2 1\n", 3, "edge to itself")],
    "lp": [
        ("hello world\n", 1, "before the first section"),
        (LP.replace("3 x", "3..5 x"), 3, "'3..5' is no number"),
        (LP.replace("3 x", "3.1x4"), 3, "'3.1x4' is no number"),
        (LP.replace("3 x", "1e999 x"), 3, "not a finite number"),
        (LP.replace("3 x", "3 + * x"), 3, "'*' stands where a term belongs"),
        (LP.replace("3 x", "3 w"), 3, "'w' is not declared"),
        (LP.replace("- 2 y", "2 y"), 3, "'2' stands where + or - belongs"),
        (LP.replace("] / 2", "]"), 4, "no '/ 2'"),
        (LP.replace("] / 2\n  + 5", "] / 2 >= 5"), 3, "does not belong into the objective"),
        (LP.replace("] / 2\n  + 5\n", "]\n"), 3, "ends in the middle"),
        (LP.replace("x*z", "x*3"), 3, "'3' stands where a variable belongs"),
        (LP.replace("z ^ 2", "z ^ 3"), 3, "'^ 3' is no product"),
        (LP.replace("x*z", "x"), 3, "is no product of two variables"),
        (LP.replace("= 4", "<= 4"), 6, "no linear equation"),
        (LP.replace("= 4", ">= 4\n d: x + y >= 1"), 7, "'d' is a second budget"),
        (LP.replace("= 4", ">= 4\n d: x - 2 y = 1"), 7, "does not count"),
        (LP.replace("= 4", "= 4\n d: x - 2 y >= 1"), 7, "coefficient of 'y' is below 0"),
        (LP.replace("= 4", "= 3"), 6, "does not count variables"),
        (LP.replace("2 z = 4", "3 z = 4"), 6, "does not count variables"),
        (LP.replace("= 4", "= z"), 6, "'z' stands where a number belongs"),
        (LP.replace(" = 4", ""), 6, "ends without ="),
        (LP.replace("y <= 1", "y <= 3"), 9, "other than 0 and 1"),
        (LP.replace("y <= 1", "y free"), 9, "other than 0 and 1"),
        (LP.replace("y <= 1", "1 <= y <= 2"), 9, "other than 0 and 1"),
        (LP.replace("y <= 1", "y = 1"), 11, "'y' are other than 0 and 1"),
        (LP.replace("y <= 1", "w = one"), 9, "'one', not a finite number"),
        (LP.replace("End", "General\n w\nEnd"), 14, "other than binary"),
        (LP.replace("End", "Binary\n w\nEnd"), 13, "there twice"),
        (LP.replace(" z\nEnd", " y\nEnd"), 12, "declared twice"),
        (LP.replace(" z\nEnd", " 7\nEnd"), 12, "'7' stands where names"),
        (LP + "x\n", 14, "after the end"),
        (LP.replace("x - 2 y", "x § 2 y"), 3, "neither number, name nor sign"),
        ("Minimize\n obj: 3\nEnd\n", None, "0 variables"),
        (LP.replace(" + 2 z = 4", " = 2"), None, "'z' is in no constraint"),
        (LP.replace("= 4\n", "= 4\n c1: x = 1\n"), None, "in two constraints"),
        (LP.replace("= 4", "= 8"), None, "asks for 4 of 3"),
    ],
    "matrix-market": [
        ("", 1, "banner"),
        ("%%MatrixMarket matrix coordinate real symmetric\n2 2 1\n1 x 3\n", 3, "integer"),
        ("%%MatrixMarket matrix coordinate real symmetric\n2 2 2\n1 1 3\n", None, "Truncated"),
        ("%%MatrixMarket matrix coordinate real symmetric\n2 2 1\n3 1 3\n", 3, "bounds"),
        *(
            (f"%%MatrixMarket matrix coordinate {kind}\n% c\n2 2 3\n1 1 3\n{lines}", line, words)
            for kind, lines, line, words in (
                ("real symmetric", "2 1 3\n1 2 3\n", 6, "line 5 has the entry 1 2 already, and a"),
                ("real symmetric", "2 1 3\n\n2 1 3\n", 7, "line 5 has the entry 2 1 already"),
                ("integer symmetric", "2 2 3\n1 1 3\n", 6, "line 4 has the entry 1 1 already"),
                ("real general", "2 1 3\n2 1 -3\n", 6, "line 5 has the entry 2 1 already"),
                ("pattern general", "2 1\n2 1\n", 4, "'1 1 3' is no entry"),
                ("real general", "2 1 3\n1 2 3.5x\n", 6, "'1 2 3.5x' is no entry"),
                ("real general", "2 1 3\n1 2 0x10\n", 6, "'1 2 0x10' is no entry"),
                ("real general", "2 1 nan\n1 2 0\n", 5, "'2 1 nan' is no entry"),
                ("real general", "2 1 3 4\n1 2 0\n", 5, "'2 1 3 4' is no entry"),
                ("integer general", "2 1 3.5\n1 2 0\n", 5, "'2 1 3.5' is no entry"),
            )
        ),
        ("%%MatrixMarket matrix coordinate pattern symmetric\n2 2 2\n2 1\n1 2\n", 4, "line 3"),
        ("%%MatrixMarket matrix array real general\n1 1\n1e\n", 3, "'1e' is no entry"),
        ("%%MatrixMarket matrix array real general\n2 3\n1\n2\n3\n4\n5\n6\n", None, "2 x 3"),
        ("%%MatrixMarket matrix array complex general\n1 1\n1 2\n", None, "complex"),
        ("%%MatrixMarket matrix coordinate real skew-symmetric\n2 2 1\n2 1 3\n", None, "skew"),
        ("%%MatrixMarket matrix array real symmetric\n16000 16000\n1\n", None, "128008000 entries"),
        ("%%MatrixMarket matrix array real symmetric\n99999 99999\n1\n", None, "99999 variables"),
        (
            f"%%MatrixMarket matrix coordinate real general\n2 2 {10**12}\n1 1 1\n",
            None,
            "entries are announced",
        ),
    ],
}
CASES = [
    pytest.param(name, *case, id=f"{name}-{number}")
    for name, cases in BAD_LINES.items()
    for number, case in enumerate(cases)
]


@pytest.mark.parametrize(("name", "data", "line", "words"), CASES)
def test_what_is_wrong_is_said_with_its_line(
    name: str, data: str | bytes, line: int | None, words: str
) -> None:
    with pytest.raises(InputError) as caught:
        read(data, name)
    message = str(caught.value)
    assert words in message
    assert "\n" not in message
    assert f"file{BY_NAME[name].suffixes[0]}" in message
    if line is not None:
        assert f"line {line} of file" in message


def bqm_bytes() -> bytes:
    return written(Model(np.array([[1.0, 0.5, 0.0], [0.5, 2.0, 3.0], [0.0, 3.0, -1.0]])), "bqm")


@pytest.mark.parametrize("name", ["bqm", "cqm"])
def test_damaged_binary_files_are_refused_or_read_whatever_the_damage(name: str) -> None:
    """Damage may leave a valid file, but never crash the reader, hang it or ask for memory."""
    whole = written(
        Model(np.array([[1.0, 0.5], [0.5, 2.0]]), 0.5, ("a", "b"), (Counts("c", np.arange(2), 1),)),
        name,
    )
    dice = random.Random(0)  # noqa: S311
    refused = 0
    for trial in range(300):
        data = bytearray(whole)
        if trial % 3 == 0:
            data = data[: dice.randrange(len(data))]
        elif trial % 3 == 1:
            data[dice.randrange(len(data))] = dice.randrange(256)
        else:
            digits = [i for i, byte in enumerate(data[:250]) if 48 <= byte < 58]
            data[dice.choice(digits)] = dice.randrange(48, 58)
        with contextlib.suppress(InputError):
            read(bytes(data), name)
            refused -= 1
        refused += 1
    assert refused > 100


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        (b'"shape": [3, 2]', b'"shape": [9, 2]', "truncated"),
        (b'"shape": [3, 2]', b'"shape": [3, 3]', "truncated"),
        (b'"shape": [3, 2]', b'"shape": [3,-2]', "header"),
        (b'"shape": [3, 2]', b'"shape": [0, 2]', "0 variables"),
        (b'"float64"', b'"object" ', "header"),
        (b'"BINARY"', b'"TRINAR"', "header"),
        (b'"itype"', b'"otype"', "header is incomplete"),
        (b"DIMODBQM", b"DIMODCQM", "begins with"),
        (b'{"dtype"', b'["dtype"', "not JSON"),
    ],
)
def test_bqm_files_that_contradict_themselves(old: bytes, new: bytes, words: str) -> None:
    data = bqm_bytes()
    assert old in data
    with pytest.raises(InputError, match=words):
        read(data.replace(old, new), "bqm")


def cqm(change: object) -> bytes:
    model = dimod.ConstrainedQuadraticModel()
    x, y = dimod.Binaries(["x", "y"])
    model.set_objective(x + 2 * x * y)
    change(model, x, y)
    return contents(model)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda m, x, y: m.add_constraint(x + y <= 1, label="c"), "'c' is no linear equation"),
        (lambda m, x, y: m.add_constraint(x * y == 1, label="c"), "'c' is no linear equation"),
        (lambda m, x, y: m.add_constraint(x + 2 * y == 1, label="c"), "does not count"),
        (lambda m, x, y: m.add_constraint(2 * x + 2 * y == 1, label="c"), "does not count"),
        (lambda m, x, y: m.add_constraint(x + y == 3, label="c"), "asks for 3 of 2"),
        (lambda m, x, y: m.add_constraint(1 * x == 1, label="c"), "'y' is in no constraint"),
        (lambda m, x, y: m.add_variable("INTEGER", "i"), "'i' is INTEGER"),
        (lambda m, x, y: m.add_variable("SPIN", "s"), "'s' is SPIN"),
    ],
)
def test_cqm_files_that_state_something_else(change: object, words: str) -> None:
    with pytest.raises(InputError, match=words):
        read(cqm(change), "cqm")


def test_one_hot_constraints_are_counts() -> None:
    model = read(cqm(lambda m, x, y: m.add_discrete(["x", "y"], label="only one")), "cqm")
    assert [(c.label, c.count) for c in model.counts] == [("only one", 1)]


def test_formats_are_known_by_suffix_and_name() -> None:
    for each in FORMATS:
        assert format_of(Path("a"), each.name) is each
        for suffix in each.suffixes:
            assert format_of(Path(f"a{suffix.upper()}")) is each
    for path, name in (("a.txt", None), ("a.lp", "csv"), ("lp", None)):
        with pytest.raises(InputError, match="format"):
            format_of(Path(path), name)
