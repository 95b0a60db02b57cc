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
    *,
    min_p: float | None = None,
    draws: Tensor | None = None,
) -> Tensor:
    """Draws one token for each row of logits.

    p = softmax(logits / temperature), cut to the likeliest tokens and renormalised.

    Args:
        logits: ``(N, V)``; -inf for tokens that may not come.
        temperature: below 1 bolder, above 1 more varied; 0 is greedy: the likeliest token, without chance.
        top_k: keep only the k likeliest tokens.
        top_p: keep the fewest likeliest tokens whose probabilities sum to at least p (the nucleus), p being
            of what top_k left.
        generator: source of the random numbers; None for torch's global one.
        min_p: keep only tokens at least this share as likely as the likeliest.
        draws: these numbers, ``(N,)`` uniform in [0, 1), so each row may have its own; None to draw them.

    Returns:
        Token ids ``(N,)``, int64.

    Raises:
        ValueError: if an option is out of its range, or a row of logits holds NaN, +inf or nothing but -inf.

    Source: Holtzman et al., The Curious Case of Neural Text Degeneration (2019), for top_p; Nguyen et al.,
    Turning Up the Heat: Min-p Sampling for Creative and Coherent LLM Outputs (2024), for min_p.
    """
    check_number("sample", 0, temperature=temperature)
    if top_k is not None:
        check_whole("sample", top_k=top_k)
    for name, share in (("top_p", top_p), ("min_p", min_p)):
        if share is not None:
            check_number("sample", 0, **{name: share})
            if not 0 < share <= 1:
                raise ValueError(f"sample: expected 0 < {name} <= 1, got {share}")
    _check_logits("sample", logits)
    if draws is not None and draws.shape != logits.shape[:1]:
        raise ValueError(f"sample: expected draws {tuple(logits.shape[:1])}, got {shape(draws)}")
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
    tokens = None  # in their own order, until they are sorted
    if top_k is not None and top_k < logits.shape[1]:
        logits, tokens = logits.topk(top_k)  # likeliest first
    # Taking the highest off first leaves it at 0 even if the others become -inf: temperatures may be tiny.
    scaled = ((logits - highest) / temperature).masked_fill(logits == highest, 0)
    probabilities = softmax(scaled)[0]
    if top_p is not None:
        if tokens is None:
            probabilities, tokens = probabilities.sort(dim=-1, descending=True)
        # A token stays if those before it do not reach p yet; so the first one always stays.
        before = probabilities.cumsum(-1) - probabilities
        probabilities = probabilities.masked_fill(before >= top_p, 0)
    if min_p is not None:
        least = min_p * probabilities.amax(-1, keepdim=True)
        probabilities = probabilities.masked_fill(probabilities < least, 0)
    # Inverse transform: the first token whose cumulative probability exceeds a uniform number.
    cumulative = probabilities.cumsum(-1)
    if draws is None:
        draws = torch.rand(len(logits), generator=generator, dtype=logits.dtype, device=logits.device)
    draw = draws.to(logits)[:, None] * cumulative[:, -1:]
    place = (cumulative <= draw).sum(-1, keepdim=True)
    # Rounding may put the draw at the very end: step back onto the last token that has a share.
    last = probabilities.shape[-1] - 1 - (probabilities > 0).flip(-1).int().argmax(-1, keepdim=True)
    place = place.minimum(last)
    return (place if tokens is None else tokens.gather(-1, place)).squeeze(-1)


def penalize_repetition(logits: Tensor, seen: Tensor, penalty: float) -> Tensor:
    """Makes tokens that have come before less likely.

    z' = z / penalty where z > 0, else z penalty, for the seen ones

    Args:
        logits: z, ``(N, V)``.
        seen: ``(N, V)``, boolean: the tokens that have come.
        penalty: above 1 against repetition, below 1 in its favour; 1 changes nothing.

    Returns:
        ``(N, V)``.

    Raises:
        ValueError: if the penalty is not above 0 or shapes differ.

    Source: Keskar et al., CTRL: A Conditional Transformer Language Model for Controllable Generation (2019),
    section 4.1.
    """
    check_number("penalize_repetition", 0, penalty=penalty)
    _check_logits("penalize_repetition", logits)
    if penalty == 0:
        raise ValueError("penalize_repetition: expected a penalty above 0, got 0")
    if seen.shape != logits.shape or seen.dtype != torch.bool:
        raise ValueError(
            f"penalize_repetition: expected seen {shape(logits)}, boolean, got {shape(seen)} {seen.dtype}"
        )
    return torch.where(seen, torch.where(logits > 0, logits / penalty, logits * penalty), logits)


def _check_logits(who: str, logits: Tensor) -> None:
    if not isinstance(logits, Tensor):
        raise TypeError(f"{who}: expected logits (N, V), got {type(logits).__name__}")
    if logits.dim() != 2 or not logits.is_floating_point() or not logits.shape[1]:
        raise ValueError(f"{who}: expected floating point logits (N, V), got {logits.dtype} {shape(logits)}")
