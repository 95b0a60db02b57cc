"""Recompute: memory bought with time. Only inputs are kept, and forward runs again in backward."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Self

import torch
from torch import Tensor

from ds_core.engines import engine
from ds_core.module import InputGrad, Module
from ds_core.random_state import kept_random_state, random_state, set_random_state

# A buffer's owner, its name there, and a value of it.
BufferValue = tuple[Module, str, Tensor | None]


class Recompute(Module):
    """Forgets what a module saves in forward, and runs its forward again when backward needs it.

    y = f(x),   dL/dx = f'(x)^T g   with f'(x) from a second forward

    The gradients are those of the bare module, to the bit: random numbers (dropout) are drawn again from the
    same states, buffers (running statistics) are lent their old values and not updated twice, and both go on
    afterwards as if nothing had happened. The random states are torch's, Python's and NumPy's global ones,
    and those of generators that modules below have as an attribute. Nothing else may change in forward: not
    the inputs, not the weights before backward, no attributes that matter to the output.

    The wrapper has no name of its own: parameters, buffers and modules below are found, saved and loaded
    under the names they have without it. In eval mode, and while torch's autograd records, it only calls
    the module; autograd then keeps what it always keeps, and no memory is saved.

    Args:
        module: f, with any inputs and outputs.

    Shape:
        those of the module.

    Raises:
        TypeError: if ``module`` is not a Module.

    Example:
        >>> model = Sequential(*(Recompute(block) for block in blocks))

    Source: Chen et al., Training Deep Nets with Sublinear Memory Cost (2016), section 4.
    """

    def __init__(self, module: Module) -> None:
        if not isinstance(module, Module):
            raise TypeError(f"{type(self).__name__}: expected a Module, got {type(module).__name__}")
        self.module = module
        # One stack for both: what forgets the saves of the module forgets the inputs kept here, too.
        self._stack = module._stack

    @property
    def training(self) -> bool:
        """The module's own mode."""
        return self.module.training

    @training.setter
    def training(self, mode: bool) -> None:
        self.module.training = mode

    @property
    def recorded_eval(self) -> bool:
        """The module's own, too."""
        return self.module.recorded_eval

    @recorded_eval.setter
    def recorded_eval(self, recorded: bool) -> None:
        self.module.recorded_eval = recorded

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        if not self.recording:
            return self.module(*args, **kwargs)
        state, before = random_state(module=self.module), _copied_buffers(self.module)
        with engine("manual"):  # at the end of the block, what was saved in it is forgotten
            output = self.module(*args, **kwargs)
        changed = [(owner, name, was) for owner, name, was in before if not _same(getattr(owner, name), was)]
        self.save(args, kwargs, state, changed)
        return output

    def backward(self, *grads: Any, **named_grads: Any) -> InputGrad:
        """Runs the module's forward again, and then its backward; see :meth:`Module.backward`."""
        args, kwargs, state, buffers = self.saved()
        with self._alone(), engine("manual"):
            with kept_random_state(module=self.module), _lent(buffers):
                set_random_state(state, module=self.module)
                self.module(*args, **kwargs)
            return self.module.backward(*grads, **named_grads)

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """Puts away what earlier forwards saved: a module that saves nothing itself would find it."""
        earlier = self._stack[:]
        self._stack.clear()
        try:
            yield
        finally:
            self._stack[:0] = earlier

    def requires_input_grad_(self, requires_input_grad: bool = True) -> Self:
        """Sets it for the module, too."""
        self.input_grad = requires_input_grad
        self.module.requires_input_grad_(requires_input_grad)
        return self

    def _walk(self, prefix: str = "") -> Iterator[tuple[str, Module]]:
        """Yields the module and all below it as if the wrapper were not there."""
        return self.module._walk(prefix)

    def label(self) -> str:
        return f"{type(self).__name__}({self.module.label()})"


def _copied_buffers(module: Module) -> list[BufferValue]:
    """Lists copies of all buffers below a module; one buffer under two names is one copy."""
    copies = {id(buffer): buffer.clone() for buffer in module.buffers()}
    names = [(owner, name) for owner in module.modules() for name in owner._buffers]
    return [(owner, name, copies.get(id(getattr(owner, name)))) for owner, name in names]


def _same(now: Tensor | None, was: Tensor | None) -> bool:
    return now is was if now is None or was is None else torch.equal(now, was)


@contextmanager
def _lent(buffers: list[BufferValue]) -> Iterator[None]:
    """Gives buffers other values for the time of a block; then their own tensors are back, untouched."""
    own = [(owner, name, getattr(owner, name)) for owner, name, _ in buffers]
    for owner, name, value in buffers:
        setattr(owner, name, value)
    try:
        yield
    finally:
        for owner, name, value in own:
            setattr(owner, name, value)
