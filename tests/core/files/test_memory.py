"""What is needed is said before it is taken, and no more is taken than that."""

from __future__ import annotations

import io
import resource
import subprocess
import sys
import textwrap
import tracemalloc
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from qubo_prune import InputError, Problem, Spectrum, load_hessian, solve
from qubo_prune.backends.branch_and_bound.arrays import make_tables
from qubo_prune.core import memory
from qubo_prune.core.memory import check_memory, free_memory

SIDE = 20_000


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A matrix of 3.2 GB that takes no room on the disk."""
    path = tmp_path_factory.mktemp("large") / "large.npy"
    np.lib.format.open_memmap(path, "w+", np.float64, (SIDE, SIDE)).flush()
    return path


def limited(code: str, path: Path) -> subprocess.CompletedProcess[str]:
    """Run code in a process that may take 3 GB."""
    most = 3 << 30
    return subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code), str(path)],
        capture_output=True,
        text=True,
        check=False,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_AS, (most, most)),
    )


@pytest.mark.parametrize(
    "arguments",
    [
        ["solve", "--remove", "3"],
        ["solve", "--remove", "3", "--backend", "tabu"],
        ["plan", "--remove", "2"],
        ["sweep", "--states", "1"],
        ["export", "--remove", "2", "--out", "large.coo"],
        ["hessians", "show"],
    ],
    ids=" ".join,
)
def test_a_matrix_that_does_not_fit_is_one_line(arguments: list[str], large: Path) -> None:
    cut = 2 if arguments[0] == "hessians" else 1
    code = f"""
        import sys
        from qubo_prune.cli.main import main
        sys.exit(main([*{arguments[:cut]}, sys.argv[1], *{arguments[cut:]}]))
    """
    ran = limited(code, large)
    assert ran.returncode == 2
    assert ran.stdout == ""
    said = " ".join(ran.stderr.split())
    assert "needs 3.2 GB of memory, but" in said
    assert "free here; take fewer blocks, or a machine with more" in said
    assert "Traceback" not in said


def test_arrays_that_do_not_fit_are_refused_before_they_are_copied() -> None:
    code = f"""
        import numpy as np
        from qubo_prune import InputError, Problem
        for side, dtype in (({SIDE}, np.int8), ({SIDE}, np.float32)):
            try:
                Problem(np.broadcast_to(np.zeros(1, dtype), (side, side)), 2)
            except InputError as error:
                print(error)
    """
    ran = limited(code, Path())
    assert ran.returncode == 0
    assert ran.stdout.count("a copy of 20,000 x 20,000 entries of hessian needs 3.2 GB") == 2


@pytest.mark.parametrize(
    ("suffix", "text"),
    [
        (".mc", "16000 1\n1 2 1\n"),
        (".bq", "16000 1\n1 2 1\n"),
        (".mtx", "%%MatrixMarket matrix coordinate real symmetric\n16000 16000 1\n1 1 1\n"),
    ],
)
def test_a_few_bytes_that_ask_for_gigabytes(
    suffix: str, text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(memory, "free_memory", lambda: 3e9)
    (tmp_path / f"a{suffix}").write_text(text)
    with pytest.raises(InputError, match=r"16,000 variables needs 4.1 GB of memory, but 3.0 GB"):
        load_hessian(tmp_path / f"a{suffix}")


def peak_of(work: Callable[[], object]) -> int:
    """Return the most bytes that were taken at a time; what NumPy takes counts."""
    tracemalloc.start()
    try:
        work()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_reading_takes_the_matrix_once(order: str, dtype: type, tmp_path: Path) -> None:
    """It took three times the matrix."""
    half = np.random.default_rng(0).normal(size=(2500, 2500)).astype(dtype)
    matrix = half + half.T
    np.save(tmp_path / "h.npy", np.asarray(matrix, order=order))
    problem = Problem.load(tmp_path / "h.npy", remove=3)
    assert np.array_equal(problem.hessian, matrix)
    assert problem.hessian.flags.c_contiguous
    peak = peak_of(lambda: Problem.load(tmp_path / "h.npy", remove=3))
    # Another order or precision is the file and a copy.
    size = matrix.nbytes + (8 * matrix.size if (order, dtype) != ("C", np.float64) else 0)
    assert peak < 1.4 * size


def test_branch_and_bound_takes_the_matrix_once_more(tmp_path: Path) -> None:
    """Its tables took five times the matrix."""
    half = np.random.default_rng(0).normal(size=(2500, 2500))
    np.save(tmp_path / "h.npy", half + half.T)
    problem = Problem.load(tmp_path / "h.npy", remove=3)
    peak = peak_of(lambda: make_tables(problem, 40, 512, lambda: True))
    assert peak < 1.7 * problem.hessian.nbytes


def test_what_is_free_is_at_most_what_a_process_may_take() -> None:
    code = "from qubo_prune.core.memory import free_memory; print(free_memory())"
    assert 0 < float(limited(code, Path()).stdout) < 3 << 30
    assert free_memory() > 1 << 27
    check_memory(1 << 26, "little")
    with pytest.raises(InputError, match=r"much needs 1\.00e9 GB of memory"):
        check_memory(10**18, "much")


def bomb(path: Path, member: str, shape: tuple[int, ...], dtype: str) -> None:
    """Swap a member of a spectrum for zeros that take a thousandth of their size."""
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    stream = io.BytesIO()
    np.save(stream, np.zeros(shape, dtype))
    members[member] = stream.getvalue()
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name, content)


@pytest.mark.parametrize(
    ("member", "shape", "dtype"),
    [
        ("states.npy", (30_000_000, 1), "u1"),
        ("energies.npy", (4_000_000,), "f8"),
        ("header.npy", (80_000_000,), "u1"),
    ],
)
def test_an_archive_is_bounded_by_what_its_header_says(
    member: str, shape: tuple[int, ...], dtype: str, tmp_path: Path
) -> None:
    path = tmp_path / "spectrum.npz"
    solve(Problem(np.eye(6), 2)).save(path)
    assert len(Spectrum.load(path)) == 15
    bomb(path, member, shape, dtype)
    assert path.stat().st_size < 200_000

    def load() -> None:
        with pytest.raises(InputError, match=rf"{member} unpacks to \d+ MB, and"):
            Spectrum.load(path)

    assert peak_of(load) < 2_000_000


def test_two_members_of_one_name_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "spectrum.npz"
    solve(Problem(np.eye(6), 2)).save(path)
    with zipfile.ZipFile(path, "a") as archive, pytest.warns(UserWarning, match="Duplicate"):
        archive.writestr("energies.npy", b"")
    with pytest.raises(InputError, match="two members of one name"):
        Spectrum.load(path)
