"""What a sampler is."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    import dimod


class Sampler(Protocol):
    """A `dimod.Sampler`, as far as it is used here."""

    @property
    def parameters(self) -> Mapping[str, Any]:
        """The parameters of `sample`."""

    def sample(self, bqm: dimod.BinaryQuadraticModel, **parameters: Any) -> Any:
        """Return a `dimod.SampleSet`."""
