"""Other numbers in the parameters of a model, for a while."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping

from torch import Tensor, nn


@contextlib.contextmanager
def replaced_weights(values: Mapping[nn.Parameter, Tensor]) -> Iterator[None]:
    """Have parameters hold other numbers while the context lasts."""
    former = {parameter: parameter.data for parameter in values}
    try:
        for parameter, value in values.items():
            parameter.data = value.data
        yield
    finally:
        for parameter, value in former.items():
            parameter.data = value
