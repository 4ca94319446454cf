"""Residual branches of decoder layers, read off the graph that one forward pass records.

A decoder layer adds what its branches compute to the residual stream. Names of modules differ
between architectures, so nothing here looks at them: the sums that lead from a layer's input to its
output are followed backwards, and every module whose output is one of their other terms ends a
branch. A norm after the branch (Gemma 2 and 3, OLMo 2) is then part of it by construction.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.graph import GradientEdge, Node

_SUM = "AddBackward0"
_LINEAR = {
    _SUM,
    "AliasBackward0",
    "CloneBackward0",
    "DivBackward0",
    "MulBackward0",
    "SqueezeBackward1",
    "ToCopyBackward0",
    "UnsafeViewBackward0",
    "UnsqueezeBackward0",
    "ViewBackward0",
}
"""Nodes of autograd that add terms or rescale, reshape or convert one: what a gate commutes with.
"""


class UnknownBranchError(Exception):
    """The branches of a layer cannot be told apart; the text says why."""


@dataclass(frozen=True)
class Branch:
    """One residual branch of a decoder layer.

    Parameters
    ----------
    kind
        ``attention``, ``mamba``, ``linear_attention``, ``conv``, ``recurrent``, ``mlp`` or ``moe``.
    ends
        The modules whose outputs, element 0 of a tuple, are added to the residual stream.
    modules
        The largest modules that belong to this branch and to no other.
    """

    kind: str
    ends: tuple[nn.Module, ...]
    modules: tuple[nn.Module, ...]

    @property
    def num_parameters(self) -> int:
        """Parameters that only this branch uses."""
        return count_parameters(self.modules)


def count_parameters(modules: Sequence[nn.Module]) -> int:
    """Return the number of distinct parameters of `modules`."""
    distinct = {id(p): p.numel() for module in modules for p in module.parameters()}
    return sum(distinct.values())


def hidden_states(args: tuple[Any, ...], kwargs: dict[str, Any]) -> Tensor | None:
    """Return the residual stream among the arguments of a decoder layer."""
    value = args[0] if args else kwargs.get("hidden_states")
    return value if isinstance(value, Tensor) else None


def first_tensor(output: Any) -> Tensor | None:
    """Return a module's output, or element 0 where it returns a tuple."""
    value = output[0] if isinstance(output, tuple | list) and output else output
    return value if isinstance(value, Tensor) else None


def with_first_tensor(output: Any, tensor: Tensor) -> Any:
    """Return `output` with its tensor (`first_tensor`) replaced."""
    if isinstance(output, tuple | list):
        return type(output)([tensor, *output[1:]])
    return tensor


def find_branches(
    model: nn.Module, layers: Sequence[nn.Module], tokens: Tensor
) -> list[tuple[Branch, ...] | str]:
    """Return the branches of each layer in the order in which they run.

    Parameters
    ----------
    model
        A causal language model in evaluation mode, its parameters frozen.
    layers
        Its decoder layers.
    tokens
        Token ids to run it on, integers of shape (B, T) with T >= 2.

    Returns
    -------
    list
        For each layer its branches, or one sentence that says why they cannot be told apart.
    """
    found: dict[int, tuple[Branch, ...] | str] = {}
    with contextlib.ExitStack() as stack, torch.enable_grad():
        for index, layer in enumerate(layers):
            stack.enter_context(_recorded(index, layer, found))
        model(input_ids=tokens, use_cache=False)
    return [found.get(index, "the layer never ran") for index in range(len(layers))]


