"""Hiding tokens for BERT's pre-training: which, and what stands in their place."""

from __future__ import annotations

from collections.abc import Collection
from typing import NamedTuple

import torch
from ds_core.checks import shape
from torch import Tensor

from ds_zoo.bert.heads import NO_TARGET


class Masked(NamedTuple):
    """Texts with some tokens hidden.

    Attributes:
        input_ids: what the model reads, ``(B, T)``.
        labels: the right token where one was hidden, -100 elsewhere, ``(B, T)``.
    """

    input_ids: Tensor
    labels: Tensor


def mask_tokens(
    input_ids: Tensor,
    *,
    mask_id: int,
    vocab_size: int,
    special_ids: Collection[int] = (),
    words: Tensor | None = None,
    probability: float = 0.15,
    generator: torch.Generator | None = None,
) -> Masked:
    """Hides tokens as BERT's authors did.

    Each token is chosen with the probability given. Of those chosen, 80 % become [MASK], 10 % a random token,
    and 10 % stay, so that the model cannot trust any token it sees. With ``words``, whole words are chosen:
    all pieces of a word or none; what becomes of each piece is drawn for itself.

    Args:
        input_ids: the texts, ``(B, T)``, int64.
        mask_id: the id of [MASK].
        vocab_size: random tokens are drawn below it.
        special_ids: tokens that are never chosen, as [CLS], [SEP] and [PAD].
        words: the number of each token's word within its text, -1 at what is never chosen, ``(B, T)``; None
            to choose each token for itself.
        probability: of each token, or word, to be chosen.
        generator: source of chance; same seed, same tokens.

    Raises:
        ValueError: if shapes differ or a number is out of range.

    Source: Devlin et al., BERT (2018), section 3.1 and appendix C.2; whole words: the authors' code of 2019.
    """
    if input_ids.dim() != 2 or (words is not None and words.shape != input_ids.shape):
        raise ValueError(
            "mask_tokens: expected input_ids (B, T) and words alike, got "
            f"{shape(input_ids)}" + ("" if words is None else f" and {shape(words)}")
        )
    if not 0 <= probability <= 1 or not 0 <= mask_id < vocab_size:
        raise ValueError(
            f"mask_tokens: expected a probability from 0 to 1 and mask_id below vocab_size={vocab_size}, got "
            f"probability={probability}, mask_id={mask_id}"
        )
    allowed = torch.ones_like(input_ids, dtype=torch.bool)
    for special in special_ids:
        allowed &= input_ids != special
    chance = torch.rand(input_ids.shape, generator=generator, device=input_ids.device)
    if words is not None:  # each token takes the number drawn for the word it is a piece of
        allowed &= words >= 0
        place = words.clamp(min=0)
        count = int(place.max()) + 1 if place.numel() else 1
        of_words = torch.rand(len(words), count, generator=generator, device=words.device)
        chance = of_words.gather(1, place)
    chosen = allowed & (chance < probability)
    fate = torch.rand(input_ids.shape, generator=generator, device=input_ids.device)
    random_ids = torch.randint(vocab_size, input_ids.shape, generator=generator, device=input_ids.device)
    hidden = torch.where(fate < 0.8, mask_id, torch.where(fate < 0.9, random_ids, input_ids))
    return Masked(torch.where(chosen, hidden, input_ids), input_ids.masked_fill(~chosen, NO_TARGET))
