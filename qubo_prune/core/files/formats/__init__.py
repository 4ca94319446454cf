"""Files in which quadratic models are exchanged: the formats by suffix, and reading and writing
one.

Importing this package loads no library; each format imports what it needs when it is used.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from qubo_prune.core.errors import InputError
from qubo_prune.core.text import did_you_mean

if TYPE_CHECKING:
    from qubo_prune.core.files.formats.quadratic_model import Model

__all__ = ["FORMATS", "Format", "format_of", "has_format"]


@dataclass(frozen=True)
class Format:
    """A file format.

    Attributes
    ----------
    name : str
        What `--format` calls it.
    suffixes : tuple of str
        Endings of its files; new ones get the first.
    description : str
        What it is, in a few words.
    holds_counts, holds_offset, holds_labels, holds_budget : bool
        Whether its files tell exact counts, the constant term, the names of the variables, and
        what those that are 1 have to weigh.
    """

    name: str
    suffixes: tuple[str, ...]
    description: str
    module: str
    holds_counts: bool = False
    holds_offset: bool = False
    holds_labels: bool = False
    holds_budget: bool = False

    def read(self, path: Path, data: bytes) -> Model:
        """Return the model in `data`, the contents of `path`; an `InputError` names the line of
        what is wrong.
        """
        reader: Callable[[Path, bytes], Model] = self._function("read")
        return reader(path, data)

    def write(self, stream: IO[bytes], model: Model) -> None:
        """Write a model, leaving out what the format cannot hold."""
        self._function("write")(stream, model)

    def _function(self, verb: str) -> Any:
        module = import_module(f"qubo_prune.core.files.formats.{self.module}")
        return getattr(module, f"{verb}_{self.name.replace('-', '_')}")


FORMATS = (
    Format("coo", (".coo",), "dimod's COO list", "lists"),
    Format("qbsolv", (".qubo",), "qbsolv's list", "lists"),
    Format("biqmac", (".sparse", ".bq"), "Biq Mac's matrix", "lists"),
    Format("rudy", (".rudy", ".mc"), "a graph whose cut is maximised", "lists"),
    Format("matrix-market", (".mtx",), "Matrix Market", "matrix_market"),
    Format("bqm", (".bqm",), "dimod's BQM", "dimod_files", False, True, True),
    Format("cqm", (".cqm",), "dimod's CQM", "dimod_files", True, True, True),
    Format("lp", (".lp",), "LP of CPLEX, Gurobi, SCIP", "lp", True, True, False, True),
)
"""All formats besides ``.npy``."""

_BY_SUFFIX = {suffix: each for each in FORMATS for suffix in each.suffixes}


def has_format(path: Path) -> bool:
    """Whether the suffix of a file is that of a format.

    >>> has_format(Path("a.QUBO")), has_format(Path("a.npy"))
    (True, False)
    """
    return path.suffix.lower() in _BY_SUFFIX


def format_of(path: Path, name: str | None = None) -> Format:
    """Return the format of that name, or else that of the suffix of the file.

    >>> format_of(Path("a.mc")).name, format_of(Path("a.txt"), "qbsolv").name
    ('rudy', 'qbsolv')
    """
    if name is not None:
        for each in FORMATS:
            if each.name == name:
                return each
        raise InputError(
            f"there is no format {name!r}; choose one of:"
            f" {', '.join(each.name for each in FORMATS)}"
            f"{did_you_mean(name, (each.name for each in FORMATS))}"
        )
    if has_format(path):
        return _BY_SUFFIX[path.suffix.lower()]
    raise InputError(
        f"the suffix of {path.name!r} is not that of a known format; use one of"
        f" {', '.join(_BY_SUFFIX)}, or name the format."
    )
