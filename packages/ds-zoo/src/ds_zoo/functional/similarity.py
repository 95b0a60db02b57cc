"""Similarity: how much each of some vectors points the way of each of others."""

from __future__ import annotations

from torch import Tensor


def similarity(
    images: Tensor, texts: Tensor, log_scale: Tensor
) -> tuple[Tensor, tuple[Tensor, Tensor, Tensor, Tensor]]:
    """Compares every image with every text: S = e^t I T^T.

    Args:
        images: I ``(N, D)``, of unit length.
        texts: T ``(M, D)``, of unit length.
        log_scale: t, the logarithm of one over the temperature, a scalar.

    Returns:
        S ``(N, M)``.
    """
    scale = log_scale.exp()
    logits = scale * (images @ texts.mT)
    return logits, (images, texts, scale, logits)


def similarity_backward(
    grad: Tensor, saved: tuple[Tensor, Tensor, Tensor, Tensor]
) -> tuple[Tensor, Tensor, Tensor]:
    """dL/dI = e^t G T,   dL/dT = e^t G^T I,   dL/dt = sum of G S."""
    images, texts, scale, logits = saved
    g = scale * grad  # S = e^t (I T^T)
    return g @ texts, g.mT @ images, (grad * logits).sum()  # I T^T; d e^t / dt = e^t
