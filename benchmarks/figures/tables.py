"""Tables of the docs that are made of stored results, but for those of `benchmarks.tables`."""

from __future__ import annotations

from collections.abc import Callable
from statistics import median
from typing import Any

from benchmarks.figures.stored import one, stored
from benchmarks.record import markdown
from benchmarks.tables import rows_of

METHODS = (
    *("loop", "best criterion", "EvoPress", "EvoPress from block influence", "SLEB"),
    "lowest energies",
)
"""Of the study of searches."""


def of(name: str) -> Callable[[], str]:
    """Return what makes the table of a study by the study's own function `table`."""

    def make() -> str:
        from importlib import import_module

        made: str = import_module(f"benchmarks.{name}").table(stored(name))
        return made

    return make


def solvers_in_short() -> str:
    """Return one line per solver of the study of recall: what it promises and what it found."""
    from qubo_prune.backends import backend_class
    from qubo_prune.backends.base import Capability

    rows = rows_of("recall")
    body = []
    for name in dict.fromkeys(row["backend"] for row in rows):
        mine = [row for row in rows if row["backend"] == name and row["outcome"] != "refused"]
        tasks = [row for row in rows if row["backend"] == name]
        promised = backend_class(name).capabilities
        counts = (
            f"{sum(row[column] == '1.0' for row in mine)} of {len(tasks)}"
            for column in ("ground_state", "recall_100", "recall_100_repaired")
        )
        seconds = [float(row["wall_seconds"]) for row in mine]
        body.append(
            [
                f"`{name}`",
                "yes" if Capability.PROVES in promised else "no",
                *counts,
                f"{median(seconds):.2f}" if seconds else "",
            ]
        )
    columns = ["solver", "proves", "ground state", "all 100 lowest", "after repair", "median s"]
    return markdown(columns, body)


def energy_truth() -> str:
    """Return the table of energies beside the truth."""
    from benchmarks.energy_truth import table

    return table(stored("energy_truth")[0])


def healing() -> str:
    """Return the table of repairs."""
    from benchmarks.healing import table

    return table(stored("healing")[1:])


def searches() -> str:
    """Return the table of the study of searches."""
    from benchmarks.selection import table

    return table(stored("selection")[0]["results"])


def reference_models() -> str:
    """Return the table of the bundled models."""
    from benchmarks.reference_models.summary import hessians_table

    return hessians_table()


def certificates() -> str:
    """Return the table of the certificates of the package."""
    from benchmarks.reference_models.summary import spectra_table

    return spectra_table()


def lookups() -> str:
    """Return the table of searches where every removal is known."""
    from benchmarks.selection_tables import told

    return told(stored("selection_tables"))


def winner(remove: int, method: str, seed: int = 0) -> dict[str, Any]:
    """Return the winner of a method of the study of searches; of the criteria, the best one."""
    names = [
        row for row in stored("selection")[0]["results"]
        if (row["remove"], row["seed"]) == (remove, seed) and row["held_out"] is not None
    ]  # fmt: skip
    known = [row for row in names if row["method"] == method]
    if method == "best criterion":
        known = [row for row in names if row["method"] not in METHODS]
    [found] = known
    return found


def key_of(row: dict[str, Any]) -> str:
    """Return what perplexities and accuracies of a removal are stored by."""
    return ",".join(map(str, row["removed"]))


def perplexities() -> str:
    """Return the table of perplexities of the winners of seed 0, the lowest in bold."""
    found = stored("selection")[0]["perplexity"]
    body = []
    for remove in (3, 6, 9, 12):
        values = [float(found[key_of(winner(remove, method))]) for method in METHODS]
        cells = [f"{value:,.1f}" if value < 1000 else f"{value:,.0f}" for value in values]
        best = f"{min(values):,.1f}"
        body.append([str(remove), *(f"**{cell}**" if cell == best else cell for cell in cells)])
    return markdown(["M", *METHODS], body)


def accuracies() -> str:
    """Return the table of HellaSwag's accuracies of the winners of seed 0."""
    found = stored("selection")[0]["hellaswag"]
    body = [
        [str(remove), *(f"{found[key_of(winner(remove, method))][0]:.3f}" for method in METHODS)]
        for remove in (3, 6, 9, 12)
    ]
    return markdown(["layers removed", *METHODS], body)


def compression() -> str:
    """Return the table of a model that was made smaller and healed."""
    models = ("original", "04-model", "05-healed-linear", "05-healed-linear-distill")

    def with_error(measure: str, digits: int) -> list[str]:
        rows = [_metric(model, measure) for model in models]
        return [
            f"{row['value']:.{digits}f} ± {row['standard_error']:.{digits}f}" if row else ""
            for row in rows
        ]

    def above(model: str) -> str:
        change, low, high = one("compression", model=model, measure="loss")["change"]
        return f"{change:+.2f} ({low:.2f}, {high:.2f})"

    losses = [f"{one('compression', model=m, measure='loss')['value']:.2f}" for m in models]
    sizes = [one("compression", model=m, measure="parameters")["value"] for m in models[:2]]
    caches = [one("compression", model=m, measure="cache per token")["value"] for m in models[:2]]
    same = ["the same", "the same"]
    body = [
        ["loss, 64 chats that no choice and no healing looked at", *losses],
        ["above the original (95 %)", "", *map(above, models[1:])],
        ["KL from the original", *with_error("KL", 3)],
        ["top-1 agreement", *with_error("top-1 agreement", 3)],
        ["perplexity of wikitext-2, by token", *with_error("token perplexity", 1)],
        ["HellaSwag, accuracy", *with_error("hellaswag_local acc", 3)],
        ["HellaSwag, normalised accuracy", *with_error("hellaswag_local acc_norm", 3)],
        ["parameters", *(f"{size / 1e6:.1f} million" for size in sizes), *same],
        ["cache for a token", *(f"{size:,.0f} bytes" for size in caches), *same],
    ]
    return markdown(["", "original", "24 layers", "`linear`", "`linear,distill`"], body)


