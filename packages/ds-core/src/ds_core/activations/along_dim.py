"""AlongDim: what Softmax, Softmin and LogSoftmax share."""

from __future__ import annotations

import warnings

from torch import Tensor

from ds_core.checks import check_floating, shape
from ds_core.module import Module


class AlongDim(Module):
    """Base of the layers whose numbers along one dimension belong together.

    Args:
        dim: the dimension. None, torch.nn's old default, takes 0 for inputs of 0, 1 or 3
            dimensions and 1 for others, with a warning.
    """

    def __init__(self, dim: int | None = None) -> None:
        self.dim = dim

    def checked_dim(self, input: Tensor) -> int:
        """Checks that the input is floating point, and returns its dimension.

        Raises:
            TypeError: if the input is not floating point.
            IndexError: if it has no such dimension.
        """
        check_floating(self, input)
        if self.dim is None:
            dim = 0 if input.dim() in (0, 1, 3) else 1
            warnings.warn(
                f"{self.label()}: no dim given; took {dim}, as torch.nn does for {input.dim()} dimensions",
                stacklevel=4,
            )
            return dim
        dims = max(input.dim(), 1)
        if not -dims <= self.dim < dims:
            raise IndexError(
                f"{self.label()}: expected an input with a dimension {self.dim}, got shape {shape(input)}"
            )
        return self.dim

    def extra_repr(self) -> str:
        return "" if self.dim is None else f"dim={self.dim}"
