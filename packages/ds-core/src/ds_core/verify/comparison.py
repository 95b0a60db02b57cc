"""How two results are compared, and how close they must be: the one place that says so."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection
from itertools import permutations
from typing import Any, NamedTuple

import torch
from torch import Tensor

from ds_core.kernels import alike


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

EXACT = 1e-6  # the relative error up to which a slip counts as recognised


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
    ours, reference = ours.detach().cpu().double(), reference.detach().cpu().double()
    difference = (ours - reference).abs().max().item()
    if not math.isfinite(difference):  # infinity less itself is NaN
        same = (ours == reference) | (ours.isnan() & reference.isnan() & equal_nan)
        difference = torch.where(same, 0.0, ours - reference).abs().max().item()
    error = difference / max(largest(reference), least, 1e-300)
    return error if math.isfinite(error) else math.inf


def largest(*tensors: Tensor) -> float:
    """Returns the largest finite absolute value, 0 if there is none."""
    return max((_largest(t) for t in tensors if t.numel()), default=0.0)


def _largest(tensor: Tensor) -> float:
    most = tensor.abs().max().item()
    return most if math.isfinite(most) else torch.where(tensor.isfinite(), tensor, 0).abs().max().item()


def hint(
    ours: Tensor, reference: Tensor, sizes: Collection[int] = (), above: Collection[Tensor | None] = ()
) -> str:
    """Names a common slip that turns ``reference`` into ``ours``; empty if none does.

    Args:
        ours: what came.
        reference: what should have come, of the same shape.
        sizes: how many examples, features, entries ... there are: a factor that is one of them has a name.
        above: the gradients of the outputs.
    """
    if ours.dim() == 2 and relative_error(ours.T, reference) < EXACT:
        return "it is transposed"
    if not ours.isfinite().all():
        return "it holds NaN or infinite numbers" if reference.isfinite().all() else ""
    if not reference.isfinite().all():  # a loss that is not finite has no differences
        return ""
    if largest(ours) == 0:
        return "it is all zeros"
    ratio = (ours * reference).sum().item() / max(reference.square().sum().item(), 1e-300)
    if relative_error(ours, ratio * reference, scale=0.0) <= EXACT:
        return "" if abs(ratio - 1) < EXACT else _factor(ratio, sizes)
    said = _of_above(ours, reference, above)
    if said:
        return said
    more, wrong = ours - reference, (ours - reference).abs() > EXACT * largest(reference)
    count = f"{int(wrong.sum())} of {wrong.numel()} numbers"
    if relative_error(more, more.mean().expand_as(more)) <= EXACT:
        return f"all its numbers are too {'large' if more.mean() > 0 else 'small'} by {more.abs().mean():.4g}"
    if not wrong.all() and (ours[wrong] == 0).all():
        return f"{count} are 0 and should not be: is a case forgotten?"
    if not wrong.all() and (reference[wrong] == 0).all():
        return f"{count} should be 0: is a mask or a case forgotten?"
    for dim in range(ours.dim()):
        if ours.shape[dim] > 1 and relative_error(ours.flip(dim), reference) <= EXACT:
            return f"it runs backwards along dimension {dim}"
    said = _elsewhere(ours, reference) or _of_means(ours, reference)
    if said:
        return said
    if relative_error(ours.abs(), reference.abs()) <= EXACT:
        return f"the sign of {count} is wrong"
    own = _own_factors(ours, reference)
    if own is not None:
        return f"each entry of dimension {own} is off by a factor of its own: is a weight or a scale missing?"
    return f"{count} are wrong, the others right" if not wrong.all() else ""


def _of_above(ours: Tensor, reference: Tensor, above: Collection[Tensor | None]) -> str:
    """Names what was, or was not, done with the gradient from above."""
    for g in above:
        if g is not None and g.shape == ours.shape and g.dtype == ours.dtype:
            if relative_error(ours + g, reference) <= EXACT:
                return "the gradient from above is missing in it: was a shortcut, x + f(x), forgotten?"
            if relative_error(ours - g, reference) <= EXACT:
                return "the gradient from above is in it once too often: is there no shortcut, x + f(x)?"
            if relative_error(ours * g, reference) <= EXACT:
                return "the gradient from above is not multiplied into it"
    return ""


def _elsewhere(ours: Tensor, reference: Tensor) -> str:
    """Names numbers that are right but lie elsewhere."""
    for dim in range(ours.dim()):
        if any(relative_error(ours.roll(by, dim), reference) <= EXACT for by in (1, -1)):
            return f"it is shifted by one along dimension {dim}: an index or a padding is off by one"
    for order in permutations(range(ours.dim())) if ours.dim() in (3, 4) else ():
        moved = ours.permute(order)
        if moved.shape == reference.shape and relative_error(moved, reference) <= EXACT:
            return f"its dimensions are in another order: permute{order} puts them right"
    if relative_error(ours.reshape(-1).sort().values, reference.reshape(-1).sort().values) <= EXACT:
        return "its numbers are right but in another order: is a view, or an index, wrong?"
    return ""


def _of_means(ours: Tensor, reference: Tensor) -> str:
    """Names a mean that was taken, or forgotten, along a dimension."""
    for dim, size in enumerate(ours.shape):
        mean = ours.mean(dim, keepdim=True)
        if size > 1 and relative_error(ours - mean, reference) <= EXACT:
            return f"its mean along dimension {dim} should be 0: the way through a mean or a sum is missing"
        if size > 1 and largest(ours - mean) <= EXACT * largest(ours):
            return f"it is the same all along dimension {dim}: was it summed, or averaged, there?"
    return ""


def _factor(ratio: float, sizes: Collection[int]) -> str:
    """Says what a factor may come from."""
    if abs(ratio + 1) < EXACT:
        return "the sign is wrong"
    text = f"it is {ratio:.4g} times what it should be"
    for size in sorted(set(sizes) - {0, 1}):
        if abs(abs(ratio) / size - 1) < EXACT:
            return f"{text}: is the mean over {size} missing?"
        if abs(abs(ratio) * size - 1) < EXACT:
            return f"{text}: is it divided by {size} once too often?"
    return text


def _own_factors(ours: Tensor, reference: Tensor) -> int | None:
    """Returns a dimension in each entry of which all of ``ours`` is one multiple of ``reference``."""
    quotient = torch.where(reference == 0, torch.nan, ours / reference)
    for dim in range(ours.dim() if ours.dim() > 1 else 0):
        slices = quotient.movedim(dim, 0).flatten(1)
        if slices.shape[0] < 2 or slices.shape[1] < 2 or slices.isnan().any():
            continue
        if relative_error(slices, slices[:, :1].expand_as(slices)) <= EXACT:
            return dim
    return None


def apart(one: float, other: float) -> tuple[str, str]:
    """Writes two numbers with so many digits that one sees which is which; more than six if need be."""
    for digits in (6, 9, 12, 17):
        written = f"{one:.{digits}g}", f"{other:.{digits}g}"
        if written[0] != written[1]:
            break
    return written


# ---- tensors inside tuples and lists -----------------------------------------------------------------


def map_tensors(function: Callable[[Tensor], Any], tree: Any) -> Any:
    """Applies a function to every tensor in nested tuples, lists and named tuples; leaves the rest alone."""
    if isinstance(tree, Tensor):
        return function(tree)
    if not isinstance(tree, (tuple, list)):
        return tree
    return alike(tree, [map_tensors(function, part) for part in tree])


def tensors(tree: Any) -> list[Tensor]:
    """Lists every tensor in nested tuples, lists and named tuples, from left to right."""
    found: list[Tensor] = []
    map_tensors(found.append, tree)
    return found
