"""How parameters begin, how they move, and how far: initial values, optimizers, schedules."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

from ds_core.learn.exercise import Chapter, Exercise, Results
from ds_core.module import Parameter
from ds_core.optimizers import SGD


def _steps(
    kept: Callable[[dict[str, Any]], list[str]], *variants: dict[str, Any], **options: Any
) -> Callable[[Any, torch.Generator], dict[str, Any]]:
    """Returns what takes four steps by an update rule, once for each variant of its options.

    ``kept`` names what the state holds at the start with such options, as the optimizer makes it.
    """

    def use(update: Any, g: torch.Generator) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for variant in variants:
            p = torch.randn(3, 2, generator=g, dtype=torch.float64)
            now = {name: 0 if name == "step" else torch.zeros_like(p) for name in kept(variant)}
            said = "".join(f", {key}={value}" for key, value in variant.items())
            for step in range(1, 5):
                grad = torch.randn(3, 2, generator=g, dtype=torch.float64)
                p, now = update(p, grad, now, **options, **variant)
                found |= {f"parameter after step {step}{said}": p, f"state after step {step}{said}": now}
        return found

    return use


def _rates(steps: int, *arguments: Any, **options: Any) -> Callable[[Any, torch.Generator], dict[str, Any]]:
    """Returns what lists the rates of a schedule."""

    def use(kind: Any, g: torch.Generator) -> dict[str, Any]:
        scheduler = kind(SGD([Parameter(torch.zeros(1))], lr=0.5), *arguments, **options)
        found = {}
        for t in range(steps):
            found[f"lr at t = {t}"] = float(scheduler.get_last_lr()[0])
            scheduler.optimizer.step()
            scheduler.step()
        return found

    return use


def _filled(fill: Any, g: torch.Generator) -> dict[str, Any]:
    weight, kernel = torch.empty(30, 20, dtype=torch.float64), torch.empty(8, 4, 3, 3, dtype=torch.float64)
    return {
        "a weight (30, 20)": fill(weight, generator=g),
        "a kernel (8, 4, 3, 3)": fill(kernel, 2.0, generator=g),
        "the weight itself": weight,
    }


def _fans(fans: Any, g: torch.Generator) -> dict[str, Any]:
    return {f"a weight {size}": fans(torch.empty(size)) for size in [(3, 5), (8, 4, 3, 3), (2, 6, 5)]}


def _clipped(clip: Any, g: torch.Generator) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for bound in (0.5, 2.0):
        p = [Parameter(torch.zeros(3)), Parameter(torch.zeros(2, 2)), Parameter(torch.zeros(1))]
        for one in p[:2]:
            one.grad = torch.randn(one.shape, generator=g) * 2
        grads = [one.grad for one in p[:2]]
        clip(p, bound)
        found |= {f"gradient {i} cut at {bound}, in place": grad for i, grad in enumerate(grads)}
    return found


CHAPTERS = [
    Chapter(
        6,
        "How parameters begin",
        [
            Exercise(
                "fans",
                "how many inputs an output sums up",
                "ds_core.initializers:fans",
                Results(_fans),
                hint="Of a convolution's weight (out, in, height, width) each output sees in x height x "
                "width numbers.",
                theory="initialization.md#The formulas",
                formula="fan_in = in x kernel positions, fan_out = out x kernel positions; at least 2 "
                "dimensions.",
            ),
            Exercise(
                "xavier",
                "signals that keep their size",
                "ds_core.initializers:xavier_uniform_",
                Results(_filled),
                hint="_uniform_of_std fills with a standard deviation. Which one keeps signals and "
                "gradients?",
                theory="initialization.md#The formulas",
                formula="std = gain sqrt(2 / (fan_in + fan_out)); U(-r, r) has r = sqrt(3) std.",
            ),
        ],
    ),
    Chapter(
        7,
        "Optimizers",
        [
            Exercise(
                "sgd",
                "down the gradient, with momentum",
                "ds_core.functional.sgd:sgd",
                Results(
                    _steps(
                        lambda options: [],
                        {"momentum": 0.9, "dampening": 0.2, "nesterov": False},
                        {"momentum": 0.9, "dampening": 0.0, "nesterov": True},
                        {"momentum": 0.0, "dampening": 0.0, "nesterov": False},
                        lr=0.1,
                    )
                ),
                hint="The buffer, state['momentum_buffer'], is not there at the first step. Return the new "
                "parameter and the\nnew state.",
                theory="optimizers.md#SGD (`sgd.py`)",
                formula="b = momentum b + (1 - dampening) g, at first b = g; p = p - lr b, or with Nesterov "
                "p = p - lr (g + momentum b). The state is {'momentum_buffer': b}.",
            ),
            Exercise(
                "rmsprop",
                "steps divided by the usual size of the gradient",
                "ds_core.functional.rmsprop:rmsprop",
                Results(
                    _steps(
                        lambda options: [
                            *("step", "square_avg"),
                            *(["grad_avg"] if options["centered"] else []),
                            *(["momentum_buffer"] if options["momentum"] else []),
                        ],
                        {"momentum": 0.5, "centered": True},
                        {"momentum": 0.0, "centered": False},
                        lr=0.1,
                        alpha=0.9,
                        eps=1e-8,
                    )
                ),
                hint="First the running mean of squares; centred, the square of the mean is taken off.\nThe "
                "state holds step and square_avg, grad_avg if centred, momentum_buffer with momentum.",
                theory="optimizers.md#Adagrad and RMSprop (`adagrad.py`, `rmsprop.py`)",
                formula="v = alpha v + (1 - alpha) g^2, m = alpha m + (1 - alpha) g, r = g / (sqrt(v - "
                "m^2) + eps), "
                "b = momentum b + r, p = p - lr b. The state: step, square_avg = v, grad_avg = m, "
                "momentum_buffer = b.",
            ),
            Exercise(
                "adam",
                "two running means, and why they are corrected",
                "ds_core.functional.adam:adam",
                Results(
                    _steps(
                        lambda options: [
                            *("step", "exp_avg", "exp_avg_sq"),
                            *(["max_exp_avg_sq"] if options["amsgrad"] else []),
                        ],
                        {"amsgrad": False},
                        {"amsgrad": True},
                        lr=0.1,
                        betas=(0.9, 0.99),
                        eps=1e-8,
                    )
                ),
                hint="Both means begin with zeros: what is 1 - beta^t good for? Count t from 1.\nThe state "
                "holds step, exp_avg and exp_avg_sq, with amsgrad max_exp_avg_sq, too.",
                theory="optimizers.md#Adam (`adam.py`)",
                formula="m = beta1 m + (1 - beta1) g, v = beta2 v + (1 - beta2) g^2, m^ = m / (1 - beta1^t), "
                "v^ = v / (1 - beta2^t), with amsgrad of the largest v so far; p = p - lr m^ / (sqrt(v^) + "
                "eps). The state: step = t, exp_avg = m, exp_avg_sq = v, max_exp_avg_sq the largest v.",
            ),
            Exercise(
                "lion",
                "the sign alone",
                "ds_core.functional.lion:lion",
                Results(
                    _steps(
                        lambda options: ["exp_avg"],
                        {"betas": (0.9, 0.99)},
                        {"betas": (0.9, 0.5)},
                        {"betas": (0.5, 0.6)},
                        lr=0.1,
                    )
                ),
                hint="Two different mixtures of m and g: one gives the step, the other is kept, as "
                "state['exp_avg'].",
                theory="optimizers.md#Lion (`lion.py`)",
                formula="p = p - lr sign(beta1 m + (1 - beta1) g), then m = beta2 m + (1 - beta2) g.",
            ),
            Exercise(
                "clip-value",
                "no gradient beyond a bound",
                "ds_core.clipping:clip_grad_value_",
                Results(_clipped),
                hint="_grads lists the gradients that are there; change them in place, with autograd off.",
                theory="optimizers.md#Clipping (`clipping.py`)",
                formula="g = min(max(g, -clip_value), clip_value) for every number.",
            ),
        ],
    ),
    Chapter(
        8,
        "Schedules",
        [
            Exercise(
                "step-lr",
                "a staircase",
                "ds_core.schedulers.step:StepLR.next_lr",
                Results(_rates(8, 3, 0.5)),
                hint="self.last_epoch is t. `lr` is the rate so far: when does it drop?",
                theory="schedulers.md#The schedules",
                formula="lr is multiplied by gamma whenever t > 0 is a multiple of step_size.",
            ),
            Exercise(
                "warmup-cosine",
                "up on a line, down on half a cosine",
                "ds_core.schedulers.warmup_cosine:WarmupCosine.next_lr",
                Results(_rates(12, 3, 10, min_lr=0.05)),
                hint="Three cases of t. What share of the way down is done, at most 1?",
                theory="schedulers.md#`WarmupCosine`",
                formula="t < w: base (t + 1) / (w + 1); else min_lr + (base - min_lr) (1 + cos(pi done)) / "
                "2, "
                "done = (t - w) / (T - w), at most 1.",
            ),
            Exercise(
                "inverse-square-root",
                "the schedule the Transformer came with",
                "ds_core.schedulers.inverse_square_root:InverseSquareRootLR.next_lr",
                Results(_rates(10, 16, 4)),
                hint="Updates are counted from 1. The smaller one of two curves counts.",
                theory="schedulers.md#`InverseSquareRootLR`",
                formula="lr = base / sqrt(d) min(1 / sqrt(s), s / w^(3/2)), s = t + 1",
            ),
        ],
    ),
]
