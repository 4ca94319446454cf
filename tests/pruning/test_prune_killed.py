"""`prune` killed for good at random moments: there is always a whole folder, old or new."""

from __future__ import annotations

import contextlib
import os
import signal
import time
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")

from qubo_prune.pruning.pruner import prune  # noqa: E402
from tests.pruning.test_prune import deep  # noqa: E402

MOMENTS = 20
REMOVALS: list[dict[str, Any]] = [
    {"removal": [1], "lists": True},
    {"removal": ["layers.2.attention", "layers.0.mlp"], "branches": "module"},
]
"""Two ways to fill the same folder, in turn."""


def files(folder: Path) -> dict[str, bytes]:
    paths = (path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in paths}


def started(model: Any, out: Path, options: dict[str, Any]) -> int:
    """Begin to prune in another process and return its id."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # forking beside threads, of which the child uses none
        child = os.fork()
    if child:
        return child
    with contextlib.suppress(BaseException):
        torch.set_num_threads(1)
        prune(model, out=out, **options)
        os._exit(0)
    os._exit(1)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="kills a forked process")
def test_killed_at_random_moments_a_whole_folder_is_there(tmp_path: Path) -> None:
    model, out = deep("llama"), tmp_path / "out"
    wanted, seconds = [], 0.0
    for options in REMOVALS:
        begin = time.monotonic()
        assert os.waitpid(started(model, out, options), 0)[1] == 0
        seconds = time.monotonic() - begin
        wanted.append(files(out))
    assert {"removal/mergekit.yml", "prune.json"} <= wanted[0].keys()
    assert {"modeling_pruned.py", "prune.json"} <= wanted[1].keys()
    ends = set()
    for number, moment in enumerate(np.random.default_rng(0).random(MOMENTS)):
        child = started(model, out, REMOVALS[number % 2])
        time.sleep(1.2 * seconds * moment)
        with contextlib.suppress(ProcessLookupError):
            os.kill(child, signal.SIGKILL)
        ends.add(os.WIFSIGNALED(os.waitpid(child, 0)[1]))
        place = out if out.exists() else tmp_path / ".out.old"  # between two renames
        assert files(place) in wanted, number
    assert True in ends  # some were killed
    prune(model, out=out, **REMOVALS[0])  # what a killed run left does not matter
    assert files(out) == wanted[0]
    assert [path.name for path in tmp_path.iterdir()] == ["out"]
