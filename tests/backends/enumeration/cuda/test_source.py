"""What the compilers say of the source."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from qubo_prune import BackendUnavailableError
from qubo_prune.backends.enumeration.cuda.device import MAX_PICKS
from qubo_prune.backends.enumeration.cuda.host import Host
from qubo_prune.backends.enumeration.cuda.source import source
from qubo_prune.backends.enumeration.cuda.tables import warp_bytes
from tests.backends.enumeration.cuda.common import needs_compiler


@pytest.mark.skipif(shutil.which("nvcc") is None, reason="there is no CUDA compiler")
@pytest.mark.parametrize("architecture", ["sm_80", "sm_90"])
def test_the_cuda_compiler_takes_it(architecture: str, tmp_path: Path) -> None:
    (tmp_path / "kernel.cu").write_text(source())
    command = ["nvcc", f"-arch={architecture}", "-cubin", "-Werror=all-warnings", "-Xptxas=-v"]
    command += ["-o", "kernel.cubin", "kernel.cu"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "0 bytes spill stores" in done.stderr


def test_what_a_warp_needs_fits_every_gpu() -> None:
    assert warp_bytes(MAX_PICKS) <= 48 * 1024 < warp_bytes(MAX_PICKS + 1)


def test_without_a_compiler(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CXX", "no-such-compiler")
    with pytest.raises(BackendUnavailableError, match="devices='host' needs a C\\+\\+ compiler"):
        Host("-DNEVER_COMPILED_BEFORE")


@needs_compiler
def test_a_compiler_that_fails() -> None:
    with pytest.raises(BackendUnavailableError, match="cannot compile the kernel"):
        Host("-std=no-such-standard")
