"""Hessian files: round trips, sidecars, the bundled ones, and every file that is refused."""

from __future__ import annotations

import hashlib
import io
import json
import os
import pathlib
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from qubo_prune.core.errors import InputError
from qubo_prune.core.problem.problem import Problem
from qubo_prune.hessians import bundled, load_hessian, save_hessian

SIDECAR = {
    "model": "toy",
    "names": ["a.attention", "a.mlp", "b.attention"],
    "kinds": ["attention", "mlp", "attention"],
    "mean_gradient": [0.1, -0.2, 1e-300],
    "parameter_counts": [10, 20, 10],
    "granularity": "branch",
    "samples": 16,
}


@pytest.fixture
def matrix() -> NDArray[np.float64]:
    half = np.random.default_rng(2).standard_normal((3, 3))
    return half + half.T


@pytest.fixture
def saved(tmp_path: Path, matrix: NDArray[np.float64]) -> Path:
    path = tmp_path / "toy.npy"
    save_hessian(path, matrix, **SIDECAR)
    return path


def edit_sidecar(path: Path, **changes: Any) -> None:
    sidecar = path.with_suffix(".json")
    sidecar.write_text(json.dumps({**json.loads(sidecar.read_text()), **changes}))


def test_saved_hessian_loads_to_the_last_bit(saved: Path, matrix: NDArray[np.float64]) -> None:
    file = load_hessian(saved)
    assert file.hessian.tobytes() == matrix.tobytes()
    assert file.names == tuple(SIDECAR["names"])
    assert file.kinds == tuple(SIDECAR["kinds"])
    assert file.mean_gradient.tolist() == SIDECAR["mean_gradient"]
    assert file.num_blocks == 3
    assert file.path == saved
    assert {key: file.metadata[key] for key in SIDECAR} == SIDECAR
    assert file.metadata["format_version"] == 1
    assert file.metadata["sha256"] == file.sha256
    assert file.sha256 == hashlib.sha256(saved.read_bytes()).hexdigest()
    assert sorted(entry.name for entry in saved.parent.iterdir()) == ["toy.json", "toy.npy"]


def test_problem_takes_names_kinds_and_gradient_from_the_sidecar(saved: Path) -> None:
    problem = Problem.load(saved, {"attention": 1}, force=["b.attention"], beta=0.5)
    assert problem.names == tuple(SIDECAR["names"])
    assert problem.fixed_removed.tolist() == [2]
    assert problem.linear.tolist() == SIDECAR["mean_gradient"]
    own = Problem.load(
        str(saved), 1, names=["x", "y", "z"], kinds=["k"] * 3, gradient=[1, 1, 1], beta=0.5
    )
    assert (own.names, own.kinds) == (("x", "y", "z"), ("k", "k", "k"))
    assert own.linear.tolist() == [1.0, 1.0, 1.0]


def test_plain_matrix_needs_no_sidecar(tmp_path: Path, matrix: NDArray[np.float64]) -> None:
    path = tmp_path / "plain.npy"
    np.save(path, matrix)
    file = load_hessian(path)
    assert (file.names, file.kinds, file.mean_gradient, file.metadata) == (None, None, None, {})
    assert Problem.load(path, 2).num_states == 3
    with pytest.raises(InputError, match=r"needs the gradient; pass gradient="):
        Problem.load(path, 2, beta=1.0)
    with pytest.raises(InputError, match="has no kinds"):
        Problem.load(path, 1, only="mlp")


@pytest.mark.parametrize("dtype", ["<f4", ">f8", "<i8", "<f2", "?"])
@pytest.mark.parametrize("order", ["C", "F"])
def test_matrices_of_other_dtypes_and_layouts_load(tmp_path: Path, dtype: Any, order: str) -> None:
    matrix = np.array([[1, 1], [1, 0]]).astype(dtype, order=order)
    np.save(tmp_path / "other.npy", matrix)
    assert Problem.load(tmp_path / "other.npy", 1).hessian.tolist() == [[1.0, 1.0], [1.0, 0.0]]


def test_entries_that_are_null_count_as_left_out(saved: Path) -> None:
    edit_sidecar(saved, **dict.fromkeys([*SIDECAR, "sha256"]))
    file = load_hessian(saved)
    assert (file.names, file.kinds, file.mean_gradient) == (None, None, None)


