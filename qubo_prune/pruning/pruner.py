"""A model without some of its layers: saved, loaded again and held against the original."""

from __future__ import annotations

import json
import os
import warnings
from collections import Counter
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from safetensors import SafetensorError

from qubo_prune.core.errors import InputError, OutputError
from qubo_prune.core.text import format_blocks, format_count
from qubo_prune.hessians.gates.gates import Gates, find_gates, frozen
from qubo_prune.hessians.language_model import describe
from qubo_prune.pruning.model_card import model_card
from qubo_prune.pruning.removal.choice import Removal, choose
from qubo_prune.pruning.removal.config_rules import Layers, extra_settings, pruned_config
from qubo_prune.pruning.removal.structure import check_structure, without_layers
from qubo_prune.pruning.removal.verification import Expectation, Verification
from qubo_prune.pruning.saving import (
    CARD,
    RECORD,
    checksums,
    new_folder,
    require_replaceable_folder,
    require_space,
    told_of,
)

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

__all__ = ["Pruned", "prune"]

FORMAT_VERSION = 1


@dataclass(frozen=True, kw_only=True)
class Pruned:
    """What `prune` wrote.

    Attributes
    ----------
    out : Path
        The folder.
    removed : tuple of int
        Ascending indices of the removed layers.
    removed_names : tuple of str
        Their names.
    num_blocks : int
        How many layers the original has.
    kinds : dict
        For each kind how many went, and of how many.
    num_parameters, num_parameters_before : int
        Of the pruned model and of the original.
    verification : Verification
        How it compares with the original.
    choice : dict
        What is known of the removal: energy, rank, measured objective.
    command : str
        How to do it again.
    sha256 : dict
        Checksums of the files.
    described : dict
        The original: name, class, fingerprint, dtype, versions.
    """

    out: Path
    removed: tuple[int, ...]
    removed_names: tuple[str, ...]
    num_blocks: int
    kinds: dict[str, tuple[int, int]]
    num_parameters: int
    num_parameters_before: int
    verification: Verification
    choice: dict[str, Any]
    command: str
    sha256: dict[str, str]
    described: dict[str, Any] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """Return the object in ``prune.json``, in plain Python types."""
        values = {"format_version": FORMAT_VERSION, **self.described}
        for key, value in vars(self).items():
            if key not in ("out", "described", "verification"):
                values[key] = list(value) if isinstance(value, tuple) else value
        values["kinds"] = {kind: list(counts) for kind, counts in self.kinds.items()}
        return values | {"verification": asdict(self.verification)}

    def __str__(self) -> str:
        part = 100 * (1 - self.num_parameters / self.num_parameters_before)
        return (
            f"removed {len(self.removed)} of {self.num_blocks} layers"
            f" ({format_blocks(self.removed)}): {format_count(self.num_parameters)} parameters are"
            f" left of {format_count(self.num_parameters_before)}, {part:.1f} % fewer; loaded"
            " again, logits differ from those with the layers skipped by"
            f" {self.verification.max_difference:.3g}"
        )


