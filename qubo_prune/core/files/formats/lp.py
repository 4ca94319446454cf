"""LP files, as CPLEX, Gurobi, SCIP and dimod write them: a quadratic objective in binary variables,
exact counts, and what the variables that are 1 have to weigh.

dimod writes them. Its reader takes words for numbers without a word and never ends on some files,
so they are read here, with the line of what is wrong.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from itertools import count
from pathlib import Path
from types import MappingProxyType
from typing import IO

import numpy as np

from qubo_prune.core.files.formats.dimod_files import make_cqm
from qubo_prune.core.files.formats.lines import TextFile
from qubo_prune.core.files.formats.lp_text import Token, read_text
from qubo_prune.core.files.formats.quadratic_model import (
    AtLeast,
    Counts,
    Model,
    check_size,
    disjoint,
    exact_count,
    plain_labels,
    symmetric,
)

_CONSTANT = "Constant"
"""A variable fixed to 1, as Gurobi has it: for Gurobi, a number alone in the objective is the name
of a variable.
"""
_BUDGET = "budget"
"""What the row of the budget is called."""


@dataclass
class _Expression:
    """A sum: coefficients by name and by pair of names, and a constant."""

    linear: dict[str, float]
    quadratic: dict[tuple[str, str], float]
    constant: float


def read_lp(path: Path, data: bytes) -> Model:
    """Read an LP file; a maximum becomes the minimum of the negative."""
    file = TextFile(
        path,
        data,
        "write a quadratic objective, equations that count variables, as x0 + x1 + x2 = 1, one"
        " budget, as 3 x0 + 5 x1 >= 5, and all variables under Binary",
    )
    text = read_text(file)
    names = text.names
    check_size(len(names), f"{path}: the section Binary")
    sign = -1.0 if text.maximise else 1.0
    parsed = _Parser(file, names, text.objective, text.fixed).objective()
    linear = np.zeros(len(names))
    for name, value in parsed.linear.items():
        linear[names[name]] = sign * value
    pairs = np.array([(names[u], names[v]) for u, v in parsed.quadratic], np.int64).reshape(-1, 2)
    values = sign * np.array(list(parsed.quadratic.values()), np.float64)
    square = pairs[:, 0] == pairs[:, 1]
    np.add.at(linear, pairs[square, 0], values[square])  # x^2 = x
    pairs, values = pairs[~square], values[~square]
    counts, budget = _Parser(file, names, text.constraints).constraints()
    return Model(
        symmetric(linear, pairs[:, 0], pairs[:, 1], values),
        sign * parsed.constant,
        plain_labels(_numbers_of(list(names))),
        disjoint(counts, list(names), str(path)),
        budget,
    )


def write_lp(stream: IO[bytes], model: Model) -> None:
    """Write an LP file of variables ``x0``, ``x1``..., named after the labels where these are
    numbers.
    """
    import dimod

    counts = tuple(
        each if re.fullmatch(r"\w+", each.label, re.ASCII) else replace(each, label=str(number))
        for number, each in enumerate(model.counts)
    )
    cqm = make_cqm(replace(model, counts=counts, offset=0.0), lp_names(model), "count_")
    if model.offset:
        cqm.add_variable("REAL", _CONSTANT, lower_bound=1.0, upper_bound=1.0)
        cqm.objective.set_linear(_CONSTANT, model.offset)
    if model.budget is not None:
        weights = model.budget.weights.tolist()
        terms = [
            (name, weight) for name, weight in zip(lp_names(model), weights, strict=True) if weight
        ]
        cqm.add_constraint_from_iterable(terms, ">=", rhs=model.budget.amount, label=_BUDGET)
    stream.write(dimod.lp.dumps(cqm).encode())


def lp_names(model: Model) -> list[str]:
    """Return the names of the variables in an LP file: x and the label if all labels are numbers,
    else x and the position.

    >>> lp_names(Model(np.eye(2), labels=("7", "9"))), lp_names(Model(np.eye(2), labels=("a", "b")))
    (['x7', 'x9'], ['x0', 'x1'])
    """
    labels = model.labels or ()
    numbered = bool(labels) and all(re.fullmatch(r"\d+", label, re.ASCII) for label in labels)
    return [f"x{label}" for label in (labels if numbered else range(len(model.matrix)))]


def _numbers_of(names: list[str]) -> list[str]:
    """Undo `lp_names`.

    >>> _numbers_of(["x7", "x9"]), _numbers_of(["x7", "y"])
    (['7', '9'], ['x7', 'y'])
    """
    numbered = all(re.fullmatch(r"x\d+", name, re.ASCII) for name in names)
    return [name[1:] for name in names] if numbered else names


def _unused_label(counts: list[Counts]) -> str:
    """Return a label for a constraint without one."""
    used = {each.label for each in counts}
    return next(label for number in count(len(counts)) if (label := f"c{number}") not in used)


class _Parser:
    """Reads the tokens of a section."""

    def __init__(
        self,
        file: TextFile,
        names: dict[str, int],
        tokens: list[Token],
        fixed: Mapping[str, float] = MappingProxyType({}),
    ) -> None:
        self._file = file
        self._names = names
        self._tokens = tokens
        self._fixed = fixed
        self._at = 0

    def objective(self) -> _Expression:
        """Return the whole section as one expression."""
        self._label()
        expression = self._expression()
        if (token := self._peek()) is not None:
            self._file.fail(token.line, f"{token.text!r} does not belong into the objective")
        return expression

    def constraints(self) -> tuple[list[Counts], AtLeast | None]:
        """Return the constraints of the section: equations that count, and at most one budget."""
        counts: list[Counts] = []
        budget: AtLeast | None = None
        while (first := self._peek()) is not None:
            label = self._label() or _unused_label(counts)
            left = self._expression()
            sense = self._peek()
            if sense is None or sense.kind != "sense":
                self._file.fail(first.line, f"constraint {label!r} ends without = and a number")
            self._at += 1
            right = self._signed_number(sense.line)
            if sense.text.strip("=") not in ("", ">") or left.quadratic:
                self._file.fail(
                    first.line, f"constraint {label!r} is no linear equation, and no budget"
                )
            if [token.text for token in self._tokens[self._at : self._at + 2]] == ["-", ">"]:
                self._file.fail(first.line, f"constraint {label!r} depends on a condition")
            if sense.text != "=":
                if budget is not None:
                    self._file.fail(first.line, f"constraint {label!r} is a second budget")
                budget = self._budget(left, right, label, first.line)
                continue
            where = f"line {first.line} of {self._file.path}: constraint {label!r}"
            ones = exact_count(left.linear.values(), right - left.constant, where)
            members = np.array(sorted(self._names[name] for name in left.linear), np.int64)
            counts.append(Counts(label.removeprefix("count_"), members, ones))
        return counts, budget

    def _budget(self, left: _Expression, right: float, label: str, line: int) -> AtLeast:
        """Return what an inequality says that variables weigh."""
        weights = np.zeros(len(self._names))
        for name, weight in left.linear.items():
            if weight < 0:
                self._file.fail(
                    line,
                    f"constraint {label!r} is no budget, as the coefficient of {name!r} is below 0",
                )
            weights[self._names[name]] = weight
        return AtLeast(weights, right - left.constant)

    def _expression(self) -> _Expression:
        found = _Expression({}, {}, 0.0)
        first = True
        while (token := self._peek()) is not None and token.kind != "sense":
            sign = 1.0
            if token.text in ("+", "-"):
                sign = 1.0 if token.text == "+" else -1.0
                self._at += 1
            elif not first:
                if self._at_label():
                    break
                self._file.fail(token.line, f"{token.text!r} stands where + or - belongs")
            first = False
            self._term(found, sign, token.line)
        return found

    def _term(self, found: _Expression, sign: float, line: int) -> None:
        token = self._take(line)
        if token.text == "[":
            self._quadratic(found, sign, token.line)
        elif token.kind == "number":
            value = sign * self._value(token)
            following = self._peek()
            if following is not None and following.kind == "name" and not self._at_label():
                self._at += 1
                self._add(found, following, value)
            else:
                found.constant += value
        elif token.kind == "name":
            self._add(found, token, sign)
        else:
            self._file.fail(token.line, f"{token.text!r} stands where a term belongs")

    def _quadratic(self, found: _Expression, sign: float, line: int) -> None:
        """Read from after ``[`` to ``] / 2``."""
        begun = False
        while (token := self._take(line)).text != "]":
            line = token.line
            coefficient = sign * 0.5
            if token.text in ("+", "-"):
                coefficient *= 1.0 if token.text == "+" else -1.0
                token = self._take(line)
            elif begun:
                self._file.fail(line, f"{token.text!r} stands where + or - belongs")
            if token.kind == "number":
                coefficient *= self._value(token)
                token = self._take(line)
            first = self._known(token)
            operator = self._take(line)
            second = self._take(line)
            if operator.text == "^" and self._is_two(second):
                pair = first, first
            elif operator.text == "*":
                pair = first, self._known(second)
            else:
                self._file.fail(
                    operator.line, f"'{operator.text} {second.text}' is no product of two variables"
                )
            if self._names[pair[0]] > self._names[pair[1]]:
                pair = pair[1], pair[0]
            found.quadratic[pair] = found.quadratic.get(pair, 0.0) + coefficient
            begun = True
        slash, two = self._take(line), self._take(line)
        if slash.text != "/" or not self._is_two(two):
            self._file.fail(slash.line, "no '/ 2' follows the quadratic terms")

    def _add(self, found: _Expression, token: Token, value: float) -> None:
        if token.text in self._fixed:
            found.constant += value * self._fixed[token.text]
            return
        name = self._known(token)
        found.linear[name] = found.linear.get(name, 0.0) + value

    def _known(self, token: Token) -> str:
        if token.kind != "name":
            self._file.fail(token.line, f"{token.text!r} stands where a variable belongs")
        if token.text not in self._names:
            self._file.fail(token.line, f"variable {token.text!r} is not declared under Binary")
        return token.text

    def _signed_number(self, line: int) -> float:
        token = self._take(line)
        sign = 1.0
        if token.text in ("+", "-"):
            sign = 1.0 if token.text == "+" else -1.0
            token = self._take(line)
        if token.kind != "number":
            self._file.fail(token.line, f"{token.text!r} stands where a number belongs")
        return sign * self._value(token)

    def _is_two(self, token: Token) -> bool:
        return token.kind == "number" and self._value(token) == 2.0

    def _value(self, token: Token) -> float:
        return self._file.number(token.line, token.text, "the coefficient")

    def _label(self) -> str:
        """Read ``label :`` if that is what follows."""
        if not self._at_label():
            return ""
        self._at += 2
        return self._tokens[self._at - 2].text

    def _at_label(self) -> bool:
        following = self._tokens[self._at : self._at + 2]
        return len(following) == 2 and following[0].kind == "name" and following[1].text == ":"

    def _peek(self) -> Token | None:
        return self._tokens[self._at] if self._at < len(self._tokens) else None

    def _take(self, line: int) -> Token:
        token = self._peek()
        if token is None:
            self._file.fail(line, "the section ends in the middle of a term")
        self._at += 1
        return token
