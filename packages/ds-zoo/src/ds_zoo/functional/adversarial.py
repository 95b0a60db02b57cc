"""The losses of a game: what a score costs whoever wants it to be high, or low."""

from __future__ import annotations

from typing import NamedTuple

import torch
from ds_core.functional.softplus import softplus
from torch import Tensor


class Saved(NamedTuple):
    """What the backwards need."""

    scores: Tensor  # (N,) or (N, 1)
    goal: float


def non_saturating(scores: Tensor, goal: float) -> tuple[Tensor, Saved]:
    """Surprise that what is real with probability t got the score s:   l = mean (softplus(s) - t s).

    Source: Goodfellow et al., Generative Adversarial Nets (2014), section 3.
    """
    return (softplus(scores)[0] - goal * scores).mean(), Saved(scores, goal)


def non_saturating_backward(grad: Tensor | float, saved: Saved) -> Tensor:
    """dl/ds = (sigmoid(s) - t) / N."""
    scores, goal = saved
    return grad * (1 / (1 + torch.exp(-scores)) - goal) / scores.numel()  # l = mean (softplus(s) - t s)


def least_squares(scores: Tensor, goal: float) -> tuple[Tensor, Saved]:
    """Distance of a score from the goal a:   l = 1/2 mean (s - a)^2.

    Source: Mao et al., Least Squares Generative Adversarial Networks (2017), equation 9, with goals 1 and 0.
    """
    return (scores - goal).square().mean() / 2, Saved(scores, goal)


def least_squares_backward(grad: Tensor | float, saved: Saved) -> Tensor:
    """dl/ds = (s - a) / N."""
    scores, goal = saved
    return grad * (scores - goal) / scores.numel()  # l = 1/2 mean (s - a)^2


def hinge(scores: Tensor, goal: float) -> tuple[Tensor, Saved]:
    """What is missing to a score of at least 1 in the direction a, 1 or -1:   l = mean max(0, 1 - a s).

    Source: Lim and Ye, Geometric GAN (2017), section 3.
    """
    missing = 1 - goal * scores
    return torch.where(missing > 0, missing, 0).mean(), Saved(scores, goal)


def hinge_backward(grad: Tensor | float, saved: Saved) -> Tensor:
    """dl/ds = -a / N where 1 - a s > 0, else 0."""
    scores, goal = saved
    slope = torch.where(1 - goal * scores > 0, -goal, scores.new_zeros(()))  # max(0, 1 - a s)
    return grad * slope / scores.numel()  # mean


def wasserstein(scores: Tensor, goal: float) -> tuple[Tensor, Saved]:
    """The mean score, to be raised where a is 1, lowered where it is -1:   l = -mean a s.

    Source: Arjovsky, Chintala, Bottou, Wasserstein GAN (2017), algorithm 1.
    """
    return -(goal * scores).mean(), Saved(scores, goal)


def wasserstein_backward(grad: Tensor | float, saved: Saved) -> Tensor:
    """dl/ds = -a / N."""
    scores, goal = saved
    return grad * torch.full_like(scores, -goal / scores.numel())  # l = -mean a s
