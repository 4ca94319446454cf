"""The README of a pruned model: what it was made from, how, and what is known of it."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from qubo_prune.core.files.disk import read_file, write_atomically
from qubo_prune.core.files.strict_json import Reader
from qubo_prune.pruning.saving import CARD, CODE, RECORD

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

_LABELS = {
    "energy": "energy x'Hx",
    "rank_in_spectrum": "rank among the lowest energies, from 0",
    "rank_is_proven": "rank proven",
    "backend": "found by",
    "proposed_by": "proposed by",
    "tied_with_best": "cannot be told apart from the best",
    "baseline": "loss of the original",
    "hessian_sha256": "SHA-256 of the Hessian",
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
    reader = Reader(path, "record of a pruned model", "make the folder again")
    card = model_card(reader.parse(read_file(path)), evaluation)
    write_atomically({folder / CARD: lambda stream: stream.write(card.encode())})


def model_card(record: Mapping[str, Any], evaluation: str | None = None) -> str:
    """Return the Markdown of a model card.

    Parameters
    ----------
    record : mapping
        What `qubo_prune.pruning.pruner.Pruned.to_dict` returns.
    evaluation : str, optional
        How good the model is beside the original, a table in Markdown.
    """
    base, names = str(record["model"]), record["removed_names"]
    what = "layers" if record.get("granularity", "block") == "block" else "branches"
    head = ["---", "library_name: transformers"]
    if not Path(base).exists():  # on the hub
        head.append(f"base_model: {json.dumps(base)}")
    head += ["tags:", "- qubo-prune", "- depth-pruning", "---"]
    sections = [
        "\n".join(head),
        f"# {base.rstrip('/').rpartition('/')[2]} without {len(names)} of"
        f" {record['num_blocks']} {what}",
        f"Made from `{base}` by [qubo-prune](https://pypi.org/project/qubo-prune/), which removed"
        f" {len(names)} of its {record['num_blocks']} "
        + ("decoder layers" if what == "layers" else "residual branches")
        + f": {', '.join(f'`{name}`' for name in names)}. {_how(record)} It has"
        f" {record['num_parameters']:,} parameters, the original"
        f" {record['num_parameters_before']:,}.",
        *([_LOADING] if record.get("branches") == "module" else []),
        _table(
            ("kind", "removed", "of"),
            [(kind, *counts) for kind, counts in record["kinds"].items()],
        ),
    ]
    if record["choice"]:
        sections += ["## Why these", _table(("what", "value"), _evidence(record["choice"]))]
    sections += [
        "## What was checked",
        _checked(record) + ("" if evaluation else " How well it does was not measured here."),
        *(["## How good it is", evaluation.strip()] if evaluation else []),
        "## How it was made",
        f"```sh\n{record['command']}\n```",
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


def _how(record: Mapping[str, Any]) -> str:
    """Return which weights are not those of the original."""
    merge = record.get("merge")
    if merge is not None:
        runs = [
            f"layers {first} to {last} in the place of layer {each['into']}"
            for each in merge["windows"]
            for first, last in [each["layers"]]
        ]
        return (
            f"They were merged into layers beside them, by sliding-window merging in the form"
            f" `{merge['form']}`: {'; '.join(runs)}. No other weight was changed."
        )
    if record.get("branches") == "zero":
        return (
            "Where the layer of a branch stays, the output weights of the branch are zero, so that"
            " it adds nothing; such a branch saves no memory and no time. No other weight was"
            " changed."
        )
    return "No weight was changed."


def _checked(record: Mapping[str, Any]) -> str:
    """Return what was found before the folder got its name."""
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
        what = "layers" if record["granularity"] == "block" else "branches"
        merged = " and the weights merged" if record.get("merge") else ""
        text.append(
            "This folder was loaded again before it got its name: no key was missing, unexpected or"
            " of another size; the logits differ from those of the original with these"
            f" {what} skipped{merged} by at most {difference:.3g}, and generation with a cache from"
            f" that without by at most {checked['cache_difference']:.3g}, in {record['dtype']}."
        )
    return " ".join(text)


def _evidence(facts: Mapping[str, Any]) -> list[tuple[str, str]]:
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
    shown = f"{value:.6g}" if isinstance(value, float) else str(value)
    return shown if error is None else f"{shown} ± {error:.2g}"


def _table(columns: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    lines = [columns, ["---"] * len(columns), *rows]
    return "\n".join("| " + " | ".join(_cell(cell) for cell in line) + " |" for line in lines)


def _cell(cell: object) -> str:
    return " ".join(str(cell).replace("|", "\\|").split())
