"""The model of an extraction: loaded, told apart from others, and put into the states that
gradients need.
"""

from __future__ import annotations

import hashlib
import importlib
import re
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from qubo_prune.core.errors import InputError
from qubo_prune.core.text import format_count
from qubo_prune.core.version import versions

if TYPE_CHECKING:
    from torch import nn
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

DTYPES = ("auto", "float32", "bfloat16", "float16", "float64")
"""What weights can be loaded as; ``auto`` is what the model was saved in."""

_FINGERPRINT_ENTRIES = 64

_POINTER = b"version https://git-lfs"
_LAYER = re.compile(r"(.*?\.\d+)\.")
_POSITIONS = re.compile(r"pos|wpe")
_SHOWN = 5
_SURPLUS = "qubo_prune_surplus_weights"
"""Attribute of a loaded model that holds the names of weights that it does not use."""

_LOADING_ERRORS = (OSError, ValueError, KeyError, ImportError)
"""What transformers raises for what it cannot find, reach, recognise or read."""


def check_config(
    name: str, *, revision: str | None = None, trust_remote_code: bool = False
) -> None:
    """Find out what is wrong with a model's folder or name before its weights are read.

    Parameters
    ----------
    name, revision, trust_remote_code
        As of `load_model`.

    Raises
    ------
    InputError
        If torch and transformers are not installed, there is no such model, its configuration
        cannot be read or contradicts itself, or would run code from the hub.
    """
    transformers = _transformers()
    folder = Path(name)
    if folder.is_dir() and not (folder / "config.json").exists():
        is_adapter = (folder / "adapter_config.json").exists()
        raise InputError(
            f"the folder {name!r} holds an adapter, not a model; merge it into its model first, as"
            " peft's merge_and_unload does."
            if is_adapter
            else f"the folder {name!r} has no config.json, so it is no model that transformers"
            " loads; check the path."
        )
    with said_of(name):
        described, _ = transformers.PretrainedConfig.get_config_dict(name, revision=revision)
        if not trust_remote_code:
            _refuse_hub_kernels(name, described)
        transformers.AutoConfig.from_pretrained(
            name, revision=revision, trust_remote_code=trust_remote_code
        )


