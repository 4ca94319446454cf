"""How long each block of a model takes: for a prompt (prefill), and for each token after it
(decode).

The clock runs inside the model, from when a block's modules are called to when they return, for all
blocks in every pass: differences between whole passes with and without a block drown in what else
the machine does.
"""

from __future__ import annotations

import contextlib
import math
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from qubo_prune.core.errors import InputError
from qubo_prune.core.stopping import Stop, StopReason
from qubo_prune.core.text import format_value

if TYPE_CHECKING:
    from torch import nn

    from qubo_prune.hessians.gates.gates import Gates

__all__ = ["BY", "PHASES", "BlockTimes", "measure_block_times"]

PHASES = ("prefill", "decode")
"""What can be timed: the prompt, or each token after it."""

BY = ("block", "kind")
"""Whose times count: those of each block, or of all blocks of a kind together."""

_DIGITS = 4
"""Significant digits of a weight: more are noise."""
_OF_MEDIAN = 1.2533 * 1.4826
"""The standard error of a median of Gaussian numbers, in median absolute deviations over the root
of their number.
"""


@dataclass(frozen=True, eq=False)
class BlockTimes:
    """What the blocks of a model took.

    Attributes
    ----------
    names, kinds : tuple of str
        Of the blocks.
    seconds : dict of str to (R, N) float64
        For each of `PHASES` what each block took in each repetition; for a token, the median over
        the tokens of one.
    whole : dict of str to (R,) float64
        What the whole model took, embedding and head included.
    prompt_tokens, new_tokens : int
        How long the prompt was, and how many tokens came after it.
    stop_reason : StopReason
        Why no more was timed.
    """

    names: tuple[str, ...]
    kinds: tuple[str, ...]
    seconds: dict[str, NDArray[np.float64]]
    whole: dict[str, NDArray[np.float64]]
    prompt_tokens: int
    new_tokens: int
    stop_reason: StopReason

    @property
    def repeats(self) -> int:
        """How often everything was timed."""
        return len(self.whole[PHASES[0]])

    def milliseconds(
        self, phase: str = "decode", by: str = "block"
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return the median of each block, and its standard error, NaN of one repetition.

        Parameters
        ----------
        phase : {"prefill", "decode"}
            Of what.
        by : {"block", "kind"}
            With ``kind``, of the median of all blocks of a kind: less noise, where they do alike.
        """
        _require(phase, PHASES, "phase")
        _require(by, BY, "by")
        times = 1e3 * self.seconds[phase]
        if by == "kind":
            kinds = np.array(self.kinds)
            times = times.copy()
            for kind in set(self.kinds):
                of_kind = np.median(times[:, kinds == kind], axis=1, keepdims=True)
                times[:, kinds == kind] = of_kind
        return np.median(times, axis=0), _median_errors(times)

    def weights(self, phase: str = "decode", by: str = "block") -> tuple[float, ...]:
        """Return what each block weighs, in milliseconds, to so many digits as mean something."""
        medians, _ = self.milliseconds(phase, by)
        return tuple(float(f"{value:.{_DIGITS}g}") for value in medians)

    def to_dict(self) -> dict[str, Any]:
        """Return all of it in plain Python types: medians and standard errors in milliseconds."""
        columns = {phase: self.milliseconds(phase) for phase in PHASES}
        return {
            "blocks": [
                {"name": name, "kind": kind}
                | {
                    f"{phase}{suffix}": _plain(column[number][i])
                    for phase, column in columns.items()
                    for number, suffix in enumerate(("", "_error"))
                }
                for i, (name, kind) in enumerate(zip(self.names, self.kinds, strict=True))
            ],
            "whole": {phase: 1e3 * float(np.median(self.whole[phase])) for phase in PHASES},
            "prompt_tokens": self.prompt_tokens,
            "new_tokens": self.new_tokens,
            "repeats": self.repeats,
            "stop_reason": self.stop_reason.value,
        }


def measure_block_times(
    gates: Gates,
    *,
    prompt_tokens: int = 512,
    new_tokens: int = 32,
    repeats: int = 9,
    stop: Stop | None = None,
) -> BlockTimes:
    """Time every block of a model while it reads a prompt and generates tokens, one sequence,
    greedily.

    Parameters
    ----------
    gates : Gates
        The blocks.
    prompt_tokens : int
        Tokens that are read at once, or as many as the model can take.
    new_tokens : int
        Tokens that are generated one by one after it, at least 2.
    repeats : int
        How often, after one run that does not count.
    stop : Stop, optional
        Ends it early, with the repetitions by then.

    Raises
    ------
    InputError
        If the model cannot generate, a block's modules are not called when it runs, or nothing was
        timed before the stop.

    Examples
    --------
    >>> import pytest
    >>> transformers = pytest.importorskip("transformers")
    >>> from qubo_prune.hessians.gates.gates import find_gates
    >>> config = transformers.LlamaConfig(
    ...     vocab_size=64, hidden_size=16, intermediate_size=32, num_hidden_layers=2,
    ...     num_attention_heads=2, num_key_value_heads=2,
    ... )
    >>> gates = find_gates(transformers.LlamaForCausalLM(config), "branch")
    >>> times = measure_block_times(gates, prompt_tokens=8, new_tokens=3, repeats=2)
    >>> times.names[:2], len(times.weights("prefill")), times.repeats
    (('layers.0.attention', 'layers.0.mlp'), 4, 2)
    """
    from qubo_prune.pruning.evaluation.latency import Load, generate, random_prompt

    stop = stop or Stop()
    model: Any = gates.model
    prompt = random_prompt([model], Load(prompt_tokens, new_tokens, repeats))
    rows: list[tuple[NDArray[np.float64], NDArray[np.float64]]] = []
    with stop.interruptible(), _Clock(gates).running() as clock:
        for repetition in range(repeats + 1):
            if stop.should_stop():
                break
            stop.report(repetition, repetition / (repeats + 1), "timing blocks", unit="run")
            clock.start()
            generate(model, prompt, new_tokens)
            if repetition:  # what is compiled or allocated once has been by then
                rows.append(clock.of_phases())
    stop.raise_failure()
    if not rows:
        raise InputError(
            "nothing was timed before the stop, as the first run does not count; give more time."
        )
    blocks, wholes = (np.array(each) for each in zip(*rows, strict=True))
    names = tuple(gate.name for gate in gates.gates)
    never = np.flatnonzero((blocks == 0).all(axis=(0, 1)))
    if never.size:
        raise InputError(
            f"the modules of {names[never[0]]} are not called as modules, so that they cannot be"
            " timed; give a file of times of your own."
        )
    return BlockTimes(
        names=names,
        kinds=tuple(gate.kind for gate in gates.gates),
        seconds={phase: blocks[:, i] for i, phase in enumerate(PHASES)},
        whole={phase: wholes[:, i] for i, phase in enumerate(PHASES)},
        prompt_tokens=int(prompt.shape[1]),
        new_tokens=new_tokens,
        stop_reason=stop.reason or StopReason.COMPLETED,
    )


class _Clock:
    """Adds up what each block took in each forward pass of a model."""

    def __init__(self, gates: Gates) -> None:
        import torch

        self._model = gates.model
        self._modules = [
            parts or (gates.layers[gate.layer],)
            for gate, parts in zip(gates.gates, gates.parts, strict=True)
        ]
        on_cuda = any(each.is_cuda for each in gates.model.parameters())
        self._wait = torch.cuda.synchronize if on_cuda else _nothing
        self.start()

    def start(self) -> None:
        """Forget all passes."""
        self._passes: list[NDArray[np.float64]] = []
        self._begun: list[float] = []

    def of_phases(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return what each block, (2, N), and the model, (2,), took for the prompt, the first pass,
        and for a token, the median of all others.
        """
        passes = np.array(self._passes)
        phases = np.array([passes[0], np.median(passes[1:], axis=0)])
        return phases[:, :-1], phases[:, -1]

    @contextlib.contextmanager
    def running(self) -> Iterator[_Clock]:
        """Listen to the model while the context lasts."""
        with contextlib.ExitStack() as stack:
            self._listen(stack, [self._model], -1)
            for number, modules in enumerate(self._modules):
                self._listen(stack, modules, number)
            yield self

    def _listen(
        self, stack: contextlib.ExitStack, modules: Sequence[nn.Module], number: int
    ) -> None:
        def before(_: nn.Module, __: Any) -> None:
            if number == -1:
                self._passes.append(np.zeros(len(self._modules) + 1))
            self._wait()
            self._begun.append(time.perf_counter())

        def after(_: nn.Module, __: Any, ___: Any) -> None:
            self._wait()
            self._passes[-1][number] += time.perf_counter() - self._begun.pop()

        for module in modules:
            stack.callback(module.register_forward_pre_hook(before).remove)
            stack.callback(module.register_forward_hook(after).remove)


def _nothing() -> None:
    """Wait for nothing: a processor is done when a module returns."""


def _median_errors(times: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the standard errors of the medians of columns, by their median absolute deviations;
    NaN of one row.

    >>> _median_errors(np.array([[1.0], [2.0], [4.0]])).round(3)
    array([1.073])
    """
    if len(times) < 2:
        return np.full(times.shape[1], np.nan)
    apart = np.median(np.abs(times - np.median(times, axis=0)), axis=0)
    return np.asarray(_OF_MEDIAN * apart / math.sqrt(len(times)), np.float64)


def _plain(value: float) -> float | None:
    return None if math.isnan(value) else float(value)


def _require(value: str, known: Sequence[str], what: str) -> None:
    if value not in known:
        raise InputError(
            f"{what} must be {' or '.join(known)}, not {format_value(value)}; choose one."
        )
