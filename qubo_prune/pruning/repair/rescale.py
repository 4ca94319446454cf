"""Rescaling for the norm that went with removed layers (Prune&Comp, arXiv 2507.18212).

Layers make the residual stream longer, so behind a removed run it is too short beside what later
layers add. With ``a = mean_t |h_t| / |h'_t|``, h being the stream behind the run in the original
and h' that in the pruned model, later layers should see ``a h'``. In a model whose layers and final
norm first normalise what they read, the same logits come out if the stream stays and everything
that later layers add is divided by a:

    a h' + f_1 + f_2 + ... = a (h' + f_1 / a + f_2 / a + ...),

and that is a matter of the weights by which their branches end. The paper multiplies everything
that comes before instead, embeddings included, which tied embeddings do not allow.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from torch import nn

from qubo_prune.core.errors import InputError
from qubo_prune.core.stopping import StopReason
from qubo_prune.hessians.gates.gates import Gates, find_gates
from qubo_prune.hessians.gates.layers import find_layers
from qubo_prune.pruning.evaluation.samples import with_less_memory
from qubo_prune.pruning.evaluation.watch import StoppedError, Watch
from qubo_prune.pruning.measuring.batches import make_batches
from qubo_prune.pruning.repair.base import Patient, Run, Step
from qubo_prune.pruning.repair.outputs import Scaling, scalings
from qubo_prune.pruning.repair.streams import seen_by
from qubo_prune.pruning.repair.writers import CannotRepairError

__all__ = ["Rescale"]


@dataclass(frozen=True)
class Rescale:
    """Make what later layers add as small, beside the stream, as it was in the original."""

    name: ClassVar[str] = "rescale"
    summary: ClassVar[str] = "later layers rescaled for the norm that removed ones gave the stream"

    def check(self) -> None:
        """Nothing can be wrong beforehand."""

    def run(self, patient: Patient) -> Step:
        """Rescale ``patient.model``."""
        patient.require_runs()
        started, reason = time.monotonic(), StopReason.COMPLETED
        gates = find_gates(patient.model, "branch", layers=patient.layers)
        number = len(gates.layers)
        runs = [run for run in patient.runs if run.place < number]
        if not runs:
            raise InputError(
                "the removed layers ended the model, whose final norm takes any rescaling back; use"
                " another method."
            )
        outputs = _outputs(gates, runs[0].place)
        factors: list[dict[str, Any]] = []
        for i, run in enumerate(runs):
            what = f"norm {i + 1} of {len(runs)}"
            try:
                factor = _norm_ratio(patient, gates.layers, run, what)
            except StoppedError:
                if not factors:
                    raise
                reason = patient.stop.reason or StopReason.INTERRUPTED
                break
            for index in range(run.place, number):
                for output in outputs[index]:
                    output.scale(1 / factor)
            for place in range(run.place, number + 1):
                patient.scale[place] *= factor
            factors.append({"removed": str(run), "factor": factor})
        told = ", ".join(f"{each['factor']:.4g} behind {each['removed']}" for each in factors)
        return Step(
            method=self.name,
            facts={"runs": factors},
            summary=f"rescaled for a stream that was longer by {told}",
            seconds=time.monotonic() - started,
            stop_reason=reason,
        )


def _outputs(gates: Gates, first: int) -> dict[int, tuple[Scaling, ...]]:
    """Return by layer the weights that scale all it adds, from a layer on."""
    found = {}
    for index in range(first, len(gates.layers)):
        try:
            found[index] = scalings(gates, index)
        except CannotRepairError as error:
            raise InputError(
                f"{gates.layers_path}.{index} cannot be rescaled: {error}; use another method."
            ) from error
    return found


def _norm_ratio(patient: Patient, layers: Sequence[nn.Module], run: Run, what: str) -> float:
    """Return how many times longer the stream behind a run is in the original, a mean over all
    tokens of all samples.
    """
    _, of_original = find_layers(patient.original, patient.layers)
    watch = Watch(patient.stop, what)

    def run_all(batch_size: int) -> NDArray[np.float64]:
        batches = make_batches(patient.model, patient.calibration, batch_size)
        ratios: list[NDArray[np.float64]] = []
        for done, batch in enumerate(batches):
            watch(done, len(batches))
            stream, _ = seen_by(patient.model, layers, batch.ids, run.place)
            target, _ = seen_by(patient.original, of_original, batch.ids, run.last + 1)
            norms = [each.double().norm(dim=-1).cpu().numpy() for each in (stream, target)]
            for row, length in enumerate(batch.lengths):
                here, there = (each[row, :length] for each in norms)
                ratios.append(there[here > 0] / here[here > 0])
        return np.concatenate(ratios)

    ratios = with_less_memory(run_all, patient.batch_size)
    ratio = float(ratios.mean()) / patient.scale[run.place]
    if not np.isfinite(ratio) or ratio <= 0:
        raise InputError(
            f"the stream behind layers {run} has no finite norm; load both models in another type."
        )
    return ratio
