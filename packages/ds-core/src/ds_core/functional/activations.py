"""Activation functions, element by element: each forward with its backward below it.

Two habits explain the forms chosen here. Comparisons become arithmetic, ``sign(y) * g`` rather than
``where(y > 0, g, 0)``, because a choice per element that the processor cannot foresee costs twenty times a
product. And a function that is used in large models has a form ``..._with_slope`` that returns f(x) and
f'(x) together: the two share their exponential, and keeping f'(x) takes no more memory than keeping x.
Like every ``..._backward``, it works in place and is not for torch's tape.
"""

from __future__ import annotations

import math
from typing import Literal

import torch
from torch import Tensor

from ds_core.functional.elementary import LOG2_E, blocks, exp, reuse

GELUForm = Literal["none", "tanh"]

# ---- straight lines with kinks ---------------------------------------------------------------------------


def relu(x: Tensor) -> Tensor:
    """Returns max(x, 0)."""
    y = x.clamp(min=0)
    # The tape gives a clamp the slope 1 at its bound; that of relu is 0 there.
    return y * y.detach().sign() if torch.is_grad_enabled() else y


def relu_backward(grad: Tensor, y: Tensor) -> Tensor:
    """Returns g where the output y is positive, else 0."""
    grad_x = torch.empty_like(grad)
    for y_part, g_part, out in blocks(y, grad, grad_x):
        torch.sign(y_part, out=out).mul_(g_part)
    return grad_x


def leaky_relu(x: Tensor, negative_slope: float | Tensor = 0.01) -> Tensor:
    """Returns x above 0 and negative_slope x below."""
    y, below = relu(x), x.clamp(max=0)
    below = torch.mul(below, negative_slope, out=reuse(below))
    return torch.add(y, below, out=reuse(y))


def leaky_relu_backward(grad: Tensor, x: Tensor, negative_slope: float | Tensor = 0.01) -> Tensor:
    """Returns g where the input x is positive, else negative_slope g."""
    return is_positive(x).mul_(1 - negative_slope).add_(negative_slope).mul_(grad)


def clip(x: Tensor, low: float, high: float) -> Tensor:
    """Returns x held between two bounds."""
    if torch.is_grad_enabled():  # the slope at a bound is 0, see relu
        return x.masked_fill(x <= low, low).masked_fill(x >= high, high)
    return x.clamp(low, high)


def clip_backward(grad: Tensor, y: Tensor, low: float, high: float) -> Tensor:
    """Returns g where the output y is strictly between the bounds, else 0."""
    return (high - y).mul_(y - low).sign_().mul_(grad)


def is_positive(x: Tensor) -> Tensor:
    """Returns 1 where x > 0 and 0 elsewhere, as numbers of x's type; a constant for the tape."""
    return x.detach().sign().clamp_(min=0)


# ---- exponentials ----------------------------------------------------------------------------------------


def elu(x: Tensor, alpha: float = 1.0, scale: float = 1.0) -> Tensor:
    """Returns scale x above 0 and scale alpha (exp(x) - 1) below.

    Source: Clevert, Unterthiner, Hochreiter, Exponential Linear Units (2015); with the scale, Klambauer et
    al., Self-Normalizing Neural Networks (2017).
    """
    y = x.clamp(max=0)
    y = torch.expm1(y, out=reuse(y))
    y = torch.add(relu(x), y, alpha=alpha, out=reuse(y))
    return torch.mul(y, scale, out=reuse(y))


def elu_backward(grad: Tensor, x: Tensor, alpha: float = 1.0, scale: float = 1.0) -> Tensor:
    """Returns scale g above 0 and scale alpha exp(x) g elsewhere."""
    below = exp(x.clamp(max=0)).mul_(alpha)  # alpha above 0
    return below.add_(is_positive(x), alpha=1 - alpha).mul_(scale).mul_(grad)


def sigmoid(x: Tensor, scale: float = 1.0, *, out: Tensor | None = None) -> Tensor:
    """Returns 1 / (1 + exp(-scale x)).

    Args:
        x: any shape.
        scale: -1 gives sigmoid(-x) = 1 - sigmoid(x), as precise near 0 as near 1.
        out: takes the result, if given; not while torch's tape records.
    """
    e = exp(x, -scale, out=out)  # inf far below 0, where 1 / inf = 0
    e = torch.add(e, 1, out=reuse(e))
    return torch.reciprocal(e, out=reuse(e))


def sigmoid_backward(grad: Tensor, y: Tensor) -> Tensor:
    """Returns g y (1 - y)."""
    grad_x = grad * y
    return grad_x.addcmul_(grad_x, y, value=-1)


