"""Backwards broken on purpose, for the referees to find."""

from __future__ import annotations

from typing import Any, Final

import torch
from torch import Tensor

from ds_core.activations import Activation
from ds_core.layers import Dense
from ds_core.module import Module

# What can go wrong, by the kind of layer it goes wrong in.
OF_ANY: Final = {"sign": "the gradient of x has the wrong sign"}
OF_DENSE: Final = {
    "mean": "dL/dW is the mean over the batch, where the sum belongs",
    "bias": "dL/db is forgotten",
}
OF_ACTIVATION: Final = {"straight": "the gradient passes as if the activation were not there"}


def ways_to_break(layer: Module) -> dict[str, str]:
    """Returns what can go wrong in a layer's backward: a name for each, and what it means."""
    own = OF_DENSE if isinstance(layer, Dense) else OF_ACTIVATION if isinstance(layer, Activation) else {}
    return {**own, **OF_ANY}


class Broken(Module):
    """A layer whose backward is wrong in one way.

    y = f(x)

    Args:
        layer: f.
        how: one of :func:`ways_to_break`.

    Raises:
        ValueError: if a layer of this kind cannot be broken like that.
    """

    def __init__(self, layer: Module, how: str) -> None:
        if how not in ways_to_break(layer):
            raise ValueError(
                f"Broken: expected one of {list(ways_to_break(layer))} for {layer.label()}, got {how!r}"
            )
        self.layer = layer
        self.how = how

    def forward(self, x: Tensor) -> Tensor:
        return self.layer(x)

    def backward(self, grad: Tensor) -> Any:
        before: dict[str, Tensor] = {
            name: torch.zeros_like(p) if p.grad is None else p.grad.clone()
            for name, p in self.layer.named_parameters()
        }
        grad_x = self.layer.backward(grad)
        if self.how == "straight":
            return grad
        if self.how == "sign":
            return None if grad_x is None else -grad_x
        name, share = ("weight", 1 / max(1, len(grad))) if self.how == "mean" else ("bias", 0.0)
        parameter = dict(self.layer.named_parameters())[name]
        if parameter.grad is not None:
            parameter.grad = before[name] + share * (parameter.grad - before[name])
        return grad_x

    def extra_repr(self) -> str:
        return f"{self.layer.label()}, {self.how!r}"
