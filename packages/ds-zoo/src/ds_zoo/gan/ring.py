"""The ring of Gaussians: data so plain that a generator's every failing can be seen."""

from __future__ import annotations

import math

import torch
from torch import Tensor

MODES = 8
RADIUS = 1.0
SPREAD = 0.05  # standard deviation of each Gaussian


def ring(samples: int, seed: int = 0) -> tuple[Tensor, Tensor]:
    """Draws points around eight places on a circle of radius 1, with standard deviation 0.05.

    Args:
        samples: how many.
        seed: same seed, same points.

    Returns:
        Points ``(samples, 2)``, and which of the eight each belongs to ``(samples,)``.

    Source: Metz et al., Unrolled Generative Adversarial Networks (2017), section 3.1, with another spread.
    """
    draw = torch.Generator().manual_seed(seed)
    modes = torch.randint(MODES, (samples,), generator=draw)
    return centres()[modes] + SPREAD * torch.randn(samples, 2, generator=draw), modes


def centres() -> Tensor:
    """Returns the eight places ``(8, 2)``."""
    angle = 2 * math.pi * torch.arange(MODES) / MODES
    return RADIUS * torch.stack([angle.cos(), angle.sin()], 1)


def found(points: Tensor) -> tuple[Tensor, float]:
    """Says how many of the points lie within three standard deviations of each place, and the share of all.

    Args:
        points: ``(N, 2)``.

    Returns:
        Counts ``(8,)``, and the share; of the data themselves it is 0.989.
    """
    squares = (points[:, None] - centres().to(points)).square().sum(2)  # (N, 8)
    near = squares < (3 * SPREAD) ** 2
    return near.sum(0), float(near.any(1).double().mean())
