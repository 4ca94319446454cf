"""A model made smaller in one command, and checked: ``python -m benchmarks.compression MODEL``.

`compress` with its defaults, then what somebody would do with the folder: load it with
transformers, generate, and compare its logits in float32 with those of the original whose layers
are skipped by hooks of this file. The report of `compress` is on chats, on the pages of a text, and
on HellaSwag by lm-eval with a file of its items, before and after healing. Killed, the same command
goes on.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from benchmarks.evaluation import write_pages, write_tasks
from benchmarks.record import save
from qubo_prune.pruning import Compressed, CompressSettings, compress
from qubo_prune.pruning.healing.distillation.settings import DistillSettings

DISTILLATION = DistillSettings(learning_rate=2e-4, step_samples=8)
"""The paper's settings are for a thousand times as many samples: with its 64 samples to a step and
2e-5, the few hundred here would be eight steps that change next to nothing.
"""

PROMPTS = ("The capital of France is", "Write a haiku about the sea.")


def run(arguments: argparse.Namespace) -> Compressed:
    """Do what is missing."""
    inputs: Path = arguments.out.with_name(f"{arguments.out.name}-inputs")
    inputs.mkdir(parents=True, exist_ok=True)
    text = () if arguments.text is None else (str(write_pages(inputs, arguments.text)),)
    settings = CompressSettings(
        remove=arguments.remove,
        text=text,
        text_tokens=arguments.text_tokens,
        tasks=tuple(write_tasks(inputs, arguments.hellaswag, None, 0)),
        limit=arguments.items,
        include_path=str(inputs),
        device="cpu",
        dtype=arguments.dtype,
        heal=tuple(arguments.heal.split(",")) if arguments.heal else (),
        heal_samples=arguments.heal_samples,
        distillation=DISTILLATION,
    )
    return compress(arguments.model, arguments.data, arguments.out, settings, tell=print)


def check(model: str, smaller: Path, removed: Iterable[int]) -> dict[str, Any]:
    """Return how the folder, loaded by transformers alone, compares with the original."""
    tokenizer = AutoTokenizer.from_pretrained(smaller)
    loaded = AutoModelForCausalLM.from_pretrained(smaller, dtype=torch.float32)
    original = AutoModelForCausalLM.from_pretrained(model, dtype=torch.float32)
    for index in removed:
        original.model.layers[index].register_forward_hook(_skipped)
    difference = 0.0
    with torch.inference_mode():
        for prompt in PROMPTS:
            tokens = tokenizer(prompt, return_tensors="pt").input_ids
            ours = loaded(tokens, use_cache=False).logits
            theirs = original(tokens, use_cache=False).logits
            difference = max(difference, float((ours - theirs).abs().max()))
        made = loaded.generate(tokens, max_new_tokens=24, do_sample=False)
    return {
        "layers": len(loaded.model.layers),
        "num_hidden_layers": loaded.config.num_hidden_layers,
        "largest_difference_of_logits_in_float32": difference,
        "prompt": PROMPTS[-1],
        "generated": tokenizer.decode(made[0, tokens.shape[1] :]),
    }


def _skipped(_: Any, inputs: tuple[Any, ...], output: Any) -> Any:
    state = inputs[0]
    return state if torch.is_tensor(output) else (state, *output[1:])


def main() -> None:
    """Compress, check, and write the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model", metavar="MODEL", help="a folder with a Llama model")
    parser.add_argument("--data", required=True, metavar="FILE", help="chats")
    parser.add_argument("--remove", type=int, default=6)
    parser.add_argument("--text", type=Path, metavar="FILE", help="wikitext")
    parser.add_argument("--text-tokens", type=int, default=32768)
    parser.add_argument("--hellaswag", type=Path, metavar="FILE")
    parser.add_argument("--items", type=int, default=200, help="of HellaSwag")
    parser.add_argument("--heal", default="", metavar="METHODS", help="as linear,distill")
    parser.add_argument("--heal-samples", type=int, default=192)
    parser.add_argument("--out", type=Path, default=Path("compression"), metavar="FOLDER")
    parser.add_argument("--dtype", default="auto")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    begin, cpu = time.perf_counter(), time.process_time()
    compressed = run(arguments)
    rows: list[dict[str, Any]] = [
        {"step": step.name, "outcome": step.outcome, "seconds": round(step.seconds, 1)}
        for step in compressed.steps
    ]
    seconds = {
        "this_run": round(time.perf_counter() - begin, 1),
        "this_run_of_processor": round(time.process_time() - cpu, 1),
    }
    smaller = arguments.out / "04-model"
    rows.append({"removed": list(compressed.removed), "summary": compressed.summary, **seconds})
    rows.append(check(arguments.model, smaller, compressed.removed))
    rows += [
        {"healed": path.parent.name, **{key: step[key] for key in ("summary", "seconds")}}
        for path in sorted(arguments.out.glob("05-healed-*/heal.json"))
        for step in json.loads(path.read_text())["steps"]
    ]
    if compressed.evaluation is not None:
        print(compressed.evaluation.to_markdown())
        for model, metric, comparison in compressed.evaluation.rows:
            rows.append(
                {
                    "model": model,
                    "measure": metric.name,
                    "value": metric.value,
                    "standard_error": metric.standard_error,
                    "p_value": None if comparison is None else comparison.p_value,
                }
            )
            if comparison is not None:
                rows[-1]["change"] = [comparison.change, comparison.low, comparison.high]
    command = (
        f"python -m benchmarks.compression MODEL --data CHATS --remove {arguments.remove}"
        " --text WIKITEXT --hellaswag ITEMS"
    )
    if arguments.heal:
        command += f" --heal {arguments.heal} --heal-samples {arguments.heal_samples}"
    print(save("compression" if arguments.heal else "compression_once", command, rows))


if __name__ == "__main__":
    main()
