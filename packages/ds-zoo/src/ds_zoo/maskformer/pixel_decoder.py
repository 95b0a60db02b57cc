"""From maps of features, ever smaller, back to one large map: a pyramid that is climbed down again."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from ds_cnn import Conv2d, PixelShuffle
from ds_cnn import functional as cnn
from ds_core import GroupNorm, Module, ModuleList, ReLU, Sequential
from ds_core.initializers import xavier_uniform_
from ds_core.kernels import dispatch
from torch import Tensor

from ds_zoo.heads import total

upsample, upsample_backward = dispatch(cnn.upsample, half=torch.float32)

GROUPS = 32  # of every group norm


class PyramidLayer(Module):
    """Joins what a small map knows with what a larger one, from earlier in the backbone, sees.

    y = relu(norm(W2 * (up(x) + norm(W1 * z))))

    up repeats pixels; W1 is 1 x 1, W2 is 3 x 3, without biases.

    Args:
        width: channels F of x and y.
        lateral: channels of z.
        generator: source of initial values.

    Shape:
        x ``(B, F, h, w)``, z ``(B, lateral, H, W)`` -> ``(B, F, H, W)``.

    Source: Lin et al., Feature Pyramid Networks for Object Detection (2017), section 3, with the norms of
    Cheng et al., Per-Pixel Classification is Not All You Need for Semantic Segmentation (2021), section 4.1.
    """

    def __init__(self, width: int, lateral: int, *, generator: torch.Generator | None = None) -> None:
        self.proj = Sequential(
            Conv2d(lateral, width, 1, bias=False, init=xavier_uniform_, generator=generator),
            GroupNorm(GROUPS, width),
        )
        self.block = smooth(width, width, generator)

    def forward(self, x: Tensor, z: Tensor) -> Tensor:
        z = self.proj(z)
        up, saved = upsample(x, (z.shape[2], z.shape[3]), "nearest", False, (None, None))
        self.save(saved)
        return self.block(up + z)

    def backward(self, grad: Tensor) -> tuple[Tensor, Tensor]:
        (saved,) = self.saved()
        grad = self.block.backward(grad)
        return upsample_backward(grad, saved), self.proj.backward(grad)


class PixelDecoder(Module):
    """Gives every place of a large map a vector, from maps of all sizes.

    x_L = relu(norm(W * z_L)),   x_l = layer_l(x_(l+1), z_l),   P = W' * x_1 + b

    With ``finer`` above 1, P has that many times as many places along each side: W' gives each place of x_1
    the vectors of all those that it is cut into.

    Args:
        channels: of the maps z_1, ..., z_L, the largest map first.
        width: F, the channels in between, a multiple of 32.
        out: E, the length of the vectors.
        finer: f, by how much P is larger than the largest map.
        generator: source of initial values.

    Shape:
        L maps ``(B, channels[l], H_l, W_l)`` -> P ``(B, E, f H_1, f W_1)`` and x_L, ..., x_1, each
        ``(B, F, H_l, W_l)``; ``backward`` takes as many gradients and returns those of the L maps.

    Source: Cheng et al., Per-Pixel Classification is Not All You Need for Semantic Segmentation (2021),
    section 4.1; finer places: Shi et al., Real-Time Single Image and Video Super-Resolution Using an
    Efficient Sub-Pixel Convolutional Neural Network (2016), section 3.2.
    """

    def __init__(
        self,
        channels: Sequence[int],
        width: int,
        out: int,
        finer: int = 1,
        *,
        generator: torch.Generator | None = None,
    ) -> None:
        self.stem = smooth(channels[-1], width, generator)
        self.layers = ModuleList(
            PyramidLayer(width, lateral, generator=generator) for lateral in reversed(channels[:-1])
        )
        self.mask_projection = Conv2d(width, out * finer**2, 3, padding=1, generator=generator)
        self.cut = PixelShuffle(finer) if finer > 1 else None

    def forward(self, *maps: Tensor) -> tuple[Tensor, ...]:
        pyramid = [self.stem(maps[-1])]
        for layer, z in zip(self.layers, reversed(maps[:-1]), strict=True):
            pyramid.append(layer(pyramid[-1], z))
        places = self.mask_projection(pyramid[-1])
        return (places if self.cut is None else self.cut(places), *pyramid)

    def backward(self, grad: Tensor, *grad_pyramid: Tensor | None) -> Any:
        given = list(grad_pyramid) or [None] * (len(self.layers) + 1)
        if len(given) != len(self.layers) + 1:
            raise ValueError(
                f"{self.label()}: expected {len(self.layers) + 1} gradients after the first, or none, "
                f"got {len(given)}"
            )
        if self.cut is not None:
            grad = self.cut.backward(grad)
        grad = total(self.mask_projection.backward(grad), given.pop())
        grads = []
        for layer in reversed(self.layers):
            grad, of_map = layer.backward(grad)
            grad = total(grad, given.pop())
            grads.append(of_map)
        grads.append(self.stem.backward(grad))
        return grads[0] if len(grads) == 1 else tuple(grads)


def smooth(channels: int, width: int, generator: torch.Generator | None) -> Sequential:
    """Makes relu(norm(W * x)) with W 3 x 3."""
    return Sequential(
        Conv2d(channels, width, 3, padding=1, bias=False, init=xavier_uniform_, generator=generator),
        GroupNorm(GROUPS, width),
        ReLU(),
    )
