"""Global pooling: one number for each channel, wherever in the image it came from."""

from __future__ import annotations

from ds_core import InputGrad
from torch import Tensor

from ds_cnn.layers.adaptive_avg_pool2d import AdaptiveAvgPool2d
from ds_cnn.layers.adaptive_max_pool2d import AdaptiveMaxPool2d


class GlobalAvgPool2d(AdaptiveAvgPool2d):
    """Takes the mean of each channel.

    y = mean over i, j of x[i, j],   dL/dx[i, j] = dL/dy / (H W)

    Args:
        algorithm: "vectorised" or "loop".

    Shape:
        x ``(N, C, H, W)`` or ``(C, H, W)`` -> ``(N, C)`` or ``(C,)``.

    Raises:
        ValueError: if x has other dimensions or no pixels.
        TypeError: if x is not floating point.

    Source: Lin, Chen, Yan, Network In Network (2014), section 3.2.
    """

    def __init__(self, *, algorithm: str = "vectorised") -> None:
        super().__init__(1, algorithm=algorithm)

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x).squeeze(-1).squeeze(-1)

    def backward(self, grad: Tensor) -> InputGrad:
        return super().backward(grad[..., None, None])

    def extra_repr(self) -> str:
        return ""


class GlobalMaxPool2d(AdaptiveMaxPool2d):
    """Takes the largest pixel of each channel.

    y = max over i, j of x[i, j],   dL/dx[the largest, the first of equals] = dL/dy, 0 elsewhere

    Args:
        algorithm: "vectorised" or "loop".

    Shape:
        x ``(N, C, H, W)`` or ``(C, H, W)`` -> ``(N, C)`` or ``(C,)``.

    Raises:
        ValueError: if x has other dimensions or no pixels.
        TypeError: if x is not floating point.

    Source: Oquab et al., Is object localization for free? (2015), section 3.
    """

    def __init__(self, *, algorithm: str = "vectorised") -> None:
        super().__init__(1, algorithm=algorithm)

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x).squeeze(-1).squeeze(-1)

    def backward(self, grad: Tensor, grad_indices: None = None) -> InputGrad:
        return super().backward(grad[..., None, None])

    def extra_repr(self) -> str:
        return ""
