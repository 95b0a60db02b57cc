"""Upsample: images, or sequences, of another size."""

from __future__ import annotations

import math
from collections.abc import Sequence
from numbers import Real
from typing import Any, final

import torch
from ds_core import InputGrad, Module
from ds_core.checks import check_floating, shape
from ds_core.kernels import dispatch
from torch import Tensor

from ds_cnn import functional
from ds_cnn.layers.convolution import sizes

MODES = ("nearest", "linear", "bilinear", "bicubic")

upsample, upsample_backward = dispatch(functional.upsample, half=torch.float32)


@final
class Upsample(Module):
    """Makes images or sequences larger (or smaller) by taking each new pixel from the old ones around it.

    y = A x B^T,   dL/dx = A^T dL/dy B, with A's row i the weights of the old rows in new row i: a single 1
    ("nearest"), 1 - t and t for its two neighbours ("bilinear"), or a cubic curve's for four ("bicubic").
    A sequence is an image one pixel high ("nearest", or "linear" for "bilinear").

    Args:
        size: new height and width, or one number for both; new length.
        scale_factor: instead of ``size``, how many times as many rows and columns, or one number for both.
        mode: "nearest", "linear" (sequences), "bilinear" or "bicubic" (images).
        align_corners: for all but "nearest", whether the centres of the corner pixels stay in the
            corners; if not, the corners of the image do.
        recompute_scale_factor: whether distances between pixels come from the sizes, where ``scale_factor``
            times the old size was no whole number, and not from ``scale_factor``. "nearest" goes by the sizes
            anyway where an image's height or width stays or doubles, as torch.nn does.
        antialias: for "bilinear" and "bicubic", whether more old pixels count where images shrink, so that
            none is passed over.

    Shape:
        x ``(N, C, H, W)`` -> ``(N, C, H', W')``; x ``(N, C, L)`` -> ``(N, C, L')``.

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
        if align_corners is not None and mode == "nearest":
            raise ValueError(
                "Upsample: expected align_corners with mode='linear', 'bilinear' or 'bicubic' only"
            )
        if antialias and mode in ("nearest", "linear"):
            raise ValueError("Upsample: expected antialias with mode='bilinear' or 'bicubic' only")
        given = scale_factor if size is None else size
        one_of_them = isinstance(given, Sequence) and len(given) == 1  # that of a sequence, as in torch.nn
        dims = 1 if mode == "linear" or (mode == "nearest" and one_of_them) else 2
        self.size = None if size is None else sizes("Upsample", "size", size, dims)
        self.scale_factor: tuple[float, ...] | None = None
        if scale_factor is not None:
            factors = (scale_factor,) * dims if isinstance(scale_factor, (int, float, Real)) else scale_factor
            if len(factors) != dims or not all(0 < factor < math.inf for factor in factors):
                count = "one" if dims == 1 else "one or two"
                raise ValueError(
                    f"Upsample: expected finite scale_factor above 0, {count}, got {scale_factor}"
                )
            self.scale_factor = tuple(float(factor) for factor in factors)
        self.mode = mode
        self.align_corners = align_corners
        self.recompute_scale_factor = recompute_scale_factor
        self.antialias = antialias

    def forward(self, input: Tensor) -> Tensor:
        x = input.unsqueeze(-2) if input.dim() == 3 else input  # a sequence is one row
        size, scale = self._target(input, x)
        mode = "bilinear" if self.mode == "linear" else self.mode
        y, saved = upsample(x, size, mode, bool(self.align_corners), scale, self.antialias)
        self.save(saved)
        return y.squeeze(-2) if input.dim() == 3 else y

    def backward(self, grad: Tensor) -> InputGrad:
        (saved,) = self.saved()
        if not self.input_grad:
            return None
        if grad.dim() == 3:
            return upsample_backward(grad.unsqueeze(-2), saved).squeeze(-2)
        return upsample_backward(grad, saved)

    def _target(self, input: Tensor, x: Tensor) -> tuple[tuple[int, int], tuple[float | None, float | None]]:
        """Checks the input, and returns the new height and width of x and the factors they came from."""
        dims = {"nearest": (3, 4), "linear": (3,)}.get(self.mode, (4,))
        if input.dim() not in dims or min(x.shape[2:]) < 1:
            form = " or ".join({3: "(N, C, L)", 4: "(N, C, H, W)"}[dim] for dim in dims)
            raise ValueError(f"{self.label()}: expected input of shape {form}, got {shape(input)}")
        check_floating(self, input)
        given = self.size or self.scale_factor or ()
        if input.dim() == 3 and len(set(given)) > 1:
            raise ValueError(f"{self.label()}: expected one number for a sequence, got {given}")
        if input.dim() == 4 and len(given) == 1:
            raise ValueError(f"{self.label()}: expected two numbers for images, got {given}")
        if self.scale_factor is None:
            assert self.size is not None
            return (1 if input.dim() == 3 else self.size[0], self.size[-1]), (None, None)
        down, right = 1.0 if input.dim() == 3 else self.scale_factor[0], self.scale_factor[-1]
        height, width = math.floor(x.shape[2] * down), math.floor(x.shape[3] * right)
        if min(height, width) < 1:
            raise ValueError(f"{self.label()}: expected images of which pixels remain, got {shape(x)}")
        factors: tuple[float | None, float | None] = (down, right)
        if self.recompute_scale_factor:
            factors = None, None
        elif self.mode == "nearest" and input.dim() == 4:
            by_size = height in (x.shape[2], 2 * x.shape[2]), width in (x.shape[3], 2 * x.shape[3])
            factors = None if by_size[0] else down, None if by_size[1] else right
        return (height, width), factors

    def _torch_options(self) -> dict[str, Any]:
        if self.antialias:
            raise NotImplementedError(f"{self.label()}: torch.nn's has no antialias")
        name, given = (
            ("size", self.size) if self.scale_factor is None else ("scale_factor", self.scale_factor)
        )
        return {name: given[0]} if given and len(set(given)) == 1 else {}  # sequences take one number

    def extra_repr(self) -> str:
        to = f"scale_factor={self.scale_factor}" if self.size is None else f"size={self.size}"
        corners = "" if self.align_corners is None else f", align_corners={self.align_corners}"
        return f"{to}, mode={self.mode!r}{corners}" + (", antialias=True" if self.antialias else "")
