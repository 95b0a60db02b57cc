"""Pads: pixels added around images, as layers."""

from __future__ import annotations

from collections.abc import Sequence

from ds_core import InputGrad, Module
from ds_core.checks import check_floating, shape
from torch import Tensor

from ds_cnn.functional.padding import pad, pad_backward


class Pad2d(Module):
    """Base of the pads: y[i, j] = x[source(i - top), source(j - left)], dL/dx[source] += dL/dy.

    A subclass says in ``mode`` where the new pixels come from.

    Args:
        padding: pixels (left, right, top, bottom), or one number for all.

    Shape:
        x ``(N, C, H, W)`` or ``(C, H, W)`` -> the same with ``top + H + bottom`` and ``left + W + right``.

    Raises:
        ValueError: if x has other dimensions, or too few pixels to be mirrored or repeated.
        TypeError: if x is not floating point.
    """

    mode: str
    value: float = 0.0

    def __init__(self, padding: int | Sequence[int]) -> None:
        four = (padding,) * 4 if isinstance(padding, int) else tuple(padding)
        if len(four) != 4:
            raise ValueError(
                f"{type(self).__name__}: expected padding as one number or (left, right, top, bottom), "
                f"got {padding}"
            )
        self.padding = (four[0], four[1], four[2], four[3])

    def forward(self, x: Tensor) -> Tensor:
        if x.dim() not in (3, 4):
            raise ValueError(
                f"{self.label()}: expected input of shape (N, C, H, W) or (C, H, W), got {shape(x)}"
            )
        check_floating(self, x)
        self.save()
        y = pad(x if x.dim() == 4 else x.unsqueeze(0), self.padding, self.mode, self.value, self.label())
        return y if x.dim() == 4 else y.squeeze(0)

    def backward(self, grad: Tensor) -> InputGrad:
        self.saved()
        if not self.input_grad:
            return None
        grad_x = pad_backward(grad if grad.dim() == 4 else grad.unsqueeze(0), self.padding, self.mode)
        return grad_x if grad.dim() == 4 else grad_x.squeeze(0)

    def extra_repr(self) -> str:
        return f"{self.padding}"


class ZeroPad2d(Pad2d):
    """Adds pixels of 0 around images; negative numbers cut pixels off.

    y = x inside, 0 outside,   dL/dx = dL/dy inside

    Args and shapes: as for :class:`Pad2d`.
    """

    mode = "zeros"


class ConstantPad2d(Pad2d):
    """Adds pixels of one value around images; negative numbers cut pixels off.

    y = x inside, value outside,   dL/dx = dL/dy inside

    Args:
        padding: pixels (left, right, top, bottom), or one number for all.
        value: of the new pixels.
    """

    mode = "zeros"

    def __init__(self, padding: int | Sequence[int], value: float) -> None:
        super().__init__(padding)
        self.value = value

    def extra_repr(self) -> str:
        return f"{self.padding}, value={self.value}"


class ReflectionPad2d(Pad2d):
    """Adds mirror images, with the edge pixel as the mirror: c b | a b c | b a.

    y[i] = x[|i - top|] and so on at the other sides,   dL/dx[source] += dL/dy

    Args and shapes: as for :class:`Pad2d`.
    """

    mode = "reflect"


class ReplicationPad2d(Pad2d):
    """Repeats the edge pixels: a a | a b c | c c.

    y[i] = x[clamp(i - top)],   dL/dx[source] += dL/dy

    Args and shapes: as for :class:`Pad2d`.
    """

    mode = "replicate"


class CircularPad2d(Pad2d):
    """Continues with the other side, as on a torus: b c | a b c | a b.

    y[i] = x[(i - top) mod H],   dL/dx[source] += dL/dy

    Args and shapes: as for :class:`Pad2d`.
    """

    mode = "circular"
