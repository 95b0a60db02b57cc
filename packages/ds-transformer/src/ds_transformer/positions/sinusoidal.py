"""SinusoidalPositions: waves of many lengths, added to the embeddings."""

from __future__ import annotations

from typing import final

import torch
from ds_core import Dropout, InputGrad, Module
from torch import Tensor

from ds_transformer.positions.angles import at_least_float32, check_angles, sinusoids
from ds_transformer.positions.checks import check_sequence
from ds_transformer.positions.table import PositionTable


def sinusoidal_table(
    length: int,
    width: int,
    base: float = 10000.0,
    *,
    dtype: torch.dtype | None = None,
    device: torch.device | str | None = None,
) -> Tensor:
    """Returns a row for each position p, sines in even columns and cosines in odd ones.

    P_(p, 2i) = sin(p base^(-2i / width)),   P_(p, 2i+1) = cos(p base^(-2i / width))

    Args:
        length: how many positions, from 0.
        width: of a row, an even number.
        base: how much slower the last pair would turn than the first.
        dtype: of the table; None for torch's default.
        device: of the table; None for torch's default.

    Returns:
        ``(length, width)``.

    Raises:
        ValueError: if the width is not even, or the length is negative.
        TypeError: if the dtype is not floating point.

    Source: Vaswani et al., Attention Is All You Need (2017), section 3.5.
    """
    check_angles("sinusoidal_table", width, base)
    if length < 0:
        raise ValueError(f"sinusoidal_table: expected a length of at least 0, got {length}")
    dtype = torch.get_default_dtype() if dtype is None else dtype
    if not dtype.is_floating_point:
        raise TypeError(f"sinusoidal_table: expected a floating point dtype, got {dtype}")
    positions = torch.arange(length, dtype=at_least_float32(dtype), device=device)
    return sinusoids(positions, width, base).to(dtype)


@final
class SinusoidalPositions(Module):
    """Adds to each embedding the row of :func:`sinusoidal_table` for its place; then dropout.

    y_t = dropout(x_t + P_(past + t)),   dL/dx = dropout's gradient: the table is fixed

    Args:
        d_model: C, the width, an even number.
        dropout: share of the sums set to zero in training.
        base: how much slower the last pair would turn than the first.
        generator: source of dropout's random numbers; None for torch's global one.

    Shape:
        input ``(..., T, C)``, past: how many positions came before, as when decoding with a cache
        -> ``(..., T, C)``.

    Raises:
        ValueError: if C is odd, the last dimension of the input is not C, or past is negative.
        TypeError: if the input is not floating point.

    Source: Vaswani et al., Attention Is All You Need (2017), sections 3.5 and 5.4.
    """

    def __init__(
        self,
        d_model: int,
        dropout: float = 0.0,
        base: float = 10000.0,
        *,
        generator: torch.Generator | None = None,
    ) -> None:
        check_angles(f"SinusoidalPositions({d_model})", d_model, base)
        self.d_model, self.base = d_model, base
        self.dropout = Dropout(dropout, generator=generator)
        self._table = PositionTable(self._build)

    def forward(self, input: Tensor, past: int = 0) -> Tensor:
        check_sequence(self, input, self.d_model, past)
        return self.dropout(input + self._table.rows(past, input.shape[-2], input))

    def backward(self, grad: Tensor) -> InputGrad:
        grad = self.dropout.backward(grad)
        return grad if self.input_grad else None

    def _build(self, length: int, dtype: torch.dtype, device: torch.device) -> Tensor:
        return sinusoidal_table(length, self.d_model, self.base, dtype=dtype, device=device)

    def extra_repr(self) -> str:
        return f"{self.d_model}"
