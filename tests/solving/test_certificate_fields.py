"""No field of a certificate is believed because of another one: each is checked, or said to be a
mere claim.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from qubo_prune import (
    Certificate,
    InputError,
    Problem,
    SpectrumError,
    Status,
    save_hessian,
    solve,
    verify,
)
from qubo_prune.cli.main import main

Path_ = tuple[str | int, ...]


def correlated() -> Problem:
    rng = np.random.default_rng(5)
    factors = rng.normal(size=(30, 12))
    return Problem(
        factors.T @ factors / 30,
        {"attention": 2, "mlp": 2},
        kinds=("attention", "mlp") * 6,
        names=[f"block.{i}" for i in range(12)],
        keep=[0],
        gradient=rng.normal(size=12),
        beta=-0.25,
    )


def tied() -> Problem:
    rng = np.random.default_rng(1)
    upper = np.triu(rng.integers(0, 3, size=(12, 12)), 1)
    return Problem((upper + upper.T).astype(float), 3)


PROBLEMS = {"proven": correlated(), "tied": tied(), "heuristic": tied()}


def made(name: str, folder: Path) -> tuple[dict[str, Any], str]:
    """Return the fields of a certificate and the file of its Hessian, which has no sidecar's names
    or kinds.
    """
    problem = PROBLEMS[name]
    backend = "tabu" if name == "heuristic" else "branch-and-bound"
    spectrum = solve(problem, num_states=6, backend=backend)
    path = str(folder / f"{name}.npy")
    gradient = {} if problem.gradient is None else {"mean_gradient": problem.gradient.tolist()}
    save_hessian(path, problem.hessian, **gradient)
    certificate = Certificate.of(problem, spectrum, hessian=path)
    return json.loads(json.dumps(certificate.to_dict())), path


def leaves(value: Any, path: Path_ = ()) -> Iterator[Path_]:
    """Yield the paths of everything in an object that is not an object or a list itself, and of
    the lists.
    """
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from leaves(inner, (*path, key))
        return
    yield path
    if isinstance(value, list):
        for index, inner in list(enumerate(value))[:2]:
            yield from leaves(inner, (*path, index))


def others(value: Any) -> list[Any]:
    """Return values that differ from one, most of them of the same type."""
    if isinstance(value, bool):
        return [not value, None, int(value)]
    if isinstance(value, int | float):
        near = np.nextafter(float(value), np.inf) if isinstance(value, float) else value + 1
        return [float(near), int(value) + 1, value - 1, -abs(value) - 1, 0, 10**6, None, "x"]
    if isinstance(value, str):
        return [value + "x", "", "enumeration", "partial", "time limit", None, 3]
    if isinstance(value, list):
        shuffled = value[::-1]
        return [value[:-1], [*value, *value[-1:]], shuffled, [], None]
    return ["x", 1, 1.5, [], [0], ["attention"] * 12, False]  # in place of null


def put(fields: dict[str, Any], path: Path_, value: Any) -> dict[str, Any]:
    changed = copy.deepcopy(fields)
    inner: Any = changed
    for key in path[:-1]:
        inner = inner[key]
    inner[path[-1]] = value
    return changed


def same(one: Any, another: Any) -> bool:
    return (type(one) is type(another) and one == another) or (
        isinstance(one, float)
        and isinstance(another, int)
        and one == another
        and not isinstance(another, bool)
    )


@pytest.mark.parametrize("name", PROBLEMS)
def test_every_field_is_checked_or_said_to_be_claimed(name: str, tmp_path: Path) -> None:
    fields, hessian = made(name, tmp_path)
    target = tmp_path / "altered.json"
    believed, count = [], 0
    for path in leaves(fields):
        value = fields
        for key in path:
            value = value[key]  # type: ignore[index]
        for other in others(value):
            if same(value, other):
                continue
            count += 1
            target.write_text(json.dumps(put(fields, path, other)))
            try:
                certificate = Certificate.load(target)
                verification = verify(
                    certificate,
                    certificate.problem(hessian),
                    borrowed=certificate.borrowed(hessian),
                )
            except (InputError, SpectrumError):
                continue
            dotted = ".".join(str(key) for key in path)
            claimed = any(
                dotted == claim or dotted.startswith(f"{claim}.")
                for claim in verification.only_claimed
            )
            if verification.passed and not claimed:
                believed.append((dotted, value, other))
    assert count > 150
    assert believed == []


def forged(tmp_path: Path, *, ties: bool | None = None, **changes: Any) -> tuple[Path, Path]:
    """Write a partial certificate of tied states, with everything adjusted to what it hides."""
    problem = tied()
    spectrum = solve(problem, num_states=3)
    assert spectrum.ties_truncated
    hessian = tmp_path / "ties.npy"
    np.save(hessian, problem.hessian)
    fields = Certificate.of(problem, spectrum, hessian=str(hessian)).to_dict()
    fields["next_energy"] = None
    fields["spectrum"]["proof"].pop("next_energy", None)
    fields["spectrum"].update(status="partial", **changes)
    if ties is not None:
        fields["spectrum"]["ties_truncated"] = ties
    path = tmp_path / "forged.certificate.json"
    path.write_text(json.dumps(fields))
    return path, hessian


def test_ties_cannot_be_hidden_by_a_partial_status(tmp_path: Path) -> None:
    path, hessian = forged(tmp_path, ties=False)
    assert main(["verify", str(path), "--hessian", str(hessian), "-q"]) == 1
    path, hessian = forged(tmp_path)
    assert main(["verify", str(path), "--hessian", str(hessian), "-q"]) == 0


def test_ties_cannot_be_invented(tmp_path: Path) -> None:
    problem = correlated()
    fields = Certificate.of(problem, solve(problem, num_states=3)).to_dict()
    fields["next_energy"] = None
    del fields["spectrum"]["proof"]["next_energy"]
    fields["spectrum"].update(
        status="partial", ties_truncated=True, lower_bound=fields["last_energy"]
    )
    (tmp_path / "c.json").write_text(json.dumps(fields))
    certificate = Certificate.load(tmp_path / "c.json")
    assert [check.name for check in verify(certificate, problem).failed] == ["completeness"]


def test_names_and_kinds_without_a_sidecar_are_claims(tmp_path: Path) -> None:
    fields, hessian = made("proven", tmp_path)
    (tmp_path / "c.json").write_text(json.dumps(fields))
    certificate = Certificate.load(tmp_path / "c.json")
    assert certificate.borrowed(hessian) == ("kinds", "names")
    problem = certificate.problem(hessian)
    verification = verify(certificate, problem, borrowed=("kinds", "names"))
    assert verification.complete
    assert {"problem.names", "spectrum.names", "problem.kinds"} <= set(verification.only_claimed)
    known = verify(certificate, correlated(), borrowed=())
    assert known.complete
    assert not {"problem.names", "spectrum.names", "problem.kinds"} & set(known.only_claimed)
    save_hessian(
        tmp_path / "other.npy",
        correlated().hessian,
        names=[f"other.{i}" for i in range(12)],
        kinds=correlated().kinds,
        mean_gradient=correlated().gradient.tolist(),
    )
    assert certificate.borrowed(tmp_path / "other.npy") == ()
    refuted = verify(certificate, certificate.problem(tmp_path / "other.npy"), borrowed=())
    assert [check.name for check in refuted.failed] == ["problem"]


@pytest.mark.parametrize("root", [10**6, 1e6, "high", True])
def test_the_root_bound_is_checked_whatever_its_type(tmp_path: Path, root: object) -> None:
    fields, hessian = made("proven", tmp_path)
    fields["spectrum"]["proof"]["root_bound"] = root
    (tmp_path / "c.json").write_text(json.dumps(fields))
    assert main(["verify", str(tmp_path / "c.json"), "--hessian", hessian, "-q"]) in (1, 2)


@pytest.mark.parametrize("damage", ["{", "[]", "", '{"format_version": 1}', "seed"])
def test_a_bad_certificate_does_not_end_a_folder(
    tmp_path: Path, damage: str, capsys: pytest.CaptureFixture[str]
) -> None:
    fields, _ = made("tied", tmp_path)
    for number in (1, 3):
        (tmp_path / f"remove-{number}.certificate.json").write_text(json.dumps(fields))
    if damage == "seed":
        fields["spectrum"]["seed"] = -5
        damage = json.dumps(fields)
    bad = tmp_path / "remove-2.certificate.json"
    bad.write_text(damage)
    assert main(["verify", str(tmp_path)]) == 1
    lines = capsys.readouterr().out.splitlines()
    assert [": VERIFIED, and solved anew" in line for line in lines[:3]] == [True, False, True]
    assert "FAILED: format" in lines[1]
    assert "1 failed, 2 verified" in lines[3]
    assert main(["verify", str(bad)]) == 2


def test_a_hessian_that_is_gone_does_not_end_a_folder(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    fields, hessian = made("tied", tmp_path)
    (tmp_path / "a.certificate.json").write_text(json.dumps({**fields, "hessian": "gone.npy"}))
    (tmp_path / "b.certificate.json").write_text(json.dumps(fields))
    assert main(["verify", str(tmp_path)]) == 1
    assert "1 failed, 1 verified" in capsys.readouterr().out
    assert Path(hessian).exists()


def test_a_heuristic_list_claims_no_status(tmp_path: Path) -> None:
    fields, hessian = made("heuristic", tmp_path)
    assert fields["spectrum"]["status"] == Status.HEURISTIC.value
    (tmp_path / "c.json").write_text(json.dumps(fields))
    certificate = Certificate.load(tmp_path / "c.json")
    assert "spectrum.status" in verify(certificate, certificate.problem(hessian)).only_claimed
