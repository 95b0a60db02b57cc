"""Small tools of the kernels: a quick exponential, what follows from it, and blocks that fit in a cache."""

from __future__ import annotations

import math
from collections.abc import Iterator
from functools import lru_cache

import torch
from torch import Tensor

from ds_core.kernels.scratch import scratch

LOG2_E = 1 / math.log(2)
BLOCK = 1 << 17  # numbers; half a mebibyte of float32 stays in a processor's cache


def number(value: float, like: Tensor) -> float | Tensor:
    """Returns a number as a tensor without dimensions, which torch adds and multiplies in half the time.

    Of a number torch makes a tensor at each call, in float64, and converts it: three microseconds, as long as
    the sum or the product of a small tensor.

    Args:
        value: the number.
        like: what it is to be added to or multiplied with. Where that has fewer digits than float32, to which
            the number would be rounded, or lies on another device, the number is returned as it is.
    """
    wide = like.dtype in (torch.float32, torch.float64)
    if wide and like.is_cpu and type(like) is Tensor and isinstance(value, (int, float)):
        return _number(value, like.dtype)
    return value


@lru_cache(maxsize=256)
def _number(value: float, dtype: torch.dtype) -> Tensor:
    # Made in inference mode, it could not be used outside; leaving it switches autograd on.
    with torch.inference_mode(False), torch.no_grad():
        return torch.tensor(value, dtype=dtype, device="cpu")


def parts(examples: int, numbers: int, room: int = BLOCK) -> list[slice]:
    """Cuts a batch into blocks of examples that stay in a cache, as few as there can be and of one size.

    Args:
        examples: in the batch.
        numbers: of one example, or what is laid out for it; 0 for one block.
        room: numbers of a block, unless one example alone has more.
    """
    most = max(1, room // numbers) if numbers else max(1, examples)
    blocks = max(1, math.ceil(examples / most))
    count = max(1, math.ceil(examples / blocks))
    return [slice(i, min(i + count, examples)) for i in range(0, examples, count)]


def exp(x: Tensor, scale: float = 1.0, *, out: Tensor | None = None) -> Tensor:
    """Returns e^(scale x), written as a power of two.

    e^(s x) = 2^(s x log2 e)

    Processors build powers of two from the bits of a float: where this was measured, ``torch.exp2`` took a
    third to a quarter of the time of ``torch.exp``. The product in the exponent is rounded, so the relative
    error is about ``|s x|`` times the unit roundoff: 5e-6 in float32 where the result comes close to 0 or
    infinity.

    Args:
        x: any shape.
        scale: s.
        out: takes the result, if given; may be x itself.
    """
    return torch.mul(x, number(scale * LOG2_E, x), out=out).exp2_()


def sigmoid(x: Tensor, scale: float = 1.0, *, out: Tensor | None = None) -> Tensor:
    """Returns 1 / (1 + exp(-scale x)).

    Args:
        x: any shape.
        scale: -1 gives sigmoid(-x) = 1 - sigmoid(x), as precise near 0 as near 1.
        out: takes the result, if given; may be x itself.
    """
    return exp(x, -scale, out=out).add_(number(1, x)).reciprocal_()  # far below 0, 1 / inf = 0


def softmax(x: Tensor, dim: int = -1, *, hidden_to_zero: bool = False, out: Tensor | None = None) -> Tensor:
    """Turns numbers into probabilities along a dimension.

    Args:
        x: any shape.
        dim: the dimension that will sum to 1.
        hidden_to_zero: whether a slice that is -inf throughout becomes zeros; if not, it becomes NaN.
        out: takes the result, if given; may be x itself.
    """
    if x.numel() == 0:
        return x.clone()
    m = x.amax(dim, keepdim=True)
    if hidden_to_zero:
        m.clamp_(min=torch.finfo(x.dtype).min)  # -inf less this is -inf, less itself it is NaN
    y = torch.sub(x, m, out=out)  # at most 0
    total = exp(y, out=y).sum(dim, keepdim=True)
    if hidden_to_zero:
        total.clamp_(min=1)  # 0 of a hidden slice; in all others the largest number alone adds 1
    return y.div_(total)


def softmax_backward(grad: Tensor, y: Tensor, dim: int = -1) -> Tensor:
    """Returns dL/dx_i = y_i (g_i - sum_j g_j y_j), from the output y."""
    grad_x = grad * y
    return grad_x.addcmul_(y, grad_x.sum(dim, keepdim=True), value=-1)


def root(x: Tensor) -> Tensor:
    """Returns the square root, in memory that is kept and valid until the next root."""
    return torch.sqrt(x, out=scratch("root", x.shape, x) if x.is_contiguous() else None)


_INTEGERS = {4: torch.int32, 8: torch.int64}


def bits(x: Tensor) -> Tensor:
    """Views floats as the integers that their bits spell, of the same sign; only 0 has the bits of 0.

    Times 1 or 0, the integer keeps its bits or loses them, also those of infinity. So ``x > 0`` as 1 or 0,
    times ``bits(grad)``, is what ``torch.where(x > 0, grad, 0)`` is, but a choice per element that the
    processor cannot foresee costs twenty times a product.
    """
    return x.view(_INTEGERS[x.element_size()])


def zero_where(x: Tensor, chosen: Tensor, *, out: Tensor) -> Tensor:
    """Writes x, and 0 where it is chosen, into ``out``: ``torch.where(chosen, 0, x)`` without a choice.

    Args:
        x: any shape.
        chosen: 0 where x stays, any number of at least 1 where not; of x's type.
        out: takes the result; may be ``chosen`` itself.
    """
    stays = torch.clamp(bits(chosen), 0, 1, out=bits(out)).bitwise_xor_(1)
    stays.mul_(bits(x))
    return out


def channels_side_by_side(x: Tensor) -> bool:
    """Says whether x are images ``(N, C, H, W)`` with channels last in memory."""
    return x.dim() == 4 and not x.is_contiguous() and x.is_contiguous(memory_format=torch.channels_last)


def blocks(*tensors: Tensor) -> Iterator[tuple[Tensor, ...]]:
    """Cuts tensors of one shape into views of at most BLOCK numbers, side by side.

    Several steps on one block, then on the next, find its numbers still in the cache, and what they need in
    between is small. Tensors of a few blocks are left whole, and those that do not lie in memory one number
    after the other.

    Shape:
        each ``(...)`` -> ``(BLOCK,)`` and at last the rest.
    """
    if tensors[0].numel() <= 4 * BLOCK or not all(tensor.is_contiguous() for tensor in tensors):
        return iter([tensors])
    return zip(*(tensor.view(-1).split(BLOCK) for tensor in tensors), strict=True)
