"""What blocks do to the residual stream: one forward pass from which many criteria are computed."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from qubo_prune.core.defaults import BATCH_SIZE
from qubo_prune.core.errors import InputError
from qubo_prune.core.text import format_count
from qubo_prune.core.validation import as_count
from qubo_prune.hessians.calibration.calibration import Calibration

if TYPE_CHECKING:
    from torch import Tensor, nn

    from qubo_prune.hessians.gates.gates import Gates
    from qubo_prune.pruning.measuring.batches import Batch
    from qubo_prune.pruning.measuring.skipping import Skipper

__all__ = ["BlockStatistics", "Tokens", "block_statistics"]

Tokens = Literal["all", "last"]
"""Over which tokens of a sample a mean is taken: all of them, or the last one alone."""

_ENTRIES = 2**24
"""Numbers in float64 held at a time for products of streams, 128 MB."""


@dataclass(frozen=True, eq=False)
class BlockStatistics:
    """What each block does to the residual stream, sample by sample.

    The stream is taken at N + 1 places: before each of the N blocks, in the order in which they
    run, and after the last, ahead of the final norm. Of branches that run side by side on the same
    input the second is taken to start from what the first has added. A block that is left out hands
    on what it is given. Every entry is the mean over a sample's tokens, padding left out, in
    float64.

    Attributes
    ----------
    similarity : dict of (m, N) float64
        By `Tokens`: cosine of the stream before and after a block; one minus its mean is the block
        influence.
    norm_ratio : dict of (m, N) float64
        By `Tokens`: norm of the stream after a block over that before it.
    magnitude : dict of (m, N) float64
        By `Tokens`: norm of what a block adds over that of the stream after it.
    angular : dict of (m, N + 1, N + 1) float64
        By `Tokens`: ``arccos(cos(h_i, h_j)) / pi`` of the stream at two places, symmetric.
    alignment : dict of (m, N, N) float64
        By `Tokens`: scalar product of what two blocks add, each over the norm of the stream that it
        is added to, symmetric; negative where one takes back what the other has added.
    removed : tuple of int
        Blocks that were left out.
    final_similarity, final_angular : dict of (m, N + 1) float64
        By `Tokens`: cosine and angle of the stream at each place with the final hidden states,
        which come after the final norm; empty where only the model itself makes logits of the
        stream.
    """

    similarity: dict[Tokens, NDArray[np.float64]]
    norm_ratio: dict[Tokens, NDArray[np.float64]]
    magnitude: dict[Tokens, NDArray[np.float64]]
    angular: dict[Tokens, NDArray[np.float64]]
    alignment: dict[Tokens, NDArray[np.float64]]
    removed: tuple[int, ...] = ()
    final_similarity: dict[Tokens, NDArray[np.float64]] = field(default_factory=dict)
    final_angular: dict[Tokens, NDArray[np.float64]] = field(default_factory=dict)

    @property
    def num_samples(self) -> int:
        """How many samples there are, m."""
        return len(self.similarity["all"])

    @property
    def num_blocks(self) -> int:
        """How many blocks there are, N."""
        return int(self.similarity["all"].shape[1])


def block_statistics(
    model: nn.Module,
    gates: Gates,
    calibration: Calibration,
    *,
    removed: Sequence[int] = (),
    batch_size: int = BATCH_SIZE,
    progress: Callable[[int], None] | None = None,
) -> BlockStatistics:
    """Return what each block of a model does to the residual stream, in one forward pass.

    Where several branches of a layer are blocks of their own, the layer is run once for each of
    them, without those that come later. The model is left as it was.

    Parameters
    ----------
    model : transformers.PreTrainedModel
        A causal language model.
    gates : Gates
        Its gates (`qubo_prune.hessians.gates.find_gates`).
    calibration : Calibration
        The samples, m of them.
    removed : sequence of int
        Blocks to leave out.
    batch_size : int
        Most samples that go through the model together; halved whenever memory runs out.
    progress : callable, optional
        Called with the number of samples that are done, after each batch.

    Raises
    ------
    InputError
        If the gates are of another model, the samples do not suit it, a block is none, or a single
        sample does not fit into memory.

    Examples
    --------
    >>> import pytest
    >>> transformers = pytest.importorskip("transformers")
    >>> from qubo_prune.hessians.gates.gates import find_gates
    >>> config = transformers.GPT2Config(
    ...     vocab_size=50, n_embd=16, n_layer=3, n_head=2, bos_token_id=0, eos_token_id=0
    ... )
    >>> model = transformers.GPT2LMHeadModel(config)
    >>> tokens = tuple(np.random.default_rng(0).integers(0, 50, (5, 9)))
    >>> samples = Calibration(tokens, (np.arange(9) > 0,) * 5, np.arange(5), {"source": "random"})
    >>> statistics = block_statistics(model, find_gates(model), samples)
    >>> statistics.similarity["all"].shape, statistics.angular["last"].shape
    ((5, 3), (5, 4, 4))
    """
    from qubo_prune.pruning.measuring.memory import ran_out, release

    if gates.model is not model:
        raise InputError(
            f"the gates must be those of the model, not of another {type(gates.model).__name__}; "
            "find them with find_gates(model)."
        )
    blocks = tuple(sorted({as_count(block, "a block to leave out") for block in removed}))
    if blocks and not 0 <= blocks[0] <= blocks[-1] < len(gates):
        raise InputError(
            f"blocks to leave out must be from 0 to {len(gates) - 1}, not "
            f"{format_count(blocks[0] if blocks[0] < 0 else blocks[-1])}; correct it."
        )
    size = as_count(batch_size, "batch_size")
    if size < 1:
        raise InputError(
            f"batch_size must be at least 1, not {format_count(size)}; give 1 or more."
        )
    while True:
        try:
            return _statistics(gates, calibration, blocks, size, progress)
        except (RuntimeError, MemoryError) as error:
            if not ran_out(error):
                raise
            if size == 1:
                raise InputError(
                    "memory ran out with the hidden states of a single sample; use shorter "
                    "samples, a smaller dtype or more devices."
                ) from error
        size = max(1, min(size, len(calibration)) // 2)
        release()


def _statistics(
    gates: Gates,
    calibration: Calibration,
    removed: tuple[int, ...],
    batch_size: int,
    progress: Callable[[int], None] | None,
) -> BlockStatistics:
    from qubo_prune.hessians.gates.head import base_hidden_states
    from qubo_prune.hessians.gates.probes import random_tokens
    from qubo_prune.pruning.measuring.batches import make_batches
    from qubo_prune.pruning.measuring.passes import inference
    from qubo_prune.pruning.measuring.skipping import Skipper

    m, n = len(calibration), len(gates)
    found = BlockStatistics(
        similarity={"all": np.empty((m, n)), "last": np.empty((m, n))},
        norm_ratio={"all": np.empty((m, n)), "last": np.empty((m, n))},
        magnitude={"all": np.empty((m, n)), "last": np.empty((m, n))},
        angular={"all": np.empty((m, n + 1, n + 1)), "last": np.empty((m, n + 1, n + 1))},
        alignment={"all": np.empty((m, n, n)), "last": np.empty((m, n, n))},
        removed=removed,
    )
    if gates.head is not None:
        for arrays in (found.final_similarity, found.final_angular):
            arrays.update({"all": np.empty((m, n + 1)), "last": np.empty((m, n + 1))})
    with inference(gates):
        skipper = Skipper(gates, random_tokens(gates.model))
    done = 0
    for batch in make_batches(gates.model, calibration, batch_size):
        streams: list[Tensor] = []
        with inference(gates), _recorded(gates, skipper, removed, streams):
            if gates.head is None:
                gates.model(input_ids=batch.ids, use_cache=False)
            else:
                streams.append(base_hidden_states(gates.model, batch.ids))
            _add(found, batch, streams)
        done += len(batch.samples)
        if progress is not None:
            progress(done)
    return found


@contextlib.contextmanager
def _recorded(
    gates: Gates, skipper: Skipper, removed: tuple[int, ...], streams: list[Tensor]
) -> Iterator[None]:
    """Have layers add what enters each of their blocks, and what leaves the last, to `streams`."""
    from qubo_prune.pruning.measuring.skipping import replaced

    blocks: list[list[int]] = [[] for _ in gates.layers]
    for block, gate in enumerate(gates.gates):
        blocks[gate.layer].append(block)
    with contextlib.ExitStack() as stack:
        for index, layer in enumerate(gates.layers):
            last = index == len(gates.layers) - 1
            forward = _recording(skipper, layer, index, blocks[index], removed, streams, last)
            stack.enter_context(replaced(layer, forward))
        yield


def _recording(
    skipper: Skipper,
    layer: nn.Module,
    index: int,
    blocks: list[int],
    removed: tuple[int, ...],
    streams: list[Tensor],
    last: bool,
) -> Callable[..., Any]:
    from qubo_prune.hessians.gates.branches import first_tensor, hidden_states

    original = layer.forward

    def forward(*args: Any, **kwargs: Any) -> Any:
        stream = hidden_states(args, kwargs)
        assert stream is not None  # noqa: S101  # find_gates saw that it is there
        output = skipper.skip(index, None, None)(*args, **kwargs)
        for block in blocks:
            streams.append(stream)
            if block in removed:
                continue
            # Without branches that come later; the last one that is kept gives the layer's output.
            absent = [other for other in blocks if other in removed or other > block]
            with skipper.without(absent, stream.shape):
                output = original(*args, **kwargs)
            after = first_tensor(output)
            assert after is not None  # noqa: S101  # likewise
            stream = after
        if last:
            streams.append(stream)
        return output

    return forward


def _add(found: BlockStatistics, batch: Batch, streams: list[Tensor]) -> None:
    """Write the entries of a batch's samples; the final hidden states come last, if known."""
    import torch

    final = streams.pop() if found.final_similarity else None
    places = len(streams)
    step = max(1, _ENTRIES // (places * streams[0].shape[-1]))
    device = streams[0].device
    kinds = [found.similarity, found.norm_ratio, found.magnitude, found.angular, found.alignment]
    if final is not None:
        kinds += [found.final_similarity, found.final_angular]
    for row, (sample, length) in enumerate(zip(batch.samples, batch.lengths, strict=True)):
        parts = []
        for start in range(0, int(length), step):
            stop = min(start + step, int(length))
            at = torch.stack([s[row, start:stop].to(device, torch.float64) for s in streams], 1)
            results = _of_tokens(at)
            if final is not None:
                results += _to_final(at, final[row, start:stop].to(device, torch.float64))
            parts.append(results)
        for kind, arrays in enumerate(kinds):
            values = np.concatenate([part[kind] for part in parts])
            arrays["all"][sample] = values.mean(0)
            arrays["last"][sample] = values[-1]


def _of_tokens(streams: Tensor) -> tuple[NDArray[np.float64], ...]:
    """Return similarity, ratio of norms, magnitude, angles and alignment of streams, (tokens, N +
    1, size).
    """
    import torch

    norms = torch.linalg.vector_norm(streams, dim=-1)
    sizes = norms.clamp(min=torch.finfo(torch.float64).tiny)[..., None]
    units = streams / sizes
    cosines = (units @ units.mT).clamp(-1, 1)
    before, after = streams[:, :-1], streams[:, 1:]
    added = after - before
    relative = added / sizes[:, :-1]
    results = (
        torch.diagonal(cosines, offset=1, dim1=-2, dim2=-1),
        norms[:, 1:] / norms[:, :-1],
        torch.linalg.vector_norm(added, dim=-1) / norms[:, 1:],
        torch.arccos(cosines) / math.pi,
        relative @ relative.mT,
    )
    return tuple(result.cpu().numpy() for result in results)


def _to_final(streams: Tensor, final: Tensor) -> tuple[NDArray[np.float64], ...]:
    """Return cosines and angles of streams, (tokens, N + 1, size), with the final hidden states."""
    import torch

    cosines = torch.cosine_similarity(streams, final[:, None], dim=-1).clamp(-1, 1)
    return cosines.cpu().numpy(), (torch.arccos(cosines) / math.pi).cpu().numpy()
