"""What a sampler is."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol


class Sampler(Protocol):
    """A `dimod.Sampler`, as far as it is used here."""

    @property
    def parameters(self) -> Mapping[str, Any]:
        """The parameters of `sample`."""

    def sample(self, model: Any, /, **parameters: Any) -> Any:
        """Return a `dimod.SampleSet` of a `dimod.BinaryQuadraticModel`."""
