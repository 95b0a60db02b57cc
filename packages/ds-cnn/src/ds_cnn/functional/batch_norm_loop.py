"""Batch normalisation by loops: the definition, channel by channel, pixel by pixel. Slow; read it first."""

from __future__ import annotations

import torch
from torch import Tensor

Saved = tuple[Tensor, Tensor, Tensor | None, float]


def batch_norm_loop(
    x: Tensor, weight: Tensor | None, bias: Tensor | None, eps: float
) -> tuple[tuple[Tensor, Tensor, Tensor], Saved]:
    """Brings every channel to mean 0 and variance 1 over the batch and its pixels, then scales and shifts it.

    n = (x - mean) / sqrt(var + eps),   y = n weight + bias

    Args:
        x: ``(N, C, H, W)``.
        weight: ``(C,)``; None for 1.
        bias: ``(C,)``; None for 0.
        eps: added to the variance.

    Returns:
        y, shaped like x, and of each channel the mean and the variance, ``(C,)``; and saved.
    """
    n_images, channels, height, width = x.shape
    count = n_images * height * width
    y, normalized = torch.zeros_like(x), torch.zeros_like(x)
    mean, var = x.new_zeros(channels), x.new_zeros(channels)
    for c in range(channels):
        total, squares = x.new_zeros(()), x.new_zeros(())
        for n in range(n_images):
            for i in range(height):
                for j in range(width):
                    total = total + x[n, c, i, j]
        mean[c] = middle = total / count
        for n in range(n_images):
            for i in range(height):
                for j in range(width):
                    squares = squares + (x[n, c, i, j] - middle) ** 2
        var[c] = spread = squares / count
        for n in range(n_images):
            for i in range(height):
                for j in range(width):
                    pixel = (x[n, c, i, j] - middle) / (spread + eps).sqrt()
                    normalized[n, c, i, j] = pixel
                    scaled = pixel if weight is None else pixel * weight[c]
                    y[n, c, i, j] = scaled if bias is None else scaled + bias[c]
    return (y, mean, var), (normalized, var, weight, eps)


def batch_norm_loop_backward(grad: Tensor, saved: Saved) -> tuple[Tensor, Tensor, Tensor]:
    """Returns the gradients of x, weight and bias.

    dL/dbias = sum of g,   dL/dweight = sum of g n,
    dL/dx = (g - dL/dbias / count - n dL/dweight / count) weight / sqrt(var + eps)

    Args:
        grad: g = dL/dy, ``(N, C, H, W)``.
        saved: from the forward.
    """
    normalized, var, weight, eps = saved
    n_images, channels, height, width = grad.shape
    count = n_images * height * width
    grad_x = torch.zeros_like(grad)
    grad_weight, grad_bias = torch.zeros_like(var), torch.zeros_like(var)
    for c in range(channels):
        for n in range(n_images):
            for i in range(height):
                for j in range(width):
                    grad_bias[c] += grad[n, c, i, j]
                    grad_weight[c] += grad[n, c, i, j] * normalized[n, c, i, j]
        scale = (1 if weight is None else weight[c]) / (var[c] + eps).sqrt()
        for n in range(n_images):
            for i in range(height):
                for j in range(width):
                    shared = grad_bias[c] / count + normalized[n, c, i, j] * grad_weight[c] / count
                    grad_x[n, c, i, j] = (grad[n, c, i, j] - shared) * scale
    return grad_x, grad_weight, grad_bias
