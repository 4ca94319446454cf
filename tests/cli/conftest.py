"""Running the command line in this process."""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import pytest

from qubo_prune.cli.main import main


class Ran(NamedTuple):
    code: int
    out: str
    err: str


Run = Callable[..., Ran]


@pytest.fixture
def dask() -> Iterator[Any]:
    """Dask, of which nothing is left for the next test to stumble on; use it with the mark of
    `tests/backends/enumeration/test_executors.py`.
    """
    yield pytest.importorskip("distributed")
    gc.collect()


@pytest.fixture
def run(capfd: pytest.CaptureFixture[str]) -> Run:
    """Run `qubo-prune` with these arguments; what kernels say when compiled is not part of the
    result.
    """

    def run_main(*arguments: object) -> Ran:
        capfd.readouterr()
        code = main([str(argument) for argument in arguments])
        captured = capfd.readouterr()
        lines = captured.err.splitlines(keepends=True)
        return Ran(code, captured.out, "".join(line for line in lines if "compiling" not in line))

    return run_main
