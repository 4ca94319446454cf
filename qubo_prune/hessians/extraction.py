"""From a model and calibration samples to a Hessian file: ``H = A'A/m`` (paper, equations 3 to 6).

Row s of A is the gradient of the loss of sample s with respect to the gates. All that takes time is
there to be interrupted: the rows are kept in a file from which the next call goes on.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from qubo_prune.core.defaults import BATCH_SIZE
from qubo_prune.core.errors import InputError
from qubo_prune.core.files.disk import check_suffix, save_or_rescue
from qubo_prune.core.files.gradients import gauss_newton, gradients_path, save_gradients
from qubo_prune.core.files.hessian import SUFFIXES, save_hessian
from qubo_prune.core.files.lock import locked
from qubo_prune.core.stopping import Progress, Stop, StopReason
from qubo_prune.core.validation import as_count
from qubo_prune.core.version import __version__
from qubo_prune.hessians.calibration.calibration import Calibration
from qubo_prune.hessians.unfinished_rows import GradientRows

if TYPE_CHECKING:
    from transformers import PreTrainedModel

    from qubo_prune.hessians.gates.gates import Gates, Granularity

__all__ = ["Extraction", "extract", "gauss_newton", "require_new_file"]


@dataclass(frozen=True)
class Extraction:
    """What a call of `extract` came to.

    Attributes
    ----------
    path : Path
        The Hessian file; it exists once the extraction is complete.
    num_done, num_samples : int
        Samples whose gradients are there, and samples wanted.
    batch_size : int
        Samples in a batch; smaller than asked for where memory ran out.
    samples_per_second : float
        Of this call.
    stop_reason : StopReason
        Why the call ended.
    """

    path: Path
    num_done: int
    num_samples: int
    batch_size: int
    samples_per_second: float
    stop_reason: StopReason

    @property
    def complete(self) -> bool:
        """Whether the Hessian is written."""
        return self.num_done == self.num_samples


def extract(
    model: PreTrainedModel,
    calibration: Calibration,
    out: str | Path,
    *,
    granularity: Granularity = "block",
    layers: str | None = None,
    shard: tuple[int, int] | None = None,
    batch_size: int = BATCH_SIZE,
    with_gradients: bool = False,
    gradient_checkpointing: bool = False,
    check_dtype: int = 0,
    time_limit: float | None = None,
    progress: Callable[[Progress], None] | None = None,
) -> Extraction:
    """Compute the Hessian of a causal language model and write it with its sidecar.

    The loss of a sample is the mean cross-entropy, in nats, of the tokens that count; weights are
    neither changed nor differentiated. Beside `out`, ``NAME.partial.npz`` keeps the samples that
    are done: killed at any time, the same call goes on there and, on the same machine, comes to the
    same Hessian.

    Parameters
    ----------
    model : transformers.PreTrainedModel
        A causal language model, in float32, bfloat16, float16 or float64, on any device or spread
        over several.
    calibration : Calibration
        The samples.
    out : str or path
        Has to end in ``.npy``; a file that is there is not replaced.
    granularity : {"block", "branch"}
        One gate for each decoder layer or one for each of its residual branches.
    layers : str, optional
        Where in the model the list of decoder layers is, as ``model.layers``; found by itself in
        most models.
    shard : (int, int), optional
        Take part i of n of the samples, 1 <= i <= n; `merge_hessians` puts the parts together.
    batch_size : int
        Samples in a batch. It is halved whenever memory runs out.
    with_gradients : bool
        Also write ``NAME.grads.npy``: A, (m, N) float32, rows in the order of ``sample_indices`` of
        the sidecar.
    gradient_checkpointing : bool
        Compute activations twice to keep fewer of them.
    check_dtype : int
        Compare the gradients of this many samples with those of a copy of the weights in float32,
        which takes memory for both; the sidecar gets the result as ``dtype_check``.
    time_limit : float, optional
        Seconds after which to stop.
    progress : callable, optional
        Called with a `Progress` now and then.

    Returns
    -------
    Extraction

    Raises
    ------
    InputError
        If the model cannot be gated, a gradient is not finite, a single sample does not fit into
        memory, or files cannot be written.

    Examples
    --------
    >>> import pytest, tempfile
    >>> transformers = pytest.importorskip("transformers")
    >>> config = transformers.GPT2Config(
    ...     vocab_size=50, n_embd=16, n_layer=3, n_head=2, bos_token_id=0, eos_token_id=0
    ... )
    >>> tokens = tuple(np.random.default_rng(0).integers(0, 50, (5, 9)))
    >>> samples = Calibration(tokens, (np.arange(9) > 0,) * 5, np.arange(5), {"source": "random"})
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     model = transformers.GPT2LMHeadModel(config)
    ...     extraction = extract(model, samples, f"{folder}/tiny.npy")
    ...     hessian = np.load(extraction.path)
    >>> extraction.complete, hessian.shape
    (True, (3, 3))
    """
    from qubo_prune.hessians.gates.gates import find_gates
    from qubo_prune.hessians.language_model import check_length, checkpointed, describe

    out = require_new_file(out)
    batch_size = as_count(batch_size, "batch_size", least=1)
    stop = Stop(time_limit=time_limit, progress=progress)
    samples = calibration if shard is None else calibration.shard(*shard)
    check_length(model, max(map(len, samples.tokens)))
    gates = find_gates(model, granularity, layers=layers)
    described = describe(model)
    run = {
        "model_fingerprint": described["model_fingerprint"],
        "samples_sha256": _digest(samples),
        "gates": [gate.name for gate in gates.gates],
        "granularity": granularity,
        "shard": shard,
        "gradient_checkpointing": gradient_checkpointing,
        "package_version": __version__,
    }
    # Two runs would write the same unfinished rows, and the later one would replace the Hessian.
    with locked(out.with_suffix(".partial.lock"), f"extracting to {out}"):
        require_new_file(out)
        rows = GradientRows(
            out.with_suffix(".partial.npz"), run, len(samples), len(gates), batch_size
        )
        # Longest first: little padding, and if memory runs out, it does so at once.
        lengths = [len(tokens) for tokens in samples.tokens]
        order = np.argsort(np.negative(lengths), kind="stable")
        before = rows.num_done
        with stop.interruptible(), checkpointed(model, gradient_checkpointing):
            while rows.num_done < len(samples) and not stop.should_stop():
                _add_batch(gates, samples, order, rows)
                done = rows.num_done - before
                share = rows.num_done / len(samples)
                stop.report(done, share, "differentiating", unit="sample")
        stop.raise_failure()
        rate = (rows.num_done - before) / stop.elapsed
        done_all = rows.num_done == len(samples)
        if not done_all:
            save_or_rescue(rows.save, out.with_suffix(".partial.npz"))
        else:
            checked = _check_dtype(gates, samples, order, rows, check_dtype)
            sidecar = _sidecar(described, gates, calibration, samples, shard, checked)
            save_or_rescue(lambda path: _write(path, rows, order, sidecar, with_gradients), out)
            rows.delete()
    return Extraction(
        path=out,
        num_done=rows.num_done,
        num_samples=len(samples),
        batch_size=rows.batch_size,
        samples_per_second=rate,
        stop_reason=StopReason.COMPLETED if done_all else stop.reason or StopReason.INTERRUPTED,
    )


def require_new_file(out: str | Path) -> Path:
    """Return the path of a Hessian file that is not there yet; refuse another one before hours of
    work.
    """
    path = Path(out)
    check_suffix(path, SUFFIXES, "a Hessian file")
    if path.exists():
        raise InputError(
            f"{path} exists, and extraction replaces nothing; delete it or name another file."
        )
    return path


def _add_batch(
    gates: Gates, samples: Calibration, order: NDArray[np.intp], rows: GradientRows
) -> None:
    """Compute the next rows, with fewer samples at a time if memory runs out."""
    from accelerate.utils.memory import clear_device_cache, should_reduce_batch_size

    from qubo_prune.hessians.gradients import sample_gradients

    while True:
        batch = order[rows.num_done : rows.num_done + rows.batch_size]
        try:
            losses, gradients = sample_gradients(
                gates, [samples.tokens[s] for s in batch], [samples.targets[s] for s in batch]
            )
            break
        except (RuntimeError, MemoryError) as error:
            if not (isinstance(error, MemoryError) or should_reduce_batch_size(error)):
                raise
            if rows.batch_size == 1:
                longest = len(samples.tokens[batch[0]])
                raise InputError(
                    f"memory ran out with a single sample of {longest} tokens; use gradient"
                    " checkpointing, shorter samples, a smaller dtype or more devices."
                ) from error
        # Here, where no traceback holds on to the tensors of the batch that was too large.
        rows.batch_size = max(1, min(rows.batch_size, len(batch)) // 2)
        clear_device_cache(garbage_collection=True)
    rows.add(gradients, losses)


def _check_dtype(
    gates: Gates, samples: Calibration, order: NDArray[np.intp], rows: GradientRows, count: int
) -> dict[str, Any] | None:
    """Compare the first rows with those of the same weights in float32."""
    from qubo_prune.hessians.gradients import sample_gradients
    from qubo_prune.hessians.language_model import in_float32

    if count < 1:
        return None
    errors = []
    with in_float32(gates.model):
        for given, s in zip(rows.gradients, order[:count], strict=False):
            _, [exact] = sample_gradients(gates, [samples.tokens[s]], [samples.targets[s]])
            errors.append(float(np.linalg.norm(given - exact) / (np.linalg.norm(exact) or 1.0)))
    return {
        "samples": len(errors),
        "median_relative_error": float(np.median(errors)),
        "largest_relative_error": max(errors),
    }


def _sidecar(
    described: dict[str, Any],
    gates: Gates,
    calibration: Calibration,
    samples: Calibration,
    shard: tuple[int, int] | None,
    checked: dict[str, Any] | None,
) -> dict[str, Any]:
    """Return what the sidecar says beside the loss and the mean gradient."""
    places = {gate.place for gate in gates.gates}
    sidecar = {
        **described,
        "names": [gate.name for gate in gates.gates],
        "kinds": [gate.kind for gate in gates.gates],
        "parameter_counts": [gate.num_parameters for gate in gates.gates],
        "granularity": gates.granularity,
        "gates": {
            "method": places.pop() if len(places) == 1 else "mixed",
            "layers": gates.layers_path,
            "whole_layers": {str(layer): reason for layer, reason in gates.fallbacks.items()},
        },
        "calibration": calibration.description,
        "sample_indices": samples.indices.tolist(),
        "samples": len(samples),
        "sequence_length": max(len(tokens) for tokens in samples.tokens),
    }
    if shard is not None:
        sidecar["shard"] = {"index": shard[0], "of": shard[1]}
    if checked is not None:
        sidecar["dtype_check"] = checked
    return sidecar


def _write(
    out: Path,
    rows: GradientRows,
    order: NDArray[np.intp],
    sidecar: dict[str, Any],
    with_gradients: bool,
) -> None:
    gradients = np.empty_like(rows.gradients)
    gradients[order] = rows.gradients
    losses = np.empty_like(rows.losses)
    losses[order] = rows.losses
    if with_gradients:
        save_gradients(gradients_path(out), gradients)
    save_hessian(
        out,
        gauss_newton(gradients),
        **sidecar,
        loss=float(losses.mean()),
        mean_gradient=gradients.mean(axis=0),
    )


def _digest(samples: Calibration) -> str:
    """Return a checksum of what the samples are and what of them counts."""
    digest = hashlib.sha256(json.dumps(samples.indices.tolist()).encode())
    for tokens, targets in zip(samples.tokens, samples.targets, strict=True):
        digest.update(np.asarray(tokens, "<i8").tobytes())
        digest.update(np.asarray(targets, np.bool_).tobytes())
        digest.update(b";")
    return digest.hexdigest()
