"""Which algorithm computes a pass of a convolution: the one asked for, or the fastest for its shape."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from functools import lru_cache

from ds_core.kernels import switch
from ds_core.kernels.matmul import Rates, rates

from ds_cnn.functional.geometry import Geometry
from ds_cnn.kernels.convolution.algorithm import Algorithm, Pass, Work, turned
from ds_cnn.kernels.convolution.cells import Cells
from ds_cnn.kernels.convolution.im2col import Im2col
from ds_cnn.kernels.convolution.shifted import Shifted
from ds_cnn.kernels.convolution.strips import Strips
from ds_cnn.kernels.convolution.winograd import Winograd

ALGORITHMS: dict[str, Algorithm] = {
    "im2col": Im2col(),
    "shifted": Shifted(),
    "winograd": Winograd(tile=4),
    "winograd3": Winograd(tile=3),
    "winograd7": Winograd(tile=7),
    "cells": Cells(),
    "strips": Strips(),
}

MOST = 300_000  # weights of a convolution whose gradients are computed in one go


def select(geometry: Geometry, shape: Sequence[int], kernels: int, step: Pass) -> str:
    """Returns the algorithm that a geometry asks for; for "auto" the one that should take least time.

    An algorithm's time is estimated from its ``work`` by the rates of the machine, which stand in the same
    table as the rules for products: nothing is timed while a model trains. Of the passes of 29 shapes,
    measured with every algorithm on an AMD EPYC of family 25 with AVX-512, what it chose took 0.8 % longer
    than the best choice (geometric mean).

    Args:
        geometry: of the convolution.
        shape: of the images, ``(N, C, H, W)``.
        kernels: O.
        step: the pass. Each has the algorithm that is fastest for it.
    """
    if geometry.algorithm != "auto":
        return geometry.algorithm
    precise = switch.products is None  # Winograd's changes of basis make rounding larger
    return _fastest(geometry, tuple(shape), kernels, step, rates(), precise)


def select_both(geometry: Geometry, shape: Sequence[int], kernels: int) -> Geometry | None:
    """Returns how both gradients are computed in one go; None where each by itself should take less time.

    With a stride of 1, dL/dx is a convolution of g = dL/dy with the kernels turned half round. dL/dweight,
    turned half round, is the gradient of that convolution's weights, given x. So g, once laid out, serves
    both.

    Args:
        geometry: of the convolution.
        shape: of the images, ``(N, C, H, W)``.
        kernels: O.

    Returns:
        The geometry of the convolution of g, with the algorithm that should take least time.
    """
    if geometry.algorithm != "auto" or geometry.kernel == (1, 1):  # of one pixel nothing is laid out
        return None
    if geometry.stride != (1, 1) or geometry.dilation != (1, 1) or geometry.groups != 1:
        return None
    precise = switch.products is None
    return _fastest_of_both(geometry, tuple(shape), kernels, rates(), precise)


@lru_cache(maxsize=1024)
def _fastest(
    geometry: Geometry, shape: tuple[int, ...], kernels: int, step: Pass, machine: Rates, precise: bool
) -> str:
    times = _times(geometry, shape, kernels, step, machine, precise)
    return min(times, key=times.__getitem__)


@lru_cache(maxsize=1024)
def _fastest_of_both(
    geometry: Geometry, shape: tuple[int, ...], kernels: int, machine: Rates, precise: bool
) -> Geometry | None:
    back = turned(geometry)
    channels, given = shape[1], (shape[0], kernels, *geometry.output_size(shape[2:]))
    weights = kernels * channels * math.prod(geometry.kernel)
    # Turning more weights than g has numbers costs as much as laying out g; and each block of g reads all
    # weights and the sum of their gradient once more.
    if weights > min(math.prod(given), MOST):
        return None
    alone = (_times(geometry, shape, kernels, step, machine, precise) for step in ("input", "weight"))
    forward, weight = (
        _times(back, given, channels, step, machine, precise) for step in ("forward", "weight")
    )
    best = min(forward, key=lambda name: forward[name] + weight[name])
    if forward[best] + weight[best] > sum(min(times.values()) for times in alone):
        return None
    return replace(back, algorithm=best)


def _times(
    geometry: Geometry, shape: tuple[int, ...], kernels: int, step: Pass, machine: Rates, precise: bool
) -> dict[str, float]:
    """Estimates how long each algorithm takes for a pass."""
    times = {}
    for name, algorithm in ALGORITHMS.items():
        if algorithm.supports(geometry) and (precise or not name.startswith("winograd")):
            passes = algorithm.work(geometry, (max(1, shape[0]), *shape[1:]), kernels)
            work: Work = getattr(passes, step)
            times[name] = work.time(machine)
    return times
