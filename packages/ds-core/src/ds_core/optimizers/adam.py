"""Adam: steps of about ``lr`` in every coordinate, whatever the gradient's scale."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from ds_core.optimizers.optimizer import Group, Optimizer, Params, State


class Adam(Optimizer):
    """Divides a running mean of gradients by the root of a running mean of their squares.

    m = beta1 m + (1 - beta1) g,            m^ = m / (1 - beta1^t)
    v = beta2 v + (1 - beta2) g^2,          v^ = v / (1 - beta2^t)   (amsgrad: v is its largest value so far)
    p = p - lr m^ / (sqrt(v^) + eps)

    Args:
        params: see :class:`Optimizer`.
        lr: learning rate.
        betas: decay rates of the two running means.
        eps: keeps the quotient finite.
        weight_decay: coupled: ``weight_decay`` p is added to the gradient.
        amsgrad: divides by the largest v so far, so that step sizes never grow.
        maximize: climbs instead.
        decoupled_weight_decay: shrinks p directly instead, as :class:`AdamW` does.

    Raises:
        ValueError: if an option is negative, or a beta is not in [0, 1).

    Source: Kingma and Ba, Adam (2015), algorithm 1; Reddi et al., On the Convergence of Adam (2018).
    """

    def __init__(
        self,
        params: Params,
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0,
        amsgrad: bool = False,
        *,
        maximize: bool = False,
        decoupled_weight_decay: bool = False,
    ) -> None:
        super().__init__(
            params,
            lr=lr,
            betas=betas,
            eps=eps,
            weight_decay=weight_decay,
            amsgrad=amsgrad,
            maximize=maximize,
            decoupled_weight_decay=decoupled_weight_decay,
        )

    def start(self, parameter: Tensor, group: Group) -> State:
        state = {"step": 0, "exp_avg": torch.zeros_like(parameter), "exp_avg_sq": torch.zeros_like(parameter)}
        if group["amsgrad"]:
            state["max_exp_avg_sq"] = torch.zeros_like(parameter)
        return state

    def update(self, parameter: Tensor, grad: Tensor, state: State, group: Group) -> None:
        beta1, beta2 = group["betas"]
        state["step"] += 1
        mean = state["exp_avg"].lerp_(grad, 1 - beta1)
        square = state["exp_avg_sq"].mul_(beta2).addcmul_(grad, grad, value=1 - beta2)
        if group["amsgrad"]:
            square = torch.maximum(state["max_exp_avg_sq"], square, out=state["max_exp_avg_sq"])
        # Both corrections are numbers: folded into the step size and eps, they cost no pass over a tensor.
        correction1 = 1 - beta1 ** state["step"]
        correction2 = math.sqrt(1 - beta2 ** state["step"])
        parameter.addcdiv_(
            mean,
            square.sqrt().add_(group["eps"] * correction2),
            value=-group["lr"] * correction2 / correction1,
        )
