"""What attention and MLP take of a model's time: ``python -m benchmarks.block_times MODEL``.

The blocks of the model are timed as `qubo-prune weigh` does it, for a prompt and for the tokens
after it, on one thread of a processor. Stored are the medians of each kind with their standard
errors, and for each kind its parameters.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np

from benchmarks.record import markdown, save
from qubo_prune.pruning.block_times import PHASES, measure_block_times

PROMPT, NEW, REPEATS = 64, 8, 7


def main() -> None:
    """Measure, print the table and write the figures."""
    import torch

    from qubo_prune.hessians import load_model
    from qubo_prune.hessians.gates.gates import find_gates

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    model = load_model(arguments.model, device_map="cpu")
    gates = find_gates(model, "branch")
    times = measure_block_times(gates, prompt_tokens=PROMPT, new_tokens=NEW, repeats=REPEATS)
    columns = {phase: times.milliseconds(phase, "kind") for phase in PHASES}
    rows = []
    for kind in dict.fromkeys(times.kinds):
        block = times.kinds.index(kind)
        row: dict[str, object] = {"kind": kind, "parameters": gates.gates[block].num_parameters}
        for phase, (medians, errors) in columns.items():
            row |= {phase: float(medians[block]), f"{phase}_error": float(errors[block])}
        rows.append(row)
    whole: dict[str, object] = {
        phase: 1e3 * float(np.median(times.whole[phase])) for phase in PHASES
    }
    settings = {
        "model": Path(arguments.model).name,
        "dtype": str(model.dtype).removeprefix("torch."),
        "prompt_tokens": times.prompt_tokens,
        "new_tokens": times.new_tokens,
        "repeats": times.repeats,
        "layers": len(gates.layers),
    }
    path = save(
        "block_times",
        "python -m benchmarks.block_times MODEL",
        [*rows, {"kind": "model", **whole, **settings}],
    )
    lines = [
        [str(row["kind"]), *(f"{row[phase]:.2f} ± {row[f'{phase}_error']:.2f}" for phase in PHASES)]
        for row in rows
    ]
    print(markdown(["kind", *(f"{phase}, ms" for phase in PHASES)], lines))
    print(f"written to {path}")


if __name__ == "__main__":
    main()
