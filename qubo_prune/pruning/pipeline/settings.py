"""What `compress` is asked to do."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from qubo_prune.core.defaults import BACKEND, BATCH_SIZE
from qubo_prune.core.defaults import WEIGHTS as DEFAULT_WEIGHTS
from qubo_prune.core.errors import InputError
from qubo_prune.core.text import did_you_mean, format_value
from qubo_prune.core.validation import as_count
from qubo_prune.pruning.healing.distillation.method import Distill
from qubo_prune.pruning.healing.distillation.settings import DistillSettings
from qubo_prune.pruning.repair.base import HealingMethod

__all__ = ["PRESETS", "CompressSettings", "preset", "preset_values"]

_UNCUT = 131_072
"""Tokens that no sample of a chat has."""


@dataclass(frozen=True, kw_only=True)
class CompressSettings:
    """What to remove, how to choose it, and what to report.

    Attributes
    ----------
    remove : int, str or mapping, optional
        How many blocks, in all, as a share such as ``"10%"``, or of each kind; any number where
        there is `at_least` alone.
    only, keep, force
        As of `qubo_prune.Problem`.
    at_least : float or str, optional
        A budget: what the removed blocks have to weigh.
    weights : str
        What blocks weigh: parameters, bytes, kv-cache, or a file; see `select`.
    granularity : {"block"}
        What a block is: a whole decoder layer. Of branches `select` and `prune` are the steps.
    hessian_samples : int
        Samples of the Hessian; 0 leaves it out, and what it would propose.
    states : int
        How many of its lowest states are found.
    backend : str
        Who finds them.
    solve_seconds : float, optional
        How long that may take.
    evaluations : int
        Removals that are measured; 0 takes the lowest energy for the answer.
    samples : int
        Samples of the measurements; the last half is not looked at by the choice.
    objective : {"loss", "kl"}
        What is measured.
    criteria : tuple of str
        Cheap scores whose removals are measured too.
    candidates : int
        How many of the best removals become models; the first is the one to keep.
    heal : tuple of str
        Methods of healing, each on what the one before has left: a model for each of them.
    heal_samples : int
        Samples that they heal with, of those that the report does not look at.
    distillation : DistillSettings
        Of the method ``distill``.
    evaluation_samples : int
        Samples that nothing above looks at, for the report; 0 for none.
    text : tuple of str
        Files of documents, for the perplexities of the report.
    text_tokens : int, optional
        How many tokens of them count.
    tasks : tuple of str
        Tasks and suites of lm-eval, for the report.
    limit : int, optional
        Most items of each task.
    include_path : str, optional
        A folder with files of tasks.
    latency : bool
        Whether the report has times and memory.
    sequence_length : int
        Most tokens of a sample.
    seed : int
        Of the choice of samples and of every search.
    batch_size : int
        Samples at a time.
    dtype, device, layers, revision, trust_remote_code
        How the model is loaded, see `qubo_prune.hessians.load_model`.
    split, config, text_field, mask_prompt, data_revision
        How samples are read, see `qubo_prune.hessians.load_calibration`.

    Examples
    --------
    >>> CompressSettings(remove=6).evaluations
    60
    >>> preset("paper", remove=8).hessian_samples
    2048
    """

    remove: int | str | Mapping[str, int] | None = None
    only: str | None = None
    keep: tuple[int | str, ...] = ()
    force: tuple[int | str, ...] = ()
    at_least: float | str | None = None
    weights: str = DEFAULT_WEIGHTS
    granularity: Literal["block"] = "block"
    hessian_samples: int = 256
    states: int = 100
    backend: str = BACKEND
    solve_seconds: float | None = 60.0
    evaluations: int = 60
    samples: int = 64
    objective: Literal["loss", "kl"] = "loss"
    criteria: tuple[str, ...] = ("block-influence",)
    candidates: int = 1
    heal: tuple[str, ...] = ()
    heal_samples: int = 512
    distillation: DistillSettings = field(default_factory=DistillSettings)
    evaluation_samples: int = 64
    text: tuple[str, ...] = ()
    text_tokens: int | None = None
    tasks: tuple[str, ...] = ()
    limit: int | None = None
    include_path: str | None = None
    latency: bool = True
    sequence_length: int = 512
    seed: int = 0
    batch_size: int = BATCH_SIZE
    dtype: str = "auto"
    device: str = "auto"
    layers: str | None = None
    revision: str | None = None
    trust_remote_code: bool = False
    split: str = "train"
    config: str | None = None
    text_field: str | None = None
    mask_prompt: bool = False
    data_revision: str | None = None

    def __post_init__(self) -> None:
        if self.remove is None and self.at_least is None:
            raise InputError("say how many blocks to remove, or at_least, what they weigh.")
        for name in ("hessian_samples", "evaluations", "evaluation_samples", "seed"):
            as_count(getattr(self, name), name, least=0, remedy="correct it")
        for name in ("states", "candidates", "batch_size", "heal_samples"):
            as_count(getattr(self, name), name, least=1, remedy="correct it")
        as_count(self.samples, "samples", least=2, remedy="one to choose by and one to report on")
        if self.objective not in ("loss", "kl"):
            raise InputError(
                f"objective must be loss or kl, not {format_value(self.objective)}; choose one."
            )
        if self.granularity != "block":
            raise InputError(
                f"granularity must be block here, not {format_value(self.granularity)}; leave it"
                " out, or do the steps for branches one by one: extract, solve, select, prune."
            )
        for method in self.heal:
            self.method(method).check()
        if len(set(self.heal)) < len(self.heal):
            raise InputError(
                f"heal must name each method once, not {format_value(','.join(self.heal))}; leave"
                " repetitions out."
            )
        if not self.hessian_samples and not self.evaluations:
            raise InputError(
                "hessian_samples=0 and evaluations=0 leave nothing to choose by; give one of them."
            )
        if not self.evaluations and self.candidates > self.states:
            raise InputError(
                f"candidates must be at most the {self.states} states that are found, not"
                f" {self.candidates}; ask for more states."
            )

    def method(self, name: str) -> HealingMethod:
        """Return a method of healing by its name."""
        from qubo_prune.pruning.healing.registry import get_method

        return get_method(name, **(vars(self.distillation) if name == Distill.name else {}))


@dataclass(frozen=True)
class Preset:
    """Settings under a name.

    Attributes
    ----------
    summary : str
        What they are, in one sentence.
    values : dict
        By the names of `CompressSettings`.
    """

    summary: str
    values: dict[str, Any] = field(default_factory=dict)


PRESETS = {
    "paper": Preset(
        "The paper's calibration (2,048 whole chats, one at a time, bfloat16), its lowest energies"
        " instead of measurements, and its six tasks.",
        {
            "hessian_samples": 2048,
            "sequence_length": _UNCUT,
            "seed": 42,
            "batch_size": 1,
            "dtype": "bfloat16",
            "evaluations": 0,
            "candidates": 10,
            "tasks": ("paper",),
            "latency": False,
        },
    )
}
"""All presets."""


def preset(name: str, **settings: Any) -> CompressSettings:
    """Return the settings of a preset, with others in the place of some.

    Parameters
    ----------
    name : str
        One of `PRESETS`.
    **settings
        As of `CompressSettings`; ``remove`` or ``at_least`` has to be there.
    """
    return replace(CompressSettings(remove=0), **{**preset_values(name), **settings})


def preset_values(name: str) -> dict[str, Any]:
    """Return what a preset sets, by the names of `CompressSettings`."""
    if name not in PRESETS:
        raise InputError(
            f"there is no preset {format_value(name)}; choose one of {', '.join(PRESETS)}"
            f"{did_you_mean(name, PRESETS)}"
        )
    return PRESETS[name].values
