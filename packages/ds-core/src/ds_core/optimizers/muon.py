"""Muon: momentum for weight matrices, made orthogonal before each step."""

from __future__ import annotations

import torch
from torch import Tensor

from ds_core.functional.muon import muon as formula
from ds_core.kernels import dispatch_update
from ds_core.optimizers.optimizer import Group, Optimizer, Params, State

muon = dispatch_update(formula)


class Muon(Optimizer):
    """Replaces the momentum of a weight matrix by the nearest matrix with all singular values about 1.

    b = momentum b + (1 - momentum) g
    Nesterov:  u = momentum b + (1 - momentum) g,   else u = b
    p = p - lr_shape orthogonalize(u)

    So directions that gradients rarely take are learned as fast as the dominant ones. It is meant for the
    hidden layers' matrices: give embeddings, output layer, biases and norms to :class:`AdamW`.

    Args:
        params: matrices; see :class:`Optimizer`.
        lr: learning rate.
        weight_decay: decoupled.
        momentum: decay rate of the running mean b.
        nesterov: looks ahead along the momentum.
        ns_coefficients: (a, b, c) of the polynomial in :func:`orthogonalize`.
        eps: keeps a zero gradient from being divided by zero.
        ns_steps: how often the polynomial is applied, fewer than 100.
        adjust_lr_fn: how ``lr`` depends on the shape (rows, columns): "original" (or None) multiplies it by
            sqrt(max(1, rows / columns)); "match_rms_adamw" by 0.2 sqrt(max(rows, columns)), which makes
            steps as large as AdamW's, whose ``lr`` and ``weight_decay`` can then be kept.
        ns_precision: what the polynomial is computed in: "bfloat16", as torch.optim does, or "float32", which
            is many times faster on a processor that has no products of bfloat16.

    Raises:
        ValueError: if a parameter is not a matrix, or an option is out of range.

    Source: Jordan et al., Muon: An optimizer for hidden layers in neural networks (2024); Liu et al., Muon is
    Scalable for LLM Training (2025), section 2.2, for "match_rms_adamw".
    """

    decoupled_weight_decay = True

    def __init__(
        self,
        params: Params,
        lr: float | Tensor = 1e-3,
        weight_decay: float = 0.1,
        momentum: float = 0.95,
        nesterov: bool = True,
        ns_coefficients: tuple[float, float, float] = (3.4445, -4.775, 2.0315),
        eps: float = 1e-7,
        ns_steps: int = 5,
        adjust_lr_fn: str | None = None,
        *,
        ns_precision: str = "bfloat16",
    ) -> None:
        super().__init__(
            params,
            lr=lr,
            weight_decay=weight_decay,
            momentum=momentum,
            nesterov=nesterov,
            ns_coefficients=ns_coefficients,
            eps=eps,
            ns_steps=ns_steps,
            adjust_lr_fn=adjust_lr_fn,
            ns_precision=ns_precision,
        )

    def check_options(self, group: Group) -> None:
        super().check_options(group)
        for parameter in group["params"]:
            if parameter.dim() != 2:
                raise ValueError(
                    f"{self.label()}: expected matrices, got a parameter of shape {tuple(parameter.shape)}; "
                    "give the others to another optimizer, such as AdamW"
                )
        if group["adjust_lr_fn"] not in (None, "original", "match_rms_adamw"):
            raise ValueError(
                f"{self.label()}: expected adjust_lr_fn None, 'original' or 'match_rms_adamw', "
                f"got {group['adjust_lr_fn']!r}"
            )
        if group["ns_precision"] not in ("bfloat16", "float32"):
            raise ValueError(
                f"{self.label()}: expected ns_precision 'bfloat16' or 'float32', "
                f"got {group['ns_precision']!r}"
            )
        if len(group["ns_coefficients"]) != 3:
            raise ValueError(f"{self.label()}: expected 3 ns_coefficients, got {group['ns_coefficients']}")
        if not 0 <= group["ns_steps"] < 100:
            raise ValueError(f"{self.label()}: expected ns_steps in [0, 100), got {group['ns_steps']}")

    def start(self, parameter: Tensor, group: Group) -> State:
        return {"momentum_buffer": torch.zeros_like(parameter)}

    def update(self, parameter: Tensor, grad: Tensor, state: State, group: Group) -> tuple[Tensor, State]:
        names = ("lr", "momentum", "nesterov", "ns_coefficients", "ns_steps", "eps", "adjust_lr_fn")
        options = {option: group[option] for option in (*names, "ns_precision")}
        return muon(parameter, grad, state, **options)
