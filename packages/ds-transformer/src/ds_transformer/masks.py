"""Masks: which keys each query may not see. All are boolean, True = hidden, as the layers take them.

Two masks together hide what either hides: ``causal_mask(5) | sliding_window_mask(5, 3)``.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from ds_core.checks import check_numbers
from torch import Tensor

__all__ = ["causal_mask", "padding_mask", "prefix_mask", "sliding_window_mask"]

Device = torch.device | str | None


def causal_mask(queries: int, keys: int | None = None, past: int = 0, *, device: Device = None) -> Tensor:
    """Hides from every query the keys that come after it.

    hidden_ts = s > past + t

    Args:
        queries: T.
        keys: S; None for past + T, so that the last query sees all.
        past: how many keys come before the first query, as when decoding with a cache.
        device: of the mask; None for torch's default.

    Returns:
        ``(T, S)``.

    Raises:
        ValueError: if a number is negative.
        TypeError: if it is not whole.
    """
    keys = past + queries if keys is None else keys
    _check("causal_mask", queries=queries, past=past, keys=keys)
    return torch.arange(keys, device=device) >= _after(queries, past, device)


def padding_mask(lengths: Tensor | Sequence[int], length: int | None = None) -> Tensor:
    """Hides what lies behind the end of each sequence of a batch: a ``key_padding_mask``.

    hidden_bs = s >= lengths_b

    Args:
        lengths: how many tokens each sequence has, integers ``(B,)``.
        length: S, the width of the batch; None for the longest sequence.

    Returns:
        ``(B, S)``, on the device of the lengths.

    Raises:
        ValueError: if a length is negative or larger than S, or the lengths are not one-dimensional.
        TypeError: if they, or S, are not integers.
    """
    counts = _integers("padding_mask", "lengths", lengths)
    if counts.dim() != 1:
        raise ValueError(f"padding_mask: expected lengths (B,), got shape {tuple(counts.shape)}")
    length = _extremes(counts)[1] if length is None else length
    _check("padding_mask", length=length)
    check_numbers(
        ((counts < 0) | (counts > length)).any(),
        lambda: ValueError(f"padding_mask: expected lengths from 0 to {length}, got {counts.tolist()}"),
    )
    return torch.arange(length, device=counts.device) >= counts.unsqueeze(1)


def prefix_mask(length: int, prefix: int | Tensor | Sequence[int], *, device: Device = None) -> Tensor:
    """Lets all queries see a prefix, as an encoder would, and hides the future in the rest.

    hidden_ts = s > t and s >= prefix

    Args:
        length: T = S.
        prefix: how many keys at the beginning are seen by all; or as many for each sequence of a batch,
            integers ``(B,)``.
        device: of the mask; None for that of a tensor given as prefix, else torch's default.

    Returns:
        ``(T, T)``; ``(B, T, T)`` for a batch, of which attention with several heads takes a copy for each
        head: ``mask.repeat_interleave(num_heads, 0)``.

    Raises:
        ValueError: if a prefix is negative or longer than the sequence.
        TypeError: if it, or T, is not an integer.

    Source: Raffel et al., Exploring the Limits of Transfer Learning with a Unified Text-to-Text Transformer
    (2020), section 3.2.1.
    """
    _check("prefix_mask", length=length)
    counts = _integers("prefix_mask", "prefix", prefix)
    if counts.dim() > 1:
        raise ValueError(f"prefix_mask: expected a number or prefixes (B,), got shape {tuple(counts.shape)}")
    shortest, longest = _extremes(counts)
    if shortest < 0 or longest > length:
        raise ValueError(f"prefix_mask: expected a prefix from 0 to {length}, got {counts.tolist()}")
    if device is None and isinstance(prefix, Tensor):
        device = prefix.device
    first_hidden = torch.maximum(
        _after(length, 0, device), counts.to(device)[..., None, None]
    )  # (T, 1) or (B, T, 1)
    return torch.arange(length, device=device) >= first_hidden


def sliding_window_mask(length: int, window: int, causal: bool = True, *, device: Device = None) -> Tensor:
    """Lets every query see only what is near.

    hidden_ts = not 0 <= t - s < window;   not causal: hidden_ts = |t - s| >= window

    Args:
        length: T = S.
        window: how many keys a query sees, itself included; not causal, as many to either side.
        causal: whether all keys after the query are hidden.
        device: of the mask; None for torch's default.

    Returns:
        ``(T, T)``.

    Raises:
        ValueError: if the window is smaller than 1, or the length than 0.
        TypeError: if one is not a whole number.

    Source: Beltagy et al., Longformer: The Long-Document Transformer (2020), section 3.1.
    """
    _check("sliding_window_mask", length=length, window=window)
    if window < 1:
        raise ValueError(f"sliding_window_mask: expected a window of at least 1, got {window}")
    places = torch.arange(length, device=device)
    back = places.unsqueeze(1) - places  # (T, T): how far the key lies behind the query
    if not causal:
        return back.abs() >= window
    return (back >= window).masked_fill(back < 0, True)


def join_masks(*masks: Tensor | None) -> Tensor | None:
    """Joins masks to one: what any of them hides is hidden, and numbers add up.

    Args:
        masks: boolean, True = hidden, or numbers added to scores, of shapes that broadcast; None for none.

    Returns:
        A boolean mask if all are; else numbers, -inf where a boolean one hides. None if there is no mask.
    """
    given = [mask for mask in masks if mask is not None]
    added = next((mask.dtype for mask in given if mask.is_floating_point()), torch.bool)
    joined: Tensor | None = None
    for mask in given:
        if mask.dtype != added:
            mask = torch.zeros_like(mask, dtype=added).masked_fill(mask, -torch.inf)
        joined = mask if joined is None else joined | mask if added == torch.bool else joined + mask
    return joined


def show_more(mask: Tensor | None, keys: int) -> Tensor | None:
    """Adds keys at the end, ``(..., S)`` -> ``(..., S + keys)``, which a mask hides from nobody."""
    return (
        mask if mask is None or keys == 0 else torch.cat((mask, mask.new_zeros(*mask.shape[:-1], keys)), -1)
    )


def _after(queries: int, past: int, device: Device) -> Tensor:
    """Returns the position after each query, ``(T, 1)``: the first that a causal mask hides."""
    return torch.arange(past + 1, past + queries + 1, device=device).unsqueeze(1)


def _integers(name: str, what: str, numbers: int | Tensor | Sequence[int]) -> Tensor:
    """Makes a tensor of integers, and accepts nothing else."""
    numbers = numbers if isinstance(numbers, Tensor) else torch.tensor(numbers)
    if numbers.numel() == 0:
        return numbers.long()
    if numbers.dtype == torch.bool or numbers.is_floating_point():
        raise TypeError(f"{name}: expected {what} to be integers, got {numbers.dtype}")
    return numbers


def _extremes(numbers: Tensor) -> tuple[int, int]:
    """Returns the smallest and the largest number, 0 and 0 where there are none."""
    if numbers.numel() == 0:
        return 0, 0
    smallest, largest = torch.stack(numbers.aminmax()).tolist()
    return smallest, largest


def _check(name: str, **numbers: int) -> None:
    """Checks that numbers are whole and at least 0."""
    for key, value in numbers.items():
        if isinstance(value, float):
            raise TypeError(f"{name}: expected {key} to be a whole number, got {value}")
    if min(numbers.values()) < 0:
        got = ", ".join(f"{key}={value}" for key, value in numbers.items())
        raise ValueError(f"{name}: expected {' and '.join(numbers)} of at least 0, got {got}")
