"""RotaryPositions: queries and keys are turned by an angle that grows with their place."""

from __future__ import annotations

from typing import final

import torch
from ds_core import InputGrad, Module
from ds_core.kernels import dispatch
from torch import Tensor

from ds_transformer import functional
from ds_transformer.positions.angles import angles, at_least_float32, check_angles
from ds_transformer.positions.checks import check_sequence
from ds_transformer.positions.table import PositionTable

rotate, rotate_backward = dispatch(functional.rotate)


@final
class RotaryPositions(Module):
    """Turns each pair of numbers at position p by p theta_i, theta_i = base^(-2i / D).

    y_t = R_(past + t) x_t,   dL/dx_t = R_(past + t)^T g_t: the gradient turned back

    A query at m and a key at n then match by q^T R_(n - m) k: what counts is how far apart they are. Apply
    one module to the queries, then to the keys, and go backward through the keys first.

    Args:
        head_dim: D, the width of a head, an even number.
        base: how much slower the last pair would turn than the first.
        interleaved: whether a pair is two neighbours (2i, 2i + 1), as in the paper; else it is
            (i, i + D/2), as in Llama.

    Shape:
        input ``(..., T, D)``, past: how many positions came before, as when decoding with a cache
        -> ``(..., T, D)``.

    Raises:
        ValueError: if D is odd, the last dimension of the input is not D, or past is negative.
        TypeError: if the input is not floating point.

    Source: Su et al., RoFormer: Enhanced Transformer with Rotary Position Embedding (2021), section 3.2.
    """

    def __init__(self, head_dim: int, base: float = 10000.0, interleaved: bool = False) -> None:
        check_angles(f"RotaryPositions({head_dim})", head_dim, base)
        self.head_dim, self.base, self.interleaved = head_dim, base, interleaved
        self._table = PositionTable(self._build)

    def forward(self, input: Tensor, past: int = 0) -> Tensor:
        check_sequence(self, input, self.head_dim, past)
        cos, sin = self._table.rows(past, input.shape[-2], input).unbind(1)  # (T, D/2) each
        y, saved = rotate(input, cos, sin, self.interleaved)
        self.save(saved)
        return y

    def backward(self, grad: Tensor) -> InputGrad:
        (saved,) = self.saved()
        return rotate_backward(grad, saved) if self.input_grad else None

    def _build(self, length: int, dtype: torch.dtype, device: torch.device) -> Tensor:
        """Returns cosines and sines, ``(length, 2, D/2)``."""
        positions = torch.arange(length, dtype=at_least_float32(dtype), device=device)
        turned = angles(positions, self.head_dim, self.base)
        return torch.stack((turned.cos(), turned.sin()), 1).to(dtype)

    def extra_repr(self) -> str:
        base = "" if self.base == 10000.0 else f", base={self.base:g}"
        return f"{self.head_dim}{base}" + (", interleaved=True" if self.interleaved else "")