def test_numpy_values_are_written_as_plain_json(
    tmp_path: Path, matrix: NDArray[np.float64]
) -> None:
    path = tmp_path / "np.npy"
    save_hessian(path, matrix, samples=np.int64(4), mean_gradient=np.array([1.0, 2.0, 3.0]))
    assert json.loads(path.with_suffix(".json").read_text())["mean_gradient"] == [1.0, 2.0, 3.0]


def test_asymmetry_is_the_problems_business_and_can_be_accepted(tmp_path: Path) -> None:
    np.save(tmp_path / "skew.npy", np.array([[1.0, 2.0], [0.0, 1.0]]))
    with pytest.raises(InputError, match="symmetrize=True"):
        Problem.load(tmp_path / "skew.npy", 1)
    assert Problem.load(tmp_path / "skew.npy", 1, symmetrize=True).hessian[0, 1] == 1.0


def test_bundled_hessians_are_what_they_say() -> None:
    listed = {hessian.name: hessian for hessian in bundled()}
    assert {name: hessian.num_blocks for name, hessian in listed.items()} == {
        "bytelm-40-block": 40,
        "bytelm-40-branch": 80,
        "llama-32-block": 32,
        "llama-32-branch": 64,
        "llama-80-block": 80,
        "llama-80-branch": 160,
        "nemotron-h-52": 52,
        "qwen3-40-block": 40,
        "qwen3-40-branch": 80,
    }
    assert listed["bytelm-40-block"].kinds == {"layer": 40}
    assert listed["bytelm-40-branch"].kinds == {"attention": 40, "mlp": 40}
    for name, hessian in listed.items():
        assert hessian.samples == 2048
        assert hessian.description.endswith(".")
        assert "decoder" in hessian.model
        file = load_hessian(name)
        assert file.path == hessian.path
        # The sidecar's own hash, so that loading is known to have compared it.
        assert file.metadata["sha256"] == hashlib.sha256(hessian.path.read_bytes()).hexdigest()
        assert file.num_blocks == hessian.num_blocks == len(file.names)
        problem = Problem.load(name, 8)
        eigenvalues = np.linalg.eigvalsh(problem.hessian)
        assert eigenvalues[0] > 0  # a Gauss-Newton matrix A'A/m of full rank


