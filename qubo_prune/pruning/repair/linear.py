"""One linear map for each run of removed layers, merged into the layer before it (ReplaceMe,
arXiv 2505.02819).

Let m be what the last linear map of the layer before a run adds to the residual stream, and y the
rest of the stream there, so that the pruned model goes on with ``y + m``. Where the original goes
on with h behind the run, the repair is

    T = argmin  sum_t w_t |y_t + T m_t - h_t|^2 + lambda |T - 1|^2,    W <- T W,

W being the weights of that map. Merging approximates nothing: the healed model computes
``y + T m``. What is approximated is the run: T acts on what this branch adds and not on the stream,
because there is no weight that could multiply y. Unlike in the paper, y and m are those of the
pruned model, repaired up to there, and not those of the original, so that a later run makes good
what an earlier one left; the ridge draws T to 1, which is no repair; and each token counts by its
error relative to its state, ``w_t = 1 / |h_t|^2``, because every norm that comes later divides by
the size of the state and a few tokens have one that is hundreds of times larger.
"""

from __future__ import annotations

import math
import time
from dataclasses import asdict, dataclass
from typing import Any, ClassVar

from torch import Tensor, nn

from qubo_prune.core.errors import InputError
from qubo_prune.core.stopping import StopReason
from qubo_prune.core.validation import as_finite_float
from qubo_prune.hessians.gates.layers import find_layers
from qubo_prune.hessians.gates.probes import random_tokens
from qubo_prune.pruning.evaluation.samples import with_less_memory
from qubo_prune.pruning.evaluation.watch import StoppedError, Watch
from qubo_prune.pruning.measuring.batches import Batch, make_batches
from qubo_prune.pruning.repair.base import Patient, Run, Step
from qubo_prune.pruning.repair.least_squares import NormalEquations, choose_ridge
from qubo_prune.pruning.repair.streams import seen_by
from qubo_prune.pruning.repair.writers import CannotRepairError, Writer, find_writer

__all__ = ["Linear"]

_FOLDS = 2
"""Parts of the samples, each of which tries what was fitted to the others; each keeps matrices."""


