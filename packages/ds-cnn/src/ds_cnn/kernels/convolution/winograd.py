"""Winograd's convolution: fewer multiplications for small kernels, through two changes of basis."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import cache
from typing import NamedTuple

import torch
from ds_core.kernels import branch, matmul
from ds_core.kernels.elementary import parts
from ds_core.kernels.scratch import LARGEST, scratch
from torch import Tensor

from ds_cnn.functional.geometry import Geometry
from ds_cnn.kernels.convolution.algorithm import BETWEEN, Algorithm, Passes, Work, divided, moved, multiplied
from ds_cnn.kernels.convolution.driver import space
from ds_cnn.kernels.images import canvas

# Kernels in the other basis are up to sixteen times as many numbers as the weights. If they are more than
# MANY, the basis of some is changed at a time, and again for each block of images; those are about LARGEST
# numbers, whose memory is kept from call to call.
MANY = 2 * LARGEST

# Where the polynomials of the method are evaluated, besides infinity, by how many points there are. The usual
# 0, +-1, +-2 need no multiplications; as the changes of basis are matrix products here, they cost the same
# for any numbers, and these keep the rounding error of float32 small: ten times that of a plain sum, with
# eight points forty times.
POINTS = {
    4: (0.0, 1.0, -1.0),
    5: (0.0, 0.5**0.5, -(0.5**0.5), 2.0),
    6: (0.0, 0.5**0.5, -(0.5**0.5), 2**0.5, -(2**0.5)),
    8: (0.0, 0.5, -0.5, 1.0, -1.0, 2.0, -2.0),
}


# From tiles of this size on a block has so few that the threads divide the products among them instead of the
# images: each then reads its part of the weights once, rather than all of them for half of the tiles.
LARGE = 7


class Tiling(NamedTuple):
    """Sizes along one side: outputs of a tile, and pixels or cells of the kernel."""

    tile: int
    kernel: int

    @property
    def patch(self) -> int:
        """How many pixels or cells a tile sees."""
        return self.tile + self.kernel - 1

    def tiles(self, size: Sequence[int]) -> tuple[int, int]:
        """Returns how many tiles cover an output of (height, width)."""
        return -(-size[0] // self.tile), -(-size[1] // self.tile)

    def threads(self, n: int) -> int:
        """Returns among how many threads n images are divided."""
        return divided(n) if self.tile < LARGE else 1


class Winograd(Algorithm):
    """Computes a tile of outputs at a time in a basis in which convolution is a product of numbers.

    In one dimension, two polynomials are multiplied by multiplying their values at enough points. A tile of
    outputs is the transpose of that: with d the inputs it sees and w a kernel,

    y = A^T [(G w G^T) * (B^T d B)] A

    A tile of 4x4 outputs and a kernel of 3x3 pixels take 36 multiplications instead of 144. A kernel of twice
    its stride moves by one on cells of stride x stride pixels, of which it covers 2x2: 25 instead of 64.

    Every change of basis acts on all channels alike: on d laid out as (6, 6, tiles * channels) it is one
    matrix product for the rows and one for the columns. In between, each of the 36 numbers is multiplied with
    the weights by itself: 36 matrix products over the channels of a cell, for all tiles of all images.

    The images are divided among the threads before anything is laid out: (threads, 6, 6, tiles * channels).
    Each thread then changes the basis of what it laid out itself, which lies in its own cache.

    The gradient of the input is a convolution again, by the kernel turned half round; that of the weights
    walks the formula backwards: dL/dw = G^T [sum over tiles of (A dL/dy A^T) * (B^T d B)] G. So does that of
    the input where one tile has all outputs, and no two patches overlap:
    dL/dd = B [(G w G^T) * (A dL/dy A^T)] B^T.

    Args:
        tile: outputs along each side of a tile.

    Source: Lavin, Gray, Fast Algorithms for Convolutional Neural Networks (2016), section 4.
    """

    def __init__(self, tile: int) -> None:
        self.tile, self.divides = tile, tile < LARGE
        self.pixels = Tiling(tile, 3).patch in POINTS  # whether kernels of 3x3 pixels have their points
        cells = "a kernel_size of twice the stride, dilation 1 and groups 1"
        self.needs = f"kernel_size 3 and stride 1, or {cells}" if self.pixels else cells

    def supports(self, geometry: Geometry) -> bool:
        plain = geometry.dilation == (1, 1) and geometry.groups == 1
        pixels = self.pixels and geometry.kernel == (3, 3) and geometry.stride == (1, 1)
        cells = all(k == 2 * s for k, s in zip(geometry.kernel, geometry.stride, strict=True))
        return plain and (pixels or cells)

    def _tiling(self, geometry: Geometry) -> Tiling:
        return Tiling(self.tile, geometry.kernel[0] // geometry.stride[0])

    def workspace(self, geometry: Geometry, channels: int, size: tuple[int, int]) -> int:
        tiling = self._tiling(geometry)
        tiles = math.prod(tiling.tiles(geometry.output_size(size)))
        return tiling.patch**2 * tiles * channels * math.prod(geometry.stride)

    def work(self, geometry: Geometry, shape: Sequence[int], kernels: int) -> Passes:
        tiling = self._tiling(geometry)
        n, channels, *size = shape
        height, width = geometry.output_size(size)
        cell, places = channels * math.prod(geometry.stride), tiling.patch**2
        run = channels * geometry.stride[1]  # numbers of a cell that lie side by side in an image
        beyond = tiling.kernel - 1 if cell > channels else 0
        seen = n * math.prod(tiling.tiles((height, width)))
        given = n * math.prod(tiling.tiles((height + beyond, width + beyond)))  # for the image's gradient

        room = space(kernels * channels * math.prod(geometry.kernel))
        packed = Work(numbers=8.0 * places * cell * kernels, calls=12)
        weights = _change(tiling.kernel, tiling.patch, cell * kernels) + packed

        def one(tiles: int, a: int, b: int, run_a: int, run_b: int, *, back: bool = False) -> Work:
            """Estimates a convolution from a to b numbers, of patches to tiles, or back."""
            before, after = (tiling.tile, tiling.patch) if back else (tiling.patch, tiling.tile)
            laid, given = moved(2 * before**2 * a, run_a), moved(2 * after**2 * b, run_b)
            changes = _change(before, tiling.patch, a) + _change(tiling.patch, after, b)
            rows = min(tiles, max(1, room // (places * a)))  # of one product, in a block of images
            products = multiplied(rows, a, b) * (places * tiles / rows)
            often = math.ceil(tiles / rows) if places * cell * kernels > MANY else 1
            return products + (laid + changes + given) * tiles + weights * often

        forward = one(seen, cell, kernels, run, kernels)  # the gradient of the weights is much like it
        if seen == n:  # one tile has all outputs
            return Passes(forward, forward, one(n, kernels, cell, kernels, run, back=True))
        return Passes(forward, forward, one(given, kernels, cell, kernels, run))

    def pack(self, weight: Tensor, geometry: Geometry) -> Tensor:
        return _packed(self._tiling(geometry), _by_cell(weight, geometry).flatten(3))

    def lay(self, x: Tensor, geometry: Geometry) -> Tensor:
        """Lays out patches in the other basis: ``(threads, 36, n / threads * tiles, cell)``."""
        tiling, ((top, _), (left, _)) = self._tiling(geometry), geometry.padding
        tiles = tiling.tiles(geometry.output_size(x.shape[1:3]))
        return _patches(tiling, x, (top, left), tiles, geometry.stride)

    def forward(self, laid: Tensor, packed: Tensor, geometry: Geometry, out: Tensor) -> None:
        tiling = self._tiling(geometry)
        products, tiles = _convolved(tiling, laid, packed), tiling.tiles(out.shape[1:3])
        _from_tiles(basis("A", tiling, out).T, products, tiles, (1, 1), (0, 0), out)

    def pack_for_input(self, weight: Tensor, geometry: Geometry) -> Tensor:
        return _packed(self._tiling(geometry), _by_cell(weight, geometry).flatten(3), turned=True)

    def backward_input(self, grad: Tensor, packed: Tensor, geometry: Geometry, out: Tensor) -> None:
        tiling, ((top, _), (left, _)) = self._tiling(geometry), geometry.padding
        alone = tiling.tiles(grad.shape[1:3]) == (1, 1)
        branch(f"ConvolutionKernel: winograd, {'one tile' if alone else 'several tiles'}")
        if alone:  # all is turned half round, as the kernels are
            spread = _spread(tiling, grad, "patches", turned=True)
            products = _convolved(tiling, spread, packed, turned=True)
            back = basis("B^T", tiling, grad).flip(1).T
            _from_tiles(back, products, (1, 1), geometry.stride, (-top, -left), out)
            return
        beyond = tiling.kernel - 1  # so far off are positions that saw a pixel or cell
        plain = geometry.stride == (1, 1)
        offset = (beyond - top, beyond - left) if plain else (beyond, beyond)
        tiles = tiling.tiles(out.shape[1:3] if plain else (grad.shape[1] + beyond, grad.shape[2] + beyond))
        products = _convolved(tiling, _patches(tiling, grad, offset, tiles, (1, 1)), packed, turned=True)
        first = (0, 0) if plain else (-top, -left)  # cells are of the padding, too
        _from_tiles(basis("A", tiling, grad).T, products, tiles, geometry.stride, first, out)

    def backward_weight(
        self, grad: Tensor, laid: Tensor, geometry: Geometry, total: Tensor | None = None
    ) -> Tensor:
        tiling = self._tiling(geometry)
        spread = _spread(tiling, grad, "spread")
        kernels, cell = grad.shape[-1], laid.shape[3]
        if not _many(tiling, kernels * cell):
            return _weighted(spread, laid, total)  # (36, O, cell)
        channels = cell // math.prod(geometry.stride)
        grad_weight = grad.new_zeros(kernels, channels, *geometry.kernel) if total is None else total
        by_cell = _by_cell(grad_weight, geometry)
        for some in parts(kernels, laid.shape[1] * cell, LARGEST):
            share = _weighted(spread[..., some], laid, None, "between")
            part = by_cell[:, :, some]
            part += _weights(tiling, share, "kernels").view(part.shape)
        return grad_weight

    def unpack_grad(self, grad_packed: Tensor, geometry: Geometry) -> Tensor:
        if grad_packed.dim() == 4:
            return grad_packed
        grad_weight = _weights(self._tiling(geometry), grad_packed, "patches")
        by_cell = grad_weight.unflatten(3, (*geometry.stride, -1))  # (a, b, O, i, j, C)
        by_kernel = by_cell.permute(2, 0, 3, 1, 4, 5).reshape(len(by_cell[0, 0]), -1, by_cell.shape[-1])
        return by_kernel.mT.unflatten(2, geometry.kernel)  # the channels, side by side, are moved last


def _by_cell(weight: Tensor, geometry: Geometry) -> Tensor:
    """Views weights ``(O, C, *kernel)`` by cells and by pixels of a cell: ``(a, b, O, i, j, C)``."""
    down, right = geometry.stride
    return weight.unflatten(3, (-1, right)).unflatten(2, (-1, down)).permute(2, 4, 0, 3, 5, 1)


def _packed(tiling: Tiling, weight: Tensor, turned: bool = False) -> Tensor:
    """Changes the basis of kernels ``(a, b, O, cell)``, unless they are many; for products from the right.

    Returns:
        ``(36, cell, O)``, or ``(36, O, cell)`` if ``turned``; of many, the kernels as they were.
    """
    if _many(tiling, weight[0, 0].numel()):
        return weight
    kernels = _kernels(tiling, weight, turned, "between", "kernels")
    return kernels if turned else kernels.mT


def _patches(
    tiling: Tiling, x: Tensor, offset: tuple[int, int], tiles: tuple[int, int], cell: tuple[int, int]
) -> Tensor:
    """Cuts images into the overlapping patches that the tiles see, and changes their basis.

    Args:
        tiling: sizes.
        x: ``(n, H, W, C)``.
        offset: row and column of its first pixel.
        tiles: how many, (down, across).
        cell: pixels of a cell, (down, right).

    Returns:
        ``(threads, 36, n / threads * tiles, cell)``.
    """
    (height, width), (down, right), patch = tiles, cell, tiling.patch
    beyond = tiling.kernel - 1
    size = (height * tiling.tile + beyond) * down, (width * tiling.tile + beyond) * right
    placed = canvas(x, offset, size, memory=BETWEEN)
    image, row, column, channel = placed.stride()
    threads = tiling.threads(x.shape[0])
    each = x.shape[0] // threads
    patches = torch.as_strided(
        placed,
        (threads, patch, patch, each, height, width, down, right, x.shape[3]),
        (
            *(each * image, down * row, right * column),
            *(image, tiling.tile * down * row, tiling.tile * right * column),
            *(row, column, channel),
        ),
        placed.storage_offset(),
    )
    laid = _scratch("patches", patches.shape, x).copy_(patches)
    changed = _changed(basis("B^T", tiling, x), laid.flatten(3), "between", "patches")
    return changed.unflatten(2, (each * height * width, down * right * x.shape[3]))


def _spread(tiling: Tiling, grad: Tensor, memory: str, turned: bool = False) -> Tensor:
    """Cuts gradients of outputs ``(n, H', W', O)`` into tiles, and gives each number of a patch its share.

    Args:
        tiling: sizes.
        grad: pixels last.
        memory: the name of memory for the result.
        turned: whether tiles are turned half round.

    Returns:
        ``(threads, 36, n / threads * tiles, O)``.
    """
    tile, (height, width) = tiling.tile, tiling.tiles(grad.shape[1:3])
    placed = canvas(grad, (0, 0), (height * tile, width * tile), memory=BETWEEN)
    threads, kernels = tiling.threads(grad.shape[0]), grad.shape[3]
    tiles = placed.view(threads, -1, height, tile, width, tile, kernels).permute(0, 3, 5, 1, 2, 4, 6)
    laid = _scratch(memory, tiles.shape, grad).copy_(tiles)
    matrix = basis("A", tiling, grad)
    changed = _changed(matrix.flip(1) if turned else matrix, laid.flatten(3), "between", memory)
    return changed.unflatten(2, (-1, kernels))


def _from_tiles(
    matrix: Tensor,
    products: Tensor,
    tiles: tuple[int, int],
    cell: tuple[int, int],
    offset: tuple[int, int],
    out: Tensor,
) -> None:
    """Changes the basis back, puts the tiles together, and cuts off what hangs over the edge of an image.

    Args:
        matrix: the change of basis, ``(tile, patch)``.
        products: ``(threads, 36, n / threads * tiles, cell)``.
        tiles: how many, (down, across).
        cell: pixels of a cell, (down, right).
        offset: row and column of the first pixel of the first cell.
        out: the images, ``(n, H, W, C)``.
    """
    (height, width), (down, right), (tile, patch) = tiles, cell, matrix.shape
    by_row = products.unflatten(1, (patch, patch)).flatten(3)
    changed = _changed(matrix, by_row, "patches", "between")  # needed no more
    channels = products.shape[3] // (down * right)
    images = changed.view(products.shape[0], tile, tile, -1, height, width, down, right, channels)
    images = images.permute(0, 3, 4, 1, 6, 5, 2, 7, 8)
    shape = out.shape[0], height * tile * down, width * tile * right, channels
    if offset == (0, 0) and out.shape == shape:
        out.view(images.shape).copy_(images)
    else:
        laid = _scratch("patches", images.shape, out).copy_(images)
        out.copy_(canvas(laid.view(shape), offset, (out.shape[1], out.shape[2])))


def _scratch(name: str, shape: Sequence[int], like: Tensor) -> Tensor:
    return scratch(f"convolution: {name}", shape, like)


def _changed(matrix: Tensor, x: Tensor, between: str, out: str | None = None) -> Tensor:
    """Changes the basis along the second dimension of x ``(threads, i, i, m)``, then along the third.

    Args:
        matrix: ``(o, i)``.
        x: what is to be changed.
        between: the name of memory for what is changed along one dimension.
        out: the name of memory for the result, where x may lie; None for new memory.

    Returns:
        ``(threads, o * o, m)``.
    """
    (o, i), threads, m = matrix.shape, x.shape[0], x.shape[3]
    rows = _scratch(between, (threads, o, i * m), x)
    if threads == 1:
        matmul.mm(matrix, x.reshape(i, -1), out=rows[0])
    else:
        matmul.bmm(matrix.expand(threads, o, i), x.reshape(threads, i, -1), out=rows)
    memory = None if out is None else _scratch(out, (threads * o, o, m), x)
    changed = matmul.bmm(matrix.expand(threads * o, o, i), rows.view(-1, i, m), out=memory)
    return changed.view(threads, o * o, m)


def _convolved(tiling: Tiling, patches: Tensor, packed: Tensor, turned: bool = False) -> Tensor:
    """Multiplies patches ``(threads, 36, tiles, cell)`` with packed weights, which lead to O.

    Those that are many, ``(a, b, O, cell)``, are packed as they were; the basis of some is changed at a time.

    Args:
        tiling: sizes.
        patches: ``(threads, 36, tiles, cell)``, or ``(threads, 36, tiles, O)`` if ``turned``.
        packed: the weights.
        turned: whether kernels are turned half round, and lead from O to the cell.
    """
    many, along = packed.dim() == 4, 2 + int(turned)  # the dimension of W that becomes that of the products
    kernels = packed.shape[along if many else 2]
    products = _scratch("between", (*patches.shape[:3], kernels), patches)
    if not many:
        for a, out in zip(patches, products, strict=True):
            matmul.bmm(a, packed, out=out)
        return products
    for some in parts(kernels, patches.shape[1] * patches.shape[3], LARGEST):
        part = packed.narrow(along, some.start, some.stop - some.start)
        changed = _kernels(tiling, part, turned, "kernels", "spread")
        for a, out in zip(patches, products, strict=True):
            matmul.bmm(a, changed if turned else changed.mT, out=out[:, :, some])
    return products


def _weighted(spread: Tensor, patches: Tensor, total: Tensor | None, memory: str | None = None) -> Tensor:
    """Multiplies what tiles gave back with what they saw, and adds that up over tiles and threads.

    Args:
        spread: ``(threads, 36, tiles, O)``.
        patches: ``(threads, 36, tiles, cell)``.
        total: ``(36, O, cell)``, to which the products are added in place.
        memory: the name of memory for the sum, if there is no total; None for new memory.
    """
    for a, b in zip(spread.mT, patches, strict=True):
        if total is None:
            out = None if memory is None else _scratch(memory, (len(b), a.shape[1], b.shape[2]), b)
            total = matmul.bmm(a, b, out=out)
        else:
            matmul.baddbmm(total, a, b, out=total)
    assert total is not None
    return total


def _weights(tiling: Tiling, grad: Tensor, between: str) -> Tensor:
    """Changes the basis of kernels' gradients back: ``(36, O, cell)`` -> ``(a, b, O, cell)``."""
    by_row = grad.view(1, tiling.patch, tiling.patch, -1)
    grad_weight = _changed(basis("G", tiling, grad).T, by_row, between)
    return grad_weight.view(tiling.kernel, tiling.kernel, *grad.shape[1:])


