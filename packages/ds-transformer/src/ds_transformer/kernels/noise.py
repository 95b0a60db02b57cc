"""Dropout of scores, all of them or those of a block: the numbers of the formula, in little memory."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor


class Noise(NamedTuple):
    """What dropout drops, see ``functional.attention.dropout_factors``."""

    rows: Tensor  # (..., T, 1), int32
    columns: Tensor  # (S,), int32
    p: float

    def of(self, n: slice, t: slice, s: slice) -> Noise:
        """Returns the part of a block, where the rows are ``(N, T, 1)``."""
        return Noise(self.rows[n, t], self.columns[s], self.p)

    def drop(self, x: Tensor, *, out: Tensor | None = None) -> Tensor:
        """Returns ``x (..., T, S)`` with some of it set to 0, the rest divided by 1 - p."""
        bits = torch.empty_like(x, dtype=torch.int32)  # lies in memory as x does
        torch.bitwise_xor(self.rows, self.columns, out=bits)
        bits.mul_(0x7FEB352D)
        bits.bitwise_xor_(torch.bitwise_right_shift(bits, 15).bitwise_and_(0x1FFFF)).mul_(-0x7B935975)
        kept = bits >= min(round((self.p - 0.5) * 2**32), 2**31 - 1)
        return torch.mul(x, kept, out=out).mul_(1 / (1 - self.p) if self.p < 1 else 0.0)
