"""The way through CuPy, with one that is not there; and a GPU where there is one."""

from __future__ import annotations

import importlib.machinery
import importlib.util
import sys
import threading
import weakref
from collections.abc import Callable, Sequence
from types import ModuleType, SimpleNamespace
from typing import Any
from unittest import mock

import numpy as np
import pytest
from numpy.typing import NDArray

from qubo_prune import BackendUnavailableError, InputError, Problem, plan
from qubo_prune.backends.enumeration import assembly
from qubo_prune.backends.enumeration.backend import Enumeration
from qubo_prune.backends.enumeration.cuda import device_engine as engine_module
from qubo_prune.backends.enumeration.cuda import gpu as gpu_module
from qubo_prune.backends.enumeration.cuda.device_engine import CAPACITY, DeviceEngine
from qubo_prune.backends.enumeration.cuda.gpu import Gpu
from qubo_prune.backends.enumeration.cuda.host import Host
from qubo_prune.backends.enumeration.cuda.source import source
from qubo_prune.backends.enumeration.cuda.tables import WARP, warp_bytes
from qubo_prune.backends.enumeration.engine import Batch, Engine, Job
from tests.backends.enumeration.cuda.common import (
    BLOCK,
    assert_same,
    enumerate_all,
    make_engine,
    needs_compiler,
    new_shared,
)


def has_gpu() -> bool:
    if importlib.util.find_spec("cupy") is None:
        return False
    import cupy

    return bool(cupy.cuda.is_available())


class FakeArray:
    """An array in the memory of a fake GPU; only good while that is the current one."""

    def __init__(self, gpu: FakeCupy, array: NDArray[Any]) -> None:
        self.gpu, self.array, self.device = gpu, array, gpu.check()

    def __getitem__(self, key: slice) -> FakeArray:
        return FakeArray(self.gpu, self.array[key])

    def get(self) -> NDArray[Any]:
        assert self.gpu.check() == self.device
        return self.array.copy()


class FakeStream:
    """Does what it was given when it is waited for, and no sooner."""

    def __init__(self, gpu: FakeCupy, non_blocking: bool) -> None:
        assert non_blocking
        self.gpu, self.device = gpu, gpu.check()
        self.todo: list[Callable[[], None]] = []

    def __enter__(self) -> None:
        assert self.gpu.check() == self.device
        self.gpu.current.stream = self

    def __exit__(self, *_: object) -> None:
        self.gpu.current.stream = None

    def synchronize(self) -> None:
        assert self.gpu.check() == self.device
        for each in self.todo:
            each()
        self.todo.clear()


