"""LearnedPositions: a trained vector for each place, added to the embeddings."""

from __future__ import annotations

from typing import final

import torch
from ds_core import InputGrad, Module, Parameter
from ds_core.checks import check_dtype
from ds_core.initializers import Init, initialize
from ds_core.kernels import dispatch
from torch import Tensor

from ds_transformer import functional
from ds_transformer.positions.checks import check_sequence

learned_positions, learned_positions_backward = dispatch(functional.learned_positions)


@final
class LearnedPositions(Module):
    """Adds to each embedding the row of a trained table for its place.

    y_t = x_t + W_(past + t),   dL/dW_(past + t) = sum of g_t over the batch,   dL/dx = g

    Args:
        max_length: L, the longest context.
        d_model: C, the width.
        device: of the table.
        dtype: of the table.
        init: initial W: a name or function of :mod:`ds_core.initializers`; None for N(0, 1).
        generator: source of the initial values; None for torch's global one.

    Shape:
        input ``(..., T, C)``, past: how many positions came before, as when decoding with a cache
        -> ``(..., T, C)``; weight ``(L, C)``.

    Raises:
        ValueError: if a position is beyond the context, the last dimension of the input is not C, or past is
            negative.
        TypeError: if the input has another dtype than the weight.

    Source: Gehring et al., Convolutional Sequence to Sequence Learning (2017), section 3.1.
    """

    weight: Tensor

    def __init__(
        self,
        max_length: int,
        d_model: int,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
        *,
        init: Init | None = None,
        generator: torch.Generator | None = None,
    ) -> None:
        if min(max_length, d_model) < 1:
            raise ValueError(
                "LearnedPositions: expected max_length and d_model of at least 1, "
                f"got {max_length}, {d_model}"
            )
        self.max_length, self.d_model = max_length, d_model
        self.weight = Parameter(torch.empty(max_length, d_model, device=device, dtype=dtype))
        initialize(self.weight, init or "normal", generator)

    def forward(self, input: Tensor, past: int = 0) -> Tensor:
        check_sequence(self, input, self.d_model, past)
        check_dtype(self, input, self.weight.dtype)
        end = past + input.shape[-2]
        if end > self.max_length:
            raise ValueError(
                f"{self.label()}: expected at most {self.max_length} positions, got {end}: "
                f"{past} past and {input.shape[-2]} in an input of shape {tuple(input.shape)}"
            )
        y, saved = learned_positions(input, self.weight, past)
        self.save(saved)
        return y

    def backward(self, grad: Tensor) -> InputGrad:
        (saved,) = self.saved()
        wanted = self.wants("input", "weight")
        grad_x, grad_weight = learned_positions_backward(grad, saved, wanted=wanted)
        self.add_grad("weight", grad_weight)
        return grad_x

    def extra_repr(self) -> str:
        return f"{self.max_length}, {self.d_model}"
