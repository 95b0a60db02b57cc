"""What many numbers look like: mean, spread, extremes, and a histogram."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import torch
from torch import Tensor

BINS = 24
SMALL = 1024  # the most numbers that are kept themselves


@dataclass(frozen=True)
class Statistics:
    """Describes the finite numbers among those given, computed in float64.

    Attributes:
        count: how many numbers there are, finite or not.
        nonfinite: how many of them are NaN or infinite.
        zeros: how many are exactly 0.
        mean: their mean; NaN if there are none, as for all below.
        std: the standard deviation of these very numbers (division by their count).
        min: the least.
        max: the greatest.
        norm: the square root of the sum of squares.
        histogram: how many fall in each of the equal parts of the range from min to max.
        values: the numbers themselves, if they are one small tensor.
    """

    count: int
    nonfinite: int
    zeros: int
    mean: float
    std: float
    min: float
    max: float
    norm: float
    histogram: tuple[int, ...]
    values: Tensor | None = field(default=None, compare=False, repr=False)

    @property
    def rms(self) -> float:
        """Root of the mean square: the typical size of a number."""
        finite = self.count - self.nonfinite
        return self.norm / math.sqrt(finite) if finite else math.nan

    @classmethod
    def of(cls, *values: Tensor) -> Statistics:
        """Describes tensors together."""
        every = torch.cat([v.detach().flatten().double() for v in values])
        x = every[every.isfinite()]
        kept = values[0].detach().cpu() if len(values) == 1 and 0 < every.numel() <= SMALL else None
        if not x.numel():
            nan = math.nan
            return cls(every.numel(), every.numel(), 0, nan, nan, nan, nan, nan, (0,) * BINS, kept)
        measured = (x.min(), x.max(), x.mean(), x.std(correction=0), (x * x).sum().sqrt(), (x == 0).sum())
        low, high, mean, std, norm, zeros = torch.stack([m.double() for m in measured]).tolist()
        if low < high:
            histogram = tuple(int(n) for n in torch.histc(x, BINS, low, high).tolist())
        else:
            histogram = tuple(x.numel() if i == BINS // 2 else 0 for i in range(BINS))
        return cls(
            count=every.numel(),
            nonfinite=every.numel() - x.numel(),
            zeros=int(zeros),
            mean=mean,
            std=std,
            min=low,
            max=high,
            norm=norm,
            histogram=histogram,
            values=kept,
        )


def number(value: float | None) -> str:
    """Writes a number with three significant digits, as short as it stays readable."""
    if value is None:
        return ""
    if not math.isfinite(value):
        return "–" if math.isnan(value) else str(value)
    if value == 0:
        return "0"
    if 1e-3 <= abs(value) < 999.5:
        return f"{value:#.3g}".rstrip(".")
    if 999.5 <= abs(value) < 99_999.5:
        return f"{value:,.0f}"
    mantissa, exponent = f"{value:.1e}".split("e")
    return f"{mantissa}e{int(exponent)}"


def amount(value: float) -> str:
    """Writes a count for people: ``950``, ``12.3 k``, ``4.56 M``."""
    for unit in ("", " k", " M", " G"):
        if value < 999.5:
            return f"{value:.0f}" if not unit else f"{value:#.3g}".rstrip(".") + unit
        value /= 1000
    return f"{value:,.0f} T"
