"""Winograd's convolution: fewer multiplications for 3x3 kernels, through two changes of basis."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import cache

import torch
from ds_core.kernels import branch, matmul
from ds_core.kernels.elementary import parts
from ds_core.kernels.scratch import scratch
from torch import Tensor

from ds_cnn.functional.geometry import Geometry
from ds_cnn.kernels.convolution.algorithm import Algorithm, Work, moved, multiplied
from ds_cnn.kernels.images import canvas

KERNEL = 3
TILE = 4  # outputs along each side of a tile: 16 of them by 36 multiplications instead of 144
PATCH = TILE + KERNEL - 1  # inputs along each side that a tile sees

# So many numbers of kernels in the other basis are in memory at once, about. They are four times as many as
# the weights, and large new memory costs more time than changing the basis.
PART = 2_400_000

# Where the polynomials of the method are evaluated, besides infinity. The usual 0, +-1, +-2 need no
# multiplications; as the changes of basis are matrix products here, they cost the same for any numbers, and
# these keep the rounding error of float32 five times smaller.
POINTS = (0.0, 0.5**0.5, -(0.5**0.5), 2**0.5, -(2**0.5))


class Winograd(Algorithm):
    """Computes 4x4 outputs at a time by multiplying in a basis in which convolution is a product of numbers.

    In one dimension, two polynomials are multiplied by multiplying their values at enough points. A tile of
    outputs is the transpose of that: with d the 6x6 inputs it sees and w a kernel,

    y = A^T [(G w G^T) * (B^T d B)] A

    Every change of basis acts on all channels alike, so on d laid out as (36, tiles * channels) it is the one
    matrix product (B^T kron B^T) d. In between, each of the 36 numbers is multiplied with the weights by
    itself: 36 matrix products over the channels, for all tiles of all images.

    The gradient of the input is a convolution again, by the kernel turned half round; that of the weights
    walks the formula backwards: dL/dw = G^T [sum over tiles of (A dL/dy A^T) * (B^T d B)] G.

    Source: Lavin, Gray, Fast Algorithms for Convolutional Neural Networks (2016), section 4.
    """

    needs = "kernel_size 3, stride 1, dilation 1 and groups 1"

    def supports(self, geometry: Geometry) -> bool:
        plain = geometry.stride == (1, 1) and geometry.dilation == (1, 1) and geometry.groups == 1
        return plain and geometry.kernel == (KERNEL, KERNEL)

    def workspace(self, geometry: Geometry, channels: int, size: tuple[int, int]) -> int:
        height, width = _tiles(geometry.output_size(size))
        return PATCH * PATCH * height * width * channels

    def work(self, geometry: Geometry, shape: Sequence[int], kernels: int) -> Work:
        n, channels, *size = shape
        tiles, places = n * math.prod(_tiles(geometry.output_size(size))), PATCH * PATCH
        seen, given = (
            2 * channels + kernels,
            2 * kernels + channels,
        )  # of x twice, of dL/dy once; the other way
        products = multiplied(tiles, channels, kernels) * (3 * places)
        changes = multiplied(tiles * seen, places, places) + multiplied(tiles * given, places, TILE * TILE)
        weights = (
            multiplied(channels * kernels, places, KERNEL * KERNEL)
            + Work(numbers=3 * places * channels * kernels)
        ) * 3
        laid = moved(2 * channels * places, channels) + moved(kernels * places, kernels)
        laid += moved(TILE * TILE * channels, channels) + moved(2 * TILE * TILE * kernels, kernels)
        laid += Work(numbers=places * (seen + channels + kernels))
        return products + changes + weights + laid * (2 * tiles)  # read, and written

    def pack(self, weight: Tensor, geometry: Geometry) -> Tensor:
        return weight if _many(*weight.shape[:2]) else _kernels(weight).mT  # (36, C, O)

    def forward(self, x: Tensor, packed: Tensor, geometry: Geometry) -> Tensor:
        size, (top, left) = geometry.output_size(x.shape[1:3]), _corner(geometry)
        patches = _patches(x, (top, left), _tiles(size))  # (36, tiles, C)
        products = _products(patches, packed) if packed.dim() == 3 else _products_in_parts(patches, packed)
        return _from_tiles(products, len(x), size)

    def pack_for_input(self, weight: Tensor, geometry: Geometry) -> Tensor:
        return weight if _many(*weight.shape[:2]) else _kernels(weight, turned=True)  # (36, O, C)

    def backward_input(
        self, grad: Tensor, packed: Tensor, geometry: Geometry, size: tuple[int, int]
    ) -> Tensor:
        top, left = _corner(geometry)
        patches = _patches(grad, (KERNEL - 1 - top, KERNEL - 1 - left), _tiles(size))  # (36, tiles, O)
        many = packed.dim() == 4
        products = _products_in_parts(patches, packed, turned=True) if many else _products(patches, packed)
        return _from_tiles(products, len(grad), size)

    def backward_weight(self, grad: Tensor, x: Tensor, geometry: Geometry) -> Tensor:
        height, width = _tiles(grad.shape[1:3])
        patches = _patches(x, _corner(geometry), (height, width))  # (36, tiles, C)
        placed = canvas(grad, (0, 0), (height * TILE, width * TILE))
        tiles = placed.view(len(grad), height, TILE, width, TILE, -1).permute(2, 4, 0, 1, 3, 5)
        laid = scratch("winograd: laid", tiles.shape, grad).copy_(tiles).view(TILE * TILE, -1)
        spread = _changed("spread", basis("A", grad), laid).view(PATCH * PATCH, -1, grad.shape[-1])
        if not _many(spread.shape[2], patches.shape[2]):
            return _products(spread.mT, patches)  # (36, O, C)
        grad_weight = grad.new_empty(spread.shape[2], patches.shape[2], KERNEL, KERNEL)
        for some in parts(len(grad_weight), PATCH * PATCH * patches.shape[2], PART):
            grad_weight[some] = _weights(_products(spread[:, :, some].mT, patches))
        return grad_weight

    def unpack_grad(self, grad_packed: Tensor, geometry: Geometry) -> Tensor:
        return grad_packed if grad_packed.dim() == 4 else _weights(grad_packed)


def _corner(geometry: Geometry) -> tuple[int, int]:
    """Returns where the image begins in the padded one: (top, left)."""
    return geometry.padding[0][0], geometry.padding[1][0]


def _patches(x: Tensor, offset: tuple[int, int], tiles: tuple[int, int]) -> Tensor:
    """Cuts images into the overlapping 6x6 patches that the tiles see, and changes their basis.

    Shape:
        x ``(n, H, W, C)``, which begins at row and column ``offset`` -> ``(36, n * tiles, C)``.
    """
    height, width = tiles
    placed = canvas(x, offset, (height * TILE + KERNEL - 1, width * TILE + KERNEL - 1))
    image, row, column, channel = placed.stride()
    patches = torch.as_strided(
        placed,
        (PATCH, PATCH, len(x), height, width, x.shape[3]),
        (row, column, image, TILE * row, TILE * column, channel),
        placed.storage_offset(),
    )
    laid = scratch("winograd: laid", patches.shape, x).copy_(patches).view(PATCH * PATCH, -1)
    return _changed("patches", basis("B^T", x), laid).view(PATCH * PATCH, -1, x.shape[3])


def _from_tiles(products: Tensor, n: int, size: tuple[int, int]) -> Tensor:
    """Changes the basis back and puts the 4x4 tiles together, without what hangs over the edge.

    Shape:
        products ``(36, n * tiles, O)`` -> ``(n, *size, O)``.
    """
    height, width = _tiles(size)
    tiles = _changed("patches", basis("A", products).T, products.flatten(1))  # the patches are needed no more
    images = tiles.view(TILE, TILE, n, height, width, products.shape[2]).permute(2, 3, 0, 4, 1, 5)
    images = images.clone(memory_format=torch.contiguous_format)
    return images.view(n, height * TILE, width * TILE, products.shape[2])[:, : size[0], : size[1]]


def _changed(name: str, matrix: Tensor, x: Tensor) -> Tensor:
    """Changes the basis of the columns of x, in memory of a name."""
    return matmul.mm(matrix, x, out=scratch(f"winograd: {name}", (matrix.shape[0], x.shape[1]), x))


def _products(a: Tensor, b: Tensor) -> Tensor:
    """Multiplies the 36 pairs of matrices, in the memory of what was laid out, which is needed no more."""
    return matmul.bmm(a, b, out=scratch("winograd: laid", (len(a), a.shape[1], b.shape[2]), a))


def _products_in_parts(patches: Tensor, weight: Tensor, turned: bool = False) -> Tensor:
    """Does the same with kernels ``(O, C, 3, 3)``, the basis of some of which is changed at a time.

    Args:
        patches: ``(36, tiles, C)``, or ``(36, tiles, O)`` if ``turned``.
        weight: W.
        turned: whether kernels are turned half round, and lead from O to C.
    """
    along = int(turned)  # the dimension of W that becomes that of the products
    products = scratch("winograd: laid", (*patches.shape[:2], weight.shape[along]), patches)
    memory = None  # of the first part, which is the largest
    for some in parts(weight.shape[along], PATCH * PATCH * patches.shape[2], PART):
        kernels = _kernels(weight.narrow(along, some.start, some.stop - some.start), turned, memory)
        matmul.bmm(patches, kernels if turned else kernels.mT, out=products[:, :, some])
        memory = kernels if memory is None else memory
    return products


def _weights(grad: Tensor) -> Tensor:
    """Changes the basis of kernels' gradients back: ``(36, O, C)`` -> ``(O, C, 3, 3)``."""
    grad_weight = matmul.mm(basis("G", grad).T, grad.flatten(1))  # (9, O * C)
    return grad_weight.T.unflatten(0, grad.shape[1:]).unflatten(2, (KERNEL, KERNEL))