def _change(i: int, o: int, m: int) -> Work:
    """Estimates a change of basis from ``(i, i, m)`` to ``(o, o, m)``."""
    return Work(flops=2.0 * m * o * i * (i + o), numbers=float(m * (i * i + o * i + o * o)))


def _many(tiling: Tiling, numbers: int) -> bool:
    """Says whether O times cell kernels in the other basis would be too many numbers to hold them all."""
    many = tiling.patch**2 * numbers > MANY
    branch(f"ConvolutionKernel: winograd, {'some kernels' if many else 'all kernels'} at a time")
    return many


def _kernels(tiling: Tiling, weight: Tensor, turned: bool, between: str, out: str) -> Tensor:
    """Changes the basis of kernels: ``(a, b, O, cell)`` -> ``(36, O, cell)``, in memory of that name.

    Those turned half round are seen from the last of their numbers to the first.
    """
    matrix = basis("G", tiling, weight)
    matrix = matrix.flip(1) if turned else matrix
    return _changed(matrix, weight.flatten(2).unsqueeze(0), between, out).view(-1, *weight.shape[2:])


def _powers(points: Sequence[float], coefficients: int) -> list[list[float]]:
    """Returns the matrix that evaluates a polynomial, given by its coefficients, at points and at infinity.

    Its value at p is the product with (1, p, p^2, ...); at infinity, it is the last coefficient.
    """
    infinity = [0.0] * (coefficients - 1) + [1.0]
    return [[point**k for k in range(coefficients)] for point in points] + [infinity]


