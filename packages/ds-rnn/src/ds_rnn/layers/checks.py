"""What recurrent layers and cells ask of their arguments."""

from __future__ import annotations

from typing import Any

from ds_core import Module
from torch import Tensor


def check_sizes(owner: str, **sizes: int) -> None:
    """Checks that sizes are at least 1.

    Raises:
        ValueError: names the owner and the size.
    """
    for name, size in sizes.items():
        if size < 1:
            raise ValueError(f"{owner}: expected {name} of at least 1, got {size}")


def check_nonlinearity(owner: str, nonlinearity: str) -> None:
    """Checks a plain network's nonlinearity.

    Raises:
        ValueError: if it is neither "tanh" nor "relu"; names the owner.
    """
    if nonlinearity not in ("tanh", "relu"):
        raise ValueError(f"{owner}: expected nonlinearity 'tanh' or 'relu', got {nonlinearity!r}")


def state_parts(module: Module, state: Any, count: int, gaps: bool = False) -> list[Any]:
    """Returns h, or h and c, as a list.

    Args:
        module: whose state it is.
        state: a tensor, or a pair of them.
        count: 1 for h alone, 2 for h and c.
        gaps: whether one of a pair may be None, as of a gradient.

    Raises:
        TypeError: if the state is something else; names the module.
    """
    parts = [state] if count == 1 else list(state) if isinstance(state, (tuple, list)) else []
    fits = len(parts) == count and all(
        isinstance(part, Tensor) or (gaps and count > 1 and part is None) for part in parts
    )
    if not fits:
        wanted = "a tensor" if count == 1 else "a pair (h, c)"
        got = type(state).__name__
        if isinstance(state, (tuple, list)):
            got += f" of {', '.join(type(part).__name__ for part in state) or 'nothing'}"
        raise TypeError(f"{module.label()}: expected {wanted} as state, got {got}")
    return parts
