"""The result of the loop, for files, terminals and notebooks."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from qubo_prune.pruning.selection_data import Candidate, SelectionData

if TYPE_CHECKING:
    from rich.table import Table

__all__ = ["Candidate", "Selection"]


@dataclass(frozen=True, eq=False, kw_only=True, repr=False)
class Selection(SelectionData):
    """Removals that were measured, best first, and how sure the order is.

    Parameters
    ----------
    removals : tuple of Candidate
        Best first by the samples of the choice; diverged ones last.
    objective : str
        What was measured: ``loss``, ``kl`` or a name of your own.
    baseline : float, optional
        The loss of the whole model on the samples of the choice, where that makes sense.
    held_out_baseline : float, optional
        The same on the held-out samples.
    num_evaluations : int
        How many measurements the choice took, singles included.
    num_held_out : int
        How many removals were measured on the held-out samples, for the report only.
    remove : int, dict or None
        What was asked for; None for any number of blocks that reaches the budget.
    names : tuple of str
        Name of each of the N blocks.
    singles : dict
        What removing single blocks did, by block index; inf where it diverged.
    samples : dict
        The samples of the choice and the held-out ones, described.
    hessian_sha256, model_fingerprint : str, optional
        Checksums of the Hessian and of the model.
    seed : int
        Of the loop.
    seconds : float
        How long this run took; what it took from a file of measurements was free.
    stop_reason : StopReason
        Why it ended.
    parameter_counts : tuple of int, optional
        Number of parameters of each block.
    at_least, weights : optional
        Those of the problem, where it has a budget.
    weights_of : str, optional
        What the weights are, as ``kv-cache``, or the file that they come from.

    Examples
    --------
    >>> from qubo_prune.pruning import Measurement
    >>> measured = [
    ...     Measurement.of([1, 2], [0.5, 0.7, 0.6]), Measurement.of([0, 2], [0.5, 0.8, 0.7])
    ... ]
    >>> selection = Selection(
    ...     removals=tuple(
    ...         Candidate.compared(each, measured[0], proposed_by="surrogate") for each in measured
    ...     ),
    ...     objective="loss", baseline=2.5, num_evaluations=7, remove=2, names=("a", "b", "c"),
    ... )
    >>> selection.best.removed, [each.tied_with_best for each in selection]
    ((1, 2), [True, True])
    >>> print(selection)
    remove b, c: loss 0.6 ± 0.058; 1 other cannot be told apart; 7 measurements
    """

    def to_dict(self) -> dict[str, Any]:
        """Return the object that `save` writes as JSON, in plain Python types.

        Infinite values are the string "Infinity", which strict JSON has no number for.
        """
        from qubo_prune.pruning.selection_files import to_dict

        return to_dict(self)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the selection to a ``.json`` file, completely or not at all.

        Parameters
        ----------
        path : str or path
            An existing file is replaced.

        Raises
        ------
        InputError
            If the suffix is another one or the file cannot be written.
        """
        from qubo_prune.pruning.selection_files import save

        save(self, path)

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Selection:
        """Read what `save` wrote, equal to the last bit; everything in the file is checked.

        Parameters
        ----------
        path : str or path
            A ``.json`` file; ``--json`` output of the command line is such JSON.

        Raises
        ------
        InputError
            If the file cannot be read, is damaged or contradicts itself.
        """
        from qubo_prune.pruning.selection_files import load

        return load(path, cls)

    def to_table(self, max_rows: int = 10, *, names: bool = False) -> Table:
        """Return a rich table of the best `max_rows` removals, for the terminal.

        With `names`, removed blocks are shown by name instead of by index.
        """
        from qubo_prune.pruning.selection_tables import terminal_table

        return terminal_table(self, max_rows, names)

    def to_csv(self) -> str:
        """Return all removals as comma-separated values, a line each, with all digits."""
        from qubo_prune.pruning.selection_tables import selection_csv

        return selection_csv(self)

    def summary(self) -> str:
        """Return one line: the best removal, its value with error, and what is tied with it."""
        from qubo_prune.pruning.selection_tables import summary

        return summary(self)

    def _repr_html_(self) -> str:
        from qubo_prune.pruning.selection_tables import notebook_table

        return notebook_table(self, max_rows=10)

    def __str__(self) -> str:
        return self.summary()

    def __repr__(self) -> str:
        return f"<Selection: {self}>"
