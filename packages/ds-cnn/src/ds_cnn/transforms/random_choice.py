"""RandomChoice: one of several transforms."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from ds_cnn.transforms.compose import Compose


class RandomChoice(Compose):
    """Applies one of several transforms to the whole batch, each equally likely.

    Args:
        transforms: in a list or one after the other, as in :class:`Compose`.

    Raises:
        TypeError: if one of them cannot be called.
        ValueError: if there are none.

    Example:
        >>> mix = RandomChoice(MixUp(num_classes=10), CutMix(num_classes=10))
    """

    def __init__(self, *transforms: Callable[..., Any] | Sequence[Callable[..., Any]]) -> None:
        super().__init__(*transforms)
        if not self.transforms:
            raise ValueError("RandomChoice: expected at least one transform, got none")

    def __call__(self, images: Tensor, *others: Tensor, generator: torch.Generator | None = None) -> Any:
        device = torch.device("cpu") if generator is None else generator.device
        number = torch.randint(len(self.transforms), (), generator=generator, device=device)
        return self.transforms[int(number)](images, *others, generator=generator)