def _many(kernels: int, channels: int) -> bool:
    """Says whether kernels in the other basis would be too many numbers to hold them all."""
    many = PATCH * PATCH * kernels * channels > PART
    branch(f"ConvolutionKernel: winograd, {'some kernels' if many else 'all kernels'} at a time")
    return many


def _kernels(weight: Tensor, turned: bool = False, memory: Tensor | None = None) -> Tensor:
    """Changes the basis of kernels: ``(O, C, 3, 3)`` -> ``(36, O, C)``, in memory of as many numbers or more.

    Those turned half round are seen from the last of their nine numbers to the first.
    """
    matrix = basis("G", weight).flip(1) if turned else basis("G", weight)
    rows, shape = weight.reshape(-1, KERNEL * KERNEL), (PATCH * PATCH, *weight.shape[:2])
    out = None if memory is None else memory.view(-1)[: math.prod(shape)].view(len(matrix), -1)
    return matmul.mm(matrix, rows.T, out=out).view(shape)


def _tiles(size: tuple[int, int] | torch.Size) -> tuple[int, int]:
    """Returns how many tiles cover an output of (height, width)."""
    return -(-size[0] // TILE), -(-size[1] // TILE)


def _powers(coefficients: int) -> list[list[float]]:
    """Returns the matrix that evaluates a polynomial, given by its coefficients, at the points.

    Its value at p is the product with (1, p, p^2, ...); at infinity, it is the last coefficient.
    """
    infinity = [0.0] * (coefficients - 1) + [1.0]
    return [[point**k for k in range(coefficients)] for point in POINTS] + [infinity]


def _interpolation() -> list[list[float]]:
    """Returns, a row per point, the polynomials from whose sum values at the points give a polynomial back.

    For a finite point p it is Lagrange's: 1 at p, 0 at the other points. For infinity it is 0 at all of them.
    """

    def vanishing(roots: list[float]) -> list[float]:
        coefficients = [1.0]
        for root in roots:  # times (x - root)
            shifted, scaled = [0.0, *coefficients], [*coefficients, 0.0]
            coefficients = [a - root * b for a, b in zip(shifted, scaled, strict=True)]
        return coefficients

    rows = []
    for point in POINTS:
        others = [other for other in POINTS if other != point]
        height = math.prod(point - other for other in others)
        rows.append([c / height for c in vanishing(others)] + [0.0])
    return [*rows, vanishing(list(POINTS))]


_MATRICES = {"G": _powers(KERNEL), "A": _powers(TILE), "B^T": _interpolation()}


@cache
def _twice(name: str, dtype: torch.dtype, device: torch.device) -> Tensor:
    """Returns M kron M, which changes the basis along rows and columns at once."""
    matrix = torch.tensor(_MATRICES[name], dtype=torch.float64)
    both = matrix[:, None, :, None] * matrix[None, :, None, :]
    return both.reshape(len(matrix) ** 2, -1).to(device, dtype)


def basis(name: str, like: Tensor) -> Tensor:
    """Returns a change of basis for both dimensions at once, of the dtype and on the device of ``like``.

    Args:
        name: "G" for kernels ``(36, 9)``, "B^T" for patches ``(36, 36)``, "A" for tiles ``(36, 16)``.
        like: any tensor.
    """
    return _twice(name, like.dtype, like.device)
