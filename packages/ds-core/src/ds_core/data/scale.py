"""StandardScaler and MinMaxScaler: columns brought to one scale, learned from the training part alone."""

from __future__ import annotations

from typing import Literal, Self

import torch
from torch import Tensor

from ds_core.checks import check_number, shape


class Scaler:
    """Base of the scalers, affine maps of each column: x' = (x - offset) / scale, and back.

    Fit it on the training part only: what it learned from test samples would flatter the result on them.

    Args:
        constant: what to do about a column that holds one value only, which no scale can spread: "error", or
            "allow", which maps that value to where the smallest one goes (0, or the low end of the range).

    Shape:
        x ``(N, ...)``, each place of ``...`` a column -> the same.

    Raises:
        ValueError: by ``fit`` if there are no samples, NaN or infinite values, or constant columns that are
            not allowed; by ``transform`` if the columns are not as many as in ``fit``.
        TypeError: if x is not floating point.
        RuntimeError: if ``fit`` did not come first.
    """

    offset: Tensor | None = None  # (...,) float64
    scale: Tensor | None = None

    def __init__(self, *, constant: Literal["error", "allow"] = "error") -> None:
        if constant not in ("error", "allow"):
            raise ValueError(f"{type(self).__name__}: expected constant 'error' or 'allow', got {constant!r}")
        self.constant = constant

    def fit(self, x: Tensor) -> Self:
        """Learns offset and scale of each column."""
        name = type(self).__name__
        if not isinstance(x, Tensor):
            raise TypeError(
                f"{name}: expected a tensor, got {type(x).__name__}; convert with torch.as_tensor"
            )
        if not x.is_floating_point():
            raise TypeError(f"{name}: expected floating point input, got {x.dtype}; convert with x.float()")
        if x.dim() < 1 or not len(x):
            raise ValueError(f"{name}: expected at least one sample to fit, got shape {shape(x)}")
        values = x.double()
        bad = ~values.isfinite().all(0)
        if bad.any():
            raise ValueError(f"{name}: expected finite values, got NaN or infinite ones in {_columns(bad)}")
        low, high = values.amin(0), values.amax(0)
        same = low == high
        if same.any() and self.constant == "error":
            raise ValueError(
                f"{name}: expected columns that vary, but each value is the same in {_columns(same)}; leave "
                "them out, or pass constant='allow'"
            )
        offset, scale = self._fit(values, low, high)
        self.scale = torch.where(same, 1.0, scale)
        self.offset = torch.where(same, low - self._low * self.scale, offset)
        return self

    _low = 0.0  # where a constant column goes

    def _fit(self, values: Tensor, low: Tensor, high: Tensor) -> tuple[Tensor, Tensor]:
        raise NotImplementedError

    def transform(self, x: Tensor) -> Tensor:
        """Returns (x - offset) / scale."""
        offset, scale = self._checked(x)
        return ((x.double() - offset) / scale).to(x.dtype)

    def inverse_transform(self, x: Tensor) -> Tensor:
        """Returns x scale + offset: what :meth:`transform` came from."""
        offset, scale = self._checked(x)
        return (x.double() * scale + offset).to(x.dtype)

    def fit_transform(self, x: Tensor) -> Tensor:
        """Learns from x and transforms it: for the training part."""
        return self.fit(x).transform(x)

    def _checked(self, x: Tensor) -> tuple[Tensor, Tensor]:
        name = type(self).__name__
        if self.offset is None or self.scale is None:
            raise RuntimeError(f"{name}: call fit with the training part first")
        if not x.is_floating_point():
            raise TypeError(f"{name}: expected floating point input, got {x.dtype}; convert with x.float()")
        if x.shape[1:] != self.offset.shape or not x.dim():
            expected = ", ".join(["N", *map(str, self.offset.shape)])
            raise ValueError(f"{name}: expected input of shape ({expected}) as in fit, got {shape(x)}")
        return self.offset.to(x.device), self.scale.to(x.device)


class StandardScaler(Scaler):
    """Gives every column mean 0 and standard deviation 1.

    x' = (x - mean) / std,   std^2 = mean of (x - mean)^2  (over N, not N - 1)

    Args:
        constant: see :class:`Scaler`; "allow" maps a constant column to 0.
    """

    def _fit(self, values: Tensor, low: Tensor, high: Tensor) -> tuple[Tensor, Tensor]:
        mean = values.mean(0)
        return mean, (values - mean).square().mean(0).sqrt()


class MinMaxScaler(Scaler):
    """Stretches every column over one range.

    x' = a + (x - min) / (max - min) (b - a)

    Values beyond those of the training part land beyond the range.

    Args:
        feature_range: (a, b).
        constant: see :class:`Scaler`; "allow" maps a constant column to a.

    Raises:
        ValueError: if a is not below b; and as :class:`Scaler`.
    """

    def __init__(
        self,
        feature_range: tuple[float, float] = (0.0, 1.0),
        *,
        constant: Literal["error", "allow"] = "error",
    ) -> None:
        super().__init__(constant=constant)
        if not isinstance(feature_range, (tuple, list)) or len(feature_range) != 2:
            raise TypeError(f"MinMaxScaler: expected a range (low, high), got {feature_range!r}")
        check_number("MinMaxScaler", low=feature_range[0], high=feature_range[1])
        self._low, self._high = feature_range
        if not self._low < self._high:
            raise ValueError(f"MinMaxScaler: expected a range (low, high), got {feature_range}")

    def _fit(self, values: Tensor, low: Tensor, high: Tensor) -> tuple[Tensor, Tensor]:
        scale = (high - low) / (self._high - self._low)
        return low - self._low * scale, scale


def _columns(mask: Tensor, most: int = 10) -> str:
    """Names the marked columns: "column 3", "columns 0, 32, 39"."""
    places = mask.nonzero().tolist()
    names = [str(place[0] if len(place) == 1 else tuple(place)) for place in places if place]
    if not names:
        return "the only column"
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return f"column{'s' if len(names) > 1 else ''} {', '.join(names[:most])}{more}"
