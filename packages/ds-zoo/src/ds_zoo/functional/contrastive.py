"""The contrastive loss: every image must find its text among all texts, and every text its image."""

from __future__ import annotations

import torch
from ds_core.functional.softmax import log_softmax
from torch import Tensor


def contrastive(logits: Tensor, same: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """Adds up surprise in both directions.

    l = -1/2N (sum_ij R_ij log P_ij + sum_ij C_ij log Q_ij)

    P is the softmax of S over the texts of each image, Q that over the images of each text. With A_ij = 1
    where text j is as true of image i as its own, R is A with rows that sum to 1, C with columns that do.

    Args:
        logits: S ``(N, N)``, pairs on the diagonal.
        same: A ``(N, N)``; None for the diagonal.

    Returns:
        The loss, a scalar, and its slope (P - R + Q - C) / 2N.
    """
    n = len(logits)
    i = torch.arange(n, device=logits.device)
    a = torch.where(i[:, None] == i if same is None else same, logits.new_ones(()), 0)
    rows, columns = a / a.sum(1, keepdim=True), a / a.sum(0, keepdim=True)
    by_image, _ = log_softmax(logits, 1)
    by_text, _ = log_softmax(logits, 0)
    loss = -((rows * by_image).sum() + (columns * by_text).sum()) / (2 * n)
    return loss, (by_image.exp() - rows + by_text.exp() - columns) / (2 * n)


def contrastive_backward(grad: Tensor | float, saved: Tensor) -> Tensor:
    """dl/dS = (P - R + Q - C) / 2N: each softmax less what it should have been."""
    return grad * saved  # l = H(R, P) / 2N + H(C, Q) / 2N
