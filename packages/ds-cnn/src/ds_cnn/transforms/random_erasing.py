"""RandomErasing: a rectangle of random size and shape painted over."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor

from ds_cnn.transforms.arguments import Fill, per_channel, probability, span, uniform, whole
from ds_cnn.transforms.erase import erase
from ds_cnn.transforms.transform import Transform

_TRIES = 10


class RandomErasing(Transform):
    """Paints over a rectangle of every image with probability p.

    Its area and the logarithm of its height over its width are drawn evenly; up to ten times, until it is
    smaller than the image, which else stays whole.

    Args:
        p: the probability.
        scale: range of the area, as a share of the image's.
        ratio: range of height / width.
        value: what is painted: one number, one for each channel, or "random" for draws from N(0, 1) at every
            pixel.

    Shape:
        ``(N, C, H, W)`` -> the same, or without N.

    Raises:
        ValueError: if an argument is not what is said here.

    Source: Zhong et al., Random Erasing Data Augmentation (2017), algorithm 1.
    """

    def __init__(
        self,
        p: float = 0.5,
        scale: Sequence[float] = (0.02, 0.33),
        ratio: Sequence[float] = (0.3, 3.3),
        value: Fill | Literal["random"] = 0.0,
    ) -> None:
        self.p = probability(p, "RandomErasing")
        self.scale = span(scale, "RandomErasing: scale", 0, 1)
        self.ratio = span(ratio, "RandomErasing: ratio", 1e-6, 1e6)
        if isinstance(value, str) and value != "random":
            raise ValueError(f"RandomErasing: expected value of numbers, or 'random', got {value!r}")
        self.value = value

    def apply(self, images: Tensor, generator: torch.Generator | None) -> Tensor:
        rows, columns = images.shape[2:]
        erased = uniform(images, generator) < self.p
        area = uniform(images, generator, *self.scale, columns=_TRIES) * rows * columns  # (N, tries)
        low, high = self.ratio
        ratio = uniform(images, generator, math.log(low), math.log(high), columns=_TRIES).exp()
        heights, widths = (area * ratio).sqrt().round().long(), (area / ratio).sqrt().round().long()
        fits = (heights < rows) & (widths < columns)
        first = fits.long().argmax(1, keepdim=True)  # the first try that fits
        height = heights.gather(1, first).squeeze(1) * (erased & fits.any(1))  # 0: nothing is painted
        width = widths.gather(1, first).squeeze(1)
        top = whole(images, generator, rows - height + 1)
        left = whole(images, generator, (columns - width + 1).clamp(min=1))
        if self.value == "random":
            device = torch.device("cpu") if generator is None else generator.device
            value = torch.randn(images.shape, generator=generator, device=device).to(images)
        else:
            value = per_channel(self.value, images, f"{self.label()}: value")
        return erase(images, top, left, height, width, value)

    def extra_repr(self) -> str:
        return f"p={self.p}, scale={self.scale}, ratio={self.ratio}"
