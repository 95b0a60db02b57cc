"""SmallVGG: blocks of 3x3 convolutions, each block at half the size and twice the channels."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import torch
from ds_core import Dense, Dropout, Module, ReLU, Sequential
from ds_core.checks import check_whole
from ds_core.initializers import he_normal_

from ds_cnn.layers import BatchNorm2d, Conv2d, GlobalAvgPool2d, MaxPool2d


class SmallVGG(Sequential):
    """Stacks 3x3 convolutions, halves the image with a pool after each block, and ends in one dense layer.

    y = dense(mean(block(... block(x)))),   block = pool(relu(norm(conv(... x))))

    Two 3x3 convolutions see as much as one of 5x5, with fewer weights and one more nonlinearity: that is the
    idea. Batch norm and the mean at the end, instead of the paper's huge dense layers, keep it small.

    Args:
        num_classes: how many numbers come out.
        in_channels: of the images.
        widths: channels of each block.
        depth: convolutions of each block.
        dropout: probability of dropping a feature before the dense layer.
        generator: source of the initial values and of dropout; None for torch's global one.

    Shape:
        x ``(N, in_channels, H, W)``, H and W at least ``2 ** len(widths)`` -> ``(N, num_classes)``.

    Source: Simonyan, Zisserman, Very Deep Convolutional Networks for Large-Scale Image Recognition (2015),
    section 2.
    """

    def __init__(
        self,
        num_classes: int = 10,
        in_channels: int = 3,
        widths: Sequence[int] = (32, 64, 128),
        depth: int = 2,
        dropout: float = 0.0,
        *,
        generator: torch.Generator | None = None,
    ) -> None:
        check_whole("SmallVGG", depth=depth)
        init = partial(he_normal_, mode="fan_out", nonlinearity="relu")
        modules: list[Module] = []
        channels = in_channels
        for width in widths:
            for _ in range(depth):
                conv = Conv2d(channels, width, 3, padding=1, bias=False, init=init, generator=generator)
                modules += [conv, BatchNorm2d(width), ReLU()]
                channels = width
            modules.append(MaxPool2d(2))
        modules += [GlobalAvgPool2d(), Dropout(dropout, generator=generator)]
        super().__init__(*modules, Dense(channels, num_classes, generator=generator))
