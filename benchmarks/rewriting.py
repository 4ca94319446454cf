"""A folder pruned without loading it, beside a copy of the same bytes: ``python -m
benchmarks.rewriting``.

A model of random weights (bfloat16, about 2 GB in files of at most 500 MB) is made in a temporary
folder. In turns, one process each: `prune --without-loading` of a quarter of its layers, the same
through memory, and `cp` of the smaller folder. Reported are medians of the seconds, and the most
memory that a process had beyond that of one which only imports what pruning does.
"""

from __future__ import annotations

import argparse
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from benchmarks.record import markdown, save

LAYERS = 24
REMOVED = "3,7,11,15,19,23"

_MEASURED = """
import resource, runpy, sys
sys.argv = ["qubo-prune", *sys.argv[1:]]
try:
    runpy.run_module("qubo_prune", run_name="__main__")
except SystemExit as error:
    assert not error.code, error.code
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024, file=sys.stderr)
"""

_NOTHING = """
import resource, sys
import torch, transformers
from transformers import LlamaForCausalLM
import qubo_prune.pruning.rewriting.rewriter
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024, file=sys.stderr)
"""


def make(folder: Path, hidden: int) -> int:
    """Write the model; return the bytes of its weights."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    config = LlamaConfig(
        vocab_size=32_000,
        hidden_size=hidden,
        intermediate_size=3 * hidden,
        num_hidden_layers=LAYERS,
        num_attention_heads=16,
        num_key_value_heads=16,
        dtype="bfloat16",
    )
    with torch.device("meta"):
        model = LlamaForCausalLM(config).to(torch.bfloat16)
    model = model.to_empty(device="cpu")
    for parameter in model.parameters():
        parameter.data.fill_(0.01)
    model.model.rotary_emb = type(model.model.rotary_emb)(config)
    model.save_pretrained(folder, max_shard_size="500MB")
    return size_of(folder)


def size_of(folder: Path) -> int:
    """Return the bytes of the weights in a folder."""
    return sum(path.stat().st_size for path in folder.glob("*.safetensors"))


def measured(code: str, *arguments: str) -> tuple[float, int]:
    """Run a program in a process; return its seconds and the most memory that it had."""
    started = time.monotonic()
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments], check=True, capture_output=True, text=True
    )
    return time.monotonic() - started, int(done.stderr.split()[-1])


def main() -> None:
    """Measure in turns, print the table and write the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--hidden", type=int, default=1664)
    parser.add_argument("--repeats", type=int, default=3)
    arguments = parser.parse_args()
    ways: dict[str, list[float]] = {"without loading": [], "through memory": [], "cp": []}
    memory: dict[str, list[int]] = {"without loading": [], "through memory": []}
    with tempfile.TemporaryDirectory() as place:
        source, out, copy = (str(Path(place, name)) for name in ("model", "out", "copy"))
        total = make(Path(source), arguments.hidden)
        _, base = measured(_NOTHING)
        prune = ["prune", source, "--blocks", REMOVED, "--out", out, "-q"]
        for _ in range(arguments.repeats):
            for way, more in (("without loading", ["--without-loading"]), ("through memory", [])):
                seconds, peak = measured(_MEASURED, *prune, *more)
                ways[way].append(seconds)
                memory[way].append(peak - base)
            shutil.rmtree(copy, ignore_errors=True)
            started = time.monotonic()
            subprocess.run(["cp", "-r", out, copy], check=True)  # noqa: S607
            subprocess.run(["sync", copy], check=True)  # noqa: S607
            ways["cp"].append(time.monotonic() - started)
        left = size_of(Path(out))
    rows = [
        {
            "way": way,
            "seconds": statistics.median(seconds),
            "all_seconds": seconds,
            "memory_bytes": statistics.median(memory[way]) if way in memory else None,
        }
        for way, seconds in ways.items()
    ]
    settings = {"bytes": total, "bytes_left": left, "layers": LAYERS, "removed": REMOVED}
    path = save(
        "rewriting", "python -m benchmarks.rewriting", [{"settings": settings, "ways": rows}]
    )
    lines = [
        [
            str(row["way"]),
            f"{row['seconds']:.1f}",
            "" if row["memory_bytes"] is None else f"{float(row['memory_bytes']) / 1e6:,.0f}",
        ]
        for row in rows
    ]
    print(f"{total / 1e9:.2f} GB, of which {left / 1e9:.2f} GB are left")
    print(markdown(["way", "seconds", "MB beyond imports"], lines))
    print(f"written to {path}")


if __name__ == "__main__":
    main()
