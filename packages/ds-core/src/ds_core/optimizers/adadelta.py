"""Adadelta: steps as long as the last ones were."""

from __future__ import annotations

import torch
from torch import Tensor

from ds_core.functional.adadelta import adadelta as formula
from ds_core.kernels import dispatch_update
from ds_core.optimizers.optimizer import Group, Optimizer, Params, State

adadelta = dispatch_update(formula)


class Adadelta(Optimizer):
    """Divides the gradient by its usual size, and multiplies it by that of the last steps.

    v = rho v + (1 - rho) g^2
    d = sqrt(u + eps) / sqrt(v + eps) g
    u = rho u + (1 - rho) d^2
    p = p - lr d

    Args:
        params: see :class:`Optimizer`.
        lr: factor on the step, 1 in the paper.
        rho: decay rate of the two running means.
        eps: keeps the quotient finite, and sets the length of the first steps.
        weight_decay: coupled: ``weight_decay`` p is added to the gradient.
        maximize: climbs instead.
        foreach, capturable, differentiable: see :class:`Optimizer`.

    Raises:
        ValueError: if an option is negative, or rho above 1.

    Source: Zeiler, ADADELTA: An Adaptive Learning Rate Method (2012), algorithm 1.
    """

    def __init__(
        self,
        params: Params,
        lr: float | Tensor = 1.0,
        rho: float = 0.9,
        eps: float = 1e-6,
        weight_decay: float = 0,
        foreach: bool | None = None,
        *,
        capturable: bool = False,
        maximize: bool = False,
        differentiable: bool = False,
    ) -> None:
        super().__init__(
            params,
            lr=lr,
            rho=rho,
            eps=eps,
            weight_decay=weight_decay,
            maximize=maximize,
            foreach=foreach,
            capturable=capturable,
            differentiable=differentiable,
        )

    def check_options(self, group: Group) -> None:
        super().check_options(group)
        if group["rho"] > 1:
            raise ValueError(f"{self.label()}: expected rho in [0, 1], got {group['rho']}")

    def start(self, parameter: Tensor, group: Group) -> State:
        return {
            "step": 0,
            "square_avg": torch.zeros_like(parameter),
            "acc_delta": torch.zeros_like(parameter),
        }

    def update(self, parameter: Tensor, grad: Tensor, state: State, group: Group) -> tuple[Tensor, State]:
        names = ("lr", "rho", "eps")
        return adadelta(parameter, grad, state, **{option: group[option] for option in names})
