"""What no source may reach for: torch's ready-made parts, found in the text before it runs."""

from __future__ import annotations

import ast
from collections.abc import Iterator

# What torch offers ready-made and this project writes itself, what it never uses of torch's autograd, and the
# ways around both: operators by their internal names, and new ones.
READY_MADE = {
    f"torch.{name}"
    for name in ("nn", "optim", "fft", "linalg", "special", "func", "autograd", "ops", "_C", "library")
}


def ready_made(code: str) -> Iterator[tuple[int, str]]:
    """Yields (line, name) of every way in which code reaches into torch's ready-made parts."""
    tree = ast.parse(code)
    torch_names = {
        alias.asname or "torch"
        for node in ast.walk(tree)
        if isinstance(node, ast.Import)
        for alias in node.names
        if alias.name == "torch" or (alias.name.startswith("torch.") and alias.asname is None)
    }

    def is_torch(node: ast.expr) -> bool:
        return isinstance(node, ast.Name) and node.id in torch_names

    for node in ast.walk(tree):
        match node:
            case ast.Import(names=aliases):
                names = [alias.name for alias in aliases]
            case ast.ImportFrom(module=str(module), names=aliases, level=0):
                names = [f"{module}.{alias.name}" for alias in aliases]
            case ast.Attribute(value=value, attr=attribute) if is_torch(value):
                names = [f"torch.{attribute}"]
            case ast.Call(func=ast.Name(id="getattr"), args=[value, ast.Constant(value=str(name)), *_]):
                names = [f"torch.{name}"] if is_torch(value) else []
            case ast.Call(args=[ast.Constant(value=str(name)), *_]):  # import_module("torch.nn"), __import__
                names = [name] if name.isprintable() and " " not in name else []
            case _:
                continue
        for name in names:
            if ".".join(name.split(".")[:2]) in READY_MADE:
                yield node.lineno, name
