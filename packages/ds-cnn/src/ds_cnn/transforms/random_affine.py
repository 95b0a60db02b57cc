"""RandomAffine: images turned, moved, scaled and sheared."""

from __future__ import annotations

import math
from collections.abc import Sequence
from numbers import Real
from typing import Any, Literal

import torch
from torch import Tensor

from ds_cnn.transforms.arguments import Fill, is_number, numbers, per_channel, span, uniform
from ds_cnn.transforms.sample import at_points
from ds_cnn.transforms.transform import Transform

_DEGREE = math.pi / 180


class RandomAffine(Transform):
    """Turns, moves, scales and shears every image about its centre, each by amounts of its own.

    A point p = (x, y) of the image goes to q = A (p - centre) + centre + t, with

    A = s [cos a, -sin a; sin a, cos a] [1, 0; -tan b_y, 1] [1, -tan b_x; 0, 1]

    for the angle a, the scale s, the shears b and the translation t. The new image at q is the old one at
    p = A^-1 (q - centre - t) + centre, read between the pixels if that is where p lies.

    Args:
        degrees: range (low, high) of the angle, clockwise; one number d for (-d, d).
        translate: largest translation as shares of (width, height); by whole pixels. None for none.
        scale: range of s; None for 1.
        shear: range of b_x in degrees; four numbers for the ranges of b_x and b_y; one number d for (-d, d).
            None for none.
        interpolation: "nearest", or "bilinear" for smooth edges.
        fill: what lies around the images: one number, or one for each channel.
        center: (x, y) to turn about, in pixels from the upper left corner; None for the middle.

    Shape:
        ``(N, C, H, W)`` -> the same, or without N.

    Raises:
        ValueError: if an argument is not what is said here.
    """

    def __init__(
        self,
        degrees: float | Sequence[float],
        translate: Sequence[float] | None = None,
        scale: Sequence[float] | None = None,
        shear: float | Sequence[float] | None = None,
        interpolation: Literal["nearest", "bilinear"] = "nearest",
        fill: Fill = 0.0,
        center: Sequence[float] | None = None,
    ) -> None:
        self.degrees = _around(degrees, "RandomAffine: degrees", 360)
        shares = [0.0, 0.0] if translate is None else numbers(translate)
        if shares is None or len(shares) != 2 or not all(0 <= share <= 1 for share in shares):
            raise ValueError(f"RandomAffine: expected translate of two shares from 0 to 1, got {translate!r}")
        self.translate = tuple(shares)
        self.scale = span((1, 1) if scale is None else scale, "RandomAffine: scale", 1e-6, 1e6)
        shears: Any = (
            [shear or 0] if shear is None or isinstance(shear, (int, float, Real)) else numbers(shear)
        )
        if not shears:
            raise ValueError(f"RandomAffine: expected shear of one, two or four numbers, got {shear!r}")
        self.shear_x = _around(shears[0] if len(shears) == 1 else shears[:2], "RandomAffine: shear", 89)
        self.shear_y = _around(shears[2:] if len(shears) > 2 else 0, "RandomAffine: shear", 89)
        if interpolation not in ("nearest", "bilinear"):
            raise ValueError(
                f"RandomAffine: expected interpolation 'nearest' or 'bilinear', got {interpolation!r}"
            )
        self.interpolation = interpolation
        self.fill = fill
        self.center = None if center is None else numbers(center)
        if center is not None and len(self.center or ()) != 2:
            raise ValueError(f"RandomAffine: expected center (x, y), got {center!r}")

    def apply(self, images: Tensor, generator: torch.Generator | None) -> Tensor:
        height, width = images.shape[2:]
        angle = uniform(images, generator, *self.degrees)
        move_x, move_y = (
            uniform(images, generator, -share * size, share * size).round()
            for share, size in zip(self.translate, (width, height), strict=True)
        )
        scale = uniform(images, generator, *self.scale)
        shear_x = uniform(images, generator, *self.shear_x)
        shear_y = uniform(images, generator, *self.shear_y)
        return affine(
            images,
            inverse_matrix(angle, scale, shear_x, shear_y),
            torch.stack([move_x, move_y], 1),
            (width / 2, height / 2) if self.center is None else self.center,
            self.interpolation,
            per_channel(self.fill, images, f"{self.label()}: fill"),
        )

    def extra_repr(self) -> str:
        text = f"degrees={self.degrees}"
        text += f", translate={self.translate}" if any(self.translate) else ""
        text += f", scale={self.scale}" if self.scale != (1, 1) else ""
        shears = (*self.shear_x, *self.shear_y)
        text += f", shear={shears}" if any(shears) else ""
        return text + (", interpolation='bilinear'" if self.interpolation == "bilinear" else "")


