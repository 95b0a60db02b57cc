"""LeNet-5: the convolutional network that read cheques."""

from __future__ import annotations

import torch
from ds_core import Dense, Flatten, ReLU, Sequential, Tanh

from ds_cnn.layers import AvgPool2d, Conv2d, MaxPool2d


class LeNet5(Sequential):
    """Two rounds of convolution and pooling, then three dense layers.

    y = dense(dense(dense(pool(conv(pool(conv(x))))))), with an activation after all but pooling and the last

    The network of 1998, except for details that have gone out of use: pooling has no weights, every channel
    of the second convolution sees all of the first, and the last layer is a plain dense one.

    Args:
        num_classes: how many numbers come out.
        in_channels: of the images.
        activation: "tanh" with average pooling, as then, or "relu" with maximum pooling, as now.
        image_size: 28, which the first convolution pads, or 32, padded already.
        generator: source of the initial values; None for torch's global one.

    Shape:
        x ``(N, in_channels, image_size, image_size)`` -> ``(N, num_classes)``; of images of other sizes, only
        those from which 5 x 5 pixels remain.

    Raises:
        ValueError: if the activation is unknown, the size is another one, or other than 5 x 5 pixels remain.

    Source: LeCun et al., Gradient-based learning applied to document recognition (1998), section II.B.
    """

    def __init__(
        self,
        num_classes: int = 10,
        in_channels: int = 1,
        activation: str = "tanh",
        *,
        image_size: int = 28,
        generator: torch.Generator | None = None,
    ) -> None:
        if activation not in ("tanh", "relu"):
            raise ValueError(f"LeNet5: expected activation 'tanh' or 'relu', got {activation!r}")
        if image_size not in (28, 32):
            raise ValueError(f"LeNet5: expected image_size 28 or 32, got {image_size}")
        act = Tanh if activation == "tanh" else ReLU
        pool = AvgPool2d if activation == "tanh" else MaxPool2d
        super().__init__(
            Conv2d(in_channels, 6, 5, padding=2 if image_size == 28 else 0, generator=generator),  # 28 x 28
            act(),
            pool(2),  # 14 x 14
            Conv2d(6, 16, 5, generator=generator),  # 10 x 10
            act(),
            pool(2),  # 5 x 5
            Flatten(),
            Dense(16 * 5 * 5, 120, generator=generator),
            act(),
            Dense(120, 84, generator=generator),
            act(),
            Dense(84, num_classes, generator=generator),
        )
