"""The weights of recurrent layers and cells: their initial values, and where their gradients go."""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch
from ds_core import Module, Parameter
from ds_core.initializers import Init, initialize, uniform_

from ds_rnn.functional.recurrence import Weights


def add_weights(
    module: Module,
    sizes: Mapping[str, tuple[int, ...] | None],
    hidden_size: int,
    init: Init | None,
    generator: torch.Generator | None,
    device: torch.device | str | None,
    dtype: torch.dtype | None,
) -> None:
    """Gives a module its parameters.

    Args:
        module: the layer or cell.
        sizes: name -> size, of two numbers for a matrix, of one for a bias; None for no such parameter.
        hidden_size: H.
        init: initial matrices, while biases are 0; None for torch.nn's default, U(-1/sqrt(H),
            1/sqrt(H)) for both.
        generator: source of the initial values; None for torch's global one.
        device: of the parameters.
        dtype: of the parameters.
    """
    bound = 1 / math.sqrt(hidden_size)
    for name, size in sizes.items():
        if size is None:
            module.register_parameter(name, None)
            continue
        values = Parameter(torch.zeros(size, device=device, dtype=dtype))
        if init is None:
            uniform_(values, -bound, bound, generator=generator)
        elif len(size) == 2:
            initialize(values, init, generator)
        module.register_parameter(name, values)


def weights_of(module: Module, suffix: str) -> Weights:
    """Returns the parameters whose names end in ``suffix``."""
    return Weights(*(getattr(module, name + suffix, None) for name in NAMES))  # type: ignore[arg-type]


def wanted(weights: Weights) -> tuple[bool, ...]:
    """Says for each weight whether its gradient is wanted."""
    return tuple([w is not None and w.requires_grad for w in weights])


def add_grads(module: Module, grads: Weights, suffix: str = "") -> None:
    """Adds gradients to those of the parameters."""
    if grads.bias_hh is not None and grads.bias_hh is grads.bias_ih:
        grads = grads._replace(bias_hh=grads.bias_hh.clone())  # each parameter has a gradient of its own
    for name, grad in zip(NAMES, grads, strict=True):
        if grad is not None:
            module.add_grad(name + suffix, grad)


NAMES = [("" if name.startswith("bias") else "weight_") + name for name in Weights._fields]
