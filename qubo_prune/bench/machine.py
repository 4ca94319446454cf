"""What a figure was measured on."""

from __future__ import annotations

import datetime
import os
import platform
import sys
from pathlib import Path
from typing import Any

from qubo_prune.core.version import versions

_LIBRARIES = (
    "qubo-prune",
    "numpy",
    "numba",
    "gurobipy",
    "pyscipopt",
    "qiskit",
    "qiskit-aer",
    "torch",
    "transformers",
)


def describe_machine() -> dict[str, Any]:
    """Return processor, cores, Python and the versions of the libraries that matter."""
    model = platform.processor()
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        names = [line for line in cpuinfo.read_text().splitlines() if line.startswith("model name")]
        model = names[0].partition(":")[2].strip() if names else model
    return {
        "date": datetime.datetime.now(datetime.UTC).date().isoformat(),
        "processor": model,
        "cores": len(os.sched_getaffinity(0)),
        "python": platform.python_version(),
        "versions": versions(*_LIBRARIES),
    }


def peak_memory() -> int:
    """Return the most bytes of memory that this process had so far."""
    status = Path("/proc/self/status")
    if status.exists():  # what getrusage says on Linux includes the process that started this one
        [line] = [line for line in status.read_text().splitlines() if line.startswith("VmHWM:")]
        return int(line.split()[1]) * 1024
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024