def tanh(x: Tensor, *, out: Tensor | None = None) -> Tensor:
    """Returns the hyperbolic tangent, in about 0.6 of the time of ``torch.tanh`` where it was measured.

    tanh(x) = 2 sigmoid(2x) - 1

    The difference from 1 is rounded to the unit roundoff: results near 0 are as exact in absolute numbers as
    those near 1, which is enough for the gates of a recurrent cell, but not relative to their own size.

    Args:
        x: any shape.
        out: takes the result, if given; not while torch's tape records.
    """
    y = sigmoid(x, 2, out=out)
    y = torch.mul(y, 2, out=reuse(y))
    return torch.sub(y, 1, out=reuse(y))


def tanh_backward(grad: Tensor, y: Tensor) -> Tensor:
    """Returns g (1 - y^2), for y = tanh(x)."""
    grad_x = grad * y
    return torch.addcmul(grad, grad_x, y, value=-1, out=grad_x)


def softplus(x: Tensor, beta: float = 1.0, threshold: float = math.inf) -> Tensor:
    """Returns log(1 + exp(beta x)) / beta, and x itself where beta x is above the threshold.

    log(1 + exp(z)) = (z + |z|) / 2 + log(1 + exp(-|z|)), whose exponential cannot overflow

    Source: Dugas et al., Incorporating Second-Order Functional Knowledge (2000).
    """
    z = x * beta
    size = z.abs()
    y = exp(size, -1)
    y = torch.log1p(y, out=reuse(y))
    if threshold < math.inf:
        y = torch.mul(y, 1 - is_positive(z - threshold), out=reuse(y))
    twice = torch.add(size, z, out=reuse(size))
    y = torch.add(y, twice, alpha=0.5, out=reuse(y))
    return torch.div(y, beta, out=reuse(y))


def softplus_backward(grad: Tensor, x: Tensor, beta: float = 1.0, threshold: float = math.inf) -> Tensor:
    """Returns g sigmoid(beta x), and g itself where beta x is above the threshold."""
    slope = sigmoid(x, beta)
    if threshold < math.inf:
        slope = torch.maximum(slope, is_positive(x * beta - threshold), out=slope)
    return slope.mul_(grad)


def log_sigmoid(x: Tensor) -> Tensor:
    """Returns log(1 / (1 + exp(-x))) = -softplus(-x)."""
    y = softplus(-x)
    return torch.neg(y, out=reuse(y))


def log_sigmoid_backward(grad: Tensor, x: Tensor) -> Tensor:
    """Returns g (1 - sigmoid(x)) = g sigmoid(-x)."""
    return sigmoid(x, -1).mul_(grad)


# ---- gated: x times a gate between 0 and 1 ---------------------------------------------------------------

_TANH_SCALE = 2 * math.sqrt(2 / math.pi)
_TANH_CUBE = 0.044715


def gelu(x: Tensor, approximate: GELUForm = "none") -> Tensor:
    """Returns x times the probability that a standard normal number is below x.

    y = x Phi(x),   Phi(x) = (1 + erf(x / sqrt 2)) / 2

    For "tanh":  Phi(x) = (1 + tanh u) / 2 = 1 / (1 + exp(-2u)),   u = sqrt(2 / pi) (x + 0.044715 x^3)

    Source: Hendrycks and Gimpel, Gaussian Error Linear Units (2016).
    """
    gate = _gelu_gate(x, approximate)
    return torch.mul(x, gate, out=reuse(gate))


def gelu_with_slope(x: Tensor, approximate: GELUForm = "none") -> tuple[Tensor, Tensor]:
    """Returns y of :func:`gelu` and the slope y'.

    y' = Phi(x) + x phi(x),   phi(x) = exp(-x^2 / 2) / sqrt(2 pi)

    For "tanh", with Phi a sigmoid of 2u:  y' = Phi + x Phi (1 - Phi) 2u' = Phi + y (1 - Phi) 2u'
    """
    y, slope = torch.empty_like(x), torch.empty_like(x)
    for x_, y_, slope_ in blocks(x, y, slope):
        gate = _gelu_gate(x_, approximate)
        torch.mul(x_, gate, out=y_)
        if approximate == "none":
            density = torch.exp2_(_polynomial(x_, -math.log2(2 * math.pi) / 2, -LOG2_E / 2))
            torch.addcmul(gate, density, x_, out=slope_)
        else:
            growth = _polynomial(x_, _TANH_SCALE, 3 * _TANH_SCALE * _TANH_CUBE)  # 2u'
            growth.mul_(y_)
            torch.addcmul(growth, growth, gate, value=-1, out=slope_).add_(gate)
    return y, slope


def gelu_backward(grad: Tensor, x: Tensor, approximate: GELUForm = "none") -> Tensor:
    """Returns g y', from the input."""
    _, slope = gelu_with_slope(x, approximate)
    return slope.mul_(grad)


