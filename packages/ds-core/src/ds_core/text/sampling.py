"""Choosing the next token from a model's logits."""

from __future__ import annotations

import torch
from torch import Tensor

from ds_core.functional.softmax import softmax


def sample(
    logits: Tensor,
    temperature: float = 1.0,
    top_k: int | None = None,
    top_p: float | None = None,
    generator: torch.Generator | None = None,
) -> Tensor:
    """Draws one token for each row of logits.

    p = softmax(logits / temperature), cut to the likeliest tokens and renormalised.

    Args:
        logits: ``(N, V)``.
        temperature: below 1 bolder, above 1 more varied; 0 is greedy: the likeliest token, no chance.
        top_k: keep only the k likeliest tokens.
        top_p: keep the fewest likeliest tokens whose probabilities sum to at least p (the nucleus).
        generator: source of chance; None for torch's global one.

    Returns:
        Token ids ``(N,)``, int64.

    Raises:
        ValueError: if an option is out of its range; names it.

    Source: Holtzman et al., The Curious Case of Neural Text Degeneration (2019), for top_p.
    """
    if temperature < 0:
        raise ValueError(f"sample: expected temperature >= 0, got {temperature}")
    if top_k is not None and top_k < 1:
        raise ValueError(f"sample: expected top_k >= 1, got {top_k}")
    if top_p is not None and not 0 < top_p <= 1:
        raise ValueError(f"sample: expected 0 < top_p <= 1, got {top_p}")
    if temperature == 0:
        return logits.argmax(-1)
    probabilities, tokens = softmax(logits / temperature).sort(dim=-1, descending=True)  # likeliest first
    if top_k is not None:
        probabilities[:, top_k:] = 0
    cumulative = probabilities.cumsum(-1)
    if top_p is not None:
        # A token stays if those before it do not reach p yet; so the first one always stays.
        probabilities[cumulative - probabilities >= top_p * cumulative[:, -1:]] = 0
        cumulative = probabilities.cumsum(-1)
    # Inverse transform: the first token whose cumulative probability exceeds a uniform number.
    total = cumulative[:, -1:]
    draw = torch.rand(len(logits), 1, generator=generator, dtype=logits.dtype, device=logits.device) * total
    place = (cumulative <= draw).sum(-1, keepdim=True).clamp(max=logits.shape[-1] - 1)
    # Rounding may put the draw at the very end of the cut: step back onto the last kept token.
    place = place.minimum((probabilities > 0).sum(-1, keepdim=True) - 1)
    return tokens.gather(-1, place).squeeze(-1)
