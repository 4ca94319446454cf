"""Text that is always at hand: the sources of the Python standard library, as bytes."""

from __future__ import annotations

import functools
import hashlib
import platform
import sysconfig
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

LEFT_OUT = frozenset({"site-packages", "test", "tests", "idle_test", "__pycache__"})
"""Folders that hold other people's packages, or tests: half of the bytes and much repetition."""

PARTS = 20
"""Of every 20 files one is for calibration and one is held out; the others are for training."""


@dataclass(frozen=True)
class Corpus:
    """The bytes of three disjoint sets of files, each in the order of their paths."""

    train: NDArray[np.uint8]
    calibration: NDArray[np.uint8]
    held_out: NDArray[np.uint8]
    description: dict[str, Any]


@functools.cache
def load_corpus() -> Corpus:
    """Read the sources of the interpreter that runs this, split by file.

    Another version of Python has other sources: the description says which they were.
    """
    folder = Path(sysconfig.get_path("stdlib"))
    files = sorted(
        path.relative_to(folder).as_posix()
        for path in folder.rglob("*.py")
        if LEFT_OUT.isdisjoint(path.relative_to(folder).parts)
    )
    content = [(folder / name).read_bytes() for name in files]
    digest = hashlib.sha256()
    for name, data in zip(files, content, strict=True):
        digest.update(f"{name}\0{len(data)}\0".encode() + data)

    def join(wanted: range) -> NDArray[np.uint8]:
        chosen = b"".join(data for i, data in enumerate(content) if i % PARTS in wanted)
        return np.frombuffer(chosen, dtype=np.uint8)

    train, calibration, held_out = (
        join(range(PARTS - 2)),
        join(range(PARTS - 2, PARTS - 1)),
        join(range(PARTS - 1, PARTS)),
    )
    description = {
        "source": (
            f"the Python {platform.python_version()} standard library's .py files, without tests"
        ),
        "files": len(files),
        "bytes": {
            "train": len(train),
            "calibration": len(calibration),
            "held_out": len(held_out),
        },
        "split": (
            f"file i of the sorted paths: i mod {PARTS} = {PARTS - 2} for calibration, "
            f"{PARTS - 1} held out, the others for training"
        ),
        "sha256": digest.hexdigest(),
    }
    return Corpus(train, calibration, held_out, description)


def starts(
    text: NDArray[np.uint8], count: int, length: int, seed: int | list[int]
) -> NDArray[np.int64]:
    """Return where `count` windows of a length start: seeded, independent, so they may overlap."""
    return np.random.default_rng(seed).integers(0, len(text) - length + 1, size=count)


def windows(
    text: NDArray[np.uint8], count: int, length: int, seed: int | list[int]
) -> NDArray[np.int64]:
    """Return those windows, ``(count, length)`` token ids."""
    places = starts(text, count, length, seed)
    return text[places[:, np.newaxis] + np.arange(length)].astype(np.int64)
