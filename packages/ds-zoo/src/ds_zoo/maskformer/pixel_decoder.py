"""From maps of features, ever smaller, back to one large map: a pyramid that is climbed down again."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from ds_cnn import Conv2d
from ds_cnn import functional as cnn
from ds_core import GroupNorm, Module, ModuleList, ReLU, Sequential
from ds_core.initializers import xavier_uniform_
from ds_core.kernels import dispatch
from torch import Tensor

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
    """Gives every place of the largest map a vector, from maps of all sizes.

    x_L = relu(norm(W * z_L)),   x_l = layer_l(x_(l+1), z_l),   P = W' * x_1 + b

    Args:
        channels: of the maps z_1, ..., z_L, the largest map first.
        width: F, the channels in between, a multiple of 32.
        out: E, the length of the vectors.
        generator: source of initial values.

    Shape:
        L maps ``(B, channels[l], H_l, W_l)`` -> ``(B, E, H_1, W_1)``; ``backward`` returns as many gradients.

    Source: Cheng et al., Per-Pixel Classification is Not All You Need for Semantic Segmentation (2021),
    section 4.1.
    """

    def __init__(
        self, channels: Sequence[int], width: int, out: int, *, generator: torch.Generator | None = None
    ) -> None:
        self.stem = smooth(channels[-1], width, generator)
        self.layers = ModuleList(
            PyramidLayer(width, lateral, generator=generator) for lateral in reversed(channels[:-1])
        )
        self.mask_projection = Conv2d(width, out, 3, padding=1, generator=generator)

    def forward(self, *maps: Tensor) -> Tensor:
        x = self.stem(maps[-1])
        for layer, z in zip(self.layers, reversed(maps[:-1]), strict=True):
            x = layer(x, z)
        return self.mask_projection(x)

    def backward(self, grad: Tensor) -> Any:
        grad = self.mask_projection.backward(grad)
        grads = []
        for layer in reversed(self.layers):
            grad, of_map = layer.backward(grad)
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
