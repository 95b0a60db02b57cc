"""What all transforms of images share, and their composition."""

from __future__ import annotations

from typing import Any

import torch
from ds_core.checks import shape
from torch import Tensor


class Transform:
    """Base of the transforms: callables from images to images, a batch or one; the input stays as it is.

    In a batch, every image draws its own numbers. A transform is what ``DataLoader(..., transform=)`` takes:
    it hands on what comes with the images, and draws from the generator that it is given.
    """

    def __call__(self, images: Tensor, *rest: Any, generator: torch.Generator | None = None) -> Any:
        """Returns the images transformed; with more arguments, a tuple of the images and those.

        Args:
            images: ``(N, C, H, W)`` or ``(C, H, W)``, floating point.
            rest: handed on as it is: the target, say.
            generator: source of the random numbers; None for torch's global one.

        Raises:
            ValueError: if they have other dimensions.
            TypeError: if they are not floating point.
        """
        if images.dim() not in (3, 4):
            raise ValueError(f"{self!r}: expected images (N, C, H, W) or (C, H, W), got {shape(images)}")
        if not images.is_floating_point():
            raise TypeError(f"{self!r}: expected floating point images, got {images.dtype}; see x.float()")
        batch = images if images.dim() == 4 else images.unsqueeze(0)
        result = self.apply(batch, generator)
        result = result if images.dim() == 4 else result.squeeze(0)
        return (result, *rest) if rest else result

    def apply(self, images: Tensor, generator: torch.Generator | None) -> Tensor:
        """Returns a batch ``(N, C, H, W)`` transformed, as a new tensor."""
        raise NotImplementedError

    def __repr__(self) -> str:
        """Shows the name and what it was made with."""
        shown = ", ".join(f"{name}={value}" for name, value in vars(self).items())
        return f"{type(self).__name__}({shown})"


class Compose(Transform):
    """Applies transforms one after the other.

    Args:
        transforms: the first is applied first.
    """

    def __init__(self, *transforms: Transform) -> None:
        self.transforms = transforms

    def apply(self, images: Tensor, generator: torch.Generator | None) -> Tensor:
        for transform in self.transforms:
            images = transform(images, generator=generator)
        return images


def probability(name: str, p: float) -> float:
    """Returns p if it is a probability.

    Raises:
        ValueError: if it is not between 0 and 1.
    """
    if not 0 <= p <= 1:
        raise ValueError(f"{name}: expected a probability from 0 to 1, got {p}")
    return p
