"""LearnedPositions: a trained vector for each place, added to the embeddings."""

from __future__ import annotations

import torch
from ds_core import InputGrad, Module, Parameter
from ds_core.checks import check_dtype
from ds_core.initializers import Init, initialize
from torch import Tensor

from ds_transformer.positions.checks import check_sequence


class LearnedPositions(Module):
    """Adds to each embedding the row of a trained table for its place.

    y_t = x_t + W_(past + t),   dL/dW_(past + t) = sum of g_t over the batch,   dL/dx = g

    Args:
        max_length: L, the longest context.
        d_model: C, the width.
        init: how W starts: a name or function of :mod:`ds_core.initializers`; None for N(0, 1).
        generator: source of the initial values; None for torch's global one.

    Shape:
        x ``(..., T, C)``, past: how many positions came before, as when decoding with a cache
        -> ``(..., T, C)``; weight ``(L, C)``.

    Raises:
        ValueError: if a position is beyond the context, the last dimension of x is not C, or past is
            negative.
        TypeError: if x has another dtype than the weight.

    Source: Gehring et al., Convolutional Sequence to Sequence Learning (2017), section 3.1.
    """

    weight: Tensor

    def __init__(
        self,
        max_length: int,
        d_model: int,
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
        self.weight = Parameter(torch.empty(max_length, d_model))
        initialize(self.weight, init or "normal", generator)

    def forward(self, x: Tensor, past: int = 0) -> Tensor:
        check_sequence(self, x, self.d_model, past)
        check_dtype(self, x, self.weight.dtype)
        end = past + x.shape[-2]
        if end > self.max_length:
            raise ValueError(
                f"{self.label()}: expected at most {self.max_length} positions, got {end}: "
                f"{past} past and {x.shape[-2]} in an input of shape {tuple(x.shape)}"
            )
        self.save(past)
        return x + self.weight[past:end]

    def backward(self, grad: Tensor) -> InputGrad:
        (past,) = self.saved()
        self.add_grad("weight", lambda: self._grad_weight(grad, past))
        return grad if self.input_grad else None

    def _grad_weight(self, grad: Tensor, past: int) -> Tensor:
        rows = grad.sum(tuple(range(grad.dim() - 2))) if grad.dim() > 2 else grad  # (T, C)
        grad_weight = torch.zeros_like(self.weight)
        grad_weight[past : past + len(rows)] = rows
        return grad_weight

    def extra_repr(self) -> str:
        return f"{self.max_length}, {self.d_model}"
