"""RAdam: Adam that warms up by itself."""

from __future__ import annotations

import torch
from torch import Tensor

from ds_core.functional.radam import radam as formula
from ds_core.kernels import dispatch_update
from ds_core.optimizers.optimizer import Group, Optimizer, Params, State

radam = dispatch_update(formula)


class RAdam(Optimizer):
    """Divides by the root of the mean of squares only as far as that mean can be trusted.

    m, v and m^ as in :class:`Adam`; n is how many gradients v is worth, and r rises to 1 with it:

    n = n_inf - 2 t beta2^t / (1 - beta2^t),   n_inf = 2 / (1 - beta2) - 1
    r^2 = (n - 4) (n - 2) n_inf / ((n_inf - 4) (n_inf - 2) n)
    p = p - lr r m^ sqrt(1 - beta2^t) / (sqrt(v) + eps) where n > 5, else p - lr m^

    Args:
        params: see :class:`Optimizer`.
        lr: learning rate.
        betas: decay rates of the two running means.
        eps: keeps the quotient finite.
        weight_decay: coupled, unless ``decoupled_weight_decay``.
        decoupled_weight_decay: shrinks p directly, as :class:`AdamW` does.
        maximize: climbs instead.
        foreach, capturable, differentiable: see :class:`Optimizer`.

    Raises:
        ValueError: if an option is negative, or a beta is not in [0, 1).

    Source: Liu et al., On the Variance of the Adaptive Learning Rate and Beyond (2020), algorithm 2.
    """

    def __init__(
        self,
        params: Params,
        lr: float | Tensor = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0,
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
            decoupled_weight_decay=decoupled_weight_decay,
            maximize=maximize,
            foreach=foreach,
            capturable=capturable,
            differentiable=differentiable,
        )

    def start(self, parameter: Tensor, group: Group) -> State:
        return {"step": 0, "exp_avg": torch.zeros_like(parameter), "exp_avg_sq": torch.zeros_like(parameter)}

    def update(self, parameter: Tensor, grad: Tensor, state: State, group: Group) -> tuple[Tensor, State]:
        names = ("lr", "betas", "eps")
        return radam(parameter, grad, state, **{option: group[option] for option in names})
