"""Bad input: exit code 2, exactly one line on stderr, no traceback, nothing written."""

from __future__ import annotations

import inspect
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from qubo_prune.cli import options
from tests.cli.conftest import Run

HESSIAN = np.diag([1.0, 2.0, 3.0, 4.0]) + 0.1


def array(value: object) -> Callable[[Path], None]:
    return lambda path: np.save(path, value)


def raw(data: bytes) -> Callable[[Path], None]:
    return lambda path: Path(path).write_bytes(data)


def truncated(path: Path) -> None:
    np.save(path, HESSIAN)
    path.write_bytes(path.read_bytes()[:-8])


def archive(path: Path) -> None:
    with path.open("wb") as file:
        np.savez(file, HESSIAN)


def with_sidecar(**entries: object) -> Callable[[Path], None]:
    def write(path: Path) -> None:
        np.save(path, HESSIAN)
        path.with_suffix(".json").write_text(json.dumps(entries))

    return write


def with_sidecar_text(text: str) -> Callable[[Path], None]:
    def write(path: Path) -> None:
        np.save(path, HESSIAN)
        path.with_suffix(".json").write_text(text)

    return write


def one_entry(value: float, where: tuple[int, int] = (0, 0)) -> Callable[[Path], None]:
    matrix = HESSIAN.copy()
    matrix[where] = value
    return array(matrix)


BAD_FILES = {
    "missing": (lambda path: None, "no file"),
    "directory": (Path.mkdir, "directory"),
    "zero bytes": (raw(b""), "empty"),
    "text": (raw(b"1.0 2.0\n3.0 4.0\n"), ".npy"),
    "archive": (archive, ".npy"),
    "truncated": (truncated, "truncated"),
    "damaged header": (raw(b"\x93NUMPY\x01\x00\x10\x00{'descr': nonsense"), "header"),
    "pickled objects": (array(np.array([[object()]])), "pickle"),
    "3-D": (array(np.zeros((2, 2, 2))), "2-D"),
    "1-D": (array(np.zeros(4)), "2-D"),
    "0-D": (array(np.float64(1.0)), "2-D"),
    "not square": (array(np.zeros((2, 3))), "square"),
    "empty": (array(np.zeros((0, 0))), "empty"),
    "complex": (array(HESSIAN.astype(complex)), "real"),
    "text array": (array(np.array([["a"]])), "real"),
    "NaN": (one_entry(np.nan), "nan"),
    "inf": (one_entry(np.inf), "inf"),
    "too large": (one_entry(1e308), "float64"),
    "asymmetric": (one_entry(5.0, (0, 1)), "symmetric"),
    "sidecar with too few names": (with_sidecar(names=["a", "b"]), "names"),
    "sidecar with too few kinds": (with_sidecar(kinds=["mlp"]), "kinds"),
    "sidecar with a wrong checksum": (with_sidecar(sha256="0" * 64), "sha256"),
    "sidecar with a long gradient": (with_sidecar(mean_gradient=[0.0] * 5), "mean_gradient"),
    "sidecar of the future": (with_sidecar(format_version=99), "99"),
    "sidecar that is a list": (with_sidecar_text("[1, 2]"), "object"),
    "sidecar that is not JSON": (with_sidecar_text("{"), "JSON"),
}


def assert_refused(ran: object, words: str, folder: Path, left: set[Path]) -> None:
    code, out, err = ran  # type: ignore[misc]
    assert code == 2
    assert out == ""
    assert err.startswith("qubo-prune: error: ")
    assert err.count("\n") == 1
    assert err.endswith("\n")
    assert words.lower() in err.lower()
    assert "Traceback" not in err
    assert set(folder.iterdir()) == left


@pytest.mark.parametrize("case", BAD_FILES)
def test_bad_file(case: str, run: Run, tmp_path: Path) -> None:
    write, words = BAD_FILES[case]
    path = tmp_path / "hessian.npy"
    write(path)
    left = set(tmp_path.iterdir())
    assert_refused(
        run("solve", path, "--remove", 1, "--out", tmp_path / "out.json"), words, tmp_path, left
    )
    if case != "asymmetric":  # a fact to be shown
        assert_refused(run("hessians", "show", path), words, tmp_path, left)


