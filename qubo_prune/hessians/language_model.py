"""The model of an extraction: loaded, told apart from others, and put into the states that
gradients need.
"""

from __future__ import annotations

import hashlib
import platform
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

from qubo_prune.core.errors import InputError
from qubo_prune.core.version import __version__

if TYPE_CHECKING:
    from torch import nn
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

DTYPES = ("auto", "float32", "bfloat16", "float16", "float64")
"""What weights can be loaded as; ``auto`` is what the model was saved in."""

_FINGERPRINT_ENTRIES = 64

_LOADING_ERRORS = (OSError, ValueError, KeyError, ImportError)
"""What transformers raises for what it cannot find, reach, recognise or read."""


def load_tokenizer(
    name: str, *, revision: str | None = None, trust_remote_code: bool = False
) -> PreTrainedTokenizerBase | None:
    """Load the tokenizer of a model; None if none comes with it.

    Parameters
    ----------
    name, revision, trust_remote_code
        As of `load_model`.

    Raises
    ------
    InputError
        If transformers is not installed.
    """
    transformers = _transformers()
    try:
        tokenizer: PreTrainedTokenizerBase = transformers.AutoTokenizer.from_pretrained(
            name, revision=revision, trust_remote_code=trust_remote_code
        )
    except _LOADING_ERRORS:
        return None
    return tokenizer


def load_model(
    name: str,
    *,
    dtype: str = "auto",
    device_map: str | None = "auto",
    revision: str | None = None,
    trust_remote_code: bool = False,
) -> PreTrainedModel:
    """Load a causal language model, ready for `extract`.

    Parameters
    ----------
    name : str
        A folder, or the name of a model on the Hugging Face hub.
    dtype : str
        One of `DTYPES`.
    device_map : str, optional
        As of transformers: ``auto`` spreads the model over the devices there are; or ``cpu``,
        ``cuda:1``...
    revision : str, optional
        Branch, tag or commit on the hub.
    trust_remote_code : bool
        Run the Python code that comes with the model.

    Raises
    ------
    InputError
        If torch and transformers are not installed, or the model cannot be loaded.
    """
    require_dtype(dtype)
    transformers = _transformers()
    try:
        model: Any = transformers.AutoModelForCausalLM.from_pretrained(
            name,
            dtype=dtype,
            device_map=device_map,
            revision=revision,
            trust_remote_code=trust_remote_code,
        )
    except _LOADING_ERRORS as error:
        raise InputError(
            f"the model {name!r} cannot be loaded ({' '.join(str(error).split()):.300}); "
            "check its name or folder, the network and --trust-remote-code."
        ) from error
    loaded: PreTrainedModel = model.eval()
    return loaded


def require_dtype(dtype: str) -> None:
    """Refuse what is not in `DTYPES`."""
    if dtype not in DTYPES:
        raise InputError(f"dtype must be one of {', '.join(DTYPES)}, not {dtype!r}; choose one.")


def _transformers() -> Any:
    try:
        import torch  # noqa: F401  # transformers can be imported without
        import transformers
    except ImportError as error:
        raise InputError(
            "extraction needs torch and transformers, which are not both installed; "
            "install them with: pip install 'qubo-prune[torch]'."
        ) from error
    return transformers


def fingerprint(model: PreTrainedModel) -> str:
    """Return a checksum of the configuration and of a few entries of every parameter."""
    import torch

    digest = hashlib.sha256(type(model).__name__.encode())
    digest.update(model.config.to_json_string().encode())
    for name, parameter in model.named_parameters():
        digest.update(f"{name} {tuple(parameter.shape)} {parameter.dtype}".encode())
        flat = parameter.detach().flatten()
        step = max(1, len(flat) // _FINGERPRINT_ENTRIES)
        digest.update(flat[::step].to("cpu", torch.float64).numpy().tobytes())
    return digest.hexdigest()


def describe(model: PreTrainedModel) -> dict[str, Any]:
    """Return what a sidecar says about a model."""
    described = {
        "model": model.name_or_path or type(model).__name__,
        "model_class": type(model).__name__,
        "model_fingerprint": fingerprint(model),
        "dtype": str(model.dtype).removeprefix("torch."),
        "versions": {
            "python": platform.python_version(),
            "qubo-prune": __version__,
            **{library: version(library) for library in ("torch", "transformers", "numpy")},
        },
    }
    revision = getattr(model.config, "_commit_hash", None)
    return described if revision is None else {**described, "model_revision": revision}


@contextmanager
def checkpointed(model: PreTrainedModel, enabled: bool) -> Iterator[None]:
    """Compute activations again in the backward pass instead of keeping them."""
    if not enabled:
        yield
        return
    if not model.supports_gradient_checkpointing:
        raise InputError(
            f"{type(model).__name__} has no gradient checkpointing; leave it out and use smaller"
            " batches."
        )
    # Renamed in transformers 5, where the old name warns.
    name = "activation" if hasattr(model, "activation_checkpointing_enable") else "gradient"
    getattr(model, f"{name}_checkpointing_enable")({"use_reentrant": False})
    try:
        yield
    finally:
        getattr(model, f"{name}_checkpointing_disable")()


@contextmanager
def in_float32(model: nn.Module) -> Iterator[None]:
    """Have the parameters and buffers of a model in float32, which loses nothing of bfloat16 and
    float16.
    """
    import torch

    tensors = [*model.parameters(), *model.buffers()]
    narrow = [tensor for tensor in tensors if tensor.dtype in (torch.bfloat16, torch.float16)]
    dtypes = [tensor.dtype for tensor in narrow]
    for tensor in narrow:
        tensor.data = tensor.data.float()
    try:
        yield
    finally:
        for tensor, dtype in zip(narrow, dtypes, strict=True):
            tensor.data = tensor.data.to(dtype)
