"""Layers and branches that are not run: each returns at once what adds nothing to the stream."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from qubo_prune.hessians.gates.branches import first_tensor, hidden_states, with_first_tensor
from qubo_prune.hessians.gates.gates import Gates
from qubo_prune.hessians.gates.probes import run

Forward = Callable[..., Any]


@dataclass(frozen=True)
class _Form:
    """What a module returned once: its tensor's type and dimensions, and what came with it."""

    rest: Any
    dtype: torch.dtype
    num_dimensions: int
    like_input: bool
    """Whether the tensor had the shape of the module's first one."""

    def around(self, tensor: Tensor | None) -> Any:
        return with_first_tensor(self.rest, tensor)  # type: ignore[arg-type]


class Skipper:
    """Knows how to leave out any block of a model.

    Parameters
    ----------
    gates
        The gates of the model, which is run once here.
    tokens
        Token ids to run it on.
    """

    def __init__(self, gates: Gates, tokens: Tensor) -> None:
        self._layers = gates.layers
        self._gates = gates
        self._forms: dict[nn.Module, _Form] = {}
        with contextlib.ExitStack() as stack:
            modules = [*gates.layers, *(m for part in (*gates.ends, *gates.parts) for m in part)]
            for module in dict.fromkeys(modules):
                handle = module.register_forward_hook(self._remember, with_kwargs=True)
                stack.callback(handle.remove)
            run(gates.model, tokens)

    def _remember(self, module: nn.Module, args: Any, kwargs: Any, output: Any) -> None:
        tensor = first_tensor(output)
        if tensor is None:
            return
        given = _first_given(args, kwargs)
        self._forms[module] = _Form(
            _without_tensors(output),
            tensor.dtype,
            tensor.ndim,
            given is not None and given.shape == tensor.shape,
        )

    def skip(self, layer: int, state: Tensor | None, seen: list[Tensor] | None) -> Forward:
        """Return a forward of a layer that hands on its input, or `state` in its place.

        Parameters
        ----------
        layer
            Its index.
        state
            What to hand on, if not what the layer is given.
        seen
            A list that gets what the layer is given.
        """
        form = self._forms[self._layers[layer]]

        def forward(*args: Any, **kwargs: Any) -> Any:
            hidden = hidden_states(args, kwargs)
            assert hidden is not None  # noqa: S101  # find_gates saw that it is there
            if seen is not None:
                seen.append(hidden)
            return form.around(hidden if state is None else state)

        return forward

    @contextlib.contextmanager
    def without(self, blocks: Sequence[int], shape: torch.Size | None = None) -> Iterator[None]:
        """Leave blocks out while the context lasts.

        Parameters
        ----------
        blocks
            Of which layers are skipped as a whole, and the modules of branches where that is
            possible; where it is not, what they return is replaced.
        shape
            Of the residual stream, (B, T, size), where it is known already.
        """
        with contextlib.ExitStack() as stack:
            for block in blocks:
                gate, ends = self._gates.gates[block], self._gates.ends[block]
                if self._gates.granularity == "block" or gate.place == "block":
                    stack.enter_context(
                        replaced(self._layers[gate.layer], self.skip(gate.layer, None, None))
                    )
                    continue
                shapes = [] if shape is None else [shape]
                stack.enter_context(_watched(self._layers[gate.layer], shapes))
                for module in (*ends, *self.left_out_inside(block)):
                    stack.enter_context(replaced(module, self._zeros(module, shapes)))
            yield

    def left_out_inside(self, block: int) -> list[nn.Module]:
        """Return the modules of a branch, its ends aside, that need not run when it is removed."""
        ends = self._gates.ends[block]
        return [
            part
            for part in self._gates.parts[block]
            if part not in ends and self._can_be_left_out(part, ends)
        ]

    def returns(self, module: nn.Module) -> int | None:
        """Return how many values a module returns in a tuple, 0 for a tensor alone; None where the
        shape of its tensor is not known from what the module is given.
        """
        form = self._forms[module]
        if not form.like_input and not isinstance(module, nn.Linear):
            return None
        return len(form.rest) if isinstance(form.rest, tuple | list) else 0

    def _can_be_left_out(self, part: nn.Module, ends: Sequence[nn.Module]) -> bool:
        """Whether the shape of what a module inside a branch returns is known beforehand."""
        form = self._forms.get(part)
        if form is None or any(end in part.modules() for end in ends):
            return False
        return form.like_input or isinstance(part, nn.Linear)

    def _zeros(self, module: nn.Module, shapes: list[torch.Size]) -> Forward:
        form = self._forms[module]

        def forward(*args: Any, **kwargs: Any) -> Any:
            given = _first_given(args, kwargs)
            assert given is not None  # noqa: S101  # it hangs on the residual stream
            if form.like_input:
                shape: tuple[int, ...] = given.shape
            elif isinstance(module, nn.Linear):
                shape = (*given.shape[:-1], module.out_features)
            else:
                samples, length, size = shapes[-1]
                shape = (
                    (samples, length, size)
                    if form.num_dimensions == 3
                    else (samples * length, size)
                )
            return form.around(given.new_zeros(shape, dtype=form.dtype))

        return forward


@contextlib.contextmanager
def replaced(module: nn.Module, forward: Forward) -> Iterator[None]:
    """Have a module do something else while the context lasts.

    Hooks of accelerate, which wrap a module's forward to bring its weights, are then not run.
    """
    own = vars(module).get("forward")
    module.forward = forward
    try:
        yield
    finally:
        if own is None:
            del module.forward
        else:
            module.forward = own


@contextlib.contextmanager
def _watched(layer: nn.Module, shapes: list[torch.Size]) -> Iterator[None]:
    """Note the shape of what a layer is given, each time before it runs."""

    def before(_: nn.Module, args: Any, kwargs: Any) -> None:
        hidden = hidden_states(args, kwargs)
        if hidden is not None:
            shapes.append(hidden.shape)

    handle = layer.register_forward_pre_hook(before, with_kwargs=True)
    try:
        yield
    finally:
        handle.remove()


def _first_given(args: tuple[Any, ...], kwargs: dict[str, Any]) -> Tensor | None:
    """Return the first tensor among the arguments of a module."""
    values = (*args, *kwargs.values())
    return next((value for value in values if isinstance(value, Tensor)), None)


def _without_tensors(output: Any) -> Any:
    if isinstance(output, tuple | list):
        return type(output)([None if isinstance(each, Tensor) else each for each in output])
    return None
