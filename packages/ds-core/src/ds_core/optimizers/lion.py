"""Lion: only the sign of the momentum counts."""

from __future__ import annotations

import torch
from torch import Tensor

from ds_core.functional.lion import lion as formula
from ds_core.kernels import dispatch_update
from ds_core.optimizers.optimizer import Group, Optimizer, Params, State

lion = dispatch_update(formula)


class Lion(Optimizer):
    """Steps by exactly ``lr`` in every coordinate, against the sign of an average gradient.

    p = p - lr (sign(beta1 m + (1 - beta1) g) + weight_decay p)
    m = beta2 m + (1 - beta2) g

    All coordinates move equally far, so ``lr`` is best some 3 to 10 times smaller than for
    :class:`AdamW`, and ``weight_decay`` as much larger. Half of Adam's memory: there is no v.

    Args:
        params: see :class:`Optimizer`.
        lr: learning rate.
        betas: share of m in the step, and decay rate of m.
        weight_decay: decoupled.
        maximize: climbs instead.

    Raises:
        ValueError: if an option is negative, or a beta is not in [0, 1).

    Source: Chen et al., Symbolic Discovery of Optimization Algorithms (2023), algorithm 2.
    """

    decoupled_weight_decay = True

    def __init__(
        self,
        params: Params,
        lr: float | Tensor = 1e-4,
        betas: tuple[float, float] = (0.9, 0.99),
        weight_decay: float = 0,
        *,
        maximize: bool = False,
    ) -> None:
        super().__init__(
            params,
            lr=lr,
            betas=betas,
            weight_decay=weight_decay,
            maximize=maximize,
        )

    def start(self, parameter: Tensor, group: Group) -> State:
        return {"exp_avg": torch.zeros_like(parameter)}

    def update(self, parameter: Tensor, grad: Tensor, state: State, group: Group) -> tuple[Tensor, State]:
        names = ("lr", "betas")
        return lion(parameter, grad, state, **{option: group[option] for option in names})
