"""Schedules against torch.optim.lr_scheduler, every option at least once, and beyond the schedule's end."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from ds_core import optimizers, schedulers
from ds_core.verify import SchedulerCase
from torch import Tensor


class Both:
    """Two schedules on one optimizer, one after the other at every step."""

    def __init__(self, *members: Any) -> None:
        self.members, self.optimizer = members, members[0].optimizer

    def step(self) -> None:
        for member in self.members:
            member.step()

    def get_last_lr(self) -> list[float]:
        return self.members[-1].get_last_lr()


class WarmupCosineOnPaper(torch.optim.lr_scheduler.LambdaLR):
    """The schedule's definition as a plain function of the step, for torch's own LambdaLR."""

    def __init__(self, optimizer: Any, warmup_steps: int, total_steps: int, min_lr: float = 0.0) -> None:
        base = optimizer.param_groups[0]["lr"]

        def factor(t: int) -> float:
            if t < warmup_steps:
                return (t + 1) / (warmup_steps + 1)
            if t >= total_steps:
                return min_lr / base
            angle = math.pi * (t - warmup_steps) / (total_steps - warmup_steps)
            return (min_lr + 0.5 * (1 + math.cos(angle)) * (base - min_lr)) / base

        super().__init__(optimizer, factor)


class InverseSquareRootOnPaper(torch.optim.lr_scheduler.LambdaLR):
    """The paper's equation as it stands there, with steps counted from 1, for torch's own LambdaLR."""

    def __init__(self, optimizer: Any, d_model: int, warmup_steps: int = 4000) -> None:
        def factor(t: int) -> float:
            return d_model**-0.5 * min((t + 1) ** -0.5, (t + 1) * warmup_steps**-1.5)

        super().__init__(optimizer, factor)


class Theirs:
    """torch's names, with the references above for the two that torch has not."""

    InverseSquareRootLR = InverseSquareRootOnPaper
    WarmupCosine = WarmupCosineOnPaper

    def __getattr__(self, name: str) -> Any:
        return getattr(torch.optim.lr_scheduler, name)


def groups(params: list[Tensor]) -> list[dict[str, Any]]:
    """Two groups, so that lists of arguments and different rates are exercised."""
    return [{"params": params[:1]}, {"params": params[1:], "lr": 0.02}]


Make = Callable[[Any, Any], Any]  # (module with the schedules, optimizer) -> schedule


def case(
    name: str,
    make: Make,
    optimizer: str = "SGD",
    take: Any = list,
    metric: Callable[[int], float] | None = None,
    **options: Any,
) -> SchedulerCase:
    options = options or {"lr": 0.1, "momentum": 0.9}
    return SchedulerCase(
        name,
        make=lambda params: make(schedulers, getattr(optimizers, optimizer)(take(params), **options)),
        namesake=lambda params: make(Theirs(), getattr(torch.optim, optimizer)(take(params), **options)),
        metric=metric,
    )


def linear_then_cosine(s: Any, o: Any) -> Any:
    parts = [s.LinearLR(o, 0.1, total_iters=5), s.CosineAnnealingLR(o, 60), s.ConstantLR(o, 0.5, 4)]
    return s.SequentialLR(o, parts, milestones=[5, 70])


def restarts_then_steps(s: Any, o: Any) -> Any:
    parts = [s.CosineAnnealingWarmRestarts(o, 4, 2), s.LambdaLR(o, lambda t: 0.9**t), s.StepLR(o, 7)]
    return s.SequentialLR(o, parts, milestones=[30, 50])


def from_milestone_0(s: Any, o: Any) -> Any:
    return s.SequentialLR(o, [s.StepLR(o, 7), s.ExponentialLR(o, 0.9)], milestones=[0])


