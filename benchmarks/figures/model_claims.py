"""What the pages say of models with measured figures in it, and where these are from."""

from __future__ import annotations

from math import hypot
from statistics import mean
from typing import Any

from benchmarks.figures.pages import Claim
from benchmarks.figures.stored import one, percent, span, stored
from benchmarks.figures.tables import correlation, winner

BENCHMARKS = "docs/benchmarks.md"
ENERGY = "docs/explanation/energy.md"
MEASURING = "docs/explanation/measuring.md"
COMPRESS = "docs/how-to/compress-a-model.md"
HEAL = "docs/how-to/heal-a-model.md"
PRUNE = "docs/how-to/prune-a-model.md"
BUDGET = "docs/how-to/remove-by-budget.md"
_SEEDS = range(5)


def _held_out(remove: int, method: str, digits: int = 3) -> str:
    """Return the mean over the seeds of what a method's winner costs on chats held out."""
    values = [winner(remove, method, seed)["held_out"] for seed in _SEEDS]
    return f"{mean(values):.{digits}f}"


def _draws(remove: int) -> list[str]:
    return [f"{winner(remove, 'loop', seed)['held_out']:.3f}" for seed in _SEEDS]


def _above(remove: int, method: str) -> str:
    """Return how far a method's winner is above the loop's, with its error."""
    from benchmarks.selection import compared

    rows = [row for row in stored("selection")[0]["results"] if row["remove"] == remove]
    [found] = [each for each in compared(rows) if each["method"] == method]
    return f"{found['above']:.3f} ± {found['error']:.3f}".replace("-", "\u2212")


def _aims() -> tuple[str, ...]:
    """Return the means for six and nine layers, then all seeds, in bold what misses the aim."""
    six, nine = (
        [f"**{text}**" if float(text) > aim else text for text in _draws(remove)]
        for remove, aim in ((6, 0.78), (9, 1.28))
    )
    return _held_out(6, "loop"), _held_out(9, "loop"), *six, *nine


def _evopress_of_three() -> tuple[str, ...]:
    """Return pairs for three layers, EvoPress and the loop: two where it is lower, and one."""
    pairs = [
        (winner(3, "EvoPress", seed)["held_out"], winner(3, "loop", seed)["held_out"])
        for seed in _SEEDS
    ]
    lower = sorted((pair for pair in pairs if pair[0] < pair[1] - 5e-4), reverse=True)
    [higher] = [pair for pair in pairs if pair[0] > pair[1] + 5e-4]
    return tuple(f"{value:.3f}" for pair in (*lower, higher) for value in pair)


def _of_kind(kind: str) -> dict[str, Any]:
    return one("block_times", kind=kind)


def _ratio(phase: str, digits: int) -> str:
    """Return how many times as long an MLP takes as an attention, with its error."""
    mlp, attention = _of_kind("mlp"), _of_kind("attention")
    ratio = mlp[phase] / attention[phase]
    error = ratio * hypot(*(each[f"{phase}_error"] / each[phase] for each in (mlp, attention)))
    return f"{ratio:.{digits}f} ± {error:.{digits}f}"


def _angular(remove: int) -> tuple[str, str]:
    values = [
        row["held_out"]
        for row in stored("selection")[0]["results"]
        if (row["remove"], row["removed"]) == (remove, list(range(13, 19))) and row["held_out"]
    ]
    return span(values, 2)


def _chosen(remove: int, method: str) -> str:
    return f"{mean(winner(remove, method, seed)['chosen'] for seed in _SEEDS):.3f}"


def _judged(remove: int, judge: str, what: str = "spearman") -> str:
    [row] = [
        row
        for row in stored("energy_truth")[0]["judged"]
        if (row["remove"], row["judge"]) == (remove, judge)
    ]
    return f"{row[what]:.2f}"


def _perplexity_ratios() -> tuple[str]:
    """Return by how much the two cuts differ at most in a perplexity, in %."""
    values: dict[str, dict[str, float]] = {}
    for row in stored("evaluation")[0]["results"]:
        values.setdefault(row["metric"]["name"], {})[row["model"]] = row["metric"]["value"]
    ratios = [
        values[name]["loop's choice"] / values[name]["block influence's"]
        for name in ("token perplexity", "perplexity as llama.cpp")
    ]
    assert min(ratios) < 1 < max(ratios)  # noqa: S101 - they differ either way
    return (percent(max(abs(ratio - 1) for ratio in ratios)),)


def _detectable() -> tuple[str, str]:
    found = [
        row["comparison"]["detectable"]
        for row in stored("evaluation")[0]["results"]
        if row["metric"]["name"].startswith("hellaswag") and row["comparison"]
    ]
    return span(found, 2)


def _minutes(step: str) -> str:
    return f"{one('compression_once', step=step)['seconds'] / 60:.0f}"


