"""Batches run by processes of this machine, which are replaced when they die."""

from __future__ import annotations

import contextlib
import queue
import subprocess
import sys
import threading
from collections import deque
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from qubo_prune.backends.enumeration.engine import Batch, Engine, Job, nothing_done
from qubo_prune.backends.enumeration.executors import messages as wire
from qubo_prune.backends.enumeration.executors.base import Done
from qubo_prune.core.errors import BackendError
from qubo_prune.search.threads import take

if TYPE_CHECKING:
    from qubo_prune.backends.enumeration.cuda.device import DeviceId

_START = (
    "import sys; sys.path[:] = sys.argv[1:]; "
    "from qubo_prune.backends.enumeration.executors.worker_process import main; main()"
)
_MOST_DEATHS = 5
"""So many workers may die one after the other without any result between them."""


class _Worker:
    """One process, the thread that reads its results and the batches that it has."""

    def __init__(
        self,
        job: bytes,
        results: queue.SimpleQueue[tuple[_Worker, wire.Message | None]],
        device: DeviceId | None,
    ) -> None:
        # Not multiprocessing: it would run the user's script again in each worker. A session of its
        # own keeps a terminal's Ctrl-C away.
        options: dict[str, Any] = {"start_new_session": True}
        if sys.platform == "win32":
            options = {"creationflags": subprocess.CREATE_NEW_PROCESS_GROUP}
        self.process = subprocess.Popen(
            [sys.executable, "-c", _START, *sys.path],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            **options,
        )
        self.batches: deque[Batch] = deque()
        self.device = device
        self._job = job
        self._results = results
        self._ready = threading.Event()
        self._thread = threading.Thread(target=self._read, name="qubo-prune-reader", daemon=True)
        self._thread.start()

    def send(self, header: dict[str, Any]) -> None:
        """Send a message; a dead worker is noticed by whoever reads its results."""
        self._ready.wait()
        with contextlib.suppress(OSError, ValueError):
            wire.send(self._stdin, header)

    def end(self) -> None:
        """Kill the process and wait for it."""
        self.process.kill()
        self.process.wait()
        self._thread.join()
        for stream in (self.process.stdin, self.process.stdout):
            with contextlib.suppress(OSError):
                if stream is not None:
                    stream.close()

    @property
    def _stdin(self) -> Any:
        return self.process.stdin

    def _read(self) -> None:
        try:
            # A large problem does not fit the pipe before the worker reads: the others must not
            # wait for it.
            with contextlib.suppress(OSError):
                wire.send(self._stdin, {"device": self.device}, self._job)
            self._ready.set()
            while (
                self.process.stdout and (message := wire.receive(self.process.stdout)) is not None
            ):
                self._results.put((self, message))
        finally:
            self._ready.set()
            self._results.put((self, None))


class Processes:
    """One process for each of `devices`; None stands for a core."""

    def __init__(self, engine: Engine, devices: Sequence[DeviceId | None]) -> None:
        job = engine.job
        self._num_blocks = job.problem.num_blocks
        # The workers take the tile as it was chosen here, so that they cut the tasks in the same
        # way.
        self._job = wire.encode_job(
            Job(job.problem, job.capacity, job.task_states, engine.layout.tile_size)
        )
        engine.compile()  # once, into the cache on disk, and not by all workers at the same time
        self._results: queue.SimpleQueue[tuple[_Worker, wire.Message | None]] = queue.SimpleQueue()
        self._workers: list[_Worker] = []
        self._deaths = 0
        self._stopping = False
        try:
            for device in devices:
                self._workers.append(_Worker(self._job, self._results, device))
        except OSError as error:
            self.close()
            raise BackendError(f"a worker process cannot be started: {error}.") from error

    def num_workers(self) -> int:
        """See `Executor`."""
        return len(self._workers)

    def submit(self, batch: Batch, threshold: float) -> None:
        """See `Executor`."""
        worker = min(self._workers, key=lambda worker: len(worker.batches))
        worker.batches.append(batch)
        worker.send(wire.encode_batch(batch, threshold))

    def results(self, timeout: float) -> list[Done]:
        """See `Executor`."""
        done: list[Done] = []
        for worker, message in take(self._results, timeout):
            if message is None:
                done += self._replace(worker)
            elif "error" in message[0]:
                raise BackendError(f"a worker process failed: {message[0]['error']}")
            else:
                self._deaths = 0
                done.append(
                    (worker.batches.popleft(), wire.decode_result(message, self._num_blocks))
                )
        return done

    def visited(self) -> int:
        """See `Executor`."""
        return 0

    def stop(self) -> None:
        """See `Executor`."""
        self._stopping = True
        for worker in self._workers:
            worker.send({"end": True})

    def close(self) -> None:
        """See `Executor`."""
        for worker in self._workers:
            worker.end()

    def _replace(self, worker: _Worker) -> list[Done]:
        """Start another worker for one that died; return its batches as not done."""
        worker.end()
        self._workers.remove(worker)
        self._deaths += 1
        if self._deaths > _MOST_DEATHS:
            raise BackendError(
                f"{self._deaths} worker processes died one after the other, the last with exit code"
                f" {worker.process.returncode}; there may not be enough memory for so many."
            )
        if not self._stopping:
            self._workers.append(_Worker(self._job, self._results, worker.device))
        return [(batch, nothing_done(batch)) for batch in worker.batches]
