"""How two results are compared, and how close they must be: the one place that says so."""

from __future__ import annotations

import math
<<<<<<< HEAD
from collections.abc import Callable, Collection
=======
from collections.abc import Callable, Sequence
from itertools import permutations
>>>>>>> 5cc5021 (Constructors check their arguments against their annotations, forwards and backwards name what they cannot compute with; fuzz counts it; check_gradients names more causes; tables of pandas and streams of datasets taken directly)
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


<<<<<<< HEAD
def hint(ours: Tensor, reference: Tensor, sizes: Collection[int] = ()) -> str:
    """Names a common slip that turns ``reference`` into ``ours``; empty if none does.

    Args:
        ours: what came.
        reference: what should have come, of the same shape.
        sizes: how many examples, features, entries ... there are: a factor that is one of them has a name.
    """
    if ours.dim() == 2 and relative_error(ours.T, reference) < EXACT:
        return "it is transposed"
    if not ours.isfinite().all():
        return "it holds NaN or infinite numbers" if reference.isfinite().all() else ""
=======
_SAME = 1e-6  # relative error below which a slip explains a gradient


def hint(ours: Tensor, reference: Tensor, batch: int = 0, above: Sequence[Tensor | None] = ()) -> str:
    """Names a common slip that turns ``reference`` into ``ours``; empty if none does.

    Args:
        ours: a wrong gradient.
        reference: what it should be, of the same shape.
        batch: how many examples there are; 0 if unknown.
        above: the gradients of the outputs.
    """
>>>>>>> 5cc5021 (Constructors check their arguments against their annotations, forwards and backwards name what they cannot compute with; fuzz counts it; check_gradients names more causes; tables of pandas and streams of datasets taken directly)
    if largest(ours) == 0:
        return "it is all zeros"
    for slip in (_of_scale, _of_order, _of_parts, _of_means):
        said = slip(ours, reference, batch)
        if said:
            return said
    for g in above:
        if g is not None and g.shape == ours.shape and g.dtype == ours.dtype:
            if relative_error(ours + g, reference) < _SAME:
                return "the gradient from above is missing in it: was a shortcut, x + f(x), forgotten?"
            if relative_error(ours - g, reference) < _SAME:
                return "the gradient from above is in it once too often: is there no shortcut, x + f(x)?"
            if relative_error(ours * g, reference) < _SAME:
                return "the gradient from above is not multiplied into it"
    wrong = _wrong(ours, reference)
    return f"it is right but for {int(wrong.sum())} of {wrong.numel()} entries" if not wrong.all() else ""


def _wrong(ours: Tensor, reference: Tensor) -> Tensor:
    """Tells which entries are wrong."""
    return ~((ours - reference).abs() <= _SAME * max(largest(reference), 1e-300))


def _of_scale(ours: Tensor, reference: Tensor, batch: int) -> str:
    """Names a wrong factor or sign."""
    ratio = (ours * reference).sum().item() / max(reference.square().sum().item(), 1e-300)
<<<<<<< HEAD
    if relative_error(ours, ratio * reference, scale=0.0) <= EXACT:
        return "" if abs(ratio - 1) < EXACT else _factor(ratio, sizes)
    more, wrong = ours - reference, (ours - reference).abs() > EXACT * largest(reference)
    count = f"{int(wrong.sum())} of {wrong.numel()} numbers"
    if relative_error(more, more.mean().expand_as(more)) <= EXACT:
        return f"all its numbers are too {'large' if more.mean() > 0 else 'small'} by {more.abs().mean():.4g}"
    if not wrong.all() and (ours[wrong] == 0).all():
        return f"{count} are 0 and should not be: is a case forgotten?"
    if not wrong.all() and (reference[wrong] == 0).all():
        return f"{count} should be 0: is a case forgotten?"
    for dim in range(ours.dim()):
        if ours.shape[dim] > 1 and relative_error(ours.flip(dim), reference) <= EXACT:
            return f"it runs backwards along dimension {dim}"
    own = _own_factors(ours, reference)
    if own is not None:
        return f"each entry of dimension {own} is off by a factor of its own: is a weight or a scale missing?"
    return f"{count} are wrong, the others right" if not wrong.all() else ""


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
=======
    if relative_error(ours, ratio * reference, scale=0.0) <= _SAME and abs(ratio - 1) >= _SAME:
        if abs(ratio + 1) < _SAME:
            return "the sign is wrong"
        said = f"it is {ratio:.4g} times what it should be"
        if batch > 1 and abs(ratio * batch - 1) < _SAME:
            return f"{said}: a mean over the {batch} examples where a sum belongs"
        if batch > 1 and abs(ratio / batch - 1) < _SAME:
            return f"{said}: a sum over the {batch} examples where a mean belongs"
        return said
    flipped = _wrong(ours, reference)
    if flipped.any() and not _wrong(ours.abs(), reference.abs()).any():
        return f"the sign is wrong in {int(flipped.sum())} of {flipped.numel()} entries"
    return ""


def _of_order(ours: Tensor, reference: Tensor, batch: int) -> str:
    """Names numbers that are right but lie elsewhere."""
    if ours.dim() == 2 and relative_error(ours.T, reference) < _SAME:
        return "it is transposed"
    for order in permutations(range(ours.dim())) if ours.dim() in (3, 4) else ():
        moved = ours.permute(order)
        if moved.shape == reference.shape and relative_error(moved, reference) < _SAME:
            return f"its dimensions are in another order: permute{order} puts them right"
    for dim in range(ours.dim()):
        if relative_error(ours.flip(dim), reference) < _SAME:
            return f"it is reversed along dimension {dim}"
        for by in (1, -1):
            if relative_error(ours.roll(by, dim), reference) < _SAME:
                return f"it is shifted by one along dimension {dim}: an index or a padding is off by one"
    mine, theirs = (t.reshape(-1).sort().values for t in (ours, reference))
    if relative_error(mine, theirs) < _SAME:
        return (
            "its numbers are right but in another order: was a part given to its neighbour, or a wrong view?"
        )
    return ""


def _of_parts(ours: Tensor, reference: Tensor, batch: int) -> str:
    """Names a mask that was forgotten, or a part that was."""
    wrong = _wrong(ours, reference)
    if wrong.any() and not wrong.all():
        hidden, empty = reference.abs() <= _SAME * largest(reference), ours == 0
        if bool((hidden | ~wrong).all()):
            return "it is not 0 where it should be, and right elsewhere: was a mask forgotten?"
        if bool((empty | ~wrong).all()):
            return "it is 0 in some places where it should not be, and right elsewhere: was a part forgotten?"
    return ""


def _of_means(ours: Tensor, reference: Tensor, batch: int) -> str:
    """Names a mean that was taken, or forgotten, along a dimension."""
    for dim, size in enumerate(ours.shape):
        if size < 2:
            continue
        mean = ours.mean(dim, keepdim=True)
        if relative_error(ours - mean, reference) < _SAME:
            return f"its mean along dimension {dim} should be 0: the way through a mean or a sum is missing"
        if largest(ours - mean) <= _SAME * largest(ours) and largest(
            reference - reference.mean(dim, keepdim=True)
        ) > _SAME * largest(reference):
            return f"it is the same all along dimension {dim}: was it summed, or averaged, there?"
    return ""
>>>>>>> 5cc5021 (Constructors check their arguments against their annotations, forwards and backwards name what they cannot compute with; fuzz counts it; check_gradients names more causes; tables of pandas and streams of datasets taken directly)


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
