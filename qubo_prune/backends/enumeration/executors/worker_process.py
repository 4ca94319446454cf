"""A worker process: reads batches from standard input, writes results to standard output, ends when
its parent does.
"""

from __future__ import annotations

import os
import queue
import signal
import sys
import threading
from typing import IO, TYPE_CHECKING

import numpy as np

from qubo_prune.backends.enumeration.engine import Engine, Job, nothing_done
from qubo_prune.backends.enumeration.executors import messages as wire
from qubo_prune.backends.enumeration.kernels.walk import Shared

if TYPE_CHECKING:
    from qubo_prune.backends.enumeration.cuda.device import DeviceId


def main() -> None:
    """Serve the parent until it closes the pipe, whatever kills it."""
    for each in (signal.SIGINT, signal.SIGTERM):  # for the parent, which says what to do
        signal.signal(each, signal.SIG_IGN)
    source = sys.stdin.buffer
    target = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # whatever a library prints must not get between the messages
    job = wire.receive(source)
    if job is None:
        return
    shared = Shared(np.full(1, np.inf), np.zeros(1, np.bool_))
    batches: queue.SimpleQueue[wire.Message] = queue.SimpleQueue()
    threading.Thread(target=_listen, args=(source, batches, shared), daemon=True).start()
    try:
        engine = _engine(wire.decode_job(job[1]), job[0]["device"])
        if not shared.stop[0]:
            engine.compile()  # not within the time of the first batch
        work = engine.new_workspace()
        while True:
            batch, threshold = wire.decode_batch(batches.get()[0])
            shared.threshold[0] = threshold
            result = nothing_done(batch) if shared.stop[0] else engine.run(batch, work, shared)
            wire.send(target, *wire.encode_result(result))
    except BrokenPipeError:
        return
    except Exception as error:  # noqa: BLE001 - raised again by the parent
        wire.send(target, {"error": f"{type(error).__name__}: {error}"})


def _engine(job: Job, device: DeviceId | None) -> Engine:
    if device is None:
        return Engine(job)
    from qubo_prune.backends.enumeration.cuda.device_engine import DeviceEngine
    from qubo_prune.backends.enumeration.cuda.devices import open_device

    return DeviceEngine(job, open_device(device))


def _listen(source: IO[bytes], batches: queue.SimpleQueue[wire.Message], shared: Shared) -> None:
    while (message := wire.receive(source)) is not None:
        if message[0].get("end"):
            shared.stop[0] = True
        else:
            batches.put(message)
    os._exit(0)  # the parent has gone, and so has the reason to go on
