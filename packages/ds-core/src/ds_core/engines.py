"""The two engines that turn a forward pass into gradients.

``manual``   our own ``backward`` methods; torch's autograd is off and each layer's stack records.
``autograd`` torch's autograd walks the very same ``forward``; our stacks stay empty.

Which one records is decided in a single place, ``Module.save``: gradients enabled, torch's autograd does;
gradients disabled and the module in training mode, ours does. So a plain ``torch.no_grad()`` also selects
the manual engine. The context manager here says it by name and adds one promise: what a forward saved and
no backward took back is forgotten at the end of the block.

Each thread has engines of its own: what one thread runs does not touch another's.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Literal, Protocol

import torch

from ds_core.kernels import switch

EngineName = Literal["manual", "autograd"]


class Recorder(Protocol):
    """What the engines know of a module: what its forwards saved, and what waits for a second backward."""

    _stack: list[Any]
    _second: list[Any]


# id -> (module, the lowest height its stack had before a push of this block)
Touched = dict[int, tuple[Recorder, int]]


class _Blocks(threading.local):
    """Of each thread: what the innermost manual block has touched, and what waits for a second backward.

    And who is told of each backward.
    """

    def __init__(self) -> None:  # of each thread, too: the compiler asks whether an attribute is there
        self.touched: Touched | None = None
        self.second: dict[int, Recorder] | None = None
        self.listener: Callable[[Recorder], None] | None = None


_blocks = _Blocks()


@contextmanager
def engine(name: EngineName = "manual", *, kernels: bool = True) -> Iterator[None]:
    """Runs the block under one of the two engines.

    A block belongs to one thread, and may not cross an ``await`` or a generator's ``yield``: another block
    could begin there and end after this one.

    Args:
        name: ``"manual"`` (our ``backward`` methods) or ``"autograd"`` (torch's autograd, as the referee).
        kernels: whether fast kernels stand in for the formulas; only the manual engine has any.

    Raises:
        ValueError: if ``name`` is neither.
        RuntimeError: at the end, if another block that began inside has not ended.

    Example:
        >>> with engine("manual"):
        ...     loss = loss_fn(model(x), y)
        ...     model.backward(loss_fn.backward())
    """
    if name == "autograd":
        with torch.enable_grad():
            yield
        return
    if name != "manual":
        raise ValueError(f"engine: expected 'manual' or 'autograd', got {name!r}")
    touched: Touched = {}
    outer, _blocks.touched = _blocks.touched, touched
    before, switch.kernels = switch.kernels, switch.kernels and kernels
    try:
        with torch.no_grad():
            yield
    finally:
        crossed = _blocks.touched is not touched
        for module, height in touched.values():
            del module._stack[height:]
        _blocks.touched, switch.kernels = outer, before
    if crossed:
        raise RuntimeError(
            "engine: expected the blocks that began inside this one to have ended, but one has not; a block "
            "may not cross an await, or the yield of a generator: close it before"
        )


def autograd_records() -> bool:
    """Says whether torch's autograd records what is computed now."""
    return torch.is_grad_enabled()


@contextmanager
def keep_for_second() -> Iterator[None]:
    """Makes each backward in the block keep what ``second_backward`` needs.

    At the end of the block everything kept is forgotten.

    Example:
        >>> with engine("manual"), keep_for_second():
        ...     score = critic(x)
        ...     grad_x = critic.backward(torch.ones_like(score))
        ...     penalty = ((grad_x.norm(dim=1) - 1) ** 2).mean()
        ...     critic.second_backward(grad_of_penalty)  # d(penalty)/d(grad_x)
        ...     critic.backward(torch.zeros_like(score))  # what the penalty owes to x itself

    Source: Gulrajani et al., Improved Training of Wasserstein GANs (2017), equation 3.
    """
    kept: dict[int, Recorder] = {}
    outer, _blocks.second = _blocks.second, kept
    try:
        yield
    finally:
        for module in kept.values():
            module._second.clear()
        _blocks.second = outer


def note_push(module: Recorder) -> None:
    """Remembers, inside a manual block, that ``module`` is about to push onto its stack."""
    touched = _blocks.touched
    if touched is not None:
        known = touched.get(id(module))
        if known is None or len(module._stack) < known[1]:
            touched[id(module)] = (module, len(module._stack))


def note_second(module: Recorder) -> bool:
    """Says whether a second backward will follow, and remembers that ``module`` keeps something for it."""
    if _blocks.second is None:
        return False
    _blocks.second[id(module)] = module
    return True


@contextmanager
def on_backward(listener: Callable[[Any], None]) -> Iterator[None]:
    """Tells a listener of each module whose backward has ended, in the block and in this thread.

    A parameter's gradient is complete when none of the modules that hold it has a forward left that waits for
    its backward; :mod:`ds_core.distributed` sends it to the other processes then.

    Args:
        listener: is given the module.
    """
    outer, _blocks.listener = _blocks.listener, listener
    try:
        yield
    finally:
        _blocks.listener = outer


def note_backward(module: Recorder) -> None:
    """Tells whoever listens that a module's backward has ended."""
    if _blocks.listener is not None:
        _blocks.listener(module)
