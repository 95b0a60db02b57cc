"""Checks on what positions are given."""

from __future__ import annotations

from ds_core import Module
from ds_core.checks import check_floating, shape
from torch import Tensor


def check_sequence(module: Module, x: Tensor, width: int, past: int) -> None:
    """Checks that x is a sequence ``(..., T, width)`` and past at least 0.

    Raises:
        ValueError: if x has another shape, or past is negative.
        TypeError: if x is not floating point.
    """
    if x.dim() < 2 or x.shape[-1] != width:
        raise ValueError(
            f"{module.label()}: expected a sequence (..., T, {width}), got input of shape {shape(x)}"
        )
    check_floating(module, x)
    if past < 0:
        raise ValueError(f"{module.label()}: expected past of at least 0, got {past}")


def check_counts(module: Module, queries: int, keys: int, past: int) -> None:
    """Checks that numbers of queries, keys and past keys are at least 0.

    Raises:
        ValueError: if one is negative.
    """
    if min(queries, keys, past) < 0:
        raise ValueError(
            f"{module.label()}: expected queries, keys and past of at least 0, "
            f"got queries={queries}, keys={keys}, past={past}"
        )