def _metric(model: str, measure: str) -> dict[str, Any] | None:
    names = (measure, f"{measure} from the original")
    found = [
        row
        for row in stored("compression")
        if row.get("model") == model and row.get("measure") in names
    ]
    return found[0] if found else None


def distillation() -> str:
    """Return the table of what distillation brought."""
    body = []
    for name in ("not healed", "distill"):
        row = one("distillation", model=name)
        change, low, high = row["loss, above the original"]
        gained = row.get("loss, changed by healing")
        body.append(
            [
                name,
                f"{change:+.3f} ({low:+.3f}, {high:+.3f})",
                "" if gained is None else f"{gained[0]:+.3f} ± {gained[1]:.3f}",
                *("{:.3f} ± {:.3f}".format(*row[each]) for each in ("KL", "top-1 agreement")),
            ]
        )
    columns = ["healed by", "loss above the original (95 %)", "healing changed the loss"]
    return markdown([*columns, "KL", "top-1 agreement"], body)


def shared_layers() -> str:
    """Return the table of layers that are run for a removal."""
    body = [
        [row["list"], f"{row['layers_per_removal']:.1f}", str(row["layers_alone"])]
        for row in stored("measurement")
        if row["what"] == "layers"
    ]
    return markdown(["list, for 30 layers", "layers run per removal", "alone"], body)


def passes() -> str:
    """Return the table of ways to measure a removal."""
    row = one("measurement", what="sharing")
    plain = "plain pass of a model without the layers, logits and cross-entropy"
    ways = (
        ("together", "measured together, first layers shared", ""),
        ("alone", "measured alone", "times_alone"),
        ("plain_with_loss", plain, "times_plain_with_loss"),
        ("plain_logits", "the same without cross-entropy", "times_plain_logits"),
    )
    body = [
        [told, f"{row[f'{way}_cpu_seconds']:.2f}", f"{row[times]:.2f} times" if times else ""]
        for way, told, times in ways
    ]
    columns = ["pass", "CPU seconds per removal", "against removals measured together"]
    return markdown(columns, body)


def types() -> str:
    """Return the table of types of numbers."""
    body = [
        [row["dtype"], f"{row['cpu_seconds']:.2f}", f"{1e3 * row['proxy_seconds']:.0f}"]
        for row in stored("measurement")
        if row["what"] == "dtype"
    ]
    columns = ["type", "CPU seconds for one removal of SmolLM2", "of the small layer, in ms"]
    return markdown(columns, body)


def rewriting() -> str:
    """Return the table of ways to write a smaller model."""
    [row] = stored("rewriting")
    names = {
        "without loading": "`--without-loading`, read again",
        "through memory": "through memory, compared by its logits",
        "cp": "`cp -r` of the smaller folder",
    }
    body = [
        [
            names[way["way"]],
            f"{way['seconds']:.1f}",
            "" if way["memory_bytes"] is None else f"{way['memory_bytes'] / 1e6:,.0f}",
        ]
        for way in row["ways"]
    ]
    return markdown(["way", "seconds, with imports", "MB beyond imports"], body)


def qaoa_mixers() -> str:
    """Return the short table of QAOA: one Hessian, the mixers side by side."""
    body = []
    for p in range(1, 5):
        line = [str(p)]
        for mixer in ("ring", "complete"):
            row = one("qaoa", hessian="bytelm-40-block", mixer=mixer, p=p)
            line += [f"{1e3 * row['seconds']:.1f}", f"{row['ground_state_probability']:.4f}"]
        body.append(line)
    columns = ["p", "`ring`: ms per evaluation", "P(ground state)"]
    return markdown([*columns, "`complete`: ms per evaluation", "P(ground state)"], body)


def priors_in_short() -> str:
    """Return the correlations of a few scores with what removals cost."""
    names = {
        "energy, H of labels drawn from the model": "energy",
        "diagonal of that H": "diagonal of H",
        "sum of the single losses": "sum of the measured losses without single blocks",
        "sum of the single divergences": "sum of the measured divergences without single blocks",
    }
    sizes = sorted({row["remove"] for row in stored("priors")})
    body = [
        [told, *(f"{correlation(name, size):.2f}" for size in sizes)]
        for name, told in names.items()
    ]
    return markdown(["score", *(f"M = {size}" for size in sizes)], body)


def correlation(score: str, remove: int) -> float:
    """Return the rank correlation of a score with what removals cost, the mean over the seeds."""
    values = [row["scores"][score] for row in stored("priors") if row["remove"] == remove]
    return float(sum(values) / len(values))
