"""SGD: stochastic gradient descent, with momentum."""

from __future__ import annotations

from torch import Tensor

from ds_core.functional.sgd import sgd as formula
from ds_core.kernels import dispatch_update
from ds_core.optimizers.optimizer import Group, Optimizer, Params, State

sgd = dispatch_update(formula)


class SGD(Optimizer):
    """Steps against the gradient, or against a running sum of gradients.

    plain:     p = p - lr g
    momentum:  b = momentum b + (1 - dampening) g   (b = g at the first step),   p = p - lr b
    Nesterov:  b as above,   p = p - lr (g + momentum b)

    Args:
        params: see :class:`Optimizer`.
        lr: learning rate.
        momentum: share of the running sum that survives each step.
        dampening: share of the gradient kept out of the running sum.
        weight_decay: coupled: ``weight_decay`` p is added to the gradient.
        nesterov: looks ahead along the momentum.
        maximize: climbs instead.
        foreach, differentiable, fused: see :class:`Optimizer`.

    Raises:
        ValueError: if an option is negative, or ``nesterov`` comes without momentum or with dampening.

    Source: Polyak, Some methods of speeding up the convergence of iteration methods (1964); Sutskever et al.,
    On the importance of initialization and momentum in deep learning (2013), section 2.
    """

    later = ("momentum_buffer",)  # the first gradient, once there is one

    def __init__(
        self,
        params: Params,
        lr: float | Tensor = 1e-3,
        momentum: float = 0,
        dampening: float = 0,
        weight_decay: float = 0,
        nesterov: bool = False,
        *,
        maximize: bool = False,
        foreach: bool | None = None,
        differentiable: bool = False,
        fused: bool | None = None,
    ) -> None:
        super().__init__(
            params,
            lr=lr,
            momentum=momentum,
            dampening=dampening,
            weight_decay=weight_decay,
            nesterov=nesterov,
            maximize=maximize,
            foreach=foreach,
            differentiable=differentiable,
            fused=fused,
        )

    def check_options(self, group: Group) -> None:
        super().check_options(group)
        if group["nesterov"] and (group["momentum"] == 0 or group["dampening"] != 0):
            raise ValueError(
                f"{self.label()}: nesterov: expected momentum > 0 and dampening = 0, "
                f"got momentum {group['momentum']} and dampening {group['dampening']}"
            )

    def update(self, parameter: Tensor, grad: Tensor, state: State, group: Group) -> tuple[Tensor, State]:
        names = ("lr", "momentum", "dampening", "nesterov")
        return sgd(parameter, grad, state, **{option: group[option] for option in names})
