"""AdamW: Adam whose weight decay is kept out of the gradient."""

from __future__ import annotations

from torch import Tensor

from ds_core.optimizers.adam import Adam
from ds_core.optimizers.optimizer import Params


class AdamW(Adam):
    """Shrinks p by the factor 1 - lr weight_decay, then steps as :class:`Adam` does.

    Added to the gradient, the decay would be divided by sqrt(v^) with it, so that weights with large
    gradients would hardly decay.

    Args:
        params, lr, betas, eps, amsgrad, maximize: see :class:`Adam`.
        foreach, capturable, differentiable, fused: see :class:`Optimizer`.
        weight_decay: decoupled.

    Raises:
        ValueError: if an option is negative, or a beta is not in [0, 1).

    Source: Loshchilov and Hutter, Decoupled Weight Decay Regularization (2019), algorithm 2.
    """

    def __init__(
        self,
        params: Params,
        lr: float | Tensor = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 1e-2,
        amsgrad: bool = False,
        *,
        maximize: bool = False,
        foreach: bool | None = None,
        capturable: bool = False,
        differentiable: bool = False,
        fused: bool | None = None,
    ) -> None:
        super().__init__(
            params,
            lr,
            betas,
            eps,
            weight_decay,
            amsgrad,
            maximize=maximize,
            foreach=foreach,
            capturable=capturable,
            differentiable=differentiable,
            fused=fused,
            decoupled_weight_decay=True,
        )
