"""Whether a Hessian is worth solving: conditioning, correlations, convergence, error bars,
warnings.
"""

from __future__ import annotations

import html
import os
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from qubo_prune.core.errors import InputError
from qubo_prune.core.files.gradients import as_gradients, gradients_path, load_gradients
from qubo_prune.core.files.hessian import HessianFile, load_hessian
from qubo_prune.core.problem.problem import Problem
from qubo_prune.core.text import plural, printable
from qubo_prune.core.validation import as_count
from qubo_prune.hessians.stability import Stability, bootstrap
from qubo_prune.solving.solve import solve

__all__ = ["Diagnosis", "Stability", "diagnose"]

_MISMATCH = 1e-4
"""Largest relative distance of A'A/m from H; float32 rows leave 1e-7."""

_DOMINANT_SHARE = 0.1
_FAINT = 1e-3
"""Gradients of a kind this much smaller than those of another are taken for a gate in the wrong
place.
"""

_COARSE = 0.1
"""Relative error of half precision above which it is warned of."""

_SPLITS = 20
_PARTS = (8, 4, 2)


@dataclass(frozen=True, eq=False, repr=False)
class Diagnosis:
    """What a Hessian, and its per-sample gradients where they are at hand, say about themselves.

    Attributes
    ----------
    file : HessianFile
        What was looked at.
    names : tuple of str
        Of the blocks.
    eigenvalues : (N,) float64
        Ascending.
    effective_rank : float
        Participation ratio of the eigenvalues: N for a multiple of the identity, 1 for rank one, 0
        for a zero matrix.
    rank : int
        Eigenvalues that are not zero to rounding.
    condition_number : float
        Largest over smallest eigenvalue; infinite unless H is positive definite.
    correlations : (N, N) float64
        ``H_ij / sqrt(H_ii H_jj)``; zero for gates without any gradient.
    samples : int or None
        m, of the per-sample gradients; None without these, as are all that follow but `warnings`.
    effective_samples : float or None
        Participation ratio of the samples' shares in the trace: m where all have the same.
    largest_share : float or None
        Share in the trace of the sample that has the largest.
    convergence : tuple of (int, float) or None
        For the first m/8, m/4 and m/2 samples: how many these are, and how far their Hessian lies
        from H, as a share of its Frobenius norm.
    split_half : float or None
        Distance between the Hessians of two random halves of the samples, as a share of the norm of
        H, on average over 20 splits; the sampling error of H itself is about half of it.
    stability : Stability or None
        Error bars of the lowest states; None unless `remove` was given.
    warnings : tuple of str
        What to look at before trusting the energies, one sentence each.
    """

    file: HessianFile
    names: tuple[str, ...]
    eigenvalues: NDArray[np.float64]
    effective_rank: float
    rank: int
    condition_number: float
    correlations: NDArray[np.float64]
    samples: int | None
    effective_samples: float | None
    largest_share: float | None
    convergence: tuple[tuple[int, float], ...] | None
    split_half: float | None
    stability: Stability | None
    warnings: tuple[str, ...]

    def __str__(self) -> str:
        samples = "" if self.samples is None else f" of {plural(self.samples, 'sample')}"
        facts = (
            f"{self.file.path.name}: {plural(self.file.num_blocks, 'block')}{samples}, rank"
            f" {self.rank}, effective rank {self.effective_rank:.4g}, condition number"
            f" {self.condition_number:.4g};"
            f" {plural(len(self.warnings), 'warning') if self.warnings else 'no warnings'}"
        )
        return printable(facts) + "".join(f"\n- {each}" for each in self.warnings)

    def __repr__(self) -> str:
        return f"<Diagnosis: {str(self).splitlines()[0]}>"

    def _repr_html_(self) -> str:
        first, *warnings = (html.escape(line) for line in str(self).splitlines())
        listed = "".join(f"<li>{each.removeprefix('- ')}</li>" for each in warnings)
        return f"<p>{first}</p>" + (f"<ul>{listed}</ul>" if listed else "")

    def correlated_pairs(self, count: int) -> list[tuple[int, int, float]]:
        """Return the pairs of blocks with the largest absolute correlation, that one first."""
        rows, columns = np.triu_indices(len(self.correlations), 1)
        values = self.correlations[rows, columns]
        order = np.argsort(-np.abs(values), kind="stable")[:count]
        return [(int(rows[k]), int(columns[k]), float(values[k])) for k in order]


