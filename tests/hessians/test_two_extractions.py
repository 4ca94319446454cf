"""Two extractions to one file, and one whose unfinished rows cannot be written."""

from __future__ import annotations

import subprocess
import sys
import warnings
from pathlib import Path
from typing import Any

import pytest

from qubo_prune import InputError, load_hessian
from qubo_prune.core.files.lock import locked
from qubo_prune.hessians import load_calibration, unfinished_rows

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")

from qubo_prune.hessians.extraction import extract  # noqa: E402


def model() -> Any:
    torch.manual_seed(0)
    config = transformers.GPT2Config(
        vocab_size=50, n_embd=16, n_layer=3, n_head=2, bos_token_id=0, eos_token_id=0
    )
    return transformers.GPT2LMHeadModel(config)


@pytest.fixture
def calibration(tmp_path: Path) -> Any:
    path = tmp_path / "tokens.jsonl"
    path.write_text("".join(f"{[i, i + 3, i + 1, i + 2]}\n" for i in range(8)))
    return load_calibration(path)


HOLD = """
import sys, time
from pathlib import Path
from qubo_prune.core.files.lock import locked
with locked(Path(sys.argv[1]), "busy"):
    print("held", flush=True)
    time.sleep(60)
"""


def test_a_second_extraction_to_the_same_file_is_refused(tmp_path: Path, calibration: Any) -> None:
    out, lock = tmp_path / "h.npy", tmp_path / "h.partial.lock"
    command = [sys.executable, "-c", HOLD, str(lock)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "held\n"
        with pytest.raises(InputError, match=r"another process is extracting to .*h\.npy, as its"):
            extract(model(), calibration, out)
        other.kill()
    assert lock.exists()
    assert extract(model(), calibration, out).complete, "a lock ends with its process"
    assert not lock.exists()


def test_another_file_is_free(tmp_path: Path, calibration: Any) -> None:
    with locked(tmp_path / "other.partial.lock", "extracting"):
        assert extract(model(), calibration, tmp_path / "h.npy").complete


def test_a_lock_is_held_once(tmp_path: Path) -> None:
    path = tmp_path / "a.lock"
    for _ in range(3):
        with (
            locked(path, "busy"),
            pytest.raises(InputError, match="another process is busy"),
            locked(path, "busy"),
        ):
            pass
        assert not path.exists()
    with pytest.raises(InputError, match="cannot be written"), locked(tmp_path / "no/a", "busy"):
        pass


def test_what_came_in_the_meantime_is_not_replaced(
    tmp_path: Path, calibration: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "h.npy"
    checked = []

    def appears(path: Path) -> Path:
        checked.append(path)
        if len(checked) == 2:
            raise InputError("exists")
        return path

    monkeypatch.setattr("qubo_prune.hessians.extraction.require_new_file", appears)
    with pytest.raises(InputError, match="exists"):
        extract(model(), calibration, out)


def test_a_full_disk_ends_no_extraction(
    tmp_path: Path, calibration: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    extract(model(), calibration, tmp_path / "plain.npy", batch_size=2)

    def full(*_: Any) -> None:
        raise InputError("h.partial.npz cannot be written (No space left on device).")

    monkeypatch.setattr(unfinished_rows, "INTERVAL_SECONDS", 0.0)
    monkeypatch.setattr(unfinished_rows, "write_atomically", full)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        assert extract(model(), calibration, tmp_path / "h.npy", batch_size=2).complete
    said = [str(each.message) for each in caught if "not kept" in str(each.message)]
    assert said == [
        "what is done so far is not kept: h.partial.npz cannot be written (No space left on"
        " device)."
    ]
    assert load_hessian(tmp_path / "h.npy").sha256 == load_hessian(tmp_path / "plain.npy").sha256
