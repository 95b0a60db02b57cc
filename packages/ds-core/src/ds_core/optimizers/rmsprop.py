"""RMSprop: divides each gradient by its recent size."""

from __future__ import annotations

import torch
from torch import Tensor

from ds_core.functional.rmsprop import rmsprop as formula
from ds_core.kernels import dispatch_update
from ds_core.optimizers.optimizer import Group, Optimizer, Params, State

rmsprop = dispatch_update(formula)


class RMSprop(Optimizer):
    """Divides the gradient by the root of a running mean of its squares.

    v = alpha v + (1 - alpha) g^2
    centred:   m = alpha m + (1 - alpha) g,   r = g / (sqrt(v - m^2) + eps)   (v - m^2: a running variance)
    plain:     r = g / (sqrt(v) + eps)
    p = p - lr r,   or with momentum:   b = momentum b + r,   p = p - lr b

    Args:
        params: see :class:`Optimizer`.
        lr: learning rate.
        alpha: decay rate of the running means.
        eps: keeps the quotient finite.
        weight_decay: coupled: ``weight_decay`` p is added to the gradient.
        momentum: share of the running sum of steps that survives each step.
        centered: divides by the standard deviation instead of the root mean square.
        maximize: climbs instead.
        foreach, capturable, differentiable: see :class:`Optimizer`.

    Raises:
        ValueError: if an option is negative.

    Source: Tieleman and Hinton, Neural Networks for Machine Learning (2012), lecture 6.5; Graves, Generating
    Sequences With Recurrent Neural Networks (2013), equations 38 to 45, for the centred form.
    """

    def __init__(
        self,
        params: Params,
        lr: float | Tensor = 1e-2,
        alpha: float = 0.99,
        eps: float = 1e-8,
        weight_decay: float = 0,
        momentum: float = 0,
        centered: bool = False,
        capturable: bool = False,
        foreach: bool | None = None,
        maximize: bool = False,
        differentiable: bool = False,
    ) -> None:
        super().__init__(
            params,
            lr=lr,
            alpha=alpha,
            eps=eps,
            weight_decay=weight_decay,
            momentum=momentum,
            centered=centered,
            maximize=maximize,
            foreach=foreach,
            capturable=capturable,
            differentiable=differentiable,
        )

    def start(self, parameter: Tensor, group: Group) -> State:
        state: State = {"step": 0, "square_avg": torch.zeros_like(parameter)}
        if group["momentum"]:
            state["momentum_buffer"] = torch.zeros_like(parameter)
        if group["centered"]:
            state["grad_avg"] = torch.zeros_like(parameter)
        return state

    def update(self, parameter: Tensor, grad: Tensor, state: State, group: Group) -> tuple[Tensor, State]:
        names = ("lr", "alpha", "eps", "momentum", "centered")
        return rmsprop(parameter, grad, state, **{option: group[option] for option in names})
