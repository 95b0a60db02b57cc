"""Counting arithmetic where it really happens: in the operations that torch executes."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode

from ds_core.xray.observe import tensors

# Which arguments of a matrix product are its two factors.
_FACTORS = {
    "mm": (0, 1),
    "bmm": (0, 1),
    "mv": (0, 1),
    "dot": (0, 1),
    "addmm": (1, 2),
    "addmv": (1, 2),
    "baddbmm": (1, 2),
    "addbmm": (1, 2),
}
_REDUCTIONS = {"sum", "mean", "amax", "amin", "max", "min", "prod", "var", "var_mean", "cumsum"}
_COPIES = {"clone", "_to_copy"}


@dataclass
class Flops:
    """Floating point operations.

    Attributes:
        products: in matrix products: 2 m n k for ``(m, k) @ (k, n)``, a multiplication and an addition each.
        elementwise: one for each number written by an element-by-element operation or read by a sum,
            mean or extremum, however dear that operation is.
    """

    products: int = 0
    elementwise: int = 0

    @property
    def total(self) -> int:
        """Both together."""
        return self.products + self.elementwise

    def __add__(self, other: Flops) -> Flops:
        return Flops(self.products + other.products, self.elementwise + other.elementwise)


class FlopCounter(TorchDispatchMode):
    """Counts while it is entered, per path of the module at work.

    Args:
        running: lists of the paths now at work, as :func:`~ds_core.xray.observe.observe` yields them; what
            runs while all are empty is nobody's.
    """

    def __init__(self, *running: list[str]) -> None:
        super().__init__()
        self._running = running
        self.by_path: dict[str, Flops] = defaultdict(Flops)

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        return (
            False  # True, torch's default, would load its compiler for nothing: seconds for the first count
        )

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        """Runs the operation and counts it."""
        result = func(*args, **(kwargs or {}))
        path = next((paths[-1] for paths in self._running if paths), None)
        if path is not None:
            self.by_path[path] += flops_of(func, args, result)
        return result


def flops_of(func: Any, args: tuple[Any, ...], result: Any) -> Flops:
    """Counts one ATen operation."""
    name = func.overloadpacket.__name__.rstrip("_")
    if name in _FACTORS:
        left, right = (args[i] for i in _FACTORS[name])
        columns = right.shape[-1] if right.dim() > 1 else 1
        added = result.numel() if name.startswith(("add", "badd")) else 0
        return Flops(2 * left.numel() * columns, added)
    if name in _REDUCTIONS:
        return Flops(0, args[0].numel())
    if torch.Tag.pointwise in func.tags and name not in _COPIES:
        return Flops(0, sum(y.numel() for y in tensors(result)))  # of equal, a bool, there are none
    return Flops()
