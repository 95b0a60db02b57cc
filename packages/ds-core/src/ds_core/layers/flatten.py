"""Flatten and Unflatten: several dimensions as one, and one as several."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from ds_core.checks import shape
from ds_core.module import InputGrad, Module


class _Reshape(Module):
    """What both share: no number changes, so the gradient only takes the input's shape again."""

    passes_on = True

    def backward(self, grad: Tensor) -> InputGrad:
        (shape,) = self.saved()
        return grad.reshape(shape) if self.input_grad else None

    def second_backward(self, grad_grad: Tensor) -> Tensor:
        grad, shape = self.kept_for_second()
        self.save_again(shape, grad_x=None)
        return grad_grad.reshape(grad.shape)


class Flatten(_Reshape):
    """Joins neighbouring dimensions into one; the gradient is viewed back.

    Args:
        start_dim: the first dimension joined.
        end_dim: the last dimension joined.

    Shape:
        x ``(N, A, B, ...)`` -> ``(N, A B ...)`` by default.

    Raises:
        ValueError: if x has no such dimensions.
    """

    def __init__(self, start_dim: int = 1, end_dim: int = -1) -> None:
        self.start_dim = start_dim
        self.end_dim = end_dim

    def forward(self, input: Tensor) -> Tensor:
        try:
            y = input.flatten(self.start_dim, self.end_dim)
        except (IndexError, RuntimeError) as error:
            raise ValueError(
                f"{self.label()}: expected input with dimensions {self.start_dim} to {self.end_dim}, "
                f"got shape {shape(input)}"
            ) from error
        self.save(input.shape)
        return y

    def extra_repr(self) -> str:
        return "" if (self.start_dim, self.end_dim) == (1, -1) else f"{self.start_dim}, {self.end_dim}"


class Unflatten(_Reshape):
    """Splits one dimension into several; the gradient is viewed back.

    Args:
        dim: the dimension to split.
        unflattened_size: the sizes it becomes; one of them may be -1, which is worked out.

    Shape:
        x ``(..., A B, ...)`` -> ``(..., A, B, ...)``.

    Raises:
        ValueError: if x has no such dimension or its size is not the product of the new ones.
    """

    def __init__(self, dim: int, unflattened_size: Sequence[int]) -> None:
        self.dim = dim
        self.unflattened_size = tuple(unflattened_size)

    def forward(self, input: Tensor) -> Tensor:
        try:
            y = input.unflatten(self.dim, self.unflattened_size)
        except (IndexError, RuntimeError) as error:
            raise ValueError(
                f"{self.label()}: expected input whose dimension {self.dim} splits into "
                f"{self.unflattened_size}, got shape {shape(input)}"
            ) from error
        self.save(input.shape)
        return y

    def extra_repr(self) -> str:
        return f"{self.dim}, {self.unflattened_size}"
