"""What the pages say with measured figures in it: each piece of text, and where its figures are
from. A new sentence with a figure gets a line here.
"""

from __future__ import annotations

from functools import partial
from statistics import mean

from benchmarks.figures import tables
from benchmarks.figures.pages import Claim, MadeTable
from benchmarks.figures.stored import Values, numbers, one, percent, runs, stored, up_to
from benchmarks.figures.tables import correlation, key_of, winner
from benchmarks.tables import STUDIES, rows_of

BENCHMARKS = "docs/benchmarks.md"
HESSIANS = "docs/explanation/reference-hessians.md"
ENCODINGS = "docs/explanation/encodings.md"
ENERGY = "docs/explanation/energy.md"
MEASURING = "docs/explanation/measuring.md"
QAOA = "docs/explanation/qaoa.md"
COMPRESS = "docs/how-to/compress-a-model.md"
HEAL = "docs/how-to/heal-a-model.md"
PRUNE = "docs/how-to/prune-a-model.md"


def _study(name: str) -> str:
    return STUDIES[name](rows_of(name))


TABLES = (
    *(
        MadeTable(HESSIANS if name == "reference-hessians" else BENCHMARKS, partial(_study, name))
        for name in STUDIES
    ),
    *(
        MadeTable(BENCHMARKS, tables.of(name))
        for name in (
            *("enumeration", "limits", "proofs", "qaoa", "priors", "evaluation", "extraction"),
        )
    ),
    MadeTable(BENCHMARKS, tables.energy_truth),
    MadeTable(BENCHMARKS, tables.searches),
    MadeTable(BENCHMARKS, tables.lookups),
    MadeTable(BENCHMARKS, tables.perplexities),
    MadeTable(ENERGY, tables.priors_in_short),
    MadeTable(ENCODINGS, tables.of("penalties")),
    MadeTable(HESSIANS, tables.reference_models),
    MadeTable(HESSIANS, tables.certificates),
    MadeTable(MEASURING, tables.shared_layers),
    MadeTable(MEASURING, tables.passes),
    MadeTable(MEASURING, tables.types),
    MadeTable("docs/how-to/run-qaoa.md", tables.qaoa_mixers),
    MadeTable(COMPRESS, tables.compression),
    MadeTable(HEAL, tables.healing),
    MadeTable(HEAL, tables.distillation),
    MadeTable(PRUNE, tables.rewriting),
)
"""Tables that are made of stored results."""

OCEAN = ("ocean-descent", "ocean-annealing", "ocean-tabu")
_SEEDS = range(5)


def _limit_of(study: str) -> Values:
    """Return what gives the time limit of a study, in seconds."""
    return lambda: (f"{float(runs(study)[0]['time_limit']):g}",)


def _range(values: list[float], digits: int) -> tuple[str, str]:
    return f"{min(values):.{digits}f}", f"{max(values):.{digits}f}"


def _limited(study: str) -> Values:
    """Return what gives the limit, and the processor seconds of the runs that went up to it."""

    def values() -> tuple[str, ...]:
        rows = runs(study)
        limit = float(rows[0]["time_limit"])
        full = [row for row in rows if row["wall_seconds"] and float(row["wall_seconds"]) >= limit]
        return (f"{limit:g}", *_range(numbers(full, "cpu_seconds"), 1))

    return values


def _lowest_100(study: str, backend: str) -> Values:
    """Return what gives how many of the lowest 100 a backend has by itself, in its runs."""

    def values() -> tuple[str, ...]:
        shares = numbers(runs(study, backend=backend), "recall_100")
        return _range([100 * share + 1e-9 for share in shares], 0)

    return values


def _of_descent() -> tuple[str]:
    """Return how many of the lowest 100 descent has on large problems."""
    rows = [
        row
        for row in runs("recall", backend="ocean-descent", num_blocks="80")
        if row["remove"] in ("24", "40")
    ]
    [share] = set(numbers(rows, "recall_100"))
    return (percent(share),)


def _paper(backend: str) -> Values:
    """Return what gives the ground states found or missed, of how many, and the lowest 100."""

    def values() -> tuple[str, ...]:
        rows = runs("paper", backend=backend)
        lists = runs("paper", backend=backend, num_states="100")
        hundred = [100 * share for share in numbers(lists, "recall_100")]
        found = sum(row["ground_state"] == "1.0" for row in rows)
        return str(found), str(len(rows)), str(len(rows) - found), *_range(hundred, 0)

    return values


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


def _accuracy(remove: int, method: str) -> str:
    return f"{stored('selection')[0]['hellaswag'][key_of(winner(remove, method))][0]:.3f}"


def _angular(remove: int) -> tuple[str, str]:
    values = [
        row["held_out"]
        for row in stored("selection")[0]["results"]
        if (row["remove"], row["removed"]) == (remove, list(range(13, 19))) and row["held_out"]
    ]
    return _range(values, 2)


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
    return _range(found, 2)


def _probability(hessian: str, mixer: str) -> float:
    row = one("qaoa", hessian=hessian, mixer=mixer, p=4)
    return float(row["ground_state_probability"])


def _in_smallest(name: str) -> list[float]:
    """Return a penalty in sizes of the smallest one, for each problem."""
    return [row[name] / row["smallest"] for row in stored("penalties") if name in row]


def _safe(remove: int) -> float:
    row = one("penalties", hessian="bytelm-40-branch", remove=remove, sampler=None)
    return float(row["safe"] / row["smallest"])


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


def _rewriting(way: str, what: str) -> float:
    [row] = stored("rewriting")
    [found] = [each for each in row["ways"] if each["way"] == way]
    return float(found[what])


