"""SpectralNorm: a layer that stretches no vector to more than its length."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Self, final

import torch
from torch import Tensor

from ds_core import functional
from ds_core.functional.spectral_norm import power_iteration
from ds_core.initializers import normal_
from ds_core.kernels import dispatch
from ds_core.module import InputGrad, Module

spectral_norm, spectral_norm_backward = dispatch(functional.spectral_norm, half=torch.float32)

_FIRST = 16  # steps of power iteration before the first call


@final
class SpectralNorm(Module):
    """Lets a layer work with its weight divided by the weight's largest singular value.

    W' = W / s,   s = u^T W v;   with G the gradient that the layer finds for W':
    dL/dW = (G - sum(G W') u v^T) / s

    In training each call brings u and v one step of power iteration nearer to the singular vectors of W.

    Args:
        layer: Dense or a convolution: one whose weight has a row for each output, or, as a transposed one,
            says by ``output_dim`` in which dimension of the weight the outputs are.
        eps: the least length that is divided by.
        generator: source of the initial u and v; None for torch's global one.

    Shape:
        as the layer; u ``(O,)``, v ``(I,)``, I being the numbers in one row of the weight.

    Raises:
        ValueError: if the layer has no such weight.

    Source: Miyato et al., Spectral Normalization for Generative Adversarial Networks (2018), algorithm 1.
    """

    u: Tensor
    v: Tensor

    def __init__(self, layer: Any, eps: float = 1e-12, *, generator: torch.Generator | None = None) -> None:
        weight = getattr(layer, "weight", None)
        if not isinstance(weight, Tensor) or weight.dim() < 2:
            raise ValueError(f"SpectralNorm: expected a layer whose weight has rows, got {layer!r}")
        self.layer, self.eps, self.input_grad = layer, eps, layer.input_grad
        rows = self._rows(weight)
        self.register_buffer("u", normal_(rows.new_empty(len(rows)), generator=generator))
        self.register_buffer("v", normal_(rows.new_empty(rows[0].numel()), generator=generator))
        with torch.no_grad():
            for _ in range(0 if rows.is_meta else _FIRST):  # without memory there are no directions
                self.u, self.v = power_iteration(rows, self.v, eps)

    def forward(self, *args: Any, **options: Any) -> Any:
        rows = self._rows(self.layer.weight)
        if self.training:
            with torch.no_grad():
                self.u, self.v = power_iteration(rows, self.v, self.eps)
        rows, saved = spectral_norm(rows, self.u, self.v)
        weight = self._rows(rows)
        if self.recording:
            weight.requires_grad_(self.layer.weight.requires_grad)  # for the layer's backward
        with self._in_place(weight):
            y = self.layer(*args, **options)
        self.save(weight, saved)
        return y

    def backward(self, grad: Tensor) -> InputGrad:
        weight, saved = self.saved()
        weight.requires_grad_(self.layer.weight.requires_grad)
        with self._in_place(weight):
            grad_x = self.layer.backward(grad)
        if weight.grad is not None:
            grad_rows = spectral_norm_backward(self._rows(weight.grad), saved)
            self.layer.add_grad("weight", self._rows(grad_rows))
            weight.grad = None
        return grad_x

    def requires_input_grad_(self, requires_input_grad: bool = True) -> Self:
        """Sets it for the layer, too."""
        self.layer.requires_input_grad_(requires_input_grad)
        return super().requires_input_grad_(requires_input_grad)

    def _rows(self, weight: Tensor) -> Tensor:
        """Returns a weight with its outputs in the first dimension, and of such a one the weight."""
        return weight.transpose(0, getattr(self.layer, "output_dim", 0))

    @contextmanager
    def _in_place(self, weight: Tensor) -> Iterator[None]:
        """Lets the layer work with another weight for a while."""
        own = self.layer.weight
        object.__setattr__(self.layer, "weight", weight)
        try:
            yield
        finally:
            object.__setattr__(self.layer, "weight", own)
