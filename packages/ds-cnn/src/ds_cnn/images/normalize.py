"""Normalize: channels brought to mean 0 and deviation 1, as measured beforehand."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from ds_core.checks import shape
from torch import Tensor

from ds_cnn.images.transform import Transform


class Normalize(Transform):
    """Subtracts a mean from each channel and divides it by a standard deviation.

    Args:
        mean: one number for each channel.
        std: one number for each channel, above 0.

    Example:
        >>> Normalize.of(torch.rand(10, 3, 8, 8))  # doctest: +ELLIPSIS
        Normalize(mean=..., std=...)
    """

    def __init__(self, mean: Sequence[float], std: Sequence[float]) -> None:
        if len(mean) != len(std) or min(std, default=0) <= 0:
            raise ValueError(
                "Normalize: expected as many means as standard deviations, those above 0, got "
                f"{mean} and {std}"
            )
        self.mean = tuple(float(number) for number in mean)
        self.std = tuple(float(number) for number in std)

    @classmethod
    def of(cls, images: Tensor) -> Normalize:
        """Measures mean and deviation of each channel of images ``(N, C, H, W)``: of the training part."""
        mean = images.mean((0, 2, 3))
        std = (images - mean.view(-1, 1, 1)).pow(2).mean((0, 2, 3)).sqrt()
        return cls(mean.tolist(), std.tolist())

    def apply(self, images: Tensor, generator: torch.Generator | None) -> Tensor:
        mean, std = self._fitted(images)
        return (images - mean) / std

    def inverse(self, images: Tensor) -> Tensor:
        """Returns normalised images as they were, to look at them."""
        mean, std = self._fitted(images)
        return images * std + mean

    def _fitted(self, images: Tensor) -> tuple[Tensor, Tensor]:
        if images.shape[-3] != len(self.mean):
            raise ValueError(f"{self!r}: expected {len(self.mean)} channels, got images {shape(images)}")
        mean, std = (torch.tensor(numbers).to(images).view(-1, 1, 1) for numbers in (self.mean, self.std))
        return mean, std
