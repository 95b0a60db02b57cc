"""Cutting a piece of the real source out, so that it stands alone, and leaving one body open.

All of it works on text: what is not left open keeps its comments and its layout.
"""

from __future__ import annotations

import ast
import builtins
from collections.abc import Iterator
from itertools import pairwise
from typing import TypeGuard

Function = ast.FunctionDef | ast.AsyncFunctionDef
Definition = Function | ast.ClassDef

TO_DO = "# ---- your code here ----"


def cut(source: str, path: str) -> str:
    """Returns a source with nothing in it but an object and what it needs.

    A formula's forward ``name`` and its backward ``name_backward`` stay together.

    Args:
        source: of a module.
        path: the object: ``"linear_backward"``, or a method, ``"Dense.backward"``.

    Raises:
        ValueError: if the module has no such object.
    """
    tree = ast.parse(source)
    find(tree, path)
    first = path.split(".")[0].removesuffix("_backward")
    defined = {name: node for node in tree.body for name in _binds(node)}
    wanted = [name for name in (first, f"{first}_backward") if name in defined]
    needed: set[str] = set()
    while wanted:
        name = wanted.pop()
        if name not in needed:
            needed.add(name)
            wanted += _names(defined[name]) if name in defined else ()
    lines = source.splitlines()
    parts: list[tuple[bool, str]] = []  # (whether it is a function or class, its text)
    for node in tree.body:
        if isinstance(node, (ast.Import, ast.ImportFrom)):
            text = _import(node, needed)
        else:
            text = "\n".join(lines[_first_line(node) - 1 : node.end_lineno]) if needed & _binds(node) else ""
        if text:
            parts.append((isinstance(node, Definition), text))
    made = parts[0][1] if parts else ""
    for (before, last), (after, text) in pairwise(parts):
        alone = "__future__" in last or (
            last.lstrip().startswith(("import", "from")) != text.startswith(("import", "from"))
        )
        made += ("\n\n\n" if before or after else "\n\n" if alone else "\n") + text
    return made + "\n"


def find(tree: ast.Module, path: str) -> Definition:
    """Returns the definition at a path.

    Raises:
        ValueError: if there is none.
    """
    found: ast.Module | Definition = tree
    for name in path.split("."):
        inside = [node for node in found.body if isinstance(node, Definition) and node.name == name]
        if not inside:
            raise ValueError(f"there is no {path}")
        found = inside[-1]
    assert isinstance(found, Definition)
    return found


def definition(text: str, path: str) -> str:
    """Returns the text of the definition at a path."""
    node = find(ast.parse(text), path)
    return "\n".join(text.splitlines()[_first_line(node) - 1 : node.end_lineno]) + "\n"


def put(text: str, path: str, new: str) -> str:
    """Returns a text in which the definition at a path is another one, indented as the old one was."""
    node, lines = find(ast.parse(text), path), text.splitlines()
    margin = " " * node.col_offset
    own = new.strip("\n").splitlines()
    least = min((len(line) - len(line.lstrip()) for line in own if line.strip()), default=0)
    replaced = [margin + line[least:] if line.strip() else "" for line in own]
    lines[_first_line(node) - 1 : node.end_lineno] = replaced
    return "\n".join(lines) + "\n"


def leave_open(text: str, path: str, hint: str) -> str:
    """Returns a text in which the body of a function is left to write.

    What stays of the body is its docstring and the lines that unpack what came in. The docstring of a
    backward is its formula; that is for the learner to find.
    """
    node, lines = find(ast.parse(text), path), text.splitlines()
    if isinstance(node, ast.ClassDef):
        raise ValueError(f"{path}: expected a function or method, got a class")
    kept = [one for one in node.body[:1] if _is_text(one)]
    rest = node.body[len(kept) :]
    unpacked: list[ast.stmt] = []
    for statement in rest:
        if not _unpacks(statement, node):
            break
        unpacked.append(statement)
    margin = " " * rest[0].col_offset
    name = path.split(".")[-1]
    made = []
    if kept and not is_backward(path):
        made += lines[kept[0].lineno - 1 : kept[0].end_lineno]
    elif is_backward(path):
        made.append(
            f'{margin}"""Returns the gradients of what the forward was given, from that of its result."""'
        )
    for statement in unpacked:
        made += lines[statement.lineno - 1 : statement.end_lineno]
    made += [f"{margin}{TO_DO}", *(f"{margin}# {line}" for line in hint.splitlines())]
    made.append(f'{margin}raise NotImplementedError("{name} is not written yet")')
    end = node.end_lineno or len(lines)
    start = node.body[0].lineno - 1
    while lines[start - 1].lstrip().startswith("#"):  # a comment above the body belongs to it
        start -= 1
    return "\n".join([*lines[:start], *made, *lines[end:]]) + "\n"


def docstring(text: str, path: str) -> str:
    """Returns the docstring of the definition at a path, empty if it has none."""
    return ast.get_docstring(find(ast.parse(text), path)) or ""


def is_backward(path: str) -> bool:
    """Says whether what is left open is a backward."""
    return path.split(".")[-1].endswith("backward")


def imports(text: str) -> set[str]:
    """Returns what a text imports: ``"math"``, ``"torch.Tensor"``, ``"ds_core.functional.linear.linear"``."""
    found = set()
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            found |= {f"{'.' * node.level}{node.module or ''}.{alias.name}" for alias in node.names}
    return found


def _binds(node: ast.stmt) -> set[str]:
    """Returns the names that a statement defines."""
    if isinstance(node, Definition):
        return {node.name}
    targets = node.targets if isinstance(node, ast.Assign) else [getattr(node, "target", None)]
    return {n.id for target in targets if target for n in ast.walk(target) if isinstance(n, ast.Name)}


def _names(node: ast.AST) -> Iterator[str]:
    """Yields every name that a piece of code reads."""
    for part in ast.walk(node):
        if isinstance(part, ast.Name) and not hasattr(builtins, part.id):
            yield part.id
        elif isinstance(part, ast.Constant) and isinstance(part.value, str) and part.value.isidentifier():
            yield part.value  # an annotation in quotes


def _import(node: ast.Import | ast.ImportFrom, needed: set[str]) -> str:
    """Returns an import without the names that nothing needs; empty if none is left."""
    future = isinstance(node, ast.ImportFrom) and node.module == "__future__"
    bound = [(alias, alias.asname or alias.name.split(".")[0]) for alias in node.names]
    names = [alias for alias, name in bound if future or name in needed]
    if not names:
        return ""
    if isinstance(node, ast.Import):
        return ast.unparse(ast.Import(names))
    text = ast.unparse(ast.ImportFrom(node.module, names, node.level))
    if len(text) <= 110:
        return text
    each = "".join(f"    {ast.unparse(alias)},\n" for alias in names)
    return f"from {node.module} import (\n{each})"


def _first_line(node: ast.stmt) -> int:
    decorators = getattr(node, "decorator_list", [])
    return min([node.lineno, *(one.lineno for one in decorators)])


def _is_text(node: ast.stmt) -> TypeGuard[ast.Expr]:
    return (
        isinstance(node, ast.Expr)
        and isinstance(node.value, ast.Constant)
        and isinstance(node.value.value, str)
    )


def _unpacks(node: ast.stmt, function: Function) -> bool:
    """Says whether a statement only gives names to the parts of an argument, or of what was saved."""
    if not isinstance(node, ast.Assign):
        return False
    arguments = {argument.arg for argument in [*function.args.args, *function.args.kwonlyargs]}
    if isinstance(node.value, ast.Name):
        return node.value.id in arguments
    return ast.unparse(node.value) == "self.saved()"
