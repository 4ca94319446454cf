"""The state of a distillation on disk, from which it goes on as if it had never been stopped."""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from qubo_prune.core.errors import InputError, OutputError
from qubo_prune.core.files.strict_json import Reader, as_float, as_floats, as_integer

__all__ = ["Progress", "load_state", "save_state"]

_MOMENTS = ("exp_avg", "exp_avg_sq")
_WEIGHT = "weight"
_META = "distillation"


@dataclass
class Progress:
    """How far a distillation is.

    Attributes
    ----------
    losses : list of float
        Mean over the tokens of each step that was made, in nats.
    tokens : int
        Of all these steps.
    seconds : float
        That they took.
    """

    losses: list[float] = field(default_factory=list)
    tokens: int = 0
    seconds: float = 0.0


def save_state(
    path: Path,
    weights: Mapping[str, nn.Parameter],
    optimizer: torch.optim.Optimizer,
    progress: Progress,
) -> None:
    """Write the state, completely or not at all.

    Parameters
    ----------
    path
        The file.
    weights
        What is trained, by name.
    optimizer
        AdamW of these.
    progress
        How far it is.

    Raises
    ------
    OutputError
        If it cannot be written; a former one stays.
    """
    tensors: dict[str, Tensor] = {}
    for name, weight in weights.items():
        tensors[f"{_WEIGHT}.{name}"] = weight.detach()
        for moment in _MOMENTS:
            if moment in optimizer.state[weight]:
                tensors[f"{moment}.{name}"] = optimizer.state[weight][moment]
    meta = {_META: json.dumps(asdict(progress))}
    new = path.with_name(f".{path.name}.new")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        save_file({name: each.contiguous().cpu() for name, each in tensors.items()}, new, meta)
        with new.open("rb+") as stream:
            os.fsync(stream.fileno())
        new.replace(path)
    except (OSError, SafetensorError) as error:
        with contextlib.suppress(OSError):
            new.unlink(missing_ok=True)
        raise OutputError(
            f"the state of the distillation, {path}, cannot be written"
            f" ({' '.join(str(error).split())}); check that its folder may be written to and has"
            " space."
        ) from error


def load_state(
    path: Path,
    weights: Mapping[str, nn.Parameter],
    optimizer: torch.optim.Optimizer,
) -> Progress:
    """Put what was saved into weights and optimizer, and return how far it is.

    Parameters
    ----------
    path, weights, optimizer
        As of `save_state`.

    Raises
    ------
    InputError
        If the file is damaged.
    """
    reader = Reader(path, "state of a distillation", "delete it to begin again")
    try:
        with safe_open(path, "pt") as saved:
            meta = reader.parse((saved.metadata() or {}).get(_META, "").encode())
            progress = Progress(
                reader.get(meta, "losses", as_floats).tolist(),
                reader.get(meta, "tokens", as_integer),
                reader.get(meta, "seconds", as_float),
            )
            for name, weight in weights.items():
                weight.data.copy_(saved.get_tensor(f"{_WEIGHT}.{name}"))
                optimizer.state[weight] = {
                    "step": torch.tensor(float(len(progress.losses))),
                    **{
                        moment: saved.get_tensor(f"{moment}.{name}").to(weight.device)
                        for moment in _MOMENTS
                    },
                }
    except (OSError, SafetensorError, RuntimeError) as error:
        raise InputError(
            f"{path} is no state of a distillation that can be read"
            f" ({' '.join(str(error).split()):.200}); delete it to begin again."
        ) from error
    return progress
