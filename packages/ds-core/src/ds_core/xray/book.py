"""Watching the formulas at work: what each of their lines made, under the name that the line gives it.

Python itself reports, line by line, what a function does, as it does for a debugger; nothing in a formula
knows of it. Only what a folder ``functional/`` offers is looked at, not its helpers.
A debugger that watches the same thread sees nothing while a block here runs.
"""

from __future__ import annotations

import ast
import copy
import inspect
import sys
import textwrap
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from itertools import count
from types import CodeType, FrameType
from typing import Any

from torch import Tensor

# Name, value and expression of one tensor; the expression is None where one gives several tensors.
Part = tuple[str, Tensor, ast.expr | None]


@dataclass(frozen=True)
class Line:
    """One tensor that one line of a formula made.

    Attributes:
        function: the formula's name, ``attention_backward``.
        module: where it stands, ``ds_transformer.functional.attention``.
        call: which call of a formula this was, counted from 0; its lines have it in common.
        number: of the line in the module's file.
        code: the line.
        comment: what stands behind it; in a backward, the line of the forward that it undoes.
        name: what it assigns; of a result without a name what it is: ``y``, ``grad_x``.
        value: a copy of what it made.
        expression: what stands right of ``=``; None where one expression gives several tensors.
        whole: all that stands right of ``=``.
        scope: what the formula knew by name before the line.
        known: the names of its module.
    """

    function: str
    module: str
    call: int
    number: int
    code: str
    comment: str
    name: str
    value: Tensor
    expression: ast.expr | None
    whole: ast.expr
    scope: Mapping[str, Any]
    known: Mapping[str, Any]


@contextmanager
def watch_formulas(report: Callable[[Line], None]) -> Iterator[None]:
    """Reports every tensor that a line of a formula makes while the block runs, in this thread.

    A kernel has no lines to report: run inside ``engine("manual", kernels=False)``.

    Example:
        >>> with engine("manual", kernels=False), watch_formulas(lambda line: print(line.name)):
        ...     layer(x)
    """
    calls = count()

    def enter(frame: FrameType, event: str, arg: Any) -> Callable[..., Any] | None:
        if not _is_formula(frame.f_code.co_name, frame.f_globals.get("__name__", "")):
            return None
        formula = _formula(frame.f_code)
        return None if formula is None else _Watch(formula, next(calls), report)

    before = sys.gettrace()
    sys.settrace(enter)
    try:
        yield
    finally:
        sys.settrace(before)


def _is_formula(name: str, module: str) -> bool:
    """Says whether a function is one that the folder ``functional/`` offers; not a helper."""
    book = sys.modules.get(module.rpartition(".")[0])
    return ".functional." in module and name in getattr(book, "__all__", ())


@dataclass(frozen=True, eq=False)
class _Statement:
    node: ast.Assign | ast.Return
    number: int
    code: str
    comment: str


@dataclass(frozen=True, eq=False)
class _Formula:
    statements: Mapping[int, _Statement]  # by the number of each of their lines
    arguments: tuple[str, ...]


@cache
def _formula(code: CodeType) -> _Formula | None:
    """Reads a formula's source; None for one that loops, whose steps are formulas of their own."""
    try:
        lines, first = inspect.getsourcelines(code)
    except OSError:
        return None
    text = textwrap.dedent("".join(lines))
    tree = ast.parse(text)
    if any(isinstance(node, (ast.For, ast.While)) for node in ast.walk(tree)):
        return None
    source, statements = text.splitlines(), {}
    for node in ast.walk(tree):
        if isinstance(node, (ast.Assign, ast.Return)):
            end = node.end_lineno or node.lineno
            comments = [line.partition("  # ")[2] for line in source[node.lineno - 1 : end]]
            statement = _Statement(
                node, node.lineno + first - 1, ast.unparse(node), next(filter(None, comments), "")
            )
            statements.update(dict.fromkeys(range(node.lineno + first - 1, end + first), statement))
    return _Formula(statements, code.co_varnames[: code.co_argcount])


