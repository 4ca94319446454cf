"""The Hessians that come with the package."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

_DATA = Path(__file__).with_name("data")


@dataclass(frozen=True)
class BundledHessian:
    """A Hessian that comes with the package.

    Attributes
    ----------
    name : str
        What `load_hessian` and the command line know it by.
    path : Path
        Its ``.npy`` file.
    num_blocks : int
        N.
    kinds : dict
        Number of blocks of each kind.
    model : str
        The model that it was computed from.
    samples : int
        Number of calibration samples.
    description : str
        What it is, in one sentence.
    """

    name: str
    path: Path
    num_blocks: int
    kinds: dict[str, int]
    model: str
    samples: int
    description: str


def bundled_names() -> list[str]:
    """Return the names of the Hessians that come with the package."""
    return sorted(path.stem for path in _DATA.glob("*.npy"))


def bundled() -> list[BundledHessian]:
    """Return the Hessians that come with the package, by name.

    Examples
    --------
    >>> {hessian.name: hessian.num_blocks for hessian in bundled()}["llama-80-branch"]
    160
    """
    found = []
    for path in sorted(_DATA.glob("*.npy")):
        sidecar = json.loads(path.with_suffix(".json").read_bytes())
        kinds = sidecar["kinds"]
        found.append(
            BundledHessian(
                name=path.stem,
                path=path,
                num_blocks=len(kinds),
                kinds={kind: kinds.count(kind) for kind in dict.fromkeys(kinds)},
                model=sidecar["model"],
                samples=sidecar["samples"],
                description=sidecar["description"],
            )
        )
    return found
