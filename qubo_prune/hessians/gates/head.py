"""From final hidden states to logits, a few tokens at a time.

The logits of a whole batch are the largest tensor of a language model by far. Most models compute
them with one linear map and a scale or a soft cap; where that reproduces the model's own logits,
they need never exist all at once.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

_FACTORS = ("logit_scale", "lm_head_multiplier")
_DIVISORS = ("logits_scaling",)
_CAPS = ("final_logit_softcapping", "logits_soft_cap")
_TOLERANCE = 64
"""Largest difference of logits taken for rounding, in units of rounding of the largest one."""


@dataclass(frozen=True)
class Head:
    """The last linear map of a model, a constant factor and a soft cap.

    Parameters
    ----------
    linear
        The model's output embedding.
    factor
        What its logits are multiplied with.
    divisor
        What its logits are divided by.
    cap
        They are bounded by ``cap * tanh(logits / cap)``, or not if None.
    """

    linear: nn.Module
    factor: float = 1.0
    divisor: float = 1.0
    cap: float | None = None

    def __call__(self, hidden: Tensor) -> Tensor:
        """Return the logits, shape (..., vocabulary), of hidden states of shape (..., size)."""
        logits: Tensor = self.linear(hidden)
        if self.factor != 1:
            logits = logits * self.factor
        if self.divisor != 1:
            logits = logits / self.divisor
        if self.cap is not None:
            logits = torch.tanh(logits / self.cap) * self.cap
        return logits


def token_embedding(model: nn.Module) -> Tensor:
    """Return the weight of a model's input embedding, (vocabulary, size)."""
    weight: Tensor = model.get_input_embeddings().weight  # type: ignore[operator]
    return weight


def input_device(model: nn.Module) -> torch.device:
    """Return the device that token ids belong on, also where accelerate brings the weights
    there.
    """
    device = token_embedding(model).device
    hook = getattr(model.get_input_embeddings(), "_hf_hook", None)  # type: ignore[operator]
    return torch.device(hook.execution_device) if hook and device.type == "meta" else device


def rounding(logits: Tensor) -> float:
    """Return how far equal logits may lie apart when they are computed in another order."""
    eps: float = torch.finfo(logits.dtype).eps
    return _TOLERANCE * eps * float(logits.abs().max())


def base_hidden_states(model: nn.Module, tokens: Tensor) -> Tensor:
    """Return the final hidden states, (B, T, size), that the model's head is applied to."""
    hidden: Tensor = _base(model)(input_ids=tokens, use_cache=False)[0]
    return hidden


def find_head(model: nn.Module, tokens: Tensor, logits: Tensor) -> Head | None:
    """Return how `model` gets its logits, or None if that does not reproduce `logits` of
    `tokens`.
    """
    linear = model.get_output_embeddings()  # type: ignore[operator]
    if not isinstance(linear, nn.Linear) or _base(model) is model:
        return None
    config = model.config.get_text_config(decoder=True)  # type: ignore[operator, union-attr]
    caps = [cap for name in _CAPS if (cap := getattr(config, name, None)) is not None]
    head = Head(
        linear,
        factor=_product(config, _FACTORS),
        divisor=_product(config, _DIVISORS),
        cap=caps[0] if caps else None,
    )
    with torch.no_grad():
        hidden = base_hidden_states(model, tokens)
        if hidden.shape != (*tokens.shape, linear.in_features):
            return None
        again = head(hidden)
    if again.shape != logits.shape:
        return None
    return head if float((again.to(logits) - logits).abs().max()) <= rounding(logits) else None


def _base(model: nn.Module) -> nn.Module:
    base: nn.Module = model.base_model  # type: ignore[assignment]
    # Llama 4 names a prefix under which it has nothing.
    return model.get_decoder() if base is model else base  # type: ignore[operator]


def _product(config: object, names: tuple[str, ...]) -> float:
    product = 1.0
    for name in names:
        product *= getattr(config, name, None) or 1.0
    return product
