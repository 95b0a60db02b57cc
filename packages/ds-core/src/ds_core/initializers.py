"""How parameters start: each function fills a tensor in place and returns it."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor

# A name of INITIALIZERS ("he_normal") or a function that fills a tensor in place.
Init = str | Callable[..., Tensor]


def uniform_(
    tensor: Tensor, low: float = 0.0, high: float = 1.0, *, generator: torch.Generator | None = None
) -> Tensor:
    """Fills with U(low, high)."""
    with torch.no_grad():
        return tensor.uniform_(low, high, generator=generator)


def normal_(
    tensor: Tensor, mean: float = 0.0, std: float = 1.0, *, generator: torch.Generator | None = None
) -> Tensor:
    """Fills with N(mean, std^2)."""
    with torch.no_grad():
        return tensor.normal_(mean, std, generator=generator)


def torch_linear_(tensor: Tensor, *, generator: torch.Generator | None = None) -> Tensor:
    """Fills a weight ``(out, in, ...)`` with U(-1/sqrt(fan_in), 1/sqrt(fan_in)), torch.nn's default."""
    fan_in = tensor[0].numel()
    return torch_linear_bias_(tensor, fan_in, generator)


def torch_linear_bias_(tensor: Tensor, fan_in: int, generator: torch.Generator | None = None) -> Tensor:
    """Fills a bias with U(-1/sqrt(fan_in), 1/sqrt(fan_in)), torch.nn's default."""
    bound = 1 / math.sqrt(fan_in) if fan_in > 0 else 0.0
    return uniform_(tensor, -bound, bound, generator=generator)


INITIALIZERS: dict[str, Callable[..., Tensor]] = {
    "uniform": uniform_,
    "normal": normal_,
    "torch_linear": torch_linear_,
}


def initialize(tensor: Tensor, init: Init | None, generator: torch.Generator | None = None) -> Tensor:
    """Fills a weight by name, by function, or (None) with torch.nn's default for linear maps.

    Raises:
        ValueError: if the name is not in INITIALIZERS; lists those that are.
    """
    if init is None:
        init = torch_linear_
    if isinstance(init, str):
        if init not in INITIALIZERS:
            raise ValueError(f"init: expected one of {', '.join(sorted(INITIALIZERS))}, got {init!r}")
        init = INITIALIZERS[init]
    return init(tensor, generator=generator)
