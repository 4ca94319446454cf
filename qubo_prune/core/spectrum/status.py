"""What a status and a stop reason mean, in words."""

from __future__ import annotations

import enum

from qubo_prune.core.stopping import StopReason


class Status(enum.Enum):
    """What is proven about a spectrum; `advice` says what to do next."""

    PROVEN = "proven"
    PARTIAL = "partial"
    HEURISTIC = "heuristic"

    @property
    def advice(self) -> str:
        """What the status means and what to do next."""
        return _ADVICE[self]


_ADVICE = {
    Status.PROVEN: (
        "Every state listed is proven to be among the lowest, and none between them is missing; "
        "pick any of them."
    ),
    Status.PARTIAL: (
        "The states marked as proven are the lowest, the others are the best found; "
        "give more time or ask for fewer states to prove them all."
    ),
    Status.HEURISTIC: (
        "The states are the best that a heuristic found, and lower ones may exist; "
        "solve with branch-and-bound for a proof."
    ),
}

REASONS = {
    StopReason.COMPLETED: "The run completed.",
    StopReason.TIME_LIMIT: "The run stopped at its time limit.",
    StopReason.EVALUATION_LIMIT: "The run stopped at its limit of evaluated states.",
    StopReason.INTERRUPTED: "The run was interrupted.",
}