class _Watch:
    """Follows one call of a formula."""

    def __init__(self, formula: _Formula, call: int, report: Callable[[Line], None]) -> None:
        self.formula, self.call, self.report = formula, call, report
        self.now: _Statement | None = None
        self.scope: dict[str, Any] = {}

    def __call__(self, frame: FrameType, event: str, arg: Any) -> _Watch:
        if event == "line":
            statement = self.formula.statements.get(frame.f_lineno)
            if statement is None or statement is not self.now:
                self.finish(frame, None)
                self.now, self.scope = statement, dict(frame.f_locals)
        elif event == "return":
            self.finish(frame, arg)
        return self

    def finish(self, frame: FrameType, result: Any) -> None:
        """Reports what the line that has just ended made."""
        statement, self.now = self.now, None
        if statement is None:
            return
        function, known = frame.f_code.co_name, frame.f_globals
        names = {**known, **self.scope}
        value = statement.node.value and _settled(statement.node.value, names)
        if value is None or _calls_a_formula(value, known):
            return
        if isinstance(statement.node, ast.Return):
            made = self.returned(value, result, function, known)
        else:
            target = statement.node.targets[0]
            made = list(_parts(ast.unparse(target), _value(target, frame.f_locals), value))
        for name, tensor, expression in made:
            known_by = any(tensor is other for other in self.scope.values())
            if known_by or isinstance(expression, (ast.Name, ast.Attribute)):
                continue  # another name for what has been reported, or was given
            place = (function, known["__name__"], self.call, statement.number)
            words = (statement.code, statement.comment, name)
            copy_of = tensor.detach().clone()
            self.report(Line(*place, *words, copy_of, expression, value, self.scope, known))

    def returned(self, node: ast.expr, result: Any, function: str, known: Mapping[str, Any]) -> list[Part]:
        """Names what a formula returns without having given it a name."""
        elements = node.elts if isinstance(node, ast.Tuple) else None
        forward = known.get(function.removesuffix("_backward"))
        if function.endswith("_backward") and forward is not None:
            names = [f"grad_{name}" for name in inspect.signature(forward).parameters]
        elif f"{function}_backward" in known:
            names = ["y"]  # and what is saved
        else:
            names = [self.formula.arguments[0]]  # an update, and its state
        if elements is None and not isinstance(result, tuple):
            elements, result = [node], (result,)
        found: list[Part] = []
        for i, (name, value) in enumerate(zip(names, result, strict=False)):
            found += _parts(name, value, None if elements is None else elements[i])
        return found


class _Settle(ast.NodeTransformer):
    """Puts in place of ``a if b else c`` the one that it is."""

    def __init__(self, names: dict[str, Any]) -> None:
        self.names = names

    def visit_IfExp(self, node: ast.IfExp) -> Any:
        chosen = eval(compile(ast.Expression(node.test), "<formula>", "eval"), self.names)
        return self.visit(node.body if chosen else node.orelse)


def _settled(node: ast.expr, names: dict[str, Any]) -> ast.expr | None:
    """Decides every condition in an expression; None if nothing is left."""
    if any(isinstance(part, ast.IfExp) for part in ast.walk(node)):
        node = _Settle(names).visit(copy.deepcopy(node))
    return None if isinstance(node, ast.Constant) and node.value is None else node


def _calls_a_formula(node: ast.expr, known: Mapping[str, Any]) -> bool:
    """Says whether an expression is a call of another formula, which reports its own lines."""
    if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Name)):
        return False
    return _is_formula(node.func.id, getattr(known.get(node.func.id), "__module__", ""))


def _value(target: ast.expr, names: Mapping[str, Any]) -> Any:
    """Looks up what an assignment has assigned."""
    if isinstance(target, ast.Tuple):
        return tuple(_value(part, names) for part in target.elts)
    return names.get(target.id) if isinstance(target, ast.Name) else None


def _parts(name: str, value: Any, expression: ast.expr | None) -> Iterator[Part]:
    """Yields the tensors in a value with the names and expressions of each."""
    if isinstance(value, Tensor):
        yield name, value, expression
    elif isinstance(value, tuple):
        names = [part.strip() for part in name.strip("()").split(",")]
        if len(names) != len(value):
            fields = getattr(value, "_fields", range(len(value)))
            names = [f"{name}.{field}" if isinstance(field, str) else f"{name}[{field}]" for field in fields]
        if isinstance(expression, ast.Tuple) and len(expression.elts) == len(value):
            expressions: list[ast.expr | None] = [*expression.elts]
        elif (
            isinstance(expression, ast.Call)
            and hasattr(value, "_fields")
            and len(expression.args) == len(value)
        ):
            expressions = [*expression.args]
        elif isinstance(expression, ast.Name):  # x, weight = saved: nothing new
            return
        else:
            expressions = [None] * len(value)
        for part in zip(names, value, expressions, strict=True):
            yield from _parts(*part)
