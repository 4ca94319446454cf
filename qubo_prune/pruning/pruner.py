"""A model without some of its blocks: saved, loaded again and held against the original."""

from __future__ import annotations

import contextlib
import copy
import json
import os
import warnings
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from qubo_prune.core.errors import InputError
from qubo_prune.core.text import format_blocks, format_count, format_value
from qubo_prune.hessians.gates.gates import Gates, Granularity, frozen
from qubo_prune.hessians.language_model import describe
from qubo_prune.pruning.model_card import model_card
from qubo_prune.pruning.removal.choice import Removal, find_choice
from qubo_prune.pruning.removal.config_rules import extra_settings
from qubo_prune.pruning.removal.cut import Cut, Kinds, count_in_layers, find_cut, removed_kinds
from qubo_prune.pruning.removal.freed import Freed, Sizes, freed
from qubo_prune.pruning.removal.merging import MERGES, Merge, merged, windows
from qubo_prune.pruning.removal.modeling_file import MissingModules, find_missing
from qubo_prune.pruning.removal.prunable import checked_config, require_plain_weights
from qubo_prune.pruning.removal.structure import without_layers
from qubo_prune.pruning.removal.verification import Expectation, Verification
from qubo_prune.pruning.removal.zeroing import zeroed
from qubo_prune.pruning.removal_lists.together import FOLDER, mergekit_slices, write_lists
from qubo_prune.pruning.saving import (
    CARD,
    RECORD,
    checksums,
    new_folder,
    refuse_replacing,
    require_replaceable_folder,
    require_space,
    told_of,
    weights_written,
)

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

__all__ = ["Pruned", "prune"]

FORMAT_VERSION = 1

Branches = Literal["zero", "module"]

BRANCHES: tuple[Branches, ...] = ("zero", "module")


@dataclass(frozen=True, kw_only=True)
class Pruned:
    """What `prune` wrote.

    Attributes
    ----------
    out : Path
        The folder.
    removed : tuple of int
        Ascending indices of the removed blocks.
    removed_names : tuple of str
        Their names.
    num_blocks : int
        How many blocks the original has.
    granularity : {"block", "branch"}
        What a block is: a layer, or a branch of one.
    layers_removed : tuple of int
        Ascending indices of the layers that are deleted as a whole.
    branches : {"zero", "module"}, optional
        What became of branches that went while their layer stays; None if there are none.
    merge : dict, optional
        How removed layers were merged into others: its form, and for each layer that took some in
        the first and the last that became one.
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
    mergekit : str, optional
        The removal as mergekit writes it, where that can say it.
    freed : dict
        Of parameters, bytes of weights and, where both models were run, bytes of the cache per
        token what was there before, what is left, what is freed, and which share that is.
    """

    out: Path
    removed: tuple[int, ...]
    removed_names: tuple[str, ...]
    num_blocks: int
    granularity: Granularity
    layers_removed: tuple[int, ...]
    branches: Branches | None
    merge: dict[str, Any] | None
    kinds: Kinds
    num_parameters: int
    num_parameters_before: int
    verification: Verification
    choice: dict[str, Any]
    command: str
    sha256: dict[str, str]
    described: dict[str, Any] = field(default_factory=dict)
    mergekit: str | None = None
    freed: Freed = field(default_factory=dict)

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
        if self.granularity == "block":
            what, which = "layers", format_blocks(self.removed)
        else:
            what, which = "branches", ", ".join(self.removed_names)
        skipped = f"{what} skipped"
        how = {"zero": ", as zeros", "module": ", by a modelling file", None: ""}[self.branches]
        if self.merge is not None:
            how += ", merged into those beside them"
            skipped += " and the weights merged"
        checked = self.verification
        found = ""
        if checked.num_tensors is not None:
            found += f"; every byte of {checked.num_tensors:,} tensors is that of the original"
        if checked.max_difference is not None:
            found += (
                f"; loaded again, logits differ from those with the {skipped} by"
                f" {checked.max_difference:.3g}"
            )
        return (
            f"removed {len(self.removed)} of {self.num_blocks} {what} ({which}){how}:"
            f" {format_count(self.num_parameters)} parameters are"
            f" left of {format_count(self.num_parameters_before)}, {part:.1f} % fewer{found}"
        )