class FakeCupy(ModuleType):
    """What `Gpu` uses of CuPy, with the kernel run by the processor; the current device belongs to
    a thread, as in CUDA.
    """

    def __init__(self, count: int) -> None:
        super().__init__("cupy")
        self.__spec__ = importlib.machinery.ModuleSpec("cupy", None)
        self.current = threading.local()
        self.launches: list[int] = []
        self.cuda = SimpleNamespace(
            Device=self.device,
            Stream=lambda non_blocking: FakeStream(self, non_blocking),
            is_available=lambda: count > 0,
            runtime=SimpleNamespace(getDeviceCount=lambda: count),
        )

    def check(self) -> int:
        number: int = self.current.number
        return number

    def device(self, number: int) -> Any:
        gpu = self

        class Device:
            attributes = {"MultiProcessorCount": 132}  # noqa: RUF012

            def __enter__(self) -> None:
                gpu.current.number = number

            def __exit__(self, *_: object) -> None:
                del gpu.current.number

        return Device()

    def asarray(self, array: NDArray[Any], order: str, blocking: bool) -> FakeArray:
        assert (order, blocking) == ("C", True)
        return FakeArray(self, np.array(array))

    def empty(self, size: int, dtype: Any) -> FakeArray:
        return FakeArray(self, np.empty(size, dtype))

    def RawModule(self, code: str, options: tuple[str, ...]) -> Any:  # noqa: N802
        assert code == source()
        assert options == ("-std=c++14",)
        self.check()
        return SimpleNamespace(get_function=self.get_function)

    def get_function(self, name: str) -> Any:
        assert name == "screen"

        def launch(
            grid: tuple[int], block: tuple[int], arguments: tuple[Any, ...], *, shared_mem: int
        ) -> None:
            number = self.check()
            self.launches.append(number)
            arrays = [each for each in arguments if isinstance(each, FakeArray)]
            assert all(each.device == number for each in arrays)
            assert {type(each) for each in arguments} == {FakeArray, np.int64}
            assert grid == (5 * 132,)
            warps = block[0] // WARP
            assert 1 <= warps <= 4
            assert shared_mem % warps == 0
            assert shared_mem <= 48 * 1024
            max_picks = (shared_mem // warps - warp_bytes(0)) // (4 * WARP)
            assert arguments[11] == max_picks
            # CuPy does not keep what a kernel uses, and neither does this.
            known = [
                weakref.ref(each) if isinstance(each, FakeArray) else lambda each=each: each
                for each in arguments
            ]
            stream = self.current.stream
            assert not stream.todo

            def run() -> None:
                plain = [
                    each.array if isinstance(each := get(), FakeArray) else each for get in known
                ]
                assert all(each is not None for each in plain)
                Host().start(plain, max_picks)()

            stream.todo.append(run)

        return launch


@needs_compiler
def test_the_way_through_cupy(monkeypatch: pytest.MonkeyPatch) -> None:
    cupy = FakeCupy(1)
    monkeypatch.setitem(sys.modules, "cupy", cupy)
    problem = Problem.load("bytelm-40-block", remove=6)
    found = enumerate_all(problem, executor="cuda")
    assert_same(found, enumerate_all(problem))
    assert set(cupy.launches) == {0}


@needs_compiler
@pytest.mark.parametrize(("devices", "expected"), [(None, 1), (1, 1), (8, 8)])
def test_a_plan_measures_the_gpus(
    devices: int | None, expected: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    cupy = FakeCupy(1)
    monkeypatch.setitem(sys.modules, "cupy", cupy)
    found = plan(Problem.load("bytelm-40-block", remove=6), devices, executor="cuda")
    assert cupy.launches
    assert found.measured
    assert found.rate > 1e5
    assert found.devices == expected
    assert found.task_states == 1 << 36


@needs_compiler
def test_an_engine_on_the_second_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    cupy = FakeCupy(2)
    monkeypatch.setitem(sys.modules, "cupy", cupy)
    engine = make_engine(BLOCK, 20, 10**6, None, device=Gpu(1))
    engine.run(Batch(0, 3, 1e9), engine.new_workspace(), new_shared(0.0))
    assert set(cupy.launches) == {1}


def test_several_gpus_get_a_process_each(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "cupy", FakeCupy(3))
    started: list[Any] = []

    def start(engine: Engine, devices: Sequence[Any]) -> Any:
        started.append((engine, devices))
        return engine_module  # nothing is called on it

    monkeypatch.setattr("qubo_prune.backends.enumeration.executors.processes.Processes", start)
    for devices, expected in ((None, [0, 1, 2]), (2, [0, 1])):
        backend = Enumeration(executor="cuda", devices=devices)
        found = assembly.find_devices(backend)
        engine = assembly.make_engine(backend, Job(BLOCK, 20, 10**6), found)
        assert type(engine) is DeviceEngine
        assembly.start_workers(backend, engine, found)
        assert started[-1] == (engine, expected)


@pytest.mark.parametrize(
    ("cupy", "message"),
    [
        (
            None,
            r"needs CuPy, which is not installed; install it with: pip install 'qubo-prune\[cud",
        ),
        (FakeCupy(0), "needs an NVIDIA GPU with its driver, and CUDA shows none"),
    ],
)
def test_without_a_gpu(
    cupy: ModuleType | None, message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "cupy", cupy)  # type: ignore[arg-type]
    monkeypatch.setattr(gpu_module.importlib.util, "find_spec", lambda name: cupy)
    with pytest.raises(BackendUnavailableError, match=message):
        enumerate_all(BLOCK, executor="cuda")


def test_cupy_that_cannot_be_loaded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "cupy", None)  # type: ignore[arg-type]
    monkeypatch.setattr(gpu_module.importlib.util, "find_spec", lambda name: "found")
    with pytest.raises(BackendUnavailableError, match="CuPy, which cannot be loaded"):
        enumerate_all(BLOCK, executor="cuda")


def test_more_gpus_than_there_are(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "cupy", FakeCupy(2))
    with pytest.raises(InputError, match="devices must be at most 2, the number of GPUs here"):
        enumerate_all(BLOCK, executor="cuda", devices=3)


@pytest.mark.skipif(not has_gpu(), reason="there is no GPU")
@pytest.mark.parametrize(
    "problem",
    [
        BLOCK,
        Problem.load("bytelm-40-branch", remove={"attention": 3, "mlp": 3}, keep=[2, 7]),
        Problem(np.tril(np.arange(900).reshape(30, 30) % 5 - 2.0) * np.eye(30), 11),
    ],
)
def test_a_gpu_gives_the_same(problem: Problem) -> None:
    for capacity in (CAPACITY, 1000):
        with mock.patch.object(engine_module, "CAPACITY", capacity):
            found = enumerate_all(problem, 200, executor="cuda", devices=1, task_states=10**7)
            assert_same(found, enumerate_all(problem, 200))
