"""Transform: what every augmentation is."""

from __future__ import annotations

from typing import Any

import torch
from ds_core.checks import shape, shown
from torch import Tensor


class Transform:
    """Base of what changes images before a network sees them.

    A subclass says in :meth:`apply` what becomes of a batch; it must not write into it. Random numbers come
    from the generator of the call, so the object has no state: same seed, same bits.

    Shape:
        images ``(N, C, H, W)``, or one ``(C, H, W)`` -> as many images, as many dimensions. Whatever else
        belongs to the batch, its targets for instance, is handed on as it is.

    Raises:
        ValueError: if the images have other dimensions, or no pixels.
        TypeError: if they are no tensor, or not floating point.

    Example:
        >>> flip = RandomHorizontalFlip()
        >>> flip(images, generator=torch.Generator().manual_seed(0))
        >>> loader = DataLoader(images, labels, shuffle=True, transform=flip)
    """

    def __call__(self, images: Tensor, *others: Tensor, generator: torch.Generator | None = None) -> Any:
        """Returns the changed images; together with ``others`` if there are any.

        Args:
            images: ``(N, C, H, W)`` or ``(C, H, W)``, floating point.
            others: what belongs to the images and stays as it is.
            generator: source of random numbers; None for torch's global one.
        """
        self.check(images)
        batch = images if images.dim() == 4 else images.unsqueeze(0)
        changed = self.apply(batch, generator)
        changed = changed if images.dim() == 4 else changed.squeeze(0)
        return (changed, *others) if others else changed

    def apply(self, images: Tensor, generator: torch.Generator | None) -> Tensor:
        """Returns what becomes of images ``(N, C, H, W)``, as another tensor or as the same."""
        raise NotImplementedError(f"{type(self).__name__} has no apply")

    def check(self, images: Tensor) -> None:
        """Checks the shape and type of images."""
        check_images(self.label(), images)

    def extra_repr(self) -> str:
        """Returns the constructor arguments worth showing."""
        return ""

    def label(self) -> str:
        """Returns name and arguments, as error messages show them."""
        return f"{type(self).__name__}({self.extra_repr()})"

    def __repr__(self) -> str:
        """Shows name and arguments."""
        return self.label()


def check_images(who: str, images: Tensor) -> None:
    """Checks that images are a tensor ``(N, C, H, W)`` or ``(C, H, W)``, floating point, with pixels.

    Raises:
        ValueError: if they have other dimensions, or no pixels.
        TypeError: if they are no tensor, or not floating point.
    """
    if not isinstance(images, Tensor):
        raise TypeError(
            f"{who}: expected a tensor, got {shown(images)}; ds_cnn.images.load_image makes one of a file, "
            "torch.as_tensor of an array"
        )
    if images.dim() not in (3, 4):
        raise ValueError(f"{who}: expected images (N, C, H, W) or one (C, H, W), got {shape(images)}")
    if not min(images.shape[-2:]):
        raise ValueError(f"{who}: expected images with pixels, got {shape(images)}")
    if not images.is_floating_point():
        raise TypeError(
            f"{who}: expected floating point images, got {images.dtype}; bytes become numbers from 0 to 1 by "
            "images.float() / 255"
        )
