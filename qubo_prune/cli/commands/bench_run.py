"""`qubo-prune bench run`: run solvers on the tasks of a suite, each in a process of its own."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from qubo_prune.cli import options
from qubo_prune.cli.bench_runs import document_of, show_runs
from qubo_prune.cli.files import Files
from qubo_prune.cli.output import (
    EXIT_DONE,
    EXIT_INTERRUPTED,
    print_json,
    print_line,
    print_text,
    tell,
)
from qubo_prune.cli.progress import watched
from qubo_prune.core.errors import InputError
from qubo_prune.core.text import format_duration, plural

if TYPE_CHECKING:
    from qubo_prune.bench.processes import Job
    from qubo_prune.bench.references import Reference
    from qubo_prune.bench.results import Run
    from qubo_prune.bench.runner import Executor
    from qubo_prune.bench.suites import Solver, Suite
    from qubo_prune.bench.tasks import Task
    from qubo_prune.core.stopping import Stop

Sources = Annotated[
    list[str],
    typer.Argument(
        metavar="SUITE",
        help=(
            "Suites by name or .toml file (see `bench list`); or, with --remove, bundled Hessians,"
            " members of families as wishart-64, and files that `solve` reads."
        ),
    ),
]
Out = Annotated[
    Path,
    typer.Option(
        metavar="FILE", help="Append the runs to FILE, a .jsonl; those that it has are not redone."
    ),
]
Backends = Annotated[
    list[str],
    typer.Option(
        metavar="NAMES",
        help="Solvers, separated by commas.  [default: those of the suite]",
    ),
]
BackendOption = Annotated[
    list[str],
    typer.Option(
        "--option",
        metavar="NAME:KEY=VALUE",
        help="An option of one backend, as tabu:walks=8. Repeatable.",
    ),
]
Remove = Annotated[
    list[str],
    typer.Option(
        "--remove",
        metavar="M",
        help="Of instances that are no suites: how many blocks to remove; or KIND=COUNT.",
    ),
]
Seeds = Annotated[
    int | None,
    typer.Option(
        metavar="COUNT",
        help="Runs of each solver, with seeds 0, 1, ...; one of an exact one.  [default: the"
        " suite's]",
        min=1,
    ),
]
Limits = Annotated[
    list[str],
    typer.Option(
        "--time-limit",
        metavar="SECONDS",
        help="Of a run; several separated by commas make runs of their own.  [default: the"
        " suite's]",
    ),
]
States = Annotated[
    int | None,
    typer.Option(metavar="K", help="How many of the lowest states.  [default: the suite's]"),
]
Threads = Annotated[
    int, typer.Option(metavar="N", help="Threads of every run; 0 leaves it to the solvers.", min=0)
]
Data = Annotated[
    Path | None,
    typer.Option(metavar="FOLDER", help="Where the files of the suite are."),
]
ReferenceLimit = Annotated[
    float,
    typer.Option(
        metavar="S",
        help=(
            "Seconds to prove each spectrum that is not known yet, once; it is kept. 0 holds"
            " solvers against what is known only."
        ),
    ),
]
On = Annotated[
    str | None,
    typer.Option(
        metavar="WHERE",
        help="Spread the runs over a Dask cluster: dask:tcp://host:8786, one at a time on each"
        " worker.",
    ),
]
DryRun = Annotated[
    bool, typer.Option("--dry-run", help="Only say what would be run, and how long it takes.")
]
Retry = Annotated[
    bool,
    typer.Option("--retry", help="Do runs again that were refused, crashed or ran out of memory."),
]


def run(
    suites: Sources,
    out: Out = Path("results.jsonl"),
    backends: Backends = [],  # noqa: B006 - Typer makes its own
    option: BackendOption = [],  # noqa: B006
    remove: Remove = [],  # noqa: B006
    states: States = None,
    seeds: Seeds = None,
    time_limit: Limits = [],  # noqa: B006
    threads: Threads = 1,
    data: Data = None,
    reference_limit: ReferenceLimit = 60.0,
    on: On = None,
    dry_run: DryRun = False,
    retry: Retry = False,
    json: options.Json = False,
    verbose: options.Verbose = 0,
    quiet: options.Quiet = False,
) -> int:
    """Run solvers on the tasks of a suite.

    Each run has a process of its own, and a line that is appended to FILE. Interrupted or killed,
    the same command goes on with what is missing. Exits with 130 by Ctrl-C or SIGTERM.
    """
    from qubo_prune.bench.runner import (
        Plan,
        longest_seconds,
        missing,
        run_jobs,
        without_reference,
    )
    from qubo_prune.core.stopping import Stop

    files = Files()
    files.writes(out, "--out", require=_require_results)
    suite = _suite_of(suites, data, options.parse_removal(remove), states)
    for name in suite.missing:
        tell(f"warning: {name} is not there and is left out.")
    plan = Plan(
        tasks=suite.tasks,
        solvers=_solvers(suite, backends, option),
        time_limits=_limits(time_limit) or suite.time_limits,
        seeds=suite.seeds if seeds is None else seeds,
        threads=threads or None,
    )
    if dry_run:
        from qubo_prune.bench.references import NOTHING

        jobs = list(plan.jobs(lambda _: NOTHING))
        todo = missing(jobs, out, retry=retry)
        return _say(plan.tasks, jobs, todo, without_reference(plan.tasks), reference_limit, json)
    executor = None if on is None else _executor(on)
    ran: list[Run] = []
    with watched(quiet, verbose) as watch:
        stop = Stop()
        with stop.interruptible():
            unknown = without_reference(plan.tasks)
            if unknown and reference_limit and not quiet:
                proving = format_duration(len(unknown) * reference_limit)
                spectra = plural(len(unknown), "spectrum", "spectra")
                tell(f"{spectra} to prove first, once, at most {proving}")
            found = _References(reference_limit, stop, watch.progress)
            todo = missing(plan.jobs(found), out, retry=retry)
            if not quiet and todo:
                at_most = longest_seconds(todo)
                tell(
                    f"{plural(len(todo), 'run')}, at most {format_duration(at_most)} if all use"
                    " their limit"
                )
            run_jobs(todo, out, stop, executor, ran.append, watch.progress)
            watch.hide()
    if json:
        print_json(document_of(out, ran, len(todo)))
    elif not quiet:
        show_runs(ran)
        tell(f"wrote {plural(len(ran), 'run')} to {out}; see: qubo-prune bench report {out}")
    return EXIT_DONE if stop.reason is None else EXIT_INTERRUPTED


def _require_results(path: Path) -> None:
    if path.is_file() and path.stat().st_size:
        from qubo_prune.bench.results import read_results

        read_results([path])


def _require_no_slip(source: str) -> None:
    """Refuse what is no file but nearly the name of a suite."""
    import difflib

    from qubo_prune.bench.suite_names import suite_names
    from qubo_prune.core.files.bundled import bundled

    names = [*suite_names(), *(each.name for each in bundled())]
    close = difflib.get_close_matches(source, names, 1)
    if source not in names and close and not Path(source).exists():
        raise InputError(
            f"there is no file {source!r}, and there is no instance or suite of that name; did you"
            f" mean {close[0]!r}?"
        )


def _suite_of(sources: list[str], data: Path | None, remove: Any, states: int | None) -> Suite:
    """Return what is named, suites and single instances, as one."""
    import dataclasses

    from qubo_prune.bench.suite_names import suite_names
    from qubo_prune.bench.suites import join_suites, load_suite, suite_of_tasks
    from qubo_prune.bench.tasks import Task

    found = []
    single = []
    for source in sources:
        if source in suite_names() or source.endswith(".toml"):
            found.append(load_suite(source, data))
        else:
            _require_no_slip(source)
            single.append(Task(source, remove))
    if remove is not None and not single:
        raise InputError("--remove is for instances, and suites say themselves how many to remove.")
    suite = join_suites([*found, *([suite_of_tasks(single)] if single else [])])
    if not suite.tasks:
        raise InputError(
            f"none of the {len(suite.missing)} files of {', '.join(sources)} is there; get"
            f" {suite.needs or 'them'} and say where they are by --data FOLDER."
        )
    if states is not None:
        if states < 1:
            raise InputError(f"--states must be at least 1, not {states}; ask for one or more.")
        tasks = (dataclasses.replace(task, num_states=states) for task in suite.tasks)
        suite = dataclasses.replace(suite, tasks=tuple(dict.fromkeys(tasks)))
    for task in suite.tasks:
        task.problem  # noqa: B018 - whatever is wrong with one is said before anything runs
    return suite


def _solvers(suite: Suite, backends: list[str], given: list[str]) -> tuple[Solver, ...]:
    """Return who is asked; unknown backends and options are refused before anything runs."""
    import dataclasses

    from qubo_prune.backends.registry import backend_class
    from qubo_prune.bench.suites import Solver

    # A suite may ask one backend several times, each with other options.
    solvers = list(suite.solvers)
    if backends:
        named = {
            name: [each for each in suite.solvers if each.backend == name] or [Solver(name)]
            for name in options.split_commas(backends)
        }
        solvers = [each for chosen in named.values() for each in chosen]
    for item in given:
        key, equals, value = item.partition("=")
        name, colon, key = key.rpartition(":")
        if not (equals and colon and key):
            raise InputError(
                f"--option takes NAME:KEY=VALUE here, got {item!r}; write e.g. tabu:walks=8."
            )
        if not any(each.backend == name for each in solvers):
            raise InputError(
                f"--option {item} names no backend of this benchmark; name it by --backends."
            )
        own = options.parse_backend_options([f"{key}={value}"])
        solvers = [
            dataclasses.replace(each, options={**each.options, **own})
            if each.backend == name
            else each
            for each in solvers
        ]
    for solver in solvers:
        backend = backend_class(solver.backend)
        if backend.availability().usable:
            backend.configured(**solver.options)
    return tuple(solvers)


def _limits(given: list[str]) -> tuple[float, ...]:
    limits = []
    for text in options.split_commas(given):
        try:
            limit = float(text)
        except ValueError:
            limit = 0.0
        if not 0 < limit < float("inf"):
            raise InputError(f"--time-limit takes seconds, not {text!r}; write e.g. 1,10,60.")
        limits.append(limit)
    return tuple(dict.fromkeys(limits))


class _References:
    """What solvers are held against, found or computed task by task."""

    def __init__(self, limit: float, stop: Stop, progress: Any) -> None:
        if not 0 <= limit < float("inf"):
            raise InputError(f"--reference-limit takes seconds, not {limit}; 0 is for none.")
        self._limit, self._stop, self._progress = limit, stop, progress

    def __call__(self, task: Task) -> Reference:
        from qubo_prune.bench.references import NOTHING, reference_of

        if self._stop.reason is not None:
            return NOTHING
        return reference_of(task, self._limit or 0, self._stop, self._progress)


def _executor(where: str) -> Executor:
    kind, _, address = where.partition(":")
    if kind != "dask" or not address:
        raise InputError(
            f"--on takes dask:ADDRESS, not {where!r}; write e.g. dask:tcp://host:8786."
        )
    from qubo_prune.bench.cluster import DaskWorkers

    return DaskWorkers(address)


def _say(
    tasks: tuple[Task, ...],
    jobs: list[Job],
    todo: list[Job],
    unknown: list[Task],
    reference_limit: float,
    json: bool,
) -> int:
    """Tell what would be done."""
    from qubo_prune.bench.runner import longest_seconds

    seconds = longest_seconds(todo)
    proofs = len(unknown) * reference_limit
    if json:
        print_json(
            {
                "tasks": len(tasks),
                "runs": len(jobs),
                "missing": len(todo),
                "references_to_compute": len(unknown),
                "seconds_at_most": seconds + proofs,
            }
        )
        return EXIT_DONE
    print_line(
        f"{plural(len(tasks), 'task')}, {plural(len(jobs), 'run')}, {len(jobs) - len(todo)} of them"
        " done"
    )
    if unknown:
        references = plural(len(unknown), "reference")
        print_line(f"{references} to compute first, at most {format_duration(proofs)}")
    print_line(f"{plural(len(todo), 'run')} to do, at most {format_duration(seconds)}")
    print_text("Solvers that finish before their limit take less.")
    return EXIT_DONE
