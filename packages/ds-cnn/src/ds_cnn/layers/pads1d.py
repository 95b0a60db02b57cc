"""Pads of sequences: places added before and after them."""

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


class Pad1d(Module):
    """Base of the pads of sequences: y[i] = x[source(i - left)], dL/dx[source] += dL/dy.

    A subclass says in ``mode`` where the new places come from.

    Args:
        padding: places (left, right), or one number for both.

    Shape:
        x ``(N, C, L)`` or ``(C, L)`` -> the same with ``left + L + right``.

    Raises:
        ValueError: if x has other dimensions, or is too short to be mirrored or repeated.
        TypeError: if x is not floating point.
    """

    mode: str
    value: float | None = None  # of the new places, where the subclass asks for one

    def __init__(self, padding: int | Sequence[int]) -> None:
        both = (padding,) * 2 if isinstance(padding, int) else tuple(padding)
        if len(both) != 2:
            raise ValueError(
                f"{type(self).__name__}: expected padding as one number or (left, right), got {padding}"
            )
        self.padding = (both[0], both[1], 0, 0)

    def check(self, x: Tensor) -> None:
        """Checks that x is a batch of sequences, or one, of floating point, and long enough."""
        if x.dim() not in (2, 3):
            raise ValueError(f"{self.label()}: expected input of shape (N, C, L) or (C, L), got {shape(x)}")
        check_floating(self, x)
        check_padding(self, x.unsqueeze(-2), self.padding, self.mode)

    def extra_repr(self) -> str:
        return f"{self.padding[:2]}" + ("" if self.value is None else f", value={self.value}")


@final
class ZeroPad1d(Pad1d):
    """Adds places of 0 around sequences; negative numbers cut places off.

    y = x inside, 0 outside,   dL/dx = dL/dy inside

    Args and shapes: as for :class:`Pad1d`.
    """

    mode = "zeros"

    def forward(self, input: Tensor) -> Tensor:
        self.check(input)
        y, saved = pad(input.unsqueeze(-2), self.padding, self.mode)
        self.save(saved)
        return y.squeeze(-2)

    def backward(self, grad: Tensor) -> InputGrad:
        (saved,) = self.saved()
        return pad_backward(grad.unsqueeze(-2), saved).squeeze(-2) if self.input_grad else None


@final
class ConstantPad1d(Pad1d):
    """Adds places of one value around sequences; negative numbers cut places off.

    y = x inside, value outside,   dL/dx = dL/dy inside

    Args:
        padding: places (left, right), or one number for both.
        value: of the new places.
    """

    mode = "zeros"

    value: float

    def __init__(self, padding: int | Sequence[int], value: float) -> None:
        super().__init__(padding)
        self.value = value

    def forward(self, input: Tensor) -> Tensor:
        self.check(input)
        y, saved = pad(input.unsqueeze(-2), self.padding, self.mode, self.value)
        self.save(saved)
        return y.squeeze(-2)

    def backward(self, grad: Tensor) -> InputGrad:
        (saved,) = self.saved()
        return pad_backward(grad.unsqueeze(-2), saved).squeeze(-2) if self.input_grad else None


@final
class ReflectionPad1d(Pad1d):
    """Adds mirror images, with the last place as the mirror: c b | a b c | b a.

    y[i] = x[|i - left|] and so on at the end,   dL/dx[source] += dL/dy

    Args and shapes: as for :class:`Pad1d`.
    """

    mode = "reflect"

    def forward(self, input: Tensor) -> Tensor:
        self.check(input)
        y, saved = pad(input.unsqueeze(-2), self.padding, self.mode)
        self.save(saved)
        return y.squeeze(-2)

    def backward(self, grad: Tensor) -> InputGrad:
        (saved,) = self.saved()
        return pad_backward(grad.unsqueeze(-2), saved).squeeze(-2) if self.input_grad else None


@final
class ReplicationPad1d(Pad1d):
    """Repeats the first and the last place: a a | a b c | c c.

    y[i] = x[clamp(i - left)],   dL/dx[source] += dL/dy

    Args and shapes: as for :class:`Pad1d`.
    """

    mode = "replicate"

    def forward(self, input: Tensor) -> Tensor:
        self.check(input)
        y, saved = pad(input.unsqueeze(-2), self.padding, self.mode)
        self.save(saved)
        return y.squeeze(-2)

    def backward(self, grad: Tensor) -> InputGrad:
        (saved,) = self.saved()
        return pad_backward(grad.unsqueeze(-2), saved).squeeze(-2) if self.input_grad else None


@final
class CircularPad1d(Pad1d):
    """Continues with the other end, as on a ring: b c | a b c | a b.

    y[i] = x[(i - left) mod L],   dL/dx[source] += dL/dy

    Args and shapes: as for :class:`Pad1d`.
    """

    mode = "circular"

    def forward(self, input: Tensor) -> Tensor:
        self.check(input)
        y, saved = pad(input.unsqueeze(-2), self.padding, self.mode)
        self.save(saved)
        return y.squeeze(-2)

    def backward(self, grad: Tensor) -> InputGrad:
        (saved,) = self.saved()
        return pad_backward(grad.unsqueeze(-2), saved).squeeze(-2) if self.input_grad else None
