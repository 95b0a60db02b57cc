"""Normalization: the constructors and checks that layer, root-mean-square, group and batch norm share."""

from __future__ import annotations

from collections.abc import Sequence
from numbers import Integral
from typing import ClassVar

import torch
from torch import Tensor

from ds_core.initializers import Init, Start, initialize
from ds_core.module import Module, Parameter


class NormOptions(Start, total=False):
    """What norms take by keyword; ``init`` gives the initial w, ones if it is None.

    Attributes:
        bias: whether b is learned.
    """

    bias: bool


class Normalization(Module):
    """Base of the norms: mean 0 and variance 1 over some dimensions, then a learned scale w and shift b."""

    weight: Tensor | None
    bias: Tensor | None

    @property
    def affine(self) -> bool:
        """Whether there is a w."""
        return self.weight is not None

    def make_parameters(
        self,
        shape: tuple[int, ...],
        weight: bool,
        device: torch.device | str | None,
        dtype: torch.dtype | None,
        *,
        bias: bool = True,
        init: Init | None = None,
        generator: torch.Generator | None = None,
    ) -> None:
        """Makes w, ones unless ``init`` says otherwise, and b, zeros; None for what is not wanted."""
        ones = torch.ones(shape, device=device, dtype=dtype)
        self.register_parameter("weight", Parameter(ones) if weight else None)
        if self.weight is not None and init is not None:
            initialize(self.weight, init, generator)
        zeros = torch.zeros(shape, device=device, dtype=dtype)
        self.register_parameter("bias", Parameter(zeros) if weight and bias else None)


class TrailingNorm(Normalization):
    """Base of the norms over trailing dimensions: their sizes, in the constructor and in ``repr``."""

    usual_eps: ClassVar[float | None] = 1e-5  # which repr leaves out
    eps: float | None
    normalized_shape: tuple[int, ...]
    dims: tuple[int, ...]

    @property
    def elementwise_affine(self) -> bool:
        """Whether there is a w."""
        return self.affine

    def set_shape(self, normalized_shape: int | Sequence[int]) -> tuple[int, ...]:
        """Keeps and returns the sizes of the dimensions that are averaged over together.

        Raises:
            ValueError: if there is none.
        """
        several = [normalized_shape] if isinstance(normalized_shape, (int, Integral)) else normalized_shape
        sizes = tuple(int(size) for size in several)
        if not sizes:
            raise ValueError(f"{type(self).__name__}: expected at least one size in normalized_shape, got ()")
        self.normalized_shape, self.dims = sizes, tuple(range(-len(sizes), 0))
        return sizes

    def extra_repr(self) -> str:
        sizes = self.normalized_shape
        text = str(sizes[0] if len(sizes) == 1 else sizes)
        text += "" if self.eps == self.usual_eps else f", eps={self.eps}"
        return text if self.weight is not None else f"{text}, elementwise_affine=False"