def _gelu_gate(x: Tensor, approximate: GELUForm) -> Tensor:
    """Returns Phi(x) or its approximation."""
    if approximate == "none":
        erf = x * math.sqrt(0.5)
        erf = torch.erf(erf, out=reuse(erf))
        return torch.add(_number(0.5, x), erf, alpha=0.5, out=reuse(erf))
    u = _polynomial(x, _TANH_SCALE, _TANH_SCALE * _TANH_CUBE)
    u = torch.mul(u, x, out=reuse(u))
    return sigmoid(u, out=reuse(u))


def silu(x: Tensor) -> Tensor:
    """Returns x sigmoid(x).

    Source: Elfwing, Uchibe, Doya, Sigmoid-Weighted Linear Units (2017).
    """
    gate = sigmoid(x)
    return torch.mul(x, gate, out=reuse(gate))


def silu_with_slope(x: Tensor) -> tuple[Tensor, Tensor]:
    """Returns y = x s and y' = s + x s (1 - s) = s + y (1 - s), with s = sigmoid(x)."""
    y, slope = torch.empty_like(x), torch.empty_like(x)
    for x_, y_, slope_ in blocks(x, y, slope):
        gate = sigmoid(x_)
        torch.mul(x_, gate, out=y_)
        torch.addcmul(y_, y_, gate, value=-1, out=slope_).add_(gate)
    return y, slope


def silu_backward(grad: Tensor, x: Tensor) -> Tensor:
    """Returns g y', from the input."""
    _, slope = silu_with_slope(x)
    return slope.mul_(grad)


def mish(x: Tensor) -> Tensor:
    """Returns x tanh(softplus(x)).

    With e = exp(x):  tanh(log(1 + e)) = ((1 + e)^2 - 1) / ((1 + e)^2 + 1) = n / (n + 2),   n = e (e + 2)

    Source: Misra, Mish: A Self Regularized Non-Monotonic Activation Function (2019).
    """
    _, n = _mish_terms(x)
    gate = torch.div(n, n + 2, out=reuse(n))
    return torch.mul(gate, x, out=reuse(gate))


def mish_with_slope(x: Tensor) -> tuple[Tensor, Tensor]:
    """Returns y and y' = n / (n + 2) + x 4 e (e + 1) / (n + 2)^2."""
    y, slope = torch.empty_like(x), torch.empty_like(x)
    for x_, y_, slope_ in blocks(x, y, slope):
        e, n = _mish_terms(x_)
        below = (n + 2).reciprocal_()
        gate = n.mul_(below)
        torch.mul(x_, gate, out=y_)
        growth = torch.addcmul(e, e, e, out=e).mul_(below).mul_(below)  # e (e + 1) / (n + 2)^2
        torch.addcmul(gate, growth, x_, value=4, out=slope_)
    return y, slope


def mish_backward(grad: Tensor, x: Tensor) -> Tensor:
    """Returns g y', from the input."""
    _, slope = mish_with_slope(x)
    return slope.mul_(grad)


def _mish_terms(x: Tensor) -> tuple[Tensor, Tensor]:
    """Returns e and n; from x = 20 on the gate n / (n + 2) is 1 in every type, so e need not grow further."""
    e = x.clamp(max=20)
    e = exp(e, out=reuse(e))
    return e, e * (e + 2)


def hardswish(x: Tensor) -> Tensor:
    """Returns x times a gate of straight lines: max(0, min(6, x + 3)) / 6.

    Source: Howard et al., Searching for MobileNetV3 (2019).
    """
    gate = _hard_gate(x)
    return torch.mul(gate, x, out=reuse(gate))


def hardswish_backward(grad: Tensor, x: Tensor) -> Tensor:
    """Returns g (gate + x gate'), where the gate's slope is 1/6 strictly between -3 and 3."""
    gate = _hard_gate(x)
    rising = (1 - gate).mul_(gate).sign_()
    return gate.addcmul_(rising, x, value=1 / 6).mul_(grad)


def _hard_gate(x: Tensor) -> Tensor:
    gate = x + 3
    gate = clip(gate, 0, 6)
    return torch.div(gate, 6, out=reuse(gate))


# ---- helpers ---------------------------------------------------------------------------------------------


def _number(value: float, like: Tensor) -> Tensor:
    """Returns a number as a tensor, for operations that take no plain number in that place."""
    return torch.full((), value, dtype=like.dtype, device=like.device)


def _polynomial(x: Tensor, constant: float, square: float) -> Tensor:
    """Returns constant + square x^2 in one pass."""
    return torch.addcmul(_number(constant, x), x, x, value=square)
