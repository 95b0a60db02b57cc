"""RandAugment: a few changes out of many, all of one strength."""

from __future__ import annotations

from numbers import Integral

import torch
from ds_core.checks import shape
from torch import Tensor

from ds_cnn.transforms.arguments import Fill, is_number, per_channel, uniform, whole
from ds_cnn.transforms.color import adjust_brightness, adjust_contrast, adjust_saturation
from ds_cnn.transforms.random_affine import affine, inverse_matrix
from ds_cnn.transforms.transform import Transform

COLOUR = ("identity", "brightness", "contrast", "saturation", "posterize", "solarize", "autocontrast")
GEOMETRY = ("rotate", "shear_x", "shear_y", "translate_x", "translate_y")


class RandAugment(Transform):
    """Changes every image a few times, each time in a way drawn from one list, all with the same strength.

    There are two numbers to choose instead of a range for each change. With m the strength:

    - brightness, contrast, saturation: the factor 1 + 0.9 m or 1 - 0.9 m, see :mod:`ds_cnn.transforms.color`
    - posterize: 2^(8 - 4 m) equal steps are left of each channel
    - solarize: x becomes 1 - x where it is at least 1 - m
    - autocontrast: each channel is stretched from 0 to 1
    - rotate: by 30 m degrees; shear_x, shear_y: by 17 m degrees; translate_x, translate_y: by 0.45 m of a
      side; each one way or the other
    - identity: nothing

    It takes images in [0, 1], so it goes before Normalize.

    Args:
        num_ops: changes of each image.
        magnitude: m, from 0 to 1.
        geometry: whether images are also turned, sheared and moved, or only their colours changed.
        fill: what lies around them: one number, or one for each channel.

    Shape:
        ``(N, 3, H, W)`` or ``(N, 1, H, W)`` -> the same, or without N.

    Raises:
        ValueError: if an argument is not what is said here, or the images have neither 3 channels nor 1.

    Source: Cubuk et al., RandAugment: Practical automated data augmentation with a reduced search space
    (2019), section 3.
    """

    def __init__(
        self, num_ops: int = 2, magnitude: float = 0.3, *, geometry: bool = True, fill: Fill = 0.0
    ) -> None:
        if not isinstance(num_ops, (int, Integral)) or isinstance(num_ops, bool) or num_ops < 0:
            raise ValueError(f"RandAugment: expected num_ops of at least 0, got {num_ops!r}")
        if not is_number(magnitude) or not 0 <= magnitude <= 1:
            raise ValueError(f"RandAugment: expected magnitude from 0 to 1, got {magnitude!r}")
        self.num_ops = int(num_ops)
        self.magnitude = magnitude
        self.geometry = geometry
        self.fill = fill

    def apply(self, images: Tensor, generator: torch.Generator | None) -> Tensor:
        if images.shape[1] not in (1, 3):
            raise ValueError(f"{self.label()}: expected 3 channels or 1, got {shape(images)}")
        fill = per_channel(self.fill, images, f"{self.label()}: fill")
        names = COLOUR + (GEOMETRY if self.geometry else ())
        images = images.clone()
        for _ in range(self.num_ops):
            drawn = whole(images, generator, len(names))
            signed = torch.where(uniform(images, generator) < 0.5, -self.magnitude, self.magnitude)
            for number, name in enumerate(names):
                chosen = (drawn == number).nonzero()[:, 0]
                if len(chosen) and name != "identity":
                    images[chosen] = change(images[chosen], name, signed[chosen], fill)
        return images

    def extra_repr(self) -> str:
        return f"num_ops={self.num_ops}, magnitude={self.magnitude}" + (
            "" if self.geometry else ", geometry=False"
        )


def change(images: Tensor, name: str, strength: Tensor, fill: Tensor) -> Tensor:
    """Returns images ``(N, C, H, W)`` changed in one way, each with its strength from -1 to 1, ``(N,)``."""
    if name in ("brightness", "contrast", "saturation"):
        adjust = {
            "brightness": adjust_brightness,
            "contrast": adjust_contrast,
            "saturation": adjust_saturation,
        }
        return adjust[name](images, 1 + 0.9 * strength)
    each = strength.abs().to(images.dtype).view(-1, 1, 1, 1)
    if name == "posterize":
        steps = 2 ** (8 - 4 * each)
        return ((images * steps).floor() / (steps - 1)).clamp(0, 1)
    if name == "solarize":
        return torch.where(images >= 1 - each, 1 - images, images)
    if name == "autocontrast":
        low, high = images.amin((2, 3), keepdim=True), images.amax((2, 3), keepdim=True)
        flat = high <= low
        return torch.where(flat, images, (images - low) / torch.where(flat, 1, high - low))
    zero, (height, width) = torch.zeros_like(strength), images.shape[2:]
    angle = 30 * strength if name == "rotate" else zero
    shear_x, shear_y = (17 * strength if name == f"shear_{side}" else zero for side in "xy")
    move_x = (0.45 * strength * width).round() if name == "translate_x" else zero
    move_y = (0.45 * strength * height).round() if name == "translate_y" else zero
    inverse = inverse_matrix(angle, torch.ones_like(strength), shear_x, shear_y)
    move = torch.stack([move_x, move_y], 1)
    return affine(images, inverse, move, (width / 2, height / 2), "bilinear", fill)
