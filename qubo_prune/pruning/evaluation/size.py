"""What a model takes: parameters, bytes of weights, and what its cache grows by with each token."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import torch
from torch import Tensor
from transformers import PreTrainedModel

from qubo_prune.hessians.gates.probes import random_tokens
from qubo_prune.pruning.evaluation.metrics import Metric
from qubo_prune.pruning.evaluation.samples import inference

__all__ = ["cache_bytes", "measure_size", "weight_bytes"]

_CACHES = ("past_key_values", "cache_params")
"""Under which of these names a model returns its cache."""


def measure_size(model: PreTrainedModel) -> list[Metric]:
    """Return parameters, bytes of weights, and bytes of the cache: per token, and per sequence
    whatever its length, as states of Mamba layers are.
    """
    metrics = [
        Metric.size("parameters", model.num_parameters()),
        Metric.size("weights", weight_bytes(model), "bytes"),
    ]
    cache = cache_bytes(model)
    if cache is not None:
        per_token, per_sequence = cache
        metrics.append(Metric.size("cache per token", per_token, "bytes"))
        if per_sequence:
            metrics.append(Metric.size("state per sequence", per_sequence, "bytes"))
    return metrics


def weight_bytes(model: PreTrainedModel) -> int:
    """Return the bytes of all parameters and buffers; what is shared counts once."""
    return sum(each.nbytes for each in (*model.parameters(), *model.buffers()))


def cache_bytes(model: PreTrainedModel) -> tuple[int, int] | None:
    """Return by how much the cache of a sequence grows with each token, and what does not grow.

    It is read off caches that the model fills with two and with three tokens, so no rule about
    architectures can be wrong. Layers that see a window only stop growing when it is full. None if
    the model returns no cache.

    Parameters
    ----------
    model : transformers.PreTrainedModel
        A causal language model.

    Examples
    --------
    >>> import pytest
    >>> transformers = pytest.importorskip("transformers")
    >>> config = transformers.GPT2Config(
    ...     vocab_size=50, n_embd=16, n_layer=3, n_head=2, bos_token_id=0, eos_token_id=0
    ... )
    >>> cache_bytes(transformers.GPT2LMHeadModel(config))  # 3 layers, keys and values, 16 float32
    (384, 0)
    """
    few, more = (_filled(model, length) for length in (2, 3))
    if few is None or more is None:
        return None
    return more - few, few - 2 * (more - few)


def _filled(model: PreTrainedModel, length: int) -> int | None:
    """Return the bytes of the cache after so many tokens of one sequence."""
    tokens = random_tokens(model)[:1, :length]
    with inference(model):
        output = model(input_ids=tokens, use_cache=True)
    for name in _CACHES:
        cache = getattr(output, name, None)
        if cache is not None:
            return sum({each.data_ptr(): each.nbytes for each in _tensors(cache, set())}.values())
    return None


def _tensors(value: Any, seen: set[int]) -> Iterator[Tensor]:
    """Yield every tensor in a cache, whatever it is made of."""
    if id(value) in seen:
        return
    seen.add(id(value))
    if isinstance(value, Tensor):
        if value.ndim:  # not a counter
            yield value
    elif isinstance(value, Mapping):
        for each in value.values():
            yield from _tensors(each, seen)
    elif isinstance(value, list | tuple):
        for each in value:
            yield from _tensors(each, seen)
    elif hasattr(value, "__dict__") and not isinstance(value, torch.nn.Module | type):
        yield from _tensors(vars(value), seen)
