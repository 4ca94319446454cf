"""States per second of the exhaustive engine on GPUs, after it was checked there: ``python -m
benchmarks.gpu``.

Needs a GPU and CuPy. First the answers on it are compared with the processor's, bit for bit, on
problems of all kinds: that alone is a test of the machine. Then full enumerations are timed, and
their spectra compared with those of branch and bound. ``--smoke`` runs the same on tiny problems
with the kernel compiled for the processor.
"""

from __future__ import annotations

import argparse
from typing import Any

import numpy as np

from benchmarks.record import markdown, save
from benchmarks.solves import solve
from qubo_prune import Problem, Spectrum, Status
from qubo_prune.bench import Instance

SHAPES = ((40, 12), (80, 8), (80, 10))
LARGE = ((80, 12),)
SMOKE = ((20, 5), (24, 6))

_CUTS = ((1, None), (1000, None), (1000, 1_000_000))
"""Numbers of states to find, and sizes of tasks, with which the answers are checked."""

_STATES_PER_CLOCK = 4 * 32 * 64 / 145
"""Upper limit for a multiprocessor: four schedulers issue one instruction per clock each, and the
kernel's innermost loop needs 145 for 64 states in each of 32 lanes.
"""


def cases(smoke: bool) -> dict[str, Problem]:
    """Return problems that between them use every part of the kernel."""
    rng = np.random.default_rng(0)
    n = 22 if smoke else 40
    ties = rng.integers(-2, 3, (n, n)).astype(float)
    whole = Instance.load(f"wishart-{n}").hessian
    kinds = ["ab"[i % 2] for i in range(n)]
    return {
        "tile": Problem(whole, 8),
        "kept set": Problem(whole, n - 8),
        "triples": Problem(whole, 3),
        "pairs": Problem(Instance.load(f"wishart-{60 if smoke else 300}").hessian, 3),
        "single": Problem(whole, {"a": 1, "b": 1}, kinds=kinds),
        "groups": Problem(whole, {"a": 3, "b": 4}, kinds=kinds),
        "fixed": Problem(whole, 7, keep=[0, 5], force=[3]),
        "ties": Problem(ties + ties.T, 7),
        "one value": Problem(np.ones((n, n)), 5),
    }


def check(options: dict[str, Any], smoke: bool) -> None:
    """Compare with the processor.

    Raises
    ------
    RuntimeError
        If an answer differs.
    """
    for name, problem in cases(smoke).items():
        for num_states, task_states in ((100, None),) if smoke else _CUTS:
            arguments = {"num_states": num_states, "backend": "enumeration"}
            expected = solve(problem, **arguments)
            found = solve(problem, **arguments, options={**options, "task_states": task_states})
            compare(found, expected, f"{name}, K = {num_states}, task_states = {task_states}")
        print(f"{name}: {problem.num_states} states, the same as on the processor")


def compare(found: Spectrum, expected: Spectrum, what: str) -> None:
    """Raise RuntimeError unless both are proven and the same to the last bit."""
    same = (
        found.status is expected.status is Status.PROVEN
        and found.states.tobytes() == expected.states.tobytes()
        and found.energies.tobytes() == expected.energies.tobytes()
        and found.num_evaluated == found.num_states_total
    )
    if not same:
        raise RuntimeError(f"the GPU's answer differs from the processor's: {what}")


def measure(n: int, count: int, repeats: int, options: dict[str, Any]) -> dict[str, Any]:
    """Time one shape; medians of the repeats."""
    problem = Problem(Problem.load("bytelm-40-branch", remove=1).hessian[:n, :n], remove=count)
    expected = solve(problem)
    total, search = [], []
    for _ in range(repeats):
        spectrum = solve(problem, backend="enumeration", options=options)
        compare(spectrum, expected, f"C({n},{count})")
        total.append(spectrum.timings["total"])
        search.append(spectrum.timings["search"])
    return {
        "shape": f"C({n},{count})",
        "states": problem.num_states,
        "seconds": float(np.median(total)),
        "search_seconds": float(np.median(search)),
        "states_per_second": problem.num_states / float(np.median(search)),
        "timings": spectrum.timings,
    }


def describe_gpus(count: int | None) -> list[dict[str, Any]]:
    """Return the name, multiprocessors and clock of each GPU in use, and its ceiling in states per
    second.
    """
    import cupy  # type: ignore[import-not-found, unused-ignore]

    found = []
    for number in range(count or cupy.cuda.runtime.getDeviceCount()):
        properties = cupy.cuda.runtime.getDeviceProperties(number)
        attributes = cupy.cuda.Device(number).attributes
        clock = 1e3 * attributes.get("ClockRate", 0)
        found.append(
            {
                "name": properties["name"].decode(),
                "multiprocessors": attributes["MultiProcessorCount"],
                "clock_hertz": clock,
                "ceiling": attributes["MultiProcessorCount"] * clock * _STATES_PER_CLOCK,
                "cupy": cupy.__version__,
                "driver": cupy.cuda.runtime.driverGetVersion(),
            }
        )
    return found


def main() -> None:
    """Check, measure all shapes and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--smoke", action="store_true", help="tiny problems on the processor")
    parser.add_argument("--large", action="store_true", help="C(80,12) too, about a minute or more")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--devices", type=int, help="number of GPUs  [default: all]")
    arguments = parser.parse_args()
    options = {
        "executor": "cuda",
        "devices": "host" if arguments.smoke else arguments.devices,
    }
    check(options, arguments.smoke)
    shapes = SMOKE if arguments.smoke else SHAPES + LARGE * arguments.large
    rows = [
        measure(*shape, 1 if shape in LARGE else arguments.repeats, options) for shape in shapes
    ]
    columns = ["shape", "states", "seconds", "search", "states/s"]
    if not arguments.smoke:
        gpus = describe_gpus(arguments.devices)
        save("gpu", "python -m benchmarks.gpu", [*rows, {"gpus": gpus}])
        print(f"{gpus}\nceiling: {sum(gpu['ceiling'] for gpu in gpus):.2e} states/s")
    print(
        markdown(
            columns,
            [
                [
                    row["shape"],
                    f"{row['states']:.3g}",
                    f"{row['seconds']:.2f}",
                    f"{row['search_seconds']:.3f}",
                    f"{row['states_per_second']:.2e}",
                ]
                for row in rows
            ],
        )
    )


if __name__ == "__main__":
    main()
