"""Mistakes made by a program: a function with one small thing wrong, and what that thing is in words.

They are the bugs to find, they say what a learner's wrong numbers look like, and they show that the referees
see such mistakes at all.
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterator
from typing import NamedTuple

from ds_core.learn.cut import Function, find

MOST = 40  # characters of code in a description


class Mutant(NamedTuple):
    """A text in which one small thing is wrong.

    Attributes:
        kind: what sort of mistake, one of those that :func:`advice` knows.
        what: the mistake in words, as in "it looks as if ...".
        text: the whole text.
        line: where, counted from 1.
    """

    kind: str
    what: str
    text: str
    line: int


class _Change(NamedTuple):
    kind: str
    node: ast.AST
    new: str  # what stands in its place
    what: str


_ASK = {
    "sign": "Look at the signs: what goes down when this goes up?",
    "term": "Count the ways in which the input reaches the result: each has a term of its own.",
    "factor": "Each line of the forward that multiplies by something hands that something on.",
    "product": "Write the shapes under the factors of each product: which order gives the right shape?",
    "sum": "What the forward uses several times collects its gradient from all of them.",
    "axis": "Along which dimension did the forward go? The backward goes along the same.",
    "case": "The forward has cases. Which of them is treated as another?",
    "order": "Backward undoes the last step first.",
    "save": "Look at which of the saved numbers stands where.",
    "path": "A gradient must go through every part that its forward went through.",
    "number": "Look at the numbers: factors, powers, one less or one more.",
}


def advice(kind: str) -> str:
    """Says where to look for a kind of mistake."""
    return _ASK[kind]


def mutants(text: str, path: str) -> list[Mutant]:
    """Makes mutants of the function at a path, in the order of its lines.

    Args:
        text: a source.
        path: of the function or method.
    """
    node = find(ast.parse(text), path)
    if isinstance(node, ast.ClassDef):
        raise ValueError(f"{path}: expected a function or method, got a class")
    made: dict[str, Mutant] = {}
    for change in _changes(node, text):
        mutated = _replace(text, change)
        if mutated not in made and mutated != text:
            line = getattr(change.node, "lineno", 1)
            made[mutated] = Mutant(change.kind, change.what, mutated, line)
    return sorted(made.values(), key=lambda mutant: mutant.line)


def _replace(text: str, change: _Change) -> str:
    """Puts something else in the place of a node; the text as it was if the result is no Python."""
    lines = text.splitlines(keepends=True)
    starts = [0]
    for line in lines:
        starts.append(starts[-1] + len(line.encode()))
    node, raw = change.node, text.encode()
    begin = starts[node.lineno - 1] + node.col_offset  # type: ignore[attr-defined]
    end = starts[node.end_lineno - 1] + node.end_col_offset  # type: ignore[attr-defined]
    made = (raw[:begin] + change.new.encode() + raw[end:]).decode()
    try:
        ast.parse(made)
    except SyntaxError:
        return text
    return made


def _changes(function: Function, text: str) -> Iterator[_Change]:
    """Yields every mistake that can be made in a function."""
    names = _tensors(function)
    for statement in function.body:
        if isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant):
            continue  # the docstring
        if _is_check(statement):
            continue
        for place, where in _places(statement, ""):
            yield from _of_node(place, text, where, names)


def _places(node: ast.AST, where: str) -> Iterator[tuple[ast.AST, str]]:
    """Yields every node of a statement with the name that its value gets."""
    if isinstance(node, (ast.Assign, ast.AugAssign)):
        target = node.targets[0] if isinstance(node, ast.Assign) else node.target
        where = f" in {_short(target)}"
        if isinstance(target, ast.Tuple) and isinstance(node.value, ast.Tuple):
            for one, value in zip(target.elts, node.value.elts, strict=False):
                yield from _places(value, f" in {_short(one)}")
            return
    elif isinstance(node, ast.Return):
        where = " in what is returned"
    if isinstance(node, (ast.Raise, ast.Assert)):
        return
    yield node, where
    for child in ast.iter_child_nodes(node):
        yield from _places(child, where)


def _of_node(node: ast.AST, text: str, where: str, names: list[str]) -> Iterator[_Change]:
    def code(part: ast.AST) -> str:
        found = ast.get_source_segment(text, part) or ast.unparse(part)
        plain = (ast.Name, ast.Call, ast.Attribute, ast.Subscript, ast.Constant, ast.Tuple, ast.List)
        return found if isinstance(part, plain) else f"({found})"

    made = node.value if isinstance(node, ast.Assign) and _short(node.targets[0])[:4] == "grad" else None
    if isinstance(made, (ast.BinOp, ast.Call)):
        yield _Change("sign", made, f"-({code(made)})", f"the sign is wrong{where}")
    match node:
        case ast.BinOp(left=left, op=ast.Add() | ast.Sub() as op, right=right):
            minus = isinstance(op, ast.Sub)
            sign = f"{code(left)} {'+' if minus else '-'} {code(right)}"
            yield _Change("sign", node, sign, f"the sign of `{_short(right)}` is wrong{where}")
            yield _Change("term", node, code(left), f"the term `{_short(right)}` is missing{where}")
            alone = f"(-{code(right)})" if minus else code(right)
            yield _Change("term", node, alone, f"the term `{_short(left)}` is missing{where}")
        case ast.BinOp(left=left, op=ast.Mult(), right=right):
            yield _Change("factor", node, code(left), f"the factor `{_short(right)}` is missing{where}")
            yield _Change("factor", node, code(right), f"the factor `{_short(left)}` is missing{where}")
        case ast.BinOp(left=left, op=ast.Div() | ast.FloorDiv(), right=right):
            yield _Change("factor", node, code(left), f"the division by `{_short(right)}` is missing{where}")
        case ast.BinOp(left=left, op=ast.MatMult(), right=right):
            swapped = f"{code(right)} @ {code(left)}"
            said = f"the factors of `{_short(node)}` are in the wrong order{where}"
            yield _Change("product", node, swapped, said)
        case ast.BinOp(left=left, op=ast.Pow(), right=right):
            yield _Change(
                "number", node, code(left), f"`{_short(left)}` is not raised to {_short(right)}{where}"
            )
        case ast.UnaryOp(op=ast.USub(), operand=operand) if not isinstance(operand, ast.Constant):
            yield _Change(
                "sign", node, code(operand), f"the minus before `{_short(operand)}` is missing{where}"
            )
        case ast.Attribute(value=value, attr="T" | "mT", ctx=ast.Load()):
            yield _Change("product", node, code(value), f"`{_short(value)}` is not transposed{where}")
        case ast.Compare(ops=[op], left=left, comparators=[right]):
            other = {"Lt": ">", "Gt": "<", "LtE": ">", "GtE": "<"}.get(type(op).__name__)
            if other:
                said = f"the comparison `{_short(node)}` is the wrong way round{where}"
                yield _Change("case", node, f"{code(left)} {other} {code(right)}", said)
        case ast.IfExp(test=test, body=body, orelse=orelse):
            yield _Change(
                "case", node, code(body), f"the case that `{_short(test)}` is false is forgotten{where}"
            )
            yield _Change("case", node, code(orelse), f"the case `{_short(test)}` is forgotten{where}")
        case ast.If(test=test):
            yield _Change("case", test, "False", f"the case `{_short(test)}` is forgotten")
            if node.orelse or any(isinstance(one, ast.Return) for one in node.body):
                yield _Change("case", test, "True", f"`{_short(test)}` is taken for the only case")
        case ast.AugAssign(op=ast.Add(), target=target, value=value):
            said = f"`{_short(target)}` is overwritten where it should add up"
            yield _Change("sum", node, f"{code(target)} = {code(value)}", said)
        case ast.Expr(
            value=ast.Call(func=ast.Attribute(attr="add_grad"), args=[ast.Constant(value=str(name)), *_])
        ):
            yield _Change("path", node, "pass", f"the gradient of {name} is never added")
        case ast.Assign(value=ast.Call(func=ast.Attribute(attr="backward")) as call):
            yield _Change("path", node, code(call), f"what `{_short(call)}` returns is not handed on")
        case ast.For(iter=things) | ast.comprehension(iter=things):
            yield _Change(
                "case", things, f"list({code(things)})[1:]", f"the first of `{_short(things)}` is left out"
            )
            yield _Change(
                "case", things, f"list({code(things)})[:-1]", f"the last of `{_short(things)}` is left out"
            )
        case ast.Expr(value=ast.Call(func=ast.Attribute(attr="backward"))):
            yield _Change("path", node, "pass", f"`{_short(node)}` is never called")
        case ast.Call():
            yield from _of_call(node, where, code)
        case ast.Constant(value=bool() | str() | None):
            pass
        case ast.Constant(value=int() | float() as value):
            yield _Change("number", node, repr(value + 1), f"{value + 1} stands where {value} belongs{where}")
        case ast.Subscript(value=value, slice=ast.Slice(lower=None, upper=None, step=ast.UnaryOp())):
            yield _Change("order", node, code(value), f"`{_short(value)}` is in the wrong order{where}")
        case ast.Name(id=name, ctx=ast.Load()) if name in names and len(names) > 1:
            other = names[(names.index(name) + 1) % len(names)]
            yield _Change("save", node, other, f"`{other}` stands where `{name}` belongs{where}")
        case _:
            pass


def _of_call(node: ast.Call, where: str, code: Callable[[ast.AST], str]) -> Iterator[_Change]:
    function, args = node.func, node.args
    called = function.attr if isinstance(function, ast.Attribute) else getattr(function, "id", "")
    of = function.value if isinstance(function, ast.Attribute) else None
    if of is not None and _short(of) in ("torch", "math"):
        of = None
    if called in ("sum", "mean", "sum_to_size") and of is not None:
        verb = "mean" if called == "mean" else "sum"
        yield _Change("sum", node, code(of), f"the {verb} of `{_short(of)}` is missing{where}")
        if called != "sum_to_size":
            other = "sum" if called == "mean" else "mean"
            new = code(node).removeprefix(code(of)).replace(called, other, 1)
            said = f"a {other} of `{_short(of)}` stands where a {called} belongs{where}"
            yield _Change("sum", node, f"{code(of)}{new}", said)
    if called.startswith("sum_") and of is None and args:
        yield _Change("sum", node, code(args[0]), f"the sum of `{_short(args[0])}` is missing{where}")
    if (
        called in ("transpose", "permute", "flip", "clamp", "cumsum", "sqrt", "exp", "log", "sort", "abs")
        and of
    ):
        yield _Change("path", node, code(of), f"`{called}` of `{_short(of)}` is missing{where}")
    if called in ("sum", "mean", "cat", "stack", "cumsum", "softmax", "argmax", "amax", "chunk", "split"):
        places = [
            *(args if of is not None else args[1:]),
            *(k.value for k in node.keywords if k.arg == "dim"),
        ]
        for place in places:
            moved = _other_axis(place)
            if moved is not None:
                said = f"`{called}` goes along dimension {moved} where {_short(place)} belongs{where}"
                yield _Change("axis", place, moved, said)
    if called in ("cat", "stack") and args and isinstance(args[0], (ast.Tuple, ast.List)):
        parts = [code(part) for part in args[0].elts]
        if len(parts) > 1 and not any(isinstance(part, ast.Starred) for part in args[0].elts):
            said = f"the parts of `{_short(args[0])}` are in the wrong order{where}"
            yield _Change("order", args[0], f"({', '.join(reversed(parts))})", said)
    if called in ("sin", "cos"):
        other = "cos" if called == "sin" else "sin"
        new = code(node)[::-1].replace(called[::-1], other[::-1], 1)[::-1]
        yield _Change("path", node, new, f"`{other}` stands where `{called}` belongs{where}")
    if called == "where" and len(args) == 3:
        test, yes, no = args
        swapped = f"torch.where({code(test)}, {code(no)}, {code(yes)})"
        yield _Change("case", node, swapped, f"the two cases of `{_short(test)}` are swapped{where}")
        yield _Change("case", node, code(yes), f"the case that `{_short(test)}` is false is forgotten{where}")
        yield _Change("case", node, code(no), f"the case `{_short(test)}` is forgotten{where}")
    if called == "backward" and of is not None and len(args) == 1:
        yield _Change("path", node, code(args[0]), f"the backward of `{_short(of)}` is passed over{where}")
    if called == "reversed" and len(args) == 1:
        yield _Change(
            "order", node, f"list({code(args[0])})", f"`{_short(args[0])}` is walked in forward's order"
        )
    if called == "saved" and of is not None:
        said = "what forward saved stays on the stack, so that the next backward finds it again"
        yield _Change("save", node, f"{code(of)}._stack[-1].values", said)


def _other_axis(node: ast.expr) -> str | None:
    """Returns another dimension than the one that stands there."""
    match node:
        case ast.Constant(value=bool()):
            return None
        case ast.Constant(value=int() as dim):
            return str(dim - 1 if dim else 1)
        case ast.UnaryOp(op=ast.USub(), operand=ast.Constant(value=int() as dim)):
            return str(-dim - 1) if dim == 1 else str(1 - dim)
        case ast.Tuple(elts=[*_, last]) if len(node.elts) > 1 and isinstance(
            last, (ast.Constant, ast.UnaryOp)
        ):
            return ast.unparse(ast.Tuple(node.elts[:-1], ast.Load()))
    return None


def _tensors(function: Function) -> list[str]:
    """Returns the names that an unpacking of the function gives to what was saved, or came in."""
    for statement in function.body:
        if isinstance(statement, ast.Assign) and isinstance(statement.targets[0], ast.Tuple):
            value = statement.value
            if isinstance(value, ast.Name) or ast.unparse(value) == "self.saved()":
                found = [n.id for n in ast.walk(statement.targets[0]) if isinstance(n, ast.Name)]
                if len(found) > 1:
                    return found
    return []


def _is_check(node: ast.AST) -> bool:
    """Says whether a statement only checks what it is given."""
    if isinstance(node, (ast.Raise, ast.Assert)):
        return True
    if isinstance(node, ast.If):
        return not node.orelse and all(isinstance(one, ast.Raise) for one in node.body)
    called = node.value if isinstance(node, ast.Expr) else None
    return isinstance(called, ast.Call) and _short(called.func).lstrip("_").removeprefix("self._").startswith(
        "check"
    )


def _short(node: ast.AST) -> str:
    text = " ".join(ast.unparse(node).split())
    return text if len(text) <= MOST else text[: MOST - 4].rstrip() + " ..."
