"""MixUp: two images laid over one another, and their labels with them."""

from __future__ import annotations

import random

import torch
from ds_core.checks import shape
from ds_core.data import one_hot
from torch import Tensor

from ds_cnn.transforms.arguments import is_number
from ds_cnn.transforms.transform import Transform

_MOST = 1e6  # where every share is a half within a thousandth


class MixUp(Transform):
    """Mixes every image of a batch with another one of it, and their labels in the same proportion.

    x' = l x_i + (1 - l) x_j,   y' = l y_i + (1 - l) y_j,   l ~ Beta(alpha, alpha)

    with l and the partner j drawn for every image i. CrossEntropyLoss takes the mixed labels: they are
    probabilities of the classes.

    Args:
        alpha: of the Beta distribution: near 0 one of the two images prevails, 1 makes all mixtures equally
            likely.
        num_classes: C, to turn labels into probabilities; None if they are that already.

    Shape:
        images ``(N, C', H, W)``, labels ``(N,)`` int64 or ``(N, C)`` -> images the same, labels ``(N, C)``.

    Raises:
        ValueError: if alpha is not above 0 or is above a million, there is no batch, or labels do not fit.
        TypeError: if labels are missing, or are class indices while nobody said how many classes there are.

    Source: Zhang et al., mixup: Beyond Empirical Risk Minimization (2017), section 2.

    Example:
        >>> loader = DataLoader(images, labels, shuffle=True, transform=MixUp(alpha=0.2, num_classes=10))
    """

    def __init__(self, *, alpha: float = 1.0, num_classes: int | None = None) -> None:
        if not is_number(alpha) or not 0 < alpha <= _MOST:
            raise ValueError(f"MixUp: expected alpha above 0 and up to {_MOST:g}, got {alpha!r}")
        if num_classes is not None and (not isinstance(num_classes, int) or not 1 <= num_classes <= _MOST):
            raise ValueError(f"MixUp: expected num_classes from 1 to {_MOST:g}, got {num_classes!r}")
        self.alpha = alpha
        self.num_classes = num_classes

    def __call__(
        self, images: Tensor, *others: Tensor, generator: torch.Generator | None = None
    ) -> tuple[Tensor, Tensor]:
        """Returns the mixed images and the mixed labels.

        Args:
            images: ``(N, C', H, W)``, floating point.
            others: the labels, and nothing else.
            generator: source of random numbers; None for torch's global one.
        """
        self.check(images)
        if images.dim() != 4:
            raise ValueError(f"{self.label()}: expected a batch (N, C, H, W), got {shape(images)}")
        if len(others) != 1:
            raise TypeError(
                f"{self.label()}: expected images and their labels, got {1 + len(others)} tensors"
            )
        labels = self._probabilities(others[0], len(images)).to(images)
        device = torch.device("cpu") if generator is None else generator.device
        seed = torch.randint(2**62, (), generator=generator, device=device)
        draw = random.Random(int(seed))  # the standard library knows how to draw from a Beta distribution
        share = images.new_tensor([draw.betavariate(self.alpha, self.alpha) for _ in range(len(images))])
        partner = torch.randperm(len(images), generator=generator, device=device).to(images.device)
        return (
            torch.lerp(images[partner], images, share.view(-1, 1, 1, 1)),
            torch.lerp(labels[partner], labels, share.view(-1, 1)),
        )

    def _probabilities(self, labels: Tensor, count: int) -> Tensor:
        """Returns labels as ``(N, C)``."""
        if len(labels) != count or labels.dim() not in (1, 2):
            raise ValueError(
                f"{self.label()}: expected labels ({count},) or ({count}, classes), got {shape(labels)}"
            )
        if labels.dim() == 2:
            return labels
        if self.num_classes is None:
            raise TypeError(
                f"{self.label()}: expected probabilities (N, classes), got labels of shape {shape(labels)}; "
                "pass num_classes="
            )
        return one_hot(labels, self.num_classes)

    def extra_repr(self) -> str:
        classes = "" if self.num_classes is None else f", num_classes={self.num_classes}"
        return f"alpha={self.alpha}{classes}"
