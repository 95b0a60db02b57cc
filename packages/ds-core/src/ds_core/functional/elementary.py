"""Small tools of the functions here: a quick exponential, and ways to spare memory traffic."""

from __future__ import annotations

import math
from collections.abc import Iterator

import torch
from torch import Tensor

LOG2_E = 1 / math.log(2)
BLOCK = 1 << 17  # numbers; half a mebibyte of float32 stays in a processor's cache


def reuse(x: Tensor) -> Tensor | None:
    """Offers the memory of a fresh ``x`` that nobody else needs: ``torch.sqrt(x, out=reuse(x))``.

    A new large tensor costs more than the arithmetic that fills it. While torch's tape records, the answer
    is None and the operation makes a new tensor, for the tape may still need the old one.
    """
    return None if torch.is_grad_enabled() else x


def exp(x: Tensor, scale: float = 1.0, *, out: Tensor | None = None) -> Tensor:
    """Returns e^(scale x), written as a power of two.

    e^(s x) = 2^(s x log2 e)

    Processors build powers of two from the bits of a float: where this was measured, ``torch.exp2`` took a
    third to a quarter of the time of ``torch.exp``. The product in the exponent is rounded, so the relative
    error is about ``|s x|`` times the unit roundoff: 5e-6 in float32 where the result comes close to 0 or
    infinity.

    While torch's tape records, the largest finite number stands for infinity: the derivative of 1 / (1 + e^x)
    is 0 there, but a tape that multiplies 0 by infinity finds NaN.

    Args:
        x: any shape.
        scale: s.
        out: takes the result, if given; not while torch's tape records.
    """
    exponent = torch.mul(x, scale * LOG2_E, out=out)
    if torch.is_grad_enabled():
        exponent = exponent.clamp(max=math.log2(torch.finfo(x.dtype).max))
    return torch.exp2(exponent, out=reuse(exponent))


def blocks(*tensors: Tensor) -> Iterator[tuple[Tensor, ...]]:
    """Cuts tensors of one shape into views of at most BLOCK numbers, side by side.

    Several steps on one block, then on the next, find its numbers still in the cache, and what they need in
    between is small. Tensors that do not lie in memory one number after the other are left whole.

    Shape:
        each ``(...)`` -> ``(BLOCK,)`` and at last the rest.
    """
    if not all(tensor.is_contiguous() for tensor in tensors):
        return iter([tensors])
    return zip(*(tensor.view(-1).split(BLOCK) for tensor in tensors), strict=True)