def test_file_wins_over_a_bundled_name_only_if_it_exists(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, matrix: NDArray[np.float64]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert load_hessian("bytelm-40-block").num_blocks == 40
    pathlib.Path("bytelm-40-block").mkdir()
    assert load_hessian("bytelm-40-block").num_blocks == 40
    pathlib.Path("bytelm-40-block").rmdir()
    with pathlib.Path("bytelm-40-block").open("wb") as stream:
        np.save(stream, matrix)
    assert load_hessian("bytelm-40-block").num_blocks == 3


def write_objects(path: Path) -> None:
    np.save(path, np.array([[1, "x"], [None, {}]], dtype=object), allow_pickle=True)


def write_npz(path: Path) -> None:
    with path.open("wb") as stream:
        np.savez(stream, hessian=np.eye(3))


def write_truncated(path: Path) -> None:
    np.save(path, np.eye(50))
    path.write_bytes(path.read_bytes()[:-100])


def write_header_only(path: Path) -> None:
    np.save(path, np.eye(5))
    path.write_bytes(path.read_bytes()[:128])


def npy(header: str, version: bytes = b"\x01\x00") -> bytes:
    text = header.encode("latin1")
    size = struct.pack("<H" if version == b"\x01\x00" else "<I", len(text))
    return b"\x93NUMPY" + version + size + text


HUGE = "{'descr': '<f8', 'fortran_order': False, 'shape': (1000000000, 1000000000), }\n"
NEGATIVE = "{'descr': '<f8', 'fortran_order': False, 'shape': (-1, -1), }\n"
NO_DESCRIPTION = "{'fortran_order': False, 'shape': (1, 1), }\n"

BAD_FILES = {
    "objects": (write_objects, r"holds pickled Python objects \(dtype object\).*save a float64"),
    "npz": (write_npz, r"not a \.npy file, it has a \.npz archive; save"),
    "truncated": (
        write_truncated,
        r"truncated: shape \(50, 50\) of float64 needs 20000 bytes.*19900",
    ),
    "header only": (write_header_only, r"truncated: .* needs 200 bytes of data, but 0 are there"),
    "empty": (lambda path: path.write_bytes(b""), r"is empty \(0 bytes\); write it again"),
    "text": (
        lambda path: path.write_text("1 2\n2 1\n"),
        r"not a \.npy file, it has bytes b'1 2\\n2 '",
    ),
    "magic only": (lambda path: path.write_bytes(b"\x93NUMPY"), "damaged .npy header"),
    "cut header": (lambda path: path.write_bytes(npy(HUGE)[:40]), "damaged .npy header"),
    "unknown version": (lambda path: path.write_bytes(npy(HUGE, b"\x09\x00")), "truncated|damaged"),
    "garbage header": (lambda path: path.write_bytes(npy("[" * 5000)), "damaged .npy header"),
    "code in the header": (
        lambda path: path.write_bytes(npy("__import__('os').getcwd()\n")),
        "damaged .npy header",
    ),
    "missing key": (lambda path: path.write_bytes(npy(NO_DESCRIPTION)), "damaged .npy header"),
    "huge shape": (
        lambda path: path.write_bytes(npy(HUGE)),
        r"truncated: .* needs 8000000000000000000",
    ),
    "negative shape": (
        lambda path: path.write_bytes(npy(NEGATIVE)),
        r"truncated: shape \(-1, -1\)",
    ),
    "one row": (lambda path: np.save(path, np.eye(3)[:1]), r"square, not of shape \(1, 3\)"),
    "vector": (lambda path: np.save(path, np.ones(3)), r"2-D, not 1-D with shape \(3,\)"),
    "cube": (lambda path: np.save(path, np.ones((2, 2, 2))), r"2-D, not 3-D"),
    "no blocks": (lambda path: np.save(path, np.ones((0, 0))), r"is empty, of shape \(0, 0\)"),
    "complex": (lambda path: np.save(path, np.eye(2) * 1j), r"real numbers, not dtype complex128"),
    "strings": (lambda path: np.save(path, np.array([["a"]])), r"real numbers, not dtype <U1"),
    "nan": (lambda path: np.save(path, np.array([[np.nan]])), r"hessian\[0, 0\] is nan"),
    "inf": (lambda path: np.save(path, np.array([[np.inf]])), r"hessian\[0, 0\] is inf"),
    "skew": (lambda path: np.save(path, np.array([[1, 2], [3, 4]])), r"= 1, and .*symmetrize=True"),
    "directory": (lambda path: path.mkdir(), "is a directory, but a file is needed"),
}


@pytest.mark.parametrize("case", BAD_FILES)
def test_files_that_hold_no_hessian_are_refused(case: Any, tmp_path: Path) -> None:
    write, message = BAD_FILES[case]
    path = tmp_path / "bad.npy"
    write(path)
    with pytest.raises(InputError, match=message) as caught:
        Problem.load(path, 1)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 500


def test_pickles_are_not_run(tmp_path: Path) -> None:
    class Bomb:
        def __reduce__(self) -> Any:
            return (os.mkdir, (str(tmp_path / "exploded"),))

    buffer = io.BytesIO()
    np.save(buffer, np.array([[Bomb()]], dtype=object), allow_pickle=True)
    (tmp_path / "bomb.npy").write_bytes(buffer.getvalue())
    with pytest.raises(InputError, match="never loaded because they can run code"):
        load_hessian(tmp_path / "bomb.npy")
    assert not (tmp_path / "exploded").exists()


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("nowhere/missing.npy", r"no file 'nowhere/missing\.npy' and no bundled.*bytelm-40-branch"),
        ("x" * 5000, r"check the path"),
        ("null\0byte", r"no file"),
        ("", r"the name of the Hessian is empty"),
        (np.eye(2), r"not as ndarray; pass arrays to Problem"),
        (None, r"not as NoneType"),
    ],
)
def test_paths_that_lead_nowhere_are_refused(source: Any, message: str) -> None:
    with pytest.raises(InputError, match=message):
        load_hessian(source)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no named pipes there")
def test_pipes_are_refused_instead_of_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.npy")
    with pytest.raises(InputError, match="is not a regular file; copy its contents"):
        load_hessian(tmp_path / "pipe.npy")


