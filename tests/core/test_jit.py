"""The cache of compiled kernels: where it is, when it is another one, and who hears of a
compilation.
"""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
import subprocess
import sys
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path

import numba
import pytest

import qubo_prune
from qubo_prune.core.kernels import jit

PACKAGE = Path(qubo_prune.__file__).parent

Where = Callable[[], Path]


@pytest.fixture
def where(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Where]:
    """Return a function that looks for the cache afresh, with no setting from outside in
    the way.
    """
    monkeypatch.setattr(numba.config, "CACHE_DIR", "")
    for variable in ("XDG_CACHE_HOME", "LOCALAPPDATA"):
        monkeypatch.delenv(variable, raising=False)
    home = tmp_path / "home"
    home.mkdir()
    monkeypatch.setattr(Path, "home", lambda: home)

    def look() -> Path:
        jit.cache_directory.cache_clear()
        return jit.cache_directory()

    yield look
    jit.cache_directory.cache_clear()


@pytest.fixture
def package(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """Make the cache belong to a copy of the package, whose sources can be changed."""
    copy = tmp_path / "copy" / "qubo_prune"
    shutil.copytree(PACKAGE, copy, ignore=shutil.ignore_patterns("__pycache__", "data"))
    monkeypatch.setattr(jit, "_PACKAGE", copy)
    return copy


def kernel_sources() -> list[str]:
    """Every module with code that is compiled."""
    sources = [
        source.relative_to(PACKAGE).as_posix()
        for source in PACKAGE.rglob("*.py")
        if re.search(r"^@(\w*kernel|inlined|intrinsic)\b", source.read_text("utf-8"), re.MULTILINE)
    ]
    assert "search/kernels/pool.py" in sources
    assert any(source.startswith("backends/") for source in sources)
    return sorted(sources)


def test_every_kernel_source_changes_the_folder(where: Where, package: Path) -> None:
    """A kernel survives a change of a helper in another file, unless the folder is another one."""
    folders = {where()}
    for source in [*kernel_sources(), "core/kernels/jit.py"]:
        path = package / source
        original = path.read_bytes()
        path.write_bytes(original + b"\n# changed\n")
        changed = where()
        assert changed not in folders, source
        folders.add(changed)
        path.write_bytes(original)
        assert where() in folders
    (package / "core" / "kernels" / "new.py").write_text("")
    assert where() not in folders


def test_a_renamed_kernel_source_changes_the_folder(where: Where, package: Path) -> None:
    before = where()
    (package / "search" / "kernels" / "pool.py").rename(package / "search" / "kernels" / "pond.py")
    assert where() != before


def test_other_sources_do_not_change_the_folder(where: Where, package: Path) -> None:
    before = where()
    (package / "solve.py").write_text("# changed\n")
    (package / "cli" / "__init__.py").unlink()
    assert where() == before


def test_a_copy_elsewhere_shares_the_folder(where: Where, package: Path) -> None:
    """What counts are the sources: two checkouts of one version share their kernels."""
    of_copy = where()
    jit._PACKAGE = PACKAGE
    assert where() == of_copy


def test_the_folder_is_in_the_home_folder_by_default(where: Where, tmp_path: Path) -> None:
    folder = where()
    assert folder.is_dir()
    assert folder.parent == tmp_path / "home" / ".cache" / "qubo-prune"
    assert not list(folder.iterdir())


@pytest.mark.parametrize("setting", ["XDG_CACHE_HOME", "NUMBA_CACHE_DIR"])
def test_the_folder_follows_the_environment(
    where: Where, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, setting: str
) -> None:
    root = tmp_path / "elsewhere" / "deeper"
    if setting == "NUMBA_CACHE_DIR":
        monkeypatch.setattr(numba.config, "CACHE_DIR", str(root))
        monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "not here"))
    else:
        monkeypatch.setenv("XDG_CACHE_HOME", str(root))
    folder = where()
    assert folder.is_dir()
    assert folder.parent == root / "qubo-prune"
    assert not (tmp_path / "not here").exists()


