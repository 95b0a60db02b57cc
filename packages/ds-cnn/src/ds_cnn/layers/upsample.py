"""Upsample: images of another size."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, final

import torch
from ds_core import InputGrad, Module
from ds_core.checks import check_floating, shape
from ds_core.kernels import dispatch
from torch import Tensor

from ds_cnn import functional
from ds_cnn.layers.convolution import sizes

MODES = ("nearest", "bilinear", "bicubic")

upsample, upsample_backward = dispatch(functional.upsample, half=torch.float32)


@final
class Upsample(Module):
    """Makes images larger (or smaller) by taking each new pixel from the old ones around it.

    y = A x B^T,   dL/dx = A^T dL/dy B, with A's row i the weights of the old rows in new row i: a single 1
    ("nearest"), 1 - t and t for its two neighbours ("bilinear"), or a cubic curve's for four ("bicubic")

    Args:
        size: new height and width, or one number for both.
        scale_factor: instead of ``size``, how many times as many rows and columns, or one number for both.
        mode: "nearest", "bilinear" or "bicubic".
        align_corners: for "bilinear" and "bicubic", whether the centres of the corner pixels stay in the
            corners; if not, the corners of the image do.
        recompute_scale_factor: whether distances between pixels come from the sizes, where ``scale_factor``
            times the old size was no whole number, and not from ``scale_factor``.
        antialias: for "bilinear" and "bicubic", whether more old pixels count where images shrink, so that
            none is passed over.

    Shape:
        x ``(N, C, H, W)`` -> ``(N, C, H', W')``.

    Raises:
        ValueError: if not just one of ``size`` and ``scale_factor`` is given, or x has other dimensions.
        TypeError: if x is not floating point.

    Source: torch.nn's namesake, and torch.nn.functional.interpolate's ``antialias``; Gonzalez, Woods, Digital
    Image Processing (2018), section 2.4; Keys, Cubic Convolution Interpolation for Digital Image Processing
    (1981).
    """

    def __init__(
        self,
        size: int | Sequence[int] | None = None,
        scale_factor: float | Sequence[float] | None = None,
        mode: str = "nearest",
        align_corners: bool | None = None,
        recompute_scale_factor: bool | None = None,
        *,
        antialias: bool = False,
    ) -> None:
        if (size is None) == (scale_factor is None):
            raise ValueError(f"Upsample: expected size or scale_factor, got {size} and {scale_factor}")
        if recompute_scale_factor and scale_factor is None:
            raise ValueError("Upsample: expected recompute_scale_factor with scale_factor only")
        if mode not in MODES:
            raise ValueError(f"Upsample: expected mode to be one of {', '.join(MODES)}, got {mode!r}")
        for name, given in (("align_corners", align_corners is not None), ("antialias", antialias)):
            if given and mode == "nearest":
                raise ValueError(f"Upsample: expected {name} with mode='bilinear' or 'bicubic' only")
        self.size = None if size is None else sizes("Upsample", "size", size, 2)
        self.scale_factor: tuple[float, ...] | None = None
        if scale_factor is not None:
            factors = (scale_factor,) * 2 if isinstance(scale_factor, (int, float)) else tuple(scale_factor)
            if len(factors) != 2 or min(factors) <= 0:
                raise ValueError(f"Upsample: expected scale_factor above 0, one or two, got {scale_factor}")
            self.scale_factor = tuple(float(factor) for factor in factors)
        self.mode = mode
        self.align_corners = align_corners
        self.recompute_scale_factor = recompute_scale_factor
        self.antialias = antialias

    def forward(self, input: Tensor) -> Tensor:
        size, scale = self._target(input)
        y, saved = upsample(input, size, self.mode, bool(self.align_corners), scale, self.antialias)
        self.save(saved)
        return y

    def backward(self, grad: Tensor) -> InputGrad:
        (saved,) = self.saved()
        return upsample_backward(grad, saved) if self.input_grad else None

    def _target(self, x: Tensor) -> tuple[tuple[int, int], tuple[float | None, float | None]]:
        """Checks the input, and returns its new height and width and the factors they came from."""
        if x.dim() != 4 or min(x.shape[2:]) < 1:
            raise ValueError(f"{self.label()}: expected input of shape (N, C, H, W), got {shape(x)}")
        check_floating(self, x)
        if self.scale_factor is None:
            assert self.size is not None
            return (self.size[0], self.size[1]), (None, None)
        down, right = self.scale_factor
        height, width = math.floor(x.shape[2] * down), math.floor(x.shape[3] * right)
        if min(height, width) < 1:
            raise ValueError(f"{self.label()}: expected images of which pixels remain, got {shape(x)}")
        return (height, width), ((None, None) if self.recompute_scale_factor else (down, right))

    def _torch_options(self) -> dict[str, Any]:
        if self.antialias:
            raise NotImplementedError(f"{self.label()}: torch.nn's has no antialias")
        return {}

    def extra_repr(self) -> str:
        to = f"scale_factor={self.scale_factor}" if self.size is None else f"size={self.size}"
        corners = "" if self.align_corners is None else f", align_corners={self.align_corners}"
        return f"{to}, mode={self.mode!r}{corners}" + (", antialias=True" if self.antialias else "")