@dataclass(frozen=True)
class Linear:
    """Have the layer before each run of removed layers do, as far as a linear map can, their work.

    Parameters
    ----------
    ridge : float, optional
        How strongly the map is drawn to the one that changes nothing, in units of the mean square
        of what it is applied to; 0 is plain least squares. By default chosen by cross-validation,
        which may also find that nothing helps.
    """

    ridge: float | None = None

    name: ClassVar[str] = "linear"
    summary: ClassVar[str] = "a linear map in place of removed layers, merged into the one before"

    def check(self) -> None:
        """Refuse a ridge that is none."""
        if self.ridge is None:
            return
        ridge = as_finite_float(self.ridge, "ridge")
        if ridge < 0:
            raise InputError(f"ridge must be at least 0, not {ridge:g}; leave it out to choose it.")

    def run(self, patient: Patient) -> Step:
        """Merge a map into ``patient.model`` for each run, from the first to the last."""
        self.check()
        patient.require_runs()
        started, reason = time.monotonic(), StopReason.COMPLETED
        found: list[dict[str, Any]] = []
        for number, run in enumerate(patient.runs):
            try:
                found.append(self._repair(patient, run, number))
            except CannotRepairError as error:
                found.append({"removed": str(run), "left": str(error)})
            except StoppedError:
                if all("left" in each for each in found):
                    raise
                reason = patient.stop.reason or StopReason.INTERRUPTED
                break
        repaired = [each for each in found if "left" not in each]
        if not repaired:
            reasons = "; ".join(f"{each['removed']}: {each['left']}" for each in found)
            raise InputError(
                f"no run of removed layers can be repaired by a linear map ({reasons}); use another"
                " method."
            )
        return Step(
            method=self.name,
            settings=asdict(self),
            facts={"runs": found},
            summary=_summary(found),
            seconds=time.monotonic() - started,
            stop_reason=reason,
        )

    def _repair(self, patient: Patient, run: Run, number: int) -> dict[str, Any]:
        """Merge the map of one run; the model is changed when all of it is known."""
        if run.place == 0:
            raise CannotRepairError("it began the model, and no layer comes before it")
        model = patient.model
        path, layers = find_layers(model, patient.layers)
        writer = find_writer(model, layers[run.place - 1], random_tokens(model))
        folds = self._folds(patient, run, layers, writer, number)
        equations = folds[0]
        for fold in folds[1:]:
            equations = equations + fold
        if self.ridge is None:
            ridge, foreseen = choose_ridge(folds)
        else:
            ridge, foreseen = self.ridge, None
        before = float(equations.yy)
        fit = equations.solve(ridge)
        writer.merge(fit.matrix / writer.factor, fit.offset / writer.factor)
        facts = {
            "removed": str(run),
            "module": f"{path}.{run.place - 1}.{writer.path}",
            "tokens": equations.num_rows,
            "ridge": ridge if math.isfinite(ridge) else "none helps",
            "explained": 1 - equations.error(fit) / before if before else 0.0,
        }
        return facts if foreseen is None else {**facts, "explained_held_out": foreseen}

    def _folds(
        self,
        patient: Patient,
        run: Run,
        layers: tuple[nn.Module, ...],
        writer: Writer,
        number: int,
    ) -> list[NormalEquations]:
        """Return the normal equations of each part of the samples, in one pass of both models."""
        count = _FOLDS if self.ridge is None else 1
        if len(patient.calibration) < count:
            raise InputError(
                f"cross-validation of the ridge needs at least {count} samples, not"
                f" {len(patient.calibration)}; give more, or a ridge."
            )
        _, of_original = find_layers(patient.original, patient.layers)
        watch = Watch(patient.stop, f"linear map {number + 1} of {len(patient.runs)}")

        def run_all(batch_size: int) -> list[NormalEquations]:
            batches = make_batches(patient.model, patient.calibration, batch_size)
            folds: list[NormalEquations] = []
            for done, batch in enumerate(batches):
                watch(done, len(batches))
                stream, written = seen_by(
                    patient.model, layers, batch.ids, run.place, writer.module
                )
                assert written is not None  # noqa: S101  # the writer runs in the layer before
                target, _ = seen_by(patient.original, of_original, batch.ids, run.last + 1)
                folds = folds or _no_rows(stream, count, writer)
                for row, sample in enumerate(batch.samples):
                    wanted = _of(target, batch, row).to(stream.device) / patient.scale[run.place]
                    missing = wanted - _of(stream, batch, row)
                    sizes = (wanted * wanted).sum(1)
                    weights = sizes.where(sizes == 0, 1 / sizes)
                    folds[int(sample) % count].add(_of(written, batch, row), missing, weights)
            return folds

        return with_less_memory(run_all, patient.batch_size)


def _no_rows(stream: Tensor, count: int, writer: Writer) -> list[NormalEquations]:
    """Return empty equations that map a branch to the stream."""
    size, place = stream.shape[-1], str(stream.device)
    return [
        NormalEquations.empty(size, size, intercept=writer.has_bias, device=place)
        for _ in range(count)
    ]


def _of(tensor: Tensor, batch: Batch, row: int) -> Tensor:
    """Return what belongs to the tokens of one sample of a batch, in float64."""
    return tensor[row, : int(batch.lengths[row])].double()


def _summary(found: list[dict[str, Any]]) -> str:
    said = []
    for each in found:
        if "left" in each:
            said.append(f"{each['removed']} left as it is ({each['left']})")
        else:
            said.append(f"{each['removed']} by {each['module']} ({100 * each['explained']:.0f} %)")
    return f"linear maps in place of layers {', '.join(said)}"
