"""Whether a saved model is the original with some layers skipped."""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

import torch
from torch import Tensor

from qubo_prune.core.errors import InputError
from qubo_prune.hessians.gates.gates import Gates
from qubo_prune.hessians.gates.head import rounding
from qubo_prune.hessians.gates.probes import random_tokens, run
from qubo_prune.pruning.evaluation.size import cache_bytes
from qubo_prune.pruning.measuring.skipping import Skipper

_GENERATED = 6
"""Tokens generated in the test of the cache."""


@dataclass(frozen=True)
class Verification:
    """What was found when the saved model was loaded, or its files were read, again.

    Attributes
    ----------
    num_parameters : int
        How many it has, which is what was predicted.
    max_difference : float or None
        Largest difference of a logit from the original with the blocks skipped; None if neither was
        run.
    cache_difference : float or None
        Largest difference of a logit between generation with and without a cache.
    num_tensors : int or None
        Stored tensors of which every byte is the original's; None if weights were not copied but
        saved.
    cache_per_token : int or None
        Bytes that its cache grows by with each token; None if it was not run, or has none.
    """

    num_parameters: int
    max_difference: float | None
    cache_difference: float | None
    num_tensors: int | None = None
    cache_per_token: int | None = None


class Expectation:
    """What a model without some blocks computes, by skipping them.

    Parameters
    ----------
    gates : Gates
        Of the original.
    removed : sequence of int
        The blocks to go.
    num_parameters : int
        How many parameters are left.

    Attributes
    ----------
    cache_per_token : int or None
        Bytes that the cache of the original grows by with each token.
    """

    def __init__(self, gates: Gates, removed: tuple[int, ...], num_parameters: int) -> None:
        model: Any = gates.model
        self._tokens = random_tokens(model)
        self._model = model
        skipper = Skipper(gates, self._tokens)
        with skipper.without(removed):
            self._logits = run(model, self._tokens)
            self._repeats = torch.equal(run(model, self._tokens), self._logits)
        self.num_parameters = num_parameters
        self.cache_per_token = _cache_per_token(model)

    def verify(self, folder: Path, *, trust_remote_code: bool = False) -> Verification:
        """Load a saved model and hold it against the original.

        Raises
        ------
        InputError
            If weights are missing, left over or of another size, a logit differs by any amount, the
            cache leads elsewhere, or the number of parameters is not what was predicted.
        """
        reloaded = self._reload(folder, trust_remote_code)
        number = reloaded.num_parameters()
        if number != self.num_parameters:
            fail(f"it has {number:,} parameters, but {self.num_parameters:,} are left")
        try:
            logits = run(reloaded, self._tokens.to(reloaded.device)).to(self._logits.device)
        except Exception as error:  # noqa: BLE001 - whatever code of the model raises
            fail(f"it cannot be run ({' '.join(str(error).split()):.200})", error)
        difference = float((logits - self._logits).abs().max())
        # Atomic additions on a GPU: then there are no bits to compare, only rounding.
        allowed = 0.0 if self._repeats else rounding(self._logits)
        if not difference <= allowed:
            fail(f"its logits differ by up to {difference:.3g} from those with the blocks skipped")
        return Verification(
            number,
            difference,
            self._check_cache(reloaded),
            cache_per_token=_cache_per_token(reloaded),
        )

    def _reload(self, folder: Path, trust_remote_code: bool) -> Any:
        transformers = importlib.import_module("transformers")  # its functions carry no types
        model = self._model
        spread = len(set(map(str, getattr(model, "hf_device_map", {}).values()))) > 1
        reloaded, report = transformers.AutoModelForCausalLM.from_pretrained(
            folder,
            dtype=model.dtype,
            device_map="auto" if spread else str(model.device),
            trust_remote_code=trust_remote_code,
            attn_implementation=model.config._attn_implementation,
            output_loading_info=True,
            ignore_mismatched_sizes=True,  # to be refused below, by name
            local_files_only=True,
        )
        for what in ("missing_keys", "unexpected_keys", "mismatched_keys"):
            if report[what]:
                fail(f"loading it reports {what} ({min(map(str, report[what]))}...)")
        return reloaded.eval()

    def _check_cache(self, reloaded: Any) -> float:
        """Return how far the logits of generation with a cache lie from those without."""
        tokens = self._tokens[:1].to(reloaded.device)
        try:
            found = _cache_difference(reloaded, tokens)
        except Exception as error:  # noqa: BLE001 - such as that of a hybrid without any attention
            fail(f"it cannot generate with a cache ({' '.join(str(error).split()):.200})", error)
        difference, allowed = found
        if not difference <= allowed:
            # Some architectures differ so themselves, by the order of additions in their scans.
            original, _ = _cache_difference(self._model, tokens.to(self._model.device))
            if not difference <= 2 * original:
                fail(f"its logits with a cache differ by up to {difference:.3g} from those without")
        return difference


def _cache_difference(model: Any, tokens: Tensor) -> tuple[float, float]:
    """Return the largest difference between logits with and without a cache, and what rounding
    explains.
    """
    transformers = importlib.import_module("transformers")
    settings = transformers.GenerationConfig(
        do_sample=False,
        max_new_tokens=_GENERATED,
        min_new_tokens=_GENERATED,
        use_cache=True,
        return_dict_in_generate=True,
        output_logits=True,
        pad_token_id=0,
    )
    with torch.no_grad():
        generated = model.generate(
            tokens, attention_mask=torch.ones_like(tokens), generation_config=settings
        )
    cached = torch.stack(generated.logits, 1)
    start = tokens.shape[1] - 1
    plain = run(model, generated.sequences)[:, start : start + cached.shape[1]]
    return float((cached - plain).abs().max()), rounding(plain)


def _cache_per_token(model: Any) -> int | None:
    """Return the bytes that the cache of a model grows by with each token, if that can be told."""
    try:
        found = cache_bytes(model)
    except Exception:  # noqa: BLE001 - whatever code of the model raises: it is only reported
        return None
    return None if found is None else found[0]


def fail(what: str, error: Exception | None = None) -> NoReturn:
    """Refuse a pruned model that is not what it should be."""
    raise InputError(
        f"the pruned model is not what it should be: {what}; nothing was written; remove"
        " other blocks, if this architecture can do without any."
    ) from error
