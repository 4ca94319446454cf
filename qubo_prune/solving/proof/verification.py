"""What checking a certificate came to: named checks, and what is left to be believed."""

from __future__ import annotations

import enum
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from qubo_prune.core.errors import SpectrumError
from qubo_prune.core.stopping import StopReason


class Outcome(enum.Enum):
    """What came out of one check."""

    PASSED = "passed"
    FAILED = "failed"
    NOT_POSSIBLE = "not possible"


@dataclass(frozen=True)
class CheckResult:
    """One check of a certificate.

    Attributes
    ----------
    name : str
        What was checked, in a word.
    outcome : Outcome
        How it ended.
    sentence : str
        What was found.
    """

    name: str
    outcome: Outcome
    sentence: str


@dataclass(frozen=True)
class Verification:
    """What became of the claims of a certificate.

    Attributes
    ----------
    checks : tuple of CheckResult
        In the order in which they were made.
    stop_reason : StopReason
        Why it ended; anything but COMPLETED means that the independent solution was cut short.
    recomputed : str
        What is known without trusting the certificate.
    claimed : str
        What only the certificate says.
    num_proven : int
        How many of the listed states it says to be proven. With 0, nothing but the list itself
        could be checked.
    only_claimed : tuple of str
        The fields of the file that nothing but the file speaks for, such as ``spectrum.backend``;
        empty if a check failed, for then nothing in it is to be believed.
    """

    checks: tuple[CheckResult, ...]
    stop_reason: StopReason
    recomputed: str
    claimed: str
    num_proven: int
    only_claimed: tuple[str, ...] = ()

    @property
    def passed(self) -> bool:
        """Whether no check failed."""
        return not self.failed

    @property
    def failed(self) -> tuple[CheckResult, ...]:
        """The checks that failed."""
        return tuple(check for check in self.checks if check.outcome is Outcome.FAILED)

    @property
    def complete(self) -> bool:
        """Whether both exact engines found the states that are said to be proven, and the bounds,
        anew; never if no state is.
        """
        return (
            self.passed
            and self.num_proven > 0
            and any(
                check.name == "completeness" and check.outcome is Outcome.PASSED
                for check in self.checks
            )
        )

    def to_dict(self) -> dict[str, Any]:
        """Return the report in plain Python types."""
        return {
            "passed": self.passed,
            "complete": self.complete,
            "num_proven": self.num_proven,
            "stop_reason": self.stop_reason.value,
            "checks": [
                {"name": check.name, "outcome": check.outcome.value, "sentence": check.sentence}
                for check in self.checks
            ],
            "recomputed": self.recomputed,
            "claimed": self.claimed,
            "only_claimed": list(self.only_claimed),
        }


class Report:
    """Collects the results of checks."""

    def __init__(self, num_proven: int) -> None:
        self.num_proven = num_proven
        self.checks: list[CheckResult] = []
        self.stop_reason = StopReason.COMPLETED

    @property
    def passed(self) -> bool:
        """Whether nothing failed so far."""
        return all(check.outcome is not Outcome.FAILED for check in self.checks)

    def check(self, name: str, run: Callable[[], None], sentence: str | Callable[[], str]) -> bool:
        """Run a check that raises `SpectrumError` if it fails."""
        try:
            run()
        except SpectrumError as error:
            self.add(name, Outcome.FAILED, str(error))
            return False
        self.add(name, Outcome.PASSED, sentence if isinstance(sentence, str) else sentence())
        return True

    def skip(self, name: str, reason: str) -> None:
        """Say why a check is not possible."""
        self.add(name, Outcome.NOT_POSSIBLE, reason)

    def add(self, name: str, outcome: Outcome, sentence: str) -> None:
        """Add a result."""
        self.checks.append(CheckResult(name, outcome, sentence.rstrip(".")))

    def close(
        self, recomputed: str, claimed: str, only_claimed: tuple[str, ...] = ()
    ) -> Verification:
        """Return the report."""
        return Verification(
            tuple(self.checks),
            self.stop_reason,
            recomputed,
            claimed,
            self.num_proven,
            only_claimed,
        )


def failure(name: str, error: Exception, num_proven: int = 0) -> Verification:
    """Return the verification of a file that failed before there was a problem to hold it against.

    Parameters
    ----------
    name : str
        The check that failed; with ``format`` the file is no certificate.
    error : Exception
        Why, in a sentence.
    num_proven : int
        As of `Verification`.
    """
    report = Report(num_proven)
    if name != "format":
        report.add("format", Outcome.PASSED, "the file is a certificate")
    report.add(name, Outcome.FAILED, str(error))
    return report.close("nothing", "everything")
