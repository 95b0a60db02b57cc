"""GaussianNLLLoss: a prediction that says how sure it is."""

from __future__ import annotations

from typing import final

import torch
from torch import Tensor

from ds_core import functional
from ds_core.checks import check_number, check_numbers, shape
from ds_core.kernels import dispatch
from ds_core.losses.loss import Reduction
from ds_core.losses.pointwise_loss import PointwiseLoss
from ds_core.module import InputGrad

gaussian_nll, gaussian_nll_backward = dispatch(functional.gaussian_nll, half=torch.float32)


@final
class GaussianNLLLoss(PointwiseLoss):
    """Takes a mean and a variance, and asks how likely the target is under them.

    l = (log v + (x - t)^2 / v) / 2,   dl/dx = (x - t) / v,   dl/dv = (1 / v - (x - t)^2 / v^2) / 2

    Args:
        full: adds log(2 pi) / 2, so that l is the negative log likelihood itself.
        eps: a variance counts no less than this.
        reduction: "mean", "sum" or "none".

    Shape:
        x and target: the same, any; the variance v the same, or with one dimension of size 1, or without the
        last, or a number for all -> scalar (or the shape of x for "none"). The gradient is a triple, for x,
        None, and v.

    Raises:
        ValueError: if eps or a variance is negative, or the shapes do not fit.
        TypeError: if x is not floating point, or v is a tensor of another type.

    Source: Nix and Weigend, Estimating the Mean and Variance of the Target Probability Distribution (1994).
    """

    def __init__(self, *, full: bool = False, eps: float = 1e-6, reduction: Reduction = "mean") -> None:
        super().__init__(reduction)
        if not eps >= 0:
            raise ValueError(f"GaussianNLLLoss: expected eps to be 0 or more, got {eps}")
        self.full, self.eps = full, eps

    def forward(self, input: Tensor, target: Tensor, var: Tensor | float) -> Tensor:
        target = self.checked(input, target)
        variance = self.checked_variance(input, var)
        loss, saved = gaussian_nll(input, target, variance, self.full, self.eps, self.reduction)
        self.save(saved, var.shape if isinstance(var, Tensor) else None)
        return loss

    def backward(self, grad: Tensor | float = 1.0) -> InputGrad:
        saved, size = self.saved()
        grad_x, grad_var = gaussian_nll_backward(grad, saved)
        return grad_x if size is None else (grad_x, None, grad_var.view(size))

    def checked_variance(self, input: Tensor, var: Tensor | float) -> Tensor:
        """Checks the variance, and returns it as a tensor that broadcasts with the input.

        Raises:
            ValueError: if one is negative, or the shape is not one of those that the class allows.
            TypeError: if it is neither a number nor a tensor of the input's type.
        """
        if not isinstance(var, Tensor):
            check_number(self.label(), 0, var=var)
            return input.new_full((), var)
        if var.dtype != input.dtype:
            raise TypeError(
                f"{self.label()}: expected a variance of the prediction's type {input.dtype}, got {var.dtype}"
            )
        variance = var.unsqueeze(-1) if input.dim() and var.shape == input.shape[:-1] else var
        pairs = zip(input.shape, variance.shape, strict=False)
        if variance.dim() != input.dim() or sorted(v for n, v in pairs if n != v) not in ([], [1]):
            raise ValueError(
                f"{self.label()}: expected a variance of the prediction's shape {shape(input)}, or with one "
                f"dimension of size 1, or without the last, got {shape(var)}"
            )
        if not torch.compiler.is_compiling():
            check_numbers(
                (var < 0).any(),
                lambda: ValueError(
                    f"{self.label()}: expected variances of 0 or more, got {var.min().item():g}; "
                    "a network can give their logarithm"
                ),
            )
        return variance

    def extra_repr(self) -> str:
        shown = (super().extra_repr(), "full=True" if self.full else "", f"eps={self.eps}")
        return ", ".join(part for part in shown if part)