def diagnose(
    file: HessianFile | str | os.PathLike[str],
    grads: ArrayLike | str | os.PathLike[str] | None = None,
    remove: int | str | Mapping[str, int] | None = None,
    seed: int = 0,
    *,
    num_states: int = 100,
    lowest: int = 10,
    resamples: int = 1000,
    time_limit: float | None = None,
) -> Diagnosis:
    """Diagnose a Hessian.

    Parameters
    ----------
    file : HessianFile, str or path
        The Hessian, or what `load_hessian` takes.
    grads : (m, N) array_like, str or path, optional
        Its per-sample gradients; by default those that it was made from, or the file
        ``name.grads.npy`` beside ``name.npy``, if there is one.
    remove : int, str or dict, optional
        How many blocks to remove, in all or of each kind, as of `Problem`: solves that problem and
        gives the lowest states error bars. Needs per-sample gradients.
    seed : int
        Of the splits, the bootstrap and the solver.
    num_states : int
        How many of the lowest states.
    lowest : int
        The k of `Stability.lowest_share`.
    resamples : int
        Draws of the bootstrap, at least 2.
    time_limit : float, optional
        Seconds for the solver.

    Returns
    -------
    Diagnosis

    Raises
    ------
    InputError
        If the Hessian or the gradients are invalid or do not belong together, or `remove` is given
        without gradients.

    Examples
    --------
    >>> diagnosis = diagnose("bytelm-40-block")
    >>> diagnosis.rank, diagnosis.warnings
    (40, ())
    """
    file = file if isinstance(file, HessianFile) else load_hessian(file)
    lowest = as_count(lowest, "lowest", least=1)
    resamples = as_count(resamples, "resamples", least=2)
    problem = Problem(
        file.hessian,
        0 if remove is None else remove,
        names=file.names,
        kinds=file.kinds,
        symmetrize=True,
    )
    hessian = problem.hessian
    names = problem.names or tuple(map(str, range(file.num_blocks)))
    gradients = _find_gradients(file, grads)
    eigenvalues = np.linalg.eigvalsh(hessian).astype(np.float64)
    magnitudes = np.abs(eigenvalues)
    largest = float(magnitudes.max())
    rounding = largest * len(hessian) * float(np.finfo(np.float64).eps)
    shares = magnitudes / largest if largest else magnitudes
    if gradients is not None:
        _check_gradients(gradients, hessian, file)
    stability = None
    if remove is not None:
        if gradients is None:
            raise InputError(
                f"error bars need the per-sample gradients of {file.path.name}, but there is no"
                f" {gradients_path(file.path)}; extract the Hessian with --save-gradients, or leave"
                " out how many blocks to remove."
            )
        spectrum = solve(problem, num_states=num_states, time_limit=time_limit, seed=seed)
        if len(spectrum):
            stability = bootstrap(
                gradients,
                np.asarray(spectrum.states),
                np.asarray(spectrum.energies),
                lowest=lowest,
                resamples=resamples,
                seed=seed,
                num_proven=spectrum.num_proven,
            )
    weights = None if gradients is None else _weights(gradients)
    return Diagnosis(
        file=file,
        names=names,
        eigenvalues=eigenvalues,
        effective_rank=float(shares.sum() ** 2 / (shares**2).sum()) if largest else 0.0,
        rank=int((magnitudes > rounding).sum()),
        condition_number=(
            largest / float(eigenvalues[0]) if eigenvalues[0] > rounding else float("inf")
        ),
        correlations=_correlations(hessian),
        samples=None if gradients is None else len(gradients),
        effective_samples=None if weights is None else float(1 / (weights**2).sum()),
        largest_share=None if weights is None else float(weights.max()),
        convergence=None if gradients is None else _convergence(gradients, hessian),
        split_half=None if gradients is None else _split_half(gradients, hessian, seed),
        stability=stability,
        warnings=tuple(
            _warnings(file, names, problem, eigenvalues, rounding, gradients, weights, stability)
        ),
    )


def _find_gradients(
    file: HessianFile, given: ArrayLike | str | os.PathLike[str] | None
) -> NDArray[np.float64] | None:
    if isinstance(given, str | os.PathLike):
        return load_gradients(given, file.num_blocks)
    if given is not None:
        return as_gradients(given, file.num_blocks, "grads")
    if file.gradients is not None:
        return file.gradients
    beside = gradients_path(file.path)
    return load_gradients(beside, file.num_blocks) if beside.exists() else None


def _check_gradients(
    gradients: NDArray[np.float64], hessian: NDArray[np.float64], file: HessianFile
) -> None:
    distance = _distance(_gram(gradients), hessian, hessian)
    if distance > _MISMATCH:
        raise InputError(
            f"the per-sample gradients are not those of {file.path.name}: A'A/m differs from H by"
            f" {distance:.2g} of its norm, and rounding explains {_MISMATCH:g}; give the file that"
            " was extracted with it."
        )


