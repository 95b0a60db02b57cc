"""What an algorithm for convolution provides, so that one driver can run them all."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import astuple, dataclass
from typing import Any, Literal, NamedTuple

import torch
from ds_core.kernels import matmul
from ds_core.kernels.matmul import Rates
from torch import Tensor

from ds_cnn.functional.geometry import Geometry

Pass = Literal["forward", "weight", "input"]  # y, or dL/dweight, or dL/dx

BETWEEN = "convolution: between"  # memory for what is needed for a moment, whatever the algorithm

CALL = 5_000.0  # nanoseconds for a call of torch, about

VECTOR = 16  # numbers that lie side by side and are read or multiplied at once, where there are as many


@dataclass(frozen=True)
class Work:
    """What an algorithm does, as if every number lay in full vectors.

    Args:
        flops: operations of products.
        column: operations of them, if each had one column.
        numbers: that are moved.
        calls: of torch.
    """

    flops: float = 0.0
    column: float = 0.0
    numbers: float = 0.0
    calls: float = 0.0

    def __add__(self, other: Work) -> Work:
        return Work(*map(sum, zip(astuple(self), astuple(other), strict=True)))

    def __mul__(self, times: float) -> Work:
        return Work(*(times * part for part in astuple(self)))

    def time(self, machine: Rates) -> float:
        """Returns the nanoseconds that a machine takes for it, about."""
        products = (self.flops + self.column * machine.narrow) / machine.product
        return products + self.numbers / machine.copy + self.calls * CALL


class Passes(NamedTuple):
    """The work of a convolution, and of the gradients of its weights and of its input."""

    forward: Work
    weight: Work
    input: Work


def multiplied(n: int, k: int, m: int) -> Work:
    """Returns the work of a product of ``(n, k)`` and ``(k, m)``."""
    column = 2.0 * (n + VECTOR) * (k + VECTOR)
    return Work(column * m, column)


def moved(numbers: int, side_by_side: int) -> Work:
    """Returns the work of copying or adding numbers, of which so many lie side by side."""
    return Work(numbers=numbers * (1 + VECTOR / side_by_side))


class Algorithm:
    """One fast way to convolve, on images with pixels last: ``(n, H, W, C)``, a block of a batch at a time.

    Last, because then the channels of a pixel lie side by side, a row of a matrix: rows times weights is all
    that a convolution is. The weights are packed first, into the layout or basis in which they are needed.
    """

    needs = ""  # what supports() asks for, in words
    divides = False  # whether it divides the images of a block among the threads

    def supports(self, geometry: Geometry) -> bool:
        """Says whether this algorithm can do convolutions of this geometry."""
        return True

    def workspace(self, geometry: Geometry, channels: int, size: tuple[int, int]) -> int:
        """Returns how many numbers the algorithm lays out for one image; 0 if it works in place."""
        raise NotImplementedError

    def work(self, geometry: Geometry, shape: Sequence[int], kernels: int) -> Passes:
        """Estimates the work of a forward and of either gradient.

        Args:
            geometry: of the convolution.
            shape: of the images, ``(N, C, H, W)``, none of them 0.
            kernels: O.
        """
        raise NotImplementedError

    def pack(self, weight: Tensor, geometry: Geometry) -> Tensor:
        """Returns the weights ``(O, C / groups, *kernel)`` as :meth:`forward` needs them."""
        raise NotImplementedError

    def lay(self, x: Tensor, geometry: Geometry) -> Any:
        """Lays out images, as :meth:`forward` and :meth:`backward_weight` need them.

        It is valid until the next pass; a gradient of the weights leaves it as it is.
        """
        raise NotImplementedError

    def forward(self, laid: Any, packed: Tensor, geometry: Geometry, out: Tensor) -> None:
        """Writes y into ``out``, ``(n, H', W', O)``."""
        raise NotImplementedError

    def pack_for_input(self, weight: Tensor, geometry: Geometry) -> Tensor:
        """Returns the weights as :meth:`backward_input` needs them."""
        return self.pack(weight, geometry)

    def backward_input(self, grad: Tensor, packed: Tensor, geometry: Geometry, out: Tensor) -> None:
        """Writes dL/dx into ``out``, ``(n, H, W, C)``, from dL/dy ``(n, H', W', O)``."""
        raise NotImplementedError

    def backward_weight(
        self, grad: Tensor, laid: Any, geometry: Geometry, total: Tensor | None = None
    ) -> Tensor:
        """Returns the block's share of the gradient of the weights, packed; added to a total, if any."""
        raise NotImplementedError

    def unpack_grad(self, grad_packed: Tensor, geometry: Geometry) -> Tensor:
        """Returns the gradient of the weights ``(O, C / groups, *kernel)`` from the packed one."""
        raise NotImplementedError


def turned(geometry: Geometry) -> Geometry:
    """Returns the geometry, of stride 1, in which positions give back to pixels."""
    padding = [(k - 1 - a, k - 1 - b) for k, (a, b) in zip(geometry.kernel, geometry.padding, strict=True)]
    return Geometry(geometry.kernel, (1, 1), (padding[0], padding[1]))


def half_round(weight: Tensor) -> Tensor:
    """Turns kernels ``(O, C, *kernel)`` half round, so that they give back: ``(C, O, *kernel)``."""
    return weight.flip(2, 3).transpose(0, 1)


def grouped(x: Tensor, groups: int) -> Tensor:
    """Views ``(n, H, W, C)`` as ``(g, positions, C / g)``."""
    return x.reshape(math.prod(x.shape[:3]), groups, -1).transpose(0, 1)


def divided(n: int) -> int:
    """Returns among how many threads n images are divided evenly; 1 if they cannot be."""
    threads = torch.get_num_threads()
    return threads if n % threads == 0 else 1


def product(a: Tensor, b: Tensor, total: Tensor | None = None) -> Tensor:
    """Multiplies the groups' matrices, each with its own: ``(g, n, k)``, ``(g, k, m)`` -> ``(g, n, m)``.

    The products are added to a total, if there is one, in its memory.
    """
    if total is None:
        return matmul.mm(a[0], b[0]).unsqueeze(0) if a.shape[0] == 1 else matmul.bmm(a, b)
    if a.shape[0] == 1:
        matmul.addmm(total[0], a[0], b[0], out=total[0])
        return total
    return matmul.baddbmm(total, a, b, out=total)


def multiply_into(out: Tensor, a: Tensor, b: Tensor) -> None:
    """Writes the groups' products, ``(g, positions, k)`` by ``(g, k, m)``, into ``(n, H, W, g * m)``."""
    if a.shape[0] == 1 and out.is_contiguous():
        matmul.mm(a[0], b[0], out=out.flatten(0, 2))
    else:
        out.copy_(product(a, b).transpose(0, 1).reshape(out.shape))
