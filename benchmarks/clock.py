"""A clock that the load of the machine does not matter to."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from unittest import mock


@contextmanager
def processor_clock() -> Iterator[None]:
    """Let limits and times be processor seconds of this process while the context lasts."""
    with (
        mock.patch.object(time, "monotonic", time.process_time),
        mock.patch.object(time, "perf_counter", time.process_time),
    ):
        yield