def test_unreadable_files_are_refused(saved: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(self) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(pathlib.Path, "read_bytes", refuse)
    with pytest.raises(InputError, match=r"cannot be read \(Permission denied\); check"):
        load_hessian(saved)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"names": ["a", "b"]}, r"names must have one entry per block, 3, not 2"),
        ({"names": ["a", "b", "a"]}, r"names must be distinct, but blocks 0 and 2"),
        ({"names": "abc"}, r"names must be a list"),
        ({"names": [1, 2, 3]}, r"names\[0\] must be a non-empty string, not 1"),
        ({"names": {"a": 1}}, r"names must have one entry per block, 3, not 1"),
        ({"kinds": ["mlp"] * 4}, r"kinds must have one entry per block, 3, not 4"),
        ({"kinds": ["mlp", None, "mlp"]}, r"kinds\[1\] must be a non-empty string, not None"),
        ({"mean_gradient": [1.0, 2.0]}, r"mean_gradient must have shape \(3,\).*not \(2,\)"),
        ({"mean_gradient": "none"}, r"mean_gradient must hold real numbers"),
        ({"mean_gradient": [1.0, 2.0, None]}, r"mean_gradient must hold real numbers"),
        ({"mean_gradient": [[1.0], [2.0, 3.0]]}, r"mean_gradient cannot be read as an array"),
        ({"mean_gradient": [1.0, 2.0, float("nan")]}, r"mean_gradient\[2\] is nan"),
        ({"parameter_counts": [1, 2]}, r"parameter_counts must have one entry per block, 3, not 2"),
        ({"parameter_counts": 7}, r"parameter_counts must .* not 7"),
        ({"parameter_counts": [1, 2, -3]}, r"parameter_counts must be at least 0, not -3"),
        ({"parameter_counts": [1, 2, 0.5]}, r"parameter_counts must be an integer, not 0\.5"),
        (
            {"granularity": ["branch"]},
            r"granularity must be a word such as branch, not \['branch'\]",
        ),
        ({"samples": 0}, r"samples must be at least 1, not 0"),
        ({"samples": "many"}, r"samples must be an integer, not 'many'"),
        ({"format_version": 2}, r"format_version is 2, but only 1 is known here; upgrade"),
        ({"format_version": "1"}, r"format_version must be an integer, not '1'"),
        (
            {"sha256": "0" * 64},
            r"belongs to another matrix: its sha256 is '000.*put matching files",
        ),
        ({"sha256": 5}, r"belongs to another matrix: its sha256 is 5"),
    ],
)
def test_sidecars_that_contradict_the_matrix_are_refused(
    saved: Path, changes: Any, message: str
) -> None:
    edit_sidecar(saved, **changes)
    with pytest.raises(InputError, match=message) as caught:
        Problem.load(saved, 1)
    assert "toy.json" in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", r"toy\.json is empty"),
        (b"names: [a, b]", r"toy\.json is not JSON \(Expecting value.*correct or delete it"),
        (b"[1, 2]", r"toy\.json must hold a JSON object, not a list"),
        (b"\xff\xfe\x00", r"toy\.json is not JSON"),
        (b"[" * 100_000, r"toy\.json is not JSON"),
    ],
)
def test_sidecars_that_are_no_objects_are_refused(saved: Path, content: Any, message: str) -> None:
    saved.with_suffix(".json").write_bytes(content)
    with pytest.raises(InputError, match=message):
        load_hessian(saved)


def test_directory_in_the_place_of_the_sidecar_is_refused(saved: Path) -> None:
    saved.with_suffix(".json").unlink()
    saved.with_suffix(".json").mkdir()
    with pytest.raises(InputError, match=r"toy\.json is a directory"):
        load_hessian(saved)


def test_matrix_that_changed_after_its_sidecar_is_noticed(
    saved: Path, matrix: NDArray[np.float64]
) -> None:
    np.save(saved, matrix + np.eye(3))
    with pytest.raises(InputError, match="belongs to another matrix"):
        load_hessian(saved)


