"""The evidence of a language model, computed as far as criteria ask for it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import NDArray

from qubo_prune.core.defaults import BATCH_SIZE
from qubo_prune.core.stopping import Stop
from qubo_prune.hessians.calibration.calibration import Calibration
from qubo_prune.pruning.criteria.evidence import Evidence, StoppedError
from qubo_prune.pruning.measurement import ModelObjective

if TYPE_CHECKING:
    from transformers import PreTrainedModel

    from qubo_prune.hessians.gates.gates import Gates
    from qubo_prune.pruning.statistics import BlockStatistics

__all__ = ["model_evidence"]


def model_evidence(
    model: PreTrainedModel,
    gates: Gates,
    calibration: Calibration,
    *,
    batch_size: int | None = None,
    stop: Stop | None = None,
) -> Evidence:
    """Return the evidence of a model: each part takes its passes when it is first asked for.

    Parameters
    ----------
    model : transformers.PreTrainedModel
        A causal language model.
    gates : Gates
        Its gates: which blocks there are.
    calibration : Calibration
        The samples.
    batch_size : int, optional
        Most samples that go through the model together; halved whenever memory runs out.
    stop : Stop, optional
        Time limit, cancellation and progress. Once it says so, asking for what is not there yet
        raises `StoppedError`.

    Examples
    --------
    >>> import pytest
    >>> transformers = pytest.importorskip("transformers")
    >>> from qubo_prune.hessians.gates.gates import find_gates
    >>> from qubo_prune.pruning.criteria import get_criterion
    >>> config = transformers.GPT2Config(
    ...     vocab_size=50, n_embd=16, n_layer=3, n_head=2, bos_token_id=0, eos_token_id=0
    ... )
    >>> model = transformers.GPT2LMHeadModel(config)
    >>> tokens = tuple(np.random.default_rng(0).integers(0, 50, (5, 9)))
    >>> samples = Calibration(tokens, (np.arange(9) > 0,) * 5, np.arange(5), {"source": "random"})
    >>> evidence = model_evidence(model, find_gates(model), samples)
    >>> get_criterion("block-influence").scores(evidence).shape
    (3,)
    """
    stop = stop or Stop()
    objectives: dict[str, ModelObjective] = {}

    def objective(kind: Literal["loss", "kl"]) -> ModelObjective:
        if stop.should_stop():
            raise StoppedError
        if kind not in objectives:
            objectives[kind] = ModelObjective(
                model, gates, calibration, objective=kind, batch_size=batch_size
            )
        return objectives[kind]

    def statistics(removed: tuple[int, ...]) -> BlockStatistics:
        from qubo_prune.pruning.statistics import block_statistics

        if stop.should_stop():
            raise StoppedError
        return block_statistics(
            model,
            gates,
            calibration,
            removed=removed,
            batch_size=BATCH_SIZE if batch_size is None else batch_size,
            progress=lambda done: stop.report(
                done, done / len(calibration), "passing over hidden states", unit="sample"
            ),
        )

    def singles(kind: Literal["loss", "kl"]) -> NDArray[np.float64]:
        values = np.full(len(gates), np.nan)
        removals = [(block,) for block in range(len(gates))]
        done = 0
        for measured in objective(kind).measure(removals, stop):
            values[measured.removed[0]] = measured.value
            done += 1
            message = f"measuring the {kind} of single removals"
            stop.report(done, done / len(gates), message, unit="block")
        if done < len(gates):
            raise StoppedError
        return values

    return Evidence(
        len(gates),
        statistics=statistics,
        gradients=lambda: objective("loss").slopes(),
        singles={"loss": lambda: singles("loss"), "kl": lambda: singles("kl")},
    )
