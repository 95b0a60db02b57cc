"""Pads: pixels added around images, places added around sequences, as layers."""

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


class Pad(Module):
    """Base of the pads, which put new places around what is there.

    y[i, j] = x[source(i - top), source(j - left)],   dL/dx[source] += dL/dy

    A subclass says in ``layout`` what it takes, sequences ``("C", "L")`` or images ``("C", "H", "W")``, and
    in ``mode`` where the new places come from.

    Args:
        padding: (left, right) for sequences, (left, right, top, bottom) for images, or one number for all.

    Shape:
        x ``(N, C, L)`` or ``(C, L)`` -> the same with ``left + L + right``; x ``(N, C, H, W)`` or
        ``(C, H, W)`` -> the same with ``top + H + bottom`` and ``left + W + right``.

    Raises:
        ValueError: if x has other dimensions, or too few places to be mirrored or repeated.
        TypeError: if x is not floating point, or padding not in whole numbers.
    """

    layout: tuple[str, ...]
    mode: str
    value: float | None = None  # of the new places, where the subclass asks for one

    def __init__(self, padding: int | Sequence[int]) -> None:
        sides = ("left", "right", "top", "bottom")[: 2 * len(self.layout) - 2]
        given = tuple(padding) if isinstance(padding, Sequence) else (padding,) * len(sides)
        numbers = tuple(map(int, given))
        if len(numbers) != len(sides):
            raise ValueError(
                f"{type(self).__name__}: expected padding as one number or ({', '.join(sides)}), "
                f"got {padding}"
            )
        self.padding = numbers
        left, right, top, bottom = (*numbers, 0, 0)[:4]
        self.edges = (left, right, top, bottom)

    def images(self, x: Tensor) -> Tensor:
        """Checks that x is a batch, or one, of floating point, and large enough; gives sequences a row."""
        dims, letters = len(self.layout), ", ".join(self.layout)
        if x.dim() not in (dims, dims + 1):
            raise ValueError(
                f"{self.label()}: expected input of shape (N, {letters}) or ({letters}), got {shape(x)}"
            )
        check_floating(self, x)
        images = x.unsqueeze(-2) if dims == 2 else x
        check_padding(self, x, (images.shape[-2], images.shape[-1]), self.edges, self.mode)
        return images

    def extra_repr(self) -> str:
        return f"{self.padding}" + ("" if self.value is None else f", value={self.value}")


@final
class ZeroPad2d(Pad):
    """Adds pixels of 0 around images; negative numbers cut pixels off.

    y = x inside, 0 outside,   dL/dx = dL/dy inside

    Args and shapes: as for :class:`Pad`.
    """

    layout = ("C", "H", "W")
    mode = "zeros"

    def forward(self, input: Tensor) -> Tensor:
        y, saved = pad(self.images(input), self.edges, self.mode)
        self.save(saved)
        return y

    def backward(self, grad: Tensor) -> InputGrad:
        (saved,) = self.saved()
        return pad_backward(grad, saved) if self.input_grad else None


@final
class ConstantPad2d(Pad):
    """Adds pixels of one value around images; negative numbers cut pixels off.

    y = x inside, value outside,   dL/dx = dL/dy inside

    Args:
        padding: pixels (left, right, top, bottom), or one number for all.
        value: of the new pixels.
    """

    layout = ("C", "H", "W")
    mode = "zeros"

    value: float

    def __init__(self, padding: int | Sequence[int], value: float) -> None:
        super().__init__(padding)
        self.value = value

    def forward(self, input: Tensor) -> Tensor:
        y, saved = pad(self.images(input), self.edges, self.mode, self.value)
        self.save(saved)
        return y

    def backward(self, grad: Tensor) -> InputGrad:
        (saved,) = self.saved()
        return pad_backward(grad, saved) if self.input_grad else None


@final
class ReflectionPad2d(Pad):
    """Adds mirror images, with the edge pixel as the mirror: c b | a b c | b a.

    y[i] = x[|i - top|] and so on at the other sides,   dL/dx[source] += dL/dy

    Args and shapes: as for :class:`Pad`.
    """

    layout = ("C", "H", "W")
    mode = "reflect"

    def forward(self, input: Tensor) -> Tensor:
        y, saved = pad(self.images(input), self.edges, self.mode)
        self.save(saved)
        return y

    def backward(self, grad: Tensor) -> InputGrad:
        (saved,) = self.saved()
        return pad_backward(grad, saved) if self.input_grad else None


