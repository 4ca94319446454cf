"""The README of a pruned model: what it was made from, how, and what is known of it."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from qubo_prune.core.files.disk import read_file, write_atomically
from qubo_prune.core.files.strict_json import Reader
from qubo_prune.pruning.removal.freed import freed_rows
from qubo_prune.pruning.saving import CARD, CODE, HEALING, RECORD

PATENT = (
    "The method by which the blocks were chosen may be covered by a patent application of its"
    " authors; check that before commercial use."
)

_LOADING = f"""\
Loading it runs the code in `{CODE}`, which leaves out the branches whose layers stay:

```python
from transformers import AutoModelForCausalLM

model = AutoModelForCausalLM.from_pretrained(folder, trust_remote_code=True)
```"""

_MERGEKIT = "mergekit makes the same of this (`mergekit-yaml FILE OUT`):"

_SIZES = ("before", "after", "freed")

_LABELS = {
    "energy": "energy x'Hx",
    "rank_in_spectrum": "rank among the lowest energies, from 0",
    "rank_is_proven": "rank proven",
    "backend": "found by",
    "proposed_by": "proposed by",
    "tied_with_best": "cannot be told apart from the best",
    "baseline": "loss of the original",
    "hessian_sha256": "SHA-256 of the Hessian",
    "weight_removed": "removed weight",
    "weight_share": "share of the weight of all blocks",
    "at_least": "budget: at least",
    "weights_of": "what blocks weigh",
}


def write_card(folder: Path, evaluation: str) -> None:
    """Write the model card of a folder that `prune` wrote again, with how good the model is.

    Parameters
    ----------
    folder : path
        The folder; one without a record of `prune` is left as it is.
    evaluation : str
        A table in Markdown.
    """
    path = folder / RECORD
    if not path.exists():
        return
    record, healing = (
        Reader(each, "record of a pruned model", "make the folder again").parse(read_file(each))
        if each.exists()
        else None
        for each in (path, folder / HEALING)
    )
    assert record is not None  # noqa: S101  # seen above
    card = model_card(record, evaluation, healing)
    write_atomically({folder / CARD: lambda stream: stream.write(card.encode())})


def healed_card(record: Mapping[str, Any] | None, healing: Mapping[str, Any]) -> str:
    """Return the Markdown of the card of a healed model.

    Parameters
    ----------
    record : mapping, optional
        What ``prune.json`` says, if the model has one.
    healing : mapping
        What `qubo_prune.pruning.healing.healed.Healed.to_dict` returns.
    """
    if record is not None:
        return model_card(record, healing=healing)
    base = str(healing["original"]["model"])
    sections = [
        _front_matter(base),
        f"# {base.rstrip('/').rpartition('/')[2]} without {len(healing['removed'])} layers, healed",
        *_healing(healing),
    ]
    return "\n\n".join(sections) + "\n"


def model_card(
    record: Mapping[str, Any],
    evaluation: str | None = None,
    healing: Mapping[str, Any] | None = None,
) -> str:
    """Return the Markdown of a model card.

    Parameters
    ----------
    record : mapping
        What `qubo_prune.pruning.pruner.Pruned.to_dict` returns.
    evaluation : str, optional
        How good the model is beside the original, a table in Markdown.
    healing : mapping, optional
        What ``heal.json`` says, if the model was healed.
    """
    base, names = str(record["model"]), record["removed_names"]
    what = "layers" if record.get("granularity", "block") == "block" else "branches"
    sections = [
        _front_matter(base),
        f"# {base.rstrip('/').rpartition('/')[2]} without {len(names)} of"
        f" {record['num_blocks']} {what}",
        f"Made from `{base}` by qubo-prune, which removed"
        f" {len(names)} of its {record['num_blocks']} "
        + ("decoder layers" if what == "layers" else "residual branches")
        + f": {', '.join(f'`{name}`' for name in names)}. {_how(record, healing)} It has"
        f" {record['num_parameters']:,} parameters, the original"
        f" {record['num_parameters_before']:,}.",
        *([_LOADING] if record.get("branches") == "module" else []),
        _table(
            ("kind", "removed", "of"),
            [(kind, *counts) for kind, counts in record["kinds"].items()],
        ),
        *([_table(("", *_SIZES), freed_rows(record["freed"]))] if "freed" in record else []),
    ]
    if record["choice"]:
        sections += ["## Why these", _table(("what", "value"), evidence(record["choice"]))]
    sections += [
        "## What was checked",
        _checked(record, "The pruned model" if healing else "This folder")
        + ("" if evaluation or healing else " How well it does was not measured here."),
        *(_healing(healing) if healing else []),
        *(["## How good it is", evaluation.strip()] if evaluation else []),
        "## How it was made",
        "```sh\n" + "".join(f"{each['command']}\n" for each in (record, healing) if each) + "```",
        *([_MERGEKIT, f"```yaml\n{record['mergekit']}\n```"] if record.get("mergekit") else []),
        ", ".join(f"{name} {version}" for name, version in record["versions"].items()) + ".",
        _table(("SHA-256", "file"), [(each, name) for name, each in record["sha256"].items()]),
        *(
            [f"Fingerprint of the original: `{record['model_fingerprint']}`."]
            if record["model_fingerprint"]
            else []
        ),
        PATENT,
    ]
    return "\n\n".join(sections) + "\n"


def _front_matter(base: str) -> str:
    head = ["---", "library_name: transformers"]
    if not Path(base).exists():  # on the hub
        head.append(f"base_model: {json.dumps(base)}")
    return "\n".join([*head, "tags:", "- qubo-prune", "- depth-pruning", "---"])


def _healing(healing: Mapping[str, Any]) -> list[str]:
    """Return what was done to the weights, and what it brought."""
    done = [*healing["earlier"], *healing["steps"]]
    samples = healing["calibration"]
    sections = [
        "## How it was healed",
        "\n".join(f"{i}. `{each['method']}`: {each['summary']}." for i, each in enumerate(done, 1)),
        f"This took {samples['samples']} samples ({samples['tokens']:,} tokens) of"
        f" `{samples['source']}`. The folder was loaded again: its logits differ from those of the"
        f" healed model by at most {healing['max_difference']:.3g}, and generation with a cache"
        f" from that without by at most {healing['cache_difference']:.3g}.",
    ]
    if healing["stop_reason"] != "completed":
        sections.append(f"It was ended early ({healing['stop_reason']}).")
    evaluation = healing["evaluation"]
    if evaluation is None:
        return [*sections, "What it brought was not measured."]
    rows = []
    for model, metrics in evaluation["metrics"].items():
        values = [_number(float(m["value"]), m["standard_error"] or 0.0) for m in metrics]
        rows.append((model, *values, *[""] * (3 - len(values))))
    changes = [
        f"{name} {change:+.3f} ± {error:.3f}"
        for name, found in healing["gain"].items()
        if found is not None
        for change, error in [found]
    ]
    return [
        *sections,
        _table(("held-out samples", "loss", "KL from the original", "top-1 agreement"), rows),
        f"Healing changed, sample by sample: {', '.join(changes)}.",
    ]


def _how(record: Mapping[str, Any], healing: Mapping[str, Any] | None) -> str:
    """Return which weights are not those of the original."""
    other = _other_weights(record)
    if healing is not None:
        return " ".join([*other, "Then it was healed."])
    return f"{other[0]} No other weight was changed." if other else "No weight was changed."


def _other_weights(record: Mapping[str, Any]) -> list[str]:
    """Return which weights the removal changed, in a sentence or none."""
    merge = record.get("merge")
    if merge is not None:
        runs = [
            f"layers {first} to {last} in the place of layer {each['into']}"
            for each in merge["windows"]
            for first, last in [each["layers"]]
        ]
        return [
            f"They were merged into layers beside them, by sliding-window merging in the form"
            f" `{merge['form']}`: {'; '.join(runs)}."
        ]
    if record.get("branches") == "zero":
        return [
            "Where the layer of a branch stays, the output weights of the branch are zero, so that"
            " it adds nothing; such a branch saves no memory and no time."
        ]
    return []


def _checked(record: Mapping[str, Any], subject: str) -> str:
    """Return what was found before the folder that prune wrote got its name."""
    checked = record["verification"]
    copied, difference = checked.get("num_tensors"), checked["max_difference"]
    text = []
    if copied is not None:
        text.append(
            "The weights were copied from the files of the original without loading them. The"
            " folder was read again before it got its name: every byte of its"
            f" {copied:,} tensors is that of the original, and by their names and shapes none is"
            " missing, left over or of another size in the model of this configuration."
            + (" Nothing was run." if difference is None else "")
        )
    if difference is not None:
        what = "branches" if record.get("granularity") == "branch" else "layers"
        merged = " and the weights merged" if record.get("merge") else ""
        text.append(
            f"{subject} was loaded again before it got its name: no key was missing, unexpected or"
            " of another size; the logits differ from those of the original with these"
            f" {what} skipped{merged} by at most {difference:.3g}, and generation with a cache from"
            f" that without by at most {checked['cache_difference']:.3g}, in {record['dtype']}."
        )
    return " ".join(text)


def evidence(facts: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Return why a removal was chosen, as ``prune.json`` has it, in words: names and values."""
    rows = [("taken from", f"state {facts['state']} of a {facts['source']}")]
    if "objective" in facts:
        name = {"loss": "increase of the loss", "kl": "KL divergence from the original"}.get(
            facts["objective"], facts["objective"]
        )
        for key, error, where in (
            ("value", "standard_error", "the samples of the choice"),
            ("held_out", "held_out_error", "held-out samples"),
        ):
            if key in facts:
                rows.append((f"{name}, {where}", _number(facts[key], facts.get(error))))
    for key, label in _LABELS.items():
        if key in facts:
            rows.append((label, _number(facts[key])))
    source = facts.get("samples", {}).get("source")
    return rows if source is None else [*rows, ("calibration", str(source))]


def _number(value: Any, error: Any = None) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if error is not None:
        return f"{value:.4g} ± {error:.2g}"
    return f"{value:.6g}" if isinstance(value, float) else str(value)


def _table(columns: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    lines = [columns, ["---"] * len(columns), *rows]
    return "\n".join("| " + " | ".join(_cell(cell) for cell in line) + " |" for line in lines)


def _cell(cell: object) -> str:
    return " ".join(str(cell).replace("|", "\\|").split())
