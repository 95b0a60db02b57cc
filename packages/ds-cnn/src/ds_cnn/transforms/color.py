"""Colours: brightness, contrast, saturation and hue of images in [0, 1], each by its formula.

Every function takes images ``(N, C, H, W)`` and one amount for each of them, ``(N,)``, and returns images.
"""

from __future__ import annotations

import torch
from torch import Tensor


def grey(images: Tensor) -> Tensor:
    """Returns how bright the eye finds each pixel, 0.299 R + 0.587 G + 0.114 B: ``(N, 1, H, W)``.

    Source: ITU-R BT.601, section 2.5.1.
    """
    if images.shape[1] == 1:
        return images
    red, green, blue = images.split(1, 1)
    return 0.299 * red + 0.587 * green + 0.114 * blue


def adjust_brightness(images: Tensor, factor: Tensor) -> Tensor:
    """Returns f x: 0 is black, 1 changes nothing."""
    return blend(images, torch.zeros_like(images[:, :1]), factor)


def adjust_contrast(images: Tensor, factor: Tensor) -> Tensor:
    """Returns f x + (1 - f) m, with m the mean brightness of the image: 0 is plain grey."""
    return blend(images, grey(images).mean((1, 2, 3), keepdim=True), factor)


def adjust_saturation(images: Tensor, factor: Tensor) -> Tensor:
    """Returns f x + (1 - f) grey(x): 0 has no colour left."""
    return blend(images, grey(images), factor)


def adjust_hue(images: Tensor, turn: Tensor) -> Tensor:
    """Moves every colour along the colour circle: 0 changes nothing, 1/2 or -1/2 gives the opposite colour.

    With v the largest of R, G, B and c the distance to the smallest, the hue h (from 0 to 6) says which of
    them is largest and how the middle one lies between; v and c stay, h turns:

    R = v - c k(5),   G = v - c k(3),   B = v - c k(1),   k(n) = max(0, min(t, 4 - t, 1)),   t = (n + h) mod 6

    Source: Smith, Color Gamut Transform Pairs (1978).
    """
    if images.shape[1] == 1:
        return images
    red, green, blue = images.unbind(1)  # (N, H, W)
    v = images.amax(1)
    c = v - images.amin(1)
    share = torch.where(c > 0, c, torch.ones_like(c))
    h = torch.where(
        v == red,
        (green - blue) / share,
        torch.where(v == green, 2 + (blue - red) / share, 4 + (red - green) / share),
    )
    h = h + 6 * _each(turn, images).squeeze(1)
    channels = []
    for n in (5, 3, 1):
        t = (n + h).remainder(6)
        channels.append(v - c * torch.minimum(t, 4 - t).clamp(0, 1))
    return torch.stack(channels, 1)


def blend(images: Tensor, others: Tensor, factor: Tensor) -> Tensor:
    """Returns f x + (1 - f) y, cut off at 0 and 1."""
    return torch.lerp(others.expand_as(images), images, _each(factor, images)).clamp(0, 1)


def _each(amount: Tensor, images: Tensor) -> Tensor:
    """Returns one number for each image, ready to broadcast: ``(N, 1, 1, 1)``."""
    return amount.to(images.dtype).view(-1, 1, 1, 1)
