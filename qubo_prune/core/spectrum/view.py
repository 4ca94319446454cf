"""What files, checks and tables read of a spectrum, so that none of them imports the class."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol, SupportsIndex

import numpy as np
from numpy.typing import NDArray

from qubo_prune.core.problem.budget import Budget
from qubo_prune.core.spectrum.status import Status
from qubo_prune.core.stopping import StopReason


class SpectrumView(Protocol):
    """The attributes of a `Spectrum`, which documents them."""

    @property
    def states(self) -> NDArray[np.bool_]: ...  # noqa: D102
    @property
    def energies(self) -> NDArray[np.float64]: ...  # noqa: D102
    @property
    def num_proven(self) -> int: ...  # noqa: D102
    @property
    def lower_bound(self) -> float: ...  # noqa: D102
    @property
    def status(self) -> Status: ...  # noqa: D102
    @property
    def stop_reason(self) -> StopReason: ...  # noqa: D102
    @property
    def ties_truncated(self) -> bool: ...  # noqa: D102
    @property
    def backend(self) -> str: ...  # noqa: D102
    @property
    def num_blocks(self) -> int: ...  # noqa: D102
    @property
    def num_states_total(self) -> int: ...  # noqa: D102
    @property
    def hessian_sha256(self) -> str: ...  # noqa: D102
    @property
    def names(self) -> tuple[str, ...]: ...  # noqa: D102
    @property
    def remove(self) -> int | dict[str, int] | None: ...  # noqa: D102
    @property
    def seed(self) -> int | None: ...  # noqa: D102
    @property
    def timings(self) -> Mapping[str, float]: ...  # noqa: D102
    @property
    def num_evaluated(self) -> int: ...  # noqa: D102
    @property
    def native_status(self) -> str: ...  # noqa: D102
    @property
    def proof(self) -> Mapping[str, float | int | str]: ...  # noqa: D102
    @property
    def statistics(self) -> Mapping[str, float | int | str]: ...  # noqa: D102
    @property
    def parameter_counts(self) -> tuple[int, ...] | None: ...  # noqa: D102
    @property
    def at_least(self) -> float | str | None: ...  # noqa: D102
    @property
    def weights(self) -> tuple[float, ...] | None: ...  # noqa: D102
    @property
    def budget(self) -> Budget | None: ...  # noqa: D102
    @property
    def advice(self) -> str: ...  # noqa: D102
    def __len__(self) -> int: ...
    def removed(self, k: SupportsIndex) -> list[int]: ...  # noqa: D102
    def removed_names(self, k: SupportsIndex) -> list[str]: ...  # noqa: D102
    def check_consistency(self) -> None: ...  # noqa: D102