def _gram(gradients: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return A'A/m."""
    return np.asarray(gradients.T @ gradients / len(gradients))


def _distance(
    one: NDArray[np.float64], another: NDArray[np.float64], whole: NDArray[np.float64]
) -> float:
    norm = float(np.linalg.norm(whole))
    difference = float(np.linalg.norm(one - another))
    return difference / norm if norm else difference


def _convergence(
    gradients: NDArray[np.float64], hessian: NDArray[np.float64]
) -> tuple[tuple[int, float], ...]:
    counts = sorted({len(gradients) // part for part in _PARTS} - {0, len(gradients)})
    return tuple((n, _distance(_gram(gradients[:n]), hessian, hessian)) for n in counts)


def _split_half(
    gradients: NDArray[np.float64], hessian: NDArray[np.float64], seed: int
) -> float | None:
    half = len(gradients) // 2
    if not half:
        return None
    rng = np.random.default_rng(seed)
    distances = []
    for _ in range(_SPLITS):
        order = rng.permutation(len(gradients))
        one, another = gradients[order[:half]], gradients[order[half : 2 * half]]
        distances.append(_distance(_gram(one), _gram(another), hessian))
    return float(np.mean(distances))


def _weights(gradients: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the share of each sample in the trace."""
    squares = (gradients**2).sum(axis=1)
    total = squares.sum()
    return np.asarray(squares / total if total else np.full(len(squares), 1 / len(squares)))


def _correlations(hessian: NDArray[np.float64]) -> NDArray[np.float64]:
    scale = np.sqrt(np.maximum(np.diag(hessian), 0))
    inverse = np.divide(1, scale, out=np.zeros_like(scale), where=scale > 0)
    return np.asarray(hessian * inverse * inverse[:, np.newaxis])


def _warnings(
    file: HessianFile,
    names: tuple[str, ...],
    problem: Problem,
    eigenvalues: NDArray[np.float64],
    rounding: float,
    gradients: NDArray[np.float64] | None,
    weights: NDArray[np.float64] | None,
    stability: Stability | None,
) -> list[str]:
    diagonal = np.diag(problem.hessian)
    found = []
    dead = np.flatnonzero(~problem.hessian.any(axis=1))
    if len(dead):
        found.append(
            f"{len(dead)} of {len(diagonal)} gates are dead, {_some([names[i] for i in dead])}: no"
            " sample has a gradient there, so removing these blocks looks free; check that the"
            " model uses them, or keep them."
        )
    if eigenvalues[0] < -rounding:
        found.append(
            f"H has the negative eigenvalue {eigenvalues[0]:.3g}, so it is no A'A/m; energies may"
            " be negative."
        )
    found += _warn_of_samples(file, len(diagonal), gradients, weights)
    found += _warn_of_kinds(problem, diagonal)
    found += _warn_of_precision(file.metadata.get("dtype_check"))
    if stability is not None and (count := stability.num_indistinguishable - 1):
        found.append(
            f"{count} of the {len(stability.states)} lowest states {'is' if count == 1 else 'are'}"
            " less than two standard errors above the first: more samples may well reorder them,"
            " so compare their true losses before choosing."
        )
    return found


def _warn_of_samples(
    file: HessianFile,
    num_blocks: int,
    gradients: NDArray[np.float64] | None,
    weights: NDArray[np.float64] | None,
) -> list[str]:
    found = []
    samples = len(gradients) if gradients is not None else file.metadata.get("samples")
    if samples is not None and samples < num_blocks:
        found.append(
            f"{samples} samples for {num_blocks} blocks leave H with rank {samples} at most: many"
            f" removals look free that are not; extract it with many more than {num_blocks}"
            " samples."
        )
    if weights is not None and weights.max() > max(_DOMINANT_SHARE, 5 / len(weights)):
        found.append(
            f"sample {int(weights.argmax())} alone makes {weights.max():.0%} of the trace of H, as"
            f" much as {weights.max() * len(weights):.0f} average ones: look at that sample, or"
            " take more."
        )
    return found


def _warn_of_kinds(problem: Problem, diagonal: NDArray[np.float64]) -> list[str]:
    kinds = np.array(problem.kinds or ())
    typical = {
        str(kind): float(np.sqrt(np.median(diagonal[kinds == kind]).clip(0)))
        for kind in dict.fromkeys(kinds)
    }
    order = sorted((size, kind) for kind, size in typical.items() if size > 0)
    return [
        f"gradients of the kind {faint!r} are typically {small / large:.1g} of those of {loud!r}:"
        " that is what a gate before a post-norm looks like; check how the gates were placed."
        for (small, faint), (large, loud) in pairwise(order)
        if small < _FAINT * large
    ]


def _warn_of_precision(check: Any) -> list[str]:
    error = check.get("median_relative_error") if isinstance(check, Mapping) else None
    if not isinstance(error, int | float) or error <= _COARSE:
        return []
    return [
        "the precision of the model is coarse: the gradients of the samples checked are typically"
        f" {error:.0%} off those of the same weights in float32; extract in float32."
    ]


def _some(names: list[str]) -> str:
    shown = ", ".join(names[:5])
    return f"{shown} and {len(names) - 5} more" if len(names) > 5 else shown
