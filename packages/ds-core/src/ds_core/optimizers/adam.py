"""Adam: steps of about ``lr`` in every coordinate, whatever the gradient's scale."""

from __future__ import annotations

import torch
from torch import Tensor

from ds_core.functional.adam import adam as formula
from ds_core.kernels import dispatch_update
from ds_core.optimizers.optimizer import Group, Optimizer, Params, State

adam = dispatch_update(formula)


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
        foreach, capturable, differentiable, fused: see :class:`Optimizer`.

    Raises:
        ValueError: if an option is negative, or a beta is not in [0, 1).

    Source: Kingma and Ba, Adam (2015), algorithm 1; Reddi et al., On the Convergence of Adam (2018).
    """

    def __init__(
        self,
        params: Params,
        lr: float | Tensor = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0,
        amsgrad: bool = False,
        *,
        foreach: bool | None = None,
        maximize: bool = False,
        capturable: bool = False,
        differentiable: bool = False,
        fused: bool | None = None,
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
            foreach=foreach,
            capturable=capturable,
            differentiable=differentiable,
            fused=fused,
        )

    def start(self, parameter: Tensor, group: Group) -> State:
        state = {"step": 0, "exp_avg": torch.zeros_like(parameter), "exp_avg_sq": torch.zeros_like(parameter)}
        if group["amsgrad"]:
            state["max_exp_avg_sq"] = torch.zeros_like(parameter)
        return state

    def update(self, parameter: Tensor, grad: Tensor, state: State, group: Group) -> tuple[Tensor, State]:
        names = ("lr", "betas", "eps", "amsgrad")
        return adam(parameter, grad, state, **{option: group[option] for option in names})
