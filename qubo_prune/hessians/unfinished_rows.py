"""The rows of A: per-sample gradients as they come, in a file from which an extraction goes on
after anything.
"""

from __future__ import annotations

import json
import time
import warnings
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from qubo_prune.core.errors import InputError
from qubo_prune.core.files.disk import read_file, write_atomically
from qubo_prune.core.files.strict_json import Reader, as_integer
from qubo_prune.core.text import format_value

FORMAT_VERSION = 1
INTERVAL_SECONDS = 10.0
"""Time between two writes of the file."""

_ARRAYS = {"gradients": "float64", "losses": "float64"}


class GradientRows:
    """The gradients and losses of the samples that are done, in the order in which they are
    computed.

    Parameters
    ----------
    path : Path
        The file; it is read if it is there.
    run : dict
        What has to be the same for a file to be taken up, as JSON.
    num_samples, num_blocks : int
        How many rows there will be, m, and how long they are, N.
    batch_size : int
        Of an extraction that begins; one that goes on keeps that of the file, so that batches are
        as they would have been.

    Raises
    ------
    InputError
        If the file is damaged or belongs to another run.
    """

    def __init__(
        self, path: Path, run: dict[str, Any], num_samples: int, num_blocks: int, batch_size: int
    ) -> None:
        self.gradients: NDArray[np.float64] = np.zeros((num_samples, num_blocks))
        self.losses: NDArray[np.float64] = np.zeros(num_samples)
        self.num_done = 0
        self.batch_size = batch_size
        self._path = path
        self._run: dict[str, Any] = json.loads(json.dumps(run))
        self._written = time.monotonic()
        self._warned = False
        if path.exists():
            self._load()

    def add(self, gradients: NDArray[np.float64], losses: NDArray[np.float64]) -> None:
        """Append the rows of a batch, and write the file now and then."""
        stop = self.num_done + len(losses)
        self.gradients[self.num_done : stop] = gradients
        self.losses[self.num_done : stop] = losses
        self.num_done = stop
        if time.monotonic() - self._written >= INTERVAL_SECONDS:
            self._save_if_possible()

    def save(self, path: Path | None = None) -> None:
        """Write the file, or another one, completely or not at all."""
        header = {
            "format_version": FORMAT_VERSION,
            "num_done": self.num_done,
            "batch_size": self.batch_size,
            "run": self._run,
        }
        arrays: dict[str, NDArray[Any]] = {
            "header": np.frombuffer(json.dumps(header).encode(), np.uint8),
            "gradients": self.gradients[: self.num_done],
            "losses": self.losses[: self.num_done],
        }
        write_atomically(
            {path or self._path: lambda stream: np.savez(stream, allow_pickle=False, **arrays)}
        )
        self._written = time.monotonic()

    def _save_if_possible(self) -> None:
        """Write the file; a failure, as on a full disk, is a warning and no reason to lose hours of
        work.
        """
        try:
            self.save()
        except InputError as error:
            self._written = time.monotonic()
            if not self._warned:
                self._warned = True
                warnings.warn(
                    f"what is done so far is not kept: {error}", RuntimeWarning, stacklevel=2
                )

    def delete(self) -> None:
        """Remove the file, once what it holds is elsewhere."""
        self._path.unlink(missing_ok=True)

    def _load(self) -> None:
        reader = Reader(self._path, "file of an unfinished extraction", "delete it to start afresh")
        fields, arrays = reader.arrays(
            read_file(self._path), _ARRAYS, lambda fields: self._most_bytes(fields, reader)
        )
        num_done = reader.get(fields, "num_done", as_integer)
        batch_size = reader.get(fields, "batch_size", as_integer)
        gradients, losses = arrays["gradients"], arrays["losses"]
        if not 0 <= num_done <= len(self.losses) or batch_size < 1:
            reader.fail(f"{num_done} samples in batches of {batch_size} are impossible")
        if gradients.shape != (num_done, self.gradients.shape[1]) or losses.shape != (num_done,):
            reader.fail(f"its arrays do not hold {num_done} samples")
        if not (np.isfinite(gradients).all() and np.isfinite(losses).all()):
            reader.fail("it holds numbers that are not finite")
        self.gradients[:num_done] = gradients
        self.losses[:num_done] = losses
        self.num_done = num_done
        self.batch_size = batch_size

    def _most_bytes(self, fields: dict[str, Any], reader: Reader) -> dict[str, int]:
        """Return how many bytes the arrays may take; refuse the header of another run."""
        reader.check_version(fields, FORMAT_VERSION)
        run = reader.as_object(fields.get("run"), "run")
        for key, value in self._run.items():
            if run.get(key) != value:
                raise InputError(
                    f"{self._path} is of another extraction, with"
                    f" {key}={format_value(run.get(key))} in place of {format_value(value)}; delete"
                    " it to start afresh, or repeat that extraction as it was."
                )
        return {"gradients": self.gradients.nbytes, "losses": self.losses.nbytes}
