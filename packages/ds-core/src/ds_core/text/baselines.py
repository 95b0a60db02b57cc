"""What a language model must beat: guessing blindly, and knowing only the previous token."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from ds_core.checks import check_whole


def uniform_loss(vocab_size: int) -> float:
    """Returns the cross-entropy, in nats, of giving every token the same probability: log V."""
    check_whole("uniform_loss", vocab_size=vocab_size)
    return math.log(vocab_size)


def unigram_loss(train: Tensor, validation: Tensor, vocab_size: int) -> float:
    """Returns the cross-entropy, in nats, of predicting each token by how frequent it is.

    p(b) = (count(b) + 1) / (T + V), counted on the training text of T tokens

    Args:
        train: token ids ``(T,)`` to count on.
        validation: token ids to measure on.
        vocab_size: V.
    """
    _check("unigram_loss", train, validation, vocab_size)
    counts = torch.bincount(train, minlength=vocab_size).double() + 1
    log_p = (counts / counts.sum()).log()
    return -log_p[validation[1:].long()].mean().item()


def bigram_loss(train: Tensor, validation: Tensor, vocab_size: int) -> float:
    """Returns the cross-entropy, in nats, of predicting each token from the one before by counting.

    p(b | a) = (count(a, b) + 1) / (count(a) + V), counted on the training text

    Args:
        train: token ids ``(T,)`` to count on.
        validation: token ids to measure on.
        vocab_size: V.
    """
    _check("bigram_loss", train, validation, vocab_size)
    train, validation = train.long(), validation.long()
    pairs = torch.bincount(train[:-1] * vocab_size + train[1:], minlength=vocab_size**2)
    counts = pairs.view(vocab_size, vocab_size).double() + 1
    log_p = (counts / counts.sum(1, keepdim=True)).log()
    return -log_p[validation[:-1], validation[1:]].mean().item()


def _check(who: str, train: Tensor, validation: Tensor, vocab_size: int) -> None:
    check_whole(who, vocab_size=vocab_size)
    for name, ids in (("train", train), ("validation", validation)):
        if not isinstance(ids, Tensor) or ids.is_floating_point() or ids.dim() != 1 or len(ids) < 2:
            raise TypeError(f"{who}: expected token ids (T,) of at least two tokens for {name}")
        if not 0 <= int(ids.min()) <= int(ids.max()) < vocab_size:
            raise IndexError(f"{who}: expected ids from 0 to {vocab_size - 1} in {name}")