def test_asymmetry_is_accepted_on_request(run: Run, tmp_path: Path) -> None:
    one_entry(5.0, (0, 1))(tmp_path / "hessian.npy")
    ran = run("solve", tmp_path / "hessian.npy", "--remove", 1, "--symmetrize", "--json")
    assert ran.code == 0


BRANCH = "bytelm-40-branch"
BAD_ARGUMENTS = {
    "unknown Hessian": (["solve", "bytelm", "--remove", "8"], BRANCH),
    "nothing to solve": (["solve", "--remove", "8"], "HESSIAN"),
    "no count": (["solve", BRANCH], "--remove"),
    "empty count": (["solve", BRANCH, "--remove", ""], "whole number"),
    "fractional count": (["solve", BRANCH, "--remove", "2.5"], "whole number"),
    "huge count": (["solve", BRANCH, "--remove", "9" * 5000], "whole number"),
    "too many": (["solve", BRANCH, "--remove", "81"], "80"),
    "negative": (["solve", BRANCH, "--remove", "-1"], "0"),
    "two counts": (["solve", BRANCH, "--remove", "2", "--remove", "3"], "KIND=COUNT"),
    "count and kind": (["solve", BRANCH, "--remove", "2,mlp=3"], "KIND=COUNT"),
    "kind twice": (["solve", BRANCH, "--remove", "mlp=2,mlp=3"], "twice"),
    "unknown kind": (["solve", BRANCH, "--remove", "atention=2"], "attention"),
    "too many of a kind": (["solve", BRANCH, "--remove", "mlp=41"], "40"),
    "only an unknown kind": (["solve", BRANCH, "--remove", "2", "--only", "moe"], "attention"),
    "unknown name": (["solve", BRANCH, "--remove", "2", "--keep", "layers.0.mpl"], "layers.0.mlp"),
    "block out of range": (["solve", BRANCH, "--remove", "2", "--keep", "80"], "79"),
    "range out of range": (["solve", BRANCH, "--remove", "2", "--keep", "70-90"], "79"),
    "descending range": (["solve", BRANCH, "--remove", "2", "--keep", "3-1"], "range"),
    "endless range": (["solve", BRANCH, "--remove", "2", "--keep", "0-99999999999"], "range"),
    "kept and forced": (["solve", BRANCH, "--remove", "2", "--keep", "3", "--force", "3"], "3"),
    "kept too many": (["solve", BRANCH, "--remove", "8", "--keep", "0-75"], "4"),
    "forced too many": (["solve", BRANCH, "--remove", "2", "--force", "0,1,2"], "3"),
    "no gradient": (["solve", BRANCH, "--remove", "2", "--beta", "1"], "gradient"),
    "beta is not finite": (["solve", BRANCH, "--remove", "2", "--beta", "nan"], "nan"),
    "no states": (["solve", BRANCH, "--remove", "2", "--states", "0"], "0"),
    "states is no number": (["solve", BRANCH, "--remove", "2", "--states", "many"], "--states"),
    "negative rows": (["solve", BRANCH, "--remove", "2", "--rows", "-1"], "--rows"),
    "no time": (["solve", BRANCH, "--remove", "2", "--time-limit", "0"], "time"),
    "time is not finite": (["solve", BRANCH, "--remove", "2", "--time-limit", "nan"], "time"),
    "no evaluations": (["solve", BRANCH, "--remove", "2", "--max-evaluations", "0"], "1"),
    "no threads": (["solve", BRANCH, "--remove", "2", "--threads", "0"], "threads"),
    "unknown backend": (["solve", BRANCH, "--remove", "2", "--backend", "bnb"], "enumeration"),
    "unknown option": (["solve", BRANCH, "--remove", "2", "--option", "speed=9"], "max_steps"),
    "malformed option": (["solve", BRANCH, "--remove", "2", "--option", "speed"], "KEY=VALUE"),
    "ill-typed option": (["solve", BRANCH, "--remove", "2", "--option", "threads=two"], "threads"),
    "option set twice": (
        ["solve", BRANCH, "--remove", "2", "--option", "threads=2", "--threads", "1"],
        "leave one of them out",
    ),
    "executor of another backend": (
        ["solve", BRANCH, "--remove", "2", "--backend", "tabu", "--executor", "threads"],
        "'tabu' has no option 'executor'; its options are: threads,",
    ),
    "executor that branch and bound has not": (
        ["solve", BRANCH, "--remove", "2", "--executor", "processes"],
        "executor must be one of threads, dask, not 'processes'",
    ),
    "unknown executor": (
        ["solve", BRANCH, "--remove", "2", "--backend", "enumeration", "--executor", "slurm"],
        "executor must be one of threads, processes, dask",
    ),
    "scheduler without Dask": (
        ["solve", BRANCH, "--remove", "2", "--backend", "enumeration", "--scheduler", "tcp://a:1"],
        "goes with executor='dask', not 'threads'",
    ),
    "sweep with an executor of another backend": (
        ["sweep", BRANCH, "--remove", "2", "--backend", "tabu", "--executor", "threads"],
        "has no option 'executor'",
    ),
    "plan with a scheduler without Dask": (
        ["plan", BRANCH, "--remove", "2", "--scheduler", "tcp://a:1"],
        "goes with executor='dask'",
    ),
    "plan with an unknown executor": (
        ["plan", BRANCH, "--remove", "2", "--executor", "slurm"],
        "executor must be one of",
    ),
    "other suffix": (["solve", BRANCH, "--remove", "2", "--out", "a.csv"], ".npz"),
    "no such folder": (["solve", BRANCH, "--remove", "2", "--out", "no/a.json"], "no"),
    "unknown flag": (["solve", BRANCH, "--remove", "2", "--bakend", "x"], "--backend"),
    "unknown command": (["slove", BRANCH], "solve"),
    "sweep without range": (["sweep", BRANCH, "--from", "9", "--to", "3"], "9"),
    "sweep past the end": (["sweep", BRANCH, "--to", "81"], "80"),
    "sweep of kinds": (["sweep", BRANCH, "--remove", "mlp=3"], "whole number"),
    "sweep both ways": (["sweep", BRANCH, "--remove", "3", "--from", "2"], "--from"),
    "sweep into a file": (["sweep", BRANCH, "--remove", "3", "--out", __file__], "folder"),
    "certificates of a sweep into a file": (
        ["sweep", BRANCH, "--remove", "3", "--certificate", __file__],
        "--certificate of sweep takes a folder",
    ),
    "show what is not there": (["hessians", "show", "bytelm"], BRANCH),
}


