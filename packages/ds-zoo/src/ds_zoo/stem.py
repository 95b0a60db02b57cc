"""How images become vectors, one for each patch: what ViT and CLIP share."""

from __future__ import annotations

import torch
from ds_cnn import Conv2d
from ds_core import GroupNorm, Module, ReLU, Sequential
from ds_core.initializers import Init

STEMS = ("patch", "conv")


def stem(
    kind: str,
    channels: int,
    width: int,
    size: tuple[int, int],
    *,
    bias: bool = True,
    init: Init,
    generator: torch.Generator | None = None,
) -> Module:
    """Makes what turns patches into vectors.

    "patch" is one convolution whose stride is its kernel, as published. "conv" is a few 3 x 3 convolutions
    with stride 2, each with norm and ReLU, the last of which has C channels, and a 1 x 1 convolution: they
    overlap, see edges and colours from the start and need fewer images.

    Args:
        kind: "patch" or "conv".
        channels: of the images.
        width: C.
        size: height and width of a patch.
        bias: whether the convolution of "patch" has a bias.
        init: its initial weights.
        generator: source of initial values.

    Shape:
        ``(B, channels, H, W)`` -> ``(B, C, rows, columns)``.

    Source: Xiao et al., Early Convolutions Help Transformers See Better (2021), section 4.
    """
    if kind == "patch":
        return Conv2d(channels, width, size, size, bias=bias, init=init, generator=generator)
    halvings = size[0].bit_length() - 1
    parts: list[Module] = []
    for more in reversed(range(halvings)):
        out = max(1, width >> more)
        parts += [
            Conv2d(channels, out, 3, 2, 1, bias=False, init="he_normal", generator=generator),
            GroupNorm(1, out),
            ReLU(),
        ]
        channels = out
    return Sequential(*parts, Conv2d(channels, width, 1, bias=bias, generator=generator))


def check_stem(name: str, kind: str, size: tuple[int, int]) -> None:
    """Checks that there is such a stem for patches of that size; errors begin with ``name``."""
    if kind not in STEMS:
        raise ValueError(f"{name}: expected stem {' or '.join(map(repr, STEMS))}, got {kind!r}")
    side = size[0]
    if kind == "conv" and (size[1] != side or side < 2 or side & (side - 1)):
        raise ValueError(f"{name}: expected patch_size of 2, 4, 8 ... with stem='conv', got {size}")
