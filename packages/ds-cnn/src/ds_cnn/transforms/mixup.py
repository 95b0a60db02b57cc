"""MixUp and CutMix: two images made one, and their labels with them."""

from __future__ import annotations

import random
from numbers import Integral

import torch
from ds_core.checks import shape
from ds_core.data import one_hot
from torch import Tensor

from ds_cnn.transforms.arguments import is_number, uniform
from ds_cnn.transforms.transform import Transform

_MOST = 1e6  # where every share is a half within a thousandth


class Mixing(Transform):
    """Base of what makes one image of two, and of their labels probabilities.

    Args:
        alpha: of the Beta distribution of the first one's share l.
        num_classes: C, to turn labels into probabilities; None if they are that already.
    """

    def mix(
        self, images: Tensor, others: Tensor, share: Tensor, generator: torch.Generator | None
    ) -> tuple[Tensor, Tensor]:
        """Returns the mixed images, and the share that the first ones have in them, ``(N,)``."""
        raise NotImplementedError(f"{type(self).__name__} has no mix")

    def __init__(self, *, alpha: float = 1.0, num_classes: int | None = None) -> None:
        if not is_number(alpha) or not 0 < alpha <= _MOST:
            raise ValueError(
                f"{type(self).__name__}: expected alpha above 0 and up to {_MOST:g}, got {alpha!r}"
            )
        if num_classes is not None and (
            not isinstance(num_classes, (int, Integral)) or not 1 <= num_classes <= _MOST
        ):
            raise ValueError(
                f"{type(self).__name__}: expected num_classes from 1 to {_MOST:g}, got {num_classes!r}"
            )
        self.alpha = alpha
        self.num_classes = None if num_classes is None else int(num_classes)

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
        mixed, share = self.mix(images, images[partner], share, generator)
        return mixed, torch.lerp(labels[partner], labels, share.view(-1, 1))

    def _probabilities(self, labels: Tensor, count: int) -> Tensor:
        """Returns labels as ``(N, C)``."""
        if len(labels) != count or labels.dim() not in (1, 2):
            raise ValueError(
                f"{self.label()}: expected labels ({count},) or ({count}, classes), got {shape(labels)}"
            )
        if labels.dim() == 2:
            if self.num_classes not in (None, labels.shape[1]):
                raise ValueError(
                    f"{self.label()}: expected labels ({count},), or probabilities ({count}, "
                    f"{self.num_classes}), got {shape(labels)}"
                )
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


class MixUp(Mixing):
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
        TypeError: if labels are missing, or are class indices without ``num_classes``.

    Source: Zhang et al., mixup: Beyond Empirical Risk Minimization (2017), section 2.

    Example:
        >>> loader = DataLoader(images, labels, shuffle=True, transform=MixUp(alpha=0.2, num_classes=10))
    """

    def mix(
        self, images: Tensor, others: Tensor, share: Tensor, generator: torch.Generator | None
    ) -> tuple[Tensor, Tensor]:
        return torch.lerp(others, images, share.view(-1, 1, 1, 1)), share


class CutMix(Mixing):
    """Puts a piece of another image into every image of a batch, and as much of its label into the label.

    x' = x_i outside a box, x_j inside it,   y' = l y_i + (1 - l) y_j,   l = 1 - area of the box / area

    The box has the proportions of the image, its sides a share sqrt(1 - u) of the image's with
    u ~ Beta(alpha, alpha), and its centre anywhere; what is beyond the edge is cut off, and l counts what is
    left. Box and partner j are drawn for every image i. CrossEntropyLoss takes the mixed labels.

    Args:
        alpha: of the Beta distribution: 1 makes all areas equally likely.
        num_classes: C, to turn labels into probabilities; None if they are that already.

    Shape:
        images ``(N, C', H, W)``, labels ``(N,)`` int64 or ``(N, C)`` -> images the same, labels ``(N, C)``.

    Raises:
        ValueError: if alpha is not above 0 or is above a million, there is no batch, or labels do not fit.
        TypeError: if labels are missing, or are class indices without ``num_classes``.

    Source: Yun et al., CutMix: Regularization Strategy to Train Strong Classifiers with Localizable Features
    (2019), section 3.1.
    """

    def mix(
        self, images: Tensor, others: Tensor, share: Tensor, generator: torch.Generator | None
    ) -> tuple[Tensor, Tensor]:
        height, width = images.shape[2:]
        side = (1 - share).double().sqrt()
        rows = _inside(height, side * height, uniform(images, generator, 0, height))
        columns = _inside(width, side * width, uniform(images, generator, 0, width))
        box = rows.unsqueeze(2) & columns.unsqueeze(1)  # (N, H, W)
        covered = box.flatten(1).to(images.dtype).mean(1)
        return torch.where(box.unsqueeze(1), others, images), 1 - covered


def _inside(size: int, length: Tensor, middle: Tensor) -> Tensor:
    """Says for each pixel along a side whether it is in the box: ``(N, size)``."""
    start, end = (middle - length / 2).round(), (middle + length / 2).round()
    pixel = torch.arange(size, device=middle.device)
    return (pixel >= start.unsqueeze(1)) & (pixel < end.unsqueeze(1))