CLAIMS = (
    # Branch and bound, and the paper's study.
    Claim(
        BENCHMARKS,
        "- All {} spectra are proven, in at most {} s each; (80, 8) in less than {} s.",
        lambda: (
            len(runs("paper", backend="branch-and-bound")),
            up_to(max(numbers(runs("paper", backend="branch-and-bound"), "cpu_seconds")), 2),
            up_to(
                max(
                    numbers(
                        runs("paper", backend="branch-and-bound", num_blocks="80", remove="8"),
                        "cpu_seconds",
                    )
                ),
                1,
            ),
        ),
    ),
    Claim(
        BENCHMARKS,
        "it has the ground state in {} of {} runs, and {} to {} of the lowest 100.",
        lambda: tuple(_paper("ocean-tabu")()[i] for i in (0, 1, 3, 4)),
    ),
    Claim(
        BENCHMARKS,
        "D-Wave's annealing has {} to {} of 100, and no ground state in {} of {} runs.",
        lambda: tuple(_paper("ocean-annealing")()[i] for i in (3, 4, 2, 1)),
    ),
    # What every backend finds, and harder instances.
    Claim(BENCHMARKS, "M small, middle and large, for {} s. Recall is", _limit_of("recall")),
    Claim(
        BENCHMARKS,
        "with a load of about 10, so that {} s were {} to {} processor seconds",
        _limited("recall"),
    ),
    Claim(
        BENCHMARKS,
        "D-Wave's steepest descent has {} of the lowest 100 of (80, 24) and of (80, 40) by itself,",
        _of_descent,
    ),
    Claim(
        BENCHMARKS,
        "its annealing has {} to {} of 100, and nearly all 1,000 with it.",
        _lowest_100("recall", "ocean-annealing"),
    ),
    Claim(BENCHMARKS, "descent has them too before the {} s are over.", _limit_of("recall")),
    Claim(
        BENCHMARKS,
        "of each of five [families](#proofs-beside-other-exact-solvers), for {} s.",
        _limit_of("hard"),
    ),
    Claim(
        BENCHMARKS,
        "with a load of 10, so that {} s were {} to {} processor seconds",
        _limited("hard"),
    ),
    Claim(
        BENCHMARKS,
        "`tabu` ends by itself with {} % of the lowest 1,000, `annealing` with {} %.",
        lambda: tuple(
            percent(float(runs("hard", backend=name, instance="low-rank-100")[0]["recall_1000"]))
            for name in ("tabu", "annealing")
        ),
    ),
    Claim(
        BENCHMARKS,
        "none has more than {} of the lowest 100 by itself",
        lambda: (max((_lowest_100("hard", name)()[1] for name in OCEAN), key=float),),
    ),
    # QAOA.
    Claim(
        BENCHMARKS,
        "{} feasible states, of which a uniform draw finds the ground state with a probability of"
        " {}.",
        lambda: (
            f"{stored('qaoa')[0]['amplitudes']:,}",
            f"{1 / stored('qaoa')[0]['amplitudes']:.5f}",
        ),
    ),
    Claim(
        QAOA,
        "measure the ground state with a probability of {}, those of the `ring` with {}; a uniform"
        " draw from the {} states finds it with {}. On the branches of the same model it is {} and"
        " {}.",
        lambda: (
            f"{_probability('bytelm-40-block', 'complete'):.2f}",
            f"{_probability('bytelm-40-block', 'ring'):.3f}",
            f"{stored('qaoa')[0]['amplitudes']:,}",
            f"{1 / stored('qaoa')[0]['amplitudes']:.5f}",
            f"{_probability('bytelm-40-branch', 'complete'):.3f}",
            f"{_probability('bytelm-40-branch', 'ring'):.4f}",
        ),
    ),
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
    # Penalties.
    Claim(
        ENCODINGS,
        "The price of not solving: {} to {} times P* on the bundled Hessians",
        lambda: (
            f"{min(_in_smallest('safe')):.1f}",
            f"{max(_in_smallest('safe')):.0f}",
        ),
    ),
    Claim(
        ENCODINGS,
        "it was within {} % of P*",
        lambda: (percent(max(abs(ratio - 1) for ratio in _in_smallest("guess"))),),
    ),
    Claim(
        ENCODINGS,
        "safe is {} P* at M = 8 and {} P* at M = 40;",
        lambda: (f"{_safe(8):.1f}", f"{_safe(40):.0f}"),
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
        lambda: _range([winner(12, "EvoPress", seed)["held_out"] for seed in _SEEDS], 2),
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
        "normalised accuracy (whole model {} ± {}, chance 0.25): for six layers {} (loop), {} (best"
        " criterion, which EvoPress from block influence found too), {} (EvoPress), {} (SLEB), {}"
        " (lowest energies); for nine {}, {}, {} (EvoPress), {} (from block influence), {} and {},",
        lambda: (
            *(f"{value:.3f}" for value in stored("selection")[0]["hellaswag"][""]),
            *(
                _accuracy(6, method)
                for method in ("loop", "best criterion", "EvoPress", "SLEB", "lowest energies")
            ),
            *(
                _accuracy(9, method)
                for method in (
                    *("loop", "best criterion", "EvoPress", "EvoPress from block influence"),
                    *("SLEB", "lowest energies"),
                )
            ),
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
        PRUNE,
        "Six of {} layers of a model of {} GB with random weights, of which {} GB stay:",
        lambda: (
            stored("rewriting")[0]["settings"]["layers"],
            f"{stored('rewriting')[0]['settings']['bytes'] / 1e9:.2f}",
            f"{stored('rewriting')[0]['settings']['bytes_left'] / 1e9:.2f}",
        ),
    ),
)
