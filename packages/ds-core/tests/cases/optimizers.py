"""Optimizers against torch.optim, every option at least once."""

from __future__ import annotations

from typing import Any

import torch
from ds_core import optimizers
from ds_core.verify import OptimizerCase
from torch import Tensor


class NAdamInDouble(torch.optim.NAdam):
    """torch.optim.NAdam, whose running product of momenta has the default dtype: here, as ours, float64."""

    def step(self, closure: Any = None) -> Any:
        default = torch.get_default_dtype()
        torch.set_default_dtype(torch.float64)
        try:
            return super().step(closure)
        finally:
            torch.set_default_dtype(default)


class LionOnPaper:
    """Algorithm 2 of Chen et al. (2023), theta (1 - eta lambda) - eta sign(c) its last line but one."""

    def __init__(self, params, lr=1e-4, betas=(0.9, 0.99), weight_decay=0.0, maximize=False):
        self.params, self.lr, self.betas, self.weight_decay = params, lr, betas, weight_decay
        self.sign = -1 if maximize else 1
        self.m = [torch.zeros_like(p) for p in params]

    @torch.no_grad()
    def step(self):
        beta1, beta2 = self.betas
        for i, theta in enumerate(self.params):
            if theta.grad is not None:
                g = self.sign * theta.grad
                c = beta1 * self.m[i] + (1 - beta1) * g
                theta *= 1 - self.lr * self.weight_decay
                theta -= self.lr * torch.sign(c)
                self.m[i] = beta2 * self.m[i] + (1 - beta2) * g


def matrices(params: list[Tensor]) -> list[Tensor]:
    """What Muon takes."""
    return [p for p in params if p.dim() == 2]


def in_groups(params: list[Tensor]) -> list[dict[str, Any]]:
    """Matrices with the options of the constructor, the rest with their own."""
    rest = [p for p in params if p.dim() != 2]
    return [{"params": matrices(params)}, {"params": rest, "lr": 0.003, "weight_decay": 0.0}]


class Both:
    """Muon and AdamW of torch.optim, each stepped by itself."""

    def __init__(self, params: list[Tensor]) -> None:
        rest = [p for p in params if p.dim() != 2]
        self.optimizers = torch.optim.Muon(matrices(params), lr=0.01), torch.optim.AdamW(rest, lr=0.003)

    def step(self) -> None:
        for optimizer in self.optimizers:
            optimizer.step()


def chained(params: list[Tensor]) -> optimizers.ChainedOptimizer:
    rest = [p for p in params if p.dim() != 2]
    return optimizers.ChainedOptimizer(
        optimizers.Muon(matrices(params), lr=0.01), optimizers.AdamW(rest, lr=0.003)
    )


def case(name: str, theirs: Any = None, take: Any = list, where: str = "", **options: Any) -> OptimizerCase:
    ours, theirs = getattr(optimizers, name), theirs or getattr(torch.optim, name)
    written = ", ".join([*([where] if where else []), *(f"{k}={v}" for k, v in options.items())])
    return OptimizerCase(
        f"{name}({written})",
        make=lambda params: ours(take(params), **options),
        namesake=lambda params: theirs(take(params), **options),
    )


CASES = [
    case("SGD"),
    case("SGD", lr=0.01, weight_decay=0.1),
    case("SGD", lr=0.01, momentum=0.9),
    case("SGD", lr=0.01, momentum=0.9, dampening=0.5, weight_decay=0.1),
    case("SGD", lr=0.01, momentum=0.9, nesterov=True),
    case("SGD", lr=1e-4, momentum=0.9, maximize=True),
    case("SGD", take=in_groups, where="groups", lr=0.01, momentum=0.9, weight_decay=0.1),
    case("Adagrad"),
    case("Adagrad", lr=0.1, lr_decay=0.1, weight_decay=0.1),
    case("Adagrad", lr=0.1, initial_accumulator_value=0.5, eps=1e-3),
    case("Adagrad", maximize=True),
    case("RMSprop"),
    case("RMSprop", lr=0.003, alpha=0.9, eps=1e-4, weight_decay=0.1),
    case("RMSprop", lr=0.003, momentum=0.9),
    case("RMSprop", lr=0.003, centered=True),
    case("RMSprop", lr=0.003, alpha=0.9, momentum=0.9, centered=True, maximize=True),
    case("Adam"),
    case("Adam", lr=0.01, betas=(0.8, 0.95), eps=1e-4),
    case("Adam", lr=0.01, betas=(0.0, 0.0)),
    case("Adam", lr=0.01, weight_decay=0.1),
    case("Adam", lr=0.01, weight_decay=0.1, decoupled_weight_decay=True),
    case("Adam", lr=0.01, amsgrad=True),
    case("Adam", lr=0.01, maximize=True),
    case("Adam", take=in_groups, where="groups", lr=0.01, weight_decay=0.1),
    case("AdamW"),
    case("AdamW", lr=0.01, weight_decay=0.3, amsgrad=True),
    case("AdamW", lr=0.01, maximize=True),
    case("AdamW", take=in_groups, where="groups", lr=0.01, weight_decay=0.1),
    case("NAdam", NAdamInDouble),
    case("NAdam", NAdamInDouble, lr=0.01, betas=(0.8, 0.95), eps=1e-4, momentum_decay=0.1),
    case("NAdam", NAdamInDouble, lr=0.01, weight_decay=0.1),
    case("NAdam", NAdamInDouble, lr=0.01, weight_decay=0.1, decoupled_weight_decay=True),
    case("NAdam", NAdamInDouble, lr=0.01, maximize=True),
    case("RAdam"),
    case("RAdam", lr=0.01, betas=(0.8, 0.95), eps=1e-4),
    case("RAdam", lr=0.01, betas=(0.9, 0.5)),
    case("RAdam", lr=0.01, weight_decay=0.1),
    case("RAdam", lr=0.01, weight_decay=0.1, decoupled_weight_decay=True),
    case("RAdam", lr=0.001, maximize=True),
    case("RAdam", take=in_groups, where="groups", lr=0.01, weight_decay=0.1),
    case("Adadelta"),
    case("Adadelta", lr=0.5, rho=0.8, eps=1e-4, weight_decay=0.1),
    case("Adadelta", rho=0.0),
    case("Adadelta", maximize=True),
    case("Lion", LionOnPaper),
    case("Lion", LionOnPaper, lr=0.003, betas=(0.8, 0.95), weight_decay=0.3),
    case("Lion", LionOnPaper, lr=0.001, maximize=True),
    case("Muon", take=matrices, where="matrices"),
    case("Muon", take=matrices, where="matrices", lr=0.01, momentum=0.8, nesterov=False, weight_decay=0.0),
    case("Muon", take=matrices, where="matrices", lr=0.01, adjust_lr_fn="match_rms_adamw"),
    case(
        "Muon",
        take=matrices,
        where="matrices",
        lr=0.01,
        ns_coefficients=(2.0, -1.5, 0.5),
        ns_steps=3,
        eps=0.1,
    ),
    OptimizerCase("ChainedOptimizer(Muon for matrices, AdamW for the rest)", make=chained, namesake=Both),
]
