"""How each entry of a result comes about: a line of a formula as a tree that a page can evaluate.

A node is a list: its kind, and what it is made of. ``["x", 0]`` is operand 0, ``["c", 0.5]`` a number,
``["@", a, b]`` a product of matrices. ``["?"]`` stands for what cannot be taken apart.
"""

from __future__ import annotations

import ast
import operator
from collections.abc import Callable, Mapping
from typing import Any

from torch import Tensor

from ds_core.xray.book import Line

Node = list[Any]
Operands = dict[str, Tensor]

_SIGNS = {ast.Add: "+", ast.Sub: "-", ast.Mult: "*", ast.Div: "/", ast.Pow: "**", ast.MatMult: "@"}
_SIGNS |= {ast.BitOr: "|", ast.BitAnd: "&"}
_COMPARISONS = {ast.Lt: "<", ast.LtE: "<=", ast.Gt: ">", ast.GtE: ">=", ast.Eq: "==", ast.NotEq: "!="}
_OF_ONE = {"exp", "log", "tanh", "sqrt", "rsqrt", "erf", "square", "abs", "detach", "sigmoid"}
_OVER = {"sum", "mean", "amax"}


class Opaque(Exception):
    """An expression that is not taken apart."""


def recipe(line: Line) -> tuple[Node, Operands]:
    """Takes a line apart.

    To be asked while the line has just run: what it began with may be changed later.

    Returns:
        The tree, and copies of the tensors it begins with by the words that the line has for them, in the
        order of the numbers in the tree.
    """
    reader = _Reader({**line.known, **line.scope})
    try:
        if line.expression is None:
            raise Opaque
        tree = reader.read(line.expression)
    except Opaque:
        reader.operands.clear()
        tree = ["?"]
        for node in ast.walk(line.whole):
            if isinstance(node, ast.Name) and isinstance(reader.names.get(node.id), Tensor):
                reader.operand(node.id, reader.names[node.id])
    return tree, reader.operands


class _Reader:
    def __init__(self, names: Mapping[str, Any]) -> None:
        self.names = dict(names)
        self.operands: Operands = {}

    def operand(self, word: str, tensor: Tensor) -> Node:
        if word not in self.operands:
            self.operands[word] = tensor.detach().clone()
        return ["x", list(self.operands).index(word)]

    def value(self, node: ast.expr) -> Any:
        """Evaluates an expression by itself."""
        return eval(ast.unparse(node), self.names)

    def read(self, node: ast.expr) -> Node:
        if isinstance(node, ast.BinOp) and type(node.op) in _SIGNS:
            return self.reduced([_SIGNS[type(node.op)], self.read(node.left), self.read(node.right)])
        if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
            return self.reduced(["-", ["c", 0], self.read(node.operand)])
        if isinstance(node, ast.Compare) and len(node.ops) == 1 and type(node.ops[0]) in _COMPARISONS:
            return [_COMPARISONS[type(node.ops[0])], self.read(node.left), self.read(node.comparators[0])]
        if isinstance(node, ast.Attribute) and node.attr in ("T", "mT"):
            return ["T", self.read(node.value)]
        if isinstance(node, ast.Call):
            return self.call(node)
        if isinstance(node, (ast.Name, ast.Attribute, ast.Constant)):
            found = self.value(node)
            if isinstance(found, Tensor):
                return self.operand(ast.unparse(node), found)
            if isinstance(found, (int, float)) and not isinstance(found, bool):
                return ["c", found]
        raise Opaque

    def reduced(self, node: Node) -> Node:
        """Does arithmetic of two numbers at once."""
        sign, left, right = node
        if left[0] == right[0] == "c":
            does = {"+": operator.add, "-": operator.sub, "*": operator.mul, "/": operator.truediv}
            does["**"] = operator.pow
            return ["c", does[sign](left[1], right[1])]
        return node

    def call(self, node: ast.Call) -> Node:
        options = {word.arg: word.value for word in node.keywords}
        if isinstance(node.func, ast.Name):
            return self.helper(node.func.id, node.args, options)
        if not isinstance(node.func, ast.Attribute):
            raise Opaque
        name, owner = node.func.attr, node.func.value
        module = isinstance(owner, ast.Name) and owner.id in ("torch", "math")
        args = node.args if module else [owner, *node.args]
        if module and isinstance(owner, ast.Name) and owner.id == "math":
            return ["c", self.value(node)]
        if name in _OF_ONE and len(args) == 1 and not options:
            inner = self.read(args[0])
            return inner if name == "detach" else ["f", name, inner]
        if name in _OVER:
            dims = self.value(args[1] if len(args) > 1 else options.get("dim", ast.Constant(None)))
            keep = bool(self.value(options["keepdim"])) if "keepdim" in options else False
            dims = [dims] if isinstance(dims, int) else None if dims is None else list(dims)
            return [name, self.read(args[0]), dims, keep]
        if name == "sum_to_size":
            return ["sumto", self.read(args[0]), list(self.value(args[1]))]
        if name == "where" and len(args) == 3:
            return ["where", *map(self.read, args)]
        if name == "masked_fill":
            return ["where", self.read(args[1]), ["c", self.value(args[2])], self.read(args[0])]
        if name in ("unsqueeze", "squeeze") and len(args) == 2:
            return [name, self.read(args[0]), self.value(args[1])]
        if name == "cat" and isinstance(args[0], ast.List):
            dim = self.value(args[1] if len(args) > 1 else options.get("dim", ast.Constant(0)))
            return ["cat", [self.read(part) for part in args[0].elts], dim]
        raise Opaque

    def helper(self, name: str, args: list[ast.expr], options: Mapping[str | None, ast.expr]) -> Node:
        """Reads a call of one of the book's small helpers."""
        if options:
            raise Opaque
        if name == "sigmoid":
            return ["f", "sigmoid", self.read(args[0])]
        if name == "_softmax":
            return ["softmax", self.read(args[0])]
        if name == "as_rows":
            return ["rows", self.read(args[0])]
        if name == "affine":
            product = ["@", self.read(args[0]), ["T", self.read(args[1])]]
            return product if self.value(args[2]) is None else ["+", product, self.read(args[2])]
        raise Opaque


