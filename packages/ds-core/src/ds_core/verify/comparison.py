"""How two results are compared, and how close they must be: the one place that says so."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor


class Limits(NamedTuple):
    """The largest relative error that each referee lets pass."""

    tape: float  # torch's autograd through our own forward: the same sums, perhaps in another order
    differences: float  # central finite differences, which are themselves only this precise
    namesake: float  # torch.nn, torch.optim or another library's form of the same

    def times(self, looser: float) -> Limits:
        """Returns limits that are ``looser`` times as large."""
        return Limits(*(limit * looser for limit in self))


LIMITS = {
    torch.float64: Limits(tape=1e-9, differences=1e-6, namesake=1e-9),
    torch.float32: Limits(tape=1e-5, differences=math.nan, namesake=1e-5),  # too coarse for differences
}

# A tensor whose every entry is far smaller than this share of the largest gradient around it (or of 1) is
# judged by that share instead of by its own size: what should be zero comes out as rounding noise.
LEAST = {torch.float64: 1e-3, torch.float32: 1e-1}


def relative_error(ours: Tensor, reference: Tensor, scale: float = 1.0, *, equal_nan: bool = False) -> float:
    """Returns max |ours - reference| / max(max |reference|, least scale); infinite for NaN or another shape.

    least is 0.001 in float64 and 0.1 in float32: see ``LEAST``.

    Args:
        ours: what is checked, any shape.
        reference: what it should be.
        scale: the size of the numbers around: the largest of all gradients that are compared.
        equal_nan: whether NaN is right where the reference has it, too.
    """
    if ours.shape != reference.shape:
        return math.inf
    if ours.numel() == 0:
        return 0.0
    least = LEAST.get(ours.dtype, 0.0) * scale
    ours, reference = ours.detach().double(), reference.detach().double()
    same = (ours == reference) | (ours.isnan() & reference.isnan() & equal_nan)
    difference = torch.where(same, 0.0, ours - reference).abs().max().item()
    error = difference / max(largest(reference), least, 1e-300)
    return error if math.isfinite(error) else math.inf


def largest(*tensors: Tensor) -> float:
    """Returns the largest finite absolute value, 0 if there is none."""
    return max(
        (torch.where(t.isfinite(), t, 0).abs().max().item() for t in tensors if t.numel()), default=0.0
    )


def hint(ours: Tensor, reference: Tensor) -> str:
    """Names a common slip that turns ``reference`` into ``ours``; empty if none does."""
    if ours.dim() == 2 and relative_error(ours.T, reference) < 1e-6:
        return "it is transposed"
    if largest(ours) == 0:
        return "it is all zeros"
    ratio = (ours * reference).sum().item() / max(reference.square().sum().item(), 1e-300)
    if relative_error(ours, ratio * reference, scale=0.0) > 1e-6:
        return ""
    if abs(ratio - 1) < 1e-6:
        return ""
    return "the sign is wrong" if abs(ratio + 1) < 1e-6 else f"it is {ratio:.4g} times what it should be"


# ---- tensors inside tuples and lists -----------------------------------------------------------------


def map_tensors(function: Callable[[Tensor], Any], tree: Any) -> Any:
    """Applies a function to every tensor in nested tuples, lists and named tuples; leaves the rest alone."""
    if isinstance(tree, Tensor):
        return function(tree)
    if not isinstance(tree, (tuple, list)):
        return tree
    parts = [map_tensors(function, part) for part in tree]
    return type(tree)(*parts) if hasattr(tree, "_fields") else type(tree)(parts)


def tensors(tree: Any) -> list[Tensor]:
    """Lists every tensor in nested tuples, lists and named tuples, from left to right."""
    found: list[Tensor] = []
    map_tensors(found.append, tree)
    return found
