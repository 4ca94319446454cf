"""The numbers of layers in names of tensors, and in the names and patterns of modules that
configurations of quantisation list.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from qubo_prune.core.errors import InputError
from qubo_prune.core.text import format_value
from qubo_prune.pruning.removal.config_rules import Layers

_NUMBERED = re.compile(r"(.*?)\.(\d+)\.")
_FLAGS = re.compile(r"(?:re:|[+-]:)\^?|\^")
_PLAIN_PATH = re.compile(r"[\w.]*")
_REGULAR = re.compile(r"re:|[+-]:|.*[\\^$(|]", re.DOTALL)
"""What a regular expression is known by; anything else is a name or a glob."""

_BEGINNING = re.compile(r"(\d+)(?=\.[*+])")
_GLOB_BEGINNING = re.compile(r"(\d+)(?=\*)")
"""Patterns for all numbers that begin so."""


def lists_of_layers(names: Iterable[str], number: int) -> list[str]:
    """Return what stands before the numbers of so many layers.

    Examples
    --------
    >>> lists_of_layers(["embed.weight", "model.layers.0.a.1.b", "model.layers.1.a.0.b"], 2)
    ['model.layers']
    """
    found: dict[str, set[int]] = {}
    for name in names:
        match = _NUMBERED.match(name)
        if match:
            found.setdefault(match[1], set()).add(int(match[2]))
    return [path for path, numbers in found.items() if numbers.issuperset(range(number))]


@dataclass(frozen=True)
class LayerNames:
    """How names follow when layers are removed.

    Attributes
    ----------
    stored : str
        What stands before the number of a layer in the names of the tensors.
    path : str
        The same in the model.
    layers : Layers
        Which stay.
    """

    stored: str
    path: str
    layers: Layers

    def layer_of(self, name: str) -> int | None:
        """Return the layer that a tensor belongs to; None if to none."""
        rest = name.removeprefix(self.stored + ".")
        digits = rest.partition(".")[0]
        return int(digits) if rest != name and digits.isdecimal() else None

    def renamed(self, name: str) -> str | None:
        """Return the new name of a tensor; None if it goes.

        Examples
        --------
        >>> names = LayerNames("model.layers", "model.layers", Layers((0, 2), 3))
        >>> [names.renamed(f"model.layers.{i}.weight") for i in range(3)]
        ['model.layers.0.weight', None, 'model.layers.1.weight']
        """
        layer = self.layer_of(name)
        if layer is None:
            return name
        if layer not in self.layers.kept:
            return None
        rest = name.removeprefix(f"{self.stored}.").partition(".")[2]
        return f"{self.stored}.{self.layers.kept.index(layer)}.{rest}"

    def renumbered(self, text: str) -> tuple[str, ...]:
        r"""Return what the name or pattern of a module becomes for the layers that stay; nothing if
        it is only of layers that go.

        Patterns are regular expressions, known by ``re:``, ``+:``, ``-:`` or their signs, or globs.

        Raises
        ------
        InputError
            If the part of a pattern that says which layers is not a pattern itself.

        Examples
        --------
        >>> names = LayerNames("model.layers", "model.layers", Layers((0, 2), 3))
        >>> names.renumbered("model.layers.2.mlp.gate"), names.renumbered("layers.1.mlp")
        (('model.layers.1.mlp.gate',), ())
        >>> print(*names.renumbered(r"re:.*layers\.(1|2)\.mlp"))
        re:.*layers\.1\.mlp
        """
        start = self._number_in(text)
        if start is None:
            return (text,)
        is_regular = _REGULAR.match(text) is not None
        end = _end_of_part(text, start, is_regular)
        beginning = (_BEGINNING if is_regular else _GLOB_BEGINNING).match(text, start)
        if beginning:
            matched = [i for i in range(self.layers.number) if str(i).startswith(beginning[1])]
            end = beginning.end()
            rest = (r"\." if is_regular else ".") + text[end:]
        else:
            matched = self._matched(text[start:end], is_regular, text)
            rest = text[end:]
        if len(matched) in (0, self.layers.number):
            return (text,)  # all alike, or beyond the last layer
        new = [str(i) for i in self.layers.remapped(matched)]
        if is_regular and len(new) > 1:
            new = [f"(?:{'|'.join(new)})"]
        return tuple(text[:start] + number + rest for number in new)

    def _number_in(self, text: str) -> int | None:
        """Return where the number of a layer begins in a name or pattern."""
        ends = {re.escape(each.rpartition(".")[2]) for each in (self.path, self.stored)}
        match = re.search(rf"(?<!\w)(?:{'|'.join(sorted(ends))})\\?\.(?=.)", text)
        return match.end() if match and self._is_ours(text[: match.end()]) else None

    def _is_ours(self, before: str) -> bool:
        """Whether the list of layers that a name or pattern speaks of may be this one, not that of
        a vision tower.
        """
        ours = (self.stored, self.path)
        before = _FLAGS.sub("", before, count=1)
        path = before.replace("\\.", ".").rstrip(".")
        if _PLAIN_PATH.fullmatch(path):
            return any(
                f".{each}".endswith(f".{path}") or f".{path}".endswith(f".{each}") for each in ours
            )
        pattern = re.sub(r"(?<![.\]})])\*", ".*", before)  # that of a glob
        try:
            return any(re.search(pattern, f"{each}.") for each in ours)
        except re.error:
            return True

    def _matched(self, number: str, is_regular: bool, text: str) -> list[int]:
        """Return the layers that a number or a pattern for one stands for."""
        try:
            pattern = re.compile(number if is_regular else re.sub(r"(?<!\])\*", r"\\d*", number))
        except re.error as error:
            raise InputError(
                f"the configuration of the quantisation has the pattern {format_value(text)}, in"
                " which the numbers of layers cannot be told; name the modules one by one."
            ) from error
        return [i for i in range(self.layers.number) if pattern.fullmatch(str(i))]


def _end_of_part(text: str, start: int, is_regular: bool) -> int:
    """Return where the part of a pattern ends that begins at `start`: at the next dot that stands
    for itself outside brackets.
    """
    depth, at = 0, start
    while at < len(text):
        character, following = text[at], text[at + 1 : at + 2]
        if character == "\\":
            if not depth and following == ".":
                return at
            at += 2
            continue
        if character in "([{":
            depth += 1
        elif character in ")]}":
            depth -= 1
        elif not depth and (
            character == "$"
            or (character == "." and not (is_regular and following and following in "*+?"))
        ):
            return at
        at += 1
    return at
