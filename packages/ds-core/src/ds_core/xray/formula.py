"""The formula of a layer, read where it is written: in the docstring of its class."""

from __future__ import annotations

import inspect
import re
from typing import NamedTuple

from ds_core.module import Module

_SECTION = re.compile(r"(Args|Attributes|Shape|Returns|Yields|Raises|Example|Source|Note)s?:")
_NAME = r"[^\s=\[]+(\[[^\]=]*\])?"  # "y", "h_(t-1)", "y[c, i r + u]"
_EQUATION = re.compile(rf"{_NAME}(, *{_NAME})* \+?= ")  # "y = ", "Q, K, V = ", "y[i] += "
_GRADIENT = re.compile(r"\bd[Ll]/d|\bd([A-Z]\w*|[a-z]) = ")  # "dL/dx", "dV = "


class Formula(NamedTuple):
    """What a layer computes, and what its backward does; one clause an entry, both empty where unknown."""

    forward: list[str]
    backward: list[str]

    @property
    def short(self) -> str:
        """The equation for the output y, or else the first of the forward."""
        equations = [clause for clause in self.forward if _EQUATION.match(clause)]
        return next((clause for clause in equations if clause.startswith("y = ")), *equations[:1] or [""])

    @property
    def short_backward(self) -> str:
        """The equation for the gradient of the input x."""
        return next((clause for clause in self.backward if re.match(r"d[Ll]/dx = |dx = ", clause)), "")


def formula_of(module: Module) -> Formula:
    """Finds a module's formula: the class attribute ``formula``, or the equations of its docstring.

    Equations are paragraphs of their own after the first sentence, starting ``name = ``, perhaps with one
    starting ``With `` that says what the names mean. Clauses stand apart by two spaces or more; those about
    a gradient (``dL/dx = ``) belong to the backward. A class inherits the formula of the class whose forward
    it inherits.

    Example:
        >>> formula_of(ReLU())
        Formula(forward=['y = max(x, 0)'], backward=['dL/dx = g where y > 0, else 0'])
    """
    for cls in type(module).__mro__:
        if cls is Module:
            break
        given = vars(cls).get("formula")
        formula = _split([given] if isinstance(given, str) else _paragraphs(cls.__doc__))
        if formula.short or isinstance(given, str):
            return formula
        if "forward" in vars(cls):
            break
    return Formula([], [])


def _paragraphs(doc: str | None) -> list[str]:
    """Returns the paragraphs of a docstring that may hold equations."""
    found = []
    for paragraph in re.split(r"\n\s*\n", inspect.cleandoc(doc or ""))[1:]:
        if _SECTION.match(paragraph):
            break
        if _EQUATION.match(paragraph) or paragraph.startswith("With "):
            found.append(paragraph)
    return found


def _split(paragraphs: list[str]) -> Formula:
    formula = Formula([], [])
    for paragraph in paragraphs:
        side = formula.forward
        lines = re.sub(
            r"(?<![,;:.])\n\s*(?![^\s=]+ = )|(?<= and)\n\s*", " ", paragraph.strip()
        )  # lines that go on
        for clause in re.split(r"\s{2,}|\n\s*", lines):
            clause = clause.rstrip(",;").replace("``", "").removeprefix("and ")
            if _GRADIENT.search(clause):
                side = formula.backward
            elif _EQUATION.match(clause):
                side = formula.forward
            if clause.startswith("(") and side:
                side[-1] += " " + clause  # a remark
            elif clause:
                side.append(clause)
    return formula