@pytest.mark.parametrize("case", BAD_ARGUMENTS)
def test_bad_arguments(
    case: str, run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    arguments, words = BAD_ARGUMENTS[case]
    if "--out" not in arguments and arguments[0] == "solve":
        arguments = [*arguments, "--out", "out.json"]
    assert_refused(run(*arguments), words, tmp_path, set())


def test_out_that_is_a_folder(run: Run, tmp_path: Path) -> None:
    (tmp_path / "out.json").mkdir()
    ran = run("solve", BRANCH, "--remove", 2, "--out", tmp_path / "out.json")
    assert_refused(ran, "directory", tmp_path, {tmp_path / "out.json"})


def test_nothing_is_solved_before_the_output_is_known_to_be_writable(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        "qubo_prune.core.files.hessian.load_hessian", lambda _: pytest.fail("solved")
    )
    assert run("solve", BRANCH, "--remove", 2, "--out", "/dev/null/a.json").code == 2


def test_in_a_process(tmp_path: Path) -> None:
    (tmp_path / "bad.npy").write_bytes(b"\x93NUMPY")
    command = [sys.executable, "-m", "qubo_prune", "solve", "bad.npy", "--remove", "1"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, check=False)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.count("\n") == 1
    assert "Traceback" not in done.stderr


def test_a_command_has_the_options_of_its_groups_once() -> None:
    """`spread` puts fields in place of an object, but those that the command has itself."""

    @options.spread
    def command(
        *,
        first: int = 1,
        remove: int = 2,
        problem: options.ProblemOptions,
        search: options.SearchOptions,
        last: bool = False,
    ) -> int:
        assert (first, remove, problem.hessian, problem.remove, search.states) == (3, 4, "h", [], 5)
        assert (problem.keep, last) == ([], True)
        return 7

    names = list(inspect.signature(command).parameters)
    expected = ["first", "remove", "only", "keep", "force", "budget", "weights", "hessian"]
    assert names[:8] == expected
    assert names[-2:] == ["option", "last"]
    assert len(names) == len(set(names))
    given = {name: each.default for name, each in inspect.signature(command).parameters.items()}
    assert (
        command(**{**given, "first": 3, "remove": 4, "hessian": "h", "states": 5, "last": 1}) == 7
    )