def test_the_next_place_is_taken_if_one_is_not_a_folder(
    where: Where, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("in the way")
    monkeypatch.setattr(numba.config, "CACHE_DIR", str(blocked))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert where().parent == tmp_path / "xdg" / "qubo-prune"
    assert blocked.read_text() == "in the way"


def test_the_next_place_is_taken_if_one_cannot_be_written(
    where: Where, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Permissions do not stop root, who runs many test machines; so the attempt to write fails here
    for anybody.
    """
    read_only = tmp_path / "read-only"
    monkeypatch.setattr(numba.config, "CACHE_DIR", str(read_only))
    make = jit.tempfile.TemporaryFile

    def refuse(*args: object, dir: Path, **kwargs: object) -> object:  # noqa: A002
        if read_only in Path(dir).parents:
            raise PermissionError(13, "Permission denied")
        return make(dir=dir)

    monkeypatch.setattr(jit.tempfile, "TemporaryFile", refuse)
    assert where().parent == tmp_path / "home" / ".cache" / "qubo-prune"


def test_a_temporary_folder_is_the_last_resort(
    where: Where, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("in the way")
    monkeypatch.setattr(numba.config, "CACHE_DIR", str(blocked))
    monkeypatch.setenv("XDG_CACHE_HOME", str(blocked))
    monkeypatch.setattr(jit.tempfile, "tempdir", str(tmp_path))

    def homeless() -> Path:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.setattr(Path, "home", homeless)
    folder = where()
    assert folder.parent == tmp_path
    assert folder.is_dir()


def test_compiling_leaves_the_setting_of_numba_alone(
    where: Where, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    as_it_was = str(tmp_path / "as it was")
    monkeypatch.setattr(numba.config, "CACHE_DIR", as_it_was)
    folder = where()

    @jit.kernel
    def twice(x: float) -> float:
        return 2.0 * x

    assert str(numba.config.CACHE_DIR) == as_it_was
    assert Path(twice.stats.cache_path).is_relative_to(folder)  # type: ignore[attr-defined]


SCRIPT = """
import numpy as np
from qubo_prune.core.kernels.jit import on_compile
calls = []
with on_compile(calls.append):
    from qubo_prune.core.kernels.energy import energies
    value = energies(np.eye(2), np.ones(2), np.ones((1, 2), bool), 0.0)
    energies(np.eye(3), np.zeros(3), np.ones((2, 3), bool), 0.0)
print(*calls, value[0])
"""


def run_script(script: str, cache: Path, **variables: str) -> list[str]:
    environment = {
        **{name: value for name, value in os.environ.items() if name != "NUMBA_CACHE_DIR"},
        "PYTHONPATH": str(PACKAGE.parent),
        "XDG_CACHE_HOME": str(cache),
        **variables,
    }
    done = subprocess.run(
        [sys.executable, "-c", script],
        env=environment,
        capture_output=True,
        text=True,
        check=True,
        timeout=120,
    )
    assert not done.stderr
    return done.stdout.split()


def test_the_first_compilation_is_announced_once_and_never_again(tmp_path: Path) -> None:
    assert run_script(SCRIPT, tmp_path) == ["energies", "4.0"]
    (folder,) = (tmp_path / "qubo-prune").iterdir()
    kept = sorted(folder.rglob("*.nbc"))
    assert kept
    assert run_script(SCRIPT, tmp_path) == ["4.0"]
    assert sorted(folder.rglob("*.nbc")) == kept


def test_numba_cache_dir_is_honoured(tmp_path: Path) -> None:
    script = "from qubo_prune.core.kernels.jit import cache_directory; print(cache_directory())"
    (folder,) = run_script(script, tmp_path / "xdg", NUMBA_CACHE_DIR=str(tmp_path / "numba"))
    assert Path(folder).parent == tmp_path / "numba" / "qubo-prune"


def test_nobody_is_called_outside_the_context() -> None:
    calls: list[str] = []
    with jit.on_compile(calls.append):
        pass

    @numba.njit
    def plus_one(x: int) -> int:
        return x + 1

    assert plus_one(1) == 2
    assert not calls


def test_a_second_context_is_called_as_well() -> None:
    calls: list[str] = []

    @numba.njit
    def plus_two(x: float) -> float:
        return x + 2

    with jit.on_compile(lambda _: calls.append("a")):
        plus_two(1)
    with jit.on_compile(lambda _: calls.append("b")):
        plus_two(1)
        assert calls == ["a"]
        plus_two(1.0)
        plus_two(1j)
    assert calls == ["a", "b"]


DAMAGES = {
    "empty": lambda data: b"",
    "short": lambda data: data[:20],
    "half": lambda data: data[: len(data) // 2],
    "flipped at the start": lambda data: flipped(data, 3),
    "flipped in the middle": lambda data: flipped(data, len(data) // 2),
    "flipped at the end": lambda data: flipped(data, len(data) - 1),
    "of somebody else": lambda data: b"no pickle",
}


def flipped(data: bytes, at: int) -> bytes:
    return data[:at] + bytes([data[at] ^ 64]) + data[at + 1 :]


@pytest.fixture
def thrice(where: Where, tmp_path: Path) -> Callable[[], Callable[[float], float]]:
    """Return a function that loads a kernel from its file, as a new process does."""
    source = tmp_path / "thrice.py"
    source.write_text(
        "from qubo_prune.core.kernels.jit import kernel\n\n"
        "@kernel\ndef thrice(x):\n    return 3.0 * x\n"
    )
    where()

    def load() -> Callable[[float], float]:
        spec = importlib.util.spec_from_file_location("thrice", source)
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        found: Callable[[float], float] = module.thrice
        return found

    return load


def hits_of(kernel: Callable[[float], float]) -> int:
    assert kernel(2.0) == 6.0
    return sum(kernel.stats.cache_hits.values())  # type: ignore[attr-defined]


@pytest.mark.parametrize("suffix", ["nbi", "nbc"])
@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_cache_is_made_anew(
    damage: str, suffix: str, thrice: Callable[[], Callable[[float], float]], where: Where
) -> None:
    assert hits_of(thrice()) == 0
    assert hits_of(thrice()) == 1
    [file] = where().rglob(f"*.{suffix}")
    file.write_bytes(DAMAGES[damage](file.read_bytes()))
    with warnings.catch_warnings(action="error"):
        assert hits_of(thrice()) == 0
        assert hits_of(thrice()) == 1


@pytest.mark.parametrize("failing", ["write", "folder", "locator"])
def test_kernels_run_where_they_cannot_be_kept(
    failing: str,
    thrice: Callable[[], Callable[[float], float]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def fail(*_: object, **__: object) -> None:
        if failing == "locator":
            raise RuntimeError("no locator available")
        raise OSError(28, "No space left on device")

    fail.cache_clear = lambda: None  # type: ignore[attr-defined]
    monkeypatch.setattr(jit, "_warned", [])
    target = {
        "write": (jit.IndexDataCacheFile, "_open_for_write"),
        "folder": (jit, "cache_directory"),
        "locator": (jit, "_KernelCache"),
    }[failing]
    monkeypatch.setattr(*target, fail)
    with pytest.warns(RuntimeWarning, match="compiled kernels cannot be kept") as told:
        assert [thrice()(2.0), thrice()(3.0)] == [6.0, 9.0]
    assert len(told) == 1


@pytest.mark.parametrize("threads", ["0", "-1", "-7"])
def test_settings_that_numba_refuses_are_said_in_a_line(threads: str) -> None:
    environment = {**os.environ, "NUMBA_NUM_THREADS": threads}
    command = [sys.executable, "-m", "qubo_prune", "solve", "bytelm-40-block", "--remove", "2"]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1)
    assert "correct NUMBA_NUM_THREADS" in done.stderr
