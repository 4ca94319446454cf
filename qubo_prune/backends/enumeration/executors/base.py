"""Who runs the batches: the protocol, and threads of this process."""

from __future__ import annotations

from typing import Protocol

from qubo_prune.backends.enumeration.engine import Batch, Result

Done = tuple[Batch, Result]


class Executor(Protocol):
    """Runs batches somewhere; every batch that is submitted comes back, done or not."""

    def num_workers(self) -> int:
        """Return how many batches run at the same time."""

    def submit(self, batch: Batch, threshold: float) -> None:
        """Queue a batch; `threshold` bounds the energy of the last state wanted from above."""

    def results(self, timeout: float) -> list[Done]:
        """Wait for results, `timeout` seconds at most; a batch that was lost comes back with
        nothing done.

        Raises
        ------
        BackendError
            If batches cannot be run.
        """

    def visited(self) -> int:
        """Return how many states were visited for batches that have not come back, as far as is
        known.
        """

    def stop(self) -> None:
        """Let all batches come back soon, whether done or not."""

    def close(self) -> None:
        """End at once; may be called at any time, once."""
