"""What to do when memory runs out."""

from __future__ import annotations


def ran_out(error: BaseException) -> bool:
    """Say whether an exception means that memory ran out, on any device."""
    from accelerate.utils.memory import should_reduce_batch_size

    return isinstance(error, MemoryError) or (
        isinstance(error, RuntimeError) and bool(should_reduce_batch_size(error))
    )


def release() -> None:
    """Give back what devices hold in reserve; nothing may refer to the tensors that are to go."""
    from accelerate.utils.memory import clear_device_cache

    clear_device_cache(garbage_collection=True)
