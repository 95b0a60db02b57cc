"""Adagrad: coordinates that have moved much move less and less."""

from __future__ import annotations

import torch
from torch import Tensor

from ds_core.functional.adagrad import adagrad as formula
from ds_core.kernels import dispatch_update
from ds_core.optimizers.optimizer import Group, Optimizer, Params, State

adagrad = dispatch_update(formula)


class Adagrad(Optimizer):
    """Divides the gradient by the root of the sum of all squared gradients so far.

    s = s + g^2
    p = p - lr_t g / (sqrt(s) + eps),   lr_t = lr / (1 + (t - 1) lr_decay)

    Args:
        params: see :class:`Optimizer`.
        lr: learning rate.
        lr_decay: how fast it falls with the number of steps t, besides s.
        weight_decay: coupled: ``weight_decay`` p is added to the gradient.
        initial_accumulator_value: s before the first step.
        eps: keeps the quotient finite.
        maximize: climbs instead.
        foreach, differentiable, fused: see :class:`Optimizer`.

    Raises:
        ValueError: if an option is negative.

    Source: Duchi, Hazan, Singer, Adaptive Subgradient Methods (2011), figure 1.
    """

    def __init__(
        self,
        params: Params,
        lr: float | Tensor = 1e-2,
        lr_decay: float = 0,
        weight_decay: float = 0,
        initial_accumulator_value: float = 0,
        eps: float = 1e-10,
        foreach: bool | None = None,
        *,
        maximize: bool = False,
        differentiable: bool = False,
        fused: bool | None = None,
    ) -> None:
        super().__init__(
            params,
            lr=lr,
            lr_decay=lr_decay,
            weight_decay=weight_decay,
            initial_accumulator_value=initial_accumulator_value,
            eps=eps,
            maximize=maximize,
            foreach=foreach,
            differentiable=differentiable,
            fused=fused,
        )

    def start(self, parameter: Tensor, group: Group) -> State:
        return {"step": 0, "sum": torch.full_like(parameter, group["initial_accumulator_value"])}

    def update(self, parameter: Tensor, grad: Tensor, state: State, group: Group) -> tuple[Tensor, State]:
        names = ("lr", "lr_decay", "eps")
        return adagrad(parameter, grad, state, **{option: group[option] for option in names})
