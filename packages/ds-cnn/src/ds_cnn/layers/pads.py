"""Pads: pixels added around images, as layers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import final

from ds_core import InputGrad, Module
from ds_core.checks import check_floating, shape
from ds_core.kernels import dispatch
from torch import Tensor

from ds_cnn import functional
from ds_cnn.layers.convolution import check_padding

pad, pad_backward = dispatch(functional.pad)


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
    value: float | None = None  # of the new pixels, where the subclass asks for one

    def __init__(self, padding: int | Sequence[int]) -> None:
        four = (padding,) * 4 if isinstance(padding, int) else tuple(padding)
        if len(four) != 4:
            raise ValueError(
                f"{type(self).__name__}: expected padding as one number or (left, right, top, bottom), "
                f"got {padding}"
            )
        self.padding = (four[0], four[1], four[2], four[3])

    def check(self, x: Tensor) -> None:
        """Checks that x is a batch of images, or one, of floating point, and large enough for the padding."""
        if x.dim() not in (3, 4):
            raise ValueError(
                f"{self.label()}: expected input of shape (N, C, H, W) or (C, H, W), got {shape(x)}"
            )
        check_floating(self, x)
        check_padding(self, x, self.padding, self.mode)

    def extra_repr(self) -> str:
        return f"{self.padding}" + ("" if self.value is None else f", value={self.value}")


@final
class ZeroPad2d(Pad2d):
    """Adds pixels of 0 around images; negative numbers cut pixels off.

    y = x inside, 0 outside,   dL/dx = dL/dy inside

    Args and shapes: as for :class:`Pad2d`.
    """

    mode = "zeros"

    def forward(self, input: Tensor) -> Tensor:
        self.check(input)
        y, saved = pad(input, self.padding, self.mode)
        self.save(saved)
        return y

    def backward(self, grad: Tensor) -> InputGrad:
        (saved,) = self.saved()
        return pad_backward(grad, saved) if self.input_grad else None


@final
class ConstantPad2d(Pad2d):
    """Adds pixels of one value around images; negative numbers cut pixels off.

    y = x inside, value outside,   dL/dx = dL/dy inside

    Args:
        padding: pixels (left, right, top, bottom), or one number for all.
        value: of the new pixels.
    """

    mode = "zeros"

    value: float

    def __init__(self, padding: int | Sequence[int], value: float) -> None:
        super().__init__(padding)
        self.value = value

    def forward(self, input: Tensor) -> Tensor:
        self.check(input)
        y, saved = pad(input, self.padding, self.mode, self.value)
        self.save(saved)
        return y

    def backward(self, grad: Tensor) -> InputGrad:
        (saved,) = self.saved()
        return pad_backward(grad, saved) if self.input_grad else None


@final
class ReflectionPad2d(Pad2d):
    """Adds mirror images, with the edge pixel as the mirror: c b | a b c | b a.

    y[i] = x[|i - top|] and so on at the other sides,   dL/dx[source] += dL/dy

    Args and shapes: as for :class:`Pad2d`.
    """

    mode = "reflect"

    def forward(self, input: Tensor) -> Tensor:
        self.check(input)
        y, saved = pad(input, self.padding, self.mode)
        self.save(saved)
        return y

    def backward(self, grad: Tensor) -> InputGrad:
        (saved,) = self.saved()
        return pad_backward(grad, saved) if self.input_grad else None


@final
class ReplicationPad2d(Pad2d):
    """Repeats the edge pixels: a a | a b c | c c.

    y[i] = x[clamp(i - top)],   dL/dx[source] += dL/dy

    Args and shapes: as for :class:`Pad2d`.
    """

    mode = "replicate"

    def forward(self, input: Tensor) -> Tensor:
        self.check(input)
        y, saved = pad(input, self.padding, self.mode)
        self.save(saved)
        return y

    def backward(self, grad: Tensor) -> InputGrad:
        (saved,) = self.saved()
        return pad_backward(grad, saved) if self.input_grad else None


@final
class CircularPad2d(Pad2d):
    """Continues with the other side, as on a torus: b c | a b c | a b.

    y[i] = x[(i - top) mod H],   dL/dx[source] += dL/dy

    Args and shapes: as for :class:`Pad2d`.
    """

    mode = "circular"

    def forward(self, input: Tensor) -> Tensor:
        self.check(input)
        y, saved = pad(input, self.padding, self.mode)
        self.save(saved)
        return y

    def backward(self, grad: Tensor) -> InputGrad:
        (saved,) = self.saved()
        return pad_backward(grad, saved) if self.input_grad else None
