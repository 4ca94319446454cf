"""Which type, and how many threads, are fast on this machine: measured in a second or two."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch

_TOKENS, _HEADS, _HEAD_SIZE, _INNER = 512, 9, 64, 1536
_REPEATS = 5
_WORTH_SAYING = 1.5
"""Ratio of speeds below which there is no advice."""

_TOO_SLOW = 0.5
"""Seconds after which a type is not tried again."""

DTYPES = ("float32", "bfloat16", "float16")


@dataclass(frozen=True)
class Speed:
    """Seconds that what a small decoder layer does takes.

    Parameters
    ----------
    device
        Where it was measured.
    num_threads
        Threads of torch, on a processor.
    seconds
        By type, with these threads.
    one_thread
        In the model's type, with one thread; None where that is the same, or no processor.
    """

    device: str
    num_threads: int
    seconds: dict[str, float]
    one_thread: float | None

    def advice(self, dtype: str) -> str | None:
        """Return a sentence on what is faster than `dtype`, or None if nothing is by much.

        Examples
        --------
        >>> seconds = {"float32": 0.030, "bfloat16": 0.010, "float16": 0.5}
        >>> Speed("cpu", 2, seconds, 0.028).advice("float32")
        'bfloat16 is 3.0 times as fast as float32 on this cpu.'
        >>> Speed("cpu", 2, seconds, 0.002).advice("bfloat16")
        'One thread is 5.0 times as fast as 2 now (set OMP_NUM_THREADS=1): the machine is busy.'
        >>> print(Speed("cpu", 2, seconds, 0.008).advice("bfloat16"))
        None
        """
        sentences = []
        best = min(self.seconds, key=self.seconds.__getitem__)
        if dtype in self.seconds and self.seconds[dtype] > _WORTH_SAYING * self.seconds[best]:
            ratio = self.seconds[dtype] / self.seconds[best]
            sentences.append(
                f"{best} is {ratio:.1f} times as fast as {dtype} on this {self.device}."
            )
        own = self.seconds.get(dtype)
        if own and self.one_thread and own > _WORTH_SAYING * self.one_thread:
            sentences.append(
                f"One thread is {own / self.one_thread:.1f} times as fast as {self.num_threads} "
                "now (set OMP_NUM_THREADS=1): the machine is busy."
            )
        return " ".join(sentences) or None


def measure_speed(dtype: str = "float32", device: str | torch.device = "cpu") -> Speed:
    """Time what a small decoder layer does, in each type.

    Parameters
    ----------
    dtype : str
        The model's type, which is also tried on one thread.
    device : str or torch.device
        Where the model is.
    """
    import torch

    place = torch.device(device)
    threads = torch.get_num_threads()
    seconds = {name: _layer(getattr(torch, name), place) for name in DTYPES}
    one = None
    if place.type == "cpu" and threads > 1 and dtype in seconds:
        with _threads(1):
            one = _layer(getattr(torch, dtype), place)
    return Speed(place.type, threads, seconds, one)


def _layer(dtype: torch.dtype, device: torch.device) -> float:
    """Return the seconds of the fastest of some rounds of what a decoder layer does."""
    import torch
    from torch.nn import functional

    size = _HEADS * _HEAD_SIZE
    hidden, wide, narrow = (
        torch.ones(shape, dtype=dtype, device=device)
        for shape in ((_TOKENS, size), (size, _INNER), (_INNER, size))
    )
    best = float("inf")
    with torch.inference_mode():
        for _ in range(_REPEATS):
            begin = time.perf_counter()
            heads = hidden.reshape(1, _TOKENS, _HEADS, _HEAD_SIZE).transpose(1, 2)
            mixed = functional.scaled_dot_product_attention(heads, heads, heads, is_causal=True)
            stream = hidden + mixed.transpose(1, 2).reshape(_TOKENS, size)
            normed = functional.rms_norm(stream.float(), (size,)).to(dtype)
            added = functional.silu(normed @ wide) * (normed @ wide)
            (stream + added @ narrow)[0, 0].item()  # which waits for the device
            best = min(best, time.perf_counter() - begin)
            if best > _TOO_SLOW:
                break
    return best


@contextmanager
def _threads(number: int) -> Iterator[None]:
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(number)
    try:
        yield
    finally:
        torch.set_num_threads(before)
