"""What two smaller models can still do: ``python -m benchmarks.evaluation MODEL --data CHATS``.

The original, six layers removed as the loop of `qubo-prune select` chose, and six as block
influence does: loss, KL and agreement on chats, both perplexities of a text, sizes, times, and
HellaSwag and GSM8K by lm-eval with files of their items. What is measured is kept in FOLDER as it
comes: killed, the same command goes on.
"""

from __future__ import annotations

import argparse
import json
import re
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch

from benchmarks.record import save
from qubo_prune.hessians.calibration import load_calibration
from qubo_prune.hessians.language_model import load_model, load_tokenizer
from qubo_prune.pruning import Evaluation, evaluate, prune
from qubo_prune.pruning.evaluation.comparison import Comparison
from qubo_prune.pruning.evaluation.metrics import Metric
from qubo_prune.pruning.evaluation.tables import Row, markdown_table

CUTS = {
    "loop's choice": (3, 4, 5, 16, 17, 18),
    "block influence's": (12, 13, 14, 15, 17, 25),
}
"""The removals of six layers of SmolLM2-135M-Instruct that are compared."""

HELLASWAG = """\
task: hellaswag_local
dataset_path: json
dataset_kwargs: {{data_files: {{validation: {data}}}}}
validation_split: validation
output_type: multiple_choice
doc_to_text: "{{{{context}}}}"
doc_to_target: "{{{{label}}}}"
doc_to_choice: endings
metric_list:
  - {{metric: acc, aggregation: mean, higher_is_better: true}}
  - {{metric: acc_norm, aggregation: mean, higher_is_better: true}}
"""

GSM8K = """\
task: gsm8k_local
dataset_path: json
dataset_kwargs: {{data_files: {{test: {data}}}}}
test_split: test
fewshot_split: test
num_fewshot: 5
output_type: generate_until
doc_to_text: "Question: {{{{messages[0].content}}}}\\nAnswer:"
doc_to_target: "{{{{messages[1].content}}}}"
generation_kwargs: {{until: ["Question:", "<|im_end|>"], do_sample: false}}
metric_list:
  - metric: exact_match
    aggregation: mean
    higher_is_better: true
    ignore_case: true
    regexes_to_ignore: [",", "\\\\$", "(?s).*#### ", "\\\\.$"]
filter_list:
  - name: strict-match
    filter:
      - {{function: regex, regex_pattern: "#### (\\\\-?[0-9\\\\.\\\\,]+)"}}
      - {{function: take_first}}
"""

HEADING = re.compile(r"^(?= = [^=\n]+ = $)", re.MULTILINE)
"""Where a page of wikitext begins."""


KEPT = ("name", "value", "standard_error", "unit")
"""What is stored of a metric, beside its kind and facts; samples are not."""


def table(rows: list[dict[str, Any]]) -> str:
    """Return the stored results as the table of `Evaluation.to_markdown`."""
    return markdown_table(
        [
            Row(
                each["model"],
                Metric(**each["metric"]),
                None if each["comparison"] is None else Comparison(**each["comparison"]),
            )
            for each in rows[0]["results"]
        ]
    )


def write_tasks(folder: Path, hellaswag: Path | None, gsm8k: Path | None, items: int) -> list[str]:
    """Write files of tasks for lm-eval into a folder, and return the names of the tasks."""
    folder.mkdir(parents=True, exist_ok=True)
    names = []
    if hellaswag is not None:
        (folder / "hellaswag.yaml").write_text(HELLASWAG.format(data=hellaswag.resolve()))
        names.append("hellaswag_local")
    if gsm8k is not None:
        few = folder / "gsm8k.jsonl"
        few.write_text("".join(gsm8k.read_text().splitlines(keepends=True)[:items]))
        (folder / "gsm8k.yaml").write_text(GSM8K.format(data=few.resolve()))
        names.append("gsm8k_local")
    return names


def write_pages(folder: Path, text: Path) -> Path:
    """Write each page of a file of wikitext as a row, as lm-eval has them, and return the file."""
    pages = [page for page in HEADING.split(text.read_text()) if page.strip()]
    path = folder / "pages.jsonl"
    path.write_text("".join(json.dumps({"page": page}) + "\n" for page in pages))
    return path


def run(arguments: argparse.Namespace) -> Evaluation:
    """Make the smaller models that are missing, and measure everything that is not known."""
    folder: Path = arguments.folder
    folder.mkdir(exist_ok=True)
    models: dict[str, Any] = {"original": arguments.model}
    for number, (name, removed) in enumerate(CUTS.items()):
        models[name] = folder / f"cut-{number}"
        if not models[name].exists():
            tokenizer = load_tokenizer(arguments.model)
            original = load_model(arguments.model, dtype=arguments.dtype, device_map="cpu")
            prune(original, list(removed), models[name], tokenizer=tokenizer)
    tasks = folder / "tasks"
    return evaluate(
        models,
        load_calibration(
            arguments.data,
            load_tokenizer(arguments.model),
            num_samples=48,
            sequence_length=256,
            seed=1,
        ),
        text=None if arguments.text is None else write_pages(folder, arguments.text),
        text_tokens=arguments.text_tokens,
        tasks=write_tasks(tasks, arguments.hellaswag, arguments.gsm8k, arguments.gsm8k_items),
        limit=arguments.items,
        include_path=tasks,
        dtype=arguments.dtype,
        device_map="cpu",
        state=folder / "evaluation.measures.jsonl",
    )


def main() -> None:
    """Measure, print the table and write the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model", metavar="MODEL", help="a folder, or a name on the hub")
    parser.add_argument("--data", type=Path, required=True, metavar="FILE", help="chats")
    parser.add_argument("--text", type=Path, metavar="FILE", help="wikitext")
    parser.add_argument("--text-tokens", type=int, default=32768)
    parser.add_argument("--hellaswag", type=Path, metavar="FILE")
    parser.add_argument("--items", type=int, default=200, help="of HellaSwag")
    parser.add_argument("--gsm8k", type=Path, metavar="FILE")
    parser.add_argument("--gsm8k-items", type=int, default=40)
    parser.add_argument("--folder", type=Path, default=Path("evaluation-study"), metavar="FOLDER")
    parser.add_argument("--dtype", default="bfloat16")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    evaluation = run(arguments)
    results = [
        {
            "model": row.model,
            "metric": {key: getattr(row.metric, key) for key in KEPT}
            | {"kind": row.metric.kind.value, "facts": dict(row.metric.facts)},
            "comparison": None if row.comparison is None else asdict(row.comparison),
        }
        for row in evaluation.rows
    ]
    command = (
        "python -m benchmarks.evaluation MODEL --data CHATS --text WIKITEXT --hellaswag FILE"
        " --gsm8k FILE"
    )
    settings = {
        **evaluation.settings,
        "model": Path(arguments.model).name,
        "removed": {name: list(removed) for name, removed in CUTS.items()},
    }
    rows = [{"settings": settings, "results": results}]
    print(table(rows))
    save("evaluation", command, rows)


if __name__ == "__main__":
    main()
