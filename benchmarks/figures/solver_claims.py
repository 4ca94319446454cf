"""What the pages say of solvers with measured figures in it, and where these are from."""

from __future__ import annotations

from benchmarks.figures.pages import Claim
from benchmarks.figures.stored import Values, numbers, one, percent, runs, span, stored, up_to

BENCHMARKS = "docs/benchmarks.md"
CHOOSE = "docs/choose-a-backend.md"
ENCODINGS = "docs/explanation/encodings.md"
QAOA = "docs/explanation/qaoa.md"
OCEAN = ("ocean-descent", "ocean-annealing", "ocean-tabu")


def _at_any_m() -> tuple[str]:
    """Return the seconds of the slowest proof of the bundled Hessian of 80 branches."""
    return (up_to(max(numbers(runs("sweep"), "cpu_seconds")), 2),)


def _limit_of(study: str) -> Values:
    """Return what gives the time limit of a study, in seconds."""
    return lambda: (f"{float(runs(study)[0]['time_limit']):g}",)


def _limited(study: str) -> Values:
    """Return what gives the limit, and the processor seconds of the runs that went up to it."""

    def values() -> tuple[str, ...]:
        rows = runs(study)
        limit = float(rows[0]["time_limit"])
        full = [row for row in rows if row["wall_seconds"] and float(row["wall_seconds"]) >= limit]
        return (f"{limit:g}", *span(numbers(full, "cpu_seconds"), 1))

    return values


def _left_open() -> tuple[str, str]:
    """Return the processor seconds of proofs that the limit ended."""
    rows = [row for row in runs("proofs") if not row["seconds_to_proof"]]
    return span(numbers(rows, "cpu_seconds"), 0)


def _lowest_100(study: str, backend: str) -> Values:
    """Return what gives how many of the lowest 100 a backend has by itself, in its runs."""

    def values() -> tuple[str, ...]:
        shares = numbers(runs(study, backend=backend), "recall_100")
        return span([100 * share + 1e-9 for share in shares], 0)

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


def _of_lqa(measure: str) -> list[float]:
    """Return a measure of local quantum annealing with all its levels, in %."""
    rows = [row for row in runs("lqa", backend="lqa") if "levels" not in row["options"]]
    return [100 * share + 1e-9 for share in numbers(rows, measure)]


def _paper(backend: str) -> Values:
    """Return what gives the ground states found or missed, of how many, and the lowest 100."""

    def values() -> tuple[str, ...]:
        rows = runs("paper", backend=backend)
        lists = runs("paper", backend=backend, num_states="100")
        hundred = [100 * share for share in numbers(lists, "recall_100")]
        found = sum(row["ground_state"] == "1.0" for row in rows)
        return str(found), str(len(rows)), str(len(rows) - found), *span(hundred, 0)

    return values


def _probability(hessian: str, mixer: str) -> float:
    row = one("qaoa", hessian=hessian, mixer=mixer, p=4)
    return float(row["ground_state_probability"])


def _in_smallest(name: str) -> list[float]:
    """Return a penalty in sizes of the smallest one, for each problem."""
    return [row[name] / row["smallest"] for row in stored("penalties") if name in row]


def _safe(remove: int) -> float:
    row = one("penalties", hessian="bytelm-40-branch", remove=remove, sampler=None)
    return float(row["safe"] / row["smallest"])


def _feeding() -> tuple[str, str]:
    """Return the least and the largest share of a coordinator's time, in percent, that 100 tasks a
    second take.
    """
    seconds = [row["coordinator_seconds_per_task"] for row in stored("sharing")]
    return percent(100 * min(seconds)), percent(100 * max(seconds))


def _of_the_floor() -> tuple[str, ...]:
    """Return the limits of the study of the default beside tabu."""
    return tuple(f"{limit:g}" for limit in sorted({row["limit"] for row in stored("floor")}))


CLAIMS = (
    Claim(BENCHMARKS, "Both get {} or {} processor seconds of one thread", _of_the_floor),
    Claim(
        "docs/how-to/prove-on-many-machines.md",
        "which keep it busy for {} to {} % of its time.",
        _feeding,
    ),
    # On the pages that people come to first.
    Claim("docs/index.md", "takes up to {} s of one core of a processor", _at_any_m),
    Claim(CHOOSE, "N = 80 takes up to {} s |", _at_any_m),
    Claim(
        CHOOSE,
        "any matrix with so few states: {} of them a second on two cores |",
        lambda: (
            f"{one('enumeration', shape='C(80,8)', threads=2)['states_per_second']:.1e}".replace(
                "e+", "e"
            ),
        ),
    ),
    Claim(
        "docs/how-to/enumerate-on-many-machines.md",
        "branch and bound proves the same states in {} s of one core.",
        lambda: (
            f"{numbers(runs('everyday', remove='16', num_states='100'), 'cpu_seconds')[0]:.2f}",
        ),
    ),
    # Branch and bound, and the paper's study.
    Claim(
        BENCHMARKS,
        "with one thread and a time limit of {} s by the clock.",
        _limit_of("proofs"),
    ),
    Claim(
        BENCHMARKS,
        "so that {} s were {} to {} processor seconds for those who ran into the limit:",
        lambda: (*_limit_of("proofs")(), *_left_open()),
    ),
    Claim(
        BENCHMARKS,
        "Branch and bound proves all {}, Gurobi {} within the limit, SCIP {} (of the easier task).",
        lambda: tuple(
            sum(1 for row in runs("proofs", backend=name, num_states=k) if row["seconds_to_proof"])
            for name, k in (("branch-and-bound", "100"), ("gurobi", "100"), ("scip", "1"))
        ),
    ),
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
        "with a load of 10, so that {} s were {} to {} processor seconds; one thread for everyone,"
        " Python",
        _limited("hard"),
    ),
    Claim(BENCHMARKS, "D-Wave's annealing: 100 states, {} s.", _limit_of("lqa")),
    Claim(
        BENCHMARKS,
        "with a load of 10, so that {} s were {} to {} processor seconds; one thread for everyone,"
        " one seed,",
        _limited("lqa"),
    ),
    Claim(
        BENCHMARKS,
        "- `lqa` is behind on every task: bare it has {} to {} of the lowest 100, where D-Wave's"
        " annealing has {} to {} and",
        lambda: (
            *span(_of_lqa("recall_100"), 0),
            *_lowest_100("lqa", "ocean-annealing")(),
        ),
    ),
    Claim(
        BENCHMARKS,
        "With repair it has {} to {}, less than D-Wave's annealing",
        lambda: span(_of_lqa("recall_100_repaired"), 0),
    ),
    Claim(
        BENCHMARKS,
        "{} to {} % of its samples remove the right number of blocks, where D-Wave's annealing has"
        " {} % and more",
        lambda: (
            *span(_of_lqa("feasible_share"), 0),
            percent(min(numbers(runs("lqa", backend="ocean-annealing"), "feasible_share"))),
        ),
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
)