def _interpolation(points: Sequence[float]) -> list[list[float]]:
    """Returns, a row per point, the polynomials from whose sum values at the points give a polynomial back.

    For a finite point p it is Lagrange's: 1 at p, 0 at the other points. For infinity it is 0 at all of them.
    """

    def vanishing(roots: Sequence[float]) -> list[float]:
        coefficients = [1.0]
        for root in roots:  # times (x - root)
            shifted, scaled = [0.0, *coefficients], [*coefficients, 0.0]
            coefficients = [a - root * b for a, b in zip(shifted, scaled, strict=True)]
        return coefficients

    rows = []
    for point in points:
        others = [other for other in points if other != point]
        height = math.prod(point - other for other in others)
        rows.append([c / height for c in vanishing(others)] + [0.0])
    return [*rows, vanishing(points)]


@cache
def _basis(name: str, tiling: Tiling, dtype: torch.dtype, device: torch.device) -> Tensor:
    points = POINTS[tiling.patch]
    rows = {
        "G": lambda: _powers(points, tiling.kernel),
        "A": lambda: _powers(points, tiling.tile),
        "B^T": lambda: _interpolation(points),
    }[name]()
    return torch.tensor(rows, dtype=torch.float64).to(device, dtype)


def basis(name: str, tiling: Tiling, like: Tensor) -> Tensor:
    """Returns a change of basis for one dimension, of the dtype and on the device of ``like``.

    Args:
        name: "G" for kernels, "B^T" for patches, "A" for tiles; for tiles of 4 x 4 and kernels of 3 x 3
            they are ``(6, 3)``, ``(6, 6)`` and ``(6, 4)``.
        tiling: sizes.
        like: any tensor.
    """
    return _basis(name, tiling, like.dtype, like.device)