# ---- formulas whose lines say it in another way than a learner would --------------------------------------

# Of each: what the page shows in place of the lines: (name, code, tree, operands); None for the lines.
Told = list[tuple[str, str, Node, Operands]]


def _convolution(scope: Mapping[str, Any], made: Mapping[str, Tensor]) -> Told | None:
    if scope["scale"] is not None:
        return None
    operands = {"x": scope["x"], "weight": scope["weight"]}
    code = "y[n, o, i, j] = sum over c, u, v of weight[o, c, u, v] x[n, c, i stride + u, j stride + v]"
    tree: Node = ["conv", ["x", 0], ["x", 1], _geometry(scope["geometry"])]
    if scope["bias"] is not None:
        operands["bias"] = scope["bias"]
        code, tree = f"{code} + bias[o]", ["+", tree, ["channel", ["x", 2]]]
    return [("y", code, tree, operands)]


def _convolution_backward(scope: Mapping[str, Any], made: Mapping[str, Tensor]) -> Told | None:
    x, weight, _, geometry, scale = scope["saved"]
    if scale is not None:
        return None
    grad, how = scope["grad"], _geometry(geometry)
    told: Told = []
    if "grad_bias" in made:
        told.append(
            (
                "grad_bias",
                "grad_bias = grad.sum((0, 2, 3))",
                ["sum", ["x", 0], [0, 2, 3], False],
                {"grad": grad},
            )
        )
    code = (
        "grad_weight[o, c, u, v] = sum over n, i, j of grad[n, o, i, j] x[n, c, i stride + u, j stride + v]"
    )
    tree = ["conv_weight", ["x", 0], ["x", 1], how, list(weight.shape)]
    told.append(("grad_weight", code, tree, {"grad": grad, "x": x}))
    code = "grad_x[n, c, i stride + u, j stride + v] += grad[n, o, i, j] weight[o, c, u, v]"
    tree = ["conv_input", ["x", 0], ["x", 1], how, list(x.shape)]
    told.append(("grad_x", code, tree, {"grad": grad, "weight": weight}))
    return told


def _geometry(geometry: Any) -> dict[str, Any]:
    return {
        "stride": list(geometry.stride),
        "before": [geometry.padding[0][0], geometry.padding[1][0]],
        "dilation": list(geometry.dilation),
    }


def _max_pool(scope: Mapping[str, Any], made: Mapping[str, Tensor]) -> Told:
    code = "y[i, j] = x[where[i, j]]: the largest of each window"
    return [("y", code, ["pick", ["x", 0], ["x", 1]], {"x": scope["x"], "where": made["where"]})]


def _max_pool_backward(scope: Mapping[str, Any], made: Mapping[str, Tensor]) -> Told:
    where, size = scope["saved"]
    code = "grad_x[where[i, j]] += grad[i, j]"
    tree = ["scatter", ["x", 0], ["x", 1], list(size)]
    return [("grad_x", code, tree, {"grad": scope["grad"], "where": where})]


def _embedding(scope: Mapping[str, Any], made: Mapping[str, Tensor]) -> Told:
    tree = ["lookup", ["x", 0], ["x", 1]]
    return [("y", "y = weight[ids]", tree, {"ids": scope["ids"], "weight": scope["weight"]})]


def _embedding_backward(scope: Mapping[str, Any], made: Mapping[str, Tensor]) -> Told:
    ids, size, _ = scope["saved"]
    tree = ["lookup_back", ["x", 0], ["x", 1], list(size)]
    return [("grad_weight", "grad_weight[ids] += grad", tree, {"ids": ids, "grad": scope["grad"]})]


TOLD: dict[str, Callable[[Mapping[str, Any], Mapping[str, Tensor]], Told | None]] = {
    "convolution": _convolution,
    "convolution_backward": _convolution_backward,
    "max_pool": _max_pool,
    "max_pool_backward": _max_pool_backward,
    "embedding": _embedding,
    "embedding_backward": _embedding_backward,
}
