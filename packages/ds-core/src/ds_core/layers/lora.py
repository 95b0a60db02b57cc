"""LoRADense and LoRAWeight: a large layer stays as it is, and a small product beside it learns."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Self, final

import torch
from torch import Tensor

from ds_core import functional
from ds_core.checks import check_features, shape
from ds_core.initializers import initialize
from ds_core.kernels import dispatch
from ds_core.layers.dense import Dense
from ds_core.layers.dropout import Dropout
from ds_core.module import InputGrad, Module, Parameter

lora, lora_backward = dispatch(functional.lora, low=True)
lora_weight, lora_weight_backward = dispatch(functional.lora_weight)


class LoRA(Module):
    """Base of what adapts a layer: the layer, frozen, and the two thin matrices A and B.

    A starts at random and B with zeros, so that at first nothing is changed.
    """

    base: Any
    name: str  # the attribute of the weight that is adapted
    lora_A: Tensor
    lora_B: Tensor

    def adapt(self, layer: Module, name: str, rank: int, alpha: float, generator: Any) -> None:
        """Freezes the layer and makes A ``(r, in)`` and B ``(out, r)``.

        Raises:
            ValueError: if the weight is not a matrix, or ``rank`` is below 1.
        """
        weight = getattr(layer, name, None)
        if not isinstance(weight, Tensor) or weight.dim() != 2:
            got = "none" if weight is None else shape(weight)
            raise ValueError(
                f"{type(self).__name__}: expected {name} of {layer.label()} to be a matrix, got {got}"
            )
        if rank < 1:
            raise ValueError(f"{type(self).__name__}: expected rank of at least 1, got {rank}")
        self.base, self.name = layer.requires_grad_(False), name
        self.rank, self.alpha, self.input_grad = rank, alpha, layer.input_grad
        made: dict[str, Any] = {"device": weight.device, "dtype": weight.dtype}
        self.lora_A = Parameter(torch.empty(rank, weight.shape[1], **made))
        initialize(self.lora_A, None, generator)
        self.lora_B = Parameter(torch.zeros(len(weight), rank, **made))

    @property
    def scale(self) -> float:
        """Returns s = alpha / r."""
        return self.alpha / self.rank

    @torch.no_grad()
    def merged(self) -> Module:
        """Returns the layer with W + s B A as its weight; it is the same object."""
        weight, _ = functional.lora_weight(
            getattr(self.base, self.name), self.lora_A, self.lora_B, self.scale
        )
        getattr(self.base, self.name).copy_(weight)
        layer: Module = self.base
        return layer

    def requires_input_grad_(self, requires_input_grad: bool = True) -> Self:
        """Sets it for the layer, too."""
        self.base.requires_input_grad_(requires_input_grad)
        return super().requires_input_grad_(requires_input_grad)

    def __getattr__(self, name: str) -> Any:
        """Returns an attribute of the adapted layer, its width, say."""
        if name.startswith("_") or "base" not in vars(self):
            raise AttributeError(f"{type(self).__name__} has no {name}")
        return getattr(self.base, name)

    def extra_repr(self) -> str:
        return f"{self.name}, rank={self.rank}, alpha={self.alpha}"


@final
class LoRADense(LoRA):
    """Adapts a Dense layer by a product of rank r, the layer itself staying as it is.

    y = x W^T + b + s d A^T B^T,   d = dropout(x),   s = alpha / r;   with g = dL/dy and z = d A^T:
    dL/dB = s g^T z,   dL/dA = s (g B)^T d,   dL/dx = g W + dropout'(s g B A)

    Args:
        layer: frozen from now on.
        rank: r.
        alpha: how much the product counts: s = alpha / r.
        dropout: share of the product's inputs set to zero in training.
        generator: source of A's initial values and of dropout; None for torch's global one.

    Shape:
        as the layer; lora_A ``(r, in)``, lora_B ``(out, r)``.

    Raises:
        ValueError: if ``rank`` is below 1.

    Source: Hu et al., LoRA: Low-Rank Adaptation of Large Language Models (2021), section 4.1.
    """

    def __init__(
        self,
        layer: Dense,
        rank: int = 8,
        alpha: float = 16.0,
        dropout: float = 0.0,
        *,
        generator: torch.Generator | None = None,
    ) -> None:
        self.adapt(layer, "weight", rank, alpha, generator)
        self.dropout = Dropout(dropout, generator=generator)

    def forward(self, input: Tensor) -> Tensor:
        check_features(self, input, self.base.in_features, self.lora_A)
        y, saved = lora(self.dropout(input), self.lora_A, self.lora_B, self.scale)
        self.save(saved)
        return self.base(input) + y

    def backward(self, grad: Tensor) -> InputGrad:
        (saved,) = self.saved()
        grad_layer = self.base.backward(grad)
        wanted = self.wants("input", "lora_A", "lora_B")
        grad_x, grad_a, grad_b = lora_backward(grad, saved, wanted=wanted)
        self.add_grad("lora_A", grad_a)
        self.add_grad("lora_B", grad_b)
        if grad_x is None:
            self.dropout.saved()
            return None
        return grad_layer + self.dropout.backward(grad_x)


@final
class LoRAWeight(LoRA):
    """Adapts one weight of any layer by a product of rank r: the way to attention's projections.

    W' = W + s B A,   s = alpha / r;   with G the gradient that the layer finds for W':
    dL/dA = s B^T G,   dL/dB = s G A^T

    It costs what training W costs, except for the optimizer's state; where the layer is a Dense,
    :class:`LoRADense` is cheaper.

    Args:
        layer: frozen from now on.
        name: the attribute that holds the weight, a matrix, as ``"in_proj_weight"``.
        rank: r.
        alpha: how much the product counts: s = alpha / r.
        generator: source of A's initial values; None for torch's global one.

    Shape:
        as the layer; lora_A ``(r, in)``, lora_B ``(out, r)``.

    Raises:
        ValueError: if the weight is not a matrix, or ``rank`` is below 1.

    Source: Hu et al., LoRA: Low-Rank Adaptation of Large Language Models (2021), section 4.1.
    """

    def __init__(
        self,
        layer: Module,
        name: str,
        rank: int = 8,
        alpha: float = 16.0,
        *,
        generator: torch.Generator | None = None,
    ) -> None:
        self.adapt(layer, name, rank, alpha, generator)

    def forward(self, *args: Any, **options: Any) -> Any:
        weight, saved = lora_weight(getattr(self.base, self.name), self.lora_A, self.lora_B, self.scale)
        if self.recording:
            weight.requires_grad_()  # so that the layer's backward finds its gradient
        with self._in_place(weight):
            y = self.base(*args, **options)
        self.save(weight, saved)
        return y

    def backward(self, *grads: Any, **named: Any) -> InputGrad:
        weight, saved = self.saved()
        with self._in_place(weight):
            grad_x = self.base.backward(*grads, **named)
        if weight.grad is not None:
            _, grad_a, grad_b = lora_weight_backward(weight.grad, saved)
            self.add_grad("lora_A", grad_a)
            self.add_grad("lora_B", grad_b)
            weight.grad = None
        return grad_x

    @contextmanager
    def _in_place(self, weight: Tensor) -> Iterator[None]:
        """Lets the layer work with another weight for a while."""
        own = getattr(self.base, self.name)
        object.__setattr__(self.base, self.name, weight)
        try:
            yield
        finally:
            object.__setattr__(self.base, self.name, own)
