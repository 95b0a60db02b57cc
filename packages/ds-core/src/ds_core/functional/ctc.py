"""CTC: the loss of a sequence of labels that does not say when each of them is heard."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from ds_core.functional.reduction import reduce

NEVER = -float("inf")  # the logarithm of no probability


def ctc(
    log_probs: Tensor,
    targets: Tensor,
    input_lengths: Tensor,
    target_lengths: Tensor,
    blank: int = 0,
    reduction: str = "mean",
    zero_infinity: bool = False,
) -> tuple[Tensor, tuple[Any, ...]]:
    """L = -log p(target), p being the sum over all paths that become the target.

    A path is a label for each time, or a blank; it becomes a target when repeated labels are written once and
    blanks left out. z is the target with blanks around every label, 2 S + 1 places. The paths that have come
    to place s at time t have

    a_t(s) = log(e^(a_(t-1)(s)) + e^(a_(t-1)(s-1)) [+ e^(a_(t-1)(s-2))]) + log_probs_t(z_s),

    the last term only where z_s is neither a blank nor equal to z_(s-2), and the target's paths end at either
    of its last two places: log p = log(e^(a_T(2 S)) + e^(a_T(2 S - 1))).

    Args:
        log_probs: ``(T, B, C)``.
        targets: ``(B, S)``, filled up with any labels.
        input_lengths: how many times each sequence has ``(B,)``.
        target_lengths: how many labels ``(B,)``.
        blank: its number.
        reduction: "mean" (each loss over its labels, then over the batch), "sum" or "none".
        zero_infinity: whether a target that is longer than its sequence can say counts 0, not infinity.
    """
    places, leaps = with_blanks(targets, blank)
    heard = at_places(log_probs, places)  # (T, B, 2 S + 1)
    times, number = len(heard), torch.arange(places.shape[1], device=places.device)
    last = (2 * target_lengths)[:, None]  # the last place of each target
    ends = (number == last) | (number == last - 1)
    a = torch.where(number == 0, 0.0, NEVER).to(heard).expand(places.shape)
    start = torch.where(number < 2, 0.0, NEVER).to(heard).expand(places.shape)
    steps = []
    for t in range(times):
        come = start if t == 0 else log_sum(a, moved(a, 1), torch.where(leaps, moved(a, 2), NEVER))
        a = torch.where((t < input_lengths)[:, None], come + heard[t], a)
        steps.append(a)
    surprise = -log_sum(*torch.where(ends, a, NEVER).unbind(1), sloped=not zero_infinity)
    left_out = (surprise == -NEVER) & zero_infinity
    count = target_lengths.clamp(min=1).to(surprise) if reduction == "mean" else torch.ones_like(surprise)
    loss, share = reduce(torch.where(left_out, 0, surprise) / count, reduction)
    saved = (steps, heard, surprise, places, leaps, ends, input_lengths, log_probs.shape[2])
    return loss, (*saved, left_out, share / count)


def ctc_backward(grad: Tensor | float, saved: tuple[Any, ...]) -> Tensor:
    """dL/dlog_probs_t(k) = -(the share of p whose paths hear k at time t).

    What may still come after place s at time t has

    b_t(s) = log(sum over the places s' that follow s of e^(b_(t+1)(s') + log_probs_(t+1)(z_s'))),

    b_T = 0 at the last two places; so of p the share e^(a_t(s) + b_t(s) + L) goes through place s at time t.
    """
    steps, heard, surprise, places, leaps, ends, input_lengths, classes, left_out, share = saved
    b = torch.where(ends, 0.0, NEVER).to(heard)
    through = []
    for t in reversed(range(len(heard))):
        within = (t < input_lengths)[:, None]
        if t + 1 < len(heard):
            then = b + heard[t + 1]
            come = log_sum(then, moved(then, -1), moved(torch.where(leaps, then, NEVER), -2))
            b = torch.where((t + 1 < input_lengths)[:, None], come, b)
        through.append(torch.where(within, (steps[t] + b + surprise[:, None]).exp(), 0))
    gone = torch.stack(through[::-1])  # (T, B, 2 S + 1)
    gone = torch.where(left_out[:, None], 0, gone)
    zeros = heard.new_zeros(*heard.shape[:2], classes)
    return -(grad * share)[:, None] * zeros.scatter_add(2, places.expand(gone.shape), gone)


def with_blanks(targets: Tensor, blank: int) -> tuple[Tensor, Tensor]:
    """Puts blanks around labels ``(B, S)`` -> ``(B, 2 S + 1)``; and says where one may leap over a blank."""
    images, labels = targets.shape
    blanks = targets.new_full((images, labels, 1), blank)
    places = torch.cat([torch.cat([blanks, targets[..., None]], 2).flatten(1), blanks[:, :1, 0]], 1)
    if not labels:
        places = targets.new_full((images, 1), blank)
    before = torch.cat([places.new_full((images, 2), blank), places[:, :-2]], 1)[:, : places.shape[1]]
    return places, (places != blank) & (places != before)


def at_places(log_probs: Tensor, places: Tensor) -> Tensor:
    """Picks what each place says at each time:   ``(T, B, C)`` at ``(B, P)`` -> ``(T, B, P)``."""
    return log_probs.gather(2, places.expand(len(log_probs), *places.shape))


def moved(values: Tensor, by: int) -> Tensor:
    """Moves rows ``(B, P)`` to the right, or to the left for less than 0; what comes in is never."""
    nothing = torch.full_like(values[:, : abs(by)], NEVER)
    if by > 0:
        return torch.cat([nothing, values[:, : values.shape[1] - nothing.shape[1]]], 1)
    return torch.cat([values[:, nothing.shape[1] :], nothing], 1)


def log_sum(*values: Tensor, sloped: bool = False) -> Tensor:
    """log(e^x1 + e^x2 + ...), also where all of them are minus infinity; ``sloped`` leaves the NaN there."""
    stacked = torch.stack(values)
    most = stacked.amax(0).detach()
    never = most == NEVER
    safe = torch.where(never, 0, most)
    total = (stacked - safe).exp().sum(0)
    if sloped:
        return total.log() + safe
    return torch.where(never, NEVER, torch.where(never, 1, total).log() + safe)