def prune(
    model: PreTrainedModel,
    removal: Removal,
    out: str | os.PathLike[str],
    *,
    state: int = 0,
    tokenizer: PreTrainedTokenizerBase | None = None,
    layers: str | None = None,
    command: str | None = None,
    trust_remote_code: bool = False,
) -> Pruned:
    """Save a model without some of its decoder layers, so that every tool loads it.

    The folder gets its name only when it was loaded again and is what it should be: all weights
    there and none left over, logits equal to those of the original with the layers skipped,
    generation with a cache equal to that without, and as many parameters as predicted. A folder
    that `prune` wrote before is replaced.

    Parameters
    ----------
    model : transformers.PreTrainedModel
        A causal language model; it stays as it is.
    removal : Selection, Spectrum, Path or sequence of int or str
        The layers to remove, results that rank some removals, or a file of removals, also in the
        forms of EvoPress, LLM-Drop and mergekit.
    out : path
        The folder to write.
    state : int
        Which removal of a selection, spectrum or file, from 0.
    tokenizer : transformers.PreTrainedTokenizerBase, optional
        Is saved with the model.
    layers : str, optional
        Dotted path of the decoder layers; found if not given.
    command : str, optional
        What the model card names as the way to do it again.
    trust_remote_code : bool
        Run the model's own Python code when it is loaded again.

    Returns
    -------
    Pruned

    Raises
    ------
    InputError
        If the removal is of other blocks, or the architecture cannot do without these layers; the
        text says why.
    OutputError
        If the folder cannot be written.

    Examples
    --------
    >>> import pytest, tempfile
    >>> transformers = pytest.importorskip("transformers")
    >>> config = transformers.LlamaConfig(
    ...     vocab_size=64, hidden_size=16, intermediate_size=32, num_hidden_layers=4,
    ...     num_attention_heads=2, num_key_value_heads=2,
    ... )
    >>> model = transformers.LlamaForCausalLM(config)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     pruned = prune(model, [1, 2], Path(folder, "smaller"))
    ...     print(sorted(path.name for path in pruned.out.iterdir()))
    ['README.md', 'config.json', 'generation_config.json', 'model.safetensors', 'prune.json']
    >>> pruned.verification.max_difference
    0.0
    """
    target = Path(out)
    require_replaceable_folder(target)
    _refuse_own_folder(model, target)
    if getattr(model, "hf_quantizer", None) is not None:
        raise InputError(
            "the weights of the model are quantised, and only plain ones can be pruned; prune the"
            " original and quantise the result."
        )
    gates = find_gates(model, layers=layers)
    choice = choose(removal, [gate.name for gate in gates.gates], state)
    described = describe(model)
    measured_on = choice.facts.get("model_fingerprint", described["model_fingerprint"])
    if measured_on != described["model_fingerprint"]:
        warnings.warn(
            "the selection was measured on a model with another fingerprint; that is no"
            " contradiction if it was loaded in another dtype",
            UserWarning,
            stacklevel=2,
        )
    kept = Layers(tuple(i for i in range(len(gates)) if i not in choice.removed), len(gates))
    config = pruned_config(model.config, kept)
    with frozen(model):
        check_structure(gates, kept, config)
        expected = Expectation(gates, choice.removed)
        require_space(target.resolve().parent, _num_bytes(gates, choice.removed))
        with new_folder(target) as folder:
            _save(gates, kept, config, tokenizer, folder, target)
            verification = expected.verify(folder, trust_remote_code=trust_remote_code)
            pruned = Pruned(
                out=target,
                removed=choice.removed,
                removed_names=tuple(gates.gates[i].name for i in choice.removed),
                num_blocks=len(gates),
                kinds=_kinds(gates, choice.removed),
                num_parameters=verification.num_parameters,
                num_parameters_before=model.num_parameters(),
                verification=verification,
                choice=choice.facts,
                command=command or f"python: prune(model, {list(choice.removed)}, {str(out)!r})",
                sha256=checksums(folder),
                described=described,
            )
            record = pruned.to_dict()
            with told_of(target):
                (folder / RECORD).write_text(json.dumps(record, indent=1) + "\n", "utf-8")
                (folder / CARD).write_text(model_card(record), "utf-8")
    return pruned


def _refuse_own_folder(model: PreTrainedModel, target: Path) -> None:
    """Refuse to replace the folder that the model came from."""
    source = Path(model.name_or_path or "")
    if model.name_or_path and source.is_dir():
        place = source.resolve()
        if target.resolve() in (place, *place.parents):
            raise InputError(
                f"the model comes from {source}, which would be replaced; name another folder."
            )


def _save(
    gates: Gates,
    kept: Layers,
    config: Any,
    tokenizer: PreTrainedTokenizerBase | None,
    folder: Path,
    target: Path,
) -> None:
    """Write weights, configuration, generation configuration and tokenizer."""
    model: Any = gates.model
    try:
        with told_of(target), without_layers(gates, kept, config):
            model.save_pretrained(folder)
            if tokenizer is not None:
                tokenizer.save_pretrained(folder)
            extra = extra_settings(config)
            if extra:
                path = folder / "config.json"
                settings = json.loads(path.read_text("utf-8")) | extra
                path.write_text(json.dumps(settings, indent=2) + "\n", "utf-8")
    except SafetensorError as error:
        raise OutputError(
            f"{target} cannot be written ({' '.join(str(error).split())}); check that its folder"
            " may be written to and has space."
        ) from error


def _num_bytes(gates: Gates, removed: tuple[int, ...]) -> int:
    """Return what the weights that stay take."""
    gone = {id(each) for i in removed for each in gates.layers[i].parameters()}
    return sum(each.nbytes for each in gates.model.parameters() if id(each) not in gone)


def _kinds(gates: Gates, removed: tuple[int, ...]) -> dict[str, tuple[int, int]]:
    total = Counter(gate.kind for gate in gates.gates)
    gone = Counter(gates.gates[i].kind for i in removed)
    return {kind: (gone[kind], count) for kind, count in total.items()}
