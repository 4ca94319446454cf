"""A model of transformers as lm-eval runs it, which can be watched and stopped."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from lm_eval.models.huggingface import HFLM
from transformers import PreTrainedModel

__all__ = ["HarnessModel"]


class HarnessModel(HFLM):  # type: ignore[misc]
    """A model in memory, asked in batches.

    Parameters
    ----------
    model : transformers.PreTrainedModel
        A causal language model.
    tokenizer : transformers tokenizer
        Its tokenizer.
    batch_size : int
        Requests at a time.
    watch : callable
        Called with the number of requests before each batch.
    """

    def __init__(
        self, model: PreTrainedModel, tokenizer: Any, batch_size: int, watch: Callable[[int], None]
    ) -> None:
        super().__init__(
            pretrained=model, tokenizer=tokenizer, backend="causal", batch_size=batch_size
        )
        self._watch = watch

    def _model_call(self, inps: Any, *arguments: Any, **more: Any) -> Any:
        self._watch(len(inps))
        return super()._model_call(inps, *arguments, **more)

    def _model_generate(self, context: Any, *arguments: Any, **more: Any) -> Any:
        self._watch(len(context))
        return super()._model_generate(context, *arguments, **more)
