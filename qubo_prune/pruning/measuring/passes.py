"""Parts of a model's forward pass, without the blocks that are removed.

All parts are calls of the model itself, in which the layers that are not asked for hand on what
they are given: its embeddings, positions, masks and norms are whatever the model makes of them, and
nothing here has to know an architecture.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from qubo_prune.core.errors import InputError
from qubo_prune.hessians.gates.gates import Gates, frozen
from qubo_prune.hessians.gates.head import base_hidden_states, rounding
from qubo_prune.hessians.gates.probes import random_tokens
from qubo_prune.pruning.measuring.skipping import Skipper, replaced


class Passes:
    """Runs parts of a model.

    Parameters
    ----------
    gates
        The gates of the model.

    Attributes
    ----------
    gates
        The same.
    num_layers
        How many layers there are, L.
    shares
        Whether a state between two layers is all that later layers need. Where it is not, or where
        a block that is skipped does not do what its gate at 0 does, every pass runs from the first
        layer, with gates at 0.
    """

    def __init__(self, gates: Gates) -> None:
        self.gates = gates
        self.num_layers = len(gates.layers)
        self._blocks: list[list[int]] = [[] for _ in gates.layers]
        for block, gate in enumerate(gates.gates):
            self._blocks[gate.layer].append(block)
        with frozen(gates.model):
            tokens = random_tokens(gates.model)
            self.skipper = Skipper(gates, tokens)
            self.shares = self._shares(tokens)

    def state_at(
        self, ids: Tensor, state: Tensor | None, first: int, last: int, removed: Sequence[int]
    ) -> Tensor:
        """Return what enters layer `last`, shape (B, T, size).

        Parameters
        ----------
        ids
            Token ids, (B, T).
        state
            What enters layer `first`; None for what the model makes of `ids` if that is 0.
        first, last
            Layers, ``first <= last < L``.
        removed
            Blocks of these layers that are left out.
        """
        seen: list[Tensor] = []
        self._run(ids, state, first, last, removed, seen)
        return seen[0]

    def end_of(
        self, ids: Tensor, state: Tensor | None, first: int, removed: Sequence[int]
    ) -> Tensor:
        """Return the final hidden states, or the logits of a model without a head that is known."""
        if not self.shares:
            return self._gated(ids, removed)
        return self._run(ids, state, first, len(self.gates.layers), removed, None)

    def _run(
        self,
        ids: Tensor,
        state: Tensor | None,
        first: int,
        last: int,
        removed: Sequence[int],
        seen: list[Tensor] | None,
    ) -> Tensor:
        with contextlib.ExitStack() as stack:
            stack.enter_context(inference(self.gates))
            left_out = set(removed)
            for index, (layer, blocks) in enumerate(
                zip(self.gates.layers, self._blocks, strict=True)
            ):
                if first <= index < last and not left_out.issuperset(blocks):
                    stack.enter_context(
                        self.skipper.without([block for block in blocks if block in left_out])
                    )
                    continue
                # A clone: a layer that works in place must not reach what is kept.
                given = state.clone() if state is not None and index == first - 1 else None
                watch = seen if index == last else None
                stack.enter_context(replaced(layer, self.skipper.skip(index, given, watch)))
            return self._output(ids)

    def _output(self, ids: Tensor) -> Tensor:
        model = self.gates.model
        if self.gates.head is not None:
            return base_hidden_states(model, ids)
        logits: Tensor = model(input_ids=ids, use_cache=False).logits
        return logits

    def _gated(self, ids: Tensor, removed: Sequence[int]) -> Tensor:
        values = torch.ones(len(ids), len(self.gates))
        values[:, list(removed)] = 0
        with inference(self.gates), self.gates.attached(values):
            return self._output(ids)

    def _shares(self, tokens: Tensor) -> bool:
        """Whether parts put together, every other block left out, give what gates at 0 give."""
        middle = len(self.gates.layers) // 2
        for removed in (range(0), range(0, len(self.gates), 2), range(1, len(self.gates), 2)):
            expected = self._gated(tokens, removed)
            if removed == range(0) and not torch.isfinite(expected).all():
                raise InputError(
                    f"the model's hidden states are not finite in {expected.dtype} on random "
                    "tokens; load it in another type or repair its weights."
                )
            before = [b for b in removed if self.gates.gates[b].layer < middle]
            after = [b for b in removed if self.gates.gates[b].layer >= middle]
            try:
                state = self.state_at(tokens, None, 0, middle, before)
                found = self._run(tokens, state, middle, len(self.gates.layers), after, None)
            except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError):
                return False
            # Where a block is not finite, a gate at 0 makes it NaN, and only skipping it helps.
            finite = expected.isfinite()
            wanted = expected[finite]
            # Equal to the last bit, but for GPU kernels that do not repeat themselves.
            if found.shape != expected.shape or (
                len(wanted) and not ((found[finite] - wanted).abs() <= rounding(wanted)).all()
            ):
                return False
        return True


@contextlib.contextmanager
def inference(gates: Gates) -> Iterator[None]:
    """Evaluate without gradients; nothing of a model's settings is changed afterwards."""
    with frozen(gates.model), torch.inference_mode():
        yield
