"""Compose: one transform after another."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from ds_cnn.transforms.transform import Transform


class Compose(Transform):
    """Applies transforms in order, all with the random numbers of one generator.

    Args:
        transforms: one after the other, or in a list: each a Transform, or any function of images, what
            belongs to them, and ``generator=``.

    Raises:
        TypeError: if one of them cannot be called.

    Example:
        >>> augment = Compose([RandomCrop(32, padding=4), RandomHorizontalFlip(), Normalize(mean, std)])
        >>> loader = DataLoader(images, labels, batch_size=128, shuffle=True, transform=augment)
    """

    def __init__(self, *transforms: Callable[..., Any] | Sequence[Callable[..., Any]]) -> None:
        given = transforms[0] if len(transforms) == 1 and isinstance(transforms[0], Sequence) else transforms
        self.transforms: list[Any] = list(given)
        for transform in self.transforms:
            if not callable(transform):
                raise TypeError(f"Compose: expected transforms, got {type(transform).__name__}")

    def __call__(self, images: Tensor, *others: Tensor, generator: torch.Generator | None = None) -> Any:
        """Returns what the last transform returns."""
        batch: tuple[Any, ...] = (images, *others)
        for transform in self.transforms:
            changed = transform(*batch, generator=generator)
            batch = changed if isinstance(changed, tuple) else (changed,)
        return batch if len(batch) > 1 else batch[0]

    def extra_repr(self) -> str:
        return "[" + ", ".join(map(repr, self.transforms)) + "]"
