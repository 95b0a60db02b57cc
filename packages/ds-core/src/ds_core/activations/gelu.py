"""GELU: the Gaussian error linear unit."""

from __future__ import annotations

from torch import Tensor

from ds_core.activations.activation import Activation
from ds_core.functional.activations import GELUForm, gelu, gelu_with_slope


class GELU(Activation):
    """Weights each number by the probability that a standard normal one lies below it.

    y = x Phi(x),   dL/dx = g (Phi(x) + x phi(x))

    Phi is the normal distribution function, phi its density. With ``approximate="tanh"``:
    Phi(x) = (1 + tanh u) / 2,   u = sqrt(2 / pi) (x + 0.044715 x^3),   and phi its derivative.

    Args:
        approximate: "none" for the exact form, "tanh" for the approximation GPT and BERT were trained with.

    Raises:
        ValueError: if ``approximate`` is another word.

    Source: Hendrycks and Gimpel, Gaussian Error Linear Units (2016).
    """

    def __init__(self, approximate: GELUForm = "none") -> None:
        super().__init__()
        if approximate not in ("none", "tanh"):
            raise ValueError(f"GELU: expected approximate 'none' or 'tanh', got {approximate!r}")
        self.approximate: GELUForm = approximate

    def function(self, x: Tensor) -> tuple[Tensor, Tensor]:
        if self.recording:
            return gelu_with_slope(x, self.approximate)
        return gelu(x, self.approximate), x

    def function_backward(self, grad: Tensor, kept: Tensor) -> Tensor:
        return kept.mul_(grad)

    def extra_repr(self) -> str:
        return "" if self.approximate == "none" else f"approximate={self.approximate!r}"
