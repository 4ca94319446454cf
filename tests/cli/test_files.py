"""What commands read, write and refuse to replace: nothing of anybody's is lost."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import stat
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from qubo_prune import Certificate, InputError, Problem, solve, sweep
from qubo_prune.cli.main import main
from qubo_prune.core.errors import OutputError
from qubo_prune.core.files.disk import write_atomically
from qubo_prune.core.files.gradients import save_gradients
from qubo_prune.core.files.kinds import Kind, kind_of
from qubo_prune.core.spectrum.spectrum import Spectrum
from qubo_prune.encodings.exchange import write_problem
from qubo_prune.hessians import load_hessian, save_hessian

POSIX = pytest.mark.skipif(os.name == "nt", reason="links and devices of POSIX")
KINDS = ["attention", "mlp"] * 4


def fill(folder: Path) -> None:
    """Write one file of every kind."""
    gradients = np.random.default_rng(0).normal(size=(12, 8)).astype(np.float32)
    matrix = gradients.astype(float).T @ gradients / 12
    save_hessian(folder / "named.npy", matrix, kinds=KINDS, model="toy", samples=12)
    save_gradients(folder / "named.grads.npy", gradients)
    np.save(folder / "plain.npy", matrix)
    for index in (1, 2):
        rows = slice(6 * index - 6, 6 * index)
        save_hessian(
            folder / f"shard-{index}.npy",
            gradients[rows].astype(float).T @ gradients[rows] / 6,
            samples=6,
            sample_indices=list(range(12))[rows],
            loss=1.0,
            shard={"index": index, "of": 2},
            mean_gradient=[0.0] * 8,
            model="toy",
            calibration={"source": "x"},
            granularity="branch",
        )
    problem = Problem.load(folder / "named.npy", remove=3)
    spectrum = solve(problem, num_states=4)
    spectrum.save(folder / "spectrum.json")
    spectrum.save(folder / "spectrum.npz")
    Certificate.of(problem, spectrum).save(folder / "proof.json")
    write_problem(problem, folder / "problem.lp")
    write_problem(problem, folder / "problem.qubo")
    (folder / "calibration.json").write_text('[{"text": "one"}, {"text": "two"}]')
    np.save(folder / "tokens.npy", np.arange(12).reshape(3, 4))
    (folder / "notes.txt").write_text("mine")


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("filled")
    fill(folder)
    return folder


@pytest.fixture
def folder(filled: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    shutil.copytree(filled, tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def contents(folder: Path) -> dict[str, str]:
    return {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in folder.rglob("*")
        if path.is_file()
    }


SOLVE = ["solve", "named.npy", "--remove", "2", "--states", "2", "--quiet"]
LOSSES = {
    "sidecar by --out": [*SOLVE, "--out", "named.json"],
    "sidecar by --certificate": [*SOLVE, "--certificate", "named.json"],
    "sidecar by --checkpoint": [*SOLVE, "--backend", "enumeration", "--checkpoint", "named.json"],
    "checkpoint as an option": [
        *(*SOLVE, "--backend", "enumeration", "--option", "checkpoint=named.json"),
    ],
    "sidecar in other words": [*SOLVE, "--out", "../filled/./named.json"],
    "sidecar to be": ["solve", "plain.npy", "--remove", "2", "--out", "plain.json"],
    "sidecar of a sibling": [*SOLVE, "--out", "shard-1.json"],
    "sidecar to be of a sibling": [*SOLVE, "--certificate", "plain.json"],
    "sidecar of a problem": [*SOLVE, "--out", "problem.lp.json"],
    "spectrum by a certificate": [*SOLVE, "--certificate", "spectrum.json"],
    "certificate by a spectrum": [*SOLVE, "--out", "proof.json"],
    "data by a spectrum": [*SOLVE, "--out", "calibration.json"],
    "two outputs": [*SOLVE, "--out", "a.json", "--certificate", "./a.json"],
    "export over its source": ["export", "problem.lp", "--out", "problem.lp"],
    "export over a spectrum": ["export", "named.npy", "--remove", "2", "--out", "spectrum.qubo"],
    "export over text": [
        *("export", "named.npy", "--remove", "2", "--format", "lp", "--out", "notes.txt")
    ],
    "import over tokens": ["import", "problem.lp", "--out", "tokens.npy"],
    "import beside data": ["import", "problem.lp", "--out", "calibration.npy"],
    "import beside a proof": ["import", "problem.lp", "--out", "proof.npy"],
    "merge over a shard": ["merge", "shard-1.npy", "shard-2.npy", "--out", "shard-2.npy"],
    "merge over gradients": ["merge", "shard-1.npy", "shard-2.npy", "--out", "named.grads.npy"],
    "extract over its data": ["extract", "m", "--data", "tokens.npy", "--out", "tokens.npy"],
    "extract beside its data": [
        *("extract", "m", "--data", "calibration.json", "--out", "calibration.npy")
    ],
    "gradients over data": [
        *("extract", "m", "--data", "named.grads.npy", "--save-gradients"),
        *("--out", "other/../named.npy"),
    ],
}


@pytest.mark.parametrize("case", LOSSES)
def test_a_command_replaces_nothing_that_it_reads_and_nothing_of_another_kind(
    case: str, folder: Path, run
) -> None:
    (folder / "other").mkdir()
    (folder / "spectrum.qubo").write_bytes((folder / "spectrum.json").read_bytes())
    arguments = [each.replace("../filled", f"../{folder.name}") for each in LOSSES[case]]
    before = contents(folder)
    code, out, err = run(*arguments)
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert contents(folder) == before


@POSIX
@pytest.mark.parametrize("link", ["symbolic", "hard", "folder"])
def test_links_are_seen_through(link: str, folder: Path, run) -> None:
    out = "link.json"
    if link == "symbolic":
        Path(out).symlink_to("named.json")
    elif link == "hard":
        Path(out).hardlink_to("named.json")
    else:
        Path("aside").symlink_to(".", target_is_directory=True)
        out = "aside/named.json"
    before = contents(folder)
    assert "which this command reads" in run(*SOLVE, "--out", out).err
    assert "which this command reads" in run(*SOLVE, "--certificate", out).err
    assert contents(folder) == before


def test_a_sweep_compares_all_its_files(folder: Path, run) -> None:
    np.save("remove-3.npy", np.eye(5))
    sweep = ["sweep", "remove-3.npy", "--remove", "1-3", "--states", "2"]
    assert (
        "would write remove-3.json, where this command looks for a sidecar"
        in run(*sweep, "--out", ".").err
    )
    assert run("sweep", "named.npy", "--remove", "3", "--out", ".").code == 2
    Path("s").mkdir()
    shutil.copy("proof.json", "s/remove-2.json")
    assert "s/remove-2.json is a certificate" in run(*sweep, "--out", "s").err
    assert [path.name for path in Path("s").iterdir()] == ["remove-2.json"]
    assert run(*sweep, "--certificate", "s").code == 0
    assert run(*sweep, "--certificate", "s").code == 0


@pytest.mark.parametrize(
    ("arguments", "written"),
    [
        ([*SOLVE, "--out", "spectrum.json"], ["spectrum.json"]),
        ([*SOLVE, "--out", "spectrum.npz", "--certificate", "proof.json"], ["spectrum.npz"]),
        (["import", "problem.lp", "--out", "plain.npy"], ["plain.npy", "plain.json"]),
        (["export", "named.npy", "--remove", "2", "--out", "problem.lp"], ["problem.lp"]),
    ],
)
def test_a_file_is_replaced_by_one_of_its_kind(
    arguments: list[str], written: list[str], folder: Path, run
) -> None:
    np.save("plain.npy", np.eye(2))
    before = contents(folder)
    assert run(*arguments).code == 0
    assert run(*arguments).code == 0
    after = contents(folder)
    assert all(after[name] != before.get(name) for name in written)


def test_saving_from_python_replaces_no_other_kind(folder: Path) -> None:
    problem = Problem.load("named.npy", remove=2)
    spectrum = solve(problem, num_states=2)
    proof = Certificate.of(problem, spectrum)
    before = contents(folder)
    for save, names in (
        (spectrum.save, ["named.json", "proof.json", "calibration.json", "plain.json"]),
        (proof.save, ["named.json", "spectrum.json", "calibration.json", "problem.lp.json"]),
        (lambda name: save_hessian(name, np.eye(2)), ["tokens.npy", "spectrum.npy", "proof.npy"]),
        (lambda name: save_gradients(name, np.eye(2)), ["tokens.npy", "plain.npy", "named.npy"]),
        (lambda name: write_problem(problem, name, format="lp"), ["notes.txt", "problem.qubo"]),
    ):
        for name in names:
            with pytest.raises(InputError, match="name another"):
                save(name)
    for name in ("plain.json", "named.json", "spectrum.json", "proof.json", "problem.lp.json"):
        with pytest.raises(InputError, match=r"name another|not a valid checkpoint"):
            solve(problem, num_states=2, backend="enumeration", options={"checkpoint": name})
    assert contents(folder) == before


@pytest.mark.parametrize(
    "name", ["spectrum.json", "proof.json", "calibration.json", "package.json", "list.json"]
)
def test_what_lies_beside_a_matrix_is_a_sidecar_or_refused(name: str, folder: Path, run) -> None:
    Path("package.json").write_text('{"name": "x", "version": "1.0.0"}')
    Path("list.json").write_text("[1, 2]")
    shutil.copy(name, "plain.json")
    for arguments in (["solve", "plain.npy", "--remove", "3"], ["hessians", "show", "plain.npy"]):
        code, out, err = run(*arguments)
        assert (code, out, err.count("\n")) == (2, "", 1)
        assert "plain.json" in err
    with pytest.raises(InputError, match=r"plain\.json"):
        Problem.load("plain.npy", remove=3)


@POSIX
def test_devices_and_pipes_are_written_to_and_stay(folder: Path, run) -> None:
    Path("null.json").symlink_to(os.devnull)
    assert run(*SOLVE, "--out", "null.json").code == 0
    assert run(*SOLVE, "--certificate", "null.json").code == 0
    assert Path("null.json").is_symlink()
    assert stat.S_ISCHR(Path(os.devnull).stat().st_mode)
    os.mkfifo("pipe.json")
    received: list[str] = []
    reader = threading.Thread(target=lambda: received.append(Path("pipe.json").read_text()))
    reader.start()
    assert run(*SOLVE, "--out", "pipe.json").code == 0
    reader.join(30)
    assert len(json.loads(received[0])["removed"]) == 2
    assert stat.S_ISFIFO(Path("pipe.json").stat().st_mode)
    write_atomically({Path("null.json"): lambda stream: stream.write(b"x")})
    assert Path("null.json").is_symlink()


@POSIX
def test_what_killed_runs_left_is_cleaned_up(folder: Path, run) -> None:
    left = [folder / f".out.json.{part}.tmp" for part in ("0123abcd", "ffffffff")]
    others = [folder / name for name in (".out.json.0123abcd", ".out.json.xyz.tmp", ".out.tmp")]
    for path in (*left, *others):
        path.write_text("half")
    write_atomically({folder / "out.json": lambda stream: writing(stream, left[1])})
    assert not any(path.exists() for path in left)
    assert all(path.exists() for path in others)
    left[0].write_text("half")
    (folder / "out.json").unlink()
    assert run(*SOLVE, "--out", "out.json").code == 0
    assert not left[0].exists()


def writing(stream: object, left: Path) -> None:
    """Write while another run writes the same file and cleans up."""
    target = left.with_name("out.json")
    write_atomically({target: lambda other: other.write(b"theirs")})
    stream.write(b"mine")  # type: ignore[attr-defined]


@pytest.fixture
def broken(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Path]:
    """A folder in which files can be made until a run is over."""
    spare = tmp_path / "spare"
    spare.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(spare))
    return spare


@pytest.mark.parametrize("options", [[], ["--json"], ["--quiet"]])
def test_a_result_outlives_its_file(
    options: list[str], folder: Path, broken: Path, run, monkeypatch: pytest.MonkeyPatch
) -> None:
    import qubo_prune.solving.solve as module

    def solve_and_lose(*arguments: object, **options: object) -> Spectrum:
        Path("gone").rename("elsewhere")
        return solve(*arguments, **options)  # type: ignore[arg-type]

    Path("gone").mkdir()
    monkeypatch.setattr(module, "solve", solve_and_lose)
    arguments = [each for each in SOLVE if each != "--quiet"]
    code, out, err = run(
        *(*arguments, "--out", "gone/s.json", "--certificate", "proof.json", *options)
    )
    assert code == 4
    assert "gone/s.json cannot be written" in err
    [kept] = broken.glob("qubo-prune-*/s.json")
    assert f"it is kept in {kept}" in err
    spectrum = Spectrum.load(kept)
    assert len(spectrum) == 2
    assert Certificate.load("proof.json").spectrum.removed(0) == spectrum.removed(0)
    assert str(spectrum.removed(0))[1:-1] in out


def test_a_sweep_outlives_its_folder(
    folder: Path, broken: Path, run, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = Spectrum.save

    def failing(spectrum: Spectrum, path: Path) -> None:
        if spectrum.remove == 2 and path.parent.name == "s":
            raise OutputError(f"{path} cannot be written (No space left on device); delete some.")
        real(spectrum, path)

    monkeypatch.setattr(Spectrum, "save", failing)
    code, out, err = run("sweep", "named.npy", "--remove", "1-3", "--states", "2", "--out", "s")
    assert code == 4
    assert [line.split()[0] for line in out.splitlines()] == ["M", "1", "2", "3"]
    assert sorted(path.name for path in Path("s").iterdir()) == ["remove-1.json", "remove-3.json"]
    [kept] = broken.glob("qubo-prune-*/remove-2.json")
    assert f"it is kept in {kept}" in err
    assert "wrote s/remove-1.json and s/remove-3.json" in err


def test_a_sweep_outlives_the_folder_of_its_folder(
    folder: Path, broken: Path, run, monkeypatch: pytest.MonkeyPatch
) -> None:
    import qubo_prune.solving.sweep as module

    def sweep_and_lose(*arguments: object, **options: object) -> object:
        shutil.rmtree("gone")
        return sweep(*arguments, **options)  # type: ignore[arg-type]

    Path("gone").mkdir()
    monkeypatch.setattr(module, "sweep", sweep_and_lose)
    files = ["--out", "gone/s", "--certificate", "gone/c"]
    code, out, err = run("sweep", "named.npy", "--remove", "1-2", "--states", "2", *files)
    assert (code, len(out.splitlines()), err.count("it is kept in ")) == (4, 3, 4)
    assert len(list(broken.glob("qubo-prune-*/remove-?.json"))) == 2
    assert len(list(broken.glob("qubo-prune-*/remove-?.certificate.json"))) == 2


@POSIX
def test_an_archive_goes_through_a_pipe(folder: Path, run) -> None:
    os.mkfifo("pipe.npz")
    received: list[bytes] = []
    reader = threading.Thread(target=lambda: received.append(Path("pipe.npz").read_bytes()))
    reader.start()
    assert run(*SOLVE, "--out", "pipe.npz").code == 0
    reader.join(30)
    Path("copy.npz").write_bytes(received[0])
    assert len(Spectrum.load("copy.npz")) == 2


# What a command writes, over anything that is there, or beside it.

TARGETS = st.sampled_from(
    [
        *("named.npy", "named.json", "named.grads.npy", "plain.npy", "plain.json", "shard-1.npy"),
        *("shard-1.json", "spectrum.json", "spectrum.npz", "proof.json", "problem.lp", "new.npy"),
        *("problem.lp.json", "problem.qubo", "calibration.json", "calibration.npy", "tokens.npy"),
        *("tokens.json", "notes.txt", "link.json", "link.npy", "hard.json", "new.json", "new.lp"),
        *("aside/named.json", "aside/new.json", "proof.npy", "spectrum.npy", "problem.json"),
    ]
)
SOURCES = st.sampled_from(["named.npy", "plain.npy", "problem.lp", "problem.qubo", "link.npy"])


@st.composite
def commands(draw: st.DrawFn) -> tuple[list[str], set[str]]:
    """A command and the names of the files that it reads."""
    source, out, second = draw(SOURCES), draw(TARGETS), draw(TARGETS)
    beside = f"{source}.json" if source.startswith("problem") else f"{Path(source).stem}.json"
    read = {source, beside}
    command = draw(st.sampled_from(["solve", "certify", "both", "export", "import", "merge"]))
    search = [source, "--remove", "3", "--states", "2", "-q"]
    return {
        "solve": (["solve", *search, "--out", out], read),
        "certify": (["solve", *search, "--certificate", out], read),
        "both": (["solve", *search, "--out", out, "--certificate", second], read),
        "export": (["export", source, "--remove", "3", "--out", out], read),
        "import": (["import", source, "--out", out], read),
        "merge": (
            ["merge", "shard-1.npy", "shard-2.npy", "--out", out],
            {"shard-1.npy", "shard-1.json", "shard-2.npy", "shard-2.json"},
        ),
    }[command]


@POSIX
@given(drawn=commands())
@settings(
    max_examples=150,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
def test_no_output_of_any_command_over_any_file_loses_anything(
    drawn: tuple[list[str], set[str]], filled: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    arguments, read = drawn
    with tempfile.TemporaryDirectory() as name, monkeypatch.context() as patched:
        folder = Path(name).resolve()
        shutil.copytree(filled, folder, dirs_exist_ok=True)
        patched.chdir(folder)
        Path("link.json").symlink_to("named.json")
        Path("link.npy").symlink_to("plain.npy")
        Path("hard.json").hardlink_to("proof.json")
        Path("aside").symlink_to(".", target_is_directory=True)
        before = {path.name: (path.read_bytes(), kind_of(path)) for path in files_of(folder)}
        code = main(arguments)
        after = {path.name: (path.read_bytes(), kind_of(path)) for path in files_of(folder)}
        assert before.keys() <= after.keys()
        changed = {name for name in before if before[name][0] != after[name][0]}
        resolved = {Path(each).resolve().name for each in read}
        assert not changed & (read | resolved)
        assert all(before[name][1] is after[name][1] for name in changed)
        assert code == 0 or not changed
        assert code in (0, 2)
        # What could be read can still be read, as the same.
        for each in ("named.npy", "plain.npy", "shard-1.npy", "shard-2.npy", "problem.lp"):
            file = load_hessian(each)
            assert each in changed or file.sha256 == load_hessian(filled / each).sha256


def files_of(folder: Path) -> list[Path]:
    return [path for path in folder.iterdir() if path.is_file()]


def test_every_file_says_what_it_is(filled: Path) -> None:
    assert {path.name: kind_of(path) for path in sorted(filled.iterdir())} == {
        **dict.fromkeys(("named.npy", "plain.npy", "shard-1.npy", "shard-2.npy"), Kind.MATRIX),
        **dict.fromkeys(("named.json", "shard-1.json", "shard-2.json"), Kind.SIDECAR),
        **dict.fromkeys(("problem.lp.json", "problem.qubo.json"), Kind.SIDECAR),
        **dict.fromkeys(("spectrum.json", "spectrum.npz"), Kind.SPECTRUM),
        **dict.fromkeys(("problem.lp", "problem.qubo", "notes.txt", "tokens.npy"), Kind.OTHER),
        "named.grads.npy": Kind.GRADIENTS,
        "proof.json": Kind.CERTIFICATE,
        "calibration.json": Kind.OTHER,
    }