def model_folder(name: str, *, revision: str | None = None) -> Path:
    """Return the folder of a model, of one on the hub the copy here, fetched if need be: its
    safetensors files, and all small ones.

    Parameters
    ----------
    name, revision
        As of `load_model`.

    Raises
    ------
    InputError
        If it cannot be fetched.
    """
    if Path(name).is_dir():
        return Path(name)
    hub = importlib.import_module("huggingface_hub")
    with said_of(name):
        return Path(
            hub.snapshot_download(
                name,
                revision=revision,
                ignore_patterns=[
                    "*.bin",
                    "*.pt",
                    "*.pth",
                    "*.gguf",
                    "*.h5",
                    "*.msgpack",
                    "*.onnx*",
                    "original/*",
                    "consolidated*",
                ],
            )
        )


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
    in_4bit: bool = False,
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
    in_4bit : bool
        Quantise its weights to the 4 bits of NF4, by bitsandbytes.

    Raises
    ------
    InputError
        If torch and transformers are not installed, the model cannot be loaded, or its checkpoint
        lacks weights, which would be random. Weights that it has and the model does not use are a
        warning, and in the sidecar of what is computed.
    """
    require_dtype(dtype)
    transformers = _transformers()
    quantised = _in_4bit(dtype) if in_4bit else {}
    check_config(name, revision=revision, trust_remote_code=trust_remote_code)
    _refuse_pointers(name)
    with said_of(name):
        loaded, report = transformers.AutoModelForCausalLM.from_pretrained(
            name,
            dtype=dtype,
            device_map=device_map,
            revision=revision,
            trust_remote_code=trust_remote_code,
            output_loading_info=True,
            ignore_mismatched_sizes=True,  # to be refused below, by name
            **quantised,
        )
    for key, found, wanted in sorted(report["mismatched_keys"]):
        raise InputError(
            f"the checkpoint of {name!r} holds {key} of size {tuple(found)}, but its config.json"
            f" asks for {tuple(wanted)} ({len(report['mismatched_keys'])} such in all); correct one"
            " of them."
        )
    missing = sorted(report["missing_keys"])
    if missing:
        raise InputError(
            f"the checkpoint of {name!r} lacks {listed(missing)}, which would be random; correct"
            " its config.json (num_hidden_layers?) or complete the weights."
        )
    surplus = sorted(report["unexpected_keys"])
    if surplus:
        warnings.warn(
            f"the checkpoint of {name!r} holds {listed(surplus)}, which the model as configured"
            " does not use",
            UserWarning,
            stacklevel=2,
        )
        setattr(loaded, _SURPLUS, surplus)
    model: PreTrainedModel = loaded.eval()
    return model


def _in_4bit(dtype: str) -> dict[str, Any]:
    """Return how to load a model in 4 bits."""
    import importlib.util

    if importlib.util.find_spec("bitsandbytes") is None:
        raise InputError(
            "loading in 4 bits is done by bitsandbytes, which is not installed; install it with:"
            " pip install bitsandbytes, or load the original as it is."
        )
    from transformers import BitsAndBytesConfig

    return {
        "quantization_config": BitsAndBytesConfig(  # type: ignore[no-untyped-call]
            load_in_4bit=True,
            bnb_4bit_quant_type="nf4",
            bnb_4bit_compute_dtype="bfloat16" if dtype == "auto" else dtype,
        )
    }


@contextmanager
def said_of(name: str) -> Iterator[None]:
    """Turn whatever loading a model raises into one line about it."""
    try:
        yield
    except InputError:
        raise
    # Each library below transformers has errors of its own, and of some the base is Exception.
    except Exception as error:
        raise InputError(
            f"the model {name!r} cannot be loaded ({type(error).__name__}:"
            f" {' '.join(str(error).split()):.300}); check its name or folder, the network, the"
            " device and --trust-remote-code."
        ) from error


def _refuse_hub_kernels(name: str, described: Any) -> None:
    """Refuse a configuration that names an attention kernel of the hub, which is code to run."""
    if not isinstance(described, dict):
        return
    for key, value in described.items():
        if isinstance(value, dict):
            _refuse_hub_kernels(name, value)
        elif key.removeprefix("_") == "attn_implementation" and "/" in str(value):
            raise InputError(
                f"the configuration of {name!r} asks for the attention kernel {value!r} of the hub,"
                " which is code; allow it with --trust-remote-code, or take it out."
            )


def _refuse_pointers(name: str) -> None:
    """Refuse a folder whose weights were not fetched, only the small files that stand for them."""
    for path in sorted(Path(name).glob("*.safetensors")) + sorted(Path(name).glob("*.bin")):
        with path.open("rb") as stream:
            if stream.read(len(_POINTER)) == _POINTER:
                raise InputError(
                    f"{path} is a pointer of Git LFS, not the weights; fetch them, as with"
                    " git lfs pull."
                )


def listed(keys: Sequence[str]) -> str:
    """Say which weights, by layer where they are of layers."""
    layers = {match[1]: None for key in keys if (match := _LAYER.match(key))}
    others = [key for key in keys if not _LAYER.match(key)]
    what = [*layers, *others]
    shown = ", ".join(what[:_SHOWN]) + (
        f" and {len(what) - _SHOWN} more" if len(what) > _SHOWN else ""
    )
    return f"{shown} ({format_count(len(keys))} tensor{'s' if len(keys) > 1 else ''})"


def check_length(model: PreTrainedModel, longest: int) -> None:
    """Refuse samples that reach beyond a learned table of positions.

    Parameters
    ----------
    model : transformers.PreTrainedModel
        Models that compute their positions have no such table, and no limit here.
    longest : int
        Tokens of the longest sample.

    Raises
    ------
    InputError
        If the table is shorter.
    """
    from torch import nn

    limit = getattr(model.config.get_text_config(decoder=True), "max_position_embeddings", None)
    if not isinstance(limit, int) or longest <= limit:
        return
    for path, module in model.named_modules():
        # Some tables have a few rows more, for padding.
        is_table = isinstance(module, nn.Embedding) and 0 <= module.num_embeddings - limit <= 2
        if is_table and _POSITIONS.search(path.rpartition(".")[2]):
            raise InputError(
                f"a sample has {longest} tokens, but the positions of {type(model).__name__} end at"
                f" {limit}; use --sequence-length {limit}."
            )


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
            "models are run by torch and transformers, which are not both installed; "
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
    described = describe_as(
        model.name_or_path or type(model).__name__,
        model,
        dtype=str(model.dtype).removeprefix("torch."),
        fingerprint=fingerprint(model),
    )
    surplus = getattr(model, _SURPLUS, None)
    if surplus:
        described["surplus_weights"] = surplus
    revision = getattr(model.config, "_commit_hash", None)
    return described if revision is None else {**described, "model_revision": revision}


def describe_as(
    name: str, model: PreTrainedModel, *, dtype: str, fingerprint: str | None
) -> dict[str, Any]:
    """Return what a sidecar says about a model that may have no weights; one of which some are not
    known has no fingerprint.
    """
    return {
        "model": name,
        "model_class": type(model).__name__,
        "model_fingerprint": fingerprint,
        "dtype": dtype,
        "versions": versions("python", "qubo-prune", "torch", "transformers", "numpy"),
    }


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
