"""What a language model must beat: guessing blindly, and knowing only the previous token."""

from __future__ import annotations

import math

import torch
from torch import Tensor


def uniform_loss(vocab_size: int) -> float:
    """Returns the cross-entropy, in nats, of giving every token the same probability: log V."""
    return math.log(vocab_size)


def bigram_loss(train: Tensor, validation: Tensor, vocab_size: int) -> float:
    """Returns the cross-entropy, in nats, of predicting each token from the one before by counting.

    p(b | a) = (count(a, b) + 1) / (count(a) + V), counted on the training text

    Args:
        train: token ids ``(T,)`` to count on.
        validation: token ids to measure on.
        vocab_size: V.
    """
    pairs = torch.bincount(train[:-1] * vocab_size + train[1:], minlength=vocab_size**2)
    counts = pairs.view(vocab_size, vocab_size).double() + 1
    log_p = (counts / counts.sum(1, keepdim=True)).log()
    return -log_p[validation[:-1], validation[1:]].mean().item()
