"""How the weights of recurrent layers and cells start."""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch
from ds_core import Module, Parameter
from ds_core.initializers import Init, initialize, uniform_


def add_weights(
    module: Module,
    sizes: Mapping[str, tuple[int, ...] | None],
    hidden_size: int,
    init: Init | None,
    generator: torch.Generator | None,
) -> None:
    """Gives a module its parameters.

    Args:
        module: the layer or cell.
        sizes: name -> size, of two numbers for a matrix, of one for a bias; None for no such parameter.
        hidden_size: H.
        init: how matrices start, while biases are 0; None for torch.nn's default, U(-1/sqrt(H), 1/sqrt(H))
            for both.
        generator: source of the initial values; None for torch's global one.
    """
    bound = 1 / math.sqrt(hidden_size)
    for name, size in sizes.items():
        if size is None:
            module.register_parameter(name, None)
            continue
        values = torch.zeros(size)
        if init is None:
            uniform_(values, -bound, bound, generator=generator)
        elif len(size) == 2:
            initialize(values, init, generator)
        module.register_parameter(name, Parameter(values))
