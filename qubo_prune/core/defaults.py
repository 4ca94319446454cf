"""Facts that the help of the command line shows, which has to load no numerical library."""

from __future__ import annotations

BACKEND = "branch-and-bound"
"""The backend where none is named."""

EXECUTORS = ("threads", "processes", "dask", "cuda")
"""Who can do the work of the backend ``enumeration``; the first is the default."""

SHARED_EXECUTORS = ("threads", "dask")
"""Those of them that can do the work of ``branch-and-bound`` too."""

MAX_STATES = 3e10
"""Problems of up to so many states are enumerated to verify a certificate, by default."""

BATCH_SIZE = 8
"""Samples in a batch of `extract`, unless memory runs out or somebody says otherwise."""

WEIGHTS = "parameters"
"""What blocks weigh for a budget."""

OUT_OF_REACH = 10**18
"""More states than these are not enumerated: at 1e12 states/s, which takes GPUs, they need twelve
days.
"""

WALKS = 16
"""Walks in a round of a swap heuristic."""

PATIENCE = 5
"""Rounds in a row without a new state after which it ends."""