@pytest.mark.parametrize(
    ("name", "hessian", "sidecar", "message"),
    [
        ("h.npz", np.eye(3), {}, r"must end in \.npy, not 'h\.npz'"),
        ("h.npy", np.ones((2, 3)), {}, r"square"),
        ("h.npy", [[1.0, 2.0], [0.0, 1.0]], {}, r"symmetric"),
        ("h.npy", np.eye(3), {"names": ["a"]}, r"names must have one entry per block, 3, not 1"),
        ("h.npy", np.eye(3), {"mean_gradient": [1, 2]}, r"mean_gradient must have shape"),
        ("h.npy", np.eye(3), {"sha256": "0"}, r"sha256 of a sidecar is filled in"),
        ("h.npy", np.eye(3), {"model": {1, 2}}, r"cannot be written as JSON \(set is not JSON\)"),
        ("h.npy", np.eye(3), {"loss": float("nan")}, r"cannot be written as JSON"),
        ("nowhere/h.npy", np.eye(3), {}, r"cannot be written \(No such file.*folder exists"),
    ],
)
def test_nothing_is_written_for_bad_input(
    tmp_path: Path, name: str, hessian: Any, sidecar: Any, message: str
) -> None:
    with pytest.raises(InputError, match=message):
        save_hessian(tmp_path / name, hessian, **sidecar)
    assert list(tmp_path.iterdir()) == []


def test_a_suffix_may_be_in_capitals(tmp_path):
    save_hessian(tmp_path / "H.NPY", np.eye(3), names=["a", "b", "c"])
    assert load_hessian(tmp_path / "H.NPY").names == ("a", "b", "c")


@pytest.mark.parametrize("failing", ["fsync", "replace"])
def test_failure_in_the_middle_leaves_the_old_files(
    saved: Path, monkeypatch: pytest.MonkeyPatch, failing: Any
) -> None:
    before = {entry.name: entry.read_bytes() for entry in saved.parent.iterdir()}

    def fail(*arguments: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(*((os, "fsync") if failing == "fsync" else (pathlib.Path, "replace")), fail)
    with pytest.raises(InputError, match=r"cannot be written \(No space left on device\)"):
        save_hessian(saved, np.eye(3))
    assert {entry.name: entry.read_bytes() for entry in saved.parent.iterdir()} == before


def test_crash_between_the_two_files_is_noticed_on_loading(
    saved: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    replace = pathlib.Path.replace

    def replace_matrix_only(self, target: Any) -> Path:
        if target.suffix == ".json":
            raise KeyboardInterrupt
        return replace(self, target)

    monkeypatch.setattr(pathlib.Path, "replace", replace_matrix_only)
    with pytest.raises(KeyboardInterrupt):
        save_hessian(saved, np.eye(3))
    assert sorted(entry.name for entry in saved.parent.iterdir()) == ["toy.json", "toy.npy"]
    with pytest.raises(InputError, match="belongs to another matrix"):
        load_hessian(saved)


@pytest.mark.skipif(os.name == "nt", reason="links need privileges there")
def test_saving_through_a_link_keeps_the_link(saved: Path, tmp_path: Path) -> None:
    link = tmp_path / "folder" / "toy.npy"
    link.parent.mkdir()
    link.symlink_to(saved)
    save_hessian(link, np.eye(3))
    assert link.is_symlink()
    assert np.load(saved).tolist() == np.eye(3).tolist()


@pytest.mark.skipif(os.name == "nt", reason="no permission bits there")
def test_saved_files_follow_the_umask(saved: Path) -> None:
    plain = saved.parent / "plain"
    plain.touch()
    assert saved.stat().st_mode == plain.stat().st_mode


def test_a_sidecar_may_state_a_budget(tmp_path: Path) -> None:
    path = tmp_path / "h.npy"
    save_hessian(path, np.eye(3), at_least="50%", weights=[1, 2, 3])
    assert (load_hessian(path).at_least, load_hessian(path).weights) == ("50%", (1, 2, 3))
    problem = Problem.load(path)
    assert problem.budget is not None
    assert (problem.remove, problem.budget.at_least) == (None, 3)
    own = Problem.load(path, 1, at_least=1, weights=[1, 1, 1])
    assert own.weights == (1, 1, 1)
    save_hessian(path, np.eye(3), weights="model.safetensors")  # of which nobody says what it is
    assert load_hessian(path).weights is None
    for budget, message in (
        ({"at_least": "half"}, "at_least"),
        ({"at_least": 1, "weights": [1, 2]}, "weights must have one entry per block, 3, not 2"),
        ({"at_least": 1, "weights": [1, 2, "x"]}, "an entry of weights"),
    ):
        with pytest.raises(InputError, match=message):
            save_hessian(path, np.eye(3), **budget)
