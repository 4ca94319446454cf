"""Messages between a run and its worker processes: a JSON header and bytes, no pickles.

Sizes come first: 4 bytes for the header, 8 for the bytes after it, big-endian.
"""

from __future__ import annotations

import json
import struct
from typing import IO, Any

import numpy as np

from qubo_prune.backends.common.problem_bytes import decode_problem, encode_problem
from qubo_prune.backends.enumeration.engine import Batch, Job, Result
from qubo_prune.search.kernels.pool import num_words

_SIZES = struct.Struct(">IQ")

Message = tuple[dict[str, Any], bytes]


def send(stream: IO[bytes], header: dict[str, Any], body: bytes = b"") -> None:
    """Write a message."""
    text = json.dumps(header).encode()
    stream.write(_SIZES.pack(len(text), len(body)) + text)
    stream.write(body)
    stream.flush()


def receive(stream: IO[bytes]) -> Message | None:
    """Read a message; None where the other side has gone, even in the middle of one."""
    sizes = stream.read(_SIZES.size)
    if len(sizes) < _SIZES.size:
        return None
    text_size, body_size = _SIZES.unpack(sizes)
    text, body = stream.read(text_size), stream.read(body_size)
    return (json.loads(text), body) if len(text) + len(body) == text_size + body_size else None


def encode_batch(batch: Batch, threshold: float) -> dict[str, Any]:
    """Return the header of a batch."""
    return {
        "first": batch.first,
        "stop": batch.stop,
        "seconds": batch.seconds,
        "threshold": threshold.hex(),
    }


def decode_batch(header: dict[str, Any]) -> tuple[Batch, float]:
    """Return a batch and the threshold sent with it."""
    batch = Batch(header["first"], header["stop"], header["seconds"])
    return batch, float.fromhex(header["threshold"])


def encode_result(result: Result) -> Message:
    """Return the message of a result."""
    header = {
        "finished": result.finished,
        "visited": result.visited,
        "seconds": result.seconds,
        "count": len(result.energies),
    }
    return header, result.energies.astype("<f8").tobytes() + result.words.astype("<u8").tobytes()


def decode_result(message: Message, num_blocks: int) -> Result:
    """Return the result in a message."""
    header, body = message
    count = header["count"]
    energies = np.frombuffer(body, "<f8", count).astype(np.float64)
    words = np.frombuffer(body, "<u8", offset=8 * count).astype(np.uint64)
    return Result(
        header["finished"],
        header["visited"],
        header["seconds"],
        energies,
        words.reshape(count, num_words(num_blocks)),
    )


def encode_job(job: Job) -> bytes:
    """Return a job as bytes, the same ones for the same job."""
    facts = {
        "capacity": job.capacity,
        "task_states": job.task_states,
        "tile_size": job.tile_size,
    }
    return encode_problem(job.problem, facts)


def decode_job(data: bytes) -> Job:
    """Return the job in bytes.

    Raises
    ------
    BackendError
        If it comes from another version of this package, or is not what was sent.
    """
    problem, facts = decode_problem(data)
    return Job(problem, facts["capacity"], facts["task_states"], facts["tile_size"])
