"""Which algorithm computes a convolution: the one asked for, or the fastest for its shape."""

from __future__ import annotations

from ds_cnn.functional.convolution.geometry import Geometry
from ds_cnn.functional.convolution.im2col import Im2col
from ds_cnn.functional.convolution.method import Method
from ds_cnn.functional.convolution.shifted import Shifted
from ds_cnn.functional.convolution.winograd import Winograd

METHODS: dict[str, Method] = {"im2col": Im2col(), "shifted": Shifted(), "winograd": Winograd()}
ALGORITHMS = ("loop", *METHODS, "auto")


def check_algorithm(name: str, algorithm: str, geometry: Geometry) -> str:
    """Returns ``algorithm`` if it exists and can do such convolutions.

    Raises:
        ValueError: if not; begins with ``name``, that of the layer.
    """
    if algorithm not in ALGORITHMS:
        raise ValueError(
            f"{name}: expected algorithm to be one of {', '.join(ALGORITHMS)}, got {algorithm!r}"
        )
    if algorithm in METHODS and not METHODS[algorithm].supports(geometry):
        raise ValueError(
            f"{name}: expected kernel_size 3, stride 1, dilation 1 and groups 1 with algorithm="
            f"{algorithm!r}, got {geometry.kernel}, {geometry.stride}, {geometry.dilation} and "
            f"{geometry.groups}"
        )
    return algorithm


def choose(geometry: Geometry, in_channels: int, out_channels: int) -> str:
    """Returns the fastest algorithm, as measured (see the package's ``benchmarks/convolution.py``).

    Winograd's is fastest wherever it applies. A kernel of one pixel needs no shift, and nothing laid out.
    Many small groups make many small matrix products: shifts are better there, and a depthwise convolution
    by shifts needs none at all. Everything else goes by im2col.
    """
    if METHODS["winograd"].supports(geometry):
        return "winograd"
    one_pixel = geometry.kernel == (1, 1) and geometry.stride == (1, 1)
    if one_pixel or (geometry.groups > 1 and in_channels // geometry.groups <= 4):
        return "shifted"
    return "im2col"
