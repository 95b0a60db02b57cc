"""ColorJitter: other light, another camera."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from numbers import Real

import torch
from ds_core.checks import shape
from torch import Tensor

from ds_cnn.transforms.arguments import is_number, span, uniform
from ds_cnn.transforms.color import adjust_brightness, adjust_contrast, adjust_hue, adjust_saturation
from ds_cnn.transforms.transform import Transform

_MOST = 1000.0  # times as bright, say: nothing but black, white and pure colours is left
_ADJUST: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "brightness": adjust_brightness,
    "contrast": adjust_contrast,
    "saturation": adjust_saturation,
    "hue": adjust_hue,
}


class ColorJitter(Transform):
    """Changes brightness, contrast, saturation and hue of every image by random amounts, in random order.

    The formulas are in :mod:`ds_cnn.transforms.color`. It takes images in [0, 1], so it goes before
    Normalize.

    Args:
        brightness: range (low, high) of the factor; one number b for (1 - b, 1 + b), but not below 0.
        contrast: the same for contrast.
        saturation: the same for saturation, which grey images do not have.
        hue: range of the turn, from -0.5 to 0.5; one number h for (-h, h).

    Shape:
        ``(N, 3, H, W)`` or ``(N, 1, H, W)`` -> the same, or without N.

    Raises:
        ValueError: if an argument is not what is said here, or the images have neither 3 channels nor 1.
    """

    def __init__(
        self,
        brightness: float | Sequence[float] = 0.0,
        contrast: float | Sequence[float] = 0.0,
        saturation: float | Sequence[float] = 0.0,
        hue: float | Sequence[float] = 0.0,
    ) -> None:
        self.ranges = {
            "brightness": _range(brightness, "brightness", 1),
            "contrast": _range(contrast, "contrast", 1),
            "saturation": _range(saturation, "saturation", 1),
            "hue": _range(hue, "hue", 0),
        }

    def apply(self, images: Tensor, generator: torch.Generator | None) -> Tensor:
        if images.shape[1] not in (1, 3):
            raise ValueError(f"{self.label()}: expected 3 channels or 1, got {shape(images)}")
        amounts = {name: uniform(images, generator, *limits) for name, limits in self.ranges.items()}
        order = uniform(images, generator, columns=len(amounts)).argsort(1)  # (N, 4), what comes first, ...
        images = images.clone()
        for turn in range(len(amounts)):
            for number, (name, amount) in enumerate(amounts.items()):
                chosen = (order[:, turn] == number).nonzero()[:, 0]
                if len(chosen) and self.ranges[name] != _neutral(name):
                    images[chosen] = _ADJUST[name](images[chosen], amount[chosen])
        return images

    def extra_repr(self) -> str:
        return ", ".join(
            f"{name}={limits}" for name, limits in self.ranges.items() if limits != _neutral(name)
        )


def _neutral(name: str) -> tuple[float, float]:
    """Returns the range that changes nothing."""
    return (0.0, 0.0) if name == "hue" else (1.0, 1.0)


def _range(value: float | Sequence[float], name: str, middle: float) -> tuple[float, float]:
    """Returns a range; one number means so much to either side of the middle."""
    least, most = (0.0, _MOST) if middle else (-0.5, 0.5)
    if isinstance(value, (int, float, Real)):
        if not is_number(value) or not 0 <= value <= most:
            raise ValueError(
                f"ColorJitter: {name}: expected a number from 0 to {most:g}, or (low, high), got {value}"
            )
        value = (max(least, middle - value), middle + value)
    return span(value, f"ColorJitter: {name}", least, most)
