"""NAdam: Adam with Nesterov's look ahead."""

from __future__ import annotations

import torch
from torch import Tensor

from ds_core.functional.nadam import nadam as formula
from ds_core.kernels import dispatch_update
from ds_core.optimizers.optimizer import Group, Optimizer, Params, State

nadam = dispatch_update(formula)


class NAdam(Optimizer):
    """Steps along Adam's running mean as it will be, not as it was.

    m, v and v^ as in :class:`Adam`; the momentum rises slowly towards beta1:

    mu_t = beta1 (1 - 0.96^(t momentum_decay) / 2),   M_t = mu_1 mu_2 ... mu_t
    m^ = mu_{t+1} m / (1 - M_{t+1}) + (1 - mu_t) g / (1 - M_t)
    p = p - lr m^ / (sqrt(v^) + eps)

    Args:
        params: see :class:`Optimizer`.
        lr: learning rate.
        betas: decay rates of the two running means.
        eps: keeps the quotient finite.
        weight_decay: coupled, unless ``decoupled_weight_decay``.
        momentum_decay: how fast mu rises from about beta1 / 2 to beta1.
        decoupled_weight_decay: shrinks p directly, as :class:`AdamW` does.
        maximize: climbs instead.
        foreach, capturable, differentiable: see :class:`Optimizer`.

    Raises:
        ValueError: if an option is negative, or a beta is not in [0, 1).

    Source: Dozat, Incorporating Nesterov Momentum into Adam (2016), algorithm 2 and, for mu, section 3.
    """

    def __init__(
        self,
        params: Params,
        lr: float | Tensor = 2e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0,
        momentum_decay: float = 4e-3,
        decoupled_weight_decay: bool = False,
        *,
        foreach: bool | None = None,
        maximize: bool = False,
        capturable: bool = False,
        differentiable: bool = False,
    ) -> None:
        super().__init__(
            params,
            lr=lr,
            betas=betas,
            eps=eps,
            weight_decay=weight_decay,
            momentum_decay=momentum_decay,
            decoupled_weight_decay=decoupled_weight_decay,
            maximize=maximize,
            foreach=foreach,
            capturable=capturable,
            differentiable=differentiable,
        )

    def start(self, parameter: Tensor, group: Group) -> State:
        means = {"exp_avg": torch.zeros_like(parameter), "exp_avg_sq": torch.zeros_like(parameter)}
        return {"step": 0, "mu_product": 1.0} | means

    def update(self, parameter: Tensor, grad: Tensor, state: State, group: Group) -> tuple[Tensor, State]:
        names = ("lr", "betas", "eps", "momentum_decay")
        return nadam(parameter, grad, state, **{option: group[option] for option in names})
