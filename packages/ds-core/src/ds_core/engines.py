"""The two engines that turn a forward pass into gradients.

``manual``   our own ``backward`` methods; torch's tape is off and each layer's stack records.
``autograd`` torch's tape walks the very same ``forward``; our stacks stay empty.

Which one records is decided in a single place, ``Module.save``: gradients enabled, torch's tape does;
gradients disabled and the module in training mode, ours does. So a plain ``torch.no_grad()`` also selects
the manual engine. The context manager here says it by name and adds one promise: what a forward saved and
no backward took back is forgotten at the end of the block.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Literal

import torch

if TYPE_CHECKING:
    from ds_core.module import Module

EngineName = Literal["manual", "autograd"]

# While a manual block is open: id -> (module, the lowest height its stack had before a push of this block).
_touched: dict[int, tuple[Module, int]] | None = None


@contextmanager
def engine(name: EngineName = "manual") -> Iterator[None]:
    """Runs the block under one of the two engines.

    Args:
        name: ``"manual"`` (our ``backward`` methods) or ``"autograd"`` (torch's tape, as the referee).

    Raises:
        ValueError: if ``name`` is neither.

    Example:
        >>> with engine("manual"):
        ...     loss = loss_fn(model(x), y)
        ...     model.backward(loss_fn.backward())
    """
    global _touched
    if name == "autograd":
        with torch.enable_grad():
            yield
        return
    if name != "manual":
        raise ValueError(f"engine: expected 'manual' or 'autograd', got {name!r}")
    outer, _touched = _touched, {}
    try:
        with torch.no_grad():
            yield
    finally:
        for module, height in _touched.values():
            del module._stack[height:]
        _touched = outer


def note_push(module: Module) -> None:
    """Remembers, inside a manual block, that ``module`` is about to push onto its stack."""
    if _touched is not None:
        known = _touched.get(id(module))
        if known is None or len(module._stack) < known[1]:
            _touched[id(module)] = (module, len(module._stack))
