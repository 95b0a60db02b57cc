"""Normalize: every channel brought to one scale."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from ds_core.checks import shape
from torch import Tensor

from ds_cnn.transforms.arguments import numbers
from ds_cnn.transforms.transform import Transform, check_images


class Normalize(Transform):
    """Subtracts the mean of each channel and divides by its standard deviation.

    x' = (x - mean) / std

    Args:
        mean: one number for each channel; :meth:`of` measures them.
        std: one number for each channel.

    Shape:
        ``(N, C, H, W)`` -> the same, or without N.

    Raises:
        ValueError: if a standard deviation is not above 0, or the numbers are not as many as the channels.
    """

    def __init__(self, mean: Sequence[float] | Tensor, std: Sequence[float] | Tensor) -> None:
        means, stds = numbers(mean), numbers(std)
        if means is None or stds is None:
            raise ValueError(
                "Normalize: expected a mean and a std for each channel, finite numbers, got "
                f"{mean!r} and {std!r}"
            )
        self.mean, self.std = means, stds
        if len(self.mean) != len(self.std) or not self.mean:
            raise ValueError(
                f"Normalize: expected a mean and a std for each channel, got {len(self.mean)} and "
                f"{len(self.std)}"
            )
        if not all(number > 0 for number in self.std):
            raise ValueError(f"Normalize: expected standard deviations above 0, got {self.std}")

    @classmethod
    def of(cls, images: Tensor) -> Normalize:
        """Measures images ``(N, C, H, W)``, or one: those of the training part, and no others."""
        check_images("Normalize.of", images)
        if not images.numel():
            raise ValueError(f"Normalize.of: expected images, got {shape(images)}")
        images = images if images.dim() == 4 else images.unsqueeze(0)
        mean = images.mean((0, 2, 3), keepdim=True)
        return cls(mean.flatten(), (images - mean).square().mean((0, 2, 3)).sqrt())

    def apply(self, images: Tensor, generator: torch.Generator | None) -> Tensor:
        mean, std = self._fitted(images)
        return (images - mean) / std

    def inverse(self, images: Tensor) -> Tensor:
        """Returns x' std + mean: the images that :meth:`apply` was given."""
        self.check(images)
        mean, std = self._fitted(images)
        return images * std + mean

    def _fitted(self, images: Tensor) -> tuple[Tensor, Tensor]:
        if images.shape[-3] != len(self.mean):
            raise ValueError(f"{self.label()}: expected {len(self.mean)} channels, got {shape(images)}")
        mean, std = (images.new_tensor(numbers).view(-1, 1, 1) for numbers in (self.mean, self.std))
        return mean, std

    def extra_repr(self) -> str:
        mean, std = ([float(f"{number:.4g}") for number in numbers] for numbers in (self.mean, self.std))
        return f"mean={mean}, std={std}"
