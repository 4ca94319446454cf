"""Calibration samples in the tokens of a model that is named, before its weights are loaded."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from qubo_prune.core.errors import InputError
from qubo_prune.hessians.calibration.calibration import Calibration, load_calibration
from qubo_prune.hessians.calibration.sources import NoTokenizerError
from qubo_prune.hessians.language_model import load_tokenizer

__all__ = ["samples_for_model"]


def samples_for_model(
    model: str,
    data: Sequence[str],
    *,
    revision: str | None = None,
    trust_remote_code: bool = False,
    data_revision: str | None = None,
    **options: Any,
) -> Calibration:
    """Draw samples by the tokenizer that comes with a model.

    Parameters
    ----------
    model : str
        A folder, or a name on the hub.
    data : sequence of str
        Files, or one dataset.
    revision, trust_remote_code
        As of `qubo_prune.hessians.language_model.load_tokenizer`.
    data_revision : str, optional
        Of the dataset.
    **options
        As of `load_calibration`.

    Raises
    ------
    InputError
        If the samples need a tokenizer and none comes with the model, or cannot be read.
    """
    tokenizer = load_tokenizer(model, revision=revision, trust_remote_code=trust_remote_code)
    source = data[0] if len(data) == 1 else data
    try:
        return load_calibration(source, tokenizer, revision=data_revision, **options)
    except NoTokenizerError as error:
        raise InputError(
            f"the model {model!r} comes with no tokenizer that can be loaded, but"
            f" {error.what}; add its tokenizer.json, or give token ids as input_ids."
        ) from error
