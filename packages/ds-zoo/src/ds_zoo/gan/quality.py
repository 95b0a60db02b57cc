"""How good samples are: the Frechet distance of their features, their precision and recall."""

from __future__ import annotations

import math

import torch
from ds_core.checks import check_whole
from torch import Tensor

NEIGHBOURS = 3  # by which precision and recall go, as in their paper
_STEPS = 100  # of Newton and Schulz, at most
_BLOCK = 1024  # rows of distances at a time


def square_root(matrix: Tensor) -> Tensor:
    """Returns the square root of a symmetric matrix without negative eigenvalues, by products alone.

    Y_0 = A / |A|,  Z_0 = I,   T = (3 I - Z Y) / 2,   Y <- Y T,  Z <- T Z;   Y -> A^(1/2) / |A|^(1/2)

    It ends when Y^2 comes no nearer to A: what is left is rounding, of which eigenvalues that should be zero
    and are a little less would make more and more.

    Args:
        matrix: A ``(n, n)``.

    Source: Higham, Functions of Matrices (2008), equation 6.35, the iteration of Newton and Schulz.
    """
    norm = matrix.square().sum().sqrt()
    if not float(norm):
        return matrix.clone()
    eye = torch.eye(len(matrix), dtype=matrix.dtype, device=matrix.device)
    scaled, root, least = matrix / norm, matrix / norm, math.inf
    y, z = scaled, eye
    for _ in range(_STEPS):
        t = (3 * eye - z @ y) / 2
        y, z = y @ t, t @ z
        wrong = float((y @ y - scaled).square().sum())
        if not wrong < least:
            break
        root, least = y, wrong
    return root * norm.sqrt()


def frechet_distance(real: Tensor, made: Tensor) -> float:
    """Measures how far two clouds of features are apart, each taken for a normal distribution.

    d^2 = |m - m'|^2 + tr(S + S' - 2 (S^(1/2) S' S^(1/2))^(1/2))

    Args:
        real: features of real examples ``(N, F)``.
        made: features of made ones ``(M, F)``.

    Returns:
        d^2; 0 for equal means and covariances.

    Raises:
        ValueError: if either has less than two rows, or another number of features.

    Source: Heusel et al., GANs Trained by a Two Time-Scale Update Rule (2017), equation 6.
    """
    _check(real, made)
    (m, s), (m2, s2) = (_moments(x.double()) for x in (real, made))
    root = square_root(s)
    between = square_root(root @ s2 @ root)
    return float((m - m2).square().sum() + (s + s2 - 2 * between).diagonal().sum())


def precision_recall(real: Tensor, made: Tensor, neighbours: int = NEIGHBOURS) -> tuple[float, float]:
    """Says how many made examples lie among real ones, and how many real ones among made ones.

    An example lies among others if it is no farther from one of them than that one's k-th neighbour is.

    Args:
        real: features of real examples ``(N, F)``.
        made: features of made ones ``(M, F)``.
        neighbours: k.

    Returns:
        Precision (low: samples that look like nothing) and recall (low: modes that are lost), shares.

    Raises:
        ValueError: if either has no more than k rows, or another number of features.

    Source: Kynkaanniemi et al., Improved Precision and Recall Metric for Assessing Generative Models (2019),
    equation 1.
    """
    check_whole("precision_recall", neighbours=neighbours)
    _check(real, made, neighbours + 1)
    return _among(made, real, neighbours), _among(real, made, neighbours)


def _among(x: Tensor, others: Tensor, neighbours: int) -> float:
    """Returns the share of x that lies among others."""
    x, others = x.double(), others.double()
    radii = torch.cat(  # the nearest is the point itself
        [squares.topk(neighbours + 1, largest=False).values[:, -1] for squares in _squares(others, others)]
    )
    return float(torch.cat([(squares <= radii).any(1) for squares in _squares(x, others)]).double().mean())


def _squares(x: Tensor, others: Tensor) -> list[Tensor]:
    """Returns squared distances from each of x to each of others, in blocks of rows."""
    lengths = others.square().sum(1)
    return [
        (rows.square().sum(1, keepdim=True) + lengths - 2 * rows @ others.T).clamp(min=0)
        for rows in x.split(_BLOCK)
    ]


def _moments(x: Tensor) -> tuple[Tensor, Tensor]:
    """Returns mean and covariance of rows."""
    mean = x.mean(0)
    return mean, (x - mean).T @ (x - mean) / (len(x) - 1)


def _check(real: Tensor, made: Tensor, least: int = 2) -> None:
    if (
        real.dim() != 2
        or made.dim() != 2
        or real.shape[1] != made.shape[1]
        or min(len(real), len(made)) < least
    ):
        raise ValueError(
            f"expected features of shape (N, F) and (M, F) with at least {least} rows each, got "
            f"{tuple(real.shape)} and {tuple(made.shape)}"
        )
