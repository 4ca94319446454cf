"""Ctrl-C, and a job scheduler's SIGTERM, sent to this process while it solves."""

from __future__ import annotations

import os
import signal
import threading
import time
from types import MethodType

from qubo_prune.core.stopping import Stop


def send_while_it_solves(number: signal.Signals, *, after: float = 0.5) -> threading.Thread:
    """Send this signal so many seconds after a `Stop` began to catch it.

    Sent at a time of the clock, it may come before: pytest's own handler then raises
    KeyboardInterrupt anywhere, in a callback of a weak reference even, where it is lost.
    """

    def send() -> None:
        while not _is_caught(number):
            time.sleep(0.01)
        time.sleep(after)
        os.kill(os.getpid(), number)

    thread = threading.Thread(target=send, daemon=True)
    thread.start()
    return thread


def _is_caught(number: signal.Signals) -> bool:
    handler = signal.getsignal(number)
    return isinstance(handler, MethodType) and isinstance(handler.__self__, Stop)
