"""The first rung: a single neuron, and the perceptron with the learning rule that came before gradients."""

from __future__ import annotations

from typing import Self, final

import torch
from torch import Tensor

from ds_core.checks import check_features, shape
from ds_core.functional.linear import as_rows
from ds_core.initializers import Init, initialize
from ds_core.module import InputGrad, Module, Parameter


@final
class Neuron(Module):
    """Weighs its inputs, adds a bias and applies an activation: one number for each example.

    y = f(s),   s = w . x + b

    With g = dL/dy:   dL/ds = g f'(s),   dL/dw = sum of dL/ds x,   dL/db = sum of dL/ds,   dL/dx = dL/ds w

    Args:
        in_features: size of the last dimension of the input.
        activation: f, a module that keeps the shape; None for y = s.
        device: of the parameters.
        dtype: of the parameters.
        init: initial w: a name or function of :mod:`ds_core.initializers`; None for
            U(-1/sqrt(in_features), 1/sqrt(in_features)). b starts at 0.
        generator: source of the initial values; None for torch's global one.

    Shape:
        x ``(..., in_features)`` -> y ``(...)``; weight ``(in_features,)``, bias ``()``.

    Raises:
        ValueError: if the last dimension of x is not ``in_features``.
        TypeError: if x has another dtype than the weight.

    Source: McCulloch, Pitts, A Logical Calculus of the Ideas Immanent in Nervous Activity (1943).
    """

    weight: Tensor
    bias: Tensor

    def __init__(
        self,
        in_features: int,
        activation: Module | None = None,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
        *,
        init: Init | None = None,
        generator: torch.Generator | None = None,
    ) -> None:
        self.in_features = in_features
        start = torch.empty(1, in_features, device=device, dtype=dtype)
        self.weight = Parameter(initialize(start, init, generator)[0])
        self.bias = Parameter(torch.zeros((), device=device, dtype=dtype))
        self.activation = activation

    def forward(self, input: Tensor) -> Tensor:
        check_features(self, input, self.in_features, self.weight)
        self.save(input)
        s = (input * self.weight).sum(-1) + self.bias
        return s if self.activation is None else self.activation(s)

    def backward(self, grad: Tensor) -> InputGrad:
        (x,) = self.saved()
        if self.activation is not None:
            grad = self.activation.backward(grad)
        self.add_grad("weight", lambda: as_rows(grad.unsqueeze(-1) * x).sum(0))
        self.add_grad("bias", lambda: grad.sum())
        return grad.unsqueeze(-1) * self.weight if self.input_grad else None

    def extra_repr(self) -> str:
        return f"{self.in_features}"


class Perceptron:
    """Tells two classes apart by a straight line, learned from its mistakes alone.

    y = 1 if w . x + b > 0 else 0;   after each example with label t:   w += lr (t - y) x,   b += lr (t - y)

    The step has no useful derivative, so this is not gradient descent: nothing changes unless the answer was
    wrong. If a line separates the classes by a margin m and no example (x, 1) is longer than R, at most
    (R / m)^2 mistakes are made; if none does, the mistakes never end.

    Args:
        in_features: how many numbers describe an example.
        lr: the size of a correction. Since w starts at zero it scales w and b and changes no answer.

    Attributes:
        mistakes: how many each epoch of :meth:`fit` made.

    Source: Rosenblatt, The Perceptron (1958); Novikoff, On Convergence Proofs for Perceptrons (1962).
    """

    def __init__(self, in_features: int, lr: float = 1.0) -> None:
        self.weight = torch.zeros(in_features)
        self.bias = torch.zeros(())
        self.lr = lr
        self.mistakes: list[int] = []

    def predict(self, x: Tensor) -> Tensor:
        """Returns the class of each example.

        Args:
            x: ``(..., in_features)``.

        Returns:
            0 or 1, int64 ``(...)``.
        """
        return (x @ self.weight + self.bias > 0).long()

    def fit(
        self, x: Tensor, target: Tensor, epochs: int = 100, generator: torch.Generator | None = None
    ) -> Self:
        """Goes through the examples in random order, one at a time, until an epoch makes no mistake.

        Args:
            x: the examples, ``(N, in_features)``.
            target: their classes, 0 or 1, ``(N,)``.
            epochs: when to stop if mistakes go on.
            generator: source of the order; None for torch's global one.

        Raises:
            ValueError: if the shapes do not fit or a class is neither 0 nor 1.
        """
        expected = (len(target), len(self.weight))
        if target.dim() != 1 or x.shape != expected:
            raise ValueError(
                f"Perceptron.fit: expected examples of shape (N, {len(self.weight)}) and targets of shape "
                f"(N,), got {shape(x)} and {shape(target)}"
            )
        if not ((target == 0) | (target == 1)).all():
            raise ValueError(f"Perceptron.fit: expected classes 0 and 1, got {target.unique().tolist()}")
        for _ in range(epochs):
            mistakes = 0
            for i in torch.randperm(len(x), generator=generator):
                error = int(target[i]) - int(self.predict(x[i]))  # -1, 0 or 1
                self.weight += self.lr * error * x[i]
                self.bias += self.lr * error
                mistakes += abs(error)
            self.mistakes.append(mistakes)
            if mistakes == 0:
                break
        return self

    def __repr__(self) -> str:
        return f"Perceptron({len(self.weight)}, lr={self.lr})"
