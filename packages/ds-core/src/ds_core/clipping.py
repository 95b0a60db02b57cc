"""Gradient clipping: keeps one bad batch from throwing the parameters far off."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

import torch
from torch import Tensor

from ds_core.kernels import HALF
from ds_core.kernels.elementary import number

_EPS = 1e-6  # torch.nn.utils' too: keeps the factor finite
_PART = 1 << 18  # adding up more squares than this in one go costs digits in float32


def clip_grad_norm_(
    parameters: Tensor | Iterable[Tensor],
    max_norm: float,
    norm_type: float = 2.0,
    error_if_nonfinite: bool = False,
    foreach: bool | None = None,
) -> Tensor:
    """Scales all gradients by one factor, so that their common norm is at most ``max_norm``.

    n = (sum over all gradients of |g|^norm_type)^(1/norm_type),   g = g min(1, max_norm / (n + 1e-6))

    Args:
        parameters: one tensor or several; those without a gradient are skipped.
        max_norm: the largest norm allowed.
        norm_type: any number > 0; ``inf`` for the largest absolute value.
        error_if_nonfinite: raises, and changes nothing, if n is infinite or NaN.
        foreach: without effect; the numbers are the same whatever it is.

    Returns:
        n before clipping, a scalar; of gradients in half precision in float32, where their squares have room.

    Raises:
        ValueError: if ``max_norm`` is negative or ``norm_type`` not positive.
        RuntimeError: if n is not finite and ``error_if_nonfinite`` is set.

    Source: Pascanu et al., On the difficulty of training recurrent neural networks (2013), algorithm 1.
    """
    max_norm, norm_type = float(max_norm), float(norm_type)  # "inf", too
    if not max_norm >= 0:
        raise ValueError(f"clip_grad_norm_: expected max_norm >= 0, got {max_norm}")
    if not norm_type > 0:
        raise ValueError(f"clip_grad_norm_: expected norm_type > 0, got {norm_type}")
    grads = _grads(parameters)
    with torch.no_grad():
        norm = _norm(grads, norm_type)
        if error_if_nonfinite and not norm.isfinite():
            raise RuntimeError(
                f"clip_grad_norm_: expected a finite norm of the gradients, got {norm.item()}; "
                "error_if_nonfinite=False scales them nevertheless"
            )
        _scale(grads, max_norm, norm.item())
    return norm


def grad_norm(parameters: Tensor | Iterable[Tensor], norm_type: float = 2.0) -> Tensor:
    """Returns the norm n of all gradients together, a scalar on their device; see :func:`clip_grad_norm_`."""
    with torch.no_grad():
        return _norm(_grads(parameters), norm_type)


def scale_to_norm_(parameters: Tensor | Iterable[Tensor], max_norm: float, norm: float | Tensor) -> None:
    """Scales gradients whose norm is known as :func:`clip_grad_norm_` does.

    So it can be read from the device together with other numbers, or not at all.

    Args:
        parameters: one tensor or several; those without a gradient are skipped.
        max_norm: the largest norm allowed.
        norm: what :func:`grad_norm` returned, or its number.
    """
    with torch.no_grad():
        _scale(_grads(parameters), max_norm, norm)


def _scale(grads: list[Tensor], max_norm: float, norm: float | Tensor) -> None:
    factor = max_norm / (norm + _EPS)
    if isinstance(factor, Tensor):  # to look at it would be to wait for the device
        factor = factor.clamp(max=1)
        for grad in grads:
            grad.mul_(factor.to(grad.device))
        return
    if not factor >= 1:  # also when it is NaN
        for grad in grads:
            grad.mul_(number(factor, grad))


def clip_grad_value_(
    parameters: Tensor | Iterable[Tensor], clip_value: float, foreach: bool | None = None
) -> None:
    """Cuts every number of every gradient to [-clip_value, clip_value].

    Args:
        parameters: one tensor or several; those without a gradient are skipped.
        clip_value: the largest absolute value allowed.
        foreach: without effect; the numbers are the same whatever it is.

    Raises:
        ValueError: if ``clip_value`` is negative.
    """
    if not clip_value >= 0:
        raise ValueError(f"clip_grad_value_: expected clip_value >= 0, got {clip_value}")
    with torch.no_grad():
        for grad in _grads(parameters):
            grad.clamp_(-clip_value, clip_value)


def _grads(parameters: Tensor | Iterable[Tensor]) -> list[Tensor]:
    """Returns the gradients that hold any numbers."""
    several = [parameters] if isinstance(parameters, Tensor) else parameters
    return [p.grad for p in several if p.grad is not None and p.grad.numel() > 0]


def _norm(grads: list[Tensor], norm_type: float) -> Tensor:
    """Returns the norm of all gradients laid end to end, of half precision ones in float32."""
    if not grads:
        return torch.tensor(0.0)
    device = grads[0].device
    grads = [grad.float() if grad.dtype in HALF else grad for grad in grads]
    if math.isinf(norm_type):
        return torch.stack([grad.abs().max().to(device) for grad in grads]).max()
    if norm_type == 2:  # a product of the vector with itself needs no intermediate tensor
        parts = [part for grad in grads for part in _parts(grad.reshape(-1))]
        powers = [torch.dot(part, part) for part in parts]
        return torch.stack([power.to(device) for power in powers]).sum().sqrt()
    powers = [grad.abs().pow(norm_type).sum() for grad in grads]
    return torch.stack([power.to(device) for power in powers]).sum().pow(1 / norm_type)


def _parts(vector: Tensor) -> Sequence[Tensor]:
    return (vector,) if len(vector) <= _PART else vector.split(_PART)
