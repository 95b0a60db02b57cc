"""Identity: the layer that does nothing, for a place that must hold one."""

from __future__ import annotations

from typing import Any

from ds_core.module import Module


class Identity(Module):
    """Returns its input, and its gradient, as they are.

    y = x,   dL/dx = g

    Args:
        args: ignored, so that it can stand in for any layer.
        kwargs: ignored.

    Shape:
        any -> the same.
    """

    passes_on = True

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        pass

    def forward(self, input: Any) -> Any:
        self.save()
        return input

    def backward(self, grad: Any) -> Any:
        self.saved()
        return grad if self.input_grad else None
