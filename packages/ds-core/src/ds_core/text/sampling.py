"""Choosing the next token from a model's logits."""

from __future__ import annotations

import torch
from torch import Tensor

from ds_core.checks import check_number, check_whole, shape
from ds_core.functional import softmax


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
        logits: ``(N, V)``; -inf for tokens that may not come.
        temperature: below 1 bolder, above 1 more varied; 0 is greedy: the likeliest token, no chance.
        top_k: keep only the k likeliest tokens.
        top_p: keep the fewest likeliest tokens whose probabilities sum to at least p (the nucleus).
        generator: source of chance; None for torch's global one.

    Returns:
        Token ids ``(N,)``, int64.

    Raises:
        ValueError: if an option is out of its range, or a row of logits holds NaN, +inf or nothing but -inf.

    Source: Holtzman et al., The Curious Case of Neural Text Degeneration (2019), for top_p.
    """
    check_number("sample", 0, temperature=temperature)
    if top_k is not None:
        check_whole("sample", top_k=top_k)
    if top_p is not None:
        check_number("sample", 0, top_p=top_p)
        if not 0 < top_p <= 1:
            raise ValueError(f"sample: expected 0 < top_p <= 1, got {top_p}")
    if not isinstance(logits, Tensor):
        raise TypeError(f"sample: expected logits (N, V), got {type(logits).__name__}")
    if logits.dim() != 2 or not logits.is_floating_point() or not logits.shape[1]:
        raise ValueError(f"sample: expected floating point logits (N, V), got {logits.dtype} {shape(logits)}")
    highest, greedy = logits.max(-1, keepdim=True)
    if not highest.isfinite().all():  # max passes NaN on
        raise ValueError(
            "sample: expected rows of logits that are numbers, or -inf for what may not come, got a row with "
            + ("NaN" if highest.isnan().any() else "+inf, or with nothing but -inf")
        )
    if temperature == 0:
        return greedy.squeeze(-1)
    if logits.dtype in (torch.float16, torch.bfloat16):
        logits, highest = logits.float(), highest.float()
    # Taking the highest off first leaves it at 0 even if the others become -inf: temperatures may be tiny.
    scaled = ((logits - highest) / temperature).masked_fill(logits == highest, 0)
    probabilities, tokens = softmax(scaled)[0].sort(dim=-1, descending=True)  # likeliest first
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