@final
class ReplicationPad2d(Pad):
    """Repeats the edge pixels: a a | a b c | c c.

    y[i] = x[clamp(i - top)],   dL/dx[source] += dL/dy

    Args and shapes: as for :class:`Pad`.
    """

    layout = ("C", "H", "W")
    mode = "replicate"

    def forward(self, input: Tensor) -> Tensor:
        y, saved = pad(self.images(input), self.edges, self.mode)
        self.save(saved)
        return y

    def backward(self, grad: Tensor) -> InputGrad:
        (saved,) = self.saved()
        return pad_backward(grad, saved) if self.input_grad else None


@final
class CircularPad2d(Pad):
    """Continues with the other side, as on a torus: b c | a b c | a b.

    y[i] = x[(i - top) mod H],   dL/dx[source] += dL/dy

    Args and shapes: as for :class:`Pad`.
    """

    layout = ("C", "H", "W")
    mode = "circular"

    def forward(self, input: Tensor) -> Tensor:
        y, saved = pad(self.images(input), self.edges, self.mode)
        self.save(saved)
        return y

    def backward(self, grad: Tensor) -> InputGrad:
        (saved,) = self.saved()
        return pad_backward(grad, saved) if self.input_grad else None


# ---- sequences: images with one row ----------------------------------------------------------------------


@final
class ZeroPad1d(Pad):
    """Adds places of 0 around sequences; negative numbers cut places off.

    y = x inside, 0 outside,   dL/dx = dL/dy inside

    Args and shapes: as for :class:`Pad`.
    """

    layout = ("C", "L")
    mode = "zeros"

    def forward(self, input: Tensor) -> Tensor:
        y, saved = pad(self.images(input), self.edges, self.mode)
        self.save(saved)
        return y.squeeze(-2)

    def backward(self, grad: Tensor) -> InputGrad:
        (saved,) = self.saved()
        return pad_backward(grad.unsqueeze(-2), saved).squeeze(-2) if self.input_grad else None


@final
class ConstantPad1d(Pad):
    """Adds places of one value around sequences; negative numbers cut places off.

    y = x inside, value outside,   dL/dx = dL/dy inside

    Args:
        padding: places (left, right), or one number for both.
        value: of the new places.
    """

    layout = ("C", "L")
    mode = "zeros"

    value: float

    def __init__(self, padding: int | Sequence[int], value: float) -> None:
        super().__init__(padding)
        self.value = value

    def forward(self, input: Tensor) -> Tensor:
        y, saved = pad(self.images(input), self.edges, self.mode, self.value)
        self.save(saved)
        return y.squeeze(-2)

    def backward(self, grad: Tensor) -> InputGrad:
        (saved,) = self.saved()
        return pad_backward(grad.unsqueeze(-2), saved).squeeze(-2) if self.input_grad else None


@final
class ReflectionPad1d(Pad):
    """Adds mirror images, with the last place as the mirror: c b | a b c | b a.

    y[i] = x[|i - left|] and so on at the end,   dL/dx[source] += dL/dy

    Args and shapes: as for :class:`Pad`.
    """

    layout = ("C", "L")
    mode = "reflect"

    def forward(self, input: Tensor) -> Tensor:
        y, saved = pad(self.images(input), self.edges, self.mode)
        self.save(saved)
        return y.squeeze(-2)

    def backward(self, grad: Tensor) -> InputGrad:
        (saved,) = self.saved()
        return pad_backward(grad.unsqueeze(-2), saved).squeeze(-2) if self.input_grad else None


@final
class ReplicationPad1d(Pad):
    """Repeats the first and the last place: a a | a b c | c c.

    y[i] = x[clamp(i - left)],   dL/dx[source] += dL/dy

    Args and shapes: as for :class:`Pad`.
    """

    layout = ("C", "L")
    mode = "replicate"

    def forward(self, input: Tensor) -> Tensor:
        y, saved = pad(self.images(input), self.edges, self.mode)
        self.save(saved)
        return y.squeeze(-2)

    def backward(self, grad: Tensor) -> InputGrad:
        (saved,) = self.saved()
        return pad_backward(grad.unsqueeze(-2), saved).squeeze(-2) if self.input_grad else None


@final
class CircularPad1d(Pad):
    """Continues with the other end, as on a ring: b c | a b c | a b.

    y[i] = x[(i - left) mod L],   dL/dx[source] += dL/dy

    Args and shapes: as for :class:`Pad`.
    """

    layout = ("C", "L")
    mode = "circular"

    def forward(self, input: Tensor) -> Tensor:
        y, saved = pad(self.images(input), self.edges, self.mode)
        self.save(saved)
        return y.squeeze(-2)

    def backward(self, grad: Tensor) -> InputGrad:
        (saved,) = self.saved()
        return pad_backward(grad.unsqueeze(-2), saved).squeeze(-2) if self.input_grad else None
