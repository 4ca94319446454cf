"""Problems in files of other formats: `Problem.load` reads them back."""

from __future__ import annotations

import hashlib
import io
import os
from pathlib import Path
from typing import Any

from numpy.typing import ArrayLike

from qubo_prune.core.errors import InputError
from qubo_prune.core.files.disk import read_file, write_atomically
from qubo_prune.core.files.formats import FORMATS, Format, format_of
from qubo_prune.core.files.kinds import Kind, kind_of, require_replaceable
from qubo_prune.core.files.sidecar import FORMAT_VERSION, REFERENCE_NODE, sidecar_path, sidecar_text
from qubo_prune.core.problem.problem import Problem
from qubo_prune.encodings.objects import to_model
from qubo_prune.encodings.penalty import as_penalties


def write_problem(
    problem: Problem,
    path: str | os.PathLike[str],
    *,
    format: str | None = None,  # noqa: A002
    penalties: ArrayLike | None = None,
) -> None:
    """Write a problem over its free blocks to a file of another format, with a sidecar for what the
    format cannot hold.

    Parameters
    ----------
    problem : Problem
        What to write; fixed blocks are folded into the coefficients and the offset.
    path : str or path
        A file that can be read in the same format is replaced, another is not; the sidecar is
        ``path`` with ``.json`` appended.
    format : str, optional
        Name of the format; by default the suffix tells (see
        `qubo_prune.core.files.formats.FORMATS`).
    penalties : float or (num_groups,) array_like, optional
        Put penalties into the coefficients, for solvers that know no constraint. Without, the
        coefficients are bare: the counts are in the file where it can hold them, and in the
        sidecar.

    Raises
    ------
    InputError
        If the suffix is unknown, nothing is left to choose, or the files cannot be written.

    Examples
    --------
    >>> import tempfile
    >>> problem = Problem.load("bytelm-40-branch", remove=8, keep=[0])
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     write_problem(problem, f"{folder}/problem.lp")
    ...     Problem.load(f"{folder}/problem.lp")
    Problem(num_blocks=79, remove=8, num_states=2.61e10)
    """
    path = Path(path)
    chosen = format_of(path, format)
    if problem.budget is not None and (penalties is not None or not chosen.holds_budget):
        holds = [each.suffixes[0] for each in FORMATS if each.holds_budget]
        what = f"the format {chosen.name}" if penalties is None else "a file with penalties"
        raise InputError(
            f"the problem has a budget, at_least={problem.at_least!r}, which {what} cannot hold;"
            f" write {' or '.join(holds)} without penalties, leave the budget out, or solve here."
        )
    if not problem.groups or (problem.remove is None and not _leaves_counts(problem)):
        raise InputError(
            "every block is kept or removed in any case, so there is nothing to write; change"
            " remove, keep, force or only."
        )
    sidecar_file = sidecar_path(path, is_npy=False)
    require_model_replaceable(path, chosen)
    require_replaceable(sidecar_file, Kind.SIDECAR)
    model = to_model(problem, penalties, with_budget=chosen.holds_budget)
    buffer = io.BytesIO()
    chosen.write(buffer, model)
    data = buffer.getvalue()
    metadata = _metadata(problem, model.offset)
    if penalties is not None:
        metadata["penalties"] = as_penalties(problem, penalties)
    if chosen.name == "rudy":
        metadata[REFERENCE_NODE] = len(model.matrix) + 1
    metadata["sha256"] = hashlib.sha256(data).hexdigest()
    text = sidecar_text(metadata, len(model.matrix), path)
    write_atomically(
        {
            path: lambda stream: stream.write(data),
            sidecar_file: lambda stream: stream.write(text.encode()),
        }
    )


def require_model_replaceable(path: Path, format_: Format) -> None:
    """Raise InputError if another file is at `path` than one of that format."""
    if kind_of(path) in (None, Kind.EMPTY):
        return
    try:
        format_.read(path, read_file(path))
    except InputError as error:
        raise InputError(
            f"{path} is no file of the format {format_.name}, and is not replaced by one; name"
            " another file, or delete it."
        ) from error


def _leaves_counts(problem: Problem) -> bool:
    """Whether some count of several leaves a choice of blocks, and the fixed ones miss the budget,
    which alone says then what has to go.
    """
    budget = problem.budget
    fixed = 0 if budget is None else int(budget.weights[problem.fixed_removed].sum())
    missed = budget is not None and fixed < budget.at_least
    return missed and len(problem.counts) > 1 and len(problem.groups[0].indices) > 1


def _metadata(problem: Problem, offset: float) -> dict[str, Any]:
    """Return what the sidecar tells of the problem besides its coefficients."""
    variables = sorted(block for group in problem.groups for block in group.indices.tolist())
    names = problem.block_names()
    remove: int | dict[str, int] | None = sum(group.count for group in problem.groups)
    if problem.remove is None:
        remove = None
    if problem.kinds is not None and isinstance(problem.remove, dict):
        remove = {problem.kinds[group.indices[0]]: group.count for group in problem.groups}
    return {
        "format_version": FORMAT_VERSION,
        "names": [names[block] for block in variables],
        "kinds": problem.kinds and [problem.kinds[block] for block in variables],
        "remove": remove,
        "offset": offset,
        "variables": variables,
        "fixed_removed": problem.fixed_removed,
        "num_blocks": problem.num_blocks,
        "hessian_sha256": problem.hessian_sha256,
    }