def _all_in_one_go() -> tuple[str, str]:
    [row] = [row for row in stored("compression_once") if "this_run" in row]
    minutes, seconds = divmod(row["this_run"], 60)
    return f"{minutes:.0f}", f"{seconds:.0f}"


def _distilled_at_once() -> tuple[str, str]:
    """Return the steps and tokens of the distillation of `compress`."""
    summary = one("compression", healed="05-healed-linear-distill")["summary"]
    steps, tokens = summary.removeprefix("distilled: ").split(" steps, ")
    return steps.split()[0], tokens.split()[0]


def _sharing(name: str, digits: int) -> str:
    return f"{one('measurement', what='sharing')[name]:.{digits}f}"


def _gain_by_layers() -> str:
    """Return the gain of sharing by the layers that are run, and logits worth eight of them."""
    row = one("measurement", what="sharing")
    return f"{(row['layers_alone'] + 8) / (row['layers_per_removal'] + 8):.2f}"


def _speed_up(key: str) -> str:
    first, second = (
        one("measurement", dtype=name, what="dtype") for name in ("float32", "bfloat16")
    )
    return f"{first[key] / second[key]:.1f}"


def _decoding() -> str:
    change, _, _ = one("compression", model="04-model", measure="decode")["change"]
    return f"{change:.2f}"


def _distilled(what: str) -> int:
    [row] = [row for row in stored("distillation") if "tokens" in row]
    return int(row[what])


