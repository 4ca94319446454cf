"""Checks of what every backend must do, whatever it is able to."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from qubo_prune.backends.base import Availability, Backend, Capability, RawResult
from qubo_prune.core.errors import InputError
from qubo_prune.core.files.strict_json import is_fact
from qubo_prune.core.spectrum.status import Status
from qubo_prune.solving.solve import solve
from qubo_prune.testing.harness import Mismatch, expect, ranked, run, standard_output
from qubo_prune.testing.problems import cases


def check_declarations(backend: Backend, _num_blocks: int) -> None:
    """Be a frozen dataclass with a name without spaces, a one-line summary and capabilities."""
    cls = type(backend)
    expect(isinstance(backend, Backend), "a Backend", cls.__name__)
    for what in ("name", "summary"):
        text = getattr(cls, what, None)
        expect(
            isinstance(text, str) and text.strip() == text != "" and "\n" not in text,
            f"{what} to be one line of text",
            repr(text),
        )
    expect(len(cls.name.split()) == 1, "a name that can be typed as one word", repr(cls.name))
    capabilities = getattr(cls, "capabilities", None)
    expect(isinstance(capabilities, Capability), "capabilities to be a Capability", capabilities)
    parameters = getattr(cls, "__dataclass_params__", None)
    expect(parameters is not None and parameters.frozen, "a frozen dataclass", cls.__name__)


def check_availability(backend: Backend, _num_blocks: int) -> None:
    """Answer what is installed, licensed and there, and how to get what is not."""
    answer = type(backend).availability()
    expect(isinstance(answer, Availability), "an Availability", repr(answer))
    expect(isinstance(answer.installed, bool), "installed to be a bool", repr(answer.installed))
    for what in ("licensed", "device"):
        value = getattr(answer, what)
        expect(
            value is None or isinstance(value, bool), f"{what} to be a bool or None", repr(value)
        )
    for what in ("detail", "install"):
        value = getattr(answer, what)
        expect(isinstance(value, str) and "\n" not in value, f"{what} to be one line", repr(value))
    expect(
        answer.installed or answer.install != "",
        "a library that is not installed to come with the command that installs it",
        repr(answer),
    )
    expect(answer.usable or answer.detail != "", "a detail that says what is missing", repr(answer))
    again = type(backend).availability()
    expect(answer == again, f"the same answer twice, {answer}", again)


def check_options(backend: Backend, _num_blocks: int) -> None:
    """Take its own options and refuse unknown ones with an InputError."""
    cls = type(backend)
    own = {name: getattr(backend, name) for name in cls.options()}
    rebuilt = cls.configured(**own)
    expect(rebuilt == backend, f"configured(**{own}) to give {backend}", rebuilt)
    try:
        received = repr(cls.configured(no_such_option=1))
    except InputError:
        return
    raise Mismatch(f"expected an unknown option to be an InputError; received {received}.")


def check_result(backend: Backend, _num_blocks: int) -> None:
    """Return a RawResult whose fields have the documented types, shapes and ranges."""
    for case in cases():
        # Typed as anything, for that is what it may be.
        raw: Any = run(backend, case, 10)
        where = f" for {case.name}"
        expect(isinstance(raw, RawResult), f"a RawResult{where}", type(raw).__name__)
        shape = f"states to be an ndarray of bool of shape (K, {case.problem.num_blocks}){where}"
        expect(isinstance(raw.states, np.ndarray), shape, type(raw.states).__name__)
        expect(
            raw.states.dtype == np.bool_
            and raw.states.ndim == 2
            and raw.states.shape[1] == case.problem.num_blocks,
            shape,
            f"{raw.states.dtype} of shape {raw.states.shape}",
        )
        for what in ("num_complete", "num_evaluated"):
            count = getattr(raw, what)
            expect(type(count) is int and count >= 0, f"{what} to be an int >= 0{where}", count)
        expect(
            raw.num_complete <= len(raw.states),
            f"num_complete to be at most the number of states, {len(raw.states)},{where}",
            raw.num_complete,
        )
        bound = raw.lower_bound
        expect(
            isinstance(bound, float) and not math.isnan(bound),
            f"lower_bound to be a float{where}",
            repr(bound),
        )
        status = raw.native_status
        expect(isinstance(status, str), f"native_status to be a str{where}", repr(status))
        expect(
            isinstance(raw.timings, dict) and all(map(_is_timing, raw.timings.items())),
            f"timings to map phases to seconds{where}",
            raw.timings,
        )
        for what in ("proof", "statistics"):
            facts = getattr(raw, what)
            expect(
                isinstance(facts, dict) and all(is_fact(*item) for item in facts.items()),
                f"{what} to map names to finite numbers and strings{where}",
                facts,
            )


def _is_timing(entry: tuple[Any, Any]) -> bool:
    phase, seconds = entry
    return isinstance(phase, str) and isinstance(seconds, float) and 0 <= seconds < math.inf


def check_feasible(backend: Backend, _num_blocks: int) -> None:
    """Return only states with the exact counts, nothing kept removed, everything forced removed."""
    for case in cases():
        for num_states in (1, case.problem.num_states):
            states = np.asarray(run(backend, case, num_states).states, np.bool_)
            wrong = np.flatnonzero(~case.problem.is_feasible(states))
            expect(
                wrong.size == 0,
                f"only feasible states for {case.name}, {case.problem}",
                [np.flatnonzero(states[i]).tolist() for i in wrong[:1]],
            )


def check_distinct(backend: Backend, _num_blocks: int) -> None:
    """Return no state twice."""
    for case in cases():
        for num_states in (10, case.problem.num_states):
            states = np.asarray(run(backend, case, num_states).states, np.bool_)
            distinct = len(np.unique(states, axis=0))
            expect(
                distinct == len(states),
                f"distinct states for {case.name}",
                f"{len(states)} states of which {distinct} are distinct",
            )


def check_output(backend: Backend, _num_blocks: int) -> None:
    """Print nothing on standard output, which belongs to the program that runs it."""
    with standard_output() as written:
        for case in cases()[:3]:
            run(backend, case, 10)
    expect(not written, "nothing on standard output", written)


def check_spectrum(backend: Backend, _num_blocks: int) -> None:
    """Give a spectrum that passes Spectrum.check, of at most the states asked for, with a status it
    may claim.
    """
    proves = Capability.PROVES in type(backend).capabilities
    for case in cases():
        for num_states in (1, 10, len(case.spectrum) + 5):
            spectrum = solve(case.problem, num_states=num_states, backend=backend)
            spectrum.check(case.problem)
            expect(
                len(spectrum) <= min(num_states, len(case.spectrum)),
                f"at most {num_states} of {len(case.spectrum)} states for {case.name}",
                len(spectrum),
            )
            expect(
                proves or spectrum.status is Status.HEURISTIC,
                f"the status of a backend that proves nothing for {case.name}",
                spectrum.status,
            )
            expect(
                set(ranked(spectrum)) <= set(case.spectrum),
                f"energies equal to brute force for {case.name}",
                ranked(spectrum)[:3],
            )
