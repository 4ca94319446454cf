"""Low-rank adapters in the place of all weights (LoRA), by peft."""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from qubo_prune.core.errors import InputError
from qubo_prune.hessians.language_model import in_float32

if TYPE_CHECKING:
    from transformers import PreTrainedModel

__all__ = ["adapted", "require_peft"]


def require_peft() -> Any:
    """Return peft.

    Raises
    ------
    InputError
        If it is not installed.
    """
    try:
        import peft
    except ImportError as error:
        raise InputError(
            "LoRA is done by peft, which is not installed; install it with: pip install"
            " 'qubo-prune[heal]', or train all weights."
        ) from error
    return peft


@contextlib.contextmanager
def adapted(model: PreTrainedModel, rank: int, seed: int) -> Iterator[dict[str, nn.Parameter]]:
    """Give all linear maps but the head adapters, and add them to the weights in the end.

    Parameters
    ----------
    model
        Gets them; an exception leaves it as it was.
    rank
        Of each; what they add is scaled by 2, as by ``lora_alpha = 2 * rank``.
    seed
        Of their first values.

    Yields
    ------
    dict of str to torch.nn.Parameter
        Their weights, by name, in float32.
    """
    peft = require_peft()
    config = peft.LoraConfig(
        r=rank, lora_alpha=2 * rank, lora_dropout=0.0, target_modules="all-linear", bias="none"
    )
    with torch.random.fork_rng(devices=[]), warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # of peft's use of transformers
        torch.manual_seed(seed)
        try:
            wrapped = peft.get_peft_model(model, config)
        except ValueError as error:
            raise InputError(
                f"{type(model).__name__} takes no LoRA ({' '.join(str(error).split()):.200}); train"
                " all weights."
            ) from error
    try:
        yield {name: each for name, each in model.named_parameters() if each.requires_grad}
    except BaseException:
        wrapped.unload()
        raise
    with torch.no_grad(), in_float32(model):  # rounded once, not adapters and sum apart
        wrapped.merge_and_unload()
