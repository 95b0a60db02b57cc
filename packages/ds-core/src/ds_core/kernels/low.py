"""Products in low precision: factors rounded to a small type, their products added up in float32.

What is rounded is one rule for kernels and formulas alike. A kernel's products ask for it in ``matmul``; a
formula says ``x @ weight.T`` and knows nothing of types: around it lies :class:`LowProducts`, which sees to
every product in it, also under torch's autograd and while ``torch.compile`` traces.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode


class Low(NamedTuple):
    """A type of products, and where this machine has them; see :func:`ds_core.kernels.matmul.low`."""

    dtype: torch.dtype
    on_processor: bool  # else the processor multiplies the rounded factors as float32


def low_product(kind: Low, multiply: Callable[[Tensor, Tensor], Tensor], a: Tensor, b: Tensor) -> Tensor:
    """Returns ``multiply(a, b)`` of rounded factors, rounded itself: in the low type.

    The sums inside are float32's, whatever computes them.
    """
    a, b = a.to(kind.dtype), b.to(kind.dtype)
    if a.is_cpu and not kind.on_processor:
        return multiply(a.float(), b.float()).to(kind.dtype)
    return multiply(a, b)


_PRODUCTS = (torch.matmul, torch.Tensor.matmul, torch.Tensor.__matmul__)


class LowProducts(TorchFunctionMode):
    """Makes ``a @ b`` of float32 matrices a low product in the block, whose result is float32 again."""

    def __init__(self, kind: Low) -> None:
        super().__init__()
        self.kind = kind

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func in _PRODUCTS and args[0].dtype == args[1].dtype == torch.float32:
            return low_product(self.kind, torch.matmul, *args).float()
        return func(*args, **(kwargs or {}))