def halves(t: int) -> float:
    return 0.5 ** (t // 10)


def inverse(t: int) -> float:
    return 1 / (1 + t)


def falling(t: int) -> float:
    """A loss that falls, and then only trembles."""
    return max(1.0, 3 - 0.1 * t) + 0.01 * math.sin(t)


def rising(t: int) -> float:
    """A score that rises, and then only trembles."""
    return 5 - falling(t)


def plateau(metric: Callable[[int], float], **options: Any) -> SchedulerCase:
    written = ", ".join(f"{k}={v}" for k, v in options.items())
    take = groups if "min_lr" in options else list
    name = f"ReduceLROnPlateau({written}) on a {metric.__name__} metric"
    return case(name, lambda s, o: s.ReduceLROnPlateau(o, **options), take=take, metric=metric)


CASES = [
    case("StepLR(7)", lambda s, o: s.StepLR(o, 7)),
    case("StepLR(1, gamma=0.97), groups", lambda s, o: s.StepLR(o, 1, gamma=0.97), take=groups),
    case("MultiStepLR([3, 40, 41])", lambda s, o: s.MultiStepLR(o, [3, 40, 41])),
    case("MultiStepLR([40, 3, 3], gamma=0.5)", lambda s, o: s.MultiStepLR(o, [40, 3, 3], gamma=0.5)),
    case("ExponentialLR(0.95), groups", lambda s, o: s.ExponentialLR(o, 0.95), take=groups),
    case("ConstantLR()", lambda s, o: s.ConstantLR(o)),
    case("ConstantLR(0.1, 20)", lambda s, o: s.ConstantLR(o, 0.1, 20)),
    case("LinearLR()", lambda s, o: s.LinearLR(o)),
    case("LinearLR(1.0, 0.0, 30), groups", lambda s, o: s.LinearLR(o, 1.0, 0.0, 30), take=groups),
    case("CosineAnnealingLR(100)", lambda s, o: s.CosineAnnealingLR(o, 100)),
    case("CosineAnnealingLR(20, 0.001), groups", lambda s, o: s.CosineAnnealingLR(o, 20, 0.001), take=groups),
    case("CosineAnnealingLR(1)", lambda s, o: s.CosineAnnealingLR(o, 1)),
    case("CosineAnnealingWarmRestarts(10)", lambda s, o: s.CosineAnnealingWarmRestarts(o, 10)),
    case(
        "CosineAnnealingWarmRestarts(5, 2, 0.001), groups",
        lambda s, o: s.CosineAnnealingWarmRestarts(o, 5, 2, 0.001),
        take=groups,
    ),
    case("OneCycleLR(0.5, 110)", lambda s, o: s.OneCycleLR(o, 0.5, 110)),
    case("OneCycleLR(0.5, 110) on Adam", lambda s, o: s.OneCycleLR(o, 0.5, 110), "Adam", lr=0.1),
    case(
        "OneCycleLR([0.5, 0.1], epochs=10, steps_per_epoch=12, three_phase), groups",
        lambda s, o: s.OneCycleLR(
            o,
            [0.5, 0.1],
            epochs=10,
            steps_per_epoch=12,
            three_phase=True,
            base_momentum=[0.7, 0.8],
            max_momentum=[0.9, 0.99],
        ),
        take=groups,
    ),
    case(
        "OneCycleLR(linear, pct_start=0.07, div_factor=10, final_div_factor=100)",
        lambda s, o: s.OneCycleLR(
            o, 0.5, 120, pct_start=0.07, anneal_strategy="linear", div_factor=10, final_div_factor=100
        ),
    ),
    case("OneCycleLR(pct_start=0.0)", lambda s, o: s.OneCycleLR(o, 0.5, 101, pct_start=0.0)),
    case(
        "OneCycleLR(cycle_momentum=False) on Adagrad",
        lambda s, o: s.OneCycleLR(o, 0.5, 110, cycle_momentum=False),
        "Adagrad",
        lr=0.1,
    ),
    case("PolynomialLR()", lambda s, o: s.PolynomialLR(o)),
    case("PolynomialLR(60, 0.9), groups", lambda s, o: s.PolynomialLR(o, 60, 0.9), take=groups),
    case("PolynomialLR(40, power=2.5)", lambda s, o: s.PolynomialLR(o, 40, power=2.5)),
    case("CyclicLR(0.01, 0.1, 7)", lambda s, o: s.CyclicLR(o, 0.01, 0.1, 7)),
    case(
        "CyclicLR(triangular2, 10 up and 3 down), groups",
        lambda s, o: s.CyclicLR(
            o,
            [0.01, 0.001],
            [0.1, 0.2],
            10,
            3,
            "triangular2",
            base_momentum=[0.5, 0.6],
            max_momentum=[0.9, 0.99],
        ),
        take=groups,
    ),
    case(
        "CyclicLR(exp_range) on Adam",
        lambda s, o: s.CyclicLR(o, 0.001, 0.01, 6, 9, mode="exp_range", gamma=0.98),
        "Adam",
        lr=0.1,
    ),
    case(
        "CyclicLR(scale_fn of the cycle, cycle_momentum=False) on Adagrad",
        lambda s, o: s.CyclicLR(o, 0.1, 0.5, 8, scale_fn=inverse, cycle_momentum=False),
        "Adagrad",
        lr=0.3,
    ),
    case(
        "CyclicLR(scale_fn of the step, back at once)",
        lambda s, o: s.CyclicLR(o, 0.1, 0.5, 9, 0, scale_fn=halves, scale_mode="iterations"),
    ),
    case("LambdaLR", lambda s, o: s.LambdaLR(o, halves)),
    case("LambdaLR(one for each group)", lambda s, o: s.LambdaLR(o, [halves, inverse]), take=groups),
    case("SequentialLR(linear, cosine, constant), groups", linear_then_cosine, take=groups),
    case("SequentialLR(warm restarts, lambda, step)", restarts_then_steps),
    case("SequentialLR(milestones=[0])", from_milestone_0),
    case("StepLR and ExponentialLR", lambda s, o: Both(s.StepLR(o, 9, 0.5), s.ExponentialLR(o, 0.99))),
    case(
        "LinearLR and CosineAnnealingLR",
        lambda s, o: Both(s.LinearLR(o, 0.1, total_iters=9), s.CosineAnnealingLR(o, 40, 0.01)),
    ),
    plateau(falling),
    plateau(falling, factor=0.5, patience=2, cooldown=3),
    plateau(rising, mode="max", patience=4, threshold=0.02),
    plateau(falling, patience=4, threshold=0.1, threshold_mode="abs", min_lr=[0.01, 0.001]),
    plateau(rising, mode="max", patience=0, threshold=0.005, threshold_mode="abs", eps=1e-3),
    case("WarmupCosine(10, 80, 0.001)", lambda s, o: s.WarmupCosine(o, 10, 80, 0.001)),
    case("WarmupCosine(0, 100)", lambda s, o: s.WarmupCosine(o, 0, 100)),
    case("InverseSquareRootLR(512)", lambda s, o: s.InverseSquareRootLR(o, 512), "Adam", lr=1.0),
    case("InverseSquareRootLR(64, 30), groups", lambda s, o: s.InverseSquareRootLR(o, 64, 30), take=groups),
    case("InverseSquareRootLR(1, 1)", lambda s, o: s.InverseSquareRootLR(o, 1, 1)),
]
