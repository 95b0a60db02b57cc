"""Convolution, batch norm and pooling alone, forward and backward, beside torch.nn.

Batches of 64 images, of 16 for the kernel of 7x7. Our layers get their images with channels last, as our
layers hand them on, torch's get contiguous ones; at its best torch gets either.
"""

from functools import partial
from typing import Any

import ds_cnn as ds
import torch
from ds_core.verify.benchmark import Sides, layer
from torch import nn

SHAPES: dict[str, tuple[int, tuple[int, ...], dict[str, Any]]] = {
    "3x3, 16 channels, 32x32": (32, (16, 16, 3), {"padding": 1}),
    "3x3, 64 channels, 32x32": (32, (64, 64, 3), {"padding": 1}),
    "3x3, 128 channels, 16x16": (16, (128, 128, 3), {"padding": 1}),
    "3x3, 256 channels, 8x8": (8, (256, 256, 3), {"padding": 1}),
    "3x3, 256 channels, 14x14": (14, (256, 256, 3), {"padding": 1}),
    "3x3, 512 channels, 4x4": (4, (512, 512, 3), {"padding": 1}),
    "4x4 stride 2, 64 to 128, 14x14": (14, (64, 128, 4), {"padding": 1, "stride": 2}),
    "3x3 stride 2, 64 to 128, 32x32": (32, (64, 128, 3), {"padding": 1, "stride": 2}),
    "1x1, 64 channels, 32x32": (32, (64, 64, 1), {}),
    "1x1, 256 channels, 16x16": (16, (256, 256, 1), {}),
    "7x7 stride 2, 3 to 64, 112x112": (112, (3, 64, 7), {"padding": 3, "stride": 2}),
    "3x3 depthwise, 64 channels, 32x32": (32, (64, 64, 3), {"padding": 1, "groups": 64}),
}
NORMS = ((64, 64, 32, 32), (64, 128, 16, 16), (64, 512, 4, 4))
POOLS = ("MaxPool2d", (2,)), ("AvgPool2d", (2,)), ("MaxPool2d", (3, 2, 1)), ("AvgPool2d", (3, 2, 1))


def convolution(size: int, arguments: tuple[int, ...], options: dict[str, Any]) -> Sides:
    x = torch.randn(16 if size > 100 else 64, arguments[0], size, size)
    pair = ds.Conv2d(*arguments, **options, bias=False), nn.Conv2d(*arguments, **options, bias=False)
    return layer(*pair, x, images=True)


def other(name: str, *arguments: Any, shape: tuple[int, ...] = NORMS[0]) -> Sides:
    return layer(
        getattr(ds, name)(*arguments), getattr(nn, name)(*arguments), torch.randn(shape), images=True
    )


ROWS = (
    {name: partial(convolution, *shape) for name, shape in SHAPES.items()}
    | {f"BatchNorm2d, {shape}": partial(other, "BatchNorm2d", shape[1], shape=shape) for shape in NORMS}
    | {f"{name}{arguments}, {NORMS[0]}": partial(other, name, *arguments) for name, arguments in POOLS}
)
