"""Mask logits: how much each place of an image belongs to each query."""

from __future__ import annotations

from torch import Tensor


def mask_logits(queries: Tensor, places: Tensor) -> tuple[Tensor, tuple[Tensor, Tensor]]:
    """Compares every query with every place:   M_q(y, x) = sum_c e_qc P_c(y, x).

    Args:
        queries: e ``(B, Q, C)``.
        places: P ``(B, C, H, W)``.

    Returns:
        M ``(B, Q, H, W)``.
    """
    rows = places.flatten(2)  # (B, C, H W)
    logits = (queries @ rows).unflatten(2, places.shape[2:])
    return logits, (queries, places)


def mask_logits_backward(grad: Tensor, saved: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
    """dL/de = G P^T,   dL/dP = e^T G,   places as columns."""
    queries, places = saved
    g = grad.flatten(2)  # (B, Q, H W)
    grad_places = (queries.mT @ g).view(places.shape)  # M = e P
    return g @ places.flatten(2).mT, grad_places  # M = e P
