"""MiniGAN and MiniDCGAN: a generator that makes examples of noise, and a discriminator that scores them."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any, Literal, final

import torch
from ds_cnn import BatchNorm2d, Conv2d, ConvTranspose2d
from ds_core import (
    Dense,
    Flatten,
    InputGrad,
    LayerNorm,
    LeakyReLU,
    Module,
    ReLU,
    Sequential,
    SpectralNorm,
    Tanh,
    Unflatten,
)
from ds_core.checks import check_numbers, check_whole, shape
from ds_core.initializers import normal_
from torch import Tensor

Norm = Literal["none", "batch", "layer", "spectral"]
SLOPE = 0.2  # of LeakyReLU, as in both papers
SMALLEST = 8  # pixels of a side


class _Player(Module):
    """What both have in common: layers, and the class of each example, which they are told if there are any.

    The class goes in as numbers besides: 1 for the class, 0 for the others; for images, as channels.
    """

    layers: Sequential
    features: tuple[int, ...]  # the shape of one input, without the class
    classes: int

    def told(self, x: Tensor, labels: Tensor | None) -> Tensor:
        """Checks the input, and joins it with its classes along dimension 1.

        Raises:
            ValueError: if x has another shape, or a label is none of the classes, or there are none.
            TypeError: if labels are no whole numbers.
        """
        if tuple(x.shape[1:]) != self.features:
            expected = ", ".join(map(str, ("N", *self.features)))
            raise ValueError(f"{self.label()}: expected input of shape ({expected}), got {shape(x)}")
        if not self.classes:
            return x
        if labels is None or labels.shape != x.shape[:1]:
            got = "none" if labels is None else shape(labels)
            raise ValueError(f"{self.label()}: expected a class for each of {len(x)} examples, got {got}")
        if labels.is_floating_point() or labels.dtype is torch.bool:
            raise TypeError(f"{self.label()}: expected classes as whole numbers, got {labels.dtype}")
        wrong = ((labels < 0) | (labels >= self.classes)).any()
        check_numbers(wrong, lambda: self._unknown(labels))
        known = (labels[:, None] == torch.arange(self.classes, device=x.device)).to(x)  # (N, classes)
        places = known.view(*known.shape, *[1] * (x.dim() - 2)).expand(-1, -1, *x.shape[2:])
        return torch.cat([x, places], 1)

    def _unknown(self, labels: Tensor) -> ValueError:
        return ValueError(
            f"{self.label()}: expected classes from 0 to {self.classes - 1}, got {labels.unique().tolist()}"
        )

    def forward(self, x: Tensor, labels: Tensor | None = None) -> Any:
        return self.layers(self.told(x, labels))

    def backward(self, grad: Tensor) -> InputGrad:
        grad_x = self.layers.backward(grad)
        return grad_x if grad_x is None else grad_x[:, : self.features[0]]

    def second_backward(self, grad_grad: Tensor) -> Any:
        unchanged = grad_grad.new_zeros(len(grad_grad), self.classes, *grad_grad.shape[2:])  # the classes
        return self.layers.second_backward(torch.cat([grad_grad, unchanged], 1))

    def requires_input_grad_(self, requires_input_grad: bool = True) -> Any:
        """Sets it for the first layer, too."""
        self.layers.requires_input_grad_(requires_input_grad)
        return super().requires_input_grad_(requires_input_grad)


@final
class Generator(_Player):
    """Makes examples of noise, by fully connected layers.

    G(z) = f(W_n relu(... relu(W_1 z + b_1)) + b_n),   f the identity or tanh

    Args:
        latent: numbers of noise for an example.
        shape: of an example, ``(2,)`` or ``(C, H, W)``.
        width: of the hidden layers.
        depth: how many of them.
        classes: of which the examples are; 0 if there are none.
        bounded: whether the numbers lie in [-1, 1], by tanh, as those of images.

    Shape:
        z ``(N, latent)``, labels ``(N,)`` or None -> ``(N, *shape)``.

    Raises:
        ValueError: if the input has another shape or a class does not exist.

    Source: Goodfellow et al., Generative Adversarial Nets (2014); Mirza and Osindero, Conditional Generative
    Adversarial Nets (2014), for the classes.
    """

    def __init__(
        self,
        latent: int,
        shape: Sequence[int],
        width: int = 128,
        depth: int = 2,
        classes: int = 0,
        bounded: bool = True,
    ) -> None:
        self.features, self.classes = (latent,), classes
        check_whole("Generator", latent=latent, width=width)
        check_whole("Generator", 0, depth=depth, classes=classes)
        sizes = [latent + classes, *[width] * depth]
        hidden = [part for a, b in pairwise(sizes) for part in (Dense(a, b), ReLU())]
        numbers = int(torch.Size(shape).numel())
        last: list[Module] = [Dense(sizes[-1], numbers), *([Tanh()] if bounded else [])]
        self.layers = Sequential(*hidden, *last, Unflatten(1, tuple(shape)))


@final
class Discriminator(_Player):
    """Scores examples, by fully connected layers: high for real, low for made.

    D(x) = w^T leaky(... leaky(W_1 x + b_1)) + b

    Args:
        shape: of an example, ``(2,)`` or ``(C, H, W)``.
        width: of the hidden layers.
        depth: how many of them.
        classes: of which the examples are; 0 if there are none.
        norm: "none", "layer", or "spectral" for every weight divided by its largest singular value.

    Shape:
        x ``(N, *shape)``, labels ``(N,)`` or None -> scores ``(N, 1)``.

    Raises:
        ValueError: if the input has another shape or a class does not exist.

    Source: as for :class:`Generator`; Miyato et al. (2018) for the spectral norm.
    """

    def __init__(
        self, shape: Sequence[int], width: int = 128, depth: int = 2, classes: int = 0, norm: Norm = "none"
    ) -> None:
        if norm not in ("none", "layer", "spectral"):
            raise ValueError(f"Discriminator: expected norm 'none', 'layer' or 'spectral', got {norm!r}")
        self.features, self.classes = tuple(shape), classes
        pixels = int(torch.Size(shape[1:]).numel())
        check_whole("Discriminator", width=width)
        check_whole("Discriminator", 0, depth=depth, classes=classes)
        sizes = [(shape[0] + classes) * pixels, *[width] * depth]
        hidden: list[Module] = []
        for a, b in pairwise(sizes):
            hidden += [_layer(Dense(a, b), norm), *([LayerNorm(b)] if norm == "layer" else [])]
            hidden += [LeakyReLU(SLOPE)]
        self.layers = Sequential(Flatten(), *hidden, _layer(Dense(sizes[-1], 1), norm))


@final
class DCGenerator(_Player):
    """Makes images of noise, by transposed convolutions, each of which doubles the side.

    Args:
        latent: numbers of noise for an image.
        channels: of the image.
        size: of its side in pixels, at least 8: 4, 5, 6 or 7 times a power of two.
        width: channels of the last hidden layer; each layer before has twice as many.
        classes: of which the images are; 0 if there are none.

    Shape:
        z ``(N, latent)``, labels ``(N,)`` or None -> ``(N, channels, size, size)``, numbers in [-1, 1].

    Raises:
        ValueError: if the side is none of these, the input has another shape or a class does not exist.

    Source: Radford, Metz, Chintala, Unsupervised Representation Learning with Deep Convolutional Generative
    Adversarial Networks (2016), section 3.
    """

    def __init__(
        self, latent: int = 100, channels: int = 1, size: int = 28, width: int = 32, classes: int = 0
    ) -> None:
        first, doublings = _sides("DCGenerator", size)
        check_whole("DCGenerator", latent=latent, channels=channels, width=width)
        check_whole("DCGenerator", 0, classes=classes)
        self.features, self.classes = (latent,), classes
        maps = [width * 2 ** (doublings - 1 - i) for i in range(doublings)]
        layers: list[Module] = [Unflatten(1, (latent + classes, 1, 1))]
        layers += [_normal(ConvTranspose2d(latent + classes, maps[0], first, bias=False))]
        for a, b in zip(maps, [*maps[1:], channels], strict=True):
            layers += [_normal(BatchNorm2d(a), 1.0), ReLU()]
            layers += [_normal(ConvTranspose2d(a, b, 4, 2, 1, bias=b == channels))]
        self.layers = Sequential(*layers, Tanh())


@final
class DCDiscriminator(_Player):
    """Scores images, by convolutions, each of which halves the side.

    Args:
        channels: of the image.
        size: of its side in pixels, as for :class:`DCGenerator`.
        width: channels of the first hidden layer; each layer after has twice as many.
        classes: of which the images are; 0 if there are none.
        norm: of the hidden layers: "batch", "layer" (which a gradient penalty needs), "spectral" or "none".

    Shape:
        x ``(N, channels, size, size)``, labels ``(N,)`` or None -> scores ``(N, 1)``.

    Raises:
        ValueError: if the side is none of these, the input has another shape or a class does not exist.

    Source: as for :class:`DCGenerator`; Miyato et al. (2018) for the spectral norm.
    """

    def __init__(
        self,
        channels: int = 1,
        size: int = 28,
        width: int = 32,
        classes: int = 0,
        norm: Norm = "batch",
    ) -> None:
        first, halvings = _sides("DCDiscriminator", size)
        check_whole("DCDiscriminator", channels=channels, width=width)
        check_whole("DCDiscriminator", 0, classes=classes)
        if norm not in ("none", "batch", "layer", "spectral"):
            raise ValueError(
                f"DCDiscriminator: expected norm 'batch', 'layer', 'spectral' or 'none', got {norm!r}"
            )
        self.features, self.classes = (channels, size, size), classes
        layers: list[Module] = []
        maps = [channels + classes, *(width * 2**i for i in range(halvings))]
        for i, (a, b) in enumerate(pairwise(maps)):
            side = size // 2 ** (i + 1)
            normed = i > 0 and norm == "batch"  # not right behind the image
            layers += [_layer(_normal(Conv2d(a, b, 4, 2, 1, bias=not normed)), norm)]
            if normed:  # it has a bias of its own
                layers += [_normal(BatchNorm2d(b), 1.0)]
            elif i and norm == "layer":
                layers += [LayerNorm((b, side, side))]
            layers += [LeakyReLU(SLOPE)]
        self.layers = Sequential(*layers, _layer(_normal(Conv2d(maps[-1], 1, first)), norm), Flatten())


def interpolate(a: Tensor, b: Tensor, steps: int) -> Tensor:
    """Walks from one point of the noise to another along a great circle, where noise lies.

    z_t = (sin((1 - t) w) a + sin(t w) b) / sin w,   w the angle between a and b

    Args:
        a: ``(latent,)``.
        b: ``(latent,)``.
        steps: how many points, both ends among them.

    Returns:
        ``(steps, latent)``.

    Raises:
        ValueError: if there are less than 2 steps, or the points are no vectors of one length.

    Source: White, Sampling Generative Networks (2016), section 2.1.
    """
    if steps < 2:
        raise ValueError(f"interpolate: expected at least 2 steps, got {steps}")
    if a.dim() != 1 or a.shape != b.shape:
        raise ValueError(f"interpolate: expected two points (latent,), got {shape(a)} and {shape(b)}")
    t = torch.linspace(0, 1, steps, dtype=a.dtype, device=a.device)[:, None]
    lengths = (a.square().sum() * b.square().sum()).sqrt()
    angle = torch.acos(((a * b).sum() / lengths).clamp(-1, 1))
    if not float(angle.sin()) >= 1e-6:  # the same direction, the opposite one, or none: no circle is given
        return (1 - t) * a + t * b
    return (torch.sin((1 - t) * angle) * a + torch.sin(t * angle) * b) / angle.sin()


def _layer(layer: Module, norm: str) -> Module:
    return SpectralNorm(layer) if norm == "spectral" else layer


def _normal(layer: Any, mean: float = 0.0) -> Any:
    """Draws the weight as DCGAN's authors do: N(0, 0.02), about 1 for a norm."""
    normal_(layer.weight, mean, 0.02)
    return layer


def _sides(name: str, size: int) -> tuple[int, int]:
    """Returns the side from which an image grows, 4 to 7 pixels, and how often it is doubled."""
    first, doublings = size, 0
    while first > 7 and first % 2 == 0:
        first, doublings = first // 2, doublings + 1
    if size < SMALLEST or not 4 <= first <= 7:
        raise ValueError(
            f"{name}: expected a side of at least {SMALLEST} pixels that is 4, 5, 6 or 7 times a "
            f"power of two, such as 28, 32 or 64, got {size}"
        )
    return first, doublings
