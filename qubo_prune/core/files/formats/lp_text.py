"""The text of an LP file: its sections, the names of the variables, bounds, and words.

Solvers disagree on where a name ends. For Gurobi that is at white space, and ``x[1,2]`` and ``a-b``
are names; for CPLEX ``x*y`` and ``x]`` are two words each. So a word up to white space that is
declared under Binary is that variable; any other ends at an operator, or at a bracket that closes
none of its own. A ``[`` where a word begins opens quadratic terms.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from qubo_prune.core.files.formats.lines import NUMBER, TextFile
from qubo_prune.core.text import format_value

_SECTIONS = {
    "minimize": r"minimi[sz]e|minimum|min",
    "maximize": r"maximi[sz]e|maximum|max",
    "constraints": r"subject\s+to|such\s+that|st\.?|s\.t\.",
    "bounds": r"bounds?",
    "binary": r"binary|binaries|bin",
    "other": r"(?:lazy|general)\s+constraints?|user\s+cuts|semi-continuous|semis?|sos[12]?|pwlobj",
    "general": r"generals?|gen|integers?|int",
    "end": r"end",
}
_SECTION = re.compile(
    rf"(?:{'|'.join(f'(?P<{name}>{words})' for name, words in _SECTIONS.items())})(?=\s|$)(?!\s*:)",
    re.IGNORECASE,
)
_TOKEN = re.compile(
    r"""(?P<number>(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?)
      | (?P<name>[A-Za-z!"\#$%&(),;?@_'`{}~]
          (?:[\w!"\#$%&(),.;?@'`{}~]|\[(?:[^\s\[\]]|\[[^\s\[\]]*\])*\])*)
      | (?P<sense>[<>]=?|=[<>]?)
      | (?P<sign>[+\-*^\[\]/:])""",
    re.VERBOSE | re.ASCII,
)
_SPACE = re.compile(r"\s*")
_LONGEST_LABEL = 255
"""Characters of a label, at most, whatever they are."""

_COMPARISON = re.compile(r"([<>]=?|=[<>]?)")
_SIGNED = re.compile(r"([+-])\s+")


class Token(NamedTuple):
    """A ``number``, a ``name``, a ``sense`` (``=``, ``<``...) or any other ``sign``."""

    kind: str
    text: str
    line: int


class Text(NamedTuple):
    """What an LP file says, in words.

    Attributes
    ----------
    names : dict
        Position of each variable under Binary.
    maximise : bool
        Whether the objective is to be maximised.
    objective, constraints : list of Token
        Words of these sections.
    fixed : dict
        Value of each variable that is not under Binary and that bounds leave no choice.
    """

    names: dict[str, int]
    maximise: bool
    objective: list[Token]
    constraints: list[Token]
    fixed: dict[str, float]


def read_text(file: TextFile) -> Text:
    """Take a file apart; refuse what says more than that variables are binary."""
    sections = _split(file)
    if "minimize" in sections and "maximize" in sections:
        file.fail(1, "it has two objectives, a minimum and a maximum")
    fixed = _fixed(file, sections.get("bounds", []))
    names: dict[str, int] = {}
    for line, content in sections.get("binary", []):
        for word in content.split():
            if NUMBER.fullmatch(word) or not re.search(r"\w", word):
                file.fail(line, f"{format_value(word)} stands where names of variables belong")
            if word in names:
                file.fail(line, f"variable {word!r} is declared twice")
            if word in fixed:
                file.fail(line, f"the bounds of variable {word!r} are other than 0 and 1")
            names[word] = len(names)
    words = _Words(file, names)
    return Text(
        names,
        "maximize" in sections,
        words.of(sections.get("minimize") or sections.get("maximize") or []),
        words.of(sections.get("constraints", [])),
        fixed,
    )


def _split(file: TextFile) -> dict[str, list[tuple[int, str]]]:
    """Return the numbered lines of each section without comments."""
    sections: dict[str, list[tuple[int, str]]] = {}
    current = title = ""
    for line, text in file.lines():
        content = text.partition("\\")[0].strip()
        found = _SECTION.match(content)
        if found is not None:
            current, title = str(found.lastgroup), found[0]
            content = content[found.end() :].strip()
            if current in sections and current != "other":
                file.fail(line, f"the section {title!r} is there twice")
            sections[current] = []
        if not content:
            continue
        if current in ("", "end"):
            where = "before the first section" if not current else "after the end"
            file.fail(line, f"{content[:20]!r} stands {where}")
        if current == "general":
            file.fail(line, f"{content[:20]!r} is declared to be other than binary")
        if current == "other":
            file.fail(line, f"the section {title!r} says more than counts of binary variables")
        sections[current].append((line, content))
    return sections


def _fixed(file: TextFile, lines: list[tuple[int, str]]) -> dict[str, float]:
    """Return the variables that bounds fix, and their values; refuse bounds that neither do that
    nor are 0 and 1.
    """
    limits: dict[str, dict[str, float]] = {}
    stated: dict[str, tuple[int, str]] = {}
    for line, content in lines:
        for name, sense, value in _bounds(file, line, content):
            stated[name] = line, content
            sides = limits.setdefault(name, {"<": 0.0})
            sides.update(dict.fromkeys("<>" if sense == "=" else sense, value))
    fixed = {}
    for name, sides in limits.items():
        lower, upper = sides["<"], sides.get(">")
        if lower == upper:
            fixed[name] = lower
        elif lower != 0.0 or upper not in (None, 1.0):
            line, content = stated[name]
            file.fail(line, f"the bounds {content[:40]!r} are other than 0 and 1")
    return fixed


def _bounds(file: TextFile, line: int, content: str) -> list[tuple[str, str, float]]:
    """Return the variable, how the value compares with it, ``<``, ``>`` or ``=``, and the value of
    each bound of a line.

    >>> from pathlib import Path
    >>> file = TextFile(Path("a.lp"), b"", "")
    >>> _bounds(file, 1, "- 0.0 <= x =< 1e0"), _bounds(file, 1, "1 >= x")
    ([('x', '<', -0.0), ('x', '>', 1.0)], [('x', '>', 1.0)])
    """
    parts = [part.strip() for part in _COMPARISON.split(_SIGNED.sub(r"\1", content))]
    sides, senses = parts[::2], parts[1::2]
    names = [side for side in sides if not NUMBER.fullmatch(side)]
    if not senses or not names or any(len(name.split()) != 1 for name in names):
        file.fail(line, f"the bounds {content[:40]!r} are other than 0 and 1")
    name = names[0]
    found = []
    for left, sense, right in zip(sides, senses, sides[1:], strict=False):
        way = sense.strip("=") or "="
        value, other = (left, right) if right == name else (right, left)
        if other != name:
            file.fail(line, f"{content[:40]!r} does not compare a variable with numbers")
        if left == name:
            way = {"<": ">", ">": "<"}.get(way, way)
        found.append((name, way, file.number(line, value, "the bound")))
    return found


class _Words:
    """Cuts lines into tokens."""

    def __init__(self, file: TextFile, names: dict[str, int]) -> None:
        self._file = file
        self._names = names
        longest = max([_LONGEST_LABEL, *map(len, names)])
        # No longer, or a line without white space would be looked through at every word.
        self._word = re.compile(rf"\S{{1,{longest + 1}}}")

    def of(self, lines: list[tuple[int, str]]) -> list[Token]:
        """Return the tokens of lines."""
        return [token for line, content in lines for token in self._of(line, content)]

    def _of(self, line: int, content: str) -> list[Token]:
        tokens: list[Token] = []
        at = 0
        while (at := _SPACE.match(content, at).end()) < len(content):  # type: ignore[union-attr]
            word = self._word.match(content, at)[0]  # type: ignore[index]
            label = word.removesuffix(":")
            if word in self._names or (label != word and re.match(r"[^<>=+\-*^/:]", label)):
                tokens.append(Token("name", label, line))
                tokens += [Token("sign", ":", line)] * (label != word)
                at += len(word)
                continue
            match = _TOKEN.match(content, at)
            if match is None:
                self._file.fail(line, f"{content[at : at + 20]!r} is neither number, name nor sign")
            at = match.end()
            if match.lastgroup == "number" and re.match(r"[\w.]", content[at : at + 1]):
                self._file.fail(line, f"{format_value(word)} is no number")
            tokens.append(Token(str(match.lastgroup), match[0], line))
        return tokens
