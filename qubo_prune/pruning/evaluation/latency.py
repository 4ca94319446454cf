"""How long a model takes and how much memory beyond its weights, beside the original, in turn."""

from __future__ import annotations

import contextlib
import importlib
import json
import os
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor
from transformers import PreTrainedModel
from transformers.generation.streamers import BaseStreamer

from qubo_prune.core.errors import InputError
from qubo_prune.hessians.gates.head import input_device, token_embedding
from qubo_prune.pruning.evaluation.metrics import Metric
from qubo_prune.pruning.evaluation.samples import inference
from qubo_prune.pruning.evaluation.size import weight_bytes
from qubo_prune.pruning.evaluation.watch import UNWATCHED, Watch

__all__ = ["Load", "generate", "measure_latency", "measure_memory", "random_prompt"]

_PROFILED = 2
"""Tokens that are generated while the memory is watched."""


class Load(NamedTuple):
    """What is timed: one sequence, greedy.

    Attributes
    ----------
    prompt_tokens : int
        Tokens that are read at once (prefill).
    new_tokens : int
        Tokens that are generated one by one after it (decode), at least 2.
    repeats : int
        How often, after one run that does not count.
    """

    prompt_tokens: int = 512
    new_tokens: int = 32
    repeats: int = 9


def measure_latency(
    model: PreTrainedModel,
    original: PreTrainedModel | None,
    load: Load,
    watch: Watch = UNWATCHED,
) -> list[Metric]:
    """Return the times of prefill and of each token of decode.

    The two models take turns, and who begins alternates, so that what slows the machine down slows
    both.

    Parameters
    ----------
    model : transformers.PreTrainedModel
        What is timed.
    original : transformers.PreTrainedModel, optional
        What it is timed beside.
    load : Load
        What they do.
    watch : Watch
        Told before every run, and may end it.

    Raises
    ------
    InputError
        If a model cannot generate.
    StoppedError
        If the watch has it end.
    """
    turns = [model] if original is None else [model, original]
    prompt = random_prompt(turns, load)
    times: list[list[tuple[float, float]]] = [[] for _ in turns]
    for repetition in range(load.repeats + 1):
        order = range(len(turns)) if repetition % 2 else reversed(range(len(turns)))
        for turn in order:
            watch(repetition, load.repeats + 1)
            taken = _run(turns[turn], prompt, load.new_tokens)
            if repetition:  # what is compiled or allocated once has been by then
                times[turn].append(taken)
    facts = _facts(prompt, load)
    others = times[1] if original is not None else []
    return [
        Metric.time(name, [each[k] for each in times[0]], [each[k] for each in others], facts=facts)
        for k, name in enumerate(("prefill", "decode"))
    ]


def measure_memory(model: PreTrainedModel, load: Load, watch: Watch = UNWATCHED) -> list[Metric]:
    """Return the bytes of the weights and the most that is allocated beyond while a prompt is read
    and the first tokens are generated.

    On a processor that is what torch allocates, to the byte, not the memory of the process. The
    arguments and errors are those of `measure_latency`.
    """
    watch(0, 1)
    prompt = random_prompt([model], load)
    device = input_device(model)
    peak = _peak_on_cuda if device.type == "cuda" else _peak_on_processor
    most = weight_bytes(model) + peak(lambda: generate(model, prompt, _PROFILED))
    return [Metric.size("peak memory", most, "bytes", facts=_facts(prompt, load))]


def _facts(prompt: Tensor, load: Load) -> dict[str, int]:
    return {"prompt_tokens": prompt.shape[1], "new_tokens": load.new_tokens}


class _Clock(BaseStreamer):
    """Notes when tokens come."""

    def __init__(self) -> None:
        self.times: list[float] = []

    def put(self, value: Tensor) -> None:  # noqa: ARG002 - only when it comes
        """Note the time; tokens are on the processor by now, so a device has finished."""
        self.times.append(time.perf_counter())

    def end(self) -> None:
        """Do nothing."""


def _run(model: PreTrainedModel, prompt: Tensor, new_tokens: int) -> tuple[float, float]:
    """Return the seconds to the first token, and of each one after it."""
    clock = _Clock()
    started = time.perf_counter()
    generate(model, prompt, new_tokens, clock)
    _, first, *_, last = clock.times  # the prompt comes first of all
    return first - started, (last - first) / (new_tokens - 1)


def generate(model: Any, prompt: Tensor, new_tokens: int, streamer: Any = None) -> None:
    """Generate exactly so many tokens after a prompt, greedily and with a cache; tell `streamer` of
    each.
    """
    transformers: Any = importlib.import_module("transformers")  # its functions carry no types
    settings = transformers.GenerationConfig(
        do_sample=False,
        max_new_tokens=new_tokens,
        min_new_tokens=new_tokens,
        use_cache=True,
        pad_token_id=0,
    )
    tokens = prompt.to(input_device(model))
    try:
        with inference(model):
            model.generate(
                tokens,
                attention_mask=torch.ones_like(tokens),
                generation_config=settings,
                streamer=streamer,
            )
    except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as error:
        raise InputError(
            f"{type(model).__name__} cannot generate ({' '.join(str(error).split()):.200}), so no"
            " times can be taken; leave them out."
        ) from error


def random_prompt(models: list[PreTrainedModel], load: Load) -> Tensor:
    """Return random tokens, as many as asked for or as fit into every model with new ones."""
    length = load.prompt_tokens
    for model in models:
        config = model.config.get_text_config(decoder=True)
        limit = getattr(config, "max_position_embeddings", None)
        if isinstance(limit, int):
            length = min(length, max(1, limit - load.new_tokens))
    vocabulary = min(len(token_embedding(model)) for model in models)
    generator = torch.Generator().manual_seed(0)
    return torch.randint(vocabulary, (1, length), generator=generator)


def _peak_on_cuda(run: Callable[[], None]) -> int:
    before = [torch.cuda.memory_allocated(k) for k in range(torch.cuda.device_count())]
    for device in range(len(before)):
        torch.cuda.reset_peak_memory_stats(device)
    run()
    return sum(torch.cuda.max_memory_allocated(k) - old for k, old in enumerate(before))


def _peak_on_processor(run: Callable[[], None]) -> int:
    """Return the highest sum of what torch has allocated and not freed yet."""
    from torch.profiler import ProfilerActivity, profile

    with (
        _no_native_stderr(),
        profile(activities=[ProfilerActivity.CPU], profile_memory=True) as profiler,
    ):
        run()
    with tempfile.TemporaryDirectory() as folder:
        trace = Path(folder, "trace.json")
        profiler.export_chrome_trace(str(trace))
        events = json.loads(trace.read_bytes())["traceEvents"]
    changes = sorted((e["ts"], e["args"]["Bytes"]) for e in events if e.get("name") == "[memory]")
    held = peak = 0
    for _, change in changes:
        held += change
        peak = max(peak, held)
    return peak


@contextlib.contextmanager
def _no_native_stderr() -> Iterator[None]:
    """Keep from people what the profiler, which is not Python, says when it starts and ends."""
    try:
        former = os.dup(2)
    except OSError:  # there is none
        yield
        return
    with Path(os.devnull).open("w") as nothing:
        os.dup2(nothing.fileno(), 2)
    try:
        yield
    finally:
        os.dup2(former, 2)
        os.close(former)
