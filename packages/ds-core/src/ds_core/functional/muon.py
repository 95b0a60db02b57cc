"""Muon: one step, and how a matrix is made orthogonal."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor


def muon(
    p: Tensor,
    g: Tensor,
    state: dict[str, Any],
    *,
    lr: float,
    momentum: float,
    nesterov: bool,
    ns_coefficients: tuple[float, float, float],
    ns_steps: int,
    eps: float,
    adjust_lr_fn: str | None,
    ns_precision: str = "bfloat16",
) -> tuple[Tensor, dict[str, Any]]:
    """b = momentum b + (1 - momentum) g,   p = p - lr scale orthogonalize(u), where u = b.

    With Nesterov u = momentum b + (1 - momentum) g. The scale, of the shape (rows, columns), is
    sqrt(max(1, rows / columns)), or 0.2 sqrt(max(rows, columns)) for "match_rms_adamw".
    """
    b = momentum * state["momentum_buffer"] + (1 - momentum) * g
    u = momentum * b + (1 - momentum) * g if nesterov else b
    rows, columns = p.shape
    scale = math.sqrt(max(1, rows / columns))
    if adjust_lr_fn == "match_rms_adamw":
        scale = 0.2 * math.sqrt(max(rows, columns))
    step = orthogonalize(u, ns_coefficients, ns_steps, eps, ns_precision)
    return p - lr * scale * step.to(p.dtype), {"momentum_buffer": b}


def orthogonalize(
    matrix: Tensor,
    coefficients: tuple[float, float, float] = (3.4445, -4.775, 2.0315),
    steps: int = 5,
    eps: float = 1e-7,
    precision: str = "bfloat16",
) -> Tensor:
    """Brings all singular values of a matrix close to 1, by a polynomial, applied several times.

    X = matrix / |matrix|,   then ``steps`` times:   X = a X + b (X X^T) X + c (X X^T)^2 X

    Each time, a singular value s becomes a s + b s^3 + c s^5, while the singular vectors stay. The usual
    coefficients are chosen to lift small values fast, and leave all of them between about 0.7 and 1.2. That
    is close enough, so bfloat16 is precise enough.

    Args:
        matrix: ``(rows, columns)``, floating point.
        coefficients: (a, b, c).
        steps: how often.
        eps: least norm to divide by.
        precision: the type to multiply in, "bfloat16" or "float32".

    Returns:
        ``(rows, columns)``, of that type.

    Source: Jordan et al., Muon (2024); Bernstein and Newhouse, Old Optimizer, New Norm (2024), appendix A.
    """
    a, b, c = coefficients
    x = matrix.to(getattr(torch, precision))
    wide = x.shape[0] <= x.shape[1]
    x = x if wide else x.T  # so that the square X X^T is the smaller of the two
    norm = x.float().square().sum().sqrt().to(x.dtype)  # Frobenius: no singular value exceeds it
    x = x / norm.clamp(min=eps)
    for _ in range(steps):
        square = x @ x.T
        x = torch.addmm(x, torch.addmm(square, square, square, beta=b, alpha=c), x, beta=a)
    return x if wide else x.T
