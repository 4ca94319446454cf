"""Rows that give no sample: one of them is passed over and counted, and ends no run."""

from __future__ import annotations


class UnusableRowError(Exception):
    """A row is not what it should be.

    Parameters
    ----------
    reason : str
        What it is counted under.
    sentence : str
        What is wrong with it and what to do, for when no row is left.
    """

    def __init__(self, reason: str, sentence: str) -> None:
        super().__init__(sentence)
        self.reason = reason


def require_characters(text: str, where: str) -> str:
    r"""Return a text, refused if it holds half a character, which JSON can write and UTF-8 cannot.

    Examples
    --------
    >>> require_characters("whole", "line 1")
    'whole'
    >>> require_characters("half: \ud83d", "line 2")
    Traceback (most recent call last):
        ...
    qubo_prune.hessians.calibration.rows.UnusableRowError: line 2 holds half a character, ...
    """
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise UnusableRowError(
            "half a character",
            f"{where} holds half a character, {text[error.start]!a}, a lone surrogate; write the"
            " file again.",
        ) from error
    return text