@contextlib.contextmanager
def _recorded(
    index: int, layer: nn.Module, found: dict[int, tuple[Branch, ...] | str]
) -> Iterator[None]:
    record = _Record(layer)

    def before(_: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        hidden = hidden_states(args, kwargs)
        if hidden is None:
            return None
        # Cut off from the layers before it: one layer's graph at a time is held in memory.
        hidden = record.start(hidden)
        return (
            ((hidden, *args[1:]), kwargs) if args else (args, {**kwargs, "hidden_states": hidden})
        )

    def after(_: nn.Module, __: Any, output: Any) -> Any:
        tensor = first_tensor(output)
        if tensor is None or record.source is None:
            found[index] = "its input and output are not tensors"
            return None
        try:
            found[index] = record.branches(tensor)
        except UnknownBranchError as error:
            found[index] = str(error)
        record.clear()
        return with_first_tensor(output, tensor.detach())

    handles = [
        layer.register_forward_pre_hook(before, with_kwargs=True),
        layer.register_forward_hook(after),
    ]
    for name, module in layer.named_modules():
        if module is not layer:
            handles.append(module.register_forward_hook(record.marker(name)))
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


@dataclass
class _Term:
    """What one module adds to the residual stream."""

    end: str
    tensor: Tensor
    starts: frozenset[Node]
    marks: frozenset[str]
    """The modules that ran between the stream and the end."""


@dataclass
class _Record:
    """What ran inside one layer, by the nodes of the graph."""

    layer: nn.Module
    source: Node | None = None
    shape: torch.Size = field(default_factory=torch.Size)
    marks: dict[Node, tuple[str, Tensor]] = field(default_factory=dict)
    calls: list[str] = field(default_factory=list)
    stream: dict[Node, bool] = field(default_factory=dict)

    def start(self, hidden: Tensor) -> Tensor:
        self.clear()
        tensor = hidden.detach().clone().requires_grad_().clone()
        self.source, self.shape = tensor.grad_fn, tensor.shape
        return tensor

    def clear(self) -> None:
        self.source = None
        self.marks, self.calls, self.stream = {}, [], {}

    def marker(self, name: str) -> Any:
        def mark(_: nn.Module, __: Any, output: Any) -> Any:
            tensor = first_tensor(output)
            if self.source is None or tensor is None or not tensor.requires_grad:
                return None
            kept = tensor.clone()
            assert kept.grad_fn is not None  # noqa: S101  # it requires a gradient and is no leaf
            self.marks[kept.grad_fn] = (name, kept)
            self.calls.append(name)
            # Falcon adds to a module's output in place: hand out another copy.
            return with_first_tensor(output, kept.clone())

        return mark

    def branches(self, output: Tensor) -> tuple[Branch, ...]:
        if output.grad_fn is None or not self._on_stream(output.grad_fn):
            raise UnknownBranchError("no sum leads from its input to its output")
        terms = [self._term(node) for node in self._ends(output.grad_fn)]
        if not terms:
            raise UnknownBranchError("it adds nothing to its input")
        owned = self._owned(terms)
        kinds = [self._kind(term, modules) for term, modules in zip(terms, owned, strict=True)]
        branches: list[Branch] = []
        groups: dict[Any, list[int]] = {}
        for i, (term, kind) in enumerate(zip(terms, kinds, strict=True)):
            # A shared expert beside routed ones (Granite) is part of the same feed-forward network.
            together = kind in {"mlp", "moe"}
            groups.setdefault((together, term.starts if together else i), []).append(i)
        for members in groups.values():
            parts = [kinds[i] for i in members]
            branches.append(
                Branch(
                    kind="moe" if "moe" in parts else parts[0],
                    ends=tuple(self.layer.get_submodule(terms[i].end) for i in members),
                    modules=tuple(module for i in members for module in owned[i]),
                )
            )
        return tuple(branches)

    def _on_stream(self, node: Node) -> bool:
        """Whether sums alone lead from the layer's input to this node."""
        if node not in self.stream:
            self.stream[node] = node is self.source or (
                node.name() in _LINEAR and any(map(self._on_stream, self._terms(node)))
            )
        return self.stream[node]

    def _terms(self, node: Node) -> list[Node]:
        """Return the nodes that this linear one adds, or the one that it rescales; else nothing."""
        after = [following for following, _ in node.next_functions if following is not None]
        return after if node.name() == _SUM or len(after) == 1 else []

    def _ends(self, node: Node) -> list[Node]:
        """Return the marks of all modules whose outputs are added, in the order they ran."""
        ends: dict[Node, None] = {}
        waiting, seen = [node], set()
        while waiting:
            node = waiting.pop()
            if node in seen or node is self.source:
                continue
            seen.add(node)
            if not self._on_stream(node) and self._is_end(node):
                ends[node] = None
                continue
            terms = self._terms(node) if node.name() in _LINEAR else []
            if not terms:
                raise UnknownBranchError(
                    f"it adds the result of {node.name().removesuffix('0')}, "
                    "which is not the output of a module"
                )
            waiting += terms
        order = {node: i for i, node in enumerate(self.marks)}
        return sorted(ends, key=order.__getitem__)

    def _is_end(self, node: Node) -> bool:
        if node not in self.marks:
            return False
        name, tensor = self.marks[node]
        # OPT's feed-forward network works on (B * T, size).
        fits = tensor.numel() == self.shape.numel() and tensor.shape[-1] == self.shape[-1]
        # Dropout hands through what it gets, and one module of it may serve several branches.
        return fits and not isinstance(self.layer.get_submodule(name), nn.Dropout)

    def _term(self, end: Node) -> _Term:
        name, tensor = self.marks[end]
        if self.calls.count(name) > 1:
            raise UnknownBranchError(f"its module {name} runs more than once")
        starts, marks = set(), set()
        waiting, seen = [end], {end}
        while waiting:
            node = waiting.pop()
            if self._on_stream(node):
                starts.add(node)
                continue
            if node in self.marks:
                marks.add(self.marks[node][0])
            for following, _ in node.next_functions:
                if following is not None and following not in seen:
                    seen.add(following)
                    waiting.append(following)
        return _Term(name, tensor, frozenset(starts), frozenset(marks))

    def _owned(self, terms: Sequence[_Term]) -> list[tuple[nn.Module, ...]]:
        """Return for each term the largest modules in which only its own modules ran."""
        users: dict[str, set[int]] = {}
        for i, term in enumerate(terms):
            for mark in term.marks:
                for name in _with_ancestors(mark):
                    users.setdefault(name, set()).add(i)
        result = []
        for i, term in enumerate(terms):
            tops: dict[str, None] = {}
            for mark in sorted(term.marks):
                own = [name for name in _with_ancestors(mark) if users[name] == {i}]
                tops |= dict.fromkeys(own[-1:])
            result.append(tuple(self.layer.get_submodule(name) for name in tops))
        return result

    def _kind(self, term: _Term, modules: Sequence[nn.Module]) -> str:
        parts = [each for module in modules for each in module.modules()]
        if not self._mixes_tokens(term):
            lists = any(isinstance(each, nn.ModuleList) and len(each) > 1 for each in parts)
            stacked = any(p.ndim > 2 for module in modules for p in module.parameters())
            return "moe" if lists or stacked else "mlp"
        if not any(isinstance(each, nn.Conv1d) for each in parts):
            return "attention"
        own = {name: p for each in parts for name, p in each.named_parameters(recurse=False)}
        if "A_log" in own:  # the decay of a state space; D is the skip around it
            return "mamba" if "D" in own else "linear_attention"
        plain = all(
            isinstance(each, nn.Linear | nn.Conv1d)
            for each in parts
            if any(p.ndim > 1 for p in each.parameters(recurse=False))
        )
        return "conv" if plain else "recurrent"

    def _mixes_tokens(self, term: _Term) -> bool:
        """Whether the last token's output depends on the input at earlier tokens."""
        generator = torch.Generator().manual_seed(0)
        # Any direction will do but the plain sum, which a norm at the end makes constant.
        direction = torch.randn(self.shape[-1], generator=generator)
        last = term.tensor.reshape(self.shape)[:, -1] @ direction.to(term.tensor)
        starts = [GradientEdge(node, 0) for node in term.starts]
        slopes: tuple[Tensor | None, ...] = torch.autograd.grad(
            last.sum(), starts, retain_graph=True, allow_unused=True
        )
        return any(
            bool((slope.reshape(*self.shape[:2], -1)[:, :-1] != 0).any())
            for slope in slopes
            if slope is not None
        )


def _with_ancestors(name: str) -> list[str]:
    """Return a module's dotted name and those of the modules around it, the layer left out.

    Examples
    --------
    >>> _with_ancestors("mlp.experts.0")
    ['mlp.experts.0', 'mlp.experts', 'mlp']
    """
    parts = name.split(".")
    return [".".join(parts[:length]) for length in range(len(parts), 0, -1)]
