"""fill_mask: what could stand where a text says [MASK]."""

from __future__ import annotations

from typing import NamedTuple

import torch
from ds_core import functional
from ds_core.module import evaluating
from ds_core.text import WordPieceTokenizer

from ds_zoo.bert.heads import MiniBERTForMaskedLM
from ds_zoo.bert.sentences import check_vocabulary


class Guess(NamedTuple):
    """A token that could stand at a [MASK].

    Attributes:
        probability: that the model gives it.
        token: as it stands in the vocabulary.
        text: the whole text with it; other [MASK]s stay.
    """

    probability: float
    token: str
    text: str


@torch.no_grad()
def fill_mask(
    model: MiniBERTForMaskedLM, tokenizer: WordPieceTokenizer, text: str, *, top_k: int = 5
) -> list[list[Guess]]:
    """Guesses every [MASK] of a text.

    Args:
        model: guesses.
        tokenizer: whose ids the model was trained with.
        text: with "[MASK]" where tokens are wanted.
        top_k: how many guesses for each, the likeliest first.

    Returns:
        For each [MASK], from left to right, its guesses.

    Raises:
        ValueError: if the text has no [MASK], is longer than the model sees, or an option is out of range.
    """
    check_vocabulary(model, tokenizer)
    ids, mask, types = (t.to(model.cls.decoder.weight.device) for t in tokenizer([text]))
    places = (ids[0] == tokenizer.mask_id).nonzero()[:, 0]
    if not len(places):
        raise ValueError(f"fill_mask: expected [MASK] in the text, got {text!r}")
    if not 1 <= top_k <= tokenizer.vocab_size:
        raise ValueError(f"fill_mask: expected top_k from 1 to {tokenizer.vocab_size}, got {top_k}")
    with evaluating(model):
        scores = model(ids, mask, types).logits[0, places, : tokenizer.vocab_size]  # (M, V)
    probabilities, _ = functional.softmax(scores, -1)
    found = []
    before = text.split("[MASK]")
    for number, row in enumerate(probabilities):
        guesses = []
        for token in row.argsort(descending=True, stable=True)[:top_k].tolist():
            word = tokenizer.token(token)
            left, right = ("[MASK]".join(part) for part in (before[: number + 1], before[number + 1 :]))
            whole = left.rstrip() + word[2:] + right if word.startswith("##") else left + word + right
            guesses.append(Guess(row[token].item(), word, whole))
        found.append(guesses)
    return found
