"""Prints what the scale of the scores does to softmax: with 1 / sqrt(D), and without."""

import math

import torch
from ds_core.functional import softmax, softmax_backward
from torch import Tensor

QUERIES, KEYS = 1024, 64


def measure(width: int, scale: float) -> tuple[float, float, float, float]:
    """Returns the scores' deviation, the mean entropy, and mean and median of the norm of dA."""
    draw = torch.Generator().manual_seed(0)

    def normal(*size: int) -> Tensor:
        return torch.randn(*size, generator=draw, dtype=torch.float64)

    query, key, grad = normal(QUERIES, width), normal(QUERIES, KEYS, width), normal(QUERIES, KEYS)
    scores = scale * (key @ query.unsqueeze(-1)).squeeze(
        -1
    )  # (QUERIES, KEYS): each query has keys of its own
    p, saved = softmax(scores)
    entropy = -(p * p.clamp(min=1e-300).log()).sum(-1).mean()
    norms = softmax_backward(grad, saved).norm(dim=-1)  # of dA, for dP from the normal distribution
    return float(scores.std()), float(entropy), float(norms.mean()), float(norms.median())


if __name__ == "__main__":
    print(f"{QUERIES} queries, {KEYS} keys each; the entropy is at most {math.log(KEYS):.2f}")
    print("    D     scale  deviation   entropy  mean of dA   median")
    for width in (4, 16, 64, 256, 1024):
        for scale in (1.0, 1 / math.sqrt(width)):
            deviation, entropy, mean, median = measure(width, scale)
            print(f"{width:5} {scale:9.4f} {deviation:10.2f} {entropy:9.3f} {mean:11.4f} {median:8.1e}")
