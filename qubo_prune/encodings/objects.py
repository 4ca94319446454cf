"""Problems as objects of dimod and Qiskit, and their samples as states again.

Variables are the free blocks under their indices; fixed blocks are folded into the coefficients and
the offset, so that a feasible sample has the energy of its state, up to rounding.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from qubo_prune.core.errors import BackendUnavailableError, InputError
from qubo_prune.core.files.formats.quadratic_model import AtLeast, Counts, Model
from qubo_prune.core.problem.problem import Problem
from qubo_prune.core.validation import as_real_array
from qubo_prune.encodings.penalty import penalty_qubo
from qubo_prune.encodings.refusals import refuse_budget

if TYPE_CHECKING:
    import dimod
    from qiskit_optimization import QuadraticProgram


def to_model(
    problem: Problem, penalties: ArrayLike | None = None, *, with_budget: bool = False
) -> Model:
    """Return the problem as files hold it: with its counts, or with penalties in their place; with
    its budget where there is room for it, alone where there is no count, else a budget is refused.
    """
    if not with_budget:
        refuse_budget(problem, "a model of counts")
    # The coefficients are those of any count that leaves a choice.
    counted = problem if problem.remove is not None else problem.with_remove(problem.counts[-2])
    reduced = counted.reduced()
    names = problem.block_names()
    labels = tuple(names[block] for block in reduced.variables.tolist())
    if penalties is not None:
        qubo = penalty_qubo(problem, penalties)
        return Model(qubo.matrix, qubo.offset, labels)
    counts = (
        ()
        if problem.remove is None
        else tuple(
            Counts(label, np.flatnonzero(reduced.group_of == number), int(reduced.counts[number]))
            for number, label in enumerate(problem.group_labels())
        )
    )
    budget = reduced.budget
    row = None
    if budget is not None and budget.at_least > 0:
        row = AtLeast(budget.weights.astype(np.float64), float(budget.at_least))
    return Model(reduced.matrix, reduced.offset, labels, counts, row)


def to_bqm(
    problem: Problem, penalties: ArrayLike | None = None, vartype: str = "BINARY"
) -> dimod.BinaryQuadraticModel:
    """Return the problem with penalties as a dimod BQM.

    Parameters
    ----------
    problem : Problem
        What to encode.
    penalties : float or (num_groups,) array_like, optional
        As for `penalty_qubo`.
    vartype : str
        ``BINARY``, or ``SPIN`` with 1 for a removed block.

    Returns
    -------
    dimod.BinaryQuadraticModel

    Examples
    --------
    >>> problem = Problem([[2.0, 1.0, 0.0], [1.0, 3.0, -2.0], [0.0, -2.0, 4.0]], remove=2)
    >>> import dimod
    >>> best = dimod.ExactSolver().sample(to_bqm(problem, 10.0)).first
    >>> decode(problem, best.sample), float(best.energy)
    (array([[False,  True,  True]]), 3.0)
    """
    from qubo_prune.core.files.formats.dimod_files import make_bqm

    if vartype not in ("BINARY", "SPIN"):
        raise InputError(f"vartype must be 'BINARY' or 'SPIN', not {vartype!r}; choose one.")
    qubo = penalty_qubo(problem, penalties)
    bqm = make_bqm(Model(qubo.matrix, qubo.offset), qubo.variables.tolist())
    return bqm.change_vartype(vartype, inplace=True)  # type: ignore[arg-type]


def to_cqm(problem: Problem) -> dimod.ConstrainedQuadraticModel:
    """Return the problem as a dimod CQM: the counts are constraints, labelled by kind or
    ``remove``.

    Parameters
    ----------
    problem : Problem
        What to encode.

    Returns
    -------
    dimod.ConstrainedQuadraticModel

    Examples
    --------
    >>> to_cqm(Problem([[2.0, 1.0], [1.0, 3.0]], remove=1)).constraints["remove"].to_polystring()
    'v0 + v1 == 1.0'
    """
    from qubo_prune.core.files.formats.dimod_files import make_cqm

    return make_cqm(to_model(problem), problem.reduced().variables.tolist())


def to_quadratic_program(problem: Problem) -> QuadraticProgram:
    """Return the problem as a QuadraticProgram of qiskit-optimization, with variables ``x0``,
    ``x1``... by block index.

    Parameters
    ----------
    problem : Problem
        What to encode.

    Returns
    -------
    qiskit_optimization.QuadraticProgram

    Raises
    ------
    BackendUnavailableError
        If qiskit-optimization is not installed.
    """
    try:
        from qiskit_optimization import QuadraticProgram
    except ImportError as error:
        raise BackendUnavailableError(
            "a QuadraticProgram needs qiskit-optimization; install it with: pip install"
            " 'qubo-prune[qaoa]'."
        ) from error
    model = to_model(problem)
    names = [f"x{block}" for block in problem.reduced().variables.tolist()]
    program = QuadraticProgram("qubo-prune")
    for name in names:
        program.binary_var(name)
    diagonal = np.diagonal(model.matrix)
    program.minimize(
        constant=model.offset,
        linear=diagonal.copy(),
        quadratic=2.0 * np.triu(model.matrix, 1),
    )
    for each in model.counts:
        ones = {names[i]: 1.0 for i in each.indices}
        program.linear_constraint(ones, "==", each.count, name=each.label)
    return program


def decode(problem: Problem, samples: Any) -> NDArray[np.bool_]:
    """Return samples of an encoding as states of the problem, feasible or not.

    Parameters
    ----------
    problem : Problem
        What was encoded.
    samples : dimod.SampleSet, mapping or (K, n) array_like
        Samples of free variables, 0 and 1 or spins of -1 and 1. dimod's go by the labels of the
        variables, which are block indices; columns of an array are ``problem.reduced().variables``.

    Returns
    -------
    (K, N) bool
        1 where a block is removed; fixed blocks are filled in. `repair` makes such states feasible.

    Raises
    ------
    InputError
        If a variable is missing, or a value is something else.

    Examples
    --------
    >>> problem = Problem([[2.0, 1.0, 0.0], [1.0, 3.0, -2.0], [0.0, -2.0, 4.0]], 2, force=[1])
    >>> decode(problem, [[1, -1]]), decode(problem, {0: 0, 2: 1})
    (array([[ True,  True, False]]), array([[False,  True,  True]]))
    """
    reduced = problem.reduced()
    wanted = reduced.variables.tolist()
    if not isinstance(samples, np.ndarray | list | tuple):
        import dimod

        samples, labels = dimod.as_samples(samples)
        column = {label: position for position, label in enumerate(labels)}
        missing = [block for block in wanted if block not in column]
        if missing:
            raise InputError(
                f"the samples lack variable {missing[0]}; label the variables by block index, as"
                " to_bqm does."
            )
        samples = samples[:, [column[block] for block in wanted]]
    values = np.atleast_2d(as_real_array(samples, "samples"))
    if values.ndim != 2 or values.shape[1] != len(wanted):
        raise InputError(
            f"samples must have shape (K, {len(wanted)}), one column for each free variable, not"
            f" {values.shape}; leave out fixed blocks."
        )
    zero = -1 if (values == -1).any() else 0
    wrong = values[(values != 1) & (values != zero)]
    if wrong.size:
        raise InputError(
            f"samples must hold 0 and 1, or -1 and 1, not {wrong[0]} as well; round them first."
        )
    return reduced.expand(values == 1)
