"""What is known of the blocks of a model: names, kinds, parameters; from a Hessian on the page, if
one is.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from qubo_prune.core.text import format_blocks, plural, printable

if TYPE_CHECKING:
    from qubo_prune.hessians.diagnostics import Diagnosis

__all__ = ["Blocks"]


@dataclass(frozen=True)
class Blocks:
    """The blocks of a model.

    Attributes
    ----------
    names : tuple of str
        Of each block.
    kinds : tuple of str or None
        Of each block.
    counts : tuple of int or None
        Parameters of each block.

    Examples
    --------
    >>> blocks = Blocks(("a", "b", "c"), counts=(1, 2, 1))
    >>> blocks.told([0, 2])
    '0, 2 (a, c)'
    >>> blocks.parameters([1]), blocks.share([1])
    (2, 0.5)
    """

    names: tuple[str, ...]
    kinds: tuple[str, ...] | None = None
    counts: tuple[int, ...] | None = None

    @classmethod
    def of(cls, diagnosis: Diagnosis) -> Blocks:
        """Return those of a Hessian."""
        counts = diagnosis.file.metadata.get("parameter_counts")
        return cls(diagnosis.names, diagnosis.file.kinds, None if counts is None else tuple(counts))

    def known_from(self, hessian: Diagnosis | None) -> Blocks:
        """Return these blocks with what their Hessian, if it is known, says of them."""
        if hessian is None:
            return self
        found = Blocks.of(hessian)
        return Blocks(self.names, self.kinds or found.kinds, self.counts or found.counts)

    def __len__(self) -> int:
        return len(self.names)

    @property
    def has_names(self) -> bool:
        """Whether the names say more than the numbers, as ``layers.3`` does not."""
        prefixes = {name.removesuffix(str(block)) for block, name in enumerate(self.names)}
        return len(prefixes) > 1 or prefixes == set(self.names)

    def named(self, removed: Sequence[int]) -> str:
        """Return the names of some blocks."""
        return printable(", ".join(self.names[block] for block in removed))

    def told(self, removed: Sequence[int]) -> str:
        """Return the numbers of some blocks, and their names if these say more."""
        if not removed:
            return "nothing"
        names = f" ({self.named(removed)})" if self.has_names else ""
        return f"{format_blocks(removed)}{names}"

    def parameters(self, removed: Sequence[int]) -> int | None:
        """Return how many parameters some blocks have, if that is known."""
        return None if self.counts is None else sum(self.counts[block] for block in removed)

    def share(self, removed: Sequence[int]) -> float | None:
        """Return which share of the parameters of all blocks they are, if that is known."""
        count = self.parameters(removed)
        if count is None or self.counts is None or not sum(self.counts):
            return None
        return count / sum(self.counts)

    def hint(self, removed: Sequence[int]) -> str:
        """Return what a pointer that rests on a removal is told of it, a line each."""
        lines = [f"removes {plural(len(removed), 'block')}: {format_blocks(removed) or 'none'}"]
        if self.has_names and removed:
            lines.append(self.named(removed))
        count, share = self.parameters(removed), self.share(removed)
        if count is not None and share is not None:
            lines.append(f"{count:,} parameters, {share:.1%} of those of all blocks")
        return "\n".join(lines)
