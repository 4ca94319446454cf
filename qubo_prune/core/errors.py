"""The exceptions this package raises on purpose.

A message is one sentence that names the limit, the value received and the remedy.

Examples
--------
>>> issubclass(InputError, ValueError) and issubclass(InputError, QuboPruneError)
True
"""

from __future__ import annotations

__all__ = [
    "BackendError",
    "BackendUnavailableError",
    "InputError",
    "OutputError",
    "QuboPruneError",
    "SpectrumError",
]


class QuboPruneError(Exception):
    """Base of every error raised on purpose; catch it to catch them all."""


class InputError(QuboPruneError, ValueError):
    """What the user gave cannot be used: a matrix, a count, a file, an option."""


class OutputError(InputError):
    """A file cannot be written where it should be."""


class SpectrumError(QuboPruneError):
    """A spectrum contradicts itself or the problem that it claims to solve."""


class BackendError(QuboPruneError, RuntimeError):
    """A backend crashed or returned something that is not a result."""


class BackendUnavailableError(QuboPruneError, RuntimeError):
    """A backend cannot run here: library not installed, no licence or no device."""
