"""Kernels that every room needs, and how kernels are compiled. Here numba is loaded first."""

from qubo_prune.core.errors import InputError

try:
    import numba  # noqa: F401
except ValueError as error:
    raise InputError(
        f"numba does not start ({str(error).rstrip('.')}); correct NUMBA_NUM_THREADS, or another"
        " variable of the environment that begins with NUMBA_."
    ) from error
