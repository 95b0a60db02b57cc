"""Which algorithm computes a convolution: the one asked for, or the fastest for its shape."""

from __future__ import annotations

from ds_cnn.functional.geometry import Geometry
from ds_cnn.kernels.convolution.algorithm import Algorithm
from ds_cnn.kernels.convolution.cells import Cells
from ds_cnn.kernels.convolution.im2col import Im2col
from ds_cnn.kernels.convolution.shifted import Shifted
from ds_cnn.kernels.convolution.winograd import Winograd

ALGORITHMS: dict[str, Algorithm] = {
    "im2col": Im2col(),
    "shifted": Shifted(),
    "winograd": Winograd(),
    "cells": Cells(),
}


def select(geometry: Geometry, in_channels: int) -> str:
    """Returns the algorithm that a geometry asks for; for "auto" the fastest, as measured.

    Winograd's is fastest where it applies and there are channels enough to be worth two changes of basis: on
    a photograph's three, im2col was measured to take a fifth of its time. A kernel of one pixel needs no
    shift, and nothing laid out. Many small groups make many small matrix products: shifts are better there,
    and a depthwise convolution by shifts needs none at all. Everything else goes by im2col, with cells if the
    stride is wide, the kernel covers whole cells and there are channels enough to multiply by. The package's
    ``benchmarks/convolution.py`` measures them all.
    """
    if geometry.algorithm != "auto":
        return geometry.algorithm
    if in_channels >= 16 and ALGORITHMS["winograd"].supports(geometry):
        return "winograd"
    one_pixel = geometry.kernel == (1, 1) and geometry.stride == (1, 1)
    if one_pixel or (geometry.groups > 1 and in_channels // geometry.groups <= 4):
        return "shifted"
    if geometry.stride != (1, 1) and in_channels >= 16 and ALGORITHMS["cells"].supports(geometry):
        return "cells"
    return "im2col"
