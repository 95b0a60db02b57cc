"""Which weights of attention dropout keeps, from a few random bits."""

from __future__ import annotations

from torch import Tensor


def dropout_factors(rows: Tensor, columns: Tensor, p: float, like: Tensor) -> Tensor:
    """Returns 1 / (1 - p) for each weight that dropout keeps, and 0 for each that it drops.

    A weight's number is made of one random number for its query and one for its key, scrambled until it has
    nothing to do with its neighbours' any more: so where only some of the weights are computed, their
    numbers can be made alone, in any order. A weight is dropped if its number is among the lowest p of all.

    x = r_t xor c_s,   x = x m1,   x = x xor (x >> 15),   x = x m2

    Args:
        rows: r, random bits ``(..., T, 1)``, int32.
        columns: c, random bits ``(S,)``, int32.
        p: the share to drop.
        like: of the result's type.

    Returns:
        ``(..., T, S)``.

    Source: after Salmon et al., Parallel Random Numbers: As Easy as 1, 2, 3 (2011); the multipliers are those
    of Wellons, Prospecting for Hash Functions (2018).
    """
    x = (rows ^ columns) * 0x7FEB352D  # 32 bits, what is beyond them falls off
    x = (x ^ (x.bitwise_right_shift(15) & 0x1FFFF)) * -0x7B935975  # & drops copies of the sign
    kept = x >= min(round((p - 0.5) * 2**32), 2**31 - 1)
    return kept.to(like) * (1 / (1 - p) if p < 1 else 0.0)
