"""Tasks that go together, with their settings."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from qubo_prune.core.errors import InputError

__all__ = ["SUITES", "Suite", "as_tasks", "suite_dtype"]


@dataclass(frozen=True)
class Suite:
    """Tasks of lm-eval with the number of examples that each prompt shows.

    Attributes
    ----------
    shots : dict of str to int
        By task.
    dtype : str
        What models are loaded as.
    """

    shots: Mapping[str, int]
    dtype: str


SUITES = {
    "paper": Suite(
        {
            "hellaswag": 0,
            "winogrande": 0,
            "arc_challenge": 0,
            "mmlu": 0,
            "leaderboard_bbh": 3,
            "gsm8k": 5,
        },
        "bfloat16",
    )
}
"""By name; ``paper`` is what the paper reports (no chat template, which nothing here applies)."""


def as_tasks(names: Sequence[str], shots: int | None = None) -> dict[str, int | None]:
    """Return tasks with their examples, those of suites written out; None for what the task says.

    Parameters
    ----------
    names : sequence of str
        Tasks of lm-eval and suites.
    shots : int, optional
        Examples for every task that is not of a suite.

    Examples
    --------
    >>> as_tasks(["paper", "piqa"])["gsm8k"], as_tasks(["piqa"], 2)
    (5, {'piqa': 2})
    """
    if shots is not None and shots < 0:
        raise InputError(f"shots must be at least 0, not {shots}; give 0 or more.")
    tasks: dict[str, int | None] = {}
    for name in names:
        suite = SUITES.get(name)
        tasks |= {name: shots} if suite is None else dict(suite.shots)
    return tasks


def suite_dtype(names: Sequence[str]) -> str | None:
    """Return the type that a suite among these names loads models as."""
    return next((SUITES[name].dtype for name in names if name in SUITES), None)