def inverse_matrix(angle: Tensor, scale: Tensor, shear_x: Tensor, shear_y: Tensor) -> Tensor:
    """Returns A^-1, ``(N, 2, 2)``: each step of A undone, the last one first.

    Args:
        angle: a in degrees, ``(N,)``.
        scale: s, ``(N,)``.
        shear_x: b_x in degrees, ``(N,)``.
        shear_y: b_y in degrees, ``(N,)``.
    """
    cos, sin = (angle * _DEGREE).cos(), (angle * _DEGREE).sin()
    one, zero = torch.ones_like(cos), torch.zeros_like(cos)
    turn_back = _matrix(cos, sin, -sin, cos)
    straighten_y = _matrix(one, zero, (shear_y * _DEGREE).tan(), one)
    straighten_x = _matrix(one, (shear_x * _DEGREE).tan(), zero, one)
    return straighten_x @ straighten_y @ turn_back / scale.view(-1, 1, 1)


def affine(
    images: Tensor,
    inverse: Tensor,
    move: Tensor,
    center: Sequence[float],
    interpolation: str,
    fill: Tensor,
) -> Tensor:
    """Moves every image by its own affine map.

    Args:
        images: ``(N, C, H, W)``.
        inverse: A^-1, ``(N, 2, 2)``, for vectors (x, y).
        move: t in pixels, (x, y), ``(N, 2)``.
        center: (x, y) of the fixed point, in pixels from the upper left corner of the image.
        interpolation: "nearest" or "bilinear".
        fill: ``(C or 1, 1, 1)``.
    """
    _n, _, height, width = images.shape
    # The middle of the pixel in row i and column j is the point (j + 1/2, i + 1/2).
    x = _places(width, images) - center[0] - move[:, :1]  # (N, W)
    y = _places(height, images) - center[1] - move[:, 1:]  # (N, H)
    (x_x, x_y), (y_x, y_y) = inverse.permute(1, 2, 0).unsqueeze(3)  # each (N, 1)
    from_x = (x_x * x).unsqueeze(1) + (x_y * y).unsqueeze(2) + center[0] - 0.5  # (N, H, W)
    from_y = (y_x * x).unsqueeze(1) + (y_y * y).unsqueeze(2) + center[1] - 0.5
    dtype = torch.float64 if images.dtype == torch.float64 else torch.float32  # bfloat16 has no place 257
    return at_points(images, from_y.to(dtype), from_x.to(dtype), interpolation, fill)


def _places(size: int, images: Tensor) -> Tensor:
    """Returns the middles of a row of pixels, 1/2, 3/2, ..."""
    return torch.arange(size, dtype=torch.float64, device=images.device) + 0.5


def _matrix(a: Tensor, b: Tensor, c: Tensor, d: Tensor) -> Tensor:
    """Returns [a, b; c, d], ``(N, 2, 2)``."""
    return torch.stack([torch.stack([a, b], 1), torch.stack([c, d], 1)], 1)


def _around(value: float | Sequence[float], what: str, most: float) -> tuple[float, float]:
    """Returns a range; one number d means (-d, d)."""
    if isinstance(value, (int, float, Real)):
        if not is_number(value) or value < 0:
            raise ValueError(f"{what}: expected a number from 0 on, or (low, high), got {value}")
        value = (-value, value)
    return span(value, what, -most, most)