CLAIMS = (
    # Energies beside the truth.
    Claim(
        BENCHMARKS,
        "{} million bytes, {} bits per byte on held-out files, {} before training)",
        lambda: (
            f"{stored('energy_truth')[0]['tokens'] / 1e6:.2f}",
            f"{stored('energy_truth')[0]['bits_per_byte']['trained']:.2f}",
            f"{stored('energy_truth')[0]['bits_per_byte']['untrained']:.2f}",
        ),
    ),
    Claim(
        BENCHMARKS,
        "block influence correlates better from two layers on, {} against {} for four.",
        lambda: (_judged(4, "block influence"), _judged(4, "energy, β = 0")),
    ),
    Claim(
        ENERGY,
        "correlation between the energy and the loss was {}, {}, {} and {} for one to four removed"
        " layers.",
        lambda: tuple(_judged(count, "energy, β = 0") for count in (1, 2, 3, 4)),
    ),
    # Searches on a real model.
    Claim(
        BENCHMARKS,
        "for six layers the best criterion ({}) and EvoPress ({}).",
        lambda: (_above(6, "best criterion"), _above(6, "EvoPress")),
    ),
    Claim(
        BENCHMARKS,
        "but not of EvoPress from a random removal ({}): on two seeds EvoPress ended lower ({}"
        " against {}, {} against {}), on one higher ({} against {}), on two at the same removal.",
        lambda: (_above(3, "EvoPress"), *_evopress_of_three()),
    ),
    Claim(
        BENCHMARKS,
        "EvoPress from a random removal varies much, {} to {} for twelve layers;",
        lambda: span([winner(12, "EvoPress", seed)["held_out"] for seed in _SEEDS], 2),
    ),
    Claim(
        BENCHMARKS,
        "The means, {} and {}, are below. Seed by seed it is {}, {}, {}, {}, {} and {}, {}, {}, {},"
        " {}: one draw of five misses each.",
        _aims,
    ),
    Claim(
        BENCHMARKS,
        "meets the aim for six layers ({}) and misses that for nine ({}).",
        lambda: (_draws(6)[4], _draws(9)[4]),
    ),
    Claim(
        BENCHMARKS,
        "it finds lower values for six layers than the loop does ({} against {}),",
        lambda: (_chosen(6, "SLEB"), _chosen(6, "loop")),
    ),
    Claim(
        BENCHMARKS,
        "On seed 1 EvoPress and SLEB are ahead of the loop for six layers, {} against {}.",
        lambda: (f"{winner(6, 'EvoPress', 1)['held_out']:.3f}", _draws(6)[1]),
    ),
    Claim(
        BENCHMARKS,
        "which the angular distance picks without a measurement, is at {} to {} held out",
        lambda: _angular(6),
    ),
    Claim(
        BENCHMARKS,
        "of wikitext-2 (whole model {}):",
        lambda: (f"{float(stored('selection')[0]['perplexity']['']):.1f}",),
    ),
    Claim(
        BENCHMARKS,
        "normalised accuracy (whole model {} ± {}, chance 0.25), each ± {} at most:",
        lambda: (
            *(f"{value:.3f}" for value in stored("selection")[0]["hellaswag"][""]),
            f"{max(error for _, error in stored('selection')[0]['hellaswag'].values()):.3f}",
        ),
    ),
    Claim(
        ENERGY,
        "The best of the ten lowest energies for M = 6 costs {} nats on other chats, the mean over"
        " five choices; the best criterion, such as block influence, {}.",
        lambda: (_held_out(6, "lowest energies"), _held_out(6, "best criterion")),
    ),
    Claim(
        ENERGY,
        "raises the correlation for M = 6 from {} to {}, and all of it lowers it to {}.",
        lambda: tuple(
            f"{correlation(name, 6):.2f}"
            for name in (
                "sum of the single losses",
                "single losses, 0.1 of the pairs of logit differences",
                "single losses, 1 of the pairs of logit differences",
            )
        ),
    ),
    Claim(
        ENERGY,
        "it found removals of six layers that cost {} nats on other chats, the mean over five"
        " draws, where the best criterion costs {} and the lowest energies {}; with 60 measurements"
        " removals of nine layers that cost {} ({} and {}).",
        lambda: tuple(
            _held_out(remove, method)
            for remove in (6, 9)
            for method in ("loop", "best criterion", "lowest energies")
        ),
    ),
    Claim(
        ENERGY,
        "on the fifth, looked at only at the end, it had {} and {}.",
        lambda: (_draws(6)[4], _draws(9)[4]),
    ),
    # What smaller models can still do.
    Claim(BENCHMARKS, "the two differ by {} % either way, depending on how", _perplexity_ratios),
    Claim(
        BENCHMARKS,
        "a difference from the original has to be {} to {} to be found.",
        _detectable,
    ),
    # Measuring removals.
    Claim(
        MEASURING,
        "A list is measured {} times as fast as by one plain pass and cross-entropy for each"
        " removal, and a single removal at {} % of the tokens per second of such a pass (median of"
        " ten pairs); against a pass that stops at the logits, which says nothing of the loss, at"
        " {} %. Sharing alone gains a factor of {}; by the layers that are run, and the logits,"
        " which cost as much as eight, it would be {}.",
        lambda: (
            _sharing("times_plain_with_loss", 1),
            percent(one("measurement", what="sharing")["alone_speed_of_plain_with_loss"]),
            percent(one("measurement", what="sharing")["alone_speed_of_plain_logits"]),
            _sharing("times_alone", 2),
            _gain_by_layers(),
        ),
    ),
    Claim(
        MEASURING,
        "those of the plain pass differ by up to {} nats, the rounding of bfloat16.",
        lambda: (
            f"{one('measurement', what='sharing')['largest_difference_from_plain']:.1e}".replace(
                "e-0", "e-"
            ),
        ),
    ),
    Claim(
        MEASURING,
        "bfloat16 is {} times as fast as float32, and float16 no faster; the small layer says {}"
        " times.",
        lambda: (_speed_up("cpu_seconds"), _speed_up("proxy_seconds")),
    ),
    # Smaller models, healed and written.
    Claim(
        COMPRESS,
        "From the command to the report took {} minutes {} seconds by the clock, on one thread of a"
        " processor of two cores (Hessian {} minutes, selection {}, report {}). Decoding a token"
        " takes {} of the original's time.",
        lambda: (*_all_in_one_go(), *map(_minutes, ("extract", "select", "evaluate")), _decoding()),
    ),
    Claim(
        COMPRESS,
        "a closed form in {} seconds, then {} steps on {} tokens in {} minutes.",
        lambda: (
            f"{one('compression', step='heal-linear')['seconds']:.0f}",
            *_distilled_at_once(),
            f"{one('compression', step='heal-distill')['seconds'] / 60:.0f}",
        ),
    ),
    Claim(
        HEAL,
        "healed with {} chats ({} tokens, {} for each of the 576 dimensions of the stream) and"
        " measured on {} others ({} tokens);",
        lambda: (
            stored("healing")[0]["samples"][0],
            f"{stored('healing')[0]['tokens'][0]:,}",
            f"{stored('healing')[0]['tokens'][0] / 576:.0f}",
            stored("healing")[0]["samples"][1],
            f"{stored('healing')[0]['tokens'][1]:,}",
        ),
    ),
    Claim(
        HEAL,
        "48 of {} chats in six steps of eight ({} tokens, four minutes by the clock on that"
        " machine), measured on {} others",
        lambda: (_distilled("samples"), f"{_distilled('tokens'):,}", _distilled("held_out")),
    ),
    Claim(
        BUDGET,
        "an MLP has {} times the parameters of an attention, and takes {} times as long for a"
        " prompt of {} tokens and {} times as long for each token after it",
        lambda: (
            f"{_of_kind('mlp')['parameters'] / _of_kind('attention')['parameters']:.1f}",
            _ratio("prefill", 1),
            _of_kind("model")["prompt_tokens"],
            _ratio("decode", 2),
        ),
    ),
    Claim(
        PRUNE,
        "Six of {} layers of a model of {} GB with random weights, of which {} GB stay:",
        lambda: (
            stored("rewriting")[0]["settings"]["layers"],
            f"{stored('rewriting')[0]['settings']['bytes'] / 1e9:.2f}",
            f"{stored('rewriting')[0]['settings']['bytes_left'] / 1e9:.2f}",
        ),
    ),
)