def prune(
    model: PreTrainedModel,
    removal: Removal,
    out: str | os.PathLike[str],
    *,
    state: int = 0,
    tokenizer: PreTrainedTokenizerBase | None = None,
    layers: str | None = None,
    branches: Branches | None = None,
    merge: Merge | None = None,
    lists: bool = False,
    evaluation: str | None = None,
    command: str | None = None,
    trust_remote_code: bool = False,
) -> Pruned:
    """Save a model without some of its decoder layers, or branches of them.

    The folder gets its name only when it was loaded again and is what it should be: all weights
    there and none left over, logits equal to those of the original with the blocks skipped,
    generation with a cache equal to that without, and as many parameters as predicted. A folder
    that `prune` wrote before is replaced.

    A layer all of whose branches go is deleted. No loader can leave out a single branch of a layer:
    there its output weights can be set to zero, which loads everywhere and saves nothing, or be
    left out together with a modelling file, which saves memory and time; loading that folder takes
    ``trust_remote_code=True``.

    Parameters
    ----------
    model : transformers.PreTrainedModel
        A causal language model; it stays as it is.
    removal : Selection, Spectrum, Path or sequence of int or str
        The blocks to remove, results that rank some removals, or a file of removals, also in the
        forms of EvoPress, LLM-Drop and mergekit. Numbers in a list are layers.
    out : path
        The folder to write.
    state : int
        Which removal of a selection, spectrum or file, from 0.
    tokenizer : transformers.PreTrainedTokenizerBase, optional
        Is saved with the model.
    layers : str, optional
        Dotted path of the decoder layers; found if not given.
    branches : {"zero", "module"}, optional
        What becomes of a branch whose layer stays: zeros, or nothing and a modelling file. Has to
        be given if there is one.
    merge : {"official", "sum"}, optional
        Merge every run of removed layers into the layer above it, or below it if there is none
        above, in place of deleting it (`qubo_prune.pruning.removal.merging`).
    lists : bool
        Write the removal for EvoPress, LLM-Drop and mergekit, too, those that can say it, into the
        folder ``removal``.
    evaluation : str, optional
        How good the model is, a table in Markdown for the card.
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
    check_options(branches, merge, lists=lists)
    require_replaceable_folder(target)
    refuse_replacing(target, model.name_or_path or "")
    require_plain_weights(model)
    gates, choice = find_choice(model, removal, state, layers=layers)
    cut = find_cut(gates, choice.removed)
    _check_cut(gates, cut, branches, merge)
    described = describe(model)
    measured_on = choice.facts.get("model_fingerprint", described["model_fingerprint"])
    if measured_on != described["model_fingerprint"]:
        warnings.warn(
            "the selection was measured on a model with another fingerprint; that is no"
            " contradiction if it was loaded in another dtype",
            UserWarning,
            stacklevel=2,
        )
    names = [gate.name for gate in gates.gates]
    base = str(described["model"])
    slices = None if merge else mergekit_slices(choice.removed, names, base, described["dtype"])
    with frozen(model), contextlib.ExitStack() as stack:
        config = checked_config(gates, cut) if cut.removed_layers else None
        if merge is not None:
            stack.enter_context(merged(gates, cut.layers, merge))
        missing = find_missing(gates, cut.branches if branches == "module" else ())
        gone = count_in_layers(gates, cut.removed_layers) + missing.num_parameters
        whole = sum(each.nbytes for each in model.parameters())
        expected = Expectation(gates, choice.removed, model.num_parameters() - gone)
        if branches == "zero":
            stack.enter_context(zeroed(gates, cut.branches))
        smaller = _Smaller(gates, cut, config or copy.deepcopy(model.config), missing, tokenizer)
        require_space(target.resolve().parent, smaller.num_bytes)
        with new_folder(target) as folder:
            with weights_written(target):
                smaller.save(folder)
                if lists:
                    write_lists(folder / FOLDER, choice.removed, names, slices)
            verification = expected.verify(
                folder, trust_remote_code=trust_remote_code or bool(missing)
            )
            pruned = Pruned(
                out=target,
                removed=choice.removed,
                removed_names=tuple(names[i] for i in choice.removed),
                num_blocks=len(gates),
                granularity=gates.granularity,
                layers_removed=cut.removed_layers,
                branches=branches if cut.branches else None,
                merge=None if merge is None else _describe_merge(cut, merge),
                kinds=removed_kinds(gates, choice.removed),
                num_parameters=verification.num_parameters,
                num_parameters_before=model.num_parameters(),
                freed=freed(
                    Sizes(model.num_parameters(), whole, expected.cache_per_token),
                    Sizes(
                        verification.num_parameters,
                        smaller.num_bytes,
                        verification.cache_per_token,
                    ),
                ),
                verification=verification,
                choice=choice.facts,
                command=command
                or _call(gates, choice.removed, out, branches=branches, merge=merge, lists=lists),
                sha256=checksums(folder),
                described=described,
                mergekit=slices,
            )
            write_record(pruned, folder, evaluation)
    return pruned


def write_record(pruned: Pruned, folder: Path, evaluation: str | None = None) -> None:
    """Write ``prune.json`` and the model card of a folder that is to get its name."""
    record = pruned.to_dict()
    with told_of(pruned.out):
        (folder / RECORD).write_text(json.dumps(record, indent=1) + "\n", "utf-8")
        (folder / CARD).write_text(model_card(record, evaluation), "utf-8")


def check_options(branches: Branches | None, merge: Merge | None, *, lists: bool) -> None:
    """Refuse options that there are not, or that do not go together, before a model is loaded."""
    for name, value, known in (("branches", branches, BRANCHES), ("merge", merge, MERGES)):
        if value is not None and value not in known:
            raise InputError(
                f"{name} must be one of {', '.join(known)}, not {format_value(value)}; choose one."
            )
    if merge is not None and lists:
        raise InputError(
            "lists=True writes which layers are deleted, but with merge they are merged, which no"
            " list can say; leave one of them out."
        )


def _check_cut(gates: Gates, cut: Cut, branches: Branches | None, merge: Merge | None) -> None:
    """Refuse what the options do not say how to do."""
    if not cut.branches:
        return
    name = gates.gates[cut.branches[0]].name
    if merge is not None:
        raise InputError(
            f"only whole layers can be merged, but {name} is a branch of a layer that stays; do"
            " not merge, or remove whole layers."
        )
    if branches is None:
        raise InputError(
            f"{name} goes while its layer stays, which no loader can leave out; choose branches"
            " zero (loads everywhere, saves no time) or module (saves both; loading needs"
            " trust_remote_code)."
        )


def _call(
    gates: Gates, removed: Sequence[int], out: str | os.PathLike[str], **options: object
) -> str:
    """Return the call that does it again."""
    blocks = [gates.gates[i].name for i in removed] if gates.granularity == "branch" else removed
    given = "".join(f", {name}={value!r}" for name, value in options.items() if value)
    return f"python: prune(model, {list(blocks)}, {str(out)!r}{given})"


def _describe_merge(cut: Cut, merge: Merge) -> dict[str, Any]:
    found = [{"into": into, "layers": [all_[0], all_[-1]]} for into, all_ in windows(cut.layers)]
    return {"form": merge, "windows": found}


@dataclass(frozen=True)
class _Smaller:
    """What is saved: the model without some layers and modules."""

    gates: Gates
    cut: Cut
    config: Any
    missing: MissingModules
    tokenizer: PreTrainedTokenizerBase | None

    @property
    def num_bytes(self) -> int:
        """What the weights that stay take."""
        gone = {id(p) for i in self.cut.removed_layers for p in self.gates.layers[i].parameters()}
        gone |= {id(p) for module in self.missing.modules for p in module.parameters()}
        return sum(p.nbytes for p in self.gates.model.parameters() if id(p) not in gone)

    def save(self, folder: Path) -> None:
        """Write weights, configuration, generation configuration, tokenizer and code."""
        model: Any = self.gates.model
        with (
            without_layers(self.gates, self.cut.layers, self.config),
            self.missing.taken_out() as places,
        ):
            # A class of ours is not among those for which the library converts names of weights.
            model.save_pretrained(folder, save_original_format=not self.missing)
            if self.tokenizer is not None:
                self.tokenizer.save_pretrained(folder)
            extra = extra_settings(self.config)
            if extra:
                path = folder / "config.json"
                settings = json.loads(path.read_text("utf-8")) | extra
                path.write_text(json.dumps(settings, indent=2) + "\n", "utf-8")
            if self.missing:
                self.missing.write_code(folder, places)
