"""A CQM says more of a constraint than a count can: whatever would change its meaning is refused by
the name of the constraint.
"""

from __future__ import annotations

import io
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import dimod
import pytest

from qubo_prune.cli.main import main
from qubo_prune.core.errors import InputError
from qubo_prune.core.problem.problem import Problem

X, Y, Z = dimod.Binaries(["x", "y", "z"])
SUM = X + Y + Z
Change = Callable[[dimod.ConstrainedQuadraticModel], object]


def contents(change: Change) -> bytes:
    model = dimod.ConstrainedQuadraticModel()
    model.set_objective(-4 * SUM + X * Y)
    change(model)
    with model.to_file() as file:
        data: bytes = file.read()
    return data


def repacked(data: bytes, **members: bytes) -> bytes:
    """Return a CQM file with more members in the folder of its constraint ``c``."""
    start = data.index(b"PK")
    stream = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(data)) as old, zipfile.ZipFile(stream, "w") as new:
        for name in old.namelist():
            new.writestr(name, old.read(name))
        for name, content in members.items():
            new.writestr(f'constraints/"c"/{name}', content)
    return data[:start] + stream.getvalue()


HARD = contents(lambda model: model.add_constraint(SUM == 2, label="c"))
REFUSED = {
    "a weight": (
        contents(lambda model: model.add_constraint(SUM == 2, label="budget", weight=0.5)),
        "'budget' is soft (weight 0.5, linear penalty)",
    ),
    "a quadratic penalty": (
        contents(
            lambda model: model.add_constraint(SUM == 2, label="b", weight=7, penalty="quadratic")
        ),
        "'b' is soft (weight 7, quadratic penalty)",
    ),
    "one soft of two": (
        contents(
            lambda model: (
                model.add_constraint(X + Y == 1, label="hard"),
                model.add_constraint(1 * Z == 1, label=(1, "soft"), weight=2.0),
            )
        ),
        "(1, 'soft') is soft (weight 2, linear penalty)",
    ),
    "coefficients": (
        contents(lambda model: model.add_constraint(X + Y + 2 * Z == 2, label="c")),
        "'c' does not count variables",
    ),
    "signs": (
        contents(lambda model: model.add_constraint(X + Y - Z == 1, label="c")),
        "'c' does not count variables",
    ),
    "no whole number": (
        contents(lambda model: model.add_constraint(SUM == 1.5, label="c")),
        "'c' does not count variables",
    ),
    "a huge number": (
        contents(lambda model: model.add_constraint(1e-300 * SUM == 1e300, label="c")),
        "'c' does not count variables",
    ),
    "at most": (
        contents(lambda model: model.add_constraint(SUM <= 2, label="c")),
        "'c' is no linear equation",
    ),
    "at least": (
        contents(lambda model: model.add_constraint(SUM >= 3, label="c")),
        "'c' is no linear equation",
    ),
    "one name for two": (
        contents(
            lambda model: (
                model.add_constraint(X + Y == 1, label="1"),
                model.add_constraint(1 * Z == 1, label=1),
            )
        ),
        "two constraints are called '1'",
    ),
    "a marker that does not fit": (
        repacked(HARD, discrete=b"\x01"),
        "constraint \"c\" is marked as 'discrete'",
    ),
    "a weight without a penalty": (
        repacked(HARD, weight=b"\0\0\0\0\0\0\xf0?"),
        "constraint \"c\" is marked as 'weight'",
    ),
    "a mark of the future": (
        repacked(HARD, slack=b"\x01"),
        "constraint \"c\" is marked as 'slack'",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_changes_the_meaning_of_a_constraint_is_refused_by_its_name(
    case: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data, words = REFUSED[case]
    path = tmp_path / "model.cqm"
    path.write_bytes(data)
    with pytest.raises(InputError) as caught:
        Problem.load(path)
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)
    assert main(["solve", str(path), "--remove", "2", "-q"]) == 2
    assert words in " ".join(capsys.readouterr().err.split())


@pytest.mark.parametrize(
    ("change", "count"),
    [
        (lambda model: model.add_constraint(SUM == 2, label="c"), 2),
        (lambda model: model.add_constraint(2 * SUM == 4, label="c"), 2),
        (lambda model: model.add_constraint(SUM - 1 == 2, label="c"), 3),
        (lambda model: model.add_discrete(["x", "y", "z"], label="c"), 1),
    ],
)
def test_counts_are_read_however_they_are_stated(
    change: Callable[[Any], object], count: int, tmp_path: Path
) -> None:
    path = tmp_path / "model.cqm"
    path.write_bytes(contents(change))
    problem = Problem.load(path)
    assert problem.remove == count
    assert problem.num_blocks == 3
